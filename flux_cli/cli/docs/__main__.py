"""The files that are generated from the program: help pages, completion scripts, man pages and docs/reference/cli.md.

`python -m flux_cli.cli.docs` generates them again; a test compares.
"""

import contextlib
import io
import os
from pathlib import Path

from typer.main import get_group

from ..fast_path import SCRIPTS
from ..main import build, main
from . import bash, fish, markdown, powershell, roff, tree, zsh

ROOT = Path(__file__).parents[3]
FOLDERS = ("flux_cli/help", "completions", "docs/man")
"""Directories that contain only generated files."""
SHELLS = {"bash": bash, "zsh": zsh, "fish": fish, "powershell": powershell}


def written() -> dict[str, str]:
    """Return the text of each file, by its path in the repository."""
    os.environ["COLUMNS"] = "80"
    program = tree.read(get_group(build()))
    return {
        **{f"flux_cli/help/{command.line}.txt": _help(command) for command in program.walk()},
        **{f"completions/{name}": SHELLS[shell].script(program) for shell, name in SCRIPTS.items()},
        **{f"docs/man/{name}": text for name, text in roff.manual(program).items()},
        "docs/reference/cli.md": markdown.reference(program),
    }


def kept() -> dict[str, str]:
    """Return the text of each existing file, by its path in the repository."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).glob("*")] + [ROOT / "docs/reference/cli.md"]
    return {path.relative_to(ROOT).as_posix(): path.read_text("ascii") for path in paths if path.is_file()}


def _help(command: tree.Command) -> str:
    """Return the help of a command at 80 columns."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        main([*command.name.split(), "--help"])
    return text.getvalue()


def write() -> None:
    """Write every file, and delete those of removed commands."""
    new = written()
    for name in kept().keys() - new.keys():
        (ROOT / name).unlink()
    for name, text in new.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    write()
