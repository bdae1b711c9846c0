"""Arithmetic on whole pictures, shared by the operations.

All of it is done by Pillow in whole numbers, so that the pixels are the same on every machine; Image.blend and
GaussianBlur are not used because they round floating-point sums, which processors may order differently.
"""

from PIL import Image, ImageChops, ImageFilter

Size = tuple[int, int]


def as_rgb(image: Image.Image) -> Image.Image:
    """The picture's colours as RGB, whatever its mode; transparency is ignored, 16 bits become 8."""
    if image.mode.startswith("I"):
        wide = image.convert("I")
        _, highest = wide.getextrema()
        if isinstance(highest, int | float) and highest > 255:
            wide = wide.point(lambda value: value * (1 / 256) + 0)
        image = wide.convert("L")
    return image.convert("RGB")


def light_of(image: Image.Image) -> Image.Image:
    """How light each pixel is, 0..255, as an L picture."""
    return as_rgb(image).convert("L")


def mixed(one: Image.Image, other: Image.Image, share: float) -> Image.Image:
    """Between one (share 0, exactly) and the other (share 1, exactly)."""
    level = round(255 * min(1.0, max(0.0, share)))
    return Image.composite(other, one, Image.new("L", one.size, level))


def gray(light: Image.Image) -> Image.Image:
    """An L picture as RGB, to be combined with another RGB picture."""
    return Image.merge("RGB", (light, light, light))


def unit(size: Size) -> float:
    """The length, in pixels, that stands for a picture's size whatever its shape: 1024 for 1024 x 1024."""
    return float((size[0] * size[1]) ** 0.5)


def blur(image: Image.Image, radius: float) -> Image.Image:
    """Soft over about `radius` pixels; less than half a pixel changes nothing."""
    reach = ImageFilter.BoxBlur(min(round(radius), max(image.size)))
    return image.filter(reach).filter(reach) if round(radius) > 0 else image


def shifted(image: Image.Image, x: int, y: int) -> Image.Image:
    """Moved right and down by pixels; the border that is left free keeps what was there."""
    moved = image.copy()
    moved.paste(image, (x, y))
    return moved


def edges(light: Image.Image) -> Image.Image:
    """How much an L picture changes from pixel to pixel, 0..255, across and down added."""
    across = ImageChops.difference(shifted(light, 1, 0), shifted(light, -1, 0))
    down = ImageChops.difference(shifted(light, 0, 1), shifted(light, 0, -1))
    return ImageChops.add(across, down)


def stretched(light: Image.Image, cut: float = 0.5) -> Image.Image:
    """An L picture made to use all of 0..255, but for `cut` percent of its pixels at either end; a flat one stays."""
    counts = light.histogram()
    spare = sum(counts) * cut / 100
    low = next(value for value in range(256) if sum(counts[: value + 1]) > spare)
    high = next(value for value in range(255, -1, -1) if sum(counts[value:]) > spare)
    if high <= low:
        return light
    return light.point([min(255, max(0, (value - low) * 255 // (high - low))) for value in range(256)])


def levels(light: Image.Image, low: float, high: float) -> Image.Image:
    """An L picture in which `low` and less become 0, `high` and more 255, and the rest a ramp between."""
    return light.point([round(min(255.0, max(0.0, (v - low) * 255 / max(1e-6, high - low)))) for v in range(256)])


def tiled(tile: Image.Image, size: Size) -> Image.Image:
    """A sheet of the size, papered with the tile from its top left."""
    sheet = Image.new(tile.mode, size)
    sheet.paste(tile)
    wide, tall = tile.size
    while wide < size[0]:  # each turn doubles what is papered
        sheet.paste(sheet.crop((0, 0, wide, tall)), (wide, 0))
        wide *= 2
    while tall < size[1]:
        sheet.paste(sheet.crop((0, 0, size[0], tall)), (0, tall))
        tall *= 2
    return sheet
