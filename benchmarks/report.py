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
METHOD = """## How it is measured

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


def as_summary(report: Report) -> str:
    """Return what the figures mean to a user, one sentence per line."""
    rows = {section.name: section.rows for section in report.sections}
    start, waiting, read = rows["startup"], rows["waiting"]["dev, as documented"], rows["memory"]["100,000 prompts"]
    first, later = waiting["first task"].value, waiting["after five"].value
    batch = rows["throughput"]["makespan, start and end of the program included"]["80 tasks, 20 at once"]
    command, whole = start["flux --help"]["x pass"].value, start["flux gen -m schnell"]["x pass"].value
    return f"""\
- `flux --help` takes {command:.1f} times as long as a Python that does nothing.
- A whole `flux gen` takes {whole:.0f} times as long, plus PiAPI's time; {whole / 100:.1f} s, if Python starts in 10 ms.
- flux notices {first:.1f} s after a `dev` task is done, on average, or {later:.1f} s once it has seen five of them.
- A batch of 80 tasks, 20 at once, takes {batch.value - 1:.0%} longer than PiAPI needs for it.
- Checking and pricing 100,000 prompts takes {read["CPU"].value:.0f} s and {read["peak"].value:.0f} MiB of memory.
"""


def as_markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"# How fast flux is\n\n{as_summary(report)}", f"{METHOD}\n{as_line(report.machine)}\n\n{LEGEND}\n"]
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
