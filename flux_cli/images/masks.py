"""Masks: the region of an image to inpaint, in mode L, white where PiAPI generates new content.

Pillow is slow to import, so it is imported where it is used: most commands need no mask.
"""

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from ..operations.limits import MAX_FEATHER, Size
from ..text import quoted
from .load import encode, to_srgb

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE = 128
"""From this value of 255 on, a pixel counts as selected in a mask, and as opaque in an alpha channel."""
STRAY = 1 / 10_000
"""A smaller share of the pixels is not a region, but specks from a brush or a scanner."""
DARK, LIGHT = 48, 207
"""Values up to DARK count as black in a mask file, and from LIGHT on as white: JPEG and CMYK blur both."""
CLEAR_SHARE = 1 / 2
"""The least share of black and white pixels in a mask. A mask with a wide soft edge has more, a photo less."""
TINTED = 32
"""The least difference between two color channels of a pixel that is not gray."""
COLORED_SHARE = 1 / 100
"""The largest share of colored pixels in a mask."""
TINT = (255, 0, 96)

HOW_TO_DRAW = "Draw a mask with the region white and the rest black, or erase the region from a copy of the image"

Box = tuple[int, int, int, int]
"""The left, top, right and bottom edge of a rectangle inside an image, in pixels from its upper left corner."""

_NUMBER = re.compile(r"\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?%|-?[0-9]{1,9})\s*")
_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")


def parse_box(text: str, width: int, height: int) -> Box:
    """Return the box `X,Y,W,H` in an image of `width` x `height` pixels. Each number is pixels, or `N%` of that side.

    Edges are rounded, not sizes, so that boxes that touch in percent touch in pixels.
    Raise UsageError for any other text, and for a box that is empty or extends beyond the image.
    """
    parts = [_NUMBER.fullmatch(part) for part in text.split(",")]
    box = f"the box {quoted(text, 60)}"
    if len(parts) != 4 or None in parts:
        expected = "expected X,Y,W,H in pixels or percent, for example 10%,20%,300,50%"
        raise UsageError(f"invalid --mask-box {quoted(text, 60)}: {expected}")
    numbers = [part.group(1) for part in parts if part]
    x, y, w, h = (_pixels(number, side) for number, side in zip(numbers, (width, height) * 2, strict=True))
    left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
    if left >= right or top >= bottom:
        raise UsageError(f"{box} is empty", hint="Width and height must be at least one pixel")
    if left < 0 or top < 0 or right > width or bottom > height:
        edges = f"from {left},{top} to {right},{bottom}"
        hint = "X,Y is the upper left corner, and W,H the size of the box"
        raise UsageError(f"{box} reaches beyond the image ({width}x{height}): {edges}", hint=hint)
    return left, top, right, bottom


def _pixels(number: str, side: int) -> Fraction:
    return Fraction(number[:-1]) * side / 100 if number.endswith("%") else Fraction(number)


def from_box(box: Box, size: Size) -> "Image":
    """Return a mask of `size` that selects the box."""
    from PIL import Image

    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def from_color(image: "Image", color_text: str, tolerance: int) -> "Image":
    """Return a mask that selects every visible pixel of a color.

    color_text: `#rrggbb`, `#rgb` or a CSS color name, in sRGB.
    tolerance: the largest difference in red, green or blue, 0 to 255.
    Raise UsageError if `color_text` is not a color, or if no pixel matches it.
    """
    from PIL import Image, ImageChops, ImageColor

    name = color_text.strip().lower()
    if not _HEX.fullmatch(name) and name not in ImageColor.colormap:
        expected = "expected #rrggbb, #rgb or a CSS name, for example #ff8800 or teal"
        raise UsageError(f"invalid --mask-color {quoted(color_text, 40)}: {expected}")
    pixels = to_srgb(image)[0].convert("RGBA")
    color = Image.new("RGB", image.size, ImageColor.getrgb(name)[:3])
    distance = _largest_channel(ImageChops.difference(pixels.convert("RGB"), color))
    near = distance.point(lambda value: 255 if value <= tolerance else 0)
    visible = pixels.getchannel("A").point(lambda alpha: 255 if alpha else 0)
    mask = ImageChops.darker(near, visible)
    if mask.getextrema() == (0, 0):
        hint = "Copy the color from an image editor, or use --mask or --mask-box"
        raise UsageError(f"no pixel of the image is close to {name}", hint=hint)
    return mask


def from_alpha(image: "Image") -> "Image":
    """Return a mask that selects the transparent part. Raise UsageError if no pixel is at least half transparent."""
    from PIL import ImageChops

    pixels = to_srgb(image)[0]
    if "A" in pixels.getbands():
        mask = ImageChops.invert(pixels.getchannel("A"))
        if _white_share(mask):
            return mask
    hint = "Erase the region in an image editor, and save a PNG with transparency"
    raise UsageError("the image has no transparent part", hint=hint)


def from_image(image: "Image", size: Size, name: str, *, invert: bool) -> tuple["Image", bool]:
    """Return the mask from a mask image, and whether it selects that image's transparent part.

    As in other image tools, the region is the transparent part; without one, the white part. `invert` is not applied
    here; it only decides whether white on a transparent layer is ambiguous. name: the image's name in messages.
    Raise UsageError for an image that is not of `size`, or is not a mask by either rule.
    """
    image = to_srgb(image)[0]
    if image.size != size:
        sizes = f"the mask {name} is {image.width}x{image.height}, but the image is {size[0]}x{size[1]}"
        raise UsageError(sizes, hint="Scale the mask to the size of the image")
    mask = _transparent_part(image, name, invert=invert)
    return (_white_part(image, name, invert=invert), False) if mask is None else (mask, True)


def _transparent_part(image: "Image", name: str, *, invert: bool) -> "Image | None":
    """Return a mask that selects the transparent part; None if there is none.

    If all the rest is white, the two rules contradict each other, because many people draw the region in white on a
    transparent layer. Raise UsageError then.
    """
    from PIL import ImageChops

    if "A" not in image.getbands():
        return None
    mask = ImageChops.invert(image.getchannel("A"))
    if _white_share(mask) < STRAY:
        return None
    visible = image.getchannel("A").point(lambda alpha: 255 if alpha >= WHITE else 0)
    colors = _Colors.of(image, visible)
    if not colors.is_black_and_white or not colors.white or (invert and not colors.black):
        return mask
    if colors.black:
        hint = "Save it without transparency, the region white and the rest black"
    else:
        hint = "Add --invert to select the white part; or make the transparent part white, and the rest black"
    raise UsageError(f"the mask {name} has white and transparent parts, and either could be the region", hint=hint)


def _white_part(image: "Image", name: str, *, invert: bool) -> "Image":
    """Return a mask that selects the white part. Raise UsageError if the image is not black and white."""
    colors = _Colors.of(image, None)
    if not colors.is_black_and_white:
        what = "has colors" if colors.is_colored else "is mostly gray"
        raise UsageError(f"{name} is not a mask: it {what}", hint=HOW_TO_DRAW)
    if not colors.white or not colors.black:
        inverted = " with --invert" if invert else ""
        selects = "the whole image" if colors.white is not invert else "nothing"
        color = "white" if colors.white else "black"
        raise UsageError(f"the mask {name} is entirely {color}, so it selects {selects}{inverted}", hint=HOW_TO_DRAW)
    return image.convert("L")


@frozen
class _Colors:
    """The colors of an image. black, white: a share of at least STRAY is nearer to this than to the other."""

    black: bool
    white: bool
    is_colored: bool
    is_black_and_white: bool

    @classmethod
    def of(cls, image: "Image", visible: "Image | None") -> "_Colors":
        """Return the colors of the pixels that are white in `visible`; of all pixels if None."""
        from PIL import ImageChops

        rgb = image.convert("RGB")
        red, green, blue = rgb.split()
        darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
        tints = ImageChops.subtract(_largest_channel(rgb), darkest).histogram(visible)
        shades = rgb.convert("L").histogram(visible)
        pixels, least = sum(shades), STRAY * image.width * image.height
        colored = sum(tints[TINTED:]) > COLORED_SHARE * pixels
        clear = sum(shades[: DARK + 1]) + sum(shades[LIGHT:]) >= CLEAR_SHARE * pixels
        return cls(sum(shades[:WHITE]) >= least, sum(shades[WHITE:]) >= least, colored, clear and not colored)


def finish(mask: "Image", *, feather: int, invert: bool) -> "Image":
    """Return the final mask: inverted if requested, then with a soft edge.

    feather: the radius (standard deviation) of a Gaussian blur in pixels, 0 to MAX_FEATHER. It softens the outside
        only: white pixels stay white. Raise UsageError for another value, and if the mask selects nothing or the whole
        image.
    """
    from PIL import ImageChops, ImageFilter

    if not 0 <= feather <= MAX_FEATHER:
        raise UsageError(f"feather {feather} is out of range (0 to {MAX_FEATHER})")
    mask = ImageChops.invert(mask) if invert else mask
    if feather:
        # The blur turns a straight edge into half of white. Doubled, it is white up to the edge, and falls from there.
        soft = mask.filter(ImageFilter.GaussianBlur(feather)).point(lambda value: min(255, 2 * value))
        mask = ImageChops.lighter(mask, soft)
    share = _white_share(mask)
    if not share:
        raise UsageError("the mask selects nothing")
    if share > 1 - STRAY:
        raise UsageError("the mask selects the whole image", hint="To change the whole image, use", command=("edit",))
    return mask


def cut_out(image: "Image", mask: "Image") -> bytes:
    """Return the image as an RGBA PNG that is transparent where the mask is white. PiAPI inpaints there.

    The mask has the image's size. Any other transparency of the image is removed.
    """
    from PIL import ImageChops

    pixels = to_srgb(image)[0].convert("RGB")
    pixels.putalpha(ImageChops.invert(mask))
    return encode(pixels, "PNG")


def overlay(image: "Image", mask: "Image") -> "Image":
    """Return the image with the region tinted and outlined, in RGB, as a preview.

    Transparent parts appear on gray. The mask has the image's size.
    """
    from PIL import Image, ImageChops, ImageFilter

    backdrop = Image.new("RGBA", image.size, (128, 128, 128, 255))
    shown = Image.alpha_composite(backdrop, to_srgb(image)[0].convert("RGBA")).convert("RGB")
    tint = mask.point(lambda value: value * 45 // 100)
    shown.paste(TINT, (0, 0), tint)
    region = mask.point(lambda value: 255 if value >= WHITE else 0)
    width = 2 * max(1, max(image.size) // 300) + 1  # visible even if the image is scaled to a screen
    outside = ImageChops.difference(region.filter(ImageFilter.MaxFilter(width)), region)
    inside = ImageChops.difference(region, region.filter(ImageFilter.MinFilter(width)))
    shown.paste("black", (0, 0), outside)  # black beside white is visible on every background
    shown.paste("white", (0, 0), inside)
    return shown


def _largest_channel(rgb: "Image") -> "Image":
    from PIL import ImageChops

    red, green, blue = rgb.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _white_share(mask: "Image") -> float:
    return sum(mask.histogram()[WHITE:]) / (mask.width * mask.height)
