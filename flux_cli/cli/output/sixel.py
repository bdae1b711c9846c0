"""A picture as sixel, and the terminals that draw it.

https://vt100.net/docs/vt3xx-gp/chapter14.html: colors by number, then bands of six rows of pixels, each band once for
every color in it. Asked is with `CSI c`, which every terminal answers; a 4 in the answer stands for sixel.
"""

import os
import re
import select
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

QUESTION = b"\x1b[16t\x1b[c"
"""How large is a cell, and what can you do? Answered in this order, the first by some terminals only."""
ANSWER = re.compile(rb"(?:\x1b\[6;([1-9][0-9]?);([1-9][0-9]?)t)?\x1b\[\?([0-9;]*)c")
PATIENCE = 0.5
"""Seconds: an answer that comes later, over a slow line, would be typed into the shell."""
CELL = (10, 20)
"""Width and height of a cell in pixels when the terminal does not say: the VT340's, whom others copy in this too."""
LARGEST = 1000
"""Pixels a side: xterm draws no more."""
COLORS = 256
BAND = 6


def cell_of(descriptor: int, patience: float = PATIENCE) -> tuple[int, int] | None:
    """Width and height in pixels of a cell of a terminal that says that it draws sixel; None when it does not.

    Reads nothing that somebody has typed, so it asks nothing when there is such a thing; nor in the background, where
    that would suspend the program.
    """
    try:
        import termios  # which Windows lacks
    except ImportError:
        return None
    try:
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            return None
        terminal = os.open(os.ttyname(descriptor), os.O_RDWR | os.O_NOCTTY)
        with os.fdopen(terminal, "rb", buffering=0), _letter_by_letter(terminal):
            answer, told = _answer(terminal, patience), _told(terminal)
    except (OSError, termios.error):
        return None
    if answer is None or b"4" not in answer[3].split(b";")[1:]:  # the first number is the terminal's level
        return None
    if told is not None:
        return told
    return (int(answer[2]), int(answer[1])) if answer[1] else CELL


@contextmanager
def _letter_by_letter(terminal: int) -> Iterator[None]:
    """While inside, the terminal hands over what comes from it at once, and does not show it."""
    import termios

    before = termios.tcgetattr(terminal)
    changed = termios.tcgetattr(terminal)
    changed[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _answer(terminal: int, patience: float) -> "re.Match[bytes] | None":
    """What the terminal answers in so many seconds; None when it does not, or when something was typed before."""
    if select.select([terminal], [], [], 0)[0]:
        return None
    os.write(terminal, QUESTION)
    end = time.monotonic() + patience
    read = b""
    while (left := end - time.monotonic()) > 0 and select.select([terminal], [], [], left)[0]:
        read += os.read(terminal, 256)
        if found := ANSWER.search(read):
            return found
    return None


def _told(terminal: int) -> tuple[int, int] | None:
    """The size of a cell as the system knows it: xterm tells it that, but by default answers no question about it."""
    import fcntl
    import termios

    packed = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
    lines, columns, width, height = struct.unpack("HHHH", packed)
    return (width // columns, height // lines) if lines and width >= columns > 0 and height >= lines else None


def encoded(image: "Image") -> Iterator[str]:
    """What draws a picture of RGB pixels, in pieces."""
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
    """One band, color by color: a letter for each column, `?` and what its six pixels add, the upper one 1."""
    lines = {color: bytearray(b"?" * width) for color in set(band)}
    for place, color in enumerate(band):
        row, column = divmod(place, width)
        lines[color][column] += 1 << row
    for color, letters in lines.items():
        line = letters.decode("ascii").rstrip("?")
        yield f"#{color}" + re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", line)
