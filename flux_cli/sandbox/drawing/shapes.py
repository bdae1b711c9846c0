"""Points and the outlines made of them."""

import math
from collections.abc import Sequence

Point = tuple[float, float]


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Catmull-Rom curve through open points; a point given twice stays a corner."""
    padded = [points[0], *points, points[-1]]
    curve: list[Point] = []
    for (ax, ay), (bx, by), (cx, cy), (dx, dy) in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for i in range(steps):
            t = i / steps
            wa, wb = -t + 2 * t * t - t**3, 2 - 5 * t * t + 3 * t**3
            wc, wd = t + 4 * t * t - 3 * t**3, t**3 - t * t
            curve.append(((wa * ax + wb * bx + wc * cx + wd * dx) / 2, (wa * ay + wb * by + wc * cy + wd * dy) / 2))
    return [*curve, points[-1]]


def ellipse(across: float, down: float, tilt: float) -> list[Point]:
    """Outline around (0, 0), the lower half first, turned by `tilt` radians."""
    turns = [(across * math.cos(i * math.pi / 48), down * math.sin(i * math.pi / 48)) for i in range(96)]
    return [(x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)) for x, y in turns]
