"""The live view on a terminal."""

import io

import pytest

from flux_cli.cli.output.progress import LABEL, LiveProgress, PlainProgress
from flux_cli.engine.events import Accepted, Ended, Noted, Submitting

UP = "\x1b[1A"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_view_comes_back_below_what_was_printed(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert UP in before, "the view was taken away"
    assert UP not in after.partition("boat 0")[0], "the result was taken away"


def test_tasks_with_one_prompt_are_told_apart() -> None:
    told: list[str] = []
    view = PlainProgress(told.append, verbose=False)
    for number in range(3):
        view(Submitting(f"entry-{number}", "a boat" if number else "x" * 90, number, None))
        view(Noted(f"entry-{number}", "hello"))
    view(Ended("entry-1", "saved"))
    view(Submitting("entry-3", "a boat", 3, None))
    view(Noted("entry-3", "hello"))
    view(Noted("entry-2", "hello"))
    assert told[0].startswith("xxx")
    assert len(told[0]) == LABEL + len(": hello")
    assert told[1:] == ["a boat: hello", "a boat, seed 2: hello", "a boat, seed 3: hello", "a boat, seed 2: hello"]
