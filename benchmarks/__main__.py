"""Measures and tells: `python -m benchmarks [NAME...] [--json FILE] [--quick]`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from . import journal, machine, memory, report, slots, startup, throughput, waiting
from .figures import Report, Section
from .installed import Installed, at_hand, install
from .runner import Say


class Measure(Protocol):
    """One measure: with which flux, in which empty folder, whom to tell how far it is, and whether at a small size."""

    def __call__(self, installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section: ...


MEASURES: dict[str, Measure] = {
    "startup": startup.measure,
    "waiting": waiting.measure,
    "throughput": throughput.measure,
    "memory": memory.measure,
    "journal": journal.measure,
    "slots": slots.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for. A figure over its target is told, and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure how fast flux is.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASURES)}; all without one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    parser.add_argument("--quick", action="store_true", help="small, with the flux at hand: does it run at all?")
    parser.add_argument("--publish", action="store_true", help="write benchmarks/latest.json and the document")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - set(MEASURES)):
        parser.error(f"no measure is called {unknown[0]}; there are: {', '.join(MEASURES)}")
    if asked.publish and (asked.names or asked.quick):
        parser.error("--publish is for all measures, at full size")
    found = _measured(asked.names or list(MEASURES), quick=asked.quick)
    if asked.json:
        asked.json.write_text(report.as_json(found), "utf-8")
    if asked.publish:
        report.LATEST.write_text(report.as_json(found), "utf-8")
        report.DOCUMENT.write_text(report.as_markdown(found), "utf-8")
    return 0


def _measured(names: Sequence[str], *, quick: bool) -> Report:
    facts, sections = machine.facts(), list[Section]()
    with tempfile.TemporaryDirectory(prefix="flux-benchmarks-") as base:
        installed = at_hand() if quick else install(Path(base) / "environment")
        facts |= {"flux": installed.about}
        print(f"{report.as_line(facts)}\n{report.LEGEND}", flush=True)
        for name in names:
            section = _one(name, installed, Path(base), quick=quick)
            print(f"\n{report.as_text(section)}", flush=True)
            sections.append(section)
    return Report(facts, quick, tuple(sections))


def _one(name: str, installed: Installed, base: Path, *, quick: bool) -> Section:
    folder = base / name
    folder.mkdir()

    def say(line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr, flush=True)

    return MEASURES[name](installed, folder, say, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
