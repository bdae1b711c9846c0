"""Images in the sixel format, and the detection of terminals that support it.

https://vt100.net/docs/vt3xx-gp/chapter14.html: colors by number, then bands of six rows of pixels, each band once per
color in it. The query `CSI c` has a response from every terminal; a 4 in the response means sixel support.
"""

import os
import re
import select
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

QUERY = b"\x1b[16t\x1b[c"
"""Queries for the cell size and the features. Terminals respond in this order; some only to the second."""
RESPONSE = re.compile(rb"(?:\x1b\[6;([1-9][0-9]?);([1-9][0-9]?)t)?\x1b\[\?([0-9;]*)c")
PATIENCE = 0.5
"""Seconds to wait for a response; a later one, over a slow line, would appear as input in the shell."""
CELL = (10, 20)
"""Width and height of a cell in pixels if the terminal does not report them: those of the VT340."""
LARGEST = 1000
"""Pixels per side, at most, because xterm draws no more."""
COLORS = 256
BAND = 6


def cell_of(descriptor: int, patience: float = PATIENCE) -> tuple[int, int] | None:
    """Return width and height of a terminal cell in pixels if the terminal reports sixel support, else None.

    Send no query if there is unread input, which must not be lost, or in the background, where reading would suspend
    the program.
    """
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - mypy would call what follows unreachable on Windows
        import termios

        try:
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                return None
            terminal = os.open(os.ttyname(descriptor), os.O_RDWR | os.O_NOCTTY)
            with os.fdopen(terminal, "rb", buffering=0), _raw_input(terminal):
                response, size = _query(terminal, patience), _system_size(terminal)
        except (OSError, termios.error):
            return None
        if response is None or b"4" not in response[3].split(b";")[1:]:  # the first number is the conformance level
            return None
        if size is not None:
            return size
        return (int(response[2]), int(response[1])) if response[1] else CELL


@contextmanager
def _raw_input(terminal: int) -> Iterator[None]:
    """Make the terminal pass on input immediately and without echo while the block runs."""
    if sys.platform == "win32":
        yield
    else:
        import termios

        before = termios.tcgetattr(terminal)
        changed = termios.tcgetattr(terminal)
        changed[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
        try:
            yield
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _query(terminal: int, patience: float) -> "re.Match[bytes] | None":
    """Return the terminal's response within `patience` seconds; None if there is none, or unread input."""
    if select.select([terminal], [], [], 0)[0]:
        return None
    os.write(terminal, QUERY)
    end = time.monotonic() + patience
    read = b""
    while (left := end - time.monotonic()) > 0 and select.select([terminal], [], [], left)[0]:
        read += os.read(terminal, 256)
        if found := RESPONSE.search(read):
            return found
    return None


def _system_size(terminal: int) -> tuple[int, int] | None:
    """Return the cell size from the system: xterm sets it there, but ignores the query by default."""
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - as in `cell_of`
        import fcntl
        import termios

        packed = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
        lines, columns, width, height = struct.unpack("HHHH", packed)
        return (width // columns, height // lines) if lines and width >= columns > 0 and height >= lines else None


def encoded(image: "Image") -> Iterator[str]:
    """Yield an RGB image as sixel, in pieces."""
    few = image.quantize(COLORS)
    palette, width, pixels = few.getpalette() or [], few.width, few.tobytes()
    yield f'\x1bPq"1;1;{few.width};{few.height}'
    for number, start in enumerate(range(0, len(palette), 3)):
        red, green, blue = (round(value * 100 / 255) for value in palette[start : start + 3])
        yield f"#{number};2;{red};{green};{blue}"
    for start in range(0, len(pixels), width * BAND):
        yield "$".join(_lines(pixels[start : start + width * BAND], width)) + "-"
    yield "\x1b\\"


def _lines(band: bytes, width: int) -> Iterator[str]:
    """Yield one band, color by color: one character per column, `?` plus a bit per pixel, 1 for the top one."""
    lines = {color: bytearray(b"?" * width) for color in set(band)}
    for place, color in enumerate(band):
        row, column = divmod(place, width)
        lines[color][column] += 1 << row
    for color, letters in lines.items():
        line = letters.decode("ascii").rstrip("?")
        yield f"#{color}" + re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", line)
