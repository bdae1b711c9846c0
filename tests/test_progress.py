"""The live view on a terminal."""

import io

import pytest

from flux_cli.engine.events import Accepted
from flux_cli.terminal.progress import LiveProgress

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
        view(Accepted(f"entry-{number}", f"boat {number}", f"task-{number}", None, None))
    view.pause()
    terminal.write("boat-9.png\n")
    view.resume()
    view.pause()

    before, _, after = terminal.getvalue().partition("boat-9.png\n")
    assert UP in before, "the view was taken away"
    assert UP not in after.partition("boat 0")[0], "the result was taken away"
