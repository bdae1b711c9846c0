"""The engine turns entries of the journal into files: submit, watch, save, under a cap.

An entry starts wherever it stands: planned ones are submitted, accepted ones watched, ready ones saved. A failed
task is data, an `Outcome` with an error, never an exception.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from ..errors import (
    BudgetError,
    ConfigError,
    CreditsError,
    DiskError,
    FluxError,
    InterruptError,
    JournalError,
    PartialError,
)
from ..journal.entries import Entry, State
from ..journal.journal import Journal
from ..piapi.task import Task
from ..system.signals import Stop, StoppedError
from ..text import counted
from .events import Accepted, Ended, Listener, Queued
from .outcome import Outcome
from .poll_schedule import PollSchedule
from .poller import Watcher
from .rate_limiter import ClosedError, Pace, Place
from .saver import Saver
from .slots import Slots
from .submitter import Submitter

FOLLOWED = 50
"""Tasks that were accepted earlier and are looked at together."""
HALTING = (BudgetError, ConfigError, CreditsError, DiskError, JournalError)
"""Errors that the next submission would meet too: what is accepted is still fetched, nothing new is sent."""


@dataclass
class Engine:
    """Runs entries.

    slots: how many tasks may be unfinished at the service at once, all processes together.
    pace: how many of them this process sends, as the service takes them.
    fail_fast: the first failure of any kind stops further submissions.
    halting: errors that stop them too.
    halted: the error that did.
    """

    submitter: Submitter
    watcher: Watcher
    saver: Saver
    journal: Journal
    listener: Listener
    stop: Stop
    schedule: Callable[[Entry], PollSchedule]
    clock: Callable[[], float]
    slots: Slots
    pace: Pace
    fail_fast: bool = False
    halting: tuple[type[FluxError], ...] = HALTING
    halted: FluxError | None = None

    async def run(
        self, entries: AsyncIterator[Entry | Outcome], report: Callable[[Outcome], None], *, wait: bool = True
    ) -> None:
        """Bring every entry as far as it will go, and `report` each outcome as it comes.

        Entries are taken one at a time, when there is a place for them; outcomes among them are passed on.

        wait: False stops at accepted. Entries that were not begun when the user or an error stopped the run stay
        planned. When it was stopped without a signal, what is followed has no outcome: it runs on.
        Raises only what is a bug, after everything in flight has come to rest.
        """
        followed = asyncio.Semaphore(FOLLOWED)
        live: set[asyncio.Task[None]] = set()
        crash: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def crashed(error: BaseException) -> None:
            self.pace.close()
            if not crash.done():
                crash.set_result(error)

        def ended(task: asyncio.Task[None]) -> None:
            live.discard(task)
            if not task.cancelled() and (error := task.exception()):
                crashed(error)

        try:
            while not self.stop.requested and not crash.done():
                try:
                    entry = await self._next(entries, crash)
                except Exception as error:
                    crashed(error)  # what is in flight comes to rest first
                    break
                if entry is None:
                    break
                if isinstance(entry, Outcome):
                    self.listener(Ended(entry.entry.id, entry.entry.state))
                    report(entry)
                    continue
                place = await self._place(entry, followed)
                if self.stop.requested or crash.done():
                    break
                if place is None:
                    continue
                task = asyncio.create_task(self._run_one(entry, report, place, wait))
                live.add(task)
                task.add_done_callback(ended)
            while live:
                await asyncio.wait(live)
        finally:
            for task in live:
                task.cancel()
            if live:
                await asyncio.wait(live)
        if crash.done():
            raise crash.result()

    async def _next(
        self, entries: AsyncIterator[Entry | Outcome], crash: "asyncio.Future[BaseException]"
    ) -> Entry | Outcome | None:
        """The next one; None at the end, and when a stop or a crash comes first: a pipe can be silent for ever."""
        coming = asyncio.ensure_future(anext(entries, None))
        either: set[asyncio.Future[Any]] = {coming, crash}
        try:
            with contextlib.suppress(StoppedError):
                await self.stop.guard(asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED))
        finally:
            coming.cancel()  # nothing happens to one that is there
            await asyncio.wait({coming})
        return None if coming.cancelled() else coming.result()

    async def _place(self, entry: Entry, followed: asyncio.Semaphore) -> Place | None:
        """A place for an entry; None for a submission when the user or an error stopped the run meanwhile.

        Only a submission takes one of the shared slots: a task that runs already holds nobody up.
        """
        if entry.state is not State.PLANNED:
            await followed.acquire()
            return self.pace.follow(followed.release)
        try:
            return await self._place_to_submit(entry)
        except (ClosedError, StoppedError):
            return None

    async def _place_to_submit(self, entry: Entry) -> Place:
        # The slot comes first: one who was refused keeps it while it waits for the pace, so nobody may wait for a
        # slot and keep a place that the other needs.
        slot = self.slots.try_acquire()
        if slot is None:
            self.listener(Queued(entry.id, entry.label, entry.seed))
            slot = await self.stop.guard(self.slots.acquire())
        try:
            return await self.stop.guard(self.pace.enter(slot.release))
        except BaseException:
            slot.release()
            raise

    async def _run_one(self, entry: Entry, report: Callable[[Outcome], None], place: Place, wait: bool) -> None:
        started = self.clock()
        error: FluxError | None = None
        try:
            entry = await self._advance(entry, place, wait)
        except ClosedError:
            self.listener(Ended(entry.id, State.PLANNED))
            return
        except StoppedError:
            if self.stop.signal_number is None:
                return
            entry = self._reread(entry)
            error = self._interrupted(entry, self.stop.signal_number)
        except FluxError as failure:
            entry, error = self._reread(entry), failure
            if self.fail_fast or isinstance(failure, self.halting):
                self.halted = self.halted or failure
                self.pace.close()
        finally:
            place.release()
        error = error or _shortfall(entry)
        self.listener(Ended(entry.id, entry.state))
        report(Outcome(entry, error, self.clock() - started))

    async def _advance(self, entry: Entry, place: Place, wait: bool) -> Entry:
        task: Task | None = None
        if entry.state is State.PLANNED:
            entry, task = await self.submitter.submit(entry, place)
        if entry.state is State.ACCEPTED:
            self._tell_accepted(entry)
            if not wait:  # whoever reads the id may wait for it at once, while this process goes on
                return self.journal.move(entry, owner=None)
            entry, task = await self.stop.guard(self.watcher.watch(entry, task))
        place.release()  # the service is done with the task: the next may be sent while this one is saved
        if entry.state is State.READY:
            entry = await self.stop.guard(self.saver.save(entry, task))
        return entry

    def _tell_accepted(self, entry: Entry) -> None:
        assert entry.task_id is not None
        expected = self.schedule(entry).expected if entry.request else None
        self.listener(Accepted(entry.id, entry.label, entry.seed, entry.task_id, expected, entry.price))

    def _reread(self, entry: Entry) -> Entry:
        """The entry as the journal knows it: events are for looking, the journal is for knowing."""
        try:
            return self.journal.get(entry.id) or entry
        except JournalError:
            return entry

    def _interrupted(self, entry: Entry, number: int) -> InterruptError:
        if entry.task_id:
            message = f"interrupted; task {entry.task_id} is paid for and runs on"
            return InterruptError(message, signal_number=number, hint="fetch it at no cost: flux resume")
        if entry.state in (State.SENDING, State.UNKNOWN):
            message = f"interrupted while a submission was under way; it may have been charged (entry {entry.id})"
            return InterruptError(message, signal_number=number, hint=f"see what to do: flux settle {entry.id}")
        return InterruptError("interrupted; nothing was sent", signal_number=number)


def _shortfall(entry: Entry) -> PartialError | None:
    ordered = entry.request.operation.batch_size if entry.request else 1
    if entry.state is not State.SAVED or len(entry.files) >= ordered:
        return None
    return PartialError(
        f"task {entry.task_id} made {counted(len(entry.files), 'picture')} of the {ordered} that were ordered"
    )
