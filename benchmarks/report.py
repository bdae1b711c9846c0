"""A report as text, and as docs/explanation/performance.md: `python -m benchmarks.report`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from .figures import Report, Section
from .runner import ROOT

LATEST = Path(__file__).with_name("latest.json")
DOCUMENT = ROOT / "docs" / "explanation" / "performance.md"
LEGEND = "Behind a figure stands its target, if it has one: <= is reached, > is missed."
INTRODUCTION = """# How fast flux is

Written by `python -m benchmarks --publish`, which measures everything and takes some minutes. Times are ratios to
something that ran in the same minute, because ratios travel and milliseconds do not.
"""


def as_line(machine: Mapping[str, str]) -> str:
    """What it ran on, in a line."""
    return f"Measured on: {'; '.join(f'{what}: {fact}' for what, fact in machine.items())}."


def as_text(section: Section) -> str:
    """A section for a terminal: the table, what is to be noted, no prose."""
    table = section.table()
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    lines = [section.title]
    for what, *cells in table:
        aligned = (cell.rjust(width) for cell, width in zip(cells, others, strict=True))
        lines.append(f"  {'  '.join([what.ljust(first), *aligned])}".rstrip())
    return "\n".join([*lines, *(f"  {note}" for note in section.notes)])


def as_markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"{INTRODUCTION}\n{as_line(report.machine)}\n\n{LEGEND}\n"]
    for section in report.sections:
        head, *rows = section.table()
        rule = ["---", *("---:" for _ in section.columns)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
        parts.append("\n\n".join([f"## {section.title}", section.about, table, *section.notes]) + "\n")
    return "\n".join(parts)


def as_json(report: Report) -> str:
    """The report as `read` takes it."""
    return json.dumps(asdict(report), indent=1) + "\n"


def read(path: Path) -> Report:
    """A report that was written with `as_json`."""
    return Report.from_json(json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    DOCUMENT.write_text(as_markdown(read(LATEST)), "utf-8")
