"""What one process, or one call of a Python program, leaves to another that works on the same entries."""

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
def another(home: Path, service: Service) -> Iterator[Journal]:
    """The journal as another process has it open."""
    paths = Paths.find({"FLUX_HOME": str(home)})
    with closing(Journal(paths.journal, paths.locks, Account(f"{service.origin}/api/v1", "default"))) as journal:
        yield journal


def test_a_call_that_fails_stops_no_other(service: Service, home: Path) -> None:
    """A client's calls share one rate limiter: an error that stops a batch ends only the call that met it."""

    async def run() -> str:
        async with AsyncFlux() as flux:
            await flux.generate("a fox", output="fox.png", model="schnell", size="64x64")
            slots = home / "slots"
            slots.rename(home / "away")
            slots.touch()  # no directory: no slot can be taken
            with pytest.raises(DiskError):
                await flux.generate("a boat", output="boat.png", model="schnell", size="64x64")
            slots.unlink()
            (home / "away").rename(slots)
            result = await flux.generate("a ship", output="ship.png", model="schnell", size="64x64")
            return result.path.name

    assert asyncio.run(asyncio.wait_for(run(), 30)) == "ship.png"
    assert len(service.charges) == 2


def test_an_entry_that_another_process_claimed_is_not_released(service: Service, another: Journal) -> None:
    """A call does not wait for its task; another process finds it, and begins to save it, before the call returns."""
    claimed = list[Entry | None]()

    def hear(event: Event) -> None:
        if isinstance(event, Ended):
            claimed.append(another.claim(another.newest()[0]))

    async def run() -> None:
        async with AsyncFlux(on_event=hear) as flux:
            await flux.generate("a fox", wait=False, model="schnell", size="64x64")

    asyncio.run(run())
    assert claimed != [None]
    assert another.newest()[0].owner == another.owner
    assert another.newest()[0].state is State.ACCEPTED


def in_journal(home: Path, prompt: str, changes: str, *values: object) -> None:
    """Change the entry of a prompt."""
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as db:
        db.execute(f"UPDATE entries SET {changes} WHERE json_extract(request, '$.prompt') = ?", (*values, prompt))


BATCH = "gen --from prompts.txt -m schnell --size 64x64 -j 1 -o {slug}.png"


def sent_by_another(flux: Flux, home: Path, another: Journal) -> None:
    """Three prompts, of which another process is sending the last; it is looked at when the first has ended."""
    Path("prompts.txt").write_text("ship\n")
    assert flux(f"{BATCH} -q").code == 0
    Path("ship.png").unlink()
    in_journal(home, "ship", "state = 'sending', owner = ?, task_id = NULL, files = '[]'", another.owner)
    Path("prompts.txt").write_text("boat\nraft\nship\n")


def test_a_task_whose_price_was_not_confirmed_is_not_submitted(
    flux: Flux, service: Service, home: Path, another: Journal, entries: Entries
) -> None:
    """The other process puts it back, because PiAPI refused it for now, and ends."""
    sent_by_another(flux, home, another)
    service.hooks[POST] = lambda: in_journal(home, "ship", "state = 'planned', owner = NULL, submitted = NULL")
    result = flux(f"{BATCH} --max-cost 0.004")

    assert [str(charge.body["input"]["prompt"]) for charge in service.charges] == ["ship", "boat", "raft"]  # type: ignore[index, call-overload]
    assert (result.code, result.out) == (3, "boat.png\nraft.png\n"), result.err
    assert "changed meanwhile, and was not sent. Not charged." in result.err
    assert [entry.state for entry in entries()] == [State.PLANNED, State.SAVED, State.SAVED]
    assert flux(f"{BATCH} -q").out.split() == ["boat.png", "raft.png", "ship.png"], "confirmed this time"


def test_a_summary_counts_only_what_its_own_run_submitted(
    flux: Flux, service: Service, home: Path, another: Journal
) -> None:
    sent_by_another(flux, home, another)
    accepted = "state = 'accepted', task_id = 'task-1', submitted = unixepoch() + 1"
    service.hooks[POST] = lambda: in_journal(home, "ship", accepted)
    *results, summary = map(json.loads, flux(f"{BATCH} --json").out.splitlines())

    assert sorted(result["prompt"] for result in results) == ["boat", "raft", "ship"]
    assert (summary["type"], summary["cost_usd"]) == ("summary", "0.004")


def taken_for_dead(home: Path, another: Journal) -> Entry:
    """What is being sent becomes unknown, because somebody deleted the locks; its entry."""
    shutil.rmtree(home / "locks")
    another.mark_dead_unknown()
    (entry,) = another.newest()
    assert entry.state is State.UNKNOWN
    return entry


def test_a_living_submission_that_was_taken_for_dead_gets_its_task(
    flux: Flux, service: Service, home: Path, another: Journal, entries: Entries
) -> None:
    service.hooks[POST] = lambda: taken_for_dead(home, another)
    result = flux("gen fox -m schnell --size 64x64 -o fox.png -q")

    assert (result.code, result.out) == (0, "fox.png\n"), result.err
    assert [(entry.state, entry.task_id) for entry in entries()] == [(State.SAVED, service.charges[0].id)]


def test_a_living_submission_whose_task_another_process_has_leaves_it_to_that_one(
    flux: Flux, service: Service, home: Path, another: Journal, entries: Entries
) -> None:
    """A webhook, for example, is faster than the response."""
    service.hooks[POST] = lambda: another.link(taken_for_dead(home, another), "task-1", "pending", None)
    service.reply_with(*POST, (200, {}, b'{"code": 200, "data": {"task_id": "task-1", "status": "pending"}}'))
    result = flux("gen fox -m schnell --size 64x64 -o fox.png -q")

    (entry,) = entries()
    assert (result.code, result.out) == (12, "")
    assert f"flux: another flux process is waiting for entry {entry.id}. Charged ($0.002 simulated)." in result.err, (
        result.err
    )
    assert (entry.state, entry.task_id, entry.owner) == (State.ACCEPTED, "task-1", another.owner)


def test_a_kept_id_is_recorded_by_a_process_that_goes_on(home: Path, another: Journal) -> None:
    """A server for agents, for example, lives on after a disk was full."""
    request = TaskRequest(TextToImage(prompt="fox"), "flux1-schnell", 1)
    sent = another.send(another.plan(request, OutputPlan((home / "fox.png",)), price=Decimal(1)), (), 0.0)
    assert another.keep(sent, Response("task_id", "task-1"))
    another.mark_dead_unknown()

    (entry,) = another.newest()
    assert (entry.state, entry.task_id, entry.owner) == (State.ACCEPTED, "task-1", None)
    another.close()
    assert list((home / "locks").iterdir()) == []


def test_a_linked_entry_is_free_for_others_while_the_run_goes_on(
    flux: Flux, service: Service, proxy: BreakingProxy, start: Start, entries: Entries
) -> None:
    """A run links what an earlier one lost, and then waits for its own submission; `resume` saves that image."""
    proxy.breakers.append(Breaker(b"POST", response_bytes=300))
    assert flux("gen boat -m schnell --size 64x64 -o boat.png -q").code == 7
    assert entries()[0].seen_id == service.charges[0].id

    proxy.breakers.append(Breaker(b"POST", hold=True))
    with ExitStack() as stack:
        other = start("gen ship -m schnell --size 64x64 -o ship.png -q")
        stack.callback(other.communicate)
        stack.callback(other.kill)
        wait_until(lambda: len(service.charges) == 2)
        assert (entries()[0].state, entries()[0].owner) == (State.ACCEPTED, None)
        assert flux("resume -q").out == "boat.png\n"
