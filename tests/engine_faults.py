"""Faults to patch into the engine of a forked process, to prove that the crash tests would find them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from flux_cli.cli.output import reporter
from flux_cli.engine import saver as saving
from flux_cli.engine.events import Ended, Event
from flux_cli.engine.outcome import Outcome
from flux_cli.engine.poller import Poller
from flux_cli.engine.rate_limiter import Permit
from flux_cli.engine.saver import Saver
from flux_cli.engine.scheduler import OnOutcome, Scheduler
from flux_cli.engine.submitter import Submitter
from flux_cli.journal.budgets import Budget
from flux_cli.journal.entries import Entry, SavedFile, State
from flux_cli.journal.journal import Journal
from flux_cli.piapi import client
from flux_cli.piapi import image_download as downloads
from flux_cli.piapi.image_download import Download
from flux_cli.piapi.submission import SubmissionResult
from flux_cli.piapi.task import Task


def record_sending_after_response() -> None:
    """Record `sending` only after the response to the POST."""
    send = Journal.send

    def pretend(self: Journal, entry: Entry, budgets: Sequence[Budget], cache_seconds: float) -> Entry:
        return replace(entry, state=State.SENDING, submitted=time.time())

    async def post(self: Submitter, entry: Entry, body: bytes) -> SubmissionResult:
        response = await self.client.create(body)
        send(self.journal, replace(entry, state=State.PLANNED, submitted=None), (), 0.0)
        return response

    Journal.send = pretend  # type: ignore[method-assign]
    Submitter._post = post  # type: ignore[method-assign]


def resend_after_crash() -> None:
    """Plan the entries again that a dead process was sending."""

    def plan_again(self: Journal, *, forget_lost: bool = False) -> None:
        for entry in self.newest(State.SENDING):
            if claimed := self.claim(entry):
                self.move(claimed, replace(claimed, state=State.PLANNED))

    Journal.mark_dead_unknown = plan_again  # type: ignore[method-assign]


def write_in_place() -> None:
    """Download images under their final names."""

    def new_file(path: Path) -> BinaryIO:
        return path.open("wb")

    def place_image(entry: Entry, planned: Path, download: Download) -> SavedFile:
        return SavedFile(download.path, download.sha256)

    downloads.temporary_beside = lambda target: target  # type: ignore[attr-defined]
    downloads._new_file = new_file
    saving._place = place_image


def poll_before_recording_acceptance() -> None:
    """Record `accepted` only after the first poll of the task."""
    poll = Poller.poll

    async def accepted(self: Submitter, entry: Entry, task: Task) -> Entry:
        return replace(entry, state=State.ACCEPTED, task_id=task.id, status=task.status.word, accepted=time.time())

    async def polled(self: Poller, entry: Entry, task: Task | None) -> tuple[Entry, Task]:
        if task is not None:
            await self.client.poll(task.id)
            sending = replace(entry, state=State.SENDING, task_id=None, status=None, accepted=None)
            entry = self.journal.accept(sending, task.id, task.status.word)
        return await poll(self, entry, task)

    Submitter._record_accepted = accepted  # type: ignore[method-assign]
    Poller.poll = polled  # type: ignore[method-assign]


def record_saved_before_rename() -> None:
    """Record `saved` before the images have their final names."""
    save, pending = Saver.save, list[tuple[Path, Path]]()

    def place_image(entry: Entry, planned: Path, download: Download) -> SavedFile:
        pending.append((download.path, planned))
        return SavedFile(planned, download.sha256)

    async def saved(self: Saver, entry: Entry, task: Task | None) -> Entry:
        entry = await save(self, entry, task)
        while pending:
            temporary, planned = pending.pop()
            temporary.replace(planned)
        return entry

    saving._place = place_image
    Saver.save = saved  # type: ignore[method-assign]


STATEMENTS = ("listener", "report", "permit", "end")
"""Statements of the scheduler that may raise: its listener, its report of a known outcome, the search for a permit, and
the report of a task that has just ended."""


def raise_at(statement: str, *, cancels: bool) -> None:
    """Let a statement of the scheduler raise once while the response to a POST is on its way; stderr shows when.

    cancels: whether the engine has the fault that it cancels the tasks in flight.
    """
    run, next_item, permit, fail, post = (
        Scheduler.run,
        Scheduler._next,
        Scheduler._get_permit,
        Scheduler._fail,
        Submitter._post,
    )
    in_flight, started, left = set[str](), asyncio.Event(), {statement}

    def reach(name: str) -> None:
        if in_flight and name in left:
            left.clear()
            os.write(2, b"raised\n")
            raise RuntimeError(f"a bug at {name}")

    async def run_with_raising(
        self: Scheduler, entries: AsyncIterator[Entry | Outcome], report: OnOutcome, *, wait: bool = True
    ) -> None:
        listener = self.listener

        def listen(event: Event) -> None:
            if isinstance(event, Ended) and asyncio.current_task() not in self._live:
                reach("listener")
            listener(event)

        def report_outcome(outcome: Outcome) -> None:
            reach("end" if asyncio.current_task() in self._live else "report")
            report(outcome)

        self.listener = listen
        await run(self, entries, report_outcome, wait=wait)

    async def next_in_flight(self: Scheduler, entries: AsyncIterator[Entry | Outcome]) -> Entry | Outcome | None:
        item = await next_item(self, entries)
        if left and self._live:
            await started.wait()
        return item

    async def find_permit(self: Scheduler, entry: Entry) -> Permit | None:
        reach("permit")
        return await permit(self, entry)

    async def count(self: Submitter, entry: Entry, body: bytes) -> SubmissionResult:
        in_flight.add(entry.id)
        started.set()
        try:
            return await post(self, entry, body)
        finally:
            in_flight.discard(entry.id)

    def cancel_in_flight(self: Scheduler, error: BaseException) -> None:
        for task in self._live:
            task.cancel()
        fail(self, error)

    Scheduler.run, Scheduler._next, Scheduler._get_permit = run_with_raising, next_in_flight, find_permit  # type: ignore[method-assign]
    Submitter._post = count  # type: ignore[method-assign]
    if cancels:
        Scheduler._fail = cancel_in_flight  # type: ignore[method-assign]


def shorten_post_timeout() -> None:
    """Time out a POST after one second, so that a test does not wait for minutes. Not a fault."""
    client.POST_SECONDS = 1.0


def interrupt_before_summary() -> None:
    """Press Ctrl-C when everything but the summary has been printed. Not a fault."""
    reporter.show_summary = lambda *_: signal.raise_signal(signal.SIGINT)  # type: ignore[attr-defined]  # as imported there


def interrupt_at_startup() -> None:
    """Press Ctrl-C while the event loop is being created. Not a fault."""
    make = asyncio.new_event_loop

    def new_event_loop() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGINT)
        return make()

    asyncio.events.new_event_loop = new_event_loop


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        record_sending_after_response,
        resend_after_crash,
        write_in_place,
        poll_before_recording_acceptance,
        record_saved_before_rename,
        shorten_post_timeout,
        interrupt_before_summary,
        interrupt_at_startup,
    )
}
FAULTS |= {f"raise_at_{name}": partial(raise_at, name, cancels=False) for name in STATEMENTS}
FAULTS |= {f"cancel_at_{name}": partial(raise_at, name, cancels=True) for name in STATEMENTS}
"""The faults by name. `raise_at_...` is not one: it simulates a bug that the engine must survive."""
