"""The region of a picture that is to be repainted: a mask in mode L, white where the service paints.

Pillow is imported where it is used: most commands have no mask, and it is slow to load.
"""

import io
import re
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from ..text import clean
from .decode import opened, plain, upright

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE = 128
"""From this value on, of 255, a pixel of a mask counts as repainted."""
STRAY = 1 / 10_000
"""A smaller share of the pixels is no region: specks that a brush or a scanner left."""
MAX_FEATHER = 200
"""Pixels."""
MAX_TOLERANCE = 255
"""Steps of a colour channel: everything is that near."""
TINT = (255, 0, 96)
NAME_LIMIT = 100

Size = tuple[int, int]
"""Width and height in pixels."""

_NUMBER = re.compile(r"\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?%|-?[0-9]{1,9})\s*")
_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")


@frozen
class Box:
    """A rectangle inside a picture, in pixels from its left upper corner."""

    left: int
    top: int
    width: int
    height: int


def parse_box(text: str, width: int, height: int) -> Box:
    """The box that `X,Y,W,H` names in a picture of `width` x `height`; each is pixels or `N%` of that side.

    Edges are rounded, not sizes: boxes that meet in percent meet in pixels. What is outside is cut off.
    Raises UsageError for anything else, a box without a pixel, and one that is wholly outside.
    """
    parts = [_NUMBER.fullmatch(part) for part in text.split(",")]
    shown = clean(text, 60)
    if len(parts) != 4 or None in parts:
        raise UsageError(f"the box {shown!r} is not X,Y,W,H", hint="pixels or percent, as in: 10%,20%,300,50%")
    numbers = [part.group(1) for part in parts if part]
    x, y, w, h = (_pixels(number, side) for number, side in zip(numbers, (width, height) * 2, strict=True))
    left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
    if left >= right or top >= bottom:
        raise UsageError(f"the box {shown!r} is empty", hint="width and height must be at least one pixel")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise UsageError(f"the box {shown!r} is outside the picture, which is {width}x{height}")
    left, top = max(left, 0), max(top, 0)
    return Box(left, top, min(right, width) - left, min(bottom, height) - top)


def _pixels(number: str, side: int) -> Fraction:
    return Fraction(number[:-1]) * side / 100 if number.endswith("%") else Fraction(number)


def from_box(box: Box, size: Size) -> "Image":
    """A mask of `size` that repaints the box."""
    from PIL import Image

    mask = Image.new("L", size)
    mask.paste(255, (box.left, box.top, box.left + box.width, box.top + box.height))
    return mask


def from_color(image: "Image", color_text: str, tolerance: int) -> "Image":
    """A mask that repaints every visible pixel of a colour.

    color_text: `#rrggbb`, `#rgb` or a CSS colour name, in sRGB.
    tolerance: how far each of red, green and blue may be off, 0 to 255.
    Raises UsageError for what is no colour, and when no pixel has it.
    """
    from PIL import Image, ImageChops, ImageColor

    name = color_text.strip().lower()
    if not _HEX.fullmatch(name) and name not in ImageColor.colormap:
        raise UsageError(
            f"{clean(color_text, 40)!r} is no colour", hint="#rrggbb, #rgb or a CSS name, as in: #ff8800, teal"
        )
    _check_range("tolerance", tolerance, MAX_TOLERANCE)
    pixels = plain(image)[0].convert("RGBA")
    wanted = Image.new("RGB", image.size, ImageColor.getrgb(name)[:3])
    red, green, blue = ImageChops.difference(pixels.convert("RGB"), wanted).split()
    furthest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    near = furthest.point(lambda off: 255 if off <= tolerance else 0)
    visible = pixels.getchannel("A").point(lambda alpha: 255 if alpha else 0)
    mask = ImageChops.darker(near, visible)
    if mask.getextrema() == (0, 0):
        raise UsageError(f"no pixel is {clean(color_text, 40)} within {tolerance}", hint="take a larger tolerance")
    return mask


def from_alpha(image: "Image") -> "Image":
    """A mask that repaints what is transparent. Raises UsageError when nothing is, by half at least."""
    from PIL import ImageChops

    picture = plain(image)[0]
    if "A" in picture.getbands():
        mask = ImageChops.invert(picture.getchannel("A"))
        if _white_share(mask):
            return mask
    raise UsageError("the picture has nothing transparent, which is what would be repainted")


def from_picture(content: bytes, size: Size, name: str) -> "Image":
    """The mask in a file: white is repainted, and transparent counts as black. `name` is what the user calls it.

    Raises UsageError for what is no whole picture, has another size than `size`, or is of almost one colour.
    """
    from PIL import Image

    name = clean(name, NAME_LIMIT)
    image = plain(upright(opened(content, name).image))[0].convert("RGBA")
    if image.size != size:
        raise UsageError(
            f"the mask {name} is {image.width}x{image.height}, the picture {size[0]}x{size[1]}",
            hint="both must have the same size",
        )
    black = Image.new("RGBA", size, "black")
    mask = Image.alpha_composite(black, image).convert("L")
    share = _white_share(mask)
    polarity = "white is repainted; --invert exchanges black and white"
    if share < STRAY:
        raise UsageError(f"the mask {name} has nothing white, so nothing would be repainted", hint=polarity)
    if share > 1 - STRAY:
        raise UsageError(f"the mask {name} has nothing black, so everything would be repainted", hint=polarity)
    return mask


def finished(mask: "Image", *, feather: int, invert: bool) -> "Image":
    """The mask as it is used: black and white exchanged if wanted, then its edge made soft.

    feather: the radius (standard deviation) of a Gaussian blur in pixels, 0 to 200. The softness is added
        outside: what was white stays white. Raises UsageError for others, and when nothing is left to repaint.
    """
    from PIL import ImageChops, ImageFilter

    _check_range("feather", feather, MAX_FEATHER)
    mask = ImageChops.invert(mask) if invert else mask
    if not _white_share(mask):
        raise UsageError("nothing would be repainted: the mask has nothing white")
    if not feather:
        return mask
    # Blurred, a straight edge lies at half of white; twice that is white up to the edge and falls from there.
    soft = mask.filter(ImageFilter.GaussianBlur(feather)).point(lambda value: min(255, 2 * value))
    return ImageChops.lighter(mask, soft)


def remark(mask: "Image") -> str | None:
    """A sentence for the user when the mask leaves nothing of the picture."""
    return "the whole picture would be repainted" if _white_share(mask) > 1 - STRAY else None


def to_png(mask: "Image") -> bytes:
    """The mask as a file: PNG, 8 bits of grey."""
    return _png(mask.convert("L"))


def cut_out(image: "Image", mask: "Image") -> bytes:
    """The picture as an RGBA PNG whose transparent part is the mask's white: what the service repaints.

    The mask alone decides: transparency that the picture had elsewhere goes. Raises UsageError for two sizes.
    """
    from PIL import ImageChops

    _check_same_size(image, mask)
    picture = plain(image)[0].convert("RGB")
    picture.putalpha(ImageChops.invert(mask))
    return _png(picture)


def overlay(image: "Image", mask: "Image") -> "Image":
    """The picture with the region tinted and outlined, in RGB, for a person to look at.

    Transparent parts stand on grey. Raises UsageError when the two sizes differ.
    """
    from PIL import Image, ImageChops, ImageFilter

    _check_same_size(image, mask)
    backdrop = Image.new("RGBA", image.size, (128, 128, 128, 255))
    picture = Image.alpha_composite(backdrop, plain(image)[0].convert("RGBA")).convert("RGB")
    tint = mask.point(lambda value: value * 45 // 100)
    picture.paste(TINT, (0, 0), tint)
    region = mask.point(lambda value: 255 if value >= WHITE else 0)
    reach = 2 * max(1, max(image.size) // 300) + 1  # wide enough to be seen when the picture is scaled to a screen
    outside = ImageChops.difference(region.filter(ImageFilter.MaxFilter(reach)), region)
    inside = ImageChops.difference(region, region.filter(ImageFilter.MinFilter(reach)))
    picture.paste("black", (0, 0), outside)  # black beside white is seen on every ground
    picture.paste("white", (0, 0), inside)
    return picture


def _white_share(mask: "Image") -> float:
    return sum(mask.histogram()[WHITE:]) / (mask.width * mask.height)


def _check_range(what: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise UsageError(f"{what} {value} is out of range: 0 to {most}")


def _check_same_size(image: "Image", mask: "Image") -> None:
    if image.size != mask.size:
        sizes = f"the mask is {mask.width}x{mask.height}, the picture {image.width}x{image.height}"
        raise UsageError(sizes, hint="both must have the same size")


def _png(image: "Image") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
