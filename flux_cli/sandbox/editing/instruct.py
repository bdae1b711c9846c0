"""The instruction editor: a picture changed as a sentence says, and the sentence noted at its foot."""

from PIL import Image, ImageDraw

from ..drawing.canvas import Canvas
from ..drawing.caption import MARK, clean, font, shorten
from ..drawing.colors import Palette
from ..drawing.palettes import choose_palette, choose_paper, subject_color
from ..drawing.poster import FLYING
from ..drawing.randomness import between
from ..drawing.sky import rain, snowfall
from ..drawing.subjects import draw_subject
from ..drawing.words import RAIN, SNOW, subject_of, tokens
from .pixels import as_rgb, light_of, mixed
from .tones import by_light, recolored

ADDING = {"add", "put", "place", "insert", "include", "draw"}
SMALLEST_CAPTIONED = 64  # pixels


def kontext(source: Image.Image, prompt: str, *, seed: int, width: int, height: int, model: str) -> Image.Image:
    """The source, resized to width x height pixels (RGB), with the prompt's instruction carried out as far as it goes.

    The composition stays. The colours become those of the prompt, snow or rain falls if it says so, and a subject that
    it says to add is added; a strip at the foot, of at most a ninth of the height, says the instruction.
    """
    words = tokens(prompt)
    palette = choose_palette(prompt, words, seed)
    resized = as_rgb(source).resize((width, height), Image.Resampling.BICUBIC)
    graded = mixed(resized, recolored(light_of(resized), by_light(palette)), 0.62)
    c = Canvas(width, height, palette, f"{prompt}\x1f{seed}\x1f{model}\x1fkontext")
    c.image.paste(graded)
    add_what_it_says(c, words)
    if min(width, height) >= SMALLEST_CAPTIONED:
        note(c.image, clean(prompt), palette)
    return c.image


def add_what_it_says(c: Canvas, words: list[str]) -> None:
    """Light from a side that the seed chooses, and the weather and the subject that the words ask for."""
    rng = c.rng("light")
    x, y = c.at(0.1 if rng.random() < 0.5 else 0.9, between(rng, 0.05, 0.3))
    c.glow(x, y, 0.6 * c.unit, c.palette.sun, 0.3)
    subject = next(filter(None, map(subject_of, words)), None)
    if subject and ADDING.intersection(words):
        c.sun = x, y
        foot = c.at(between(rng, 0.25, 0.75), between(rng, 0.35, 0.4) if subject in FLYING else 0.86)
        draw_subject(c, subject, foot, x > c.width / 2, subject_color(words, subject, c.palette), set(words))
    if RAIN.intersection(words):
        rain(c)
    elif SNOW.intersection(words):
        snowfall(c)


def note(image: Image.Image, text: str, palette: Palette) -> None:
    """A strip along the foot with the instruction, and the sandbox's mark where there is room."""
    width, height = image.size
    face = font(max(8, round(min((width * height) ** 0.5, 1.4 * min(width, height)) * 0.026)))
    margin, tall = round(face.size * 0.7), min(round(face.size * 1.9), height // 9)
    paper, ink = choose_paper(palette)
    strip = Image.new("RGB", (width, tall), paper)
    pen, room, mark = ImageDraw.Draw(strip), float(width - 2 * margin), face.getlength(MARK)
    if mark < room / 3:
        pen.text((width - margin, tall / 2), MARK, fill=ink, font=face, anchor="rm")
        room -= mark + 2 * margin
    pen.text((margin, tall / 2), shorten(text, face, room), fill=ink, font=face, anchor="lm")
    image.paste(strip, (0, height - tall))
