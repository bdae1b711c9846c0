"""Silhouettes of animals."""

from .colors import BLACK, Color, luminance, mix
from .figure import Figure
from .shapes import Point, smooth

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


def sitting_animal(f: Figure, kind: str, coat: Color) -> None:
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


def birds(f: Figure, color: Color) -> None:
    """A small flock, far off."""
    for x, y, r in ((0, 0, 0.3), (0.55, 0.2, 0.22), (-0.5, 0.3, 0.2), (0.25, 0.5, 0.15), (-0.2, -0.3, 0.16)):
        wing = smooth([(x, y), (x + r * 0.4, y + r * 0.34), (x + r, y + r * 0.22)])
        under = smooth([(x + r, y + r * 0.22), (x + r * 0.45, y + r * 0.2), (x, y - r * 0.16)])
        f.poly([*wing, *under], color)
        f.poly([(2 * x - a, b) for a, b in (*wing, *under)], color)


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
