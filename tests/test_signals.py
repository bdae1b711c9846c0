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

from .crashing import World, world
from .moments import Life, Moment, gets, holds, sleeps
from .test_promises import POST, refusal, wait_until
from .warm import ERR, Warm, warm

if sys.platform == "win32":
    pytest.skip("the signals of Unix", allow_module_level=True)

CODES = {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGTERM}
"""A run that a signal has ended ends by that signal: only then does a loop of the shell that started it end, too."""
SECONDS = 5.0
"""In which a process must end that polls or downloads. Two are promised; a busy machine is slower."""
FLUX = f"{sys.executable} -m flux_cli"
Runners = tuple[Warm, Warm]


@pytest.fixture(scope="module")
def runners() -> Iterator[Runners]:
    with warm() as one, warm() as other:
        yield one, other


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(tmp_path, monkeypatch) as found:
        yield found


def said(here: World, runner: Warm, words: list[str], life: Life, number: int) -> str:
    """What a run that gets a signal says on stderr; it must end soon, and by the signal."""
    order = here.start(runner, words, life)
    assert here.end(runner, order) == CODES[signal.Signals(number)]
    assert life.happened, "it never came to that"
    assert time.monotonic() - life.happened < SECONDS
    return (Path(order.folder) / ERR).read_text()


@pytest.mark.parametrize("number", CODES)
def test_a_signal_at_every_stage(here: World, runners: Runners, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (256, 256), "red").save(here.root / "photo.png")
    here.command = f"edit {here.root / 'photo.png'}"
    stages: dict[str, tuple[Moment, float, bool]] = {
        "uploading": (("upload", "arrived"), 0.0, True),
        "submitting": (("create", "done"), 0.0, False),
        "sleeping": (("create", "answered"), 0.3, False),
        "looking": (("poll", "arrived"), 0.0, True),
        "downloading": (("image", "half"), 0.0, True),
    }
    for stage, (moment, after, held) in stages.items():
        monkeypatch.setenv("FLUX_TIME_SCALE", "1000" if stage == "sleeping" else "0.002")
        life = Life(moment, gets(number, after, held))
        words = said(here, runners[0], here.batch([stage]), life, number)
        paid = [task for task, prompt in here.charged().items() if prompt == stage]
        life.over = True
        if stage == "uploading":
            assert (paid, "flux: interrupted. Not charged." in words) == ([], True), words
        else:
            downloading = stage == "downloading"
            state = "completed, not yet saved" if downloading else "still running"
            assert f"flux: interrupted; task {paid[0]} is {state}. Charged ($0.004 simulated)." in words, words
            assert ("Next: flux resume" if downloading else f"Next: flux wait {paid[0]}") in words
    here.finish(runners[0])
    assert here.faults == []


@pytest.mark.parametrize(
    ("when", "words", "paid"),
    [
        ("interrupted_at_once", "flux: interrupted. Nothing was sent.", 0),
        ("interrupted_at_the_end", "flux: interrupted. Charged: $0.008 (simulated).", 2),
    ],
)
def test_a_signal_before_and_after_all_stages(here: World, runners: Runners, when: str, words: str, paid: int) -> None:
    """What is said of money is true then, too, and nothing falls apart."""
    order = here.start(runners[0], here.batch(["boat", "ship"]), broken=when)
    assert here.end(runners[0], order) == -signal.SIGINT
    err = (Path(order.folder) / ERR).read_text()
    assert words in err
    assert not {"Traceback", "RuntimeWarning:"} & set(err.split())
    assert len(here.charged()) == paid
    here.finish(runners[0])
    assert here.faults == []


@pytest.mark.parametrize("moment", [("poll", "arrived"), ("image", "half")])
def test_a_second_signal_while_the_first_is_heeded(here: World, runners: Runners, moment: Moment) -> None:
    """What was in order stays so: the task is named, and nothing falls apart."""
    for milliseconds in (1, 5, 20, 60):

        async def twice(life: Life, gap: float = milliseconds / 1000) -> None:
            os.kill(await life.victim(), signal.SIGINT)
            await asyncio.sleep(gap)
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(life.process, signal.SIGINT)
            await holds(life)

        life = Life(moment, twice)
        words = said(here, runners[0], here.batch([f"boat {milliseconds}"]), life, signal.SIGINT)
        life.over = True
        assert re.search(r"is (still running|completed, not yet saved)\. Charged \(\$0\.004 simulated\)\.", words), (
            words
        )
        assert "Traceback" not in words
    here.finish(runners[0])
    assert here.faults == []


def test_a_signal_while_a_busy_service_is_waited_for(here: World, runners: Runners) -> None:
    here.service.answer(*POST, refusal(429, 1400, **{"retry-after": "60"}))
    life = Life(("create", "answered"), gets(signal.SIGTERM, 0.2))
    words = said(here, runners[0], here.batch(["boat"]), life, signal.SIGTERM)
    life.over = True
    assert "flux: interrupted. Not charged." in words
    assert here.charged() == {}
    here.finish(runners[0])
    assert here.faults == []


def test_a_signal_while_a_place_is_waited_for(here: World, runners: Runners) -> None:
    one, other = runners
    life = Life(("poll", "arrived"), holds)
    first = here.start(one, [*here.batch(["holder"]), "-j", "1"], life)
    wait_until(lambda: life.happened > 0)
    waiting = Life()
    second = here.start(other, [*here.batch(["waiting"]), "-j", "1"], waiting)
    wait_until(lambda: "queued: the limit on parallel tasks" in (Path(second.folder) / ERR).read_text())
    os.kill(waiting.process, signal.SIGINT)
    assert here.end(other, second) == -signal.SIGINT
    assert "flux: interrupted. Nothing was sent." in (Path(second.folder) / ERR).read_text()
    life.over = True
    assert here.end(one, first) == 0
    here.finish(one)
    assert here.faults == []


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, "{flux} >../out 2>&1 & echo $!; wait $!"),
        (signal.SIGHUP, "nohup {flux} >../out 2>&1 & echo $!; wait $!"),
    ],
)
def test_a_signal_that_the_caller_ignores_stays_ignored(here: World, runners: Runners, number: int, line: str) -> None:
    life = here.led_by(Life(("poll", "arrived"), gets(number, held=False)))
    command = " ".join([FLUX, *here.batch(["boat"])])
    with subprocess.Popen(["sh", "-c", line.format(flux=command)], stdout=subprocess.PIPE, text=True) as sh:
        assert sh.stdout is not None
        life.process = int(sh.stdout.readline())
        assert sh.wait(60) == 0, (here.root / "out").read_text()
    assert life.happened
    here.finish(runners[0])
    assert here.faults == []


def test_a_background_job_that_ignores_ctrl_c_still_ends_when_it_is_told_to(here: World, runners: Runners) -> None:
    life = here.led_by(Life(("poll", "arrived"), gets(signal.SIGTERM)))
    line = f"{' '.join([FLUX, *here.batch(['boat'])])} >../out 2>&1 & echo $!; wait $!"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as sh:
        assert sh.stdout is not None
        life.process = int(sh.stdout.readline())
        code = sh.wait(60)
    life.over = True
    words = (here.root / "out").read_text()
    assert (code, "is still running. Charged ($0.004 simulated)." in words) == (143, True), words
    here.finish(runners[0])
    assert here.faults == []


ON_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Takes the terminal on stdin as one's own: its owner gets SIGHUP when it is closed."""


@pytest.mark.parametrize("moment", [("create", "done"), ("poll", "arrived"), ("image", "half")])
def test_a_terminal_that_is_closed(
    here: World, runners: Runners, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live view, results and remarks have nowhere to go: that loses nothing, and no answer to a POST."""
    monkeypatch.setenv("TERM", "xterm")
    life = here.led_by(Life(moment, holds))
    keyboard, terminal = os.openpty()
    command = [sys.executable, "-c", ON_ITS_TERMINAL, *FLUX.split(), *here.batch(["boat", "ship"]), "--debug"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    wait_until(lambda: life.happened > 0)
    os.close(keyboard)
    life.over = True
    assert process.wait(SECONDS) in (141, -signal.SIGTERM)
    here.finish(runners[0])
    assert here.faults == []


def test_a_reader_that_goes_away(here: World, runners: Runners) -> None:
    line = f"{' '.join([FLUX, *here.batch(['one', 'two', 'three'])])} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    here.finish(runners[0])
    assert here.faults == []


def test_one_that_was_suspended_looks_once_more(
    tmp_path: Path, runners: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deadline has passed, and the answer that waits for it is an old one: the task still ran."""
    with world(tmp_path, monkeypatch, speed=20.0) as here:
        life = Life(("poll", "done"), sleeps(1.5))
        assert here.run(runners[0], [*here.batch(["boat"]), "--timeout", "1"], life) == 0
        assert life.happened
        here.finish(runners[0])
        assert here.faults == []


def test_the_answer_to_a_post_is_there_when_one_wakes_up(here: World, runners: Runners) -> None:
    """It came in time, and nobody could read it until its time was over."""
    life = Life(("create", "done"), sleeps(1.5))
    assert here.run(runners[0], here.batch(["boat"]), life, broken="impatient") == 0
    here.finish(runners[0])
    assert here.faults == []


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
