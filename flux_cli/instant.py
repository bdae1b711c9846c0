"""Answers that need nothing of the program: its version and its help.

Building the program with Typer takes six times as long as starting Python; these texts were written beforehand.
Nothing but `os` is imported here.
"""

import os

from . import __version__

FOLDER = os.path.join(os.path.dirname(__file__), "help")
WIDTH = 80
"""Columns that the pages need; a narrower terminal gets them from Typer."""


def answer(arguments: list[str]) -> bytes | None:
    """What a command line that asks for the version or for help prints; None for all others."""
    if arguments == ["--version"]:
        return f"flux {__version__}\n".encode()
    if not arguments:
        arguments = ["--help"]
    *words, last = arguments
    if last not in ("-h", "--help") or not all(word.isalpha() for word in words) or _columns() < WIDTH:
        return None
    try:
        with open(os.path.join(FOLDER, f"{' '.join(['flux', *words])}.txt"), "rb") as page:
            return page.read()
    except OSError:  # no such command: Typer says so
        return None


def _columns() -> int:
    """As `shutil.get_terminal_size` finds them."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(1).columns or WIDTH
    except OSError:  # a pipe
        return WIDTH
