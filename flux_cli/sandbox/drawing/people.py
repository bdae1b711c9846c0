"""Silhouettes of people."""

from collections.abc import Set

from .colors import BLACK, Color, mix
from .figure import Figure
from .shapes import smooth

SKINS = ((240, 200, 166), (222, 170, 128), (176, 118, 80), (122, 78, 54))
HAIRS = ((44, 34, 36), (94, 58, 38), (176, 92, 44), (206, 164, 92))
OLD = {"old", "elderly", "grandmother", "grandfather", "wizard", "ancient"}
WOMEN = {"woman", "girl", "queen", "lady", "princess", "grandmother", "mother", "witch", "her", "she"}


def person(f: Figure, color: Color) -> None:
    """A wanderer in a cloak and a broad hat, with a staff."""
    f.poly([(0.2, 0), (0.215, 0.95), (0.235, 0.95), (0.23, 0)], f.c.palette.dark)
    f.disc(0, 0.84, 0.07, (214, 164, 126))
    f.halves(smooth([(0, 0.8), (0.07, 0.78), (0.15, 0.7), (0.19, 0.4), (0.23, 0), (0.23, 0), (0, 0)]), color)
    f.halves([(0, 0.68), (0.02, 0.4), (0.05, 0), (0, 0)], mix(color, BLACK, 0.3))
    f.halves([(0, 1.0), (0.2, 0.85), (0.1, 0.83), (0, 0.83)], mix(f.c.palette.sun, (150, 110, 70), 0.55))


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
