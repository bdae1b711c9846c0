"""Processes, or calls of a Python program, that work on the same entries."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest

from flux_cli import AsyncFlux, DiskError, Event
from flux_cli.config.paths import Paths
from flux_cli.engine.events import Ended
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Account, Entry, State
from flux_cli.journal.journal import Journal
from flux_cli.journal.owner import Response
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .conftest import Flux
from .servers import Breaker, BreakingProxy, Service
from .test_promises import POST, Start, wait_until

Entries = Callable[[], list[Entry]]


@pytest.fixture
def other_journal(home: Path, service: Service) -> Iterator[Journal]:
    """Open the journal as another process does."""
    paths = Paths.find({"FLUX_HOME": str(home)})
    with closing(Journal(paths.journal, paths.locks, Account(f"{service.origin}/api/v1", "default"))) as journal:
        yield journal


def test_a_failed_call_does_not_stop_other_calls(service: Service, home: Path) -> None:
    """The calls of a client share a rate limiter. An error that stops a batch ends only the call that raised it."""

    async def run() -> str:
        async with AsyncFlux() as flux:
            await flux.generate("a fox", output="fox.png", model="schnell", size="64x64")
            slots = home / "slots"
            slots.rename(home / "away")
            slots.touch()  # a file instead of a directory: no slot can be taken
            with pytest.raises(DiskError):
                await flux.generate("a boat", output="boat.png", model="schnell", size="64x64")
            slots.unlink()
            (home / "away").rename(slots)
            result = await flux.generate("a ship", output="ship.png", model="schnell", size="64x64")
            return result.path.name

    assert asyncio.run(asyncio.wait_for(run(), 30)) == "ship.png"
    assert len(service.charges) == 2


def test_an_entry_that_another_process_claimed_is_not_released(service: Service, other_journal: Journal) -> None:
    """A call does not wait for its task. Another process finds the task, and begins to save it before the call returns."""
    claimed = list[Entry | None]()

    def on_event(event: Event) -> None:
        if isinstance(event, Ended):
            claimed.append(other_journal.claim(other_journal.newest()[0]))

    async def run() -> None:
        async with AsyncFlux(on_event=on_event) as flux:
            await flux.generate("a fox", wait=False, model="schnell", size="64x64")

    asyncio.run(run())
    assert claimed != [None]
    assert other_journal.newest()[0].owner == other_journal.owner
    assert other_journal.newest()[0].state is State.ACCEPTED


def change_entry(home: Path, prompt: str, changes: str, *values: object) -> None:
    """Change the entry of a prompt in the journal."""
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as db:
        db.execute(f"UPDATE entries SET {changes} WHERE json_extract(request, '$.prompt') = ?", (*values, prompt))


BATCH = "gen --from prompts.txt -m schnell --size 64x64 -j 1 -o {slug}.png"


def prepare_batch(flux: Flux, home: Path, other_journal: Journal) -> None:
    """Write three prompts, of which another process is sending the last. The run polls it after its first task ended."""
    Path("prompts.txt").write_text("ship\n")
    assert flux(f"{BATCH} -q").code == 0
    Path("ship.png").unlink()
    change_entry(home, "ship", "state = 'sending', owner = ?, task_id = NULL, files = '[]'", other_journal.owner)
    Path("prompts.txt").write_text("boat\nraft\nship\n")


def test_a_task_whose_price_was_not_confirmed_is_not_submitted(
    flux: Flux, service: Service, home: Path, other_journal: Journal, entries: Entries
) -> None:
    """The other process returns the task, because PiAPI refused it temporarily, and ends."""
    prepare_batch(flux, home, other_journal)
    service.hooks[POST] = lambda: change_entry(home, "ship", "state = 'planned', owner = NULL, submitted = NULL")
    result = flux(f"{BATCH} --max-cost 0.004")

    assert [str(charge.body["input"]["prompt"]) for charge in service.charges] == ["ship", "boat", "raft"]  # type: ignore[index, call-overload]
    assert (result.code, result.out) == (3, "boat.png\nraft.png\n"), result.err
    assert "changed meanwhile, and was not sent. Not charged." in result.err
    assert [entry.state for entry in entries()] == [State.PLANNED, State.SAVED, State.SAVED]
    assert flux(f"{BATCH} -q").out.split() == ["boat.png", "raft.png", "ship.png"], "confirmed this time"


def test_a_summary_counts_only_tasks_that_its_own_run_submitted(
    flux: Flux, service: Service, home: Path, other_journal: Journal
) -> None:
    prepare_batch(flux, home, other_journal)
    accepted = "state = 'accepted', task_id = 'task-1', submitted = unixepoch() + 1"
    service.hooks[POST] = lambda: change_entry(home, "ship", accepted)
    *results, summary = map(json.loads, flux(f"{BATCH} --json").out.splitlines())

    assert sorted(result["prompt"] for result in results) == ["boat", "raft", "ship"]
    assert (summary["type"], summary["cost_usd"]) == ("summary", "0.004")


def mark_unknown(home: Path, other_journal: Journal) -> Entry:
    """Delete the locks, mark the entry that is being sent as unknown, and return it."""
    shutil.rmtree(home / "locks")
    other_journal.mark_dead_unknown()
    (entry,) = other_journal.newest()
    assert entry.state is State.UNKNOWN
    return entry


def test_a_running_submission_that_was_marked_unknown_records_its_task(
    flux: Flux, service: Service, home: Path, other_journal: Journal, entries: Entries
) -> None:
    service.hooks[POST] = lambda: mark_unknown(home, other_journal)
    result = flux("gen fox -m schnell --size 64x64 -o fox.png -q")

    assert (result.code, result.out) == (0, "fox.png\n"), result.err
    assert [(entry.state, entry.task_id) for entry in entries()] == [(State.SAVED, service.charges[0].id)]


def test_a_task_that_another_process_linked_first_is_left_to_that_process(
    flux: Flux, service: Service, home: Path, other_journal: Journal, entries: Entries
) -> None:
    """A webhook, for example, is faster than the response."""
    service.hooks[POST] = lambda: other_journal.link(mark_unknown(home, other_journal), "task-1", "pending", None)
    service.reply_with(*POST, (200, {}, b'{"code": 200, "data": {"task_id": "task-1", "status": "pending"}}'))
    result = flux("gen fox -m schnell --size 64x64 -o fox.png -q")

    (entry,) = entries()
    assert (result.code, result.out) == (12, "")
    assert f"flux: another flux process is waiting for entry {entry.id}. Charged ($0.002 simulated)." in result.err, (
        result.err
    )
    assert (entry.state, entry.task_id, entry.owner) == (State.ACCEPTED, "task-1", other_journal.owner)


def test_a_kept_task_id_is_recorded_by_the_running_process(home: Path, other_journal: Journal) -> None:
    """A server for agents, for example, continues after a disk was full."""
    request = TaskRequest(TextToImage(prompt="fox"), "flux1-schnell", 1)
    submitted = other_journal.send(
        other_journal.plan(request, OutputPlan((home / "fox.png",)), price=Decimal(1)), (), 0.0
    )
    assert other_journal.keep_response(submitted, Response("task_id", "task-1"))
    other_journal.mark_dead_unknown()

    (entry,) = other_journal.newest()
    assert (entry.state, entry.task_id, entry.owner) == (State.ACCEPTED, "task-1", None)
    other_journal.close()
    assert list((home / "locks").iterdir()) == []


def test_a_linked_entry_can_be_resumed_while_the_run_continues(
    flux: Flux, service: Service, proxy: BreakingProxy, start: Start, entries: Entries
) -> None:
    """A run links the task of an earlier submission, and waits for its own. Meanwhile, `resume` saves the earlier image."""
    proxy.breakers.append(Breaker(b"POST", response_bytes=300))
    assert flux("gen boat -m schnell --size 64x64 -o boat.png -q").code == 7
    assert entries()[0].seen_id == service.charges[0].id

    proxy.breakers.append(Breaker(b"POST", hold=True))
    with ExitStack() as stack:
        process = start("gen ship -m schnell --size 64x64 -o ship.png -q")
        stack.callback(process.communicate)
        stack.callback(process.kill)
        wait_until(lambda: len(service.charges) == 2)
        assert (entries()[0].state, entries()[0].owner) == (State.ACCEPTED, None)
        assert flux("resume -q").out == "boat.png\n"
