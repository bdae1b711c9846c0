"""Run the benchmarks and print their figures: `python -m benchmarks [NAME...] [--json FILE] [--quick]`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from . import batches, journal, report, slots, startup, waiting
from .environment import Installation, describe_machine, find_current, install
from .report import Report, Section
from .runner import show_progress


class Benchmark(Protocol):
    """A function that measures one subject in an empty directory. quick: at a small size."""

    def __call__(self, installation: Installation, directory: Path, *, quick: bool) -> Section: ...


BENCHMARKS: dict[str, Benchmark] = {
    "startup": startup.measure,
    "waiting": waiting.measure,
    "throughput": batches.measure_throughput,
    "memory": batches.measure_memory,
    "journal": journal.measure,
    "slots": slots.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks and return the exit code."""
    available = ", ".join(BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the speed of flux.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{available} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--quick", action="store_true", help="use small sizes and the current installation of flux")
    parser.add_argument("--publish", action="store_true", help="write benchmarks/latest.json and the document")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(BENCHMARKS)):
        parser.error(f"unknown benchmark '{unknown[0]}'; available: {available}")
    if options.publish and (options.names or options.quick):
        parser.error("--publish runs all benchmarks at full size: use it without NAME and --quick")
    results = _run(options.names or list(BENCHMARKS), quick=options.quick)
    if options.json:
        options.json.write_text(report.format_json(results), "utf-8")
    if options.publish:
        report.LATEST.write_text(report.format_json(results), "utf-8")
        report.DOCUMENT.write_text(report.format_markdown(results), "utf-8")
    return 0


def _run(names: Sequence[str], *, quick: bool) -> Report:
    machine, sections = describe_machine(), list[Section]()
    with tempfile.TemporaryDirectory(prefix="flux-benchmarks-") as temporary:
        base = Path(temporary)
        installation = find_current() if quick else install(base / "environment")
        machine |= {"flux": installation.description}
        print(f"{report.format_machine(machine)}\n{report.LEGEND}", flush=True)
        for name in names:
            show_progress(f"{name}:")
            directory = base / name
            directory.mkdir()
            section = BENCHMARKS[name](installation, directory, quick=quick)
            print(f"\n{report.format_text(section)}", flush=True)
            sections.append(section)
    return Report(machine, quick, tuple(sections))


if __name__ == "__main__":
    sys.exit(main())
