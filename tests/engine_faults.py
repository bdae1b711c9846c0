"""Engines with a fault each, to prove that the crash tests would find it. A fault is patched into a forked process."""

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
from flux_cli.engine.scheduler import Report, Scheduler
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
    """`sending` comes to the journal after the response to the POST."""
    send = Journal.send

    def pretend(self: Journal, entry: Entry, budgets: Sequence[Budget], life: float) -> Entry:
        return replace(entry, state=State.SENDING, submitted=time.time())

    async def post(self: Submitter, entry: Entry, body: bytes) -> SubmissionResult:
        answer = await self.client.create(body)
        send(self.journal, replace(entry, state=State.PLANNED, submitted=None), (), 0.0)
        return answer

    Journal.send = pretend  # type: ignore[method-assign]
    Submitter._post = post  # type: ignore[method-assign]


def resend_after_crash() -> None:
    """What a dead process was sending is planned again."""

    def plan_again(self: Journal, *, forget_lost: bool = False) -> None:
        for entry in self.newest(State.SENDING):
            if claimed := self.claim(entry):
                self.move(claimed, replace(claimed, state=State.PLANNED))

    Journal.mark_dead_unknown = plan_again  # type: ignore[method-assign]


def write_in_place() -> None:
    """An image is downloaded under its final name."""

    def new_file(path: Path) -> BinaryIO:
        return path.open("wb")

    def place(entry: Entry, planned: Path, download: Download) -> SavedFile:
        return SavedFile(download.path, download.sha256)

    downloads.temporary_beside = lambda target: target  # type: ignore[attr-defined]
    downloads._new_file = new_file
    saving._place = place


def poll_before_recording_acceptance() -> None:
    """`accepted` comes to the journal after the first poll of the task."""
    poll = Poller.poll

    async def accepted(self: Submitter, entry: Entry, task: Task) -> Entry:
        return replace(entry, state=State.ACCEPTED, task_id=task.id, status=task.status.word, accepted=time.time())

    async def polled(self: Poller, entry: Entry, task: Task | None) -> tuple[Entry, Task]:
        if task is not None:
            await self.client.poll(task.id)
            sending = replace(entry, state=State.SENDING, task_id=None, status=None, accepted=None)
            entry = self.journal.accept(sending, task.id, task.status.word)
        return await poll(self, entry, task)

    Submitter._accepted = accepted  # type: ignore[method-assign]
    Poller.poll = polled  # type: ignore[method-assign]


def record_saved_before_rename() -> None:
    """`saved` comes to the journal before the images have their names."""
    save, late = Saver.save, list[tuple[Path, Path]]()

    def place(entry: Entry, planned: Path, download: Download) -> SavedFile:
        late.append((download.path, planned))
        return SavedFile(planned, download.sha256)

    async def saved(self: Saver, entry: Entry, task: Task | None) -> Entry:
        entry = await save(self, entry, task)
        while late:
            temporary, planned = late.pop()
            temporary.replace(planned)
        return entry

    saving._place = place
    Saver.save = saved  # type: ignore[method-assign]


STATEMENTS = ("listener", "report", "permit", "end")
"""What may raise in the scheduler: its listener, its report of an outcome that is known, the search for a permit, and the
report of a task that has just ended."""


def raise_at(statement: str, *, cancels: bool) -> None:
    """A statement of the scheduler raise_in, once, while the response to a POST is on its way; stderr says when.

    cancels: the fault: what is in flight is cut off then.
    """
    run, next_item, permit, fail, post = (
        Scheduler.run,
        Scheduler._next,
        Scheduler._permit,
        Scheduler._fail,
        Submitter._post,
    )
    in_flight, begun, left = set[str](), asyncio.Event(), {statement}

    def reach(name: str) -> None:
        if in_flight and name in left:
            left.clear()
            os.write(2, b"raised\n")
            raise RuntimeError(f"a bug at {name}")

    async def run_with_them(
        self: Scheduler, entries: AsyncIterator[Entry | Outcome], report: Report, *, wait: bool = True
    ) -> None:
        listener = self.listener

        def hear(event: Event) -> None:
            if isinstance(event, Ended) and asyncio.current_task() not in self._live:
                reach("listener")
            listener(event)

        def tell(outcome: Outcome) -> None:
            reach("end" if asyncio.current_task() in self._live else "report")
            report(outcome)

        self.listener = hear
        await run(self, entries, tell, wait=wait)

    async def next_in_flight(self: Scheduler, entries: AsyncIterator[Entry | Outcome]) -> Entry | Outcome | None:
        item = await next_item(self, entries)
        if left and self._live:
            await begun.wait()
        return item

    async def find_permit(self: Scheduler, entry: Entry) -> Permit | None:
        reach("permit")
        return await permit(self, entry)

    async def count(self: Submitter, entry: Entry, body: bytes) -> SubmissionResult:
        in_flight.add(entry.id)
        begun.set()
        try:
            return await post(self, entry, body)
        finally:
            in_flight.discard(entry.id)

    def cut_off(self: Scheduler, error: BaseException) -> None:
        for task in self._live:
            task.cancel()
        fail(self, error)

    Scheduler.run, Scheduler._next, Scheduler._permit = run_with_them, next_in_flight, find_permit  # type: ignore[method-assign]
    Submitter._post = count  # type: ignore[method-assign]
    if cancels:
        Scheduler._fail = cut_off  # type: ignore[method-assign]


def shorten_post_timeout() -> None:
    """No fault: a POST gets a second, so that a test need not wait for minutes."""
    client.POST_SECONDS = 1.0


def interrupt_before_summary() -> None:
    """No fault: Ctrl-C comes when all has been told but the summary."""
    reporter.show_summary = lambda output, summary: signal.raise_signal(signal.SIGINT)  # type: ignore[attr-defined]  # as imported there


def interrupt_at_startup() -> None:
    """No fault: Ctrl-C comes while the event loop is being made."""
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
"""By name; those that `raise_at` have no fault, and a bug strikes them."""
