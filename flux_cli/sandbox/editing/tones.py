"""Pictures in the colours of a prompt: the scene it describes, and other pictures re-coloured."""

from collections.abc import Sequence

from PIL import Image

from ..drawing.colors import Color, Palette, luminance
from ..drawing.palettes import choose_palette
from ..drawing.poster import paint
from ..drawing.words import tokens
from .pixels import Size, gray

NARROWEST = 6  # a scene is drawn at most so many times as long as it is wide; it takes long to fill a mere line


def scene(prompt: str, *, seed: int, size: Size, model: str, use: str) -> Image.Image:
    """The prompt's picture without frame or caption, of exactly the size.

    `use` names the operation: its picture is composed otherwise than a poster of the same prompt and seed, which may
    well be what is being edited.
    """
    width, height = size
    drawn = max(width, -(-height // NARROWEST)), max(height, -(-width // NARROWEST))
    words = tokens(prompt)
    key = f"{prompt}\x1f{seed}\x1f{model}\x1f{use}"
    picture = paint(prompt, words, choose_palette(prompt, words, seed), drawn, key)
    left, top = (drawn[0] - width) // 2, (drawn[1] - height) // 2
    return picture.crop((left, top, left + width, top + height)) if drawn != size else picture


def prompt_colors(prompt: str, seed: int) -> list[Color]:
    """The prompt's colours from the darkest to the lightest."""
    return by_light(choose_palette(prompt, tokens(prompt), seed))


def by_light(palette: Palette) -> list[Color]:
    """The palette's colours from the darkest to the lightest, without the accent, which would jar between others."""
    p = palette
    return sorted((p.dark, p.near, p.sky_top, p.far, p.sky_mid, p.sky_low, p.sun), key=luminance)


def colors_of(image: Image.Image, count: int = 7) -> list[Color]:
    """The mean colours of an RGB picture's darkest pixels, the next lighter ones, and so on up to the lightest."""
    raw = image.resize((32, 32), Image.Resampling.BOX).tobytes()
    pixels = sorted(zip(raw[::3], raw[1::3], raw[2::3], strict=True), key=lambda c: (2 * c[0] + 5 * c[1] + c[2], c))
    share = len(pixels) // count
    parts = [pixels[i * share : (i + 1) * share] for i in range(count)]
    means = [[sum(channel) // share for channel in zip(*part, strict=True)] for part in parts]
    return [(red, green, blue) for red, green, blue in means]


def recolored(light: Image.Image, colors: Sequence[Color], steps: int = 0) -> Image.Image:
    """An L picture in colours, the first for black and the last for white; in so many flat steps, unless 0."""
    positions = [flattened(value, steps) if steps else value / 255 for value in range(256)]
    table: list[int] = []
    for channel in range(3):
        for position in positions:
            at = position * (len(colors) - 1)
            below = min(int(at), len(colors) - 2)
            low, high = colors[below][channel], colors[below + 1][channel]
            table.append(round(low + (high - low) * (at - below)))
    return gray(light).point(table)


def flattened(value: int, steps: int) -> float:
    """0..255 as 0..1 in flat steps with short slopes between them, whose edges are smooth for it."""
    at = value / 255 * steps
    step = min(int(at), steps - 1)
    slope = min(1.0, max(0.0, (at - step - 0.5) / 0.12 + 0.5))
    return min(1.0, (step + slope) / steps)
