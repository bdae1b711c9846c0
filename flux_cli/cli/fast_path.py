"""Output that does not need the program: the version, help, the tour, and completion.

Building the program with Typer takes six times as long as starting Python, so these texts are generated in advance.
This module imports only `os`.
"""

import os

from .. import __version__

PACKAGE = os.path.dirname(os.path.dirname(__file__))
SCRIPTS = {"bash": "flux.bash", "zsh": "_flux", "fish": "flux.fish", "powershell": "flux.ps1"}
"""The file name of the completion script for each shell."""
TOUR = """\
flux generates and edits images with PiAPI's Flux API.

  flux gen "a red fox in the snow" --sandbox   try it: free, offline, no key
  flux login                                   check and store your PiAPI key
  flux gen "a red fox in the snow"             generate an image, for $0.015
  flux gen --from prompts.txt --max-cost 5     one image per line of a file
  flux edit photo.jpg "as a watercolor"        edit an image
  flux history                                 past tasks and their cost
  flux doctor                                  diagnose problems

All commands: flux --help       Help for one command: flux COMMAND -h
"""
"""The output of `flux` alone."""
WIDTH = 80
"""Columns of the stored pages. For a narrower terminal, help is rendered when it is requested."""


def find_output(arguments: list[str]) -> bytes | None:
    """Return the output of a command line; None if it needs the program."""
    match arguments:
        case ["--version" | "-V" | "version"]:
            return f"flux {__version__}\n".encode()
        case ["--complete", line]:
            from .completion import complete  # imports json

            return complete(line).encode("utf-8", "surrogateescape")
        case ["completion", shell] if shell in SCRIPTS:
            return script(shell)
        case []:
            return TOUR.encode()
        case ["help", *words]:
            return _page(["help", *words]) or _page([*words, "--help"])
        case [*_, "-h" | "--help"]:
            return _page(arguments)
        case _:
            return None


def script(shell: str) -> bytes:
    """Return the completion script for a shell: from the package, or beside it in a checkout."""
    directory = os.path.join(PACKAGE, "completions")
    if not os.path.isdir(directory):
        directory = os.path.join(os.path.dirname(PACKAGE), "completions")
    with open(os.path.join(directory, SCRIPTS[shell]), "rb") as file:
        return file.read()


def _page(words: list[str]) -> bytes | None:
    if not all(word.replace("-", "").isalpha() for word in words) or _columns() < WIDTH:
        return None
    try:
        with open(os.path.join(PACKAGE, "help", f"{' '.join(['flux', *words])}.txt"), "rb") as page:
            return page.read()
    except OSError:  # no such command
        return None


def _columns() -> int:
    """Return the columns of the terminal, as `shutil.get_terminal_size` does, which is slow to import."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or WIDTH
    except OSError:  # a pipe
        return WIDTH
