"""Answers that need nothing of the program: its version, its help, a first tour, and what shells ask for completion.

Building the program with Typer takes six times as long as starting Python; these texts were written beforehand.
Nothing but `os` is imported here.
"""

import os

from .. import __version__

PACKAGE = os.path.dirname(os.path.dirname(__file__))
SCRIPTS = {"bash": "flux.bash", "zsh": "_flux", "fish": "flux.fish", "powershell": "flux.ps1"}
"""The completion script of each shell, named as the shell wants it."""
TOUR = """\
flux makes pictures from words, with PiAPI's hosted Flux service.

  flux gen "a red fox in the snow" --sandbox   try it: free, offline, no key
  flux login                                   store your PiAPI key
  flux gen "a red fox in the snow"             a picture, for $0.015
  flux gen --from prompts.txt --max-cost 5     one for each line of a file
  flux edit photo.jpg "as a watercolour"       a picture from a picture
  flux history                                 what was asked for and paid
  flux doctor                                  what is wrong, what to type next

All commands: flux --help       All about one: flux gen --help
"""
"""What `flux` alone prints."""
WIDTH = 80
"""Columns that the pages need; a narrower terminal gets them from Typer."""


def answer(arguments: list[str]) -> bytes | None:
    """What such a command line prints; None for all others."""
    match arguments:
        case ["--version"]:
            return f"flux {__version__}\n".encode()
        case ["--complete", what, *words]:
            from .completion import complete  # with SQLite and the settings, which the others do without

            return complete(what, words).encode()
        case ["completions", shell] if shell in SCRIPTS:
            return script(shell)
        case []:
            return TOUR.encode()
        case [*_, "-h" | "--help"]:
            return _page(arguments[:-1])
        case _:
            return None


def script(shell: str) -> bytes:
    """The completion script of a shell: installed in the package, in a checkout beside it."""
    folder = os.path.join(PACKAGE, "completions")
    if not os.path.isdir(folder):
        folder = os.path.join(os.path.dirname(PACKAGE), "completions")
    with open(os.path.join(folder, SCRIPTS[shell]), "rb") as file:
        return file.read()


def _page(words: list[str]) -> bytes | None:
    if not all(word.isalpha() for word in words) or _columns() < WIDTH:
        return None
    try:
        with open(os.path.join(PACKAGE, "help", f"{' '.join(['flux', *words])}.txt"), "rb") as page:
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
