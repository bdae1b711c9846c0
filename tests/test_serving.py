"""`flux sandbox`: the mock server, called over a real connection as scripts call it."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from pathlib import Path

import httpx
import pytest
from PIL import Image
from starlette.types import Receive, Scope, Send

from flux_cli.cli.commands.sandbox import variable_lines
from flux_cli.errors import UsageError
from flux_cli.images.formats import inspect_image
from flux_cli.json_value import JsonObject
from flux_cli.sandbox.app import Service, create_app
from flux_cli.sandbox.drawing import draw
from flux_cli.sandbox.faults import EXAMPLES, KINDS, PARAMETERS, TARGETS, Faults, describe_faults, parse_fault
from flux_cli.sandbox.page import Page
from flux_cli.sandbox.store import Failure, Store, StoredTask

from .conftest import Flux
from .servers import serve_app

KEY = "a-sandbox-key-0123456789abcdef"
"""Not a secret: it is on command lines."""

GEN = 'gen "a boat" --seed 1 --size 256x256 --overwrite -q'
TASK = {"model": "Qubico/flux1-dev", "task_type": "txt2img", "input": {"prompt": "a cat", "width": 256, "height": 256}}


@dataclass
class Sandbox:
    """A running `flux sandbox`."""

    process: subprocess.Popen[str]
    printed: dict[str, str]
    log_file: Path

    @property
    def origin(self) -> str:
        """Return its URL."""
        return self.printed["FLUX_UPLOAD_URL"]

    @property
    def port(self) -> int:
        """Return its port on this machine."""
        return int(self.origin.rpartition(":")[2])

    @property
    def log(self) -> str:
        """Return what it has logged up to now."""
        return self.log_file.read_text()

    def wait_for_log(self, text: str, times: int = 1) -> bool:
        """Return whether the log contains this text this many times, now or soon. It is written after the response."""
        deadline = time.monotonic() + 10
        while self.log.count(text) < times and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.log.count(text) >= times

    @property
    def tasks(self) -> list[JsonObject]:
        """Return the tasks that were requested, newest first."""
        tasks: list[JsonObject] = httpx.get(f"{self.origin}/sandbox/tasks", trust_env=False).json()["data"]["tasks"]
        return tasks

    def set_faults(self, *texts: str) -> None:
        """Set these faults, and remove all others."""
        with httpx.Client(base_url=self.origin, trust_env=False) as http:
            http.delete("/sandbox/faults").raise_for_status()
            http.post("/sandbox/faults", content="\n".join(texts)).raise_for_status()

    def client(self) -> httpx.Client:
        """Return a client that is independent of flux."""
        return httpx.Client(base_url=self.origin, headers={"X-API-Key": KEY}, trust_env=False, timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def sandbox(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Sandbox]]:
    """Return a function that starts a sandbox and sets the variables that it prints. No log may contain the key."""
    running: list[Sandbox] = []

    def run(options: str = "", state: str = "state.db") -> Sandbox:
        monkeypatch.delenv("PIAPI_API_KEY", raising=False)  # it does not print a key that is set already
        log_file = tmp_path / f"sandbox-{len(running)}.log"
        line = f"sandbox --port 0 --speed 400 --key {KEY} --state {tmp_path / state} {options}"
        with log_file.open("w") as log:
            process = start(line, stderr=log)
        assert process.stdout
        exports = [re.fullmatch(r"export ([A-Z_]+)=(\S+)\n", process.stdout.readline()) for _ in range(4)]
        assert all(exports), log_file.read_text()
        started = Sandbox(process, {found[1]: found[2] for found in exports if found}, log_file)
        for name, value in started.printed.items():
            monkeypatch.setenv(name, value)
        running.append(started)
        return started

    yield run
    for started in running:
        started.process.terminate()
        assert started.process.wait(10) == 0
        assert "Traceback" not in started.log
        assert started.process.stdout
        started.process.stdout.close()


def test_a_client_needs_only_the_printed_variables(flux: Flux, sandbox: Callable[..., Sandbox]) -> None:
    running = sandbox()
    draw("a photo", seed=1, width=320, height=256).save("photo.jpg")

    assert flux(GEN).out == "a-boat-1.png\n"
    assert flux('edit photo.jpg "as a woodcut" --seed 1 -q').out == "as-a-woodcut-1.png\n"

    assert inspect_image(Path("a-boat-1.png").read_bytes()).extension == "png"
    assert running.printed == {
        "FLUX_BASE_URL": f"{running.origin}/api/v1",
        "FLUX_UPLOAD_URL": f"http://127.0.0.1:{running.port}",
        "PIAPI_API_KEY": KEY,
        "FLUX_TIME_SCALE": "0.0025",
    }
    lines = running.log.splitlines()
    assert (
        lines[0]
        == f"In another terminal, run the lines above. {running.origin}/ shows tasks and images. Press Ctrl-C to stop."
    )
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /api/v1/task 200 flux_[0-9a-f-]{36} key …cdef", lines[1])
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET /images/flux_[0-9a-f-]{36}/1.png 200 no key", lines[-1])
    assert any("POST /api/ephemeral_resource 200 key …cdef" in line for line in lines)


@pytest.mark.parametrize(("fault", "code", "tasks"), [
    ("create:429 times=2 retry-after=0", 0, 1),
    ("create:503 times=1", 0, 1),
    ("create:400 code=1700", 5, 0),
    ("create:401", 4, 0),
    ("create:402", 6, 0),
    ("create:502", 7, 0),
    ("create:502 when=after", 7, 1),
    ("create:html", 7, 0),
    ("create:drop", 7, 1),
    ("create:drop when=before", 7, 0),
    ("create:cut", 7, 1),
    ("create:truncate", 7, 1),
    ("create:delay=0.01", 0, 1),
    ("get:404 times=1", 0, 1),
    ("get:drop times=2", 0, 1),
    ("get:html times=1", 0, 1),
    ("get:cut times=1", 0, 1),
    ("get:empty times=1", 0, 1),
    ("get:empty", 10, 1),
    ("get:stuck", 9, 1),
    ("task:stuck", 9, 1),
    ("task:fail code=1800", 8, 1),
    ("image:truncate times=1", 0, 1),
    ("image:truncate keep=0.999", 10, 1),
    ("image:cut times=1", 0, 1),
    ("image:drop times=1", 0, 1),
    ("image:html times=1", 0, 1),
    ("image:403 times=1", 0, 1),
    ("image:403", 10, 1),
])  # fmt: skip
def test_flux_survives_each_fault_as_promised(
    flux: Flux, shared: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: str, code: int, tasks: int
) -> None:
    for name, value in shared.printed.items():
        monkeypatch.setenv(name, value)
    before = len(shared.tasks)
    shared.set_faults(fault)

    result = flux(f"{GEN} --timeout {0.5 if code == 9 else 30}")

    assert (result.code, len(shared.tasks) - before) == (code, tasks), result.err
    if code == 0:
        assert inspect_image(Path("a-boat-1.png").read_bytes()).extension == "png"
    else:
        assert list(Path().iterdir()) == []
    assert fault.startswith("task:") or shared.wait_for_log(f" fault {fault}\n")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Start a sandbox for many tests. Each of them sets its own faults."""
    directory = tmp_path_factory.mktemp("shared")
    line = [sys.executable, "-m", "flux_cli", *f"sandbox --port 0 --speed 400 --key {KEY}".split()]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "PIAPI_"))}
    environ |= {"FLUX_HOME": str(directory), "TMPDIR": str(directory)}
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, text=True, env=environ)
    assert process.stdout
    exports = [process.stdout.readline().removeprefix("export ").strip().partition("=") for _ in range(4)]
    running = Sandbox(process, {name: value for name, _, value in exports}, directory / "log")
    yield running
    assert running.stop() == 0
    process.stdout.close()
    assert "Traceback" not in running.log
    assert KEY not in running.log
    assert [path.name for path in directory.iterdir()] == ["log"], "its files were not deleted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sandbox_normally(sandbox: Callable[..., Sandbox], number: int) -> None:
    running = sandbox("--fault get:delay=60")
    with running.client() as http:
        task = http.post("/api/v1/task", json=TASK).json()["data"]["task_id"]
    with socket.create_connection(("127.0.0.1", running.port)) as waiting:
        waiting.sendall(f"GET /api/v1/task/{task} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        time.sleep(0.1)  # the request must have arrived

        assert running.stop(number) == 0

    assert running.log.splitlines()[-1] == "Stopped. Served 1 task ($0.015 simulated)."


def test_links_expire(flux: Flux, sandbox: Callable[..., Sandbox]) -> None:
    sandbox("--expire 0s")
    result = flux(GEN)
    assert (result.code, result.out) == (10, "")
    assert "HTTP 403" in result.err


def test_tasks_and_uploads_are_kept_in_a_file(flux: Flux, sandbox: Callable[..., Sandbox]) -> None:
    first = sandbox()
    draw("a photo", seed=1, width=320, height=256).save("photo.jpg")
    task = flux('edit photo.jpg "as a woodcut" --seed 1 --no-wait').out.strip()
    assert flux(f"wait {task} -o before.png -q").out == "before.png\n"
    assert first.stop() == 0

    sandbox()

    assert flux(f"wait {task} -o after.png -q").out == "after.png\n"
    assert read_pixels(Path("after.png")) == read_pixels(Path("before.png"))


def read_pixels(path: Path) -> bytes:
    """Return the pixels of an image."""
    return Image.open(path).convert("RGB").tobytes()


def test_the_plan_and_the_credits_limit_the_requests(flux: Flux, sandbox: Callable[..., Sandbox]) -> None:
    running = sandbox("--plan free --credits 0.04 --fault task:stuck")
    assert flux("balance").out.startswith("Balance: $0.04 simulated\n")
    codes = []
    with running.client() as http:
        codes += [http.post("/api/v1/task", json=TASK).json()["code"] for _ in range(3)]
        lora = {"model": "Qubico/flux1-dev-advanced", "task_type": "txt2img-lora", "input": {"prompt": "x"}}
        codes += [http.post("/api/v1/task", json=lora).json()["code"]]
        codes += [http.post("/api/ephemeral_resource", json={}).json()["code"]]
    assert codes == [200, 200, 429, 403, 403]

    other = sandbox("--credits 0.02", state="other.db")
    assert flux(GEN).code == 0
    assert flux(GEN.replace("boat", "ship")).code == 6
    assert flux("balance").out.startswith("Balance: $0.005 simulated\n")
    assert len(other.tasks) == 1


def test_live_replies_match_the_live_api(flux: Flux, sandbox: Callable[..., Sandbox]) -> None:
    running = sandbox("--replies live --credits 0.04")
    assert flux('gen "a boat" -m schnell -b 2 --seed 1 --size 256x256 -q').out == "a-boat-1-1.png\na-boat-1-2.png\n"
    with running.client() as http:
        hook = {"endpoint": "http://127.0.0.1:9/", "secret": "hush-hush-hush"}
        created = http.post("/api/v1/task", json={**TASK, "config": {"webhook_config": hook}}).json()["data"]
        refused = http.post("/api/v1/task", json={**TASK, "input": {"prompt": ""}})
        assert http.post("/api/v1/task", json=TASK).status_code == 200
        without_credits = http.post("/api/v1/task", json=TASK)

    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", created["task_id"])
    assert (created["status"], created["output"]) == ("pending", None)
    assert created["config"] == {"webhook_config": hook}, "the live service echoes the secret"
    assert refused.json()["message"] == "Invalid prompt length: Prompt must be 1-1500 characters, got 0"
    assert (without_credits.status_code, without_credits.json()) == (
        402,
        {"code": 402, "message": "failed to freeze point"},
    )
    assert flux(GEN).code == 6


SPECIFICATION_EXAMPLES: list[JsonObject] = [
    {
        "model": "Qubico/flux1-dev",
        "task_type": "txt2img",
        "input": {
            "prompt": "A majestic dragon soaring over a medieval castle at sunset, cinematic lighting, highly detailed, "
            "fantasy art style",
            "negative_prompt": "blurry, low quality, distorted, ugly",
            "width": 1024,
            "height": 1024,
            "guidance_scale": 3.5,
            "denoise": 0.7,
            "seed": 12345,
        },
        "config": {
            "service_mode": "public",
            "webhook_config": {"endpoint": "https://your-webhook.com/flux", "secret": "webhook_secret"},
        },
    },
    {
        "model": "Qubico/flux1-schnell",
        "task_type": "img2img",
        "input": {
            "prompt": "Transform this into a cyberpunk style artwork with neon lights",
            "image": "https://example.com/input-image.jpg",
            "denoise": 0.6,
            "guidance_scale": 4.0,
            "batch_size": 1,
        },
    },
    {
        "model": "Qubico/flux1-dev-advanced",
        "task_type": "txt2img-lora",
        "input": {
            "prompt": "A portrait in anime style",
            "lora_settings": [{"path": "https://example.com/anime-style-lora.safetensors", "scale": 0.8}],
        },
    },
    {
        "model": "Qubico/flux1-dev-advanced",
        "task_type": "controlnet-lora",
        "input": {
            "prompt": "A realistic portrait with the same pose",
            "control_net_settings": [
                {
                    "path": "controlnet-pose",
                    "control_image_url": "https://example.com/pose-reference.jpg",
                    "conditioning_scale": 1.0,
                }
            ],
        },
    },
    {
        "model": "Qubico/flux1-dev-advanced",
        "task_type": "redux-variation",
        "input": {
            "prompt": "Create a variation with different lighting",
            "image": "https://example.com/original.jpg",
            "variation_strength": 0.7,
        },
    },
    {
        "model": "Qubico/flux1-dev-advanced",
        "task_type": "fill-inpaint",
        "input": {
            "prompt": "Replace the background with a mountain landscape",
            "image": "https://example.com/original.jpg",
            "mask": "https://example.com/mask.jpg",
        },
    },
    {
        "model": "Qubico/flux1-dev",
        "task_type": "txt2img",
        "input": {"prompt": "what the specification's Python client sends", "seed": None, "width": 256, "height": 256},
        "config": {"service_mode": "public"},
    },
]


@pytest.mark.parametrize("example", SPECIFICATION_EXAMPLES, ids=lambda body: str(body["task_type"]))
def test_the_examples_of_the_specification_work(shared: Sandbox, example: JsonObject) -> None:
    shared.set_faults()
    with shared.client() as http:
        created = http.post("/api/v1/task", json=example).json()
        deadline = time.monotonic() + 20
        while (task := http.get(f"/api/v1/task/{created['data']['task_id']}").json())["data"]["status"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        image = http.get(task["data"]["output"]["image_url"])

    assert (created["code"], created["message"], created["data"]["status"]) == (200, "success", "pending")
    assert inspect_image(image.content).extension == "png"
    assert (task["data"]["model"], task["data"]["task_type"]) == (example["model"], example["task_type"])
    assert "webhook_secret" not in json.dumps(task)


def exchange(port: int, content: bytes) -> tuple[bytes, bytes]:
    """Send bytes on a new connection, and return the head and the body of the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(content)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("content", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(300),
    b"what is this\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /api/v1/task HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    b"POST /api/v1/task HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])  # fmt: skip
def test_invalid_http_gets_a_response(shared: Sandbox, content: bytes) -> None:
    head, body = exchange(shared.port, content)
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(body) == {"code": 400, "message": "invalid HTTP request"}


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("GET", "/nowhere", b"", 404),
    ("GET", f"/images/x/{'9' * 5000}.png", b"", 404),
    ("GET", f"/sandbox/images/x/{'9' * 5000}.png", b"", 404),
    ("GET", "/sandbox/page.py", b"", 404),
    ("GET", "/%00%ff/../../etc/passwd", b"", 404),
    ("PATCH", "/api/v1/task", b"", 405),
    ("BREW", "/api/v1/task", b"", 405),
    ("POST", "/api/v1/task", b"[" * 100_000, 400),
    ("POST", "/api/v1/task", b'{"input":' + b"9" * 5000 + b"}", 400),
    ("POST", "/api/v1/task", json.dumps(TASK).replace("256", "1e999").encode(), 400),
    ("POST", "/api/v1/task", json.dumps(TASK).replace("a cat", "\\ud800").encode(), 200),
    ("POST", "/sandbox/faults", b"create:nonsense", 400),
    ("GET", "/api/open/tasks/histories?page=0", b"", 400),
    ("GET", "/api/open/tasks/histories?start_time=soon", b"", 400),
])  # fmt: skip
def test_invalid_requests_get_the_documented_format(
    shared: Sandbox, method: str, path: str, body: bytes, status: int
) -> None:
    shared.set_faults()
    head = f'{method} {path} HTTP/1.1\r\nHost: a b"<>[::\r\nX-API-Key: {KEY}\r\nConnection: close\r\n'
    response_head, content = exchange(shared.port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    assert response_head.startswith(f"HTTP/1.1 {status} ".encode())
    reply = json.loads(content) if content.startswith(b"{") else {}
    if path.startswith(("/images", "/sandbox/images")):
        return
    assert (reply["code"], reply["message"]) == (status, "success" if status == 200 else "failed")
    if status != 200:
        assert sorted(reply["data"]["error"]) == ["code", "detail", "message"]


def test_a_huge_request_is_refused_before_it_is_read(shared: Sandbox) -> None:
    head = f"POST /api/v1/task HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n".encode()
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as announced:
        announced.sendall(head + b"Content-Length: 100000000\r\n\r\n" + bytes(1000))
        assert announced.recv(100).startswith(b"HTTP/1.1 413 ")

    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as endless:
        endless.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(18):
            endless.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
        endless.sendall(b"0\r\n\r\n")
        received = b"".join(iter(lambda: endless.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 413 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["data"]["error"]["message"] == "request too large"


def test_silent_connections_do_not_block_others(flux: Flux, sandbox: Callable[..., Sandbox]) -> None:
    running = sandbox()
    silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(200)]
    try:
        assert flux(GEN).code == 0
    finally:
        for connection in silent:
            connection.close()


def test_a_key_in_a_url_is_not_logged(shared: Sandbox) -> None:
    with shared.client() as http:
        assert http.get(f"/{KEY}").status_code == 404
    assert shared.wait_for_log("GET /[key] 404")


@dataclass
class Receiver:
    """An app that records deliveries: path, secret, content. `statuses` are its first responses; all others are 200."""

    statuses: list[int] = field(default_factory=list)
    received: list[tuple[str, str, JsonObject]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI defines it."""
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        headers = dict(scope["headers"])
        secret, content = headers.get(b"x-webhook-secret", b"").decode(), json.loads(body + message["body"])
        self.received.append((scope["path"], secret, content))
        status = self.statuses.pop(0) if self.statuses else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"location", b"/again")]})
        await send({"type": "http.response.body"})


@pytest.mark.parametrize(("fault", "statuses", "deliveries"), [
    ("", [], 1),
    ("webhook:duplicate", [], 2),
    ("webhook:lose", [], 0),
    ("", [500, 307], 3),
    ("", [500, 500, 500], 3),
])  # fmt: skip
def test_a_webhook_is_delivered(shared: Sandbox, fault: str, statuses: list[int], deliveries: int) -> None:
    receiver = Receiver(statuses)
    shared.set_faults(*([fault] if fault else []))
    with serve_app(receiver) as origin, shared.client() as http:
        config = {"webhook_config": {"endpoint": f"{origin}/hook?token=t0ken", "secret": "hush-hush-hush"}}
        task = http.post("/api/v1/task", json={**TASK, "config": config}).json()["data"]["task_id"]
        assert shared.wait_for_log(f"webhook {task} {origin}/hook", times=max(deliveries, 1))
        data = http.get(f"/api/v1/task/{task}").json()["data"]
    assert [(path, secret) for path, secret, _ in receiver.received] == [("/hook", "hush-hush-hush")] * deliveries
    assert all(body == {"timestamp": body["timestamp"], "data": data} for _, _, body in receiver.received)
    assert all(isinstance(body["timestamp"], int) for _, _, body in receiver.received)
    assert "t0ken" not in shared.log
    assert "hush" not in shared.log


@pytest.mark.parametrize(("options", "host", "allowed"), [
    ("", "example.invalid", False),
    ("--webhook-host example.invalid", "example.invalid", True),
    ("--host 0.0.0.0", "127.0.0.1", False),
    ("--host 0.0.0.0 --webhook-host 127.0.0.1", "127.0.0.1", True),
])  # fmt: skip
def test_webhooks_are_delivered_only_to_allowed_hosts(
    sandbox: Callable[..., Sandbox], options: str, host: str, allowed: bool
) -> None:
    running = sandbox(options)
    config = {"webhook_config": {"endpoint": f"http://{host}:9/", "secret": ""}}
    with running.client() as http:
        http.post("/api/v1/task", json={**TASK, "config": config})
    assert running.wait_for_log("webhook flux_")
    assert ("failed (ConnectError)" in running.log) is allowed
    assert ("not delivered: the host is not allowed" in running.log) is not allowed
    assert ("flux: warning: 0.0.0.0 can be reached from other machines" in running.log) is ("--host" in options.split())


def test_the_page_shows_everything_in_its_first_response(shared: Sandbox) -> None:
    """It contains the tasks, their images and the faults, without a script or a second request."""
    shared.set_faults("get:502 times=1", "image:403")
    injection = "<img src=x onerror=alert(1)>"
    with shared.client() as http:
        fields = {**TASK["input"], "prompt": injection, "batch_size": 2}  # type: ignore[dict-item]
        body = {**TASK, "model": "Qubico/flux1-schnell", "input": fields}
        task = http.post("/api/v1/task", json=body).json()["data"]["task_id"]
        deadline = time.monotonic() + 10
        while (shown := shared.tasks[0])["status"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        page, later, script = http.get("/"), http.get("/sandbox/cards"), http.get("/sandbox/page.js")
        images = [http.get(str(url)) for url in shown["images"]]  # type: ignore[union-attr]

    assert (shown["id"], shown["prompt"]) == (task, injection)
    card = page.text[page.text.index(f'<article id="task-{task}" class="completed"') :].partition("</article>")[0]
    assert '<p class="prompt">&lt;img src=x onerror=alert(1)&gt;</p>' in card
    thumbnails = [base64.b64decode(text) for text in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', card)]
    assert [Image.open(io.BytesIO(content)).size for content in thumbnails] == [(416, 416)] * 2
    assert [inspect_image(image.content).width for image in images] == [256] * 2, "expiry and faults do not apply"
    assert "<li>image:403 &times;0</li>" in page.text
    assert "no tasks yet" not in page.text
    assert f'src="{shown["images"][0]}"' in later.text  # type: ignore[index]
    assert "data:image" not in later.text.partition("<main")[2], "the response that is fetched every second is small"
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "<script>" not in page.text
    assert "innerHTML" not in script.text


BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")
HEADLESS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"  # fmt: skip


def test_a_browser_shows_tasks_and_images_immediately(shared: Sandbox, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs Chromium")
    shared.set_faults()
    with shared.client() as http:
        task = http.post("/api/v1/task", json=TASK).json()["data"]["task_id"]
        deadline = time.monotonic() + 20
        while http.get(f"/api/v1/task/{task}").json()["data"]["status"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    screenshot, home = tmp_path / "shot.png", tmp_path / "browser"
    command = [
        browser,
        *HEADLESS.split(),
        f"--user-data-dir={home}",
        "--window-size=400,500",
        f"--screenshot={screenshot}",
    ]
    subprocess.run([*command, f"{shared.origin}/"], capture_output=True, timeout=60, check=True)
    with Image.open(screenshot) as image:
        card = image.convert("HSV").resize((40, 50)).crop((0, 7, 40, 25))  # below the header, above the prompt
    vivid = sum(saturation > 40 for saturation in card.getchannel("S").tobytes())
    assert vivid > card.width * card.height / 4, "gray boxes or nothing instead of the image"


def test_the_page_shows_many_tasks_and_their_status(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    body: JsonObject = {**TASK, "input": {"prompt": "x\ud800", "width": 64, "height": 64}}  # type: ignore[dict-item]
    with closing(Store(tmp_path / "many.db")) as store:
        service = Service(store, clock=lambda: clock[0])
        for number in range(70):
            ended = inf if number == 69 else clock[0] + number
            failure = Failure("failed", 1800, "no <luck>") if number == 58 else None
            task = StoredTask(f"t{number}", body, Decimal("0.015"), clock[0] - 1, clock[0], ended, failure)
            store.add(task, limit=100, credit=None)
        clock[0] += 60
        with serve_app(create_app(service, Page(service).routes())) as origin:
            text = httpx.get(origin, trust_env=False).text
    assert re.findall(r'<p id="totals"[^>]*>([^<]*)<', text) == ["70 tasks, 9 running · $1.05 simulated"]
    assert text.count("<article") == 60
    waiting = re.findall(r'class="waiting">([^<]*)<', text)
    assert waiting == ["never ends", *(f"{left} s left" for left in range(8, 0, -1)), "no &lt;luck&gt;"]
    assert text.count("data:image/jpeg") == 2, "of the newest twelve tasks, nine run and one failed"
    assert text.count('src="/sandbox/images/') == 48


def test_only_the_page_itself_can_change_the_faults(shared: Sandbox) -> None:
    shared.set_faults("get:502 times=1")
    with shared.client() as http:
        refused = [
            http.post("/sandbox/faults", content="create:502", headers={"Origin": origin})
            for origin in ("https://example.com", "http://localhost:3000", "null")
        ]
        own = http.post("/sandbox/faults", content="create:502 times=1", headers={"Origin": shared.origin})
        active = http.get("/sandbox/faults").json()["data"]["faults"]
        http.delete("/sandbox/faults")
    assert [response.status_code for response in (*refused, own)] == [403, 403, 403, 200]
    assert active == [{"fault": text, "met": 0, "struck": 0} for text in ("get:502 times=1", "create:502 times=1")]


@pytest.mark.parametrize(("options", "error"), [
    ("--fault create", "invalid fault 'create': expected TARGET:KIND"),
    ("--fault creat:429", "invalid fault 'creat:429': unknown target 'creat'"),
    ("--fault create:dorp", "invalid fault 'create:dorp': unknown kind 'dorp'"),
    ("--fault 'create:429 tims=2'", "invalid fault 'create:429 tims=2': unknown parameter 'tims'"),
    ("--fault create:stuck", "invalid fault 'create:stuck': stuck cannot happen to create"),
    ("--fault create:200", "invalid fault 'create:200': 200 is not an HTTP status from 400 to 599"),
    ("--fault 'create:drop keep=1'", "invalid fault 'create:drop keep=1': keep does not apply here"),
    ("--fault 'create:429 times=0'", "invalid fault 'create:429 times=0': times: expected a whole number, 1 or more"),
    ("--fault 'task:delay=1 when=before'", "invalid fault 'task:delay=1 when=before': when does not apply here"),
    ("--fault create:", "invalid fault 'create:': no kind"),
    ("--fault 'create:429 drop'", "invalid fault 'create:429 drop': 429 and drop are two kinds"),
    ("--speed 0", "invalid --speed '0': expected a number from 0.001 to 1000"),
    ("--expire soon", "invalid --expire 'soon': expected a duration, for example 1.5, 30s, 10m, 2h or 7d"),
    ("--replies xml", "invalid --replies 'xml': expected spec or live"),
    ("--plan gold", "invalid --plan 'gold': expected free, creator or pro"),
    ("--key 'a b'", "invalid --key 'a b': expected printable ASCII without spaces"),
])  # fmt: skip
def test_an_invalid_option_is_reported(flux: Flux, options: str, error: str) -> None:
    result = flux(f"sandbox --port 0 {options}")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"flux: {error}")


def test_a_port_in_use_and_an_invalid_database_are_reported(flux: Flux, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        result = flux(f"sandbox --port {port}")
    assert result.code == 2
    assert result.err.startswith(f"flux: 127.0.0.1:{port} is already in use")
    assert "Another flux sandbox may be running; --port 0 picks a free port" in result.err
    Path("note.txt").write_text("not a database, and to be kept")
    result = flux("sandbox --port 0 --state note.txt")
    assert (result.code, result.err) == (11, "flux: cannot keep tasks in note.txt: file is not a database\n")
    assert Path("note.txt").read_text() == "not a database, and to be kept"


def test_variables_are_printed_for_the_current_shell() -> None:
    variables = {"FLUX_BASE_URL": "http://127.0.0.1:8517/api/v1", "PIAPI_API_KEY": "it's"}
    posix = ["export FLUX_BASE_URL=http://127.0.0.1:8517/api/v1", "export PIAPI_API_KEY='it'\"'\"'s'"]
    assert variable_lines(variables, {}, "linux") == posix
    assert variable_lines(variables, {"SHELL": "/usr/bin/bash"}, "win32") == posix, "Git Bash"
    assert variable_lines(variables, {}, "win32") == [
        "# PowerShell",
        "$env:FLUX_BASE_URL = 'http://127.0.0.1:8517/api/v1'",
        "$env:PIAPI_API_KEY = 'it''s'",
        "rem cmd.exe",
        'set "FLUX_BASE_URL=http://127.0.0.1:8517/api/v1"',
        'set "PIAPI_API_KEY=it\'s"',
    ]


def test_a_real_key_is_not_printed(flux: Flux, start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    process = start(f"sandbox --port 0 --key {KEY} --json")
    assert process.stdout
    printed = json.loads(process.stdout.readline())
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert sorted(printed["variables"]) == ["FLUX_BASE_URL", "FLUX_TIME_SCALE", "FLUX_UPLOAD_URL"]
    assert KEY not in errors
    assert "PIAPI_API_KEY is set already; its value is not printed" in errors


def test_the_list_of_faults_is_complete(flux: Flux) -> None:
    listing = flux("sandbox --list-faults").out
    assert listing.splitlines() == list(describe_faults())
    assert max(map(len, listing.splitlines())) <= 80
    words = set(re.findall(r"[a-z-]+", listing))
    assert {*TARGETS, *KINDS, *PARAMETERS} - {"status"} <= words
    assert [parse_fault(text).text for text in EXAMPLES] == list(EXAMPLES)


def test_random_faults_are_repeatable_and_independent() -> None:
    def draw_faults(seed: int, *texts: str) -> list[bool]:
        faults = Faults(seed)
        faults.add(["get:502 rate=0.5", *texts])
        return [bool(faults.draw("get")) for _ in range(40)]

    assert draw_faults(7) == draw_faults(7, "create:429 rate=0.5")
    assert draw_faults(7) != draw_faults(8)
    assert 5 < sum(draw_faults(7)) < 35

    faults = Faults()
    faults.add(["create:delay=2 skip=1", "create:429 skip=2 times=1 delay=1", "create:drop skip=3"])
    drawn = [faults.draw("create") for _ in range(4)]
    assert [fault and (fault.kind, fault.delay) for fault in drawn] == [None, ("delay", 2), ("status", 3), ("drop", 2)]
    with pytest.raises(UsageError):
        faults.add(["create:502", "create:oops"])
    assert len(faults.counts()) == 3, "all or none"
