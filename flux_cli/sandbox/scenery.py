"""What the sandbox paints with: a canvas, landscapes in flat layers, and a few silhouettes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]
Crest = Callable[[float], float]  # x in pixels -> y of the ground there, in pixels

WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)


@dataclass(frozen=True)
class Palette:
    """Eight colours: the sky from top to horizon, its sun, land from far to near, silhouettes, an accent."""

    sky_top: Color
    sky_mid: Color
    sky_low: Color
    sun: Color
    far: Color
    near: Color
    dark: Color
    accent: Color


def mix(a: Color, b: Color, share: float) -> Color:
    """Colour between a (share 0) and b (share 1)."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def luminance(color: Color) -> float:
    """Relative luminance as WCAG defines it: 0 for black, 1 for white."""
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def seeded(*parts: object) -> Random:
    """A generator of the same numbers for the same parts, on every machine. Use only its random()."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return Random(int.from_bytes(hashlib.sha256(text).digest(), "big"))


def between(rng: Random, low: float, high: float) -> float:
    """The generator's next number, in low..high."""
    return low + (high - low) * rng.random()


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


# ---- sky ----


def sky(c: Canvas, radius: float) -> None:
    """Gradient, stars or clouds, and the sun with its glow."""
    p = c.palette
    c.image.paste(gradient(c.width, c.height, (p.sky_top, p.sky_mid, p.sky_low, p.sky_low)))
    night = luminance(p.sky_top) < 0.06
    if night:
        stars(c, 110)
    c.glow(*c.sun, radius * 3.4, mix(p.sun, p.sky_low, 0.3), 0.75)
    c.disc(*c.sun, radius, p.sun)
    if not night:
        clouds(c)


def stars(c: Canvas, count: int) -> None:
    """Small stars, a few of them bright, thinning out towards the horizon."""
    rng = c.rng("stars")
    for _ in range(count):
        x, y = c.at(rng.random(), rng.random() * rng.random() * 0.75)
        size = 0.0009 + 0.0024 * rng.random() ** 4
        c.disc(x, y, max(0.6, size * c.unit), mix(c.palette.sky_mid, WHITE, between(rng, 0.4, 0.95)))


def clouds(c: Canvas) -> None:
    """Flat banks of cloud, each a stack of rounded bars."""
    rng, color = c.rng("clouds"), mix(c.palette.sky_low, WHITE, 0.35)
    for _ in range(3):
        x, y = c.at(rng.random(), between(rng, 0.06, 0.38))
        for bar in range(3):
            half, tall = c.unit * between(rng, 0.05, 0.15), c.unit * 0.017
            middle, top = x + c.unit * between(rng, -0.07, 0.07), y + bar * tall
            c.pen.rounded_rectangle((middle - half, top, middle + half, top + tall + 1), tall / 2, fill=color)


# ---- land ----


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


# ---- scenes: each paints from the horizon forward and returns the ground a subject can stand on ----


def hills(c: Canvas) -> Crest:
    """Rolling hills, with firs on the nearer ones."""
    for i in range(4):
        line = land(c, crest(c, f"hill{i}", 0.5 + 0.085 * i, 0.2 - 0.03 * i, 3), i / 4)
        if i in (1, 2):
            pines(c, line, f"firs{i}", 0.05 * i, 7, mix(c.palette.far, c.palette.dark, 0.35 + 0.25 * i))
    return land(c, crest(c, "front", 0.85, 0.09, 2), 1)


def mountains(c: Canvas) -> Crest:
    """Snow-capped peaks over a jagged range, behind a dark wood."""
    p, rng = c.palette, c.rng("peaks")
    land(c, crest(c, "range", 0.47, 0.3, 5, 5), 0.0, 0.8)
    for i, place in enumerate((0.12, 0.88, 0.5)):
        top = c.at(place + between(rng, -0.14, 0.14), between(rng, 0.24, 0.36) + 0.06 * (i < 2))
        peak(c, top, 0.85 * c.height, c.unit * between(rng, 0.36, 0.46), mix(p.far, p.near, 0.12 + 0.12 * i), rng)
    for i in range(2):
        line = land(c, crest(c, f"wood{i}", 0.72 + 0.08 * i, 0.1, 3), 0.55 + 0.2 * i)
        pines(c, line, f"firs{i}", 0.08 + 0.04 * i, 16, mix(p.far, p.dark, 0.6 + 0.2 * i))
    return land(c, crest(c, "front", 0.88, 0.07, 2), 1)


def sea(c: Canvas) -> Crest:
    """A sea with islands and the sun's glitter on it."""
    p, rng, horizon = c.palette, c.rng("sea"), 0.58 * c.height
    land(c, crest(c, "isle0", 0.6, 0.16, 4), 0.1)
    land(c, crest(c, "isle1", 0.62, 0.2, 3), 0.35)
    deep = mix(p.sky_top, p.near, 0.45)
    for i in range(6):
        top = horizon + (c.height - horizon) * (i / 6) ** 1.3
        line = crest(c, f"wave{i}", top / c.height, 0.012 * i, 5)
        points = [(x * c.width / 96, line(x * c.width / 96)) for x in range(97)]
        tone = mix(mix(p.sky_low, p.sky_mid, 0.5), deep, 0.25 + 0.15 * i)
        c.shade([(0, c.height), *points, (c.width, c.height)], tone, mix(tone, deep, 0.5))
    for i in range(22):
        y = horizon + (c.height - horizon) * ((i + 0.5) / 26) ** 1.25
        x = c.sun[0] + c.unit * between(rng, -0.02, 0.02) * (1 + i / 8)
        half, thick = c.unit * between(rng, 0.02, 0.09) * (1 + i / 30), c.unit * (0.0018 + 0.00013 * i)
        c.pen.ellipse((x - half, y - thick, x + half, y + thick), fill=mix(p.sun, p.sky_low, 0.25))
    return crest(c, "front", 0.9, 0.1, 2)


def city(c: Canvas) -> Crest:
    """A skyline in four layers, its windows lit."""
    p = c.palette
    for i in range(4):
        rng, x = c.rng(f"street{i}"), -0.05 * c.unit
        wall = mix(p.far, p.near, i / 3)
        while x < c.width:
            wide = c.unit * between(rng, 0.06, 0.11) * (1 + i * 0.12)
            top = c.height * (0.5 + 0.09 * i) - c.unit * 0.34 * rng.random() ** 1.5
            tower(c, rng, (x, top, x + wide, c.height), wall, i)
            x += wide * between(rng, 0.9, 1.25)
    return land(c, crest(c, "front", 0.92, 0.03, 2), 1)


def tower(c: Canvas, rng: Random, box: tuple[float, float, float, float], wall: Color, layer: int) -> None:
    """One building, lit from the left, with a roof of some kind and rows of windows."""
    left, top, right, bottom = box
    wide, roof = right - left, int(rng.random() * 4)
    side = left + wide * between(rng, 0.55, 0.75)
    if roof == 0:
        c.poly([(left, top + 1), (side, top - wide * 0.4), (right, top + 1)], wall)
    elif roof == 1:
        c.pen.line((side, top, side, top - wide * 0.9), fill=wall, width=max(1, round(wide * 0.05)))
    elif roof == 2:
        c.poly(
            [
                (left + wide * 0.2, top - wide * 0.3),
                (side, top - wide * 0.3),
                (side, top + 1),
                (left + wide * 0.2, top + 1),
            ],
            wall,
        )
    c.shade([(left, top), (right, top), (right, bottom), (left, bottom)], wall, mix(wall, c.palette.sky_low, 0.25))
    c.shade([(side, top), (right, top), (right, bottom), (side, bottom)], mix(wall, BLACK, 0.22), wall)
    if layer == 0:
        return
    cell, lit = c.unit * 0.0165, between(rng, 0.08, 0.5)
    glow = c.palette.accent if rng.random() < 0.3 else c.palette.sun
    for row in range(1, int((c.height * 0.92 - top) / cell)):
        for column in range(int((side - left) / cell - 0.6)):
            if rng.random() < lit:
                x, y = left + (column + 0.6) * cell, top + row * cell
                c.pen.rectangle((x, y, x + cell * 0.45, y + cell * 0.5), fill=mix(glow, wall, 0.45 * rng.random()))


def forest(c: Canvas) -> Crest:
    """Ranks of firs coming out of the mist."""
    for i in range(5):
        line = crest(c, f"rank{i}", 0.56 + 0.075 * i, 0.12, 3)
        tone = mix(c.palette.far, c.palette.dark, i / 5)
        pines(c, line, f"firs{i}", 0.15 + 0.07 * i, 22 - 3 * i, tone)
        land(c, line, i / 5, 0.9)
    return land(c, crest(c, "front", 0.88, 0.06, 2), 1)


def desert(c: Canvas) -> Crest:
    """Dunes with a bright and a shadowed face."""
    p, ground = c.palette, crest(c, "front", 0.86, 0.1, 2)
    land(c, crest(c, "mesa", 0.56, 0.1, 6, 4), 0.0)
    for i in range(4):
        line = land(c, crest(c, f"dune{i}", 0.6 + 0.085 * i, 0.2, 2, 1) if i < 3 else ground, 0.15 + 0.25 * i, 0.5)
        step = c.width / 160
        top = min(range(24, 136), key=lambda j, line=line, step=step: line(j * step))  # type: ignore[misc]
        x, y = top * step, line(top * step)
        tone = mix(mix(p.far, p.near, 0.25 + 0.25 * i), p.dark, 0.28)
        fall = smooth(
            [
                (x, y),
                (x + 0.05 * c.unit, y + 0.1 * c.unit),
                (x - 0.04 * c.unit, y + 0.25 * c.unit),
                (x + 0.1 * c.unit, c.height + 0.1 * c.unit),
            ]
        )
        slope = [(j * step, line(j * step)) for j in range(top, 162)]
        c.shade([*reversed(slope), *fall, (c.width, c.height)], tone, mix(tone, p.far, 0.45))
    return ground


def space(c: Canvas) -> Crest:
    """A ringed planet and a moon over a far world."""
    p, rng = c.palette, c.rng("planet")
    stars(c, 160)
    x, y = c.at(between(rng, 0.3, 0.7), between(rng, 0.27, 0.42))
    radius, tilt = c.unit * between(rng, 0.15, 0.21), between(rng, -0.45, 0.45)
    ring = [(x + radius * dx, y + radius * dy) for dx, dy in ellipse(1.75, 0.42, tilt)]
    hole = [(x + radius * dx, y + radius * dy) for dx, dy in ellipse(1.3, 0.29, tilt)]
    half = len(ring) // 2
    tone = mix(p.sun, p.sky_low, 0.3)
    c.poly([*ring[half:], ring[0], hole[0], *reversed(hole[half:])], mix(tone, p.sky_top, 0.35))
    globe = [(x + radius * dx, y + radius * dy) for dx, dy in ellipse(1, 1, 0)]
    c.shade(globe, p.accent, mix(p.accent, p.sky_top, 0.75))
    c.poly([*ring[: half + 1], *reversed(hole[: half + 1])], tone)
    moon = x + radius * (2.2 if x < c.width / 2 else -2.2)
    c.disc(moon, y - radius * 0.9, radius * 0.2, mix(p.sun, p.sky_mid, 0.25))
    for i in range(3):
        land(c, crest(c, f"rock{i}", 0.68 + 0.07 * i, 0.16, 3, 4), 0.3 * i, 0.6)
    return land(c, crest(c, "front", 0.88, 0.07, 2), 1)


def abstract(c: Canvas) -> Crest:
    """Geometry: a grid of quarter circles, discs and arches."""
    p, rng = c.palette, c.rng("tiles")
    inks = [p.sky_top, p.sky_mid, p.sky_low, p.sun, p.near, p.dark, p.accent]
    across = max(1, round(4 * c.width / c.unit))
    down = max(1, round(across * c.height / c.width))
    wide, tall = c.width / across, c.height / down
    for i in range(across * down):
        x, y = i % across * wide, i // across * tall
        tile(c, rng, (x, y, x + wide, y + tall), inks)
    return lambda x: 0.96 * c.height


def tile(c: Canvas, rng: Random, box: tuple[float, float, float, float], inks: list[Color]) -> None:
    """One square of the abstract grid: a ground and, mostly, one figure or two on it."""
    first, kind, turn = (int(rng.random() * n) for n in (len(inks), 6, 4))
    shift = 1 + int(rng.random() * (len(inks) - 1))
    ground, ink, third = (inks[(first + shift * k) % len(inks)] for k in range(3))
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    # a figure of twice the square's size is drawn around one of its corners, on a square of its own
    cell = Image.new("RGB", (round(right) - round(left), round(bottom) - round(top)), ground)
    pen = ImageDraw.Draw(cell)
    cx, cy = (turn % 2) * wide, (turn // 2) * tall
    for share, color in ((1.0, ink), (0.6, third), (0.25, ground))[: (0, 1, 3, 2, 1, 2)[kind]]:
        x, y = (cx, cy) if kind < 4 else (wide / 2, tall / 2)
        rx, ry = (share * wide, share * tall) if kind < 4 else (share * 0.42 * min(wide, tall),) * 2
        pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=color)
    if kind == 0:
        pen.polygon([(0, 0), (wide, tall), (0, tall)] if turn % 2 else [(wide, 0), (wide, tall), (0, tall)], fill=ink)
    c.image.paste(cell, (round(left), round(top)))


SCENES: dict[str, Callable[[Canvas], Crest]] = {
    f.__name__: f for f in (hills, mountains, sea, city, forest, desert, space, abstract)
}


def snowfall(c: Canvas) -> None:
    """Falling flakes, small and large."""
    rng = c.rng("flakes")
    for _ in range(150):
        size = c.unit * (0.0015 + 0.0035 * rng.random() ** 3)
        c.disc(*c.at(rng.random(), rng.random()), size, mix(c.palette.sky_low, WHITE, 0.8))


def rain(c: Canvas) -> None:
    """Slanting streaks of rain."""
    rng, veil = c.rng("rain"), Image.new("L", c.image.size)
    pen = ImageDraw.Draw(veil)
    for _ in range(260):
        (x, y), fall = c.at(rng.random() * 1.1, rng.random() - 0.03), c.unit * between(rng, 0.02, 0.06)
        pen.line((x, y, x - fall * 0.25, y + fall), fill=90, width=max(1, round(c.unit * 0.0016)))
    c.image.paste(mix(c.palette.sky_low, WHITE, 0.6), (0, 0), veil)


# ---- subjects: drawn in a box that stands on (0, 0) and is 1 high ----

EARS: dict[str, list[Point]] = {  # right ear; the left one mirrors it
    "fox": [(0.05, 0.88), (0.18, 1.08), (0.22, 0.76)],
    "wolf": [(0.06, 0.88), (0.15, 1.07), (0.2, 0.78)],
    "cat": [(0.04, 0.86), (0.16, 1.02), (0.2, 0.76)],
    "dog": [(0.08, 0.92), (0.17, 0.9), (0.26, 0.66), (0.18, 0.62), (0.14, 0.74)],
    "rabbit": [(0.02, 0.84), (0.03, 1.08), (0.09, 1.24), (0.14, 1.1), (0.12, 0.84)],
    "bear": [(0.1, 0.9), (0.13, 0.98), (0.21, 0.98), (0.24, 0.89), (0.19, 0.8)],
}
POINTED: list[Point] = [(0, 0.9), (0.08, 0.9), (0.18, 0.82), (0.24, 0.71), (0.06, 0.58), (0, 0.56)]
ROUND: list[Point] = [(0, 0.89), (0.09, 0.88), (0.18, 0.8), (0.195, 0.71), (0.14, 0.62), (0.05, 0.585), (0, 0.58)]
CHEEK: list[Point] = [(0, 0.66), (0.05, 0.7), (0.24, 0.71), (0.06, 0.58), (0, 0.56)]
MUZZLE: list[Point] = [(0, 0.74), (0.05, 0.73), (0.09, 0.66), (0.07, 0.6), (0, 0.585)]
BODY: list[Point] = [(0, 0.68), (0.1, 0.62), (0.145, 0.42), (0.22, 0.2), (0.21, 0.03), (0.14, 0), (0, 0)]
BIB: list[Point] = [(0, 0.62), (0.08, 0.58), (0.06, 0.38), (0, 0.26)]
TAIL: list[Point] = [(0.08, 0.06), (0.27, 0.05), (0.41, 0.14), (0.43, 0.31), (0.37, 0.45)]


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


def sitter(f: Figure, kind: str, coat: Color) -> None:
    """An animal that sits and looks at you."""
    pale, deep = mix(coat, (255, 246, 230), 0.78), mix(coat, BLACK, 0.72)
    pointed = kind in ("fox", "wolf")
    if pointed:
        f.limb(TAIL, (0.04, 0.075, 0.09, 0.08, 0.01), mix(coat, BLACK, 0.08))
        f.limb(TAIL[-2:], (0.074, 0.01), pale)
    elif kind in ("cat", "dog"):
        f.limb(TAIL, (0.04, 0.035, 0.03, 0.026, 0.02), mix(coat, BLACK, 0.08))
    wide = 1.35 if kind == "bear" else 1.0
    f.halves(smooth([(x * wide, y) for x, y in BODY]), coat)
    f.halves(BIB, pale if pointed else mix(coat, pale, 0.4))
    f.poly([(-0.006, 0.2), (0.006, 0.2), (0.01, 0), (-0.01, 0)], mix(coat, BLACK, 0.4))
    f.halves(EARS[kind], mix(coat, BLACK, 0.25))
    f.halves(POINTED if pointed else smooth(ROUND), coat)
    f.halves(CHEEK if pointed else MUZZLE, pale if pointed else mix(coat, pale, 0.45))
    for x in (-0.085, 0.085):
        f.disc(x, 0.765, 0.026, (244, 196, 84) if kind == "cat" else deep)
        f.disc(x, 0.765, 0.013, deep)
    y = 0.575 if pointed else 0.67
    f.poly([(-0.035, y + 0.03), (0.035, y + 0.03), (0.012, y - 0.012), (-0.012, y - 0.012)], mix(deep, BLACK, 0.4))


def castle(f: Figure, color: Color) -> None:
    """Towers with pointed roofs, a wall and a gate."""
    p = f.c.palette
    for x, half, top in ((-0.13, 0.07, 0.72), (0.16, 0.055, 0.6), (-0.32, 0.075, 0.48), (0.31, 0.07, 0.44)):
        f.block(x - half, x + half, top, color)
        f.halves([(0, top + half * 3.4), (half * 1.35, top), (0, top)], p.accent, x)
        low, high = top - 0.13, top - 0.07
        f.poly([(x - 0.014, low), (x - 0.014, high), (x + 0.014, high), (x + 0.014, low)], p.sun)
    f.block(-0.26, 0.26, 0.32, color)
    for k in range(6):
        f.block(-0.25 + k * 0.088, -0.205 + k * 0.088, 0.355, color)
    f.poly(
        [(-0.06, -0.05), *smooth([(-0.06, 0.1), (-0.03, 0.16), (0.03, 0.16), (0.06, 0.1)]), (0.06, -0.05)],
        mix(color, BLACK, 0.6),
    )


def house(f: Figure, color: Color) -> None:
    """A cottage with a chimney, a door and two lit windows."""
    p, wall = f.c.palette, mix(f.c.palette.sun, (255, 250, 240), 0.5)
    f.block(0.18, 0.27, 0.86, mix(color, BLACK, 0.2))
    f.block(-0.4, 0.4, 0.45, wall)
    f.poly([(-0.5, 0.43), (-0.28, 0.8), (0.28, 0.8), (0.5, 0.43)], color)
    f.poly([(0.08, 0.43), (0.28, 0.8), (0.5, 0.43)], mix(color, BLACK, 0.2))
    for x, low, high, tone in ((-0.24, 0.16, 0.32, p.sun), (0.24, 0.16, 0.32, p.sun), (0, -0.05, 0.3, p.dark)):
        f.poly([(x - 0.07, low), (x - 0.07, high), (x + 0.07, high), (x + 0.07, low)], tone)


def tree(f: Figure, color: Color) -> None:
    """A broad tree with a crown of rounded masses."""
    f.limb([(0, 0.02), (0.01, 0.3), (-0.02, 0.6)], (0.05, 0.035, 0.02), mix(f.c.palette.dark, BLACK, 0.2))
    crown = ((0.2, 0.58, 0.18, 0.3), (-0.2, 0.56, 0.18, 0.15), (0.06, 0.76, 0.23, 0.2), (-0.08, 0.68, 0.2, 0.0))
    for x, y, r, share in crown:
        f.disc(x, y, r, mix(color, BLACK, share))


def boat(f: Figure, color: Color) -> None:
    """A sloop under sail."""
    f.halves([(0, 0.98), (0.012, 0.98), (0.012, 0.1), (0, 0.1)], f.c.palette.dark)
    f.poly([(0.01, 0.95), *smooth([(0.01, 0.95), (0.25, 0.6), (0.4, 0.2)]), (0.01, 0.2)], mix(color, WHITE, 0.82))
    f.poly([(-0.01, 0.85), *smooth([(-0.01, 0.85), (-0.2, 0.5), (-0.3, 0.2)]), (-0.01, 0.2)], color)
    f.poly([(-0.42, 0.14), (0.46, 0.16), (0.3, -0.02), (-0.3, -0.02)], f.c.palette.dark)


def lighthouse(f: Figure, color: Color) -> None:
    """A banded tower with its lamp lit."""
    white = mix(f.c.palette.sun, WHITE, 0.6)
    f.c.glow(*f.spot(0, 0.84), 0.45 * f.size, f.c.palette.sun, 0.8)
    for k in range(5):
        low, high = (0.13 - 0.011 * k, 0.155 * k - 0.03), (0.119 - 0.011 * k, 0.155 * k + 0.125)
        f.halves([(0, low[1]), low, high, (0, high[1])], white if k % 2 else color)
    f.halves([(0, 0.9), (0.05, 0.9), (0.05, 0.77), (0, 0.77)], f.c.palette.sun)
    f.halves([(0, 0.77), (0.1, 0.77), (0.1, 0.74), (0, 0.74)], f.c.palette.dark)
    f.halves([(0, 1.0), (0.08, 0.89), (0, 0.89)], color)


def person(f: Figure, color: Color) -> None:
    """A wanderer in a cloak and a broad hat, with a staff."""
    f.poly([(0.2, 0), (0.215, 0.95), (0.235, 0.95), (0.23, 0)], f.c.palette.dark)
    f.disc(0, 0.84, 0.07, (214, 164, 126))
    f.halves(smooth([(0, 0.8), (0.07, 0.78), (0.15, 0.7), (0.19, 0.4), (0.23, 0), (0.23, 0), (0, 0)]), color)
    f.halves([(0, 0.68), (0.02, 0.4), (0.05, 0), (0, 0)], mix(color, BLACK, 0.3))
    f.halves([(0, 1.0), (0.2, 0.85), (0.1, 0.83), (0, 0.83)], mix(f.c.palette.sun, (150, 110, 70), 0.55))


SKINS = ((240, 200, 166), (222, 170, 128), (176, 118, 80), (122, 78, 54))
HAIRS = ((44, 34, 36), (94, 58, 38), (176, 92, 44), (206, 164, 92))
OLD = {"old", "elderly", "grandmother", "grandfather", "wizard", "ancient"}
WOMEN = {"woman", "girl", "queen", "lady", "princess", "grandmother", "mother", "witch", "her", "she"}


def portrait(f: Figure, color: Color, words: Set[str]) -> None:
    """Head and shoulders in flat planes; the words choose skin, hair, beard and hat."""
    rng = f.c.rng("sitter")
    skin, hair = SKINS[int(rng.random() * len(SKINS))], HAIRS[int(rng.random() * len(HAIRS))]
    old, woman = bool(words & OLD), bool(words & WOMEN)
    hair = (226, 222, 214) if old else hair
    seaman = bool(words & {"sailor", "captain", "pirate"})
    if woman:
        f.halves(smooth([(0, 1.0), (0.17, 0.96), (0.25, 0.76), (0.26, 0.5), (0.32, 0.3), (0.1, 0.3), (0, 0.3)]), hair)
    f.halves(
        smooth([(0, 0.38), (0.1, 0.36), (0.34, 0.28), (0.46, 0.12), (0.5, -0.1), (0.5, -0.1), (0, -0.1)]),
        (38, 60, 94) if seaman else color,
    )
    f.halves([(0, 0.5), (0.085, 0.5), (0.1, 0.35), (0, 0.24)], mix(skin, BLACK, 0.2))
    f.halves(smooth([(0, 0.94), (0.14, 0.9), (0.175, 0.74), (0.15, 0.56), (0.07, 0.45), (0, 0.43)]), skin)
    if not woman and (old or seaman or words & {"bearded", "beard", "viking"}):
        f.halves(smooth([(0.0, 0.6), (0.09, 0.61), (0.178, 0.72), (0.18, 0.56), (0.12, 0.4), (0, 0.32)]), hair)
    f.halves(smooth([(0, 0.98), (0.15, 0.95), (0.2, 0.8), (0.18, 0.72), (0.13, 0.84), (0, 0.88)]), hair)
    if seaman:
        f.halves(smooth([(0, 1.06), (0.16, 1.05), (0.23, 0.98), (0.18, 0.9), (0, 0.9)]), (248, 242, 230))
        f.halves([(0, 0.92), (0.18, 0.92), (0.19, 0.85), (0.1, 0.825), (0, 0.82)], (28, 36, 58))
    for x in (-0.07, 0.07):
        f.disc(x, 0.715, 0.014, (40, 32, 36))
    f.poly([(0, 0.71), (0.035, 0.62), (0, 0.62)], mix(skin, BLACK, 0.32))


def dragon(f: Figure, color: Color) -> None:
    """A dragon in flight."""
    p = f.c.palette
    web, far = mix(color, p.dark if luminance(color) > 0.05 else p.sky_mid, 0.18), mix(color, p.sky_mid, 0.35)
    wing(f, (0.16, 0.04), (0.22, 0.42), [(0.5, 0.84), (0.6, 0.56), (0.56, 0.3)], (0.3, 0.04), far, far)
    f.limb(
        [(-1.0, 0.2), (-0.78, 0.0), (-0.4, -0.06), (0.0, 0.0), (0.26, 0.06), (0.4, 0.24), (0.56, 0.32)],
        (0.004, 0.02, 0.045, 0.085, 0.07, 0.042, 0.034),
        color,
    )
    f.poly([(-1.08, 0.32), (-0.92, 0.24), (-0.97, 0.19), (-1.06, 0.17)], color)
    f.poly([(0.5, 0.34), (0.4, 0.46), (0.56, 0.4), (0.64, 0.37), (0.78, 0.27), (0.76, 0.24), (0.6, 0.27)], color)
    for x in (-0.16, 0.2):
        f.poly([(x - 0.06, 0), (x - 0.09, -0.15), (x - 0.01, -0.17), (x + 0.06, 0)], color)
    wing(f, (0.16, 0.04), (0.1, 0.4), [(-0.2, 0.9), (-0.56, 0.72), (-0.74, 0.4)], (-0.38, -0.02), web, color)


def wing(f: Figure, root: Point, wrist: Point, tips: list[Point], end: Point, web: Color, bone: Color) -> None:
    """A bat's wing: the web hangs in arcs between the finger tips."""
    edge = [tips[0], tips[0]]
    for tip, following in zip(tips, [*tips[1:], end], strict=True):
        sag = [(a + b) / 2 + (w - (a + b) / 2) * 0.3 for a, b, w in zip(tip, following, wrist, strict=True)]
        edge += [(sag[0], sag[1]), following, following]
    f.poly([root, wrist, *smooth(edge)], web)
    for x, y in tips:
        f.poly([(wrist[0] - 0.014, wrist[1] - 0.014), (x, y), (wrist[0] + 0.014, wrist[1] + 0.014)], bone)
    f.limb([root, wrist], (0.035, 0.016), bone)


def birds(f: Figure, color: Color) -> None:
    """A small flock, far off."""
    for x, y, r in ((0, 0, 0.3), (0.55, 0.2, 0.22), (-0.5, 0.3, 0.2), (0.25, 0.5, 0.15), (-0.2, -0.3, 0.16)):
        wing = smooth([(x, y), (x + r * 0.4, y + r * 0.34), (x + r, y + r * 0.22)])
        under = smooth([(x + r, y + r * 0.22), (x + r * 0.45, y + r * 0.2), (x, y - r * 0.16)])
        f.poly([*wing, *under], color)
        f.poly([(2 * x - a, b) for a, b in (*wing, *under)], color)


def balloon(f: Figure, color: Color) -> None:
    """A hot-air balloon in gores of two colours."""
    for side in (-1, 1):
        f.poly([(side * 0.065, 0.26), (side * 0.05, 0.1), (side * 0.042, 0.1), (side * 0.053, 0.26)], f.c.palette.dark)
    for k, share in enumerate((1.0, 0.62, 0.24)):
        tone = color if k % 2 == 0 else mix(f.c.palette.sun, WHITE, 0.4)
        f.halves(
            smooth(
                [
                    (0, 1.0),
                    (0.2 * share, 0.95),
                    (0.33 * share, 0.7),
                    (0.22 * share, 0.42),
                    (0.07 * share, 0.24),
                    (0, 0.24),
                ]
            ),
            tone,
        )
    f.halves([(0, 0.12), (0.055, 0.12), (0.045, 0), (0, 0)], mix(f.c.palette.dark, (150, 100, 60), 0.5))


# how each is drawn and how high it is, in units
OTHERS: dict[str, tuple[Callable[[Figure, Color], None], float]] = {
    "castle": (castle, 0.5),
    "house": (house, 0.24),
    "tree": (tree, 0.46),
    "boat": (boat, 0.24),
    "birds": (birds, 0.13),
    "lighthouse": (lighthouse, 0.5),
    "person": (person, 0.34),
    "dragon": (dragon, 0.3),
    "balloon": (balloon, 0.3),
}


def subject(c: Canvas, name: str, foot: Point, flip: bool, color: Color, words: Set[str]) -> None:
    """Draw the named subject upon a point; the prompt's words say what a portrait looks like."""
    if name == "portrait":
        portrait(Figure(c, foot[0], c.height, 0.66 * c.unit, flip), color, words)
    elif name in EARS:
        sitter(Figure(c, *foot, 0.38 * c.unit, flip), name, color)
    else:
        paint, size = OTHERS[name]
        paint(Figure(c, *foot, size * c.unit, flip), color)
