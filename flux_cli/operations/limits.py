"""The limits of a model, and checks of a request against them."""

import math
import re
import unicodedata
from collections.abc import Iterator

from ..frozen import frozen
from ..text import quoted

Size = tuple[int, int]
"""Width and height in pixels."""
DEFAULT_SIZE: Size = (1024, 1024)
MAX_FEATHER = 200
"""Pixels by which the edge of a mask can be softened."""
_MISSING = ("nan", "NaN", "null", "None", "undefined", "<NA>")
"""Missing values as pandas, jq, Python and JavaScript print them."""
_FILE = r"[^\s,;]*\.(png|jpe?g|webp|gif|bmp|tiff?|heic|txt|csv|tsv|jsonl?|toml)"
_FILES = rf"(?i){_FILE}([\s,;]+{_FILE})*"


@frozen
class ModelLimits:
    """The limits of a model (specification: Parameter Reference; docs/internals/service.md, section 1)."""

    model: str
    """The name of the model, for messages."""
    prompt_characters: int
    pixels: int
    guidance: tuple[float, float]
    denoise: tuple[float, float]
    """Above the first, up to and including the second."""
    strength: tuple[float, float]
    """Strength of a LoRA, of a control image and of a variation."""
    margin: int
    """Pixels on each side of an outpainted image (specification: Output Resolution)."""
    steps: int
    batch_size: int

    def range_problems(
        self, what: str, value: float | None, low: float, high: float, *, above: bool = False
    ) -> Iterator[str]:
        """Yield the problem of a number whose range depends on the model."""
        return range_problems(what, value, low, high, after=f" is out of range for {self.model}", above=above)


def text_problems(what: str, text: str, limit: int) -> Iterator[str]:
    """Yield the problems of a text. It needs 1 to `limit` characters, and a visible one (specification: code 1100)."""
    if not text.strip():
        yield f"the {what} is empty"
    elif not any(map(_is_letter_digit_or_symbol, text)):
        yield f"the {what} {quoted(text, 40)} has no letter, digit or symbol"
    if len(text) > limit:
        yield f"the {what} has {len(text)} characters; PiAPI accepts 1 to {limit}"
    if control := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text):
        yield f"the {what} has a control character: {quoted(text[max(0, control.start() - 20) : control.end() + 20])}"
    if any("\ud800" <= character <= "\udfff" for character in text):
        yield f"the {what} is not valid UTF-8"


def _is_letter_digit_or_symbol(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) == "So"


def prompt_problems(prompt: str) -> Iterator[str]:
    """Yield the problems of a text that was certainly not meant as a prompt."""
    if prompt in _MISSING:
        yield f"the prompt is {quoted(prompt)}, which usually means a missing value"
    if re.fullmatch(_FILES, prompt):
        yield f"the prompt {quoted(prompt, 40)} consists of file names"


def size_problems(width: int, height: int, pixels: int) -> Iterator[str]:
    """Yield the problem of a size. It must be positive, with at most `pixels` in total (specification: code 1700)."""
    if width < 1 or height < 1:
        yield f"the size {width}x{height} is not positive"
    elif width * height > pixels:
        side = math.isqrt(pixels)
        yield f"the size {width}x{height} has {width * height:,} pixels; PiAPI accepts up to {pixels:,} ({side}x{side})"


def range_problems(
    what: str, value: float | None, low: float, high: float, *, after: str = "", above: bool = False
) -> Iterator[str]:
    """Yield the problem of a number that is outside `low` to `high`. `above` excludes `low` itself. None is valid.

    after: the text after the number in the message.
    """
    if value is None:
        return
    inside = math.isfinite(value) and (low < value if above else low <= value) and value <= high
    if not inside:
        allowed = f"above {low:g} and up to {high:g}" if above else f"{low:g} to {high:g}"
        yield f"{what} {value:g}{after} ({allowed})"
