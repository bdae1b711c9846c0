"""The foot of a poster: the prompt's words, the model and the seed, set to fit."""

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from .colors import Color, mix

DASHES = {"–": "-", "—": "-", "×": "x", "•": "·"}  # noqa: RUF001
MARK = "SANDBOX"
LEADING = 1.2  # line height over letter size


def clean(prompt: str) -> str:
    """One line to set: no control, format or stray combining characters, accents taken off (the font has none)."""
    kept = []
    for char in unicodedata.normalize("NFC", prompt[:400]):
        base = unicodedata.normalize("NFD", char)[0]
        kind = unicodedata.category(char)
        char = base if base.isascii() else DASHES.get(char, char)
        kept.append(" " if char.isspace() or kind == "Cc" else "" if kind in ("Cf", "Cs", "Mn", "Me") else char)
    return " ".join("".join(kept).split())


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


def headline(text: str) -> str:
    """About the first 60 characters, cut between words where there are any."""
    if len(text) <= 64:
        return text
    head = text[:61]
    return (head.rsplit(" ", 1)[0] if " " in head[20:] else head[:60]).rstrip(" ,.;:-") + "…"


def lay_out(text: str, room: float, tall: float, unit: float) -> tuple[ImageFont.FreeTypeFont, list[str]]:
    """The largest lettering that sets the text in at most three lines within `tall` pixels, cut if need be."""
    small = max(8, round(unit * 0.034))
    for size in range(max(small, round(unit * 0.062)), small - 1, -1):
        face, most = font(size), max(1, min(3, int(tall / (size * LEADING))))
        lines = wrap(text, face, room)
        if len(lines) <= (1 if size > unit * 0.05 else 2 if size > unit * 0.04 else most):
            return face, lines
    return face, [*lines[: most - 1], shorten(" ".join(lines[most - 1 :]), face, room)]


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


def shorten(text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, cut with an ellipsis to be at most `room` pixels wide."""
    if face.getlength(text) <= room:
        return text
    while text and face.getlength(text + "…") > room:
        text = text[:-1].rstrip()
    return text + "…"


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font; laid out by Pillow itself, as libraqm is not there on every machine."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded.font_variant(layout_engine=ImageFont.Layout.BASIC)
