"""Placeholder images: a flat landscape in the colors of a prompt, with the prompt and the word "sandbox" below it.

The same arguments give the same pixels on every machine: random numbers come from a hash, and Pillow uses integers.
"""

import colorsys
import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from random import Random

from PIL import Image, ImageDraw, ImageFont

from ..operations.limits import Size

Color = tuple[int, int, int]
Point = tuple[float, float]

PALETTES = {
    "neon cyberpunk synthwave futuristic hologram robot": "#0d0630 #47127a #ff4f8b #ffd36e #5a1f8f #0d0628",
    "space galaxy planet cosmos nebula alien astronaut": "#070818 #1d1746 #7a3f86 #f8d9a0 #3d2a66 #0f0d26",
    "sunset dusk evening golden fire lava dragon epic": "#3a2a5e #c44d6c #fbb561 #ffe6ac #a34f70 #2b1b3c",
    "night midnight moon star dark gothic ghost": "#0a1230 #1d3866 #5d86a8 #f6efd8 #36587f #0b1428",
    "dawn sunrise morning pastel dreamy calm blossom spring": "#86a8d0 #f2bfc0 #fde6cb #fff6e0 #b7a3c4 #45466f",
    "storm rain thunder fog mist gloomy gray grey noir": "#4b5e6b #7b929d #bcc7c2 #e9e4cf #73878e #1d2b34",
    "snow winter ice frozen arctic christmas": "#6f9cc0 #bcd8e6 #f8ece0 #fff4df #a9c3d6 #f3f7fa",
    "autumn fall october harvest vintage coffee": "#c9a878 #ecc98f #faecc8 #fff6dd #d79a56 #5e2417",
    "desert dune sand sahara canyon egypt camel": "#2f8fa3 #f0c78f #fce6bd #fff3d0 #e6ae6c #a2482c",
    "forest wood jungle tree garden meadow": "#9ccabb #d6e6c4 #f8f1d2 #fffbe6 #8fb89a #123a30",
    "sea ocean beach coast island wave boat ship sailor": "#2477a8 #86c5d6 #f7e8c6 #fff4d4 #7fb0b5 #12414f",
    "day sunny noon summer happy": "#2f7fb5 #8cc7d8 #f6e7c1 #fff3cf #8fb8a5 #1f4f48",
}
"""The colors for words of a prompt: three of the sky from top to horizon, the sun, and the land, far and near."""
COLORS = {
    "red": "#d23b34", "orange": "#e8822c", "gold": "#e9b13c", "golden": "#e9b13c", "yellow": "#f0cc45",
    "green": "#3f9a5a", "teal": "#1f8f8c", "blue": "#2e6fc4", "purple": "#7b46b0", "violet": "#8450c4",
    "pink": "#ec7fa5", "magenta": "#d23a92", "brown": "#80522f", "white": "#f3efe6", "black": "#2b2833",
}  # fmt: skip
SNOW = {"snow", "snowy", "winter", "christmas"}
LARGEST_SMOOTHED = 2**22
"""Pixels. A larger image is not drawn at double size, which would take too much memory."""
LONGEST = 32
"""The largest ratio of the sides of a scene, because the work grows with it. A longer image is stretched."""
SMALLEST_CAPTIONED = 64
"""The least pixels of the shorter side of an image with a caption. In a smaller one, text would be illegible."""
DASHES = dict(zip(map(ord, "–—‘’“”"), "--''\"\"", strict=True))  # noqa: RUF001 - the font has none of them
PAPER: Color = (247, 242, 231)
INK: Color = (38, 36, 48)


def draw(prompt: str, *, seed: int, width: int, height: int, model: str = "") -> Image.Image:
    """Return an RGB image of exactly width x height pixels (each at least 1) for a prompt.

    The prompt determines the scene and its colors, the seed and the model its composition.
    """
    image = scene(prompt, seed=seed, size=(width, height), key=model)
    add_caption(image, prompt, f"{model} · {seed}" if model else f"seed {seed}")
    return image


def scene(prompt: str, *, seed: int, size: Size, key: str = "") -> Image.Image:
    """Return the image of a prompt without a caption. key: varies the composition, but not the colors."""
    longest = LONGEST * min(size)
    if max(size) > longest:
        drawn = scene(prompt, seed=seed, size=(min(size[0], longest), min(size[1], longest)), key=key)
        return drawn.resize(size, Image.Resampling.NEAREST)
    words, rng = _words(prompt), _seeded(prompt, seed, key)
    scale = 2 if size[0] * size[1] <= LARGEST_SMOOTHED else 1
    width, height = size[0] * scale, size[1] * scale  # drawn at twice the size, so that edges are smooth
    colors = palette(prompt, seed)
    image = Image.new("RGB", (width, height))
    names = list(SCENES)
    name = _pick(SCENE_WORDS, words) or names[int(_seeded(prompt).random() * len(names))]
    if name == "tiles":
        _paint_tiles(image, rng, colors)
    else:
        _paint_sky(image, rng, colors)
        _paint_land(image, rng, colors, name)
        if words & SNOW:
            _paint_dots(image, rng, 160, 1.0, (255, 255, 255))
    return image.reduce(scale)


def palette(prompt: str, seed: int) -> list[Color]:
    """Return the colors of a prompt, in the order of PALETTES. Color words tint all of them, most of all the sun."""
    words, rng = _words(prompt), _seeded(prompt, "palette")
    codes = _pick(PALETTES, words) or list(PALETTES.values())[int(rng.random() * len(PALETTES))]
    colors = [_rgb(code) for code in codes.split()]
    drift = rng.uniform(-0.03, 0.03) + _seeded(prompt, seed).uniform(-0.012, 0.012)
    colors = [_rotate_hue(color, drift) for color in colors]
    if named := [_rgb(COLORS[word]) for word in re.findall(r"[a-z]+", prompt.lower()) if word in COLORS]:
        colors = [mix(color, named[-1], 0.22) for color in colors]
        colors[3] = named[0]
    return colors


def mix(one: Color, other: Color, share: float) -> Color:
    """Return a color between `one` (share 0) and `other` (share 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def lightness(color: Color) -> int:
    """Return the luma of a color, 0 to 255 (ITU-R BT.601)."""
    return (color[0] * 299 + color[1] * 587 + color[2] * 114) // 1000


def _paint_sky(image: Image.Image, rng: Random, colors: list[Color]) -> None:
    column = Image.frombytes("RGB", (1, 4), bytes(value for color in (*colors[:3], colors[2]) for value in color))
    image.paste(column.resize(image.size, Image.Resampling.BILINEAR, box=(0, 0.5, 1, 3.5)))
    if lightness(colors[0]) < 60:
        _paint_dots(image, rng, 120, 0.6, mix(colors[2], (255, 255, 255), 0.6))
    unit = min(image.size)
    x, y = rng.uniform(0.2, 0.8) * image.width, rng.uniform(0.22, 0.46) * image.height
    radius = rng.uniform(0.1, 0.17) * unit
    for reach, share in ((1.9, 0.12), (1.45, 0.22), (1.0, 1.0)):
        around = Image.new("L", image.size)
        ImageDraw.Draw(around).ellipse(_box(x, y, radius * reach), fill=round(255 * share))
        image.paste(colors[3], mask=around)


def _paint_land(image: Image.Image, rng: Random, colors: list[Color], name: str) -> None:
    """Paint five layers from the horizon to the bottom edge, each outlined by the scene's own ridge."""
    ridge, share = SCENES[name]
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for layer in range(5):
        color = mix(colors[4], colors[5], layer / 4)
        base, tall = height * (0.56 + 0.1 * layer), height * share * (1 - 0.13 * layer)
        points = [(x, base - y) for x, y in ridge(rng, width, tall, height)]
        pen.polygon([(0, height), *points, (width, height)], fill=color)
        if name == "city":
            _light_windows(pen, rng, points, min(width, height), mix(color, colors[3], 0.75))


def _hills(rng: Random, width: int, tall: float, height: int) -> list[Point]:
    waves = [(tall / k, rng.uniform(0, math.tau), k * rng.uniform(0.5, 1.0)) for k in (1, 2, 4)]
    return [
        (width * i / 48, sum(high * math.sin(start + turns * math.tau * i / 48) for high, start, turns in waves) / 2)
        for i in range(49)
    ]


def _peaks(rng: Random, width: int, tall: float, height: int, step: float = 0.13) -> list[Point]:
    points, x = [(0.0, 0.0)], 0.0
    while x < width:
        for low, high in ((0.45, 1.0), (0.0, 0.4)):
            x += height * step * rng.uniform(0.6, 1.4)
            points.append((x, tall * rng.uniform(low, high)))
    return points


def _roofs(rng: Random, width: int, tall: float, height: int) -> list[Point]:
    points, x = list[Point](), 0.0
    while x < width:
        wide, high = height * rng.uniform(0.05, 0.12), tall * rng.uniform(0.25, 1.0)
        points += [(x, high), (x + wide, high)]
        x += wide
    return points


Ridge = Callable[[Random, int, float, int], list[Point]]
"""Returns the outline of a layer, from random numbers, the image's width, the layer's height and the image's height."""
SCENES: Mapping[str, tuple[Ridge, float]] = {
    "hills": (_hills, 0.075),
    "mountains": (_peaks, 0.34),
    "sea": (_hills, 0.018),
    "forest": (partial(_peaks, step=0.028), 0.2),
    "city": (_roofs, 0.4),
    "tiles": (_hills, 0.0),
}
"""The scenes: the outline of their layers, and the height of a layer as a share of the image."""
SCENE_WORDS = {
    "city town street skyline cyberpunk neon tokyo paris london urban car robot tower": "city",
    "sea ocean beach coast island wave ship boat fish whale water river lake lighthouse sailor": "sea",
    "mountain alps peak volcano cliff canyon eagle castle dragon": "mountains",
    "forest wood jungle tree pine deer owl bear wolf": "forest",
    "hill field meadow valley farm village desert dune snow flower": "hills",
    "abstract geometric pattern bauhaus cubism logo texture shape": "tiles",
}


def _light_windows(pen: ImageDraw.ImageDraw, rng: Random, roofs: list[Point], unit: int, color: Color) -> None:
    side, gap = unit * 0.008, unit * 0.022
    for (left, top), (right, _) in zip(roofs[::2], roofs[1::2], strict=True):
        for row in range(1, 9):
            for column in range(1, int((right - left) / gap)):
                if rng.random() < 0.3:
                    x, y = left + column * gap, top + row * gap
                    pen.rectangle((x, y, x + side, y + side * 1.4), fill=color)


def _paint_dots(image: Image.Image, rng: Random, count: int, reach: float, color: Color) -> None:
    pen = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = rng.random() * image.width, rng.random() * reach * image.height
        pen.ellipse(_box(x, y, min(image.size) * (0.001 + 0.004 * rng.random() ** 3)), fill=color)


def _paint_tiles(image: Image.Image, rng: Random, colors: list[Color]) -> None:
    """Paint a grid of squares, each of which contains a quarter of a circle, a disc or a triangle."""
    pen, (width, height) = ImageDraw.Draw(image), image.size
    across = max(2, round(4 * width / min(width, height)))
    side = -(-width // across)
    for i in range(across * -(-height // side)):
        x, y = i % across * side, i // across * side
        first, second = int(rng.random() * 6), 1 + int(rng.random() * 5)
        ground, ink = colors[first], colors[(first + second) % 6]
        pen.rectangle((x, y, x + side, y + side), fill=ground)
        right, low, kind = rng.random() < 0.5, rng.random() < 0.5, int(rng.random() * 3)
        if kind == 0:  # a quarter of a circle around one corner
            corner = x + side * right, y + side * low
            start = {(False, False): 0, (True, False): 90, (True, True): 180, (False, True): 270}[right, low]
            pen.pieslice(_box(*corner, side), start, start + 90, fill=ink)
        elif kind == 1:
            pen.ellipse(_box(x + side / 2, y + side / 2, side * 0.36), fill=ink)
        else:
            pen.polygon(
                [(x, y + side * low), (x + side, y + side * low), (x + side * right, y + side * (not low))], ink
            )


def add_caption(image: Image.Image, text: str, note: str) -> None:
    """Write `text`, shortened to fit, on a strip at the bottom, and below it `note` and the word "sandbox"."""
    width, height = image.size
    if min(width, height) < SMALLEST_CAPTIONED:
        return
    unit = min((width * height) ** 0.5, 1.4 * min(width, height))
    large, small = _font(max(10, round(unit * 0.044))), _font(max(8, round(unit * 0.025)))
    margin = round(min(width, height) * 0.035)
    tall = round(margin * 1.6 + large.size * 1.1 + small.size * 1.4)
    image.paste(PAPER, (0, height - tall, width, height))
    pen, room = ImageDraw.Draw(image), width - 2 * margin
    first, second = height - tall + margin * 0.8 + large.size * 0.55, height - margin * 0.8 - small.size * 0.5
    pen.text((margin, first), _shortened(_plain(text), large, room), fill=INK, font=large, anchor="lm")
    quiet, mark = mix(INK, PAPER, 0.3), small.getlength("SANDBOX")
    pen.text((width - margin, second), "SANDBOX", fill=quiet, font=small, anchor="rm")
    pen.text((margin, second), _shortened(_plain(note), small, room - mark * 1.2), fill=quiet, font=small, anchor="lm")


def add_mark(image: Image.Image, box: tuple[int, int, int, int]) -> None:
    """Write the word "sandbox" in the middle of `box`, as large as fits."""
    left, top, right, bottom = box
    size = min((right - left) // 7, (bottom - top) // 2, 48)
    if size >= 6:
        middle, pen = ((left + right) / 2, (top + bottom) / 2), ImageDraw.Draw(image)
        pen.text(middle, "SANDBOX", PAPER, _font(size), anchor="mm", stroke_width=1 + size // 16, stroke_fill=INK)


def _plain(text: str) -> str:
    """Return a text that the font can show: one line, without accents and control characters."""
    letters = unicodedata.normalize("NFKD", text[:400].translate(DASHES))
    kinds = [(letter, unicodedata.category(letter)) for letter in letters]
    kept = (" " if kind == "Cc" else letter for letter, kind in kinds if kind not in ("Cf", "Cs", "Mn", "Me"))
    return " ".join("".join(kept).split())


def _shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Return the text, shortened to at most `room` pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1].rstrip()
    return f"{text}…"


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font with Pillow's own layout engine, because libraqm is not on every machine."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _words(prompt: str) -> set[str]:
    """Return the words of a prompt in lower case, both with and without a plural s."""
    found = re.findall(r"[^\W\d_]+", prompt.lower())
    return {*found, *(word[:-1] for word in found if word.endswith("s"))}


def _pick(table: Mapping[str, str], words: set[str]) -> str | None:
    """Return the value of the first key that contains one of the words; None if no key does."""
    return next((value for key, value in table.items() if not words.isdisjoint(key.split())), None)


def _seeded(*parts: object) -> Random:
    """Return a random number generator that is determined by `parts`, on every machine."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return Random(int.from_bytes(hashlib.sha256(text).digest(), "big"))


def _rotate_hue(color: Color, drift: float) -> Color:
    hue, light, strong = colorsys.rgb_to_hls(*(value / 255 for value in color))
    red, green, blue = (round(value * 255) for value in colorsys.hls_to_rgb((hue + drift) % 1, light, strong))
    return red, green, blue


def _rgb(code: str) -> Color:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius
