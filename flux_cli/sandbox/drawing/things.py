"""Silhouettes of buildings, trees and vessels."""

from .colors import BLACK, WHITE, Color, mix
from .figure import Figure
from .shapes import smooth


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
