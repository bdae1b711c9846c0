"""Landscapes: each paints from the horizon forward and returns the ground a subject can stand on."""

from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from .canvas import Canvas
from .colors import BLACK, Color, mix
from .land import Crest, crest, land, peak, pines
from .randomness import between
from .shapes import ellipse, smooth
from .sky import stars


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


PAINTERS: dict[str, Callable[[Canvas], Crest]] = {
    f.__name__: f for f in (hills, mountains, sea, city, forest, desert, space, abstract)
}
