"""What the named styles do to a picture's surface. Each takes an RGB picture and returns one of the same size."""

import hashlib
from collections.abc import Callable

from PIL import Image, ImageChops, ImageFilter

from .pixels import blur, edges, gray, levels, light_of, mixed, shifted, stretched, tiled, unit
from .tones import flattened

Texture = Callable[[Image.Image], Image.Image]


def posterise(image: Image.Image) -> Image.Image:
    """Few flat tones, each in the colours that were there."""
    soft = blur(image, unit(image.size) / 400)
    steps = [128 + (round(flattened(value, 5) * 255) - value) for value in range(256)]
    return ImageChops.add(soft, gray(light_of(soft).point(steps)), 1, -128)


def ink(image: Image.Image) -> Image.Image:
    """Flat colours within dark outlines, as in a comic."""
    return ImageChops.multiply(mixed(image, posterise(image), 0.7), outlines(image, 10, 60))


def fine_line(image: Image.Image) -> Image.Image:
    """Pale flat colours, thin outlines, and hatching in the shadows."""
    pale = posterise(image).point([90 + value * 165 // 255 for value in range(256)] * 3)
    shadows = ImageChops.lighter(hatched(image, 70), gray(Image.new("L", image.size, 90)))
    return ImageChops.multiply(ImageChops.multiply(pale, shadows), outlines(image, 6, 40))


def outlines(image: Image.Image, low: float, high: float) -> Image.Image:
    """Black along the edges on white."""
    slope = edges(blur(light_of(image), unit(image.size) / 700))
    return gray(levels(slope, low, high).point([255 - value * 4 // 5 for value in range(256)]))


def shade_of(image: Image.Image) -> Image.Image:
    """The picture's light for a printer in one ink: using the whole range, dark parts lifted so as not to clog."""
    return stretched(blur(light_of(image), unit(image.size) / 500)).point([30 + v * 225 // 255 for v in range(256)])


def halftone(image: Image.Image) -> Image.Image:
    """Dots of ink on paper, larger where it is dark."""
    side = max(4, round(unit(image.size) / 90)) // 2 * 2
    dots = Image.new("L", (side, side))
    for y in range(side):
        for x in range(side):
            far = ((x + 0.5 - side / 2) ** 2 + (y + 0.5 - side / 2) ** 2) / (side * side / 2)
            dots.putpixel((x, y), round(255 * far))
    screen = tiled(dots, image.size)
    ratio = ImageChops.subtract(shade_of(image), screen, 1, 128)
    printed = levels(ratio, 118, 150)
    paper = blur(image, side / 3).point([96 + value * 159 // 255 for value in range(256)] * 3)
    return ImageChops.multiply(paper, gray(printed.point([60 + value * 195 // 255 for value in range(256)])))


def hatching(image: Image.Image) -> Image.Image:
    """A pen drawing: strokes in one direction where it is shaded, crossed where it is dark."""
    tinted = image.point([150 + value * 105 // 255 for value in range(256)] * 3)
    return ImageChops.multiply(ImageChops.multiply(hatched(image, 150), tinted), outlines(image, 12, 60))


def hatched(image: Image.Image, darkest: int) -> Image.Image:
    """Strokes on white, of lightness below `darkest` crossed by others."""
    side, light = max(4, round(unit(image.size) / 110)), shade_of(image)
    rising, falling = Image.new("L", (side, side)), Image.new("L", (side, side))
    for y in range(side):
        for x in range(side):
            rising.putpixel((x, y), (x + y) % side * 255 // side)
            falling.putpixel((x, y), (x - y) % side * 255 // side)
    first = levels(ImageChops.subtract(light, tiled(rising, image.size), 1, 128), 108, 140)
    again = light.point([min(255, value + 255 - darkest) for value in range(256)])
    second = levels(ImageChops.subtract(again, tiled(falling, image.size), 1, 128), 108, 140)
    return gray(ImageChops.darker(first, second))


def woodcut(image: Image.Image) -> Image.Image:
    """Black and one colour, cut in lines that swell with the shade."""
    side = max(4, round(unit(image.size) / 100))
    bars = Image.frombytes("L", (1, side), bytes(abs(2 * i - side) * 230 // side for i in range(side)))
    light = shade_of(image)
    cut = levels(ImageChops.subtract(light, tiled(bars, image.size), 1, 128), 112, 140)
    flat = posterise(image).point([120 + value * 135 // 255 for value in range(256)] * 3)
    return ImageChops.multiply(ImageChops.multiply(flat, gray(cut)), outlines(image, 10, 40))


def pixels(image: Image.Image) -> Image.Image:
    """Large square pixels in few tones."""
    side = max(2, round(unit(image.size) / 80))
    small = image.resize((-(-image.width // side), -(-image.height // side)), Image.Resampling.BOX)
    small = small.point([min(255, round(value / 36) * 36) for value in range(256)] * 3)
    return small.resize((small.width * side, small.height * side), 0).crop((0, 0, *image.size))


def grain(image: Image.Image) -> Image.Image:
    """A film's grain and darker corners."""
    corners = Image.radial_gradient("L").resize(image.size)
    shade = corners.point([255 - max(0, value - 90) * 3 // 5 for value in range(256)])
    return ImageChops.multiply(roughened(image, "film", (1, 1), 56), gray(shade))


def fur(image: Image.Image) -> Image.Image:
    """Short upright strands everywhere, over a softened picture."""
    length = max(4, round(unit(image.size) / 60))
    soft = blur(image, length / 6)
    return roughened(soft, "fur", (max(1, length // 12), length), 110)


def canvas(image: Image.Image) -> Image.Image:
    """Patches of paint on woven cloth."""
    painted = strokes(image)
    rows = roughened(painted, "weft", (max(3, round(unit(image.size) / 60)), 1), 26)
    return roughened(rows, "warp", (1, max(3, round(unit(image.size) / 60))), 26)


def strokes(image: Image.Image) -> Image.Image:
    """Fine detail gathered into patches of paint; done at half size, as it takes long."""
    small = image.resize(((image.width + 1) // 2, (image.height + 1) // 2), Image.Resampling.BOX)
    patches = small.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.MinFilter(3))
    return patches.resize(image.size, Image.Resampling.BICUBIC)


def glow(image: Image.Image) -> Image.Image:
    """Strong colours, and light that spreads from what is light."""
    light = blur(image.point([max(0, value - 130) * 255 // 125 for value in range(256)] * 3), unit(image.size) / 40)
    vivid = ImageChops.overlay(image, image)
    return ImageChops.screen(mixed(image, vivid, 0.4), light.point([value // 4 for value in range(256)] * 3))


def neon(image: Image.Image) -> Image.Image:
    """A dark picture with its edges lit up."""
    slope = edges(blur(light_of(image), unit(image.size) / 500))
    wire = levels(slope, 8, 70)
    lit = image.point([min(255, 90 + value) for value in range(256)] * 3)
    lamps = ImageChops.multiply(lit, gray(wire))
    halo = blur(lamps, unit(image.size) / 60).point([min(255, value * 2) for value in range(256)] * 3)
    dark = image.point([value * value // 330 for value in range(256)] * 3)
    return ImageChops.screen(ImageChops.screen(dark, lamps), halo)


def layers(image: Image.Image) -> Image.Image:
    """Sheets of cut paper, the lighter ones on top, each with a shadow below."""
    size = unit(image.size)
    light, drop = blur(light_of(image), size / 350), max(1, round(size / 170))
    flat = posterise(blur(image, size / 350))
    sheet = mixed(flat, Image.new("RGB", image.size), 0.3)
    for low in (50, 95, 140, 185, 225):
        shape = levels(light, low - 2, low + 3)
        shadow = blur(shifted(shape, drop, drop), drop)
        sheet = ImageChops.multiply(sheet, gray(shadow.point([255 - value * 2 // 5 for value in range(256)])))
        rim = ImageChops.subtract(shape, shifted(shape, 1, 1)).point([value // 3 for value in range(256)])
        sheet = Image.composite(flat, sheet, shape)
        sheet = Image.composite(Image.new("RGB", image.size, (255, 255, 255)), sheet, rim)
    return roughened(sheet, "paper", (1, 1), 14)


def roughened(image: Image.Image, name: str, stretch: tuple[int, int], depth: int) -> Image.Image:
    """The picture with noise of a depth 0..255 upon it, its specks stretched to so many pixels across and down."""
    noise = Image.frombytes("L", (128, 128), hashlib.shake_256(name.encode()).digest(128 * 128))
    wide, tall = 128 * stretch[0], 128 * stretch[1]
    noise = noise.resize((wide, tall), Image.Resampling.BILINEAR)
    noise = noise.point([128 - depth // 2 + value * depth // 255 for value in range(256)])
    return ImageChops.add(image, gray(tiled(noise, image.size)), 1, -128)
