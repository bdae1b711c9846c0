"""Images for a terminal, in the protocol that it supports.

kitty's graphics protocol (https://sw.kovidgoyal.net/kitty/graphics-protocol/), iTerm2's inline images
(https://iterm2.com/documentation-images.html), sixel, or half blocks, which need only colors. No library is used:
those of this kind draw on stdout, where the results go, query the terminal on import, or need an old Pillow.
"""

import base64
import io
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from ...images.load import thumbnail
from .sixel import LARGEST, encoded

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = 10
"""Pixels that are sent per column: the usual width of one."""
CHUNK = 4096
"""Bytes of base64 that kitty accepts at a time."""
SPARED = 3
"""Rows that an image leaves free for the lines around it."""


class Protocol(Enum):
    """How a terminal displays images."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    BLOCKS = "blocks"


def multiplexed(environ: Mapping[str, str]) -> bool:
    """Return whether tmux or screen is used: they drop unknown sequences, or respond instead of the terminal."""
    term = environ.get("TERM", "")
    return "TMUX" in environ or "STY" in environ or term.startswith(("screen", "tmux"))


def protocol_of(environ: Mapping[str, str]) -> Protocol:
    """Return the protocol that the environment variables indicate."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if multiplexed(environ):
        return Protocol.BLOCKS
    if "KITTY_WINDOW_ID" in environ or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return Protocol.KITTY
    if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
        return Protocol.ITERM
    return Protocol.BLOCKS


def drawn(path: Path, environ: Mapping[str, str], columns: int, rows: int, cell: tuple[int, int] | None = None) -> str:
    """Return the text that draws an image on a terminal of this size. Raise UsageError for a damaged image.

    cell: width and height of a cell in pixels, on a terminal with sixel support.
    """
    protocol = Protocol.SIXEL if cell else protocol_of(environ)
    columns, rows = max(2, columns - 1), max(2, rows - SPARED)
    if cell:
        return _sixel(path, min(LARGEST, columns * cell[0]), min(LARGEST, rows * cell[1]))
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
    """Return the image, scaled to at most these pixels: with sixel, the terminal does not scale."""
    from PIL.ImageOps import contain

    return "".join(encoded(contain(_on_black(thumbnail(path, max(width, height)).image), (width, height)))) + "\n"


def _on_black(image: "Image") -> "Image":
    """Return the image on a black background, RGB."""
    from PIL.Image import alpha_composite, new

    return alpha_composite(new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA")).convert("RGB")


def _kitty(data: str, columns: int, rows: int) -> Iterator[str]:
    """Yield the image in pieces; q=2 keeps the terminal from sending a response."""
    for start in range(0, len(data), CHUNK):
        more = int(start + CHUNK < len(data))
        about = f"a=T,f=100,q=2,c={columns},r={rows},m={more}" if start == 0 else f"m={more}"
        yield f"\x1b_G{about};{data[start : start + CHUNK]}\x1b\\"


def _blocks(image: "Image", *, full: bool) -> Iterator[str]:
    """Yield one line per two rows of pixels: the foreground color is the upper one, the background the lower."""
    pixels = image.tobytes()
    color = _full_color if full else _cube_color
    line = image.width * 3
    for start in range(0, len(pixels), line * 2):
        for place in range(start, start + line, 3):
            upper, lower = (color(*pixels[there : there + 3]) for there in (place, place + line))
            yield f"\x1b[38;{upper};48;{lower}m▀"
        yield "\x1b[0m\n"


def _full_color(red: int, green: int, blue: int) -> str:
    return f"2;{red};{green};{blue}"


def _cube_color(red: int, green: int, blue: int) -> str:
    """Return the nearest of the 216 colors of terminals without 24-bit color."""
    red, green, blue = ((value * 5 + 127) // 255 for value in (red, green, blue))
    return f"5;{16 + 36 * red + 6 * green + blue}"
