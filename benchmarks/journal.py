"""The journal: what one durable step of a task costs, alone and while other processes write."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median

from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Account, Entry, SavedFile, State
from flux_cli.journal.journal import Journal
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .figures import Figure, Section
from .installed import Installed
from .runner import Say
from .several import percentile, together

ABOUT = """
`Journal.move`, the durable step from one state of an entry to the next: 200 entries in flight take each of them
together, to sending, accepted, ready and saved. Beside it, in the same loop: 4 KiB appended to a file and synced, the
least that anything durable costs. Both on the disk of the folder for temporary files.
""".strip()
IN_FLIGHT, PROCESSES = 200, 4
ROUNDS, QUICK_ROUNDS = 10, 1
ACCOUNT = Account("https://api.example", "default")
P99 = 1.0
"""Target, ms."""


@dataclass
class Times:
    """Seconds of single steps: of the journal's, and of an append with a sync."""

    moves: list[float] = field(default_factory=list)
    syncs: list[float] = field(default_factory=list)


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Times of a transition, from one process and from several."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    say("one process")
    alone = transitions(folder, IN_FLIGHT, rounds)
    say(f"{PROCESSES} processes")
    each = IN_FLIGHT // PROCESSES
    # The same journal: it exists already, so that none of them has to make it.
    shared = together(PROCESSES, partial(transitions, folder, each, rounds))
    rows = {
        f"{IN_FLIGHT} in flight": _row(alone.moves, alone.syncs, P99),
        f"{PROCESSES} processes with {each} each": _row(
            [move for times in shared for move in times.moves], [sync for times in shared for sync in times.syncs]
        ),
    }
    return Section("journal", "Durable steps", ABOUT, rows)


def transitions(folder: Path, in_flight: int, rounds: int) -> Times:
    """Take `rounds` times so many entries through their life in the journal of a folder."""
    times = Times()
    scratch = os.open(folder / f"{os.getpid()}.sync", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with closing(Journal(folder / "journal.db", folder / "locks", ACCOUNT)) as journal:
        for _ in range(rounds):
            entries = [_planned(journal, number, folder) for number in range(in_flight)]
            for advance in _LIFE:
                entries = [_timed(journal, entry, advance(entry), scratch, times) for entry in entries]
    os.close(scratch)
    return times


_LIFE: Sequence[Callable[[Entry], Entry]] = (
    lambda entry: replace(entry, state=State.SENDING, submitted=1.0),
    lambda entry: replace(
        entry, state=State.ACCEPTED, task_id=f"0123456789-{entry.id}", status="pending", accepted=2.0
    ),
    lambda entry: replace(
        entry, state=State.READY, status="completed", urls=("https://img.example/0123456789abcdef.png",), ended=3.0
    ),
    lambda entry: replace(entry, state=State.SAVED, files=(SavedFile(Path("/images/fox.png"), "0" * 64),)),
)


def _planned(journal: Journal, number: int, folder: Path) -> Entry:
    operation = TextToImage(prompt=f"a red fox in the snow, number {number}")
    request = TaskRequest(operation, "Qubico/flux1-dev", number)
    output = OutputPlan((folder / f"{number}.png",))
    return journal.plan(request, output, price=Decimal("0.015"))


def _timed(journal: Journal, entry: Entry, after: Entry, scratch: int, times: Times) -> Entry:
    begun = time.perf_counter()
    entry = journal.move(entry, after)
    moved = time.perf_counter()
    os.write(scratch, b"\0" * 4096)
    os.fsync(scratch)
    times.moves.append(moved - begun)
    times.syncs.append(time.perf_counter() - moved)
    return entry


def _row(moves: Sequence[float], syncs: Sequence[float], target: float | None = None) -> dict[str, Figure]:
    return {
        "p50": Figure(1000 * median(moves), "ms"),
        "p99": Figure(1000 * percentile(moves, 99), "ms", target),
        "worst": Figure(1000 * max(moves), "ms"),
        "p50 of a sync": Figure(1000 * median(syncs), "ms"),
        "p99 of a sync": Figure(1000 * percentile(syncs, 99), "ms"),
        "p50 x sync": Figure(median(moves) / median(syncs)),
        "p99 x sync": Figure(percentile(moves, 99) / percentile(syncs, 99)),
    }
