"""Engines with a fault each, to prove that the crash tests would find it. A fault is patched into a forked process."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from flux_cli.cli.output import reporter
from flux_cli.engine import saver as saving
from flux_cli.engine.poller import Poller
from flux_cli.engine.saver import Saver
from flux_cli.engine.submitter import Submitter
from flux_cli.journal.budgets import Budget
from flux_cli.journal.entries import Entry, SavedFile, State
from flux_cli.journal.journal import Journal
from flux_cli.piapi import client
from flux_cli.piapi import image_download as downloads
from flux_cli.piapi.image_download import Download
from flux_cli.piapi.submission import SubmissionResult
from flux_cli.piapi.task import Task


def written_down_after_the_answer() -> None:
    """`sending` comes to the journal when the POST has been answered."""
    send = Journal.send

    def pretend(self: Journal, entry: Entry, budgets: Sequence[Budget], life: float) -> Entry:
        return replace(entry, state=State.SENDING, submitted=time.time())

    async def post(self: Submitter, entry: Entry, body: bytes) -> SubmissionResult:
        answer = await self.client.create(body)
        send(self.journal, replace(entry, state=State.PLANNED, submitted=None), (), 0.0)
        return answer

    Journal.send = pretend  # type: ignore[method-assign]
    Submitter._post = post  # type: ignore[method-assign]


def sent_again_after_a_crash() -> None:
    """What a dead process was sending is planned again."""

    def plan_again(self: Journal) -> None:
        for entry in self.newest(State.SENDING):
            if claimed := self.claim(entry):
                self.move(claimed, replace(claimed, state=State.PLANNED))

    Journal.mark_dead_unknown = plan_again  # type: ignore[method-assign]


def written_in_place() -> None:
    """A picture is downloaded under its final name."""

    def new_file(path: Path) -> BinaryIO:
        return path.open("wb")

    def place(entry: Entry, planned: Path, download: Download) -> SavedFile:
        return SavedFile(download.path, download.sha256)

    downloads.temporary_beside = lambda target: target  # type: ignore[attr-defined]
    downloads._new_file = new_file
    saving._place = place


def looked_at_before_it_is_accepted() -> None:
    """`accepted` comes to the journal after the first look at the task."""
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


def saved_before_it_is_there() -> None:
    """`saved` comes to the journal before the pictures have their names."""
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


def impatient() -> None:
    """No fault: a POST gets a second, so that a test need not wait for minutes."""
    client.POST_SECONDS = 1.0


def interrupted_at_the_end() -> None:
    """No fault: Ctrl-C comes when all has been told but the summary."""
    reporter.show_summary = lambda output, summary: signal.raise_signal(signal.SIGINT)  # type: ignore[attr-defined]  # as imported there


def interrupted_at_once() -> None:
    """No fault: Ctrl-C comes while the event loop is being made."""
    make = asyncio.new_event_loop

    def new_event_loop() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGINT)
        return make()

    asyncio.events.new_event_loop = new_event_loop


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        written_down_after_the_answer,
        sent_again_after_a_crash,
        written_in_place,
        looked_at_before_it_is_accepted,
        saved_before_it_is_there,
        impatient,
        interrupted_at_the_end,
        interrupted_at_once,
    )
}
"""By name."""
