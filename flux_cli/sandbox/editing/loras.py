"""The styles that a LoRA's name stands for: a texture, and colours that the picture is drawn towards."""

from collections.abc import Sequence

from PIL import Image

from ...frozen import frozen
from ..drawing.colors import Color, rgb
from ..drawing.palettes import PALETTES
from ..drawing.randomness import between, seeded
from . import textures
from .pixels import as_rgb, light_of, mixed
from .textures import Texture
from .tones import recolored

CHOICE: list[Texture] = [
    textures.posterise,
    textures.halftone,
    textures.hatching,
    textures.grain,
    textures.woodcut,
    textures.pixels,
    textures.ink,
    textures.canvas,
    textures.layers,
]


@frozen
class Style:
    """A texture; colours from dark to light; and the share of these colours, 0..1."""

    texture: Texture
    colors: Sequence[Color]
    share: float


def style(texture: Texture, codes: str, share: float) -> Style:
    """A style with its colours as #rrggbb, from dark to light."""
    return Style(texture, [rgb(code) for code in codes.split()], share)


KNOWN = {
    "anime": style(textures.ink, "#2a1f4a #6a5acd #ff9eb5 #fff4e0", 0.35),
    "art": style(textures.canvas, "#2b1a12 #8a4b2a #d9a34a #f6e7c4", 0.4),
    "disney": style(textures.glow, "#1d2a6b #b04fa0 #ffb454 #fff3c9", 0.35),
    "furry": style(textures.fur, "#2a1a10 #8a5a34 #d9a86a #fbeed6", 0.4),
    "mjv6": style(textures.glow, "#0b1a24 #145a6a #e8934a #ffe9c7", 0.5),
    "realism": style(textures.grain, "#14161a #5a5550 #b9ab98 #f7f0e4", 0.25),
    "scenery": style(textures.glow, "#12313a #3f8a5a #f2c879 #dff0fa", 0.35),
    "moebius-style": style(textures.fine_line, "#5a3a5e #d98a6a #f2c98a #d8f0e8", 0.5),
    "paper-quilling-and-layering-style": style(textures.layers, "#5b2a6b #e0506a #f5b64a #fdf3d8", 0.6),
    "cyberpunk-anime-style": style(textures.neon, "#0a0524 #5a17a8 #ff3d9a #36f1f5", 0.6),
    "graphic-portrait": style(textures.posterise, "#1a1a2e #e0433a #f2c14e #faf3e0", 0.7),
    "mat-miller-art": style(textures.woodcut, "#120d0a #b3401f #e8b04a #f5e6c8", 0.6),
    "collage-artstyle": style(textures.layers, "#26221f #b84a3a #5aa39a #f3e9d2", 0.45),
    "fractal-geometry": style(textures.pixels, "#12104a #7a2fb0 #2fc4b0 #f9f1a5", 0.55),
    "geometric-woman": style(textures.posterise, "#2a1535 #a8325e #f08a5d #f9ed69", 0.6),
    "deco-pulse": style(textures.woodcut, "#0b1d2a #1f6f78 #d9ab4a #f8efd8", 0.65),
}


def apply_loras(image: Image.Image, loras: Sequence[tuple[str, float]]) -> Image.Image:
    """The picture in the named styles, one upon the other, RGB.

    Each is a name and a strength from 0 (changes nothing) to 1. The same name always means the same style.
    """
    picture = as_rgb(image)
    for name, strength in loras:
        if strength > 0:
            picture = mixed(picture, styled(picture, style_of(name)), strength)
    return picture


def styled(picture: Image.Image, chosen: Style) -> Image.Image:
    """The picture wholly in the style."""
    colored = mixed(picture, recolored(light_of(picture), chosen.colors), chosen.share)
    return chosen.texture(colored)


def style_of(name: str) -> Style:
    """The style known by the name, or one that the name's letters choose."""
    plain = name.strip().lower()
    if plain in KNOWN:
        return KNOWN[plain]
    rng = seeded("lora", plain)
    texture = CHOICE[int(rng.random() * len(CHOICE))]
    codes = list(PALETTES.values())[int(rng.random() * len(PALETTES))].split()
    return style(texture, " ".join(codes[i] for i in (6, 4, 1, 3)), between(rng, 0.4, 0.7))
