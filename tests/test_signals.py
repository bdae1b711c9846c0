"""Signals at every stage, as users, shells and closing terminals send them. No paid task is lost."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from .crash_harness import Harness, run_harness
from .injection import Injection, Point, hold_request, send_signal, suspend
from .runner import ERR, Runner, start_runner
from .test_promises import POST, make_refusal, wait_until

if sys.platform == "win32":
    pytest.skip("the signals of Unix", allow_module_level=True)

CODES = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGTERM}
"""A run that a signal ended ends by that signal. Only then does a shell loop around it end, too."""
SECONDS = 5.0
"""A process that polls or downloads must end within this time. The promise is two seconds; a busy machine is slower."""
FLUX = f"{sys.executable} -m flux_cli"
Runners = tuple[Runner, Runner]


@pytest.fixture(scope="module")
def runners() -> Iterator[Runners]:
    with start_runner() as first, start_runner() as second:
        yield first, second


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    with run_harness(tmp_path, monkeypatch) as found:
        yield found


def run_until_signal(harness: Harness, runner: Runner, command: list[str], injection: Injection, number: int) -> str:
    """Run a command that receives a signal, and return its stderr. It must end soon, and by the signal."""
    order = harness.start(runner, command, injection)
    assert harness.end(runner, order) == CODES[signal.Signals(number)]
    assert injection.triggered_at, "that moment never came"
    assert time.monotonic() - injection.triggered_at < SECONDS
    return (Path(order.directory) / ERR).read_text()


@pytest.mark.parametrize("number", CODES)
def test_a_signal_is_reported_at_every_stage(
    harness: Harness, runners: Runners, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (256, 256), "red").save(harness.root / "photo.png")
    harness.command = f"edit {harness.root / 'photo.png'}"
    stages: dict[str, tuple[Point, float, bool]] = {
        "uploading": (("upload", "arrived"), 0.0, True),
        "submitting": (("create", "done"), 0.0, False),
        "sleeping": (("create", "answered"), 0.3, False),
        "polling": (("poll", "arrived"), 0.0, True),
        "downloading": (("image", "half"), 0.0, True),
    }
    for stage, (point, after, hold) in stages.items():
        monkeypatch.setenv("FLUX_TIME_SCALE", "1000" if stage == "sleeping" else "0.002")
        injection = Injection(point, send_signal(number, after, hold))
        stderr = run_until_signal(harness, runners[0], harness.make_batch([stage]), injection, number)
        paid = [task for task, prompt in harness.read_charges().items() if prompt == stage]
        injection.released = True
        if stage == "uploading":
            assert (paid, "flux: interrupted. Not charged." in stderr) == ([], True), stderr
        else:
            downloading = stage == "downloading"
            state = "completed, not yet saved" if downloading else "still running"
            assert f"flux: interrupted; task {paid[0]} is {state}. Charged ($0.004 simulated)." in stderr, stderr
            assert ("Next: flux resume" if downloading else f"Next: flux wait {paid[0]}") in stderr
    harness.finish(runners[0])
    assert harness.failures == []


@pytest.mark.parametrize(
    ("when", "message", "paid"),
    [
        ("interrupt_at_startup", "flux: interrupted. Nothing was sent.", 0),
        ("interrupt_before_summary", "flux: interrupted. Charged: $0.008 (simulated).", 2),
    ],
)
def test_a_signal_before_and_after_all_stages_is_reported(
    harness: Harness, runners: Runners, when: str, message: str, paid: int
) -> None:
    """The message about the cost is correct then, too, and there is no traceback."""
    order = harness.start(runners[0], harness.make_batch(["boat", "ship"]), fault=when)
    assert harness.end(runners[0], order) == -signal.SIGINT
    err = (Path(order.directory) / ERR).read_text()
    assert message in err
    assert not {"Traceback", "RuntimeWarning:"} & set(err.split())
    assert len(harness.read_charges()) == paid
    harness.finish(runners[0])
    assert harness.failures == []


@pytest.mark.parametrize("point", [("poll", "arrived"), ("image", "half")])
def test_a_second_signal_right_after_the_first_is_harmless(harness: Harness, runners: Runners, point: Point) -> None:
    """The task is still named, and there is no traceback."""
    for milliseconds in (1, 5, 20, 60):

        async def interrupt_twice(injection: Injection, gap: float = milliseconds / 1000) -> None:
            os.kill(await injection.wait_for_pid(), signal.SIGINT)
            await asyncio.sleep(gap)
            with contextlib.suppress(ProcessLookupError):  # the process ended earlier
                os.kill(injection.pid, signal.SIGINT)
            await hold_request(injection)

        injection = Injection(point, interrupt_twice)
        stderr = run_until_signal(
            harness, runners[0], harness.make_batch([f"boat {milliseconds}"]), injection, signal.SIGINT
        )
        injection.released = True
        assert re.search(r"is (still running|completed, not yet saved)\. Charged \(\$0\.004 simulated\)\.", stderr), (
            stderr
        )
        assert "Traceback" not in stderr
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_signal_ends_the_wait_for_a_busy_server(harness: Harness, runners: Runners) -> None:
    harness.service.reply_with(*POST, make_refusal(429, 1400, **{"retry-after": "60"}))
    injection = Injection(("create", "answered"), send_signal(signal.SIGTERM, 0.2))
    stderr = run_until_signal(harness, runners[0], harness.make_batch(["boat"]), injection, signal.SIGTERM)
    injection.released = True
    assert "flux: interrupted. Not charged." in stderr
    assert harness.read_charges() == {}
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_signal_ends_the_wait_in_the_queue(harness: Harness, runners: Runners) -> None:
    first_runner, second_runner = runners
    injection = Injection(("poll", "arrived"), hold_request)
    first = harness.start(first_runner, [*harness.make_batch(["holder"]), "-j", "1"], injection)
    wait_until(lambda: injection.triggered_at > 0)
    queued = Injection()
    second = harness.start(second_runner, [*harness.make_batch(["waiting"]), "-j", "1"], queued)
    wait_until(lambda: "queued; at most" in (Path(second.directory) / ERR).read_text())
    os.kill(queued.pid, signal.SIGINT)
    assert harness.end(second_runner, second) == -signal.SIGINT
    assert "flux: interrupted. Nothing was sent." in (Path(second.directory) / ERR).read_text()
    injection.released = True
    assert harness.end(first_runner, first) == 0
    harness.finish(first_runner)
    assert harness.failures == []


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, "{flux} >../out 2>&1 & echo $!; wait $!"),
        (signal.SIGHUP, "nohup {flux} >../out 2>&1 & echo $!; wait $!"),
    ],
)
def test_a_signal_that_the_caller_ignores_stays_ignored(
    harness: Harness, runners: Runners, number: int, line: str
) -> None:
    injection = harness.inject(Injection(("poll", "arrived"), send_signal(number, hold=False)))
    command = " ".join([FLUX, *harness.make_batch(["boat"])])
    with subprocess.Popen(["sh", "-c", line.format(flux=command)], stdout=subprocess.PIPE, text=True) as sh:
        assert sh.stdout is not None
        injection.pid = int(sh.stdout.readline())
        assert sh.wait(60) == 0, (harness.root / "out").read_text()
    assert injection.triggered_at
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_background_job_that_ignores_ctrl_c_ends_on_sigterm(harness: Harness, runners: Runners) -> None:
    injection = harness.inject(Injection(("poll", "arrived"), send_signal(signal.SIGTERM)))
    line = f"{' '.join([FLUX, *harness.make_batch(['boat'])])} >../out 2>&1 & echo $!; wait $!"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as sh:
        assert sh.stdout is not None
        injection.pid = int(sh.stdout.readline())
        code = sh.wait(60)
    injection.released = True
    stderr = (harness.root / "out").read_text()
    assert (code, "is still running. Charged ($0.004 simulated)." in stderr) == (143, True), stderr
    harness.finish(runners[0])
    assert harness.failures == []


ON_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal on stdin the controlling terminal: the process receives SIGHUP when it is closed."""


@pytest.mark.parametrize("point", [("create", "done"), ("poll", "arrived"), ("image", "half")])
def test_a_closed_terminal_loses_nothing(
    harness: Harness, runners: Runners, point: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live view, results and notes cannot be written. That loses no task, and no response to a POST."""
    monkeypatch.setenv("TERM", "xterm")
    injection = harness.inject(Injection(point, hold_request))
    keyboard, terminal = os.openpty()
    command = [sys.executable, "-c", ON_ITS_TERMINAL, *FLUX.split(), *harness.make_batch(["boat", "ship"]), "--debug"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    wait_until(lambda: injection.triggered_at > 0)
    os.close(keyboard)
    injection.released = True
    assert process.wait(SECONDS) in (141, -signal.SIGTERM)
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_closed_pipe_loses_nothing(harness: Harness, runners: Runners) -> None:
    line = f"{' '.join([FLUX, *harness.make_batch(['one', 'two', 'three'])])} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_process_that_was_suspended_polls_again(
    tmp_path: Path, runners: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deadline has passed, and the response that it reads is old: the task was still running."""
    with run_harness(tmp_path, monkeypatch, speed=20.0) as harness:
        injection = Injection(("poll", "done"), suspend(1.5))
        assert harness.run(runners[0], [*harness.make_batch(["boat"]), "--timeout", "1"], injection) == 0
        assert injection.triggered_at
        harness.finish(runners[0])
        assert harness.failures == []


def test_the_response_to_a_post_is_read_after_a_suspension(harness: Harness, runners: Runners) -> None:
    """It arrived in time, but could not be read before the time was over."""
    injection = Injection(("create", "done"), suspend(1.5))
    assert harness.run(runners[0], harness.make_batch(["boat"]), injection, fault="shorten_post_timeout") == 0
    harness.finish(runners[0])
    assert harness.failures == []


STARTING = """
import functools, os, signal, sys

at = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
named = functools.cached_property.__set_name__

def interrupted(property, owner, name):
    if at == "class":
        os.kill(os.getpid(), signal.SIGINT)
    named(property, owner, name)

def imported(event, arguments):
    if event == "import" and arguments[0] == at:
        os.kill(os.getpid(), signal.SIGINT)

functools.cached_property.__set_name__ = interrupted
sys.addaudithook(imported)
from flux_cli.__main__ import run
run()
"""


@pytest.mark.parametrize("at", ["flux_cli.cli.fast_path", "flux_cli.cli.main", "typer", "class"])
def test_a_signal_during_imports_ends_without_output(at: str) -> None:
    command = [sys.executable, "-c", STARTING, at, "history"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
