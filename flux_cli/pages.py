"""The help of the program and of every command, as it stands at 80 columns.

`python -m flux_cli.pages` writes the pages; `instant` prints them without building the program; a test compares the
two.
"""

import contextlib
import io
import os
from pathlib import Path

from .cli import COMMANDS, CONFIG_COMMANDS, main

FOLDER = Path(__file__).parent / "help"
NAMES = ("flux", *(f"flux {name}" for name in COMMANDS), *(f"flux config {name}" for name in CONFIG_COMMANDS))


def pages() -> dict[str, str]:
    """The text of each page by its name: `flux`, `flux gen`, `flux config set`, ..."""
    os.environ["COLUMNS"] = "80"
    return {name: _help(name.split()[1:]) for name in NAMES}


def _help(words: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as text:
        main([*words, "--help"])
    return text.getvalue()


def write() -> None:
    """Write every page into the package."""
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, text in pages().items():
        (FOLDER / f"{name}.txt").write_text(text, encoding="ascii")


if __name__ == "__main__":
    write()
