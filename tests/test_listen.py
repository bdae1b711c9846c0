"""`flux listen`: webhooks as PiAPI sends them, forged webhooks, and crashes."""

import asyncio
import contextlib
import fcntl
import itertools
import json
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from flux_cli.images.formats import inspect_image
from flux_cli.journal.entries import Entry, State
from flux_cli.json_value import Json, JsonObject
from flux_cli.system.signals import Stop
from flux_cli.webhooks import server
from flux_cli.webhooks.forwarder import split_command
from flux_cli.webhooks.server import open_listening_socket

from .conftest import KEY, Flux
from .servers import Breaker, BreakingProxy, Service, serve_app

SECRET = "hush-hush-hush"
TASK = {"model": "Qubico/flux1-dev", "task_type": "txt2img", "input": {"prompt": "a cat", "width": 256, "height": 256}}
Start = Callable[..., subprocess.Popen[str]]


def wait_for(condition: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true within 20 seconds."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@dataclass
class Listener:
    """A running `flux listen --json`."""

    process: subprocess.Popen[str]
    url: str
    log_file: Path

    @property
    def log(self) -> str:
        """The log so far."""
        return self.log_file.read_text()

    def deliver(self, body: object, secret: str = SECRET) -> int:
        """POST a webhook, and return the status."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"x-webhook-secret": secret} if secret else {}
        return httpx.post(f"{self.url}hook", content=content, headers=headers, trust_env=False, timeout=30).status_code

    def read(self) -> dict[str, Any]:
        """Return the next object on stdout."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log
        found: dict[str, Any] = json.loads(line)
        return found

    def logs(self, words: str) -> bool:
        """Return whether the log contains these words, now or soon."""
        return wait_for(lambda: words in self.log)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def listen(start: Start, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Listener]]:  # fmt: skip
    """Return a function that starts a listener, which must exit cleanly and never print the secret."""
    running: list[Listener] = []
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", SECRET)

    def run(options: str = "") -> Listener:
        log_file = tmp_path / f"listen-{len(running)}.log"
        with log_file.open("w") as log:
            process = start(f"listen --port 0 --json {options}", stderr=log)
        made = Listener(process, "", log_file)
        running.append(made)
        made.url = str(made.read()["url"])
        return made

    yield run
    for made in running:
        if made.process.poll() is None:
            assert made.stop() == 0
        assert made.process.stdout
        printed = made.process.stdout.read()
        made.process.stdout.close()
        assert "Traceback" not in made.log
        assert SECRET not in made.log + printed


def submit_task(flux: Flux, words: str = "a boat") -> str:
    """Submit a task without waiting, and return its ID."""
    return flux(f'gen "{words}" --seed 1 --size 256x256 --no-wait -q').out.strip()


def make_webhook(task_id: str, **more: Json) -> JsonObject:
    """Return a minimal webhook of a task."""
    return {"timestamp": 1, "data": {"task_id": task_id, "status": "completed", **more}}


def count_gets(service: Service, prefix: str) -> int:
    """Return the number of GET requests with a path prefix."""
    return sum(request.method == "GET" and request.path.startswith(prefix) for request in service.requests)


def test_a_webhook_saves_the_image_once(
    flux: Flux, service: Service, listen: Callable[..., Listener], entries: Callable[[], list[Entry]]
) -> None:
    task, listener = submit_task(flux), listen()

    for secret in ("", "wrong", f"{SECRET}x", SECRET[:-1]):
        assert listener.deliver(make_webhook(task), secret) == 401
    assert count_gets(service, "/api/v1/task/") == 0, "a forged webhook had an effect"
    assert listener.deliver(make_webhook(task)) == 200
    record = listener.read()
    assert listener.deliver(make_webhook(task)) == 200
    assert listener.logs("delivered again")

    assert (record["type"], record["state"], record["task_id"]) == ("outcome", "saved", task)
    assert record["files"] == [str(Path("a-boat-1.png").absolute())]
    assert [(entry.task_id, entry.state) for entry in entries()] == [(task, State.SAVED)]
    assert count_gets(service, "/images/") == 1


def test_a_saved_image_is_not_downloaded_again(flux: Flux, service: Service, listen: Callable[..., Listener]) -> None:
    task = submit_task(flux)
    assert flux(f"wait {task} -q").code == 0
    listener = listen("-d elsewhere")
    assert listener.deliver(make_webhook(task)) == 200
    assert listener.logs(f"task {task}: saved already")
    assert count_gets(service, "/images/") == 1


@pytest.mark.parametrize("status", ["completed", "failed", "processing"])
def test_the_content_of_a_webhook_is_not_trusted(flux: Flux, listen: Callable[..., Listener], status: str) -> None:
    recipient = Recipient()
    with serve_app(recipient) as origin:
        listener, task = listen(), submit_task(flux)
        forged = make_webhook(
            task, status=status, output={"image_url": f"{origin}/evil.png", "image_urls": [f"{origin}/2.png"]}
        )
        assert listener.deliver(forged) == 200
        record = listener.read()
    assert record["state"] == "saved"
    assert inspect_image(Path("a-boat-1.png").read_bytes()).extension == "png"
    assert recipient.deliveries == []


def test_the_task_of_another_client_is_saved_and_an_unknown_task_is_dropped(
    service: Service, listen: Callable[..., Listener], entries: Callable[[], list[Entry]]
) -> None:
    listener = listen()
    made = httpx.post(f"{service.origin}/api/v1/task", json=TASK, headers={"X-API-Key": KEY}, trust_env=False)
    task = made.json()["data"]["task_id"]

    assert listener.deliver(make_webhook("of-a-stranger")) == 200
    error = listener.read()
    assert listener.deliver(make_webhook(task)) == 200
    record = listener.read()

    assert (error["type"], error["error"]["code"]) == ("error", "no_such_task")
    assert record["files"] == [str(Path(f"{task}.png").absolute())]
    assert [entry.task_id for entry in entries()] == [task]


def test_a_webhook_is_processed_after_an_outage(service: Service, listen: Callable[..., Listener]) -> None:
    listener = listen()
    made = httpx.post(f"{service.origin}/api/v1/task", json=TASK, headers={"X-API-Key": KEY}, trust_env=False)
    task = made.json()["data"]["task_id"]
    service.reply_with("GET", "/api/v1/task/", *[(502, {}, b"<html>")] * 2)
    assert listener.deliver(make_webhook(task)) == 200
    assert listener.read()["state"] == "saved"

    service.reply_with("GET", "/api/v1/task/", *[(502, {}, b"<html>")] * 3)
    assert listener.deliver(make_webhook("unheard-of")) == 200
    assert listener.read()["error"]["code"] == "network"
    assert listener.logs("task unheard-of is recorded; download its images later with: flux resume")


def test_forged_webhooks_do_not_delay_a_genuine_one(
    flux: Flux, proxy: BreakingProxy, listen: Callable[..., Listener]
) -> None:
    """The responses to seven polls are held back."""
    listener, task = listen(), submit_task(flux)
    proxy.breakers.append(Breaker(b"GET /api/v1/task/forged", times=7, hold=True))
    for task_id in (*(f"forged-{number}" for number in range(7)), task):
        assert listener.deliver(make_webhook(task_id)) == 200
    record = listener.read()
    assert (record["state"], record["task_id"]) == ("saved", task)
    assert listener.stop() == 0
    assert listener.logs("7 webhooks recorded but not processed; download the images with: flux resume")


def test_resume_polls_recorded_webhooks_in_parallel(
    flux: Flux, proxy: BreakingProxy, listen: Callable[..., Listener], entries: Callable[[], list[Entry]]
) -> None:
    listener = listen()
    proxy.breakers.append(Breaker(b"GET /api/v1/task/forged", times=8, hold=True))
    for number in range(8):
        assert listener.deliver(make_webhook(f"forged-{number}")) == 200
    assert listener.stop() == 0
    assert len(entries()) == 8

    proxy.breakers[:] = [Breaker(b"GET /api/v1/task/forged", times=8, delay=1.0)]
    started = time.monotonic()
    assert flux("resume").err.count("PiAPI has no task forged-") == 8
    assert time.monotonic() - started < 8.0
    assert entries() == []


JUNK = {
    "an empty body": (b"", 400),
    "not JSON": (b"task_id=x", 400),
    "not UTF-8": (b"\xff\xfe\x00", 400),
    "not an object": (b"[]", 400),
    "without a task": (b'{"data": {}}', 400),
    "a path as the ID": (b'{"data": {"task_id": "../../etc/passwd"}}', 400),
    "a command as the ID": (b'{"data": {"task_id": "x; rm"}}', 400),
    "a number as the ID": (b'{"data": {"task_id": 7}}', 400),
    "deep nesting": (b"[" * 200_000, 400),
    "too large": (b" " * (2**20 + 1), 413),
}


def test_invalid_requests_are_refused(flux: Flux, service: Service, listen: Callable[..., Listener]) -> None:
    listener = listen()
    assert {name: listener.deliver(body) for name, (body, _) in JUNK.items()} == {
        name: status for name, (_, status) in JUNK.items()
    }
    assert httpx.get(listener.url, trust_env=False).status_code == 405
    port = int(listener.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")
        assert raw.recv(64).startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", port)) as gone:
        gone.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert service.requests == []

    assert listener.deliver(make_webhook(submit_task(flux))) == 200
    assert listener.read()["state"] == "saved"
    assert "refused: 413 too large" in listener.log


RECORD = """
import json, os, sys
about = {name: os.environ[name] for name in ("FLUX_TASK_ID", "FLUX_PROMPT")}
open("ran.txt", "a").write(json.dumps([sys.argv[1:], about]))
print("printed by the command")
sys.exit(3)
"""


def test_a_command_receives_hostile_names_unchanged_and_without_a_shell(
    flux: Flux, listen: Callable[..., Listener]
) -> None:
    Path("record.py").write_text(RECORD)
    directory = "-x; touch pwned $(touch pwned) `touch pwned` 'q' & *"
    command = f"{sys.executable} record.py 'two words' $HOME"
    listener = listen(f"--exec {shlex.quote(command)} -d {shlex.quote(f'./{directory}')}")
    prompt = "a boat; touch pwned $(touch pwned) \u202eowned | 'x'"
    task = flux("gen --from - --seed 1 --size 256x256 --no-wait -q", stdin=prompt).out.strip()

    assert listener.deliver(make_webhook(task)) == 200
    image = listener.read()["files"][0]
    assert listener.logs("exited with code 3 for ")

    arguments, environ = json.loads(Path("ran.txt").read_text())
    assert arguments == ["two words", "$HOME", image]
    assert Path(image).parent == Path(directory).absolute()
    assert (environ["FLUX_TASK_ID"], environ["FLUX_PROMPT"]) == (task, prompt)
    assert not list(Path().rglob("pwned"))
    assert listener.logs("printed by the command")
    assert "\u202e" not in listener.log


@dataclass
class Recipient:
    """The target of `--forward`. statuses: of its responses, in order; then 200."""

    statuses: list[int] = field(default_factory=list)
    deliveries: list[tuple[bytes, dict[bytes, bytes]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request of ASGI."""
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        self.deliveries.append((body + message["body"], dict(scope["headers"])))
        status = self.statuses.pop(0) if self.statuses else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"location", b"/elsewhere")]})
        await send({"type": "http.response.body"})


def test_webhooks_are_forwarded_unchanged(flux: Flux, listen: Callable[..., Listener]) -> None:
    recipient = Recipient([500, 307])
    with serve_app(recipient) as origin:
        listener, tasks = (
            listen(f"--forward {origin}/done?token=t0ken"),
            [submit_task(flux), submit_task(flux, "a cat")],
        )
        body = b' {"data":  {"task_id": "%s", "odd": "\xc3\xa4"}}\n' % tasks[0].encode()
        assert listener.deliver(b'{"data": {"task_id": "of-a-stranger"}}') == 200
        assert listener.read()["type"] == "error"
        assert listener.deliver(body) == 200
        assert listener.read()["state"] == "saved"
        assert wait_for(lambda: len(recipient.deliveries) == 3)
        recipient.statuses += [500, 500, 503]
        assert listener.deliver(make_webhook(tasks[1])) == 200
        assert listener.read()["state"] == "saved"
        assert listener.logs(f"cannot forward the webhook of task {tasks[1]} to {origin}/done: HTTP 503 (3 tries)")
    assert [content for content, _ in recipient.deliveries[:3]] == [body] * 3
    assert all(json.loads(content)["data"]["task_id"] == tasks[1] for content, _ in recipient.deliveries[3:])
    assert not any(b"x-webhook-secret" in headers or b"x-api-key" in headers for _, headers in recipient.deliveries)
    assert "t0ken" not in listener.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_listener_cleanly(listen: Callable[..., Listener], number: int) -> None:
    listener = listen()
    assert listener.stop(number) == 0
    assert "interrupted" not in listener.log


def test_a_signal_leaves_unsaved_images_to_resume(
    flux: Flux, service: Service, listen: Callable[..., Listener]
) -> None:
    task, listener = submit_task(flux), listen()
    service.reply_with("GET", "/images/", *[(502, {}, b"")] * 1000)
    assert listener.deliver(make_webhook(task)) == 200
    assert listener.logs("trying again")
    assert listener.stop(signal.SIGINT) == -signal.SIGINT
    assert f"task {task} is completed, not yet saved. Charged ($0.015" in listener.log

    service.scripted.clear()
    assert flux("resume -q").out == "a-boat-1.png\n"


def create_foreign_tasks(service: Service, count: int, prompt: str = "a cat") -> list[str]:
    """Create tasks as another client of the account, and return their IDs."""
    created = []
    for seed in range(1, count + 1):
        body: JsonObject = {**TASK, "input": {**TASK["input"], "prompt": prompt, "seed": seed}}  # type: ignore[dict-item]
        made = httpx.post(f"{service.origin}/api/v1/task", json=body, headers={"X-API-Key": KEY}, trust_env=False)
        created.append(str(made.json()["data"]["task_id"]))
    return created


def fetch_full_webhook(service: Service, task_id: str) -> JsonObject:
    """Return a webhook as PiAPI sends it, with the complete task."""
    task = httpx.get(f"{service.origin}/api/v1/task/{task_id}", headers={"X-API-Key": KEY}, trust_env=False).json()
    return {"timestamp": 1, "data": task["data"]}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_an_accepted_webhook_is_recorded_whatever_happens_next(
    flux: Flux, service: Service, listen: Callable[..., Listener], end: int | None
) -> None:
    """PiAPI cannot be reached; the listener dies, is stopped, or gives up after three polls."""
    tasks, listener = create_foreign_tasks(service, 5), listen()
    service.reply_with("GET", "/api/v1/task/", *[(502, {}, b"<html>")] * 1000)
    assert [listener.deliver(make_webhook(task)) for task in tasks] == [200] * 5
    if end is None:
        assert all(
            listener.logs(f"task {task} is recorded; download its images later with: flux resume") for task in tasks
        )
    else:
        assert [listener.deliver(make_webhook(task)) for task in tasks] == [200] * 5, "repeated webhooks are accepted"
        assert listener.stop(end) in (0, -end, 128 + end)
    assert all(task in flux("history").out for task in tasks)

    service.scripted.clear()
    done = flux("resume -q")
    assert (done.code, sorted(done.out.split())) == (0, sorted(f"{task}.png" for task in tasks))
    if end is None:
        assert listener.stop() == 0


def test_a_webhook_that_cannot_be_recorded_is_refused(service: Service, listen: Callable[..., Listener], home: Path) -> None:  # fmt: skip
    [task], listener = create_foreign_tasks(service, 1), listen()
    with closing(sqlite3.connect(home / "journal.db")) as db:
        db.execute("ALTER TABLE entries RENAME TO hidden")
        assert listener.deliver(make_webhook(task)) == 503
        db.execute("ALTER TABLE hidden RENAME TO entries")
    assert listener.deliver(make_webhook(task)) == 200
    assert listener.read()["state"] == "saved"


@pytest.mark.parametrize("complete", [True, False])
def test_a_webhook_before_the_response_to_the_submission_joins_its_entry(
    flux: Flux, service: Service, proxy: BreakingProxy, listen: Callable[..., Listener], start: Start,
    entries: Callable[[], list[Entry]], complete: bool,
) -> None:  # fmt: skip
    """The webhook arrives before the response with the task's ID: `gen` saves the image under the requested name."""
    listener = listen()
    proxy.breakers.append(Breaker(b"POST /api/v1/task", delay=1.0))
    gen = start("gen 'a boat' --seed 1 --size 256x256 -o boat.png -q")
    assert wait_for(lambda: bool(service.charges))
    task = service.charges[0].id
    assert entries()[0].state is State.SENDING
    assert listener.deliver(fetch_full_webhook(service, task) if complete else make_webhook(task)) == 200
    out, _ = gen.communicate(timeout=30)

    assert (gen.returncode, out) == (0, "boat.png\n")
    assert wait_for(lambda: [(entry.task_id, entry.state) for entry in entries()] == [(task, State.SAVED)])
    assert listener.stop() == 0
    assert [path.name for path in Path().glob("*.png")] == ["boat.png"]


@pytest.mark.parametrize("complete", [True, False])
def test_resume_links_a_webhook_to_a_submission_of_a_dead_process(
    flux: Flux, service: Service, proxy: BreakingProxy, listen: Callable[..., Listener], start: Start,
    entries: Callable[[], list[Entry]], complete: bool,
) -> None:  # fmt: skip
    listener = listen()
    proxy.breakers.append(Breaker(b"POST /api/v1/task", hold=True))
    gen = start("gen 'a boat' --seed 1 --size 256x256 -o boat.png -q")
    assert wait_for(lambda: bool(service.charges))
    task = service.charges[0].id
    content = fetch_full_webhook(service, task) if complete else make_webhook(task)
    assert listener.deliver(content) == 200
    for process in (listener.process, gen):
        process.kill()
        process.wait(20)
    gen.communicate()

    done = flux("resume -q")
    assert (done.code, done.out) == (0, "boat.png\n")
    assert [(entry.task_id, entry.state) for entry in entries()] == [(task, State.SAVED)]
    assert service.count_posts() == 1


def test_a_webhook_resolves_a_submission_of_unknown_outcome(
    flux: Flux,
    service: Service,
    proxy: BreakingProxy,
    listen: Callable[..., Listener],
    entries: Callable[[], list[Entry]],
) -> None:
    proxy.breakers.append(Breaker(b"POST /api/v1/task"))
    assert flux("gen 'a boat' --seed 1 --size 256x256 -o boat.png").code == 7
    other, listener = create_foreign_tasks(service, 1, "a boat, and another one")[0], listen()
    for task in (other, service.charges[0].id):
        assert listener.deliver(make_webhook(task)) == 200
        assert listener.read()["files"] == [str(Path(f"{other}.png" if task == other else "boat.png").absolute())]
    assert sorted(entry.state for entry in entries()) == [State.SAVED, State.SAVED]


def test_the_secret_is_sent_only_for_the_webhook_of_the_command_line(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", SECRET)
    own, other = "https://example.com/own", "https://example.com/other"
    rows = [{"prompt": "a"}, {"prompt": "b", "webhook": other}, {"prompt": "c", "webhook": own}]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert flux(f"batch rows.jsonl --webhook {own} -q").code == 0
    assert flux(f"gen d --set config.webhook_config.endpoint={other} --webhook {own} -q").code == 0
    sent = {str(task.body["input"]["prompt"]): task.body["config"]["webhook_config"] for task in service.charges}  # type: ignore[index, call-overload]
    with_secret = {"endpoint": own, "secret": "[secret]"}  # as the sandbox stores it
    assert sent == {"a": with_secret, "b": {"endpoint": other}, "c": with_secret, "d": {"endpoint": other}}


HANG = """
import fcntl, time
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("started", flush=True)
time.sleep(600)
"""


def try_lock(file: TextIO) -> bool:
    """Return whether a file can be locked: the kernel releases a lock when its owner dies."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def test_a_second_signal_ends_a_command_that_hangs(flux: Flux, listen: Callable[..., Listener]) -> None:
    Path("hang.py").write_text(HANG)
    listener = listen(f'--exec "{sys.executable} hang.py"')
    assert listener.deliver(make_webhook(submit_task(flux))) == 200
    assert listener.logs("started")
    listener.process.send_signal(signal.SIGINT)
    assert listener.logs("press Ctrl-C again to stop them")
    assert listener.stop(signal.SIGINT) == 0
    with Path("lock").open() as lock:
        assert wait_for(lambda: try_lock(lock)), "the command outlived the listener"


def test_count_ends_the_listener_after_its_commands(flux: Flux, listen: Callable[..., Listener]) -> None:
    Path("slow.py").write_text("import time; time.sleep(0.3); print('it ended')")
    listener = listen(f'--count 2 --exec "{sys.executable} slow.py"')
    for words in ("a boat", "a cat"):
        assert listener.deliver(make_webhook(submit_task(flux, words))) == 200
        assert listener.read()["state"] == "saved"
    assert listener.process.wait(20) == 0
    assert listener.log.count("it ended") == 2, "the listener did not wait for its commands"


def test_a_missing_secret_and_a_public_address_cause_warnings(
    flux: Flux, listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLUX_WEBHOOK_SECRET")
    listener = listen("--host 0.0.0.0")
    assert listener.logs("flux: warning: no webhook secret: ")
    assert listener.logs("flux: warning: 0.0.0.0 can be reached from other machines without TLS")
    assert listener.deliver(make_webhook(submit_task(flux)), "") == 200
    assert listener.read()["state"] == "saved"

    Path("secret").write_text(f"{SECRET}\n")
    secured = listen("--webhook-secret-file secret")
    assert (secured.deliver(b"{}"), secured.deliver(b"{}", "")) == (400, 401)
    assert "warning" not in secured.log


@pytest.mark.parametrize(("options", "words"), [
    ("--exec no-such-program", "--exec: program 'no-such-program' not found"),
    ("--exec \"sh 'x\"", "--exec: no closing quotation"),
    ("--exec ' '", "--exec: no command"),
    ("--forward http://example.com/", "invalid --forward: expected an https URL"),
    ("-o fox.png", "-o fox.png names one file, but listen saves many images"),
    ("--host 203.0.113.7", "cannot listen on 203.0.113.7:8518: "),
    ("--webhook-secret-file nowhere", "cannot read the webhook secret from nowhere: "),
    ("--webhook-secret-file binary", "cannot read the webhook secret: binary is not a text file"),
    ("--webhook-secret-file empty", "the webhook secret in empty is empty"),
    ("--webhook-secret-file blank", "the webhook secret in blank is empty"),
    ("--webhook-secret-file two-lines", "the webhook secret in two-lines is not one line of printable ASCII"),
    ("--sandbox", "--sandbox does not send webhooks"),
])  # fmt: skip
def test_invalid_options_are_reported_at_the_start(flux: Flux, service: Service, options: str, words: str) -> None:
    for name, content in (("empty", ""), ("blank", "\ufeff \r\n"), ("two-lines", "one\ntwo\n")):
        Path(name).write_text(content)
    Path("binary").write_bytes(b"\x89PNG")
    result = flux(f"listen {options}")
    assert result.code == 2
    assert result.err.startswith(f"flux: {words}")


def test_an_empty_secret_is_reported_before_anything_is_sent(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    Path("empty").write_text("\n")
    line = 'gen "a boat" --webhook https://example.com/hook'
    assert "the webhook secret in empty is empty" in flux(f"{line} --webhook-secret-file empty").err
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", "  ")
    assert flux(line).code == 2
    assert service.count_posts() == 0


@pytest.mark.parametrize(("text", "platform", "words"), [
    (r"C:\tools\x.exe", "win32", (r"C:\tools\x.exe",)),
    (r'"C:\Program Files\x.exe" -a "two words" \\server\share', "win32", (r"C:\Program Files\x.exe", "-a", "two words", r"\\server\share")),
    ("convert -comment it's", "win32", ("convert", "-comment", "it's")),
    (r"convert 'two words' one\ word", "linux", ("convert", "two words", "one word")),
    ("convert # $HOME *", "linux", ("convert", "#", "$HOME", "*")),
])  # fmt: skip
def test_a_command_is_split_by_the_rules_of_its_system(text: str, platform: str, words: tuple[str, ...]) -> None:
    assert split_command(text, platform) == words


def test_a_connection_with_an_incomplete_head_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending it slowly does not keep the connection open."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def run() -> None:
        stop = Stop()
        with closing(open_listening_socket("127.0.0.1", 0, command="flux listen")) as at:
            serving = asyncio.create_task(server.serve(app, at, stop, print))
            reader, writer = await asyncio.open_connection(*at.getsockname())
            with closing(writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await reader.readuntil(b"\r\n\r\n")
                for byte in itertools.repeat(b"x"):
                    writer.write(byte)
                    with suppress(TimeoutError):
                        assert await asyncio.wait_for(reader.read(), 0.05) == b""
                        break
            stop.request()
            await serving

    asyncio.run(asyncio.wait_for(run(), 20))
