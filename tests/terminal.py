"""Type lines, including TAB, into real shells on a terminal, and read the arguments that a command receives."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

SCRIPTS = Path(__file__).parent.parent / "completions"
PROGRAM = f"{sys.executable} -m flux_cli"
START_COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
# `flux` writes its arguments to a file, but completes as the program does.
SETUP = {
    "bash": f"""flux() {{ [[ $1 == --complete ]] && {PROGRAM} "$@" || printf '%s\\n' "$@" >got.part && mv got.part got; }}
flux-cli() {{ flux "$@"; }}
source {SCRIPTS}/flux.bash
""",
    "zsh": f"""flux() {{ [[ $1 == --complete ]] && {PROGRAM} "$@" || printf '%s\\n' "$@" >got.part && mv got.part got; }}
flux-cli() {{ flux "$@"; }}
autoload -Uz compinit; compinit -u -D
eval "$(<{SCRIPTS}/_flux)"
""",
    "fish": f"""function flux
    if test "$argv[1]" = --complete; {PROGRAM} $argv; return; end
    printf '%s\\n' $argv >got.part; mv got.part got
end
function flux-cli; flux $argv; end
source {SCRIPTS}/flux.fish
""",
}
PATIENCE = 30.0
"""Seconds after which a shell that does not respond has failed."""


def type_lines(shell: str, lines: list[str]) -> list[list[str]]:
    """Return the arguments that `flux` receives for each line, typed into an interactive shell in the current directory.

    Skip the test if the shell is not installed.
    """
    with _keyboard(shell) as keyboard:
        return [_enter(keyboard, line) for line in lines]


def assert_shows(shell: str, line: str, text: str) -> None:
    """Fail the test unless the shell shows a text after a line, including TAB, is typed and not entered."""
    with _keyboard(shell) as keyboard:
        keyboard.write(line.encode())
        _wait(lambda: text.encode() in Path("screen").read_bytes(), line)


@contextmanager
def _keyboard(shell: str) -> Iterator[IO[bytes]]:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    Path("setup").write_text(SETUP[shell])
    spawn = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *START_COMMANDS[shell]]
    environ = {**os.environ, "TERM": "xterm", "HOME": os.getcwd()}
    with Path("screen").open("wb") as screen:
        running = subprocess.Popen(spawn, stdin=subprocess.PIPE, stdout=screen, stderr=screen, env=environ, bufsize=0)
    with running:
        try:
            assert running.stdin
            _enter(running.stdin, "source ./setup; flux ready")
            yield running.stdin
        finally:
            running.kill()


def _enter(keyboard: IO[bytes], line: str) -> list[str]:
    got = Path("got")
    got.unlink(missing_ok=True)
    keyboard.write(f"{line}\r".encode())
    _wait(got.exists, line)
    return got.read_text().splitlines()


def _wait(done: Callable[[], bool], line: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"no response to {line!r}: {Path('screen').read_bytes()!r}"
        time.sleep(0.02)
