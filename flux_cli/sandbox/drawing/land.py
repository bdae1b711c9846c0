"""Ranges of land, and the firs and peaks that stand on them."""

from collections.abc import Callable
from random import Random

from .canvas import Canvas
from .colors import BLACK, WHITE, Color, mix
from .randomness import between
from .shapes import Point

Crest = Callable[[float], float]  # x in pixels -> y of the ground there, in pixels


def crest(c: Canvas, name: str, level: float, swing: float, bumps: int, octaves: int = 2) -> Crest:
    """The line of a range of hills: around `level` (0 top .. 1 bottom), `swing` units high or low."""
    rng, bumps = c.rng(name), max(bumps, round(bumps * c.width / c.height / 2))
    layers = [[rng.random() for _ in range(bumps * 2**octave + 2)] for octave in range(octaves)]

    def height(x: float) -> float:
        t, rise = min(1.0, max(0.0, x / c.width)), 0.0
        for octave, values in enumerate(layers):
            i, part = divmod(t * (len(values) - 2), 1)
            part = part * part * (3 - 2 * part) if octaves < 4 else part
            rise += (values[int(i)] * (1 - part) + values[int(i) + 1] * part - 0.5) / 2**octave
        return float(level * c.height - rise * swing * c.unit)

    return height


def land(c: Canvas, line: Crest, depth: float, fade: float = 0.35) -> Crest:
    """Fill everything under a crest. Depth 0 is the far end, 1 the near; the foot fades into haze."""
    p, step = c.palette, max(2.0, c.width / 240)
    top = mix(p.far, p.near, depth)
    points = [(i * step, line(i * step)) for i in range(int(c.width / step) + 2)]
    c.shade([(0, c.height), *points, (c.width, c.height)], top, mix(top, p.sky_low, fade * (1.1 - depth)))
    return line


def pine(c: Canvas, x: float, y: float, tall: float, color: Color) -> None:
    """A fir of three tiers, lit from the left."""
    dim = mix(color, BLACK, 0.22)
    for tier in range(3):
        half, foot, tip = tall * (0.2 - 0.045 * tier), y - tall * 0.25 * tier, y - tall * (0.52 + 0.24 * tier)
        c.poly([(x - half, foot), (x, tip), (x, foot + tall * 0.03)], color)
        c.poly([(x + half, foot), (x, tip), (x, foot + tall * 0.03)], dim)


def pines(c: Canvas, line: Crest, name: str, tall: float, count: int, color: Color) -> None:
    """A loose row of firs along a crest, `tall` units high."""
    rng, count = c.rng(name), round(count * max(0.5, c.width / c.unit))
    for i in range(count):
        x = (i + between(rng, -0.4, 1.4)) / count * c.width
        pine(c, x, line(x) + 0.02 * c.unit, c.unit * tall * between(rng, 0.55, 1.15), color)


def peak(c: Canvas, top: Point, foot: float, half: float, color: Color, rng: Random) -> None:
    """A snow-capped mountain of two faces, the right one in shadow."""
    (x, y), tall = top, foot - top[1]
    dim, snow = mix(color, c.palette.dark, 0.35), mix(c.palette.sun, WHITE, 0.6)
    drops = (0.0, 0.14, 0.3, 0.48, 0.7, 1.0)
    ridge = [(x + half * d * between(rng, -0.22, 0.28), y + tall * d) for d in drops]
    c.shade([(x - half, foot), *ridge], color, mix(color, c.palette.sky_low, 0.3))
    c.shade([(x + half, foot), *ridge], dim, mix(dim, c.palette.sky_low, 0.3))
    middle = ridge[2]
    left = [(x - half * d, y + tall * (d + dip)) for d, dip in ((0.34, 0), (0.24, -0.05), (0.16, 0.06), (0.08, -0.04))]
    right = [(x + half * d, y + tall * (d + dip)) for d, dip in ((0.3, 0), (0.22, -0.06), (0.12, 0.08))]
    c.poly([ridge[0], ridge[1], middle, *reversed(left)], snow)
    c.poly([ridge[0], ridge[1], middle, *reversed(right)], mix(snow, dim, 0.38))
