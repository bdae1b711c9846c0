"""The promises, tested with a server and a network that fail. Charges are counted on the server's side."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.images.metadata import sandbox_mark
from flux_cli.images.png import with_texts
from flux_cli.journal.entries import Entry, State

from .conftest import KEY, Flux, Result
from .servers import Breaker, BreakingProxy, Reply, Service, run_sandbox

Entries = Callable[[], list[Entry]]
Start = Callable[..., subprocess.Popen[str]]
POST = ("POST", "/api/v1/task")
POLL = ("GET", "/api/v1/task/")
IMAGE = ("GET", "/images/")
GEN = 'gen "a boat" --seed 1 --size 256x256'


def make_refusal(status: int, code: int, message: str = "no", **headers: str) -> Reply:
    """Return a refusal in the format of the specification."""
    body = {"code": status, "data": {"error": {"code": code, "message": message, "detail": ""}}, "message": "failed"}
    return status, {"content-type": "application/json", **headers}, json.dumps(body).encode()


# --- the outcome of a POST --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response_bytes", [0, 1, 20, 150, 190])
def test_a_submission_with_an_unknown_outcome_is_never_sent_again(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, response_bytes: int
) -> None:
    proxy.breakers.append(Breaker(b"POST", times=9, response_bytes=response_bytes))
    result = flux(GEN)

    assert result.code == 7
    (entry,) = entries()
    assert entry.state is State.UNKNOWN
    assert result.out == ""
    assert 'flux: no usable response to the request for "a boat" (' in result.err
    assert "It may have been charged ($0.015 simulated); flux does not resend it.\n" in result.err
    assert result.err.endswith(f"Next: flux resolve {entry.id}\n")
    for command in ("resume", f"wait {entry.id}"):
        repeated = flux(command)
        assert repeated.code == 7
        assert entry.id in repeated.err
    assert len(service.charges) == service.count_posts() == 1
    assert "1 task with an unknown outcome, up to $0.015 (simulated) possibly charged" in flux("history").err


@pytest.mark.parametrize(
    "reply",
    [
        (500, {}, b""),
        (502, {}, b"<html>Bad gateway</html>"),
        (503, {}, b"unavailable"),
        (302, {"location": "/elsewhere"}, b""),
        (408, {}, b""),
        (408, {}, b'{"code": 408, "message": "Request Timeout"}'),
        (200, {}, b""),
        (200, {}, b'{"code": 200, "data": {}, "message": "success"}'),
        (200, {}, b'{"code": 200, "data": {"task_id": "../../x"}, "message": "success"}'),
        (200, {}, b"<html>welcome</html>"),
    ],
)
def test_a_response_without_proof_leaves_the_outcome_unknown(
    flux: Flux, service: Service, entries: Entries, reply: Reply
) -> None:
    service.reply_with(*POST, reply)
    result = flux(GEN)

    assert (result.code, result.out) == (7, "")
    assert service.count_posts() == 1
    assert [entry.state for entry in entries()] == [State.UNKNOWN]


@pytest.mark.parametrize(
    "reply",
    [
        make_refusal(429, 1400, **{"retry-after": "0"}),
        make_refusal(400, 1400, **{"retry-after": "0"}),
        make_refusal(503, 1500, **{"retry-after": "0"}),
        (425, {}, b""),
        (521, {}, b""),
        (500, {}, b'{"code": 500, "message": "too many requests"}'),
    ],
)
def test_a_temporary_refusal_is_retried(flux: Flux, service: Service, reply: Reply) -> None:
    service.reply_with(*POST, reply, reply)
    result = flux(GEN + " -q")

    assert (result.code, result.out) == (0, "a-boat-1.png\n")
    assert service.count_posts() == 3
    assert len(service.charges) == 1


@pytest.mark.parametrize("reply", [make_refusal(500, 1500), (421, {}, b"")])
def test_a_submission_is_retried_twice_at_most(flux: Flux, service: Service, entries: Entries, reply: Reply) -> None:
    service.reply_with(*POST, *[reply] * 9)
    result = flux(GEN)

    assert result.code == 13
    assert result.err.splitlines()[-2].endswith(". Not charged.")
    assert service.count_posts() == 3
    assert [entry.state for entry in entries()] == [State.PLANNED]


@pytest.mark.parametrize(
    ("reply", "code", "message"),
    [
        (make_refusal(400, 1100, "Invalid prompt length"), 5, "PiAPI refused the request: Invalid prompt length (code 1100)"),
        (make_refusal(200, 1700, "Invalid image dimensions"), 5, "PiAPI refused the request: Invalid image dimensions (code 1700)"),
        ((404, {}, b"no such page"), 5, "PiAPI refused the request: HTTP 404: no such page"),
        ((307, {"location": "/elsewhere"}, b""), 5, "PiAPI refused the request: HTTP 307"),
        (make_refusal(401, 1200, "Authentication failed"), 4, "PiAPI refused the key: Authentication failed (code 1200)"),
        ((500, {}, b'{"code": 500, "message": "failed to freeze point"}'), 6, "out of credits: failed to freeze point"),
        (make_refusal(403, 403, "Insufficient plan level"), 5, "your PiAPI plan does not include this request: Insufficient plan level"),
        (make_refusal(403, 403, "see the explanation"), 5, "PiAPI refused the request: see the explanation"),
        (make_refusal(402, 1300, "Insufficient credits"), 6, "Insufficient credits (code 1300)"),
    ],
)  # fmt: skip
def test_a_final_refusal_is_not_retried(
    flux: Flux, service: Service, entries: Entries, reply: Reply, code: int, message: str
) -> None:
    service.reply_with(*POST, reply)
    result = flux(GEN)

    assert result.code == code
    assert f"flux: {message}. Not charged." in result.err.splitlines()
    assert service.count_posts() == 1
    assert service.charges == []
    assert [entry.state for entry in entries()] == [State.REJECTED]


def test_a_plan_that_is_too_low_is_reported(
    flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    with run_sandbox(tmp_path / "free.db", plan="free") as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        result = flux('lora "a boat" --lora anime --json')
        error = json.loads(result.out.splitlines()[-1])["error"]
        assert (result.code, error["code"], "Upgrade it" in error["hint"]) == (5, "plan", True)
        assert (
            error["message"] == "your PiAPI plan does not include this request: Insufficient plan level. Not charged."
        )
        assert [entry.state for entry in entries()] == [State.REJECTED]
        assert service.count_posts() == 1


def test_an_unreachable_server_is_reported(flux: Flux, monkeypatch: pytest.MonkeyPatch, entries: Entries) -> None:
    monkeypatch.setenv("FLUX_BASE_URL", "http://127.0.0.1:1/api/v1")
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    result = flux(GEN)

    assert result.code == 13
    assert "flux: the task could not be submitted: connection refused. Not charged." in result.err
    assert result.err.count("trying again") == 3
    assert [entry.state for entry in entries()] == [State.PLANNED]


# --- waiting and downloading -----------------------------------------------------------------------------------------


def test_polls_survive_temporary_errors(flux: Flux, service: Service) -> None:
    errors: list[Reply] = [
        (500, {}, b""),
        (502, {}, b"<html>"),
        (429, {"retry-after": "0"}, b""),
        (200, {}, b"{"),
        (404, {}, b""),
    ]
    service.reply_with(*POLL, *errors)
    result = flux(GEN)

    assert (result.code, result.out) == (0, "a-boat-1.png\n")
    assert result.err.count("trying again") == 1


def test_an_interrupted_poll_costs_nothing(flux: Flux, service: Service, proxy: BreakingProxy) -> None:
    proxy.breakers += [Breaker(b"GET /api", times=3, response_bytes=30)]

    assert flux(GEN).code == 0
    assert len(service.charges) == 1


def make_task_reply(service: Service, **changes: object) -> Reply:
    """Return the reply to a poll of the task that was just charged."""
    data = {"task_id": service.charges[0].id, "status": "completed", **changes}
    return 200, {}, json.dumps({"code": 200, "data": data}).encode()


def wait_for_images(service: Service) -> None:
    """Wait until the images of all tasks exist."""
    while time.time() < max(charge.ended for charge in service.charges):
        time.sleep(0.005)


def test_a_failed_task_is_reported(flux: Flux, service: Service, entries: Entries) -> None:
    flux(GEN + " --no-wait")
    error = {"code": 1800, "raw_message": "", "message": "LoRA\x1b[31m load failed"}
    service.reply_with(*POLL, make_task_reply(service, status="Failed", error=error))
    task = service.charges[0].id
    result = flux(f"wait {task}")

    assert (result.code, result.out) == (8, "")
    assert f"flux: task {task} failed: LoRA\\x1b[31m load failed (code 1800)" in result.err
    repeated = flux(f"wait {task}")
    assert (repeated.code, repeated.err.splitlines()[0]) == (
        8,
        f"flux: task {task} failed: LoRA\\x1b[31m load failed (code 1800). "
        f"It may have been charged ($0.015 simulated); see {service.origin}.",
    )


def test_a_timeout_ends_the_wait_and_the_task_can_be_resumed(flux: Flux, service: Service, entries: Entries) -> None:
    result = flux(GEN + " --timeout 0")

    task = service.charges[0].id
    assert (result.code, result.out) == (9, "")
    assert result.err.endswith(f". Charged ($0.015 simulated).\n      Next: flux wait {task}\n")
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 1


def test_a_completed_task_without_an_image_is_polled_again(flux: Flux, service: Service) -> None:
    flux(GEN + " --no-wait")
    service.reply_with(*POLL, *[make_task_reply(service, output={"image_url": ""})] * 3)
    assert flux("resume -q").out == "a-boat-1.png\n"


def test_a_completed_task_that_stays_without_an_image_is_reported(
    flux: Flux, service: Service, entries: Entries
) -> None:
    flux(GEN + " --no-wait")
    service.reply_with(*POLL, *[make_task_reply(service, output=None)] * 4)
    result = flux("resume")

    assert result.code == 10
    assert "is completed, but the response contains no image. Charged ($0.015 simulated)." in result.err
    assert flux("resume -q").out == "a-boat-1.png\n"


def test_a_mistyped_id_is_not_recorded(flux: Flux, service: Service, entries: Entries) -> None:
    result = flux("wait 1631d053-2352-4add-95cc-360fc52d5f89")

    assert (result.code, result.out) == (5, "")
    assert "PiAPI has no task 1631d053-2352-4add-95cc-360fc52d5f89 (task not found)" in result.err
    assert entries() == []


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"content-type": "image/png"}, b"<html>expired</html>"),
        (200, {}, b""),
        (200, {"content-length": "4"}, b"\x89PNG"),
        (200, {"content-encoding": "gzip"}, b"\x1f\x8b" + b"\0" * 40),
        (500, {}, b""),
        (503, {}, b""),
    ],
)
def test_a_broken_image_is_never_saved(flux: Flux, service: Service, reply: Reply) -> None:
    service.reply_with(*IMAGE, *[reply] * 99)
    result = flux(GEN)

    assert (result.code, result.out) == (10, "")
    assert "Charged ($0.015 simulated)." in result.err
    assert list(Path().iterdir()) == []
    service.scripted.clear()
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 1


def test_five_redirects_are_followed(flux: Flux, service: Service) -> None:
    def redirect(number: int) -> Reply:
        return 302, {"location": f"/images/hop{number}"}, b""

    flux(GEN + " --no-wait")
    image_path = f"/images/{service.charges[0].id}/1.png"
    service.reply_with(*IMAGE, *[redirect(number) for number in range(4)], (302, {"location": image_path}, b""))
    assert flux("resume -q").out == "a-boat-1.png\n"

    flux(GEN + " --no-wait")
    service.reply_with(*IMAGE, *[redirect(number) for number in range(6)] * 2)
    result = flux("resume")
    assert (result.code, "more than 5 redirects" in result.err) == (10, True)


@pytest.mark.parametrize("extension", ["jpg", "webp"])
def test_an_image_gets_the_extension_of_its_format(flux: Flux, service: Service, extension: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(content, {"jpg": "JPEG", "webp": "WEBP"}[extension])
    service.reply_with(*IMAGE, (200, {}, content.getvalue()))
    result = flux(GEN + " -o fox.png")

    assert (result.code, result.out) == (0, f"fox.{extension}\n")
    assert Path(f"fox.{extension}").read_bytes() == content.getvalue()


def test_fewer_images_than_requested_are_saved_and_reported(flux: Flux, service: Service) -> None:
    flux('gen "a boat" -m schnell -b 3 --seed 1 --size 256x256 --no-wait')
    url = f"{service.origin}/images/{service.charges[0].id}/1.png"
    wait_for_images(service)
    service.reply_with(*POLL, *[make_task_reply(service, output={"image_url": url})] * 9)
    result = flux("resume")

    assert (result.code, result.out) == (3, "a-boat-1-1.png\n")
    assert "returned 1 of 3 requested images. Charged ($0.006 simulated)." in result.err


def test_more_images_than_requested_are_all_saved(flux: Flux, service: Service) -> None:
    flux(GEN + " --no-wait")
    flux('gen "two" -m schnell -b 2 --seed 1 --size 256x256 --no-wait')
    urls = [f"{service.origin}/images/{service.charges[1].id}/{number}.png" for number in (1, 2)]
    wait_for_images(service)
    service.reply_with(
        "GET", f"/api/v1/task/{service.charges[0].id}", make_task_reply(service, output={"image_urls": urls})
    )
    result = flux(f"wait {service.charges[0].id}")

    assert result.out.split() == ["a-boat-1.png", "a-boat-1-2.png"]


def test_an_image_inside_the_response_is_saved(flux: Flux, service: Service) -> None:
    import base64

    content = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(content, "PNG")
    flux(GEN + " --no-wait --no-metadata")
    inline = base64.b64encode(content.getvalue()).decode()
    service.reply_with(*POLL, make_task_reply(service, output={"image_url": "", "image_base64": inline}))

    assert flux("resume -q").out == "a-boat-1.png\n"
    assert Path("a-boat-1.png").read_bytes() == with_texts(content.getvalue(), sandbox_mark())


# --- crashes and signals ---------------------------------------------------------------------------------------------


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true, and fail after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.005)


def finish(process: "subprocess.Popen[str]") -> Result:
    """Wait for a process, and return its result."""
    out, err = process.communicate(timeout=20)
    assert KEY not in out + err
    return Result(process.returncode, out, err)


def test_a_process_killed_before_the_response_leaves_the_outcome_unknown(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    proxy.breakers.append(Breaker(b"POST", hold=True))
    process = start(GEN)
    wait_until(lambda: len(service.charges) == 1)
    process.kill()
    finish(process)

    assert [entry.state for entry in entries()] == [State.SENDING]
    result = flux("resume")
    assert (result.code, result.out) == (7, "")
    assert [entry.state for entry in entries()] == [State.UNKNOWN]
    assert len(service.charges) == service.count_posts() == 1


def test_a_run_that_was_killed_while_waiting_is_finished_by_resume(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    service.reply_with(*POLL, *[(503, {}, b"")] * 1000)
    process = start(GEN)
    wait_until(lambda: any(entry.state is State.ACCEPTED for entry in entries()))
    busy = flux(f"wait {service.charges[0].id}")
    assert (busy.code, "another flux process is waiting" in busy.err) == (12, True)
    process.kill()
    finish(process)
    service.scripted.clear()

    assert flux("resume -q").out == "a-boat-1.png\n"
    assert flux("resume").code == 0
    assert len(service.charges) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_reports_the_task(
    flux: Flux, service: Service, entries: Entries, start: Start, number: int
) -> None:
    service.reply_with(*POLL, *[(503, {}, b"")] * 1000)
    process = start(GEN)
    wait_until(lambda: any(entry.state is State.ACCEPTED for entry in entries()))
    started = time.monotonic()
    process.send_signal(number)
    result = finish(process)

    assert result.code == -number
    assert time.monotonic() - started < 2
    task = service.charges[0].id
    assert (
        f"flux: interrupted; task {task} is still running. Charged ($0.015 simulated).\n      Next: flux wait {task}\n"
        in result.err
    )
    assert "Traceback" not in result.err


def test_a_signal_waits_for_the_response_to_a_post(
    service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    proxy.breakers.append(Breaker(b"POST", delay=0.5))
    process = start(GEN)
    wait_until(lambda: len(service.charges) == 1)
    process.send_signal(signal.SIGINT)
    result = finish(process)

    assert result.code == -signal.SIGINT
    assert [(entry.state, entry.task_id) for entry in entries()] == [(State.ACCEPTED, service.charges[0].id)]


def test_a_second_signal_ends_immediately_with_an_unknown_outcome(
    service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    proxy.breakers.append(Breaker(b"POST", hold=True))
    process = start(GEN)
    wait_until(lambda: len(service.charges) == 1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two simultaneous signals would be one
    process.send_signal(signal.SIGINT)
    result = finish(process)

    assert result.code == -signal.SIGINT
    (entry,) = entries()
    assert entry.state is State.UNKNOWN
    assert 'flux: stopped immediately while waiting for the response to the request for "a boat". It may' in result.err
    assert f"Next: flux resolve {entry.id}" in result.err


def test_a_closed_stdout_ends_without_a_traceback(service: Service, start: Start) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(GEN, stdout=writer)
    os.close(writer)
    process.wait(20)
    assert process.stderr is not None
    with process.stderr as stream:
        assert "Traceback" not in stream.read()
    assert process.returncode == 141
    assert Path("a-boat-1.png").exists()


def test_a_task_is_kept_when_the_disk_is_full(flux: Flux, service: Service) -> None:
    large = io.BytesIO()
    Image.effect_noise((800, 800), 80).save(large, "png")  # larger than the journal will be
    service.reply_with(*IMAGE, (200, {}, large.getvalue()))
    line = f"ulimit -f 200; exec {sys.executable} -m flux_cli gen 'a boat' --seed 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stdout) == (11, "")
    assert f"cannot save 1 image of task {service.charges[0].id}: " in done.stderr
    assert list(Path().iterdir()) == []
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 1


def test_a_run_waits_while_the_plan_is_at_its_limit(
    flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox(tmp_path / "free.db", plan="free", speed=15) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        for _ in range(2):
            flux("gen x --size 256x256 --no-wait")
        result = flux(GEN)
        assert (result.code, result.out) == (0, "a-boat-1.png\n")
        assert "Rate limit exceeded: too many requests: your plan's tasks are all running (code 1400)" in result.err
        assert len(service.charges) == 3
