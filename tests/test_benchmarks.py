"""The benchmarks run, their simulation is correct, and the published document contains the last full run.

No test depends on a measured time.
"""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report, waiting

ROOT = Path(__file__).parent.parent


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m benchmarks` and return its result."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_one_command_runs_the_benchmarks(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    completed = run_benchmarks("waiting", "throughput", "--quick", "--json", str(file))

    assert completed.returncode == 0, completed.stderr
    written = report.read(file)
    assert [section.name for section in written.sections] == ["waiting", "throughput"]
    assert all(report.format_text(section) in completed.stdout for section in written.sections)
    published = {section.name: section for section in report.read(report.LATEST).sections}
    assert all(section.about == published[section.name].about for section in written.sections)
    figures = [figure for section in written.sections for row in section.rows.values() for figure in row.values()]
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure in figures)


def test_an_unknown_benchmark_is_refused() -> None:
    completed = run_benchmarks("wating")
    assert completed.returncode == 2
    assert "unknown benchmark 'wating'" in completed.stderr


def test_polling_at_a_fixed_interval_has_the_computed_cost() -> None:
    cost = waiting.simulate_sleeping(0.8, (10, 20))

    period = 0.8 + waiting.ROUND_TRIP
    assert cost.waste == pytest.approx(period / 2 + waiting.ROUND_TRIP / 2, rel=0.01)
    assert cost.polls == pytest.approx(15 / period + 1, abs=0.5)


def test_the_document_contains_the_figures_of_the_last_full_run() -> None:
    latest = report.read(report.LATEST)
    assert not latest.quick
    assert report.DOCUMENT.read_text("utf-8") == report.format_markdown(latest), "run: python -m benchmarks.report"
