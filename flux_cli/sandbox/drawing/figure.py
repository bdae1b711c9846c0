"""Where a subject is drawn: a box of its own that stands on (0, 0) and is 1 high."""

from collections.abc import Sequence

from .canvas import Canvas
from .colors import BLACK, Color, mix
from .shapes import Point, smooth


class Figure:
    """A place on the canvas where one subject is drawn, in units of its own height, upright."""

    def __init__(self, c: Canvas, x: float, y: float, size: float, flip: bool) -> None:
        self.c, self.x, self.y, self.size, self.way = c, x, y, size, -1 if flip else 1

    def spot(self, x: float, y: float) -> Point:
        """Pixel position of a point of the figure."""
        return self.x + x * self.size * self.way, self.y - y * self.size

    def poly(self, points: Sequence[Point], color: Color) -> None:
        """Fill a polygon."""
        self.c.poly([self.spot(*p) for p in points], color)

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        """Fill a circle."""
        self.c.disc(*self.spot(x, y), radius * self.size, color)

    def block(self, left: float, right: float, top: float, color: Color) -> None:
        """Fill an upright box standing on the ground, its right part in shadow."""
        edge = left + (right - left) * 0.6
        self.poly([(left, -0.05), (left, top), (edge, top), (edge, -0.05)], color)
        self.poly([(edge, -0.05), (edge, top), (right, top), (right, -0.05)], mix(color, BLACK, 0.2))

    def halves(self, points: Sequence[Point], color: Color, shift: float = 0) -> None:
        """Fill a symmetrical outline, given by its right half, which lies in shadow."""
        self.poly([(shift - x, y) for x, y in points], color)
        self.poly([(shift + x, y) for x, y in points], mix(color, BLACK, 0.17))

    def limb(self, points: Sequence[Point], radii: Sequence[float], color: Color) -> None:
        """Draw a tapering curve with round ends."""
        path = smooth(points, 24)
        for i, (x, y) in enumerate(path):
            place = i / (len(path) - 1) * (len(radii) - 1)
            k = min(int(place), len(radii) - 2)
            self.disc(x, y, radii[k] + (radii[k + 1] - radii[k]) * (place - k), color)
