"""The figures of a run, and how they are printed and published: `python -m benchmarks.report` writes the document."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from .environment import ROOT

LATEST = Path(__file__).with_name("latest.json")
DOCUMENT = ROOT / "docs" / "explanation" / "performance.md"
LEGEND = "Figures with a target are followed by it: <= met, > missed."
METHOD = """## How it is measured

`python -m benchmarks --publish` runs all benchmarks, which takes several minutes, and writes this document. Times are
ratios to a baseline that ran in the same minute: ratios can be compared across machines, milliseconds cannot.
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit. target: the value that it should not exceed; None if it has no target."""

    value: float
    unit: str = ""
    target: float | None = None

    def __str__(self) -> str:
        text = f"{_format(self.value)} {self.unit}".rstrip()
        if self.target is None:
            return text
        met = float(f"{self.value:.3g}") <= self.target  # compared as displayed
        return f"{text} {'<=' if met else '>'} {_format(self.target)}"


def _format(number: float) -> str:
    """Return a number with three significant digits and without an exponent."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def summarize(times: Sequence[float], target: float | None = None) -> dict[str, Figure]:
    """Return median, 99th percentile and maximum in milliseconds. times: seconds; target: for the 99th percentile."""
    p99 = quantiles(times, n=100, method="inclusive")[98]
    return {
        "p50": Figure(1000 * median(times), "ms"),
        "p99": Figure(1000 * p99, "ms", target),
        "max": Figure(1000 * max(times), "ms"),
    }


@dataclass(frozen=True, slots=True)
class Section:
    """The result of one benchmark.

    about: the method, in sentences; rows: figures by row name and column name; notes: lines below the table.
    """

    name: str
    title: str
    about: str
    rows: Mapping[str, Mapping[str, Figure]]
    notes: Sequence[str] = ()

    def format_table(self) -> list[list[str]]:
        """Return the head and the rows as text, with the columns in order of first appearance."""
        columns = list(dict.fromkeys(column for row in self.rows.values() for column in row))
        rows = [[name, *(str(row.get(column, "")) for column in columns)] for name, row in self.rows.items()]
        return [["", *columns], *rows]


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the benchmarks. machine: facts by name; quick: sizes were too small for meaningful figures."""

    machine: Mapping[str, str]
    quick: bool
    sections: Sequence[Section]


def format_machine(machine: Mapping[str, str]) -> str:
    """Return the facts about the machine in one line."""
    return f"Measured on: {'; '.join(f'{name}: {fact}' for name, fact in machine.items())}."


def format_text(section: Section) -> str:
    """Return the table and the notes of a section for a terminal."""
    table = section.format_table()
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = [section.title]
    for name, *cells in table:
        aligned = (cell.rjust(width) for cell, width in zip(cells, others, strict=True))
        lines.append(f"  {'  '.join([name.ljust(first), *aligned])}".rstrip())
    return "\n".join([*lines, *(f"  {note}" for note in section.notes)])


def format_summary(report: Report) -> str:
    """Return the main results for users, one sentence per line."""
    rows = {section.name: section.rows for section in report.sections}
    start, waiting, prompts = rows["startup"], rows["waiting"]["dev, as documented"], rows["memory"]["100,000 prompts"]
    help_page, gen = start["flux --help"]["x pass"].value, start["flux gen -m schnell"]["x pass"].value
    first, later = waiting["first task: waste"].value, waiting["after five: waste"].value
    batch = rows["throughput"]["makespan, including program start and exit"]["80 tasks, 20 in parallel"].value
    return f"""\
- `flux --help` takes {help_page:.1f} times as long as `python -c pass`.
- A complete `flux gen` takes {gen:.0f} times as long, plus PiAPI's time: {gen / 100:.1f} s if Python starts in 10 ms.
- flux detects the end of a `dev` task {first:.1f} s late on average, or {later:.1f} s late after five such tasks.
- A batch of 80 tasks, 20 in parallel, takes {batch - 1:.0%} longer than PiAPI needs for it.
- Checking and pricing 100,000 prompts takes {prompts["CPU"].value:.0f} s and {prompts["peak"].value:.0f} MiB of memory.
"""


def format_markdown(report: Report) -> str:
    """Return the document."""
    parts = [
        f"# How fast flux is\n\n{format_summary(report)}",
        f"{METHOD}\n{format_machine(report.machine)}\n\n{LEGEND}\n",
    ]
    for section in report.sections:
        head, *rows = section.format_table()
        rule = ["---", *("---:" for _ in head[1:])]
        table = "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
        parts.append("\n\n".join([f"## {section.title}", section.about, table, *section.notes]) + "\n")
    return "\n".join(parts)


def format_json(report: Report) -> str:
    """Return the report as JSON for `read`."""
    return json.dumps(asdict(report, dict_factory=_omit_defaults), indent=1) + "\n"


def _omit_defaults(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if value not in (None, "", ())}


def read(path: Path) -> Report:
    """Return the report in a file that was written with `format_json`."""
    stored = json.loads(path.read_text("utf-8"))
    sections = []
    for section in stored["sections"]:
        rows = {
            name: {column: Figure(**figure) for column, figure in row.items()} for name, row in section["rows"].items()
        }
        sections.append(Section(**{**section, "rows": rows}))
    return Report(stored["machine"], stored["quick"], sections)


if __name__ == "__main__":
    DOCUMENT.write_text(format_markdown(read(LATEST)), "utf-8")
