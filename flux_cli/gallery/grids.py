"""Pictures of a sweep side by side: a grid, when their requests differ in one or two things only."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from ..frozen import frozen
from .exhibits import FREE, Exhibit


@frozen
class Axis:
    """What varies, and its values in order, each with a label."""

    name: str
    values: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name as it is shown."""
        return self.name.replace("_", " ")

    @property
    def labels(self) -> tuple[str, ...]:
        """The values; of prompts only the words in which they differ."""
        return _special(self.values) if self.name in FREE else tuple(value or "-" for value in self.values)


@frozen
class Grid:
    """Pictures by the values of one thing (`rows` is None) or of two. rest: those that do not tell."""

    rows: Axis | None
    columns: Axis
    cells: dict[tuple[str, str], list[Exhibit]]
    rest: list[Exhibit]

    def row(self, value: str) -> Iterator[list[Exhibit]]:
        """The cells of a row, one for each column; a cell may be empty, or have the pictures of a batch."""
        return (self.cells.get((value, column), []) for column in self.columns.values)


def grid_of(exhibits: Sequence[Exhibit]) -> Grid | None:
    """The grid in which these pictures stand, in the order of their values; None when they are no sweep."""
    told = sorted((exhibit for exhibit in exhibits if exhibit.facts), key=_as_named)
    axes = _axes(told)
    if not 1 <= len(axes) <= 2:
        return None
    rows, columns = (None, axes[0]) if len(axes) == 1 else _turned(*axes)
    cells: dict[tuple[str, str], list[Exhibit]] = {}
    for exhibit in told:
        row = exhibit.facts.get(rows.name, "") if rows else ""
        cells.setdefault((row, exhibit.facts.get(columns.name, "")), []).append(exhibit)
    if rows and len(cells) * 2 < len(rows.values) * len(columns.values):
        return None  # mostly holes: they were not made as a grid
    return Grid(rows, columns, cells, [exhibit for exhibit in exhibits if not exhibit.facts])


def _as_named(exhibit: Exhibit) -> list[tuple[int, str]]:
    """2-a.png before 10-a.png: the order of the command, whereas tasks end in any order."""
    parts = re.split("([0-9]{1,18})", exhibit.path.name)
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)]


def _axes(exhibits: Sequence[Exhibit]) -> list[Axis]:
    names = dict.fromkeys(name for exhibit in exhibits for name in exhibit.facts)
    values = {name: tuple(dict.fromkeys(exhibit.facts.get(name, "") for exhibit in exhibits)) for name in names}
    axes = [Axis(name, _ordered(found)) for name, found in values.items() if len(found) > 1]
    others = [axis for axis in axes if axis.name != "seed"]
    # A seed that was drawn for each picture comes with it, and is nothing that somebody varied.
    return others if others and _decided(exhibits, others) else axes


def _decided(exhibits: Sequence[Exhibit], axes: Sequence[Axis]) -> bool:
    """Whether the values on these axes leave no choice of the seed."""
    seeds: dict[tuple[str, ...], str] = {}
    for exhibit in exhibits:
        place, seed = tuple(exhibit.facts.get(axis.name, "") for axis in axes), exhibit.facts.get("seed", "")
        if seeds.setdefault(place, seed) != seed:
            return False
    return True


def _turned(first: Axis, second: Axis) -> tuple[Axis, Axis]:
    """Rows and columns: long words have room at the left, and a page is longer than it is wide."""
    if first.name in FREE or (second.name not in FREE and len(first.values) > len(second.values)):
        return first, second
    return second, first


def _ordered(values: tuple[str, ...]) -> tuple[str, ...]:
    """By size when all are numbers, else as they came."""
    try:
        numbers = {value: float(value) for value in values}
    except ValueError:
        return values
    return values if any(map(math.isnan, numbers.values())) else tuple(sorted(values, key=numbers.__getitem__))


def _special(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each text without the words with which all of them begin and end."""
    words = [text.split() for text in texts]
    head = _common(words)
    tail = _common([line[head:][::-1] for line in words])
    middles = [" ".join(line[head : len(line) - tail]) for line in words]
    if not all(middles):
        return tuple(text or "-" for text in texts)
    return tuple(f"{'… ' if head else ''}{middle}{' …' if tail else ''}" for middle in middles)


def _common(lines: list[list[str]]) -> int:
    """With how many words all lines begin."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*lines, strict=False)))
