"""Tables and messages on narrow terminals."""

import contextlib
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Flux
from .servers import Service
from .test_promises import POST

fcntl = pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX's")
Start = Callable[..., subprocess.Popen[str]]
LAST = "dev-advanced    $0.02  non-commercial  40-60    gen edit kontext lora controlnet redux inpaint outpaint"


def run_in_terminal(start: Start, line: str, columns: int, stream: str = "stdout") -> list[str]:
    """Return the lines that a command writes to a terminal of this width."""
    import pty
    import termios

    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with start(line, **{**quiet, stream: terminal}) as process:
        process.wait(60)
    os.close(terminal)
    output = b"".join(_read_all(reader))
    os.close(reader)
    return output.decode().replace("\r\n", "\n").splitlines()


def _read_all(terminal: int) -> Iterator[bytes]:
    """Yield everything that was written to a pseudo-terminal whose other end is closed. One read may return only a part."""
    with contextlib.suppress(OSError):  # how Linux reports the end
        while piece := os.read(terminal, 65536):
            yield piece


def test_a_long_cell_continues_below_its_column(flux: Flux, start: Start) -> None:
    assert run_in_terminal(start, "models", 80)[-2:] == [
        LAST.removesuffix(" redux inpaint outpaint"),
        " " * 48 + "redux inpaint outpaint",
    ]
    for columns in (200, 50):  # enough space for everything, and not enough for a column of text
        assert run_in_terminal(start, "models", columns)[-1] == LAST
    assert flux("models").out.splitlines()[-1] == LAST


def test_words_are_not_broken(flux: Flux, start: Start, service: Service) -> None:
    prompt = "a red fox in the snow " * 9 + "x" * 90
    task = flux(f"gen '{prompt}' -m schnell --size 64x64 -o fox.png --no-wait").out.strip()
    shown = run_in_terminal(start, "history", 80)
    assert len(shown) == 2
    assert all(len(line) <= 80 for line in shown)
    assert shown[-1].startswith(" " * 10 + "in the s…")
    assert shown[-1].endswith("  -")
    flux(f"wait {task} -o fox.png")
    assert Path("fox.png").exists()
    assert " " * 17 + "x" * 90 in run_in_terminal(start, "show fox.png", 80)


def test_errors_and_hints_are_wrapped_between_words_and_commands_are_not_wrapped(start: Start) -> None:
    assert run_in_terminal(start, f"show {'x' * 30}", 60, "stderr") == [
        f"flux: '{'x' * 30}' is not a file, and no",
        "      task has this ID",
        "      List your tasks: flux history",
    ]
    assert run_in_terminal(start, "gen x -b 4 --steps 99", 60, "stderr") == [
        "flux: 2 errors. Nothing was sent.",
        "      - steps 99 is out of range for dev (1 to 40)",
        "      - batch size 4 needs schnell: dev makes 1 image per",
        "        task (Add -m schnell, or make 4 tasks, for example",
        "        with --seed 1..4)",
    ]
    assert run_in_terminal(start, "gen x", 60, "stderr")[-3:] == [
        "      To try flux for free, add --sandbox",
        "      Get a key at https://piapi.ai/workspace/key, then",
        "      store it with: flux login",
    ]


def test_a_command_at_the_end_of_a_note_is_not_wrapped(flux: Flux, start: Start, service: Service) -> None:
    """A line break in a copied command would run only a part of it."""
    service.reply_with(*POST, (500, {}, b""))
    flux("gen fox -m schnell --size 64x64")
    entry = flux("history --state unknown -q").out.strip()
    assert run_in_terminal(start, "history", 80, "stderr") == [
        "ID        SUBMITTED         STATE          COST  PROMPT  FILES",
        f"~ possibly charged; see {service.origin}",
        "* simulated by the sandbox, never charged",
        "1 task with an unknown outcome, up to $0.002 (simulated) possibly charged. To",
        "  resolve: flux resolve",
    ]
    assert run_in_terminal(start, f"resolve {entry}", 80)[:3] == [
        f"entry {entry}: no usable response to this request. It may have been charged",
        "  ($0.002 simulated); flux does not resend it.",
        '  prompt     "fox"',
    ]
