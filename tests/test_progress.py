"""The live view on a terminal."""

import io

import pytest

from flux_cli.cli.output.progress import LABEL, LiveProgress, PlainProgress
from flux_cli.engine.events import Accepted, Noted, Submitting

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
    lines: list[str] = []
    view = PlainProgress(lines.append, verbose=False, seeds=True)
    for number, label in enumerate(("x" * 90, "a boat", "a boat"), 1):
        view(Submitting(f"entry-{number}", label, number, None))
        view(Noted(f"entry-{number}", "hello"))
    assert lines[0].startswith("xxx")
    assert len(lines[0]) == LABEL + len(": hello")
    assert lines[1:] == ["a boat, seed 2: hello", "a boat, seed 3: hello"]
