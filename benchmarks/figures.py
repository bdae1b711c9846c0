"""What a measure gives: rows of figures, some of them with a target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `target` is what it should not exceed; None where there is nothing to reach."""

    value: float
    unit: str = ""
    target: float | None = None

    def __str__(self) -> str:
        text = f"{_plain(self.value)}{' ' if self.unit else ''}{self.unit}"
        if self.target is None:
            return text
        reached = float(f"{self.value:.3g}") <= self.target  # as it is shown
        return f"{text} {'<=' if reached else '>'} {_plain(self.target)}"


@dataclass(frozen=True, slots=True)
class Section:
    """What one measure found.

    about: how it was measured, in sentences; rows: figures by column, by what was measured.
    """

    name: str
    title: str
    about: str
    rows: Mapping[str, Mapping[str, Figure]]
    notes: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> list[str]:
        """Every column that a row has, in the order in which they come."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))

    def table(self) -> list[list[str]]:
        """The head and the rows as text."""
        rows = [[what, *(str(row.get(column, "")) for column in self.columns)] for what, row in self.rows.items()]
        return [["", *self.columns], *rows]


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the benchmarks. machine: facts about where it ran; quick: too small to mean much."""

    machine: Mapping[str, str]
    quick: bool
    sections: tuple[Section, ...]

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Report":
        """The report that `dataclasses.asdict` and JSON made of one."""
        return cls(stored["machine"], stored["quick"], tuple(_section(section) for section in stored["sections"]))


def _section(stored: Mapping[str, Any]) -> Section:
    rows = {what: {column: Figure(**figure) for column, figure in row.items()} for what, row in stored["rows"].items()}
    return Section(stored["name"], stored["title"], stored["about"], rows, tuple(stored["notes"]))


def _plain(number: float) -> str:
    """Three figures that mean something, without an exponent."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
