"""Colours, how they mix, and the eight that a picture is made of."""

import colorsys
from dataclasses import dataclass

Color = tuple[int, int, int]
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


def tint(color: Color, target: Color, share: float) -> Color:
    """The colour moved towards the target's hue, as light or dark as it was."""
    hue, _, strong = colorsys.rgb_to_hls(*(v / 255 for v in target))
    _, light, own = colorsys.rgb_to_hls(*(v / 255 for v in color))
    return mix(color, unit_rgb(colorsys.hls_to_rgb(hue, light, (strong + own) / 2)), share)


def turn(color: Color, drift: float) -> Color:
    """The colour with its hue moved around the wheel, by -1..1 turns."""
    hue, light, strong = colorsys.rgb_to_hls(*(v / 255 for v in color))
    return unit_rgb(colorsys.hls_to_rgb((hue + drift) % 1, light, strong))


def rgb(code: str) -> Color:
    """#rrggbb as three numbers."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def unit_rgb(color: tuple[float, float, float]) -> Color:
    """Three numbers 0..1 as 0..255."""
    return round(color[0] * 255), round(color[1] * 255), round(color[2] * 255)
