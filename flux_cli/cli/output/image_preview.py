"""Display of saved images in the terminal or in the default viewer.

A terminal gets images in the protocol that it supports: kitty's (https://sw.kovidgoyal.net/kitty/graphics-protocol/),
iTerm2's inline images (https://iterm2.com/documentation-images.html), sixel
(https://vt100.net/docs/vt3xx-gp/chapter14.html), or half blocks, which need only colors. No library is used, because
the existing ones write to stdout, which is for results, query the terminal on import, or need an old Pillow.
"""

import base64
import io
import os
import re
import select
import shutil
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...images.load import thumbnail
from ...text import clean, counted
from .output import Mode, Output

if TYPE_CHECKING:
    from PIL.Image import Image

OPENED = 8
"""The most images that a command opens, because a batch may have hundreds."""
CELL = 10
"""Pixels that are sent per column, the usual width of a column."""
CHUNK = 4096
"""The most bytes of base64 in one sequence of kitty's protocol."""
SPARED = 3
"""Rows of the terminal that an image leaves free for the lines around it."""
QUERY = b"\x1b[16t\x1b[c"
"""Queries for the cell size and the features. Terminals respond in this order, some of them only to the second."""
RESPONSE = re.compile(rb"(?:\x1b\[6;([1-9][0-9]?);([1-9][0-9]?)t)?\x1b\[\?([0-9;]*)c")
PATIENCE = 0.5
"""Seconds to wait for a response. A later one, over a slow connection, would appear as input in the shell."""
SIXEL_CELL = (10, 20)
"""Width and height of a cell in pixels if the terminal does not report them, as in the VT340."""
SIXEL_SIDE = 1000
"""The most pixels per side of an image in sixel, because xterm draws no more."""
SIXEL_COLORS = 256
SIXEL_BAND = 6
"""Rows of pixels in a line of sixel characters."""


class Protocol(Enum):
    """A way to display images in a terminal."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    BLOCKS = "blocks"


def multiplexed(environ: Mapping[str, str]) -> bool:
    """Return whether tmux or screen is used. They drop unknown sequences, or respond in place of the terminal."""
    term = environ.get("TERM", "")
    return "TMUX" in environ or "STY" in environ or term.startswith(("screen", "tmux"))


def protocol_of(environ: Mapping[str, str]) -> Protocol:
    """Return the protocol that the environment variables indicate; BLOCKS if none is known."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if multiplexed(environ):
        return Protocol.BLOCKS
    if "KITTY_WINDOW_ID" in environ or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return Protocol.KITTY
    if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
        return Protocol.ITERM
    return Protocol.BLOCKS


def draw(path: Path, environ: Mapping[str, str], columns: int, rows: int, cell: tuple[int, int] | None) -> str:
    """Return the text that displays an image on a terminal of this size. Raise UsageError for a damaged image.

    cell: width and height of a cell in pixels, on a terminal with sixel support.
    """
    protocol = Protocol.SIXEL if cell else protocol_of(environ)
    columns, rows = max(2, columns - 1), max(2, rows - SPARED)
    if cell:
        return _sixel(path, min(SIXEL_SIDE, columns * cell[0]), min(SIXEL_SIDE, rows * cell[1]))
    side = max(columns, rows * 2) * (1 if protocol is Protocol.BLOCKS else CELL)
    image = thumbnail(path, side).image
    # A row is twice as high as a column is wide.
    scale = min(columns / image.width, rows * 2 / image.height)
    wide, high = max(1, int(image.width * scale)), max(2, int(image.height * scale))
    if protocol is Protocol.BLOCKS:
        full = environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
        return "".join(_blocks(_on_black(image).resize((wide, high - high % 2)), full=full))
    content = io.BytesIO()
    image.save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    if protocol is Protocol.ITERM:
        size = f"size={len(content.getvalue())};width={wide};height={high // 2};preserveAspectRatio=1"
        return f"\x1b]1337;File=inline=1;{size}:{data}\x07\n"
    return "".join(_kitty(data, wide, high // 2)) + "\n"


def _sixel(path: Path, width: int, height: int) -> str:
    """Return the image as sixel, scaled to at most these pixels, because the terminal does not scale it."""
    from PIL.ImageOps import contain

    return "".join(_encode_sixel(contain(_on_black(thumbnail(path, max(width, height)).image), (width, height)))) + "\n"


def _encode_sixel(image: "Image") -> Iterator[str]:
    """Yield an RGB image as sixel, in pieces: the numbered colors, then each band once per color in it."""
    few = image.quantize(SIXEL_COLORS)
    palette, width, pixels = few.getpalette() or [], few.width, few.tobytes()
    yield f'\x1bPq"1;1;{few.width};{few.height}'
    for number, start in enumerate(range(0, len(palette), 3)):
        red, green, blue = (round(value * 100 / 255) for value in palette[start : start + 3])
        yield f"#{number};2;{red};{green};{blue}"
    for start in range(0, len(pixels), width * SIXEL_BAND):
        yield "$".join(_sixel_lines(pixels[start : start + width * SIXEL_BAND], width)) + "-"
    yield "\x1b\\"


def _sixel_lines(band: bytes, width: int) -> Iterator[str]:
    """Yield a band color by color, with one character per column: `?` plus one bit per pixel, 1 for the top one."""
    lines = {color: bytearray(b"?" * width) for color in set(band)}
    for index, color in enumerate(band):
        row, column = divmod(index, width)
        lines[color][column] += 1 << row
    for color, letters in lines.items():
        line = letters.decode("ascii").rstrip("?")
        yield f"#{color}" + re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", line)


def _on_black(image: "Image") -> "Image":
    """Return the image on a black background, in RGB."""
    from PIL.Image import alpha_composite, new

    return alpha_composite(new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")).convert("RGB")


def _kitty(data: str, columns: int, rows: int) -> Iterator[str]:
    """Yield the image in kitty's protocol, in pieces. q=2 prevents a response of the terminal."""
    for start in range(0, len(data), CHUNK):
        more = int(start + CHUNK < len(data))
        about = f"a=T,f=100,q=2,c={columns},r={rows},m={more}" if start == 0 else f"m={more}"
        yield f"\x1b_G{about};{data[start : start + CHUNK]}\x1b\\"


def _blocks(image: "Image", *, full: bool) -> Iterator[str]:
    """Yield a line per two rows of pixels: the upper row is the foreground color, the lower row the background."""
    pixels = image.tobytes()
    color = _full_color if full else _cube_color
    line = image.width * 3
    for start in range(0, len(pixels), line * 2):
        for offset in range(start, start + line, 3):
            upper, lower = (color(*pixels[at : at + 3]) for at in (offset, offset + line))
            yield f"\x1b[38;{upper};48;{lower}m▀"
        yield "\x1b[0m\n"


def _full_color(red: int, green: int, blue: int) -> str:
    return f"2;{red};{green};{blue}"


def _cube_color(red: int, green: int, blue: int) -> str:
    """Return the nearest of the 216 colors of terminals without 24-bit color."""
    red, green, blue = ((value * 5 + 127) // 255 for value in (red, green, blue))
    return f"5;{16 + 36 * red + 6 * green + blue}"


# --- the query for sixel support --------------------------------------------------------------------------------------


def cell_of(descriptor: int) -> tuple[int, int] | None:
    """Return width and height of a terminal cell in pixels if the terminal reports sixel support, else None.

    No query is sent if there is unread input, which would be lost, or in the background, where reading would suspend
    the process.
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
                response, size = _query(terminal), _system_size(terminal)
        except (OSError, termios.error):
            return None
        if response is None or b"4" not in response[3].split(b";")[1:]:  # the first number is the conformance level
            return None
        if size is not None:
            return size
        return (int(response[2]), int(response[1])) if response[1] else SIXEL_CELL


@contextmanager
def _raw_input(terminal: int) -> Iterator[None]:
    """Set the terminal to pass input immediately and without echo while the block runs."""
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


def _query(terminal: int) -> "re.Match[bytes] | None":
    """Return the response of the terminal; None if there is none within PATIENCE seconds, or if input is unread."""
    if select.select([terminal], [], [], 0)[0]:
        return None
    os.write(terminal, QUERY)
    end = time.monotonic() + PATIENCE
    read = b""
    while (left := end - time.monotonic()) > 0 and select.select([terminal], [], [], left)[0]:
        read += os.read(terminal, 256)
        if found := RESPONSE.search(read):
            return found
    return None


def _system_size(terminal: int) -> tuple[int, int] | None:
    """Return the cell size that the system has, or None. xterm sets it there, but ignores the query by default."""
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - as in `cell_of`
        import fcntl
        import termios

        packed = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
        lines, columns, width, height = struct.unpack("HHHH", packed)
        return (width // columns, height // lines) if lines and width >= columns > 0 and height >= lines else None


# --- the viewer -------------------------------------------------------------------------------------------------------


def sixel_cell(output: Output, environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the size of a cell in pixels if the terminal reports sixel support, else None.

    Call it before anything else reads from the terminal.
    """
    if _no_canvas(output) or multiplexed(environ) or protocol_of(environ) is not Protocol.BLOCKS:
        return None
    return None if output.terminal is None else cell_of(output.terminal)


class Viewer:
    """A viewer that shows saved images in the terminal (`preview`), in the default viewer (`opens`), or both.

    A problem is printed once, as a note, and is never an error.
    """

    def __init__(self, output: Output, *, preview: bool = False, opens: bool = False) -> None:
        self._output, self._opens, self._opened = output, opens, 0
        self._previews = preview and output.mode is Mode.TEXT
        self._cell = sixel_cell(output, os.environ) if self._previews else None

    def show(self, paths: Sequence[Path]) -> None:
        """Show images as `preview` and `opens` request."""
        if self._previews:
            self._draw(paths)
        if self._opens:
            self._open(paths)

    def _draw(self, paths: Sequence[Path]) -> None:
        size, reason = self._output.canvas, _no_canvas(self._output)
        if reason or size is None:
            self._previews = False
            self._output.note(
                f"--preview shows nothing: {reason}" if reason else "--preview needs a terminal on stderr"
            )
            return
        for path in paths:
            try:
                self._output.draw(draw(path, os.environ, size.columns, size.lines, self._cell))
            except UsageError as error:
                self._output.note(f"cannot be previewed: {clean(error.message)}")

    def _open(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if self._opened == OPENED:
                self._opens = False
                message = f"--open opened {counted(OPENED, 'image')} and opens no more; see all with"
                self._output.note(message, ("gallery", "--open"))
                return
            if not start_viewer(path):
                self._opens = False
                self._output.note("--open found no viewer: install xdg-utils, which contains xdg-open")
                return
            self._opened += 1


def _no_canvas(output: Output) -> str | None:
    """Return why the terminal cannot show images; None if it can."""
    if os.environ.get("NO_COLOR"):
        return "NO_COLOR is set; view the image with --open"
    if os.environ.get("TERM", "dumb") == "dumb" and os.name != "nt":
        return "the terminal has no colors; view the image with --open"
    if not output.can_encode("▀"):
        return "the terminal's encoding has no half blocks; set a UTF-8 locale, or use --open"
    return None


def start_viewer(path: Path) -> bool:
    """Start the default viewer for a file without waiting for it. Return False if there is no viewer."""
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606 - a file that flux wrote, by its absolute path
        return True
    else:  # noqa: RET505 - mypy would call what follows unreachable on Windows
        program = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
        if program is None:
            return False
        import subprocess  # rarely needed

        quiet = subprocess.DEVNULL
        # In its own session, so that Ctrl-C stops flux and not the viewer.
        subprocess.Popen(  # noqa: S603 - no shell, and an absolute path cannot be an option
            [program, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        return True
