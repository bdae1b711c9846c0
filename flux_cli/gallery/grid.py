"""Images of a sweep as a grid, if their requests differ in only one or two fields; several sweeps as sections."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from ..frozen import frozen
from .images import FREE, GalleryImage

SWEPT = ("seed", "guidance", "denoise", "steps")
"""Numbers that a sweep may vary, besides the words of the prompt."""


@frozen
class Axis:
    """A field that varies between images, and its values in order."""

    name: str
    values: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name of the field, for display."""
        return self.name.replace("_", " ")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the values; for prompts, only the words that differ."""
        return _differing_words(self.values) if self.name in FREE else tuple(value or "-" for value in self.values)


@frozen
class Grid:
    """Images by the values of one field (`rows` is None) or of two. rest: images without embedded settings."""

    rows: Axis | None
    columns: Axis
    cells: dict[tuple[str, str], list[GalleryImage]]
    rest: list[GalleryImage]

    def row(self, value: str) -> Iterator[list[GalleryImage]]:
        """Return the cells of a row, one per column; a cell may be empty or have several images."""
        return (self.cells.get((value, column), []) for column in self.columns.values)


@frozen
class Section:
    """Images that are shown together. title: what they have in common. grid: None to show them in order of time."""

    title: str
    images: tuple[GalleryImage, ...]
    grid: Grid | None


def make_sections(images: Sequence[GalleryImage]) -> list[Section]:
    """Return these images as one section or, if they are several sweeps, a section per sweep, the newest first.

    Images that belong to no sweep are the last section.
    """
    if (grid := make_grid(images)) or not images:
        return [Section("", tuple(images), grid)]
    sweeps = [Section(_title(group), tuple(group), make_grid(group)) for group in _group_by_request(images)]
    sweeps = [sweep for sweep in sweeps if sweep.grid]
    if not sweeps:
        return [Section("", tuple(images), None)]
    sweeps.sort(key=lambda sweep: max(image.saved for image in sweep.images), reverse=True)
    shown = {image.path for sweep in sweeps for image in sweep.images}
    others = tuple(image for image in images if image.path not in shown)
    return [*sweeps, *([Section("others", others, None)] if others else [])]


def _group_by_request(images: Sequence[GalleryImage]) -> list[list[GalleryImage]]:
    """Return groups whose requests differ only in numbers of SWEPT and in less than half of the prompt."""
    groups: list[list[GalleryImage]] = []
    for image in images:
        if image.facts:
            group = next((group for group in groups if _are_alike(group[0], image)), None)
            groups.append([image]) if group is None else group.append(image)
    return groups


def _are_alike(one: GalleryImage, other: GalleryImage) -> bool:
    names = (one.facts.keys() | other.facts.keys()) - {*SWEPT, "prompt"}
    if any(one.facts.get(name) != other.facts.get(name) for name in names):
        return False
    words, others = one.prompt.split(), other.prompt.split()
    return words == others or 2 * sum(_common_ends([words, others])) > max(len(words), len(others))


def _title(images: Sequence[GalleryImage]) -> str:
    """Return the prompt that the images share, with an ellipsis for the words that differ."""
    lines = [image.prompt.split() for image in images]
    head, tail = _common_ends(lines)
    first = lines[0]
    if head == len(first):
        return images[0].prompt
    return " ".join([*first[:head], "…", *first[len(first) - tail :]])


def make_grid(images: Sequence[GalleryImage]) -> Grid | None:
    """Return these images as a grid, in the order of their values; None if they are not a sweep."""
    known = sorted((image for image in images if image.facts), key=_by_name)
    axes = _axes(known)
    if not 1 <= len(axes) <= 2:
        return None
    rows, columns = (None, axes[0]) if len(axes) == 1 else _orient(*axes)
    cells: dict[tuple[str, str], list[GalleryImage]] = {}
    for image in known:
        row = image.facts.get(rows.name, "") if rows else ""
        cells.setdefault((row, image.facts.get(columns.name, "")), []).append(image)
    if rows and len(cells) * 2 < len(rows.values) * len(columns.values):
        return None  # mostly empty, so they were not made as a grid
    return Grid(rows, columns, cells, [image for image in images if not image.facts])


def _by_name(image: GalleryImage) -> list[tuple[int, str]]:
    """Return a key that sorts 2-a.png before 10-a.png, the order of the command, because tasks end in any order."""
    parts = re.split("([0-9]{1,18})", image.path.name)
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)]


def _axes(images: Sequence[GalleryImage]) -> list[Axis]:
    names = dict.fromkeys(name for image in images for name in image.facts)
    values = {name: tuple(dict.fromkeys(image.facts.get(name, "") for image in images)) for name in names}
    axes = [Axis(name, _sorted_values(found)) for name, found in values.items() if len(found) > 1]
    others = [axis for axis in axes if axis.name != "seed"]
    # Random seeds differ between images, but the user did not vary them.
    return others if others and _determine_seed(images, others) else axes


def _determine_seed(images: Sequence[GalleryImage], axes: Sequence[Axis]) -> bool:
    """Return whether the values on these axes determine the seed."""
    seeds: dict[tuple[str, ...], str] = {}
    for image in images:
        values, seed = tuple(image.facts.get(axis.name, "") for axis in axes), image.facts.get("seed", "")
        if seeds.setdefault(values, seed) != seed:
            return False
    return True


def _orient(first: Axis, second: Axis) -> tuple[Axis, Axis]:
    """Return the axes as rows and columns: long labels fit on the left, and a page is higher than wide."""
    if first.name in FREE or (second.name not in FREE and len(first.values) > len(second.values)):
        return first, second
    return second, first


def _sorted_values(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values in numeric order if all are numbers, else unchanged."""
    try:
        numbers = {value: float(value) for value in values}
    except ValueError:
        return values
    return values if any(map(math.isnan, numbers.values())) else tuple(sorted(values, key=numbers.__getitem__))


def _differing_words(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return each text without the words that all texts begin and end with."""
    words = [text.split() for text in texts]
    head, tail = _common_ends(words)
    middles = [" ".join(line[head : len(line) - tail]) for line in words]
    if not all(middles):
        return tuple(text or "-" for text in texts)
    return tuple(f"{'… ' if head else ''}{middle}{' …' if tail else ''}" for middle in middles)


def _common_ends(lines: list[list[str]]) -> tuple[int, int]:
    """Return the number of leading words that all lines share, and of trailing words that their rests share."""
    head = _count_common(lines)
    return head, _count_common([line[head:][::-1] for line in lines])


def _count_common(lines: list[list[str]]) -> int:
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*lines, strict=False)))
