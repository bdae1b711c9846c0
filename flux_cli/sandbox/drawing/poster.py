"""The sandbox's picture: a flat travel poster of what the prompt says, captioned with its words."""

import hashlib

from PIL import Image, ImageChops

from . import scenes
from .canvas import Canvas
from .caption import clean, set_caption
from .colors import Palette
from .land import land
from .palettes import choose_palette, choose_paper, subject_color
from .randomness import between, seeded
from .sky import rain, sky, snowfall
from .subjects import draw_subject
from .words import RAIN, SCENES, SNOW, pick, subject_of, tokens

# where a subject is found when no word tells; the others: hills
HOMES = {
    "castle": "mountains",
    "dragon": "mountains",
    "boat": "sea",
    "lighthouse": "sea",
    "bear": "forest",
    "wolf": "forest",
    "person": "mountains",
}
FLYING = ("dragon", "birds", "balloon")
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
    sky(c, c.unit * (between(rng, 0.2, 0.24) if standing else between(rng, 0.07, 0.12)))
    ground = scenes.PAINTERS[scene](c)
    if flying:
        spot = c.at(between(rng, 0.35, 0.65), between(rng, 0.3, 0.36))
        if flying == "balloon":
            spot = spot[0], spot[1] + 0.1 * c.unit
        draw_subject(c, flying, spot, rng.random() < 0.5, subject_color(words, flying, palette), set(words))
    if standing:
        foot = c.sun[0] + c.unit * between(rng, -0.06, 0.06)
        if scene == "sea" and standing != "boat":
            land(c, ground, 1)
        afloat = standing == "boat" and scene == "sea"
        spot = foot, c.height * 0.72 if afloat else ground(foot) + 0.01 * c.unit
        draw_subject(c, standing, spot, rng.random() < 0.5, subject_color(words, standing, palette), set(words))
    if any(w in RAIN for w in words):
        rain(c)
    elif any(w in SNOW for w in words):
        snowfall(c)
    return c.image.reduce(scale) if scale > 1 else c.image


def grain(image: Image.Image) -> Image.Image:
    """The picture with a print's fine grain, which also hides the steps of its gradients."""
    noise = bytes(126 + value % 5 for value in hashlib.shake_256(b"grain").digest(128 * 128))
    tile, sheet = Image.frombytes("L", (128, 128), noise), Image.new("L", image.size)
    for y in range(0, image.height, 128):
        for x in range(0, image.width, 128):
            sheet.paste(tile, (x, y))
    return ImageChops.add(image, Image.merge("RGB", (sheet, sheet, sheet)), 1, -128)
