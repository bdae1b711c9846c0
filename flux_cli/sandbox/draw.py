"""The sandbox's picture: a flat travel poster of what the prompt says, captioned with its words."""

from __future__ import annotations

import colorsys
import hashlib
import re
import unicodedata
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFont

from flux_cli.sandbox import scenery
from flux_cli.sandbox.scenery import BLACK, WHITE, Canvas, Color, Palette, between, luminance, mix, seeded

# sky top, middle, horizon; sun; land far, near; silhouettes; accent. The first that a word asks for wins.
PALETTES = {
    "neon": "#0d0630 #47127a #ff4f8b #ffd36e #5a1f8f #0d0628 #08041a #19e3e3",
    "space": "#070818 #1d1746 #7a3f86 #f8d9a0 #3d2a66 #0f0d26 #0a0918 #ef7d57",
    "sunset": "#3a2a5e #c44d6c #fbb561 #ffe6ac #a34f70 #2b1b3c #1e1230 #ffc861",
    "night": "#0a1230 #1d3866 #5d86a8 #f6efd8 #36587f #0b1428 #070d1c #f2b950",
    "dawn": "#86a8d0 #f2bfc0 #fde6cb #fff6e0 #b7a3c4 #45466f #2f3054 #e8747c",
    "storm": "#4b5e6b #7b929d #bcc7c2 #e9e4cf #73878e #1d2b34 #131e25 #e8b548",
    "snow": "#6f9cc0 #bcd8e6 #f8ece0 #fff4df #a9c3d6 #f3f7fa #2c4560 #d9572b",
    "autumn": "#c9a878 #ecc98f #faecc8 #fff6dd #d79a56 #5e2417 #3d1a14 #c7402d",
    "desert": "#2f8fa3 #f0c78f #fce6bd #fff3d0 #e6ae6c #a2482c #57211d #1f6f78",
    "forest": "#9ccabb #d6e6c4 #f8f1d2 #fffbe6 #8fb89a #123a30 #0c2a24 #d96a3a",
    "sea": "#2477a8 #86c5d6 #f7e8c6 #fff4d4 #7fb0b5 #12414f #0d2f3d #e0593f",
    "day": "#2f7fb5 #8cc7d8 #f6e7c1 #fff3cf #8fb8a5 #1f4f48 #143733 #d9573f",
}
MOODS = {
    "neon": "neon cyberpunk cyber synthwave vaporwave retrowave futuristic hologram nightclub",
    "space": "space galaxy planet cosmos cosmic nebula alien universe astronaut spaceship starship orbit mars",
    "sunset": "sunset dusk evening twilight golden fire flame lava volcano dragon epic warm romantic",
    "night": "night midnight moon moonlit moonlight stars starry star dark darkness mysterious gothic ghost vampire",
    "dawn": "dawn sunrise morning pastel dreamy soft gentle calm cherry blossom spring pink baby peaceful",
    "storm": "storm stormy rain rainy thunder lightning fog foggy mist misty gloomy sad grey gray moody noir",
    "snow": "snow snowy winter ice icy frozen arctic glacier christmas blizzard frost",
    "autumn": "autumn fall october harvest vintage sepia coffee antique",
    "desert": "desert dune sand sahara canyon egypt pyramid camel cactus western",
    "forest": "forest wood jungle tree garden nature fairy mushroom meadow rainforest bamboo",
    "sea": "sea ocean beach coast island wave boat ship harbor harbour fish whale sailor lighthouse water river lake",
    "day": "day sunny noon summer bright happy cheerful",
}
SCENES = {
    "city": "city town street skyline skyscraper cyberpunk neon tokyo york paris london urban car robot tower taxi",
    "space": "space galaxy planet cosmos cosmic nebula alien universe astronaut spaceship starship orbit mars rocket",
    "mountains": "mountain alps peak everest glacier volcano cliff canyon eagle",
    "sea": "sea ocean beach coast island wave ship harbor harbour fish whale sailor water river lake captain pirate",
    "desert": "desert dune sand sahara egypt pyramid camel cactus western",
    "forest": "forest wood jungle rainforest bamboo pine deer owl mushroom fairy",
    "hills": "hill field meadow valley farm countryside garden village snow winter spring flower",
    "abstract": "abstract geometric geometry pattern bauhaus cubism concept idea justice freedom logo texture shape",
}
HOMES = {
    "castle": "mountains",
    "dragon": "mountains",
    "boat": "sea",
    "lighthouse": "sea",
    "bear": "forest",
    "wolf": "forest",
    "person": "mountains",
}  # where a subject is found when no word tells; others: hills
SUBJECTS = {
    "fox": "fox vixen",
    "wolf": "wolf husky",
    "cat": "cat kitten kitty",
    "dog": "dog puppy hound corgi",
    "bear": "bear grizzly panda",
    "rabbit": "rabbit bunny hare",
    "castle": "castle fortress palace",
    "house": "house cottage cabin home hut barn",
    "lighthouse": "lighthouse",
    "boat": "boat ship sailboat yacht",
    "tree": "tree oak apple",
    "dragon": "dragon wyvern",
    "balloon": "balloon airship",
    "birds": "bird eagle seagull swallow crow raven dove goose parrot",
    "portrait": "portrait face headshot selfie sailor captain woman man girl boy queen king lady wizard witch viking",
    "person": "person wanderer traveler traveller monk knight samurai hiker pilgrim people child",
}
OWN_COLORS = {
    "fox": "#d9622b",
    "wolf": "#78828f",
    "cat": "#3b3442",
    "dog": "#b27a47",
    "bear": "#6b4632",
    "rabbit": "#cdbba6",
}
COLORS = {
    "red": "#d23b34",
    "crimson": "#b3202f",
    "scarlet": "#dd3325",
    "orange": "#e8822c",
    "golden": "#e9b13c",
    "gold": "#e9b13c",
    "yellow": "#f0cc45",
    "green": "#3f9a5a",
    "emerald": "#1f8f63",
    "teal": "#1f8f8c",
    "turquoise": "#35b5b0",
    "blue": "#2e6fc4",
    "azure": "#3a93dd",
    "indigo": "#3f3a9c",
    "purple": "#7b46b0",
    "violet": "#8450c4",
    "pink": "#ec7fa5",
    "magenta": "#d23a92",
    "brown": "#80522f",
    "white": "#f3efe6",
    "black": "#2b2833",
    "silver": "#b8c0c8",
    "grey": "#8a9098",
    "gray": "#8a9098",
}
FLYING = ("dragon", "birds", "balloon")
SNOW = {"snow", "snowy", "winter", "blizzard", "christmas"}
ANYTIME = ("day", "sea", "forest", "dawn", "sunset", "autumn", "night", "desert")  # when no word sets the mood
RAIN = {"rain", "rainy", "storm", "stormy", "thunder"}
DASHES = {"–": "-", "—": "-", "×": "x", "•": "·"}  # noqa: RUF001
MARK = "SANDBOX"
LEADING = 1.2  # line height over letter size
SMALLEST_CAPTIONED = 64  # pixels
LARGEST_SMOOTHED = 2048 * 2048  # pixels; larger pictures are drawn at their own size to save memory


def draw(prompt: str, *, seed: int, width: int, height: int, model: str = "") -> Image.Image:
    """RGB picture of exactly width x height pixels (each at least 1), the same for the same arguments.

    The prompt decides the scene, its colours and its subject; the seed and the model decide how it is composed.
    """
    words = tokens(prompt)
    palette = choose_palette(prompt, words, seed)
    paper, ink = choose_paper(palette)
    image = Image.new("RGB", (width, height), paper)
    margin, top = round(0.03 * min(width, height)), height
    if min(width, height) >= SMALLEST_CAPTIONED:
        top -= set_caption(image, clean(prompt), clean(f"{model} · {seed}" if model else str(seed)), paper, ink)
    size = max(1, width - 2 * margin), max(1, top - margin)
    image.paste(paint(prompt, words, palette, size, f"{prompt}\x1f{seed}\x1f{model}"), (margin, margin))
    return grain(image)


def paint(prompt: str, words: list[str], palette: Palette, size: tuple[int, int], key: str) -> Image.Image:
    """The picture without its frame, drawn larger than it is wanted so that edges come out smooth."""
    scale = 2 if size[0] * size[1] <= LARGEST_SMOOTHED else 1
    c = Canvas(size[0] * scale, size[1] * scale, palette, key)
    subjects = [name for name in map(subject_of, words) if name]
    standing = next((name for name in subjects if name not in FLYING), None)
    flying = next((name for name in subjects if name in FLYING), None)
    anything = list(SCENES)[int(seeded(prompt, "scene").random() * len(SCENES))]
    home = HOMES.get(standing or flying or "", "hills") if subjects else anything
    scene, rng = pick(SCENES, words) or home, c.rng("composition")
    x = between(rng, 0.3, 0.7) if standing else between(rng, 0.18, 0.82)
    c.sun = c.at(x, between(rng, 0.5, 0.56) if standing else between(rng, 0.2, 0.42))
    scenery.sky(c, c.unit * (between(rng, 0.2, 0.24) if standing else between(rng, 0.07, 0.12)))
    ground = scenery.SCENES[scene](c)
    if flying:
        spot = c.at(between(rng, 0.35, 0.65), between(rng, 0.3, 0.36))
        if flying == "balloon":
            spot = spot[0], spot[1] + 0.1 * c.unit
        scenery.subject(c, flying, spot, rng.random() < 0.5, subject_color(words, flying, palette), set(words))
    if standing:
        foot = c.sun[0] + c.unit * between(rng, -0.06, 0.06)
        if scene == "sea" and standing != "boat":
            scenery.land(c, ground, 1)
        afloat = standing == "boat" and scene == "sea"
        spot = foot, c.height * 0.72 if afloat else ground(foot) + 0.01 * c.unit
        scenery.subject(c, standing, spot, rng.random() < 0.5, subject_color(words, standing, palette), set(words))
    if any(w in RAIN for w in words):
        scenery.rain(c)
    elif any(w in SNOW for w in words):
        scenery.snowfall(c)
    return c.image.reduce(scale) if scale > 1 else c.image


# ---- what the words ask for ----


def subject_of(word: str) -> str | None:
    """The subject a word names, if it names one."""
    return next((name for name, asked in SUBJECTS.items() if word in asked.split()), None)


def tokens(prompt: str) -> list[str]:
    """The prompt's words in order, lower case, a plural s also taken off."""
    found = re.findall(r"[^\W\d_]+", prompt.lower())
    return [form for word in found for form in ((word, word[:-1]) if word.endswith("s") else (word,))]


def pick(table: dict[str, str], words: list[str]) -> str | None:
    """The first entry of a word table that has one of the words, if any has."""
    return next((name for name, asked in table.items() if not set(words).isdisjoint(asked.split())), None)


def choose_palette(prompt: str, words: list[str], seed: int) -> Palette:
    """The palette of the prompt's mood, tinted by its colour words; its hue drifts with prompt and seed."""
    rng = seeded(prompt, "palette")
    name = pick(MOODS, words) or ANYTIME[int(rng.random() * len(ANYTIME))]
    colors = [rgb(code) for code in PALETTES[name].split()]
    drift = between(rng, -0.025, 0.025) + between(seeded(prompt, seed, "hue"), -0.012, 0.012)
    asked = [rgb(COLORS[word]) for word in words if word in COLORS]
    strength = 0.25 if pick(SUBJECTS, words) else 0.6
    for i, color in enumerate(colors if asked else ()):
        colors[i] = tint(color, asked[i % len(asked)], strength)
    if asked and strength > 0.5:
        colors[7] = asked[-1]
    colors = [turn(color, drift) for color in colors]
    if name == "night" and SNOW & set(words):  # snow stays pale in the dark
        colors[5] = mix(colors[2], WHITE, 0.5)
    return Palette(*colors)


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


def subject_color(words: list[str], name: str | None, palette: Palette) -> Color:
    """What the subject wears: the prompt's first colour word, its own coat, or the palette's accent."""
    asked = next((COLORS[word] for word in words if word in COLORS), None)
    own = asked or OWN_COLORS.get(name or "")
    if own:
        return rgb(own)
    return palette.dark if name in ("birds", "castle", "dragon") else palette.accent


# ---- the frame and its lettering ----


def choose_paper(palette: Palette) -> tuple[Color, Color]:
    """Colours of the frame and its lettering: dark paper for dark skies, cream for the others."""
    if luminance(palette.sky_top) < 0.06:
        return mix(palette.dark, BLACK, 0.25), mix(palette.sun, WHITE, 0.5)
    return mix((247, 241, 228), palette.sky_low, 0.2), mix(palette.dark, BLACK, 0.4)


def clean(prompt: str) -> str:
    """One line to set: no control, format or stray combining characters, accents taken off (the font has none)."""
    kept = []
    for char in unicodedata.normalize("NFC", prompt[:400]):
        base = unicodedata.normalize("NFD", char)[0]
        kind = unicodedata.category(char)
        char = base if base.isascii() else DASHES.get(char, char)
        kept.append(" " if char.isspace() or kind == "Cc" else "" if kind in ("Cf", "Cs", "Mn", "Me") else char)
    return " ".join("".join(kept).split())


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font; laid out by Pillow itself, as libraqm is not there on every machine."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded.font_variant(layout_engine=ImageFont.Layout.BASIC)


def shorten(text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, cut with an ellipsis to be at most `room` pixels wide."""
    if face.getlength(text) <= room:
        return text
    while text and face.getlength(text + "…") > room:
        text = text[:-1].rstrip()
    return text + "…"


def wrap(text: str, face: ImageFont.FreeTypeFont, room: float) -> list[str]:
    """Lines of at most `room` pixels, broken between words, and within a word only if it is wider than that."""
    lines: list[str] = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".lstrip()
        if face.getlength(joined) <= room:
            lines[-1] = joined
            continue
        while face.getlength(word) > room and len(word) > 1:
            fits = max(1, next(n for n in range(len(word), -1, -1) if face.getlength(word[:n]) <= room))
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return [line for line in lines if line]


def lay_out(text: str, room: float, tall: float, unit: float) -> tuple[ImageFont.FreeTypeFont, list[str]]:
    """The largest lettering that sets the text in at most three lines within `tall` pixels, cut if need be."""
    small = max(8, round(unit * 0.034))
    for size in range(max(small, round(unit * 0.062)), small - 1, -1):
        face, most = font(size), max(1, min(3, int(tall / (size * LEADING))))
        lines = wrap(text, face, room)
        if len(lines) <= (1 if size > unit * 0.05 else 2 if size > unit * 0.04 else most):
            return face, lines
    return face, [*lines[: most - 1], shorten(" ".join(lines[most - 1 :]), face, room)]


def headline(text: str) -> str:
    """About the first 60 characters, cut between words where there are any."""
    if len(text) <= 64:
        return text
    head = text[:61]
    return (head.rsplit(" ", 1)[0] if " " in head[20:] else head[:60]).rstrip(" ,.;:-") + "…"


def set_caption(image: Image.Image, text: str, credit: str, paper: Color, ink: Color) -> int:
    """Letter the foot of the picture; returns how many pixels of its height that takes."""
    width, height = image.size
    unit, margin = min((width * height) ** 0.5, 1.4 * min(width, height)), round(0.03 * min(width, height))
    room, small = width - 2 * margin, font(max(7, round(unit * 0.019)))
    line = small.size * LEADING
    left = room - small.getlength(MARK) - small.size * 1.5
    beside = left >= min(small.getlength(credit), 0.4 * room)
    notes = [shorten(credit, small, left if beside else room)] + ([] if beside else [MARK])
    face, lines = lay_out(headline(text), room, height * 0.45 - line * len(notes) - 2 * margin, unit)
    gap = face.size * 0.35
    tall = round(2 * gap + margin + len(lines) * face.size * LEADING + len(notes) * line)
    pen, y = ImageDraw.Draw(image), height - tall + gap
    for words in lines:
        pen.text((margin, y + face.size * 0.92), words, fill=ink, font=face, anchor="ls")
        y += face.size * LEADING
    y += gap
    quiet = mix(ink, paper, 0.25)
    for note in notes:
        pen.text((margin, y + small.size * 0.9), note, fill=quiet, font=small, anchor="ls")
        y += line
    if beside:
        pen.text((width - margin, y - line + small.size * 0.9), MARK, fill=quiet, font=small, anchor="rs")
    return tall


def grain(image: Image.Image) -> Image.Image:
    """The picture with a print's fine grain, which also hides the steps of its gradients."""
    noise = bytes(126 + value % 5 for value in hashlib.shake_256(b"grain").digest(128 * 128))
    tile, sheet = Image.frombytes("L", (128, 128), noise), Image.new("L", image.size)
    for y in range(0, image.height, 128):
        for x in range(0, image.width, 128):
            sheet.paste(tile, (x, y))
    return ImageChops.add(image, Image.merge("RGB", (sheet, sheet, sheet)), 1, -128)
