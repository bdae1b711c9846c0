"""Task durations are learned within a run and across runs."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import Durations
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Account
from flux_cli.journal.journal import Journal
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage
from flux_cli.piapi.task import Task, TaskStatus

from .conftest import Flux
from .servers import Service
from .test_batches import Entries

FOX = "gen fox -m schnell --size 64x64 --no-cache"


def read_expected_range(stderr: str) -> tuple[float, float]:
    """Return the duration that a run expects of its first task, in seconds."""
    found = re.search(r"usually ([0-9.]+)-([0-9.]+) s", stderr)
    assert found, stderr
    return float(found[1]), float(found[2])


def test_the_expected_duration_is_learned_from_finished_tasks(
    flux: Flux, service: Service, entries: Entries, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_TIME_SCALE", "0.1")
    Path("prompts.txt").write_text("".join(f"boat {number}\n" for number in range(5)))
    assert read_expected_range(flux(FOX).err) == (1.5, 2.0)
    assert flux("gen --from prompts.txt -m schnell --size 64x64 -q").code == 0
    assert all(entry.seconds is not None and 0 < entry.seconds < 30 for entry in entries())

    with closing(sqlite3.connect(home / "journal.db")) as journal, journal:
        journal.execute("UPDATE entries SET seconds = 3 + number % 2")
    assert read_expected_range(flux(FOX).err) == (0.3, 0.4)
    assert read_expected_range(flux("gen fox -m dev --size 64x64").err) == (2.5, 3.5)
    with closing(sqlite3.connect(home / "journal.db")) as journal, journal:
        journal.execute("UPDATE entries SET service = 'https://elsewhere.test'")
    assert read_expected_range(flux(FOX).err) == (1.5, 2.0)


def test_durations_of_piapi_are_limited_to_the_observed_range(tmp_path: Path) -> None:
    """The times of PiAPI may be rounded to seconds, or come from a wrong clock."""
    with closing(Journal(tmp_path / "j.db", tmp_path, Account("s", "p"))) as journal:
        durations = Durations(Catalog({}), journal, 0.5)
        request = TaskRequest(TextToImage(prompt="a fox"), "Qubico/flux1-schnell", 7)
        plan = OutputPlan((tmp_path / "x.png",))
        entry = journal.plan(request, plan, price=Catalog({}).price(request))

        def record_duration(seconds: float | None, running: float, ended: float) -> float | None:
            created = datetime(2026, 1, 1, tzinfo=UTC)
            ended_at = None if seconds is None else created + timedelta(seconds=seconds)
            task = Task("t", TaskStatus.parse("completed"), created=created, ended=ended_at)
            return durations.record(entry, task, running, ended)

        assert record_duration(10, 9.2, 10.4) == 20
        assert durations.schedule(entry).expected == (7.5, 10), "one task is not enough"
        assert record_duration(10, 10.2, 10.4) == 20.4
        assert record_duration(-3, 0, 10.4) == record_duration(0, 0, 10.4) == 10.4, "the observed duration"
        assert record_duration(None, 10, 11) == 21
        assert record_duration(None, 0, 86400) is None, "resumed a day later"
        for _ in range(60):
            record_duration(3, 2.9, 3.1)
        assert durations.schedule(entry).expected == (3, 3)
