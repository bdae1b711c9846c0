"""Names of picture files: from a template, safe on every system, never on top of another picture.

Placeholders are fixed words; a template is never given to `str.format`, which would hand a prompt file the
attributes of our objects.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import UsageError
from ..frozen import frozen
from ..text import clean, cut, hides, in_word, slug

DEFAULT_TEMPLATE = "{slug}-{seed}"
PLACEHOLDERS: dict[str, str] = {
    "slug": "the prompt's first words",
    "seed": "the seed",
    "model": "the model's short name",
    "op": "the operation",
    "date": "today, 2026-11-25",
    "time": "now, 153012",
    "task": "the task's id",
    "id": "what a row of a batch file calls itself",
    "index": "the place in the batch",
    "n": "the picture's number within its task",
}
LATE = "\ue000"
"""Stands for `{task}` in a planned name: the id is known only when the task is accepted. A private-use character,
so that no folder has it by chance."""

OTHER_FORMATS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".svg", ".heic", ".jxl")
# Patterns in words: `re` makes them when they are first used.
_BRACES = r"\{([^{}]*)\}|[{}]"
# Windows refuses these whatever the extension.
_DEVICES = r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?"
# The last two ranges are surrogates that stand for no byte of a file name.
_IMPOSSIBLE = r'[<>:"|?*\\\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]'
VALUE_BYTES, NAME_BYTES, TASK_ID_BYTES = 80, 240, 128


@frozen
class OutputPlan:
    """Where the pictures of one task go, settled before it is paid for.

    paths: absolute; one for each picture that was ordered. May hold `LATE`.
    overwrite: an existing file is replaced.
    metadata: the picture tells how it was made.
    """

    paths: tuple[Path, ...]
    overwrite: bool = False
    metadata: bool = True

    def path(self, index: int, task_id: str) -> Path:
        """The place of picture `index` (from 0); for more pictures than ordered, a name after the last."""
        planned = self.paths[min(index, len(self.paths) - 1)]
        path = Path(*(part.replace(LATE, task_id) for part in planned.parts))
        return path if index < len(self.paths) else path.with_stem(f"{path.stem}-{index + 1}")


def is_template(text: str) -> bool:
    """Whether a name makes different files for different tasks."""
    return re.search(_BRACES, text) is not None


def safe_value(value: str) -> str:
    """A placeholder's value as part of a file name: no separators, at most 80 bytes, no hidden or parent name."""
    kept = "".join(character if in_word(character) or character in "_.,+=@-" else " " for character in value)
    return cut("-".join(kept.split()), VALUE_BYTES).strip("-.") or "x"


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled in. Raises UsageError for one that does not exist."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            known = " ".join(f"{{{word}}}" for word in values)
            raise UsageError(
                f"no placeholder is called {clean(match.group(), 40)} in an output name", hint=f"there are: {known}"
            )
        return LATE if name == "task" else safe_value(values[name])

    return re.sub(_BRACES, value, template)


def check_name(name: str) -> None:
    """Raises UsageError for a file name that some system cannot hold, or that would not show as what it is."""
    bare, shown = name.replace(LATE, "x"), clean(name.replace(LATE, "{task}"), 80)
    impossible = re.fullmatch(_DEVICES, bare) or re.search(_IMPOSSIBLE, bare)
    if not bare or bare != bare.rstrip(". ") or impossible or hides(bare):
        raise UsageError(f"the output name {shown!r} would not work on every system")
    if len(name.replace(LATE, "x" * TASK_ID_BYTES).encode("utf-8", "surrogateescape")) > NAME_BYTES:
        raise UsageError(f"the output name is longer than {NAME_BYTES} bytes: {shown}")


def picture_paths(template: str, values: Mapping[str, str], count: int, folder: Path) -> list[Path]:
    """The absolute names of the `count` pictures of a task, before any collision is settled.

    Without `{n}` in the template, several pictures get -1, -2, ... before the extension.
    Raises UsageError for a name that cannot be.
    """
    stem, extension = _split(template)
    if count > 1 and "{n}" not in template:
        stem += "-{n}"
    paths = [folder / f"{render(stem, {**values, 'n': str(number)})}{extension}" for number in range(1, count + 1)]
    for path in paths:
        check_name(path.name)
    for part in Path(stem).parts[:-1]:
        if is_template(part):
            check_name(render(part, {**values, "n": "1"}))
        elif hides(part):
            raise UsageError(f"the output folder {clean(part, 80)!r} would not show as what it is")
    return paths


def _split(template: str) -> tuple[str, str]:
    stem, dot, word = template.rpartition(".")
    extension = f"{dot}{word}".lower()
    if extension in OTHER_FORMATS:
        raise UsageError(f"the service makes PNG pictures, not {extension}", hint="give a name that ends in .png")
    if extension == ".png":
        return stem, f".{word}"
    return template, ".png"


def unique(path: Path, is_taken: Callable[[Path], bool]) -> Path:
    """`path`, or the first of `name-2.png`, `name-3.png`, ... that is not taken."""
    candidate, number = path, 1
    while is_taken(candidate):
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def prompt_slug(prompt: str) -> str:
    """The prompt's first words as part of a name; `picture` for a prompt without letters."""
    return slug(prompt) or "picture"
