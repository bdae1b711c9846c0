"""Pictures that follow the structure of another one: its edges, its depth, or a pose."""

from collections.abc import Sequence

from PIL import Image, ImageChops, ImageFilter

from ..drawing.colors import BLACK, Color, mix
from ..drawing.palettes import choose_palette
from ..drawing.words import tokens
from .pixels import as_rgb, blur, edges, gray, levels, light_of, mixed, stretched, unit
from .tones import by_light, recolored, scene

# hues along which a pose's limbs are coloured, as pose maps have them
LIMBS: list[Color] = [(255, 60, 40), (255, 190, 0), (90, 230, 40), (0, 220, 200), (40, 110, 255), (210, 60, 255)]


def control(
    prompt: str,
    controls: Sequence[tuple[str, Image.Image, float]],
    *,
    seed: int,
    width: int,
    height: int,
    model: str,
) -> Image.Image:
    """The prompt's scene, RGB, width x height pixels, drawn after the control images.

    Each control is a type (openpose, depth, canny, soft_edge, hed; any other is treated as edges), a picture of any
    size, and a strength of 0 (has no effect) to 1.
    """
    picture = scene(prompt, seed=seed, size=(width, height), model=model, use="control")
    palette = choose_palette(prompt, tokens(prompt), seed)
    colors = by_light(palette)
    for kind, image, strength in controls:
        guide = preprocess(kind, as_rgb(image).resize((width, height), Image.Resampling.BICUBIC))
        if kind == "depth":
            guided = recolored(light_of(guide), colors[::-1], 7)  # what is near is dark, as in the posters
        elif kind == "openpose":
            guided = posed(picture, light_of(guide), palette.accent, palette.dark)
        else:
            guided = inked(picture, light_of(guide), colors[0])
        picture = mixed(picture, guided, strength)
    return picture


def inked(picture: Image.Image, lines: Image.Image, ink: Color) -> Image.Image:
    """The picture as a wash of colour with the lines drawn on it."""
    wash = blur(picture, unit(picture.size) / 30).point([110 + value * 145 // 255 for value in range(256)] * 3)
    return Image.composite(Image.new("RGB", picture.size, mix(ink, BLACK, 0.5)), wash, lines)


def posed(picture: Image.Image, lines: Image.Image, color: Color, outline: Color) -> Image.Image:
    """The picture, softened, with a body around the lines of a pose."""
    size, reach = picture.size, unit(picture.size) / 90
    body = levels(blur(levels(lines, 20, 90), reach), 36, 48)
    rim = levels(blur(levels(lines, 20, 90), reach * 1.4), 10, 20)
    behind = mixed(blur(picture, reach), Image.new("RGB", size, (250, 244, 232)), 0.25)
    behind = Image.composite(Image.new("RGB", size, outline), behind, rim)
    return Image.composite(Image.new("RGB", size, color), behind, body)


def preprocess(kind: str, image: Image.Image) -> Image.Image:
    """What a control of this type sees of a picture, RGB, in the picture's size.

    canny: thin white lines on black; hed and soft_edge: soft ones; depth: smooth greys; openpose: a few thick coloured
    lines on black; any other type: as canny. A drawing of light lines on black is a control image already and is kept.
    """
    light = light_of(image)
    if kind == "depth":
        return gray(stretched(blur(light, unit(light.size) / 45)))
    if is_lines(light):
        return as_rgb(image)
    if kind == "openpose":
        return pose(light)
    if kind in ("hed", "soft_edge"):
        soft = unit(light.size) / (250 if kind == "hed" else 140)
        return gray(levels(blur(edges(blur(light, soft / 2)), soft), 4, 60 if kind == "hed" else 45))
    return gray(thin_lines(light))


def is_lines(light: Image.Image) -> bool:
    """Whether an L picture is light lines on black: mostly black, and hardly anything between that and light."""
    counts = light.histogram()
    total = sum(counts)
    return sum(counts[:8]) > 0.75 * total and 0 < sum(counts[64:]) < 0.25 * total


def thin_lines(light: Image.Image) -> Image.Image:
    """White lines along the edges: where the change is stronger than just beside it."""
    slope = edges(blur(light, unit(light.size) / 700))
    ridge = ImageChops.subtract(slope, blur(slope, 2))
    return levels(ImageChops.darker(ridge, slope.point([0] * 22 + [255] * 234)), 5, 14)


def pose(light: Image.Image) -> Image.Image:
    """A picture's few main contours as thick coloured lines; it takes more than Pillow to find the limbs of a body."""
    wide, tall = light.size
    scale = max(1, round(max(wide, tall) / 128))
    small = light.resize((max(1, wide // scale), max(1, tall // scale)), Image.Resampling.BOX)
    slope = edges(stretched(blur(small, 2)))
    ridge = ImageChops.subtract(slope, blur(slope, 3))
    thick = levels(ridge.filter(ImageFilter.MaxFilter(3)), 8, 18).resize(light.size, Image.Resampling.BICUBIC)
    heights = Image.frombytes("L", (1, 256), bytes(range(256))).resize(light.size, Image.Resampling.BILINEAR)
    return ImageChops.multiply(recolored(heights, LIMBS), gray(levels(thick, 110, 150)))
