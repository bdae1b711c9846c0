"""The journal: how long one durable transition takes, with one and with several processes that write."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Account, Entry, SavedFile, State
from flux_cli.journal.journal import Journal
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .environment import Installation
from .report import Figure, Section, summarize
from .runner import run_in_processes, show_progress

ABOUT = """
`Journal.move` is the durable transition of an entry from one state to the next. 200 entries in flight pass through each
state together: sending, accepted, ready and saved. For comparison, the same loop appends 4 KiB to a file and syncs it,
the minimum cost of any durable write. Both files are in the directory for temporary files.
""".strip()
IN_FLIGHT, PROCESSES = 200, 4
ROUNDS, QUICK_ROUNDS = 10, 1
ACCOUNT = Account("https://api.example", "default")
P99_TARGET = 1.0
"""Milliseconds."""
Times = list[tuple[float, float]]
"""Seconds of a transition, and of an append with a sync after it."""


def measure(installation: Installation, directory: Path, *, quick: bool) -> Section:
    """Return the times of a transition with one process and with several."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    show_progress("  one process")
    alone = time_transitions(directory, IN_FLIGHT, rounds)
    show_progress(f"  {PROCESSES} processes")
    share = IN_FLIGHT // PROCESSES
    # The processes use the existing journal, so that none of them spends time on creating it.
    parts = run_in_processes(PROCESSES, partial(time_transitions, directory, share, rounds))
    rows = {
        f"{IN_FLIGHT} in flight": _make_row(alone, P99_TARGET),
        f"{PROCESSES} processes with {share} each": _make_row([pair for part in parts for pair in part]),
    }
    return Section("journal", "Durable transitions", ABOUT, rows)


def time_transitions(directory: Path, in_flight: int, rounds: int) -> Times:
    """Take `in_flight` entries through all states, `rounds` times, in the journal of a directory. Return the times."""
    times: Times = []
    scratch = os.open(directory / f"{os.getpid()}.sync", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with closing(Journal(directory / "journal.db", directory / "locks", ACCOUNT)) as journal:
        for _ in range(rounds):
            entries = [_plan(journal, number, directory) for number in range(in_flight)]
            for advance in _TRANSITIONS:
                entries = [_time_move(journal, entry, advance(entry), scratch, times) for entry in entries]
    os.close(scratch)
    return times


_TRANSITIONS: Sequence[Callable[[Entry], Entry]] = (
    lambda entry: replace(entry, state=State.SENDING, submitted=1.0),
    lambda entry: replace(
        entry, state=State.ACCEPTED, task_id=f"0123456789-{entry.id}", status="pending", accepted=2.0
    ),
    lambda entry: replace(
        entry, state=State.READY, status="completed", urls=("https://img.example/0123456789abcdef.png",), ended=3.0
    ),
    lambda entry: replace(entry, state=State.SAVED, files=(SavedFile(Path("/images/fox.png"), "0" * 64),)),
)


def _plan(journal: Journal, number: int, directory: Path) -> Entry:
    operation = TextToImage(prompt=f"a red fox in the snow, number {number}")
    request = TaskRequest(operation, "Qubico/flux1-dev", number)
    output = OutputPlan((directory / f"{number}.png",))
    return journal.plan(request, output, price=Decimal("0.015"))


def _time_move(journal: Journal, entry: Entry, after: Entry, scratch: int, times: Times) -> Entry:
    started = time.perf_counter()
    entry = journal.move(entry, after)
    moved = time.perf_counter()
    os.write(scratch, b"\0" * 4096)
    os.fsync(scratch)
    times.append((moved - started, time.perf_counter() - moved))
    return entry


def _make_row(times: Times, target: float | None = None) -> dict[str, Figure]:
    moves = summarize([move for move, _ in times], target)
    syncs = summarize([sync for _, sync in times])
    return moves | {
        "sync p50": syncs["p50"],
        "sync p99": syncs["p99"],
        "p50 x sync": Figure(moves["p50"].value / syncs["p50"].value),
        "p99 x sync": Figure(moves["p99"].value / syncs["p99"].value),
    }
