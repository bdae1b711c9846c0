"""What everything is drawn on."""

from collections.abc import Sequence
from random import Random

from PIL import Image, ImageDraw

from .colors import Color, Palette
from .randomness import seeded
from .shapes import Point


class Canvas:
    """An RGB picture in the making. Lengths are pixels; `unit` is its size, whatever its shape."""

    def __init__(self, width: int, height: int, palette: Palette, key: str) -> None:
        self.width, self.height, self.palette, self.key = width, height, palette, key
        self.unit = min((width * height) ** 0.5, 1.6 * min(width, height))
        self.sun: Point = (0.0, 0.0)
        self.image = Image.new("RGB", (width, height), palette.sky_low)
        self.pen = ImageDraw.Draw(self.image)

    def rng(self, name: str) -> Random:
        """A generator for one part of the picture, so that the other parts do not depend on its use."""
        return seeded(self.key, name)

    def at(self, x: float, y: float) -> Point:
        """Pixel position of fractions of the width and the height."""
        return x * self.width, y * self.height

    def poly(self, points: Sequence[Point], color: Color) -> None:
        """Fill a polygon."""
        self.pen.polygon(points, fill=color)

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        """Fill a circle."""
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    def shade(self, points: Sequence[Point], *stops: Color) -> None:
        """Fill a polygon with a gradient, from its top to its bottom."""
        left, top = (max(0, int(min(p[i] for p in points))) for i in (0, 1))
        right = min(self.width, int(max(p[0] for p in points)) + 1)
        bottom = min(self.height, int(max(p[1] for p in points)) + 1)
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=255)
        self.image.paste(gradient(mask.width, mask.height, stops), (left, top), mask)

    def glow(self, x: float, y: float, radius: float, color: Color, strength: float) -> None:
        """Blend in a soft light; strength 0..1 is how much of it shows at its middle."""
        fall = [max(0.0, 1 - v / 176) ** 2 for v in range(256)]  # the gradient is at 176 before it meets an edge
        light = Image.radial_gradient("L").point([round(255 * strength * f) for f in fall])
        size = max(1, round(radius * 2))
        self.image.paste(color, (round(x - radius), round(y - radius)), light.resize((size, size)))


def gradient(width: int, height: int, stops: Sequence[Color]) -> Image.Image:
    """A picture that runs through the colours from top to bottom."""
    column = Image.frombytes("RGB", (1, len(stops)), bytes(value for stop in stops for value in stop))
    # from the middle of the first colour's pixel to the middle of the last one's
    return column.resize((width, height), Image.Resampling.BILINEAR, box=(0, 0.5, 1, len(stops) - 0.5))
