"""The live view of progress on a terminal."""

import io
import os
import pty
import subprocess
import sys

import pytest

from flux_cli.cli.output.progress import LABEL, LiveProgress, PlainProgress
from flux_cli.engine.events import Accepted, Noted, Submitting

UP = "\x1b[1A"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_view_is_drawn_again_below_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    view = LiveProgress(terminal, total=3)
    view.resume()
    for number in range(3):
        view(Accepted(f"entry-{number}", f"boat {number}", number, f"task-{number}", None, None))
    view.pause()
    terminal.write("boat-9.png\n")
    view.resume()
    view.pause()

    before, _, after = terminal.getvalue().partition("boat-9.png\n")
    assert UP in before, "the view was not erased"
    assert UP not in after.partition("boat 0")[0], "the result was erased"


def test_tasks_with_the_same_prompt_are_distinguished_by_seed() -> None:
    lines: list[str] = []
    view = PlainProgress(lines.append, verbose=False, seeds=True)
    for number, label in enumerate(("x" * 90, "a boat", "a boat"), 1):
        view(Submitting(f"entry-{number}", label, number, None))
        view(Noted(f"entry-{number}", "hello"))
    assert lines[0].startswith("xxx")
    assert len(lines[0]) == LABEL + len(": hello")
    assert lines[1:] == ["a boat, seed 2: hello", "a boat, seed 3: hello"]


def test_a_background_job_draws_nothing_over_the_shell_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    leader, terminal = pty.openpty()
    command = [sys.executable, "-m", "flux_cli", "gen", "fox", "--sandbox", "--size", "64x64"]
    script = f"""
import fcntl, os, subprocess, sys, termios
os.setsid()
fcntl.ioctl({terminal}, termios.TIOCSCTTY, 0)
sys.exit(subprocess.run({command!r}, stdout={terminal}, stderr={terminal}, process_group=0).returncode)
"""
    done = subprocess.run([sys.executable, "-c", script], pass_fds=[terminal], check=False)
    os.close(terminal)
    printed = os.read(leader, 65536)
    os.close(leader)
    assert done.returncode == 0, printed
    assert b"fox: task flux_" in printed
    assert b"\x1b" not in printed
