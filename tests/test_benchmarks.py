"""The benchmarks run, what they compute is right, and what is published of them is theirs. Never a time."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report, waiting

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The benchmarks as one starts them."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_they_run_from_one_command(tmp_path: Path) -> None:
    found_at = tmp_path / "found.json"
    done = run("waiting", "throughput", "--quick", "--json", str(found_at))

    assert done.returncode == 0, done.stderr
    found = report.read(found_at)
    assert [section.name for section in found.sections] == ["waiting", "throughput"]
    assert all(report.as_text(section) in done.stdout for section in found.sections)
    figures = [figure for section in found.sections for row in section.rows.values() for figure in row.values()]
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure in figures)


def test_an_unknown_measure_is_refused() -> None:
    done = run("wating")
    assert done.returncode == 2
    assert "no measure is called wating" in done.stderr


def test_a_poll_every_so_often_costs_what_it_must() -> None:
    found = waiting.cost(waiting.every(0.8), (10, 20))

    period = 0.8 + waiting.ROUND_TRIP
    assert found.waste == pytest.approx(period / 2 + waiting.ROUND_TRIP / 2, rel=0.01)
    assert found.polls == pytest.approx(15 / period + 1, abs=0.5)


def test_the_published_figures_are_those_of_the_last_full_run() -> None:
    latest = report.read(report.LATEST)
    assert not latest.quick
    assert report.DOCUMENT.read_text("utf-8") == report.as_markdown(latest), "run: python -m benchmarks.report"
