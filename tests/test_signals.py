"""Signals at every stage, as users, shells and closing terminals send them: what is paid for is never lost."""

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
from .test_promises import POST, refusal, wait_until

if sys.platform == "win32":
    pytest.skip("the signals of Unix", allow_module_level=True)

CODES = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGTERM}
"""A run that a signal has ended ends by that signal: only then does a loop of the shell that started it end, too."""
SECONDS = 5.0
"""In which a process must end that polls or downloads. Two are promised; a busy machine is slower."""
FLUX = f"{sys.executable} -m flux_cli"
Runners = tuple[Runner, Runner]


@pytest.fixture(scope="module")
def runners() -> Iterator[Runners]:
    with start_runner() as one, start_runner() as other:
        yield one, other


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    with run_harness(tmp_path, monkeypatch) as found:
        yield found


def said(harness: Harness, runner: Runner, words: list[str], injection: Injection, number: int) -> str:
    """What a run that gets a signal says on stderr; it must end soon, and by the signal."""
    order = harness.start(runner, words, injection)
    assert harness.end(runner, order) == CODES[signal.Signals(number)]
    assert injection.triggered_at, "it never came to that"
    assert time.monotonic() - injection.triggered_at < SECONDS
    return (Path(order.folder) / ERR).read_text()


@pytest.mark.parametrize("number", CODES)
def test_a_signal_at_every_stage(
    harness: Harness, runners: Runners, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (256, 256), "red").save(harness.root / "photo.png")
    harness.command = f"edit {harness.root / 'photo.png'}"
    stages: dict[str, tuple[Point, float, bool]] = {
        "uploading": (("upload", "arrived"), 0.0, True),
        "submitting": (("create", "done"), 0.0, False),
        "sleeping": (("create", "answered"), 0.3, False),
        "looking": (("poll", "arrived"), 0.0, True),
        "downloading": (("image", "half"), 0.0, True),
    }
    for stage, (point, after, hold) in stages.items():
        monkeypatch.setenv("FLUX_TIME_SCALE", "1000" if stage == "sleeping" else "0.002")
        injection = Injection(point, send_signal(number, after, hold))
        words = said(harness, runners[0], harness.make_batch([stage]), injection, number)
        paid = [task for task, prompt in harness.read_charges().items() if prompt == stage]
        injection.released = True
        if stage == "uploading":
            assert (paid, "flux: interrupted. Not charged." in words) == ([], True), words
        else:
            downloading = stage == "downloading"
            state = "completed, not yet saved" if downloading else "still running"
            assert f"flux: interrupted; task {paid[0]} is {state}. Charged ($0.004 simulated)." in words, words
            assert ("Next: flux resume" if downloading else f"Next: flux wait {paid[0]}") in words
    harness.finish(runners[0])
    assert harness.failures == []


@pytest.mark.parametrize(
    ("when", "words", "paid"),
    [
        ("interrupt_at_startup", "flux: interrupted. Nothing was sent.", 0),
        ("interrupt_before_summary", "flux: interrupted. Charged: $0.008 (simulated).", 2),
    ],
)
def test_a_signal_before_and_after_all_stages(
    harness: Harness, runners: Runners, when: str, words: str, paid: int
) -> None:
    """What is said of money is true then, too, and nothing falls apart."""
    order = harness.start(runners[0], harness.make_batch(["boat", "ship"]), fault=when)
    assert harness.end(runners[0], order) == -signal.SIGINT
    err = (Path(order.folder) / ERR).read_text()
    assert words in err
    assert not {"Traceback", "RuntimeWarning:"} & set(err.split())
    assert len(harness.read_charges()) == paid
    harness.finish(runners[0])
    assert harness.failures == []


@pytest.mark.parametrize("point", [("poll", "arrived"), ("image", "half")])
def test_a_second_signal_while_the_first_is_heeded(harness: Harness, runners: Runners, point: Point) -> None:
    """What was in order stays so: the task is named, and nothing falls apart."""
    for milliseconds in (1, 5, 20, 60):

        async def twice(injection: Injection, gap: float = milliseconds / 1000) -> None:
            os.kill(await injection.wait_for_pid(), signal.SIGINT)
            await asyncio.sleep(gap)
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(injection.pid, signal.SIGINT)
            await hold_request(injection)

        injection = Injection(point, twice)
        words = said(harness, runners[0], harness.make_batch([f"boat {milliseconds}"]), injection, signal.SIGINT)
        injection.released = True
        assert re.search(r"is (still running|completed, not yet saved)\. Charged \(\$0\.004 simulated\)\.", words), (
            words
        )
        assert "Traceback" not in words
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_signal_while_a_busy_service_is_waited_for(harness: Harness, runners: Runners) -> None:
    harness.service.reply_with(*POST, refusal(429, 1400, **{"retry-after": "60"}))
    injection = Injection(("create", "answered"), send_signal(signal.SIGTERM, 0.2))
    words = said(harness, runners[0], harness.make_batch(["boat"]), injection, signal.SIGTERM)
    injection.released = True
    assert "flux: interrupted. Not charged." in words
    assert harness.read_charges() == {}
    harness.finish(runners[0])
    assert harness.failures == []


def test_a_signal_while_a_place_is_waited_for(harness: Harness, runners: Runners) -> None:
    one, other = runners
    injection = Injection(("poll", "arrived"), hold_request)
    first = harness.start(one, [*harness.make_batch(["holder"]), "-j", "1"], injection)
    wait_until(lambda: injection.triggered_at > 0)
    waiting = Injection()
    second = harness.start(other, [*harness.make_batch(["waiting"]), "-j", "1"], waiting)
    wait_until(lambda: "queued: the limit on parallel tasks" in (Path(second.folder) / ERR).read_text())
    os.kill(waiting.pid, signal.SIGINT)
    assert harness.end(other, second) == -signal.SIGINT
    assert "flux: interrupted. Nothing was sent." in (Path(second.folder) / ERR).read_text()
    injection.released = True
    assert harness.end(one, first) == 0
    harness.finish(one)
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


def test_a_background_job_that_ignores_ctrl_c_still_ends_when_it_is_told_to(harness: Harness, runners: Runners) -> None:
    injection = harness.inject(Injection(("poll", "arrived"), send_signal(signal.SIGTERM)))
    line = f"{' '.join([FLUX, *harness.make_batch(['boat'])])} >../out 2>&1 & echo $!; wait $!"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as sh:
        assert sh.stdout is not None
        injection.pid = int(sh.stdout.readline())
        code = sh.wait(60)
    injection.released = True
    words = (harness.root / "out").read_text()
    assert (code, "is still running. Charged ($0.004 simulated)." in words) == (143, True), words
    harness.finish(runners[0])
    assert harness.failures == []


ON_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Takes the terminal on stdin as one's own: its owner gets SIGHUP when it is closed."""


@pytest.mark.parametrize("point", [("create", "done"), ("poll", "arrived"), ("image", "half")])
def test_a_terminal_that_is_closed(
    harness: Harness, runners: Runners, point: Point, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live view, results and remarks have nowhere to go: that loses nothing, and no answer to a POST."""
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


def test_a_reader_that_goes_away(harness: Harness, runners: Runners) -> None:
    line = f"{' '.join([FLUX, *harness.make_batch(['one', 'two', 'three'])])} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    harness.finish(runners[0])
    assert harness.failures == []


def test_one_that_was_suspended_looks_once_more(
    tmp_path: Path, runners: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deadline has passed, and the answer that waits for it is an old one: the task still ran."""
    with run_harness(tmp_path, monkeypatch, speed=20.0) as harness:
        injection = Injection(("poll", "done"), suspend(1.5))
        assert harness.run(runners[0], [*harness.make_batch(["boat"]), "--timeout", "1"], injection) == 0
        assert injection.triggered_at
        harness.finish(runners[0])
        assert harness.failures == []


def test_the_answer_to_a_post_is_there_when_one_wakes_up(harness: Harness, runners: Runners) -> None:
    """It came in time, and nobody could read it until its time was over."""
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
def test_a_signal_while_python_imports_ends_it_without_a_word(at: str) -> None:
    command = [sys.executable, "-c", STARTING, at, "history"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
