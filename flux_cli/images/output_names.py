"""Names of image files: from a template, valid on every system, and never those of existing files.

Placeholders are fixed words. A template is never passed to `str.format`, which would let a batch file read the
attributes of Python objects.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath, PureWindowsPath

from ..errors import DiskError, UsageError
from ..frozen import frozen
from ..text import cut, file_name, has_hidden, is_word_character, quoted

DEFAULT_TEMPLATE = "{slug}-{seed}"
PLACEHOLDERS: dict[str, str] = {
    "slug": "the first words of the prompt",
    "seed": "the seed",
    "model": "the short name of the model",
    "op": "the operation",
    "date": "the date, for example 2026-11-25",
    "time": "the time, for example 153012",
    "task": "the ID of the task",
    "id": "the id of the row of a batch file",
    "index": "the number of the task in the batch",
    "n": "the number of the image within its task",
}
LATE = "\ue000"
"""Stands for `{task}` in a planned name, because the task ID is unknown until PiAPI accepts the task. It is a
private-use character, which no directory name contains by chance."""

OTHER_FORMATS = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".svg", ".heic", ".jxl")
# Patterns as text: `re` compiles them when they are first used.
_BRACES = r"\{([^{}]*)\}|[{}]"
# Windows refuses these with any extension.
_DEVICES = r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?"
# The last two ranges are the surrogates that do not represent a byte of a file name (PEP 383).
_IMPOSSIBLE = r'[<>:"|?*\\\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]'
_STREAMS = r"/dev/(std(in|out|err)|fd/[0-9]+)|/proc/(self|[0-9]+)/fd/[0-9]+"
VALUE_BYTES, NAME_BYTES, TASK_ID_BYTES = 80, 240, 128


@frozen
class OutputPlan:
    """The files for the images of one task, chosen before it is sent.

    paths: absolute, one per requested image. They may contain `LATE`.
    overwrite: whether an existing file is replaced.
    metadata: whether the request is embedded in the image.
    """

    paths: tuple[Path, ...]
    overwrite: bool = False
    metadata: bool = True

    def path(self, index: int, task_id: str) -> Path:
        """Return the path of image `index` (from 0). An image beyond the requested ones gets a numbered name."""
        planned = self.paths[min(index, len(self.paths) - 1)]
        path = Path(*(part.replace(LATE, task_id) for part in planned.parts))
        return path if index < len(self.paths) else path.with_stem(f"{path.stem}-{index + 1}")


def is_template(text: str) -> bool:
    """Return whether a name has placeholders, and so differs from task to task."""
    return re.search(_BRACES, text) is not None


def safe_value(value: str) -> str:
    """Return a value as a part of a file name: without separators and leading dots, at most 80 bytes."""
    kept = "".join(character if is_word_character(character) or character in "_.,+=@-" else " " for character in value)
    return cut("-".join(kept.split()), VALUE_BYTES).strip("-.") or "x"


def render(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its placeholders filled in. Raise UsageError for an unknown one."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            known = " ".join(f"{{{word}}}" for word in values)
            raise UsageError(
                f"unknown placeholder {quoted(match.group(), 40)} in an output name", hint=f"Use one of {known}"
            )
        return LATE if name == "task" else safe_value(values[name])

    return re.sub(_BRACES, value, template)


def expand_path(text: str) -> Path:
    """Return a user's path with `~` or `~name` expanded; unchanged if there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def absolute_path(text: str) -> Path:
    """Return a user's path as an absolute one. Raise DiskError if the working directory was deleted."""
    try:
        return Path(os.path.abspath(expand_path(text)))
    except FileNotFoundError:
        raise _no_directory() from None


def _no_directory() -> DiskError:
    return DiskError("the working directory was deleted", hint="Change to another directory, or use absolute paths")


def check_name(name: str) -> None:
    """Raise UsageError for a file name that is invalid on some system, or that contains hidden characters."""
    bare, shown = name.replace(LATE, "x"), quoted(name.replace(LATE, "{task}"), 80)
    impossible = re.fullmatch(_DEVICES, bare) or re.search(_IMPOSSIBLE, bare)
    if not bare or bare != bare.rstrip(". ") or impossible or has_hidden(bare):
        raise UsageError(f"the output name {shown} would not work on every system")
    if len(name.replace(LATE, "x" * TASK_ID_BYTES).encode("utf-8", "surrogateescape")) > NAME_BYTES:
        raise UsageError(f"the output name is longer than {NAME_BYTES} bytes: {shown}")


def check_inside(template: str) -> None:
    """Raise UsageError for a name from a batch file that could be outside the output directory on some system.

    Batch files are untrusted: a name in one must not contain a drive, a root, a parent or a home directory.
    """
    path = PureWindowsPath(template)
    if template == "-" or template.startswith("~") or path.drive or path.root or ".." in path.parts:
        raise UsageError(f"output {quoted(template, 80)} is not a name inside the output directory")
    for part in path.parts[:-1]:
        if not is_template(part):
            check_name(part)


def check_format(name: str) -> None:
    """Raise UsageError for a name with the extension of an image format other than PNG."""
    extension = PurePath(name).suffix.lower()
    if extension in OTHER_FORMATS:
        raise UsageError(f"images are saved as PNG, not as {extension}", hint="Use a name that ends in .png")


def check_regular(path: Path, option: str) -> None:
    """Raise UsageError for the path of something that is neither a file nor a directory, such as a device or a pipe."""
    special = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
    if special or re.fullmatch(_STREAMS, path.as_posix()):
        hint = "To write the image to stdout, use: -o -" if option == "-o" else None
        raise UsageError(f"{option} {file_name(path, 80)} is not a regular file", hint=hint)


def image_paths(template: str, values: Mapping[str, str], count: int, directory: Path) -> list[Path]:
    """Return the absolute paths for the `count` images of a task. Files may exist there.

    If there are several images and the template lacks `{n}`, they get -1, -2, ... before the extension.
    Raise UsageError for an invalid name, a directory or a device; DiskError for a relative path if the working
    directory was deleted.
    """
    stem, extension = _split(template)
    if count > 1 and "{n}" not in template:
        stem += "-{n}"
    _check_as_written(template, directory)
    names = [f"{render(stem, {**values, 'n': str(number)})}{extension}" for number in range(1, count + 1)]
    paths = [directory / expand_path(name) for name in names]
    for path in paths:
        check_name(path.name)
        if not path.is_absolute():
            raise _no_directory()
        check_regular(path, "-o")
    for part in Path(stem).parts[:-1]:
        if is_template(part):
            check_name(render(part, {**values, "n": "1"}))
        elif has_hidden(part):
            raise UsageError(f"the output directory {file_name(part, 80)} contains hidden characters")
    return paths


def _check_as_written(template: str, directory: Path) -> None:
    """Raise UsageError for a name that is a directory or a device as the user wrote it, without an extension."""
    path = directory / expand_path(template)
    if template.endswith(("/", "\\")) or (not _has_extension(template) and os.path.isdir(path)):
        import shlex

        hint = f"To save into it, use: -d {shlex.quote(template)}"
        raise UsageError(f"-o {file_name(template, 80)} names a directory", hint=hint)
    check_regular(path, "-o")


def _has_extension(name: str) -> bool:
    return name.lower().endswith(".png")


def _split(template: str) -> tuple[str, str]:
    check_format(template)
    return (template[:-4], template[-4:]) if _has_extension(template) else (template, ".png")


def unique(path: Path, is_taken: Callable[[Path], bool]) -> Path:
    """Return `path`, or the first of `name-2.png`, `name-3.png`, ... that is not taken."""
    candidate, number = path, 1
    while is_taken(candidate):
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
