"""The scheduler, which runs entries under a limit: submit, poll, save.

Each entry continues from its state: a planned one is submitted, an accepted one polled, a ready one saved. A failed
task is an `Outcome` with an error, not an exception.
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import (
    BudgetError,
    ConfigError,
    CreditsError,
    DiskError,
    FluxError,
    InterruptError,
    JournalError,
)
from ..journal.entries import LABEL, Entry, State
from ..journal.journal import Journal
from ..piapi.task import Task
from ..system.clock import Clock
from ..system.signals import Stop, StoppedError
from ..text import clean
from .events import Accepted, Ended, Listener, Queued
from .outcome import Outcome, find_shortfall
from .poll_schedule import PollSchedule
from .poller import Poller
from .rate_limiter import ClosedError, Permit, RateLimiter
from .saver import Saver
from .slots import Slots
from .submitter import Submitter

HALTING = (BudgetError, ConfigError, CreditsError, DiskError, JournalError)
"""Errors that the next submission would meet too. Nothing more is sent after one, but accepted tasks are finished."""
OnOutcome = Callable[[Outcome], None]


@dataclass
class Scheduler:
    """A run of entries, in one event loop.

    slots: the limit on unfinished tasks that all processes share.
    rate_limiter: the limit on unfinished tasks of this process, adapted to PiAPI's responses.
    fail_fast: whether a failure of any kind stops further submissions.
    halting: errors that always stop them. halted: the error that stopped them.
    """

    submitter: Submitter
    poller: Poller
    saver: Saver
    journal: Journal
    listener: Listener
    stop: Stop
    schedule: Callable[[Entry], PollSchedule]
    clock: Clock
    slots: Slots
    rate_limiter: RateLimiter
    fail_fast: bool = False
    halting: tuple[type[FluxError], ...] = HALTING
    halted: FluxError | None = None
    _live: set[asyncio.Task[None]] = field(default_factory=set)
    _failure: "asyncio.Future[BaseException]" = field(init=False)

    async def run(self, entries: AsyncIterator[Entry | Outcome], report: OnOutcome, *, wait: bool = True) -> None:
        """Run every entry to its end, and `report` each outcome immediately.

        Entries are taken one at a time, when the next can start. Outcomes among them are reported unchanged. If `wait`
        is False, entries end as accepted. Entries that were not started when the run was stopped stay planned.

        An error in this loop or in `report` does not interrupt tasks in flight: the loop starts no more, waits for
        every task, and then raises the first such error. Only a cancellation (a second signal) interrupts tasks.
        """
        self._failure = asyncio.get_running_loop().create_future()
        try:
            await self._start_all(entries, report, wait)
            while self._live:
                await asyncio.wait(self._live)
        finally:
            for task in self._live:
                task.cancel()
            if self._live:
                await asyncio.wait(self._live)
        if self._failure.done():
            raise self._failure.result()

    async def _start_all(self, entries: AsyncIterator[Entry | Outcome], report: OnOutcome, wait: bool) -> None:
        while not self._ending:
            try:
                item = await self._next(entries)
                if item is None:
                    return
                if isinstance(item, Outcome):
                    self.listener(Ended(item.entry.id, item.entry.state))
                    report(item)
                elif permit := await self._get_permit(item):
                    self._start(item, report, permit, wait)
            except Exception as error:  # even for a bug, tasks in flight are finished: they are paid for
                self._fail(error)

    def _start(self, entry: Entry, report: OnOutcome, permit: Permit, wait: bool) -> None:
        if self._ending:
            permit.release()
            return
        task = asyncio.create_task(self._run_one(entry, report, permit, wait))
        self._live.add(task)
        task.add_done_callback(self._note_ended)

    def _note_ended(self, task: asyncio.Task[None]) -> None:
        self._live.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    @property
    def _ending(self) -> bool:
        return self.stop.requested or self._failure.done()

    def _fail(self, error: BaseException) -> None:
        if self.halting:  # otherwise the rate limiter is shared with schedulers that continue
            self.rate_limiter.close()
        if not self._failure.done():
            self._failure.set_result(error)

    async def _next(self, entries: AsyncIterator[Entry | Outcome]) -> Entry | Outcome | None:
        """Return the next item; None at the end, or after a stop or a failure: a pipe may never have another item."""
        item = asyncio.ensure_future(anext(entries, None))
        either: set[asyncio.Future[Any]] = {item, self._failure}
        try:
            with contextlib.suppress(StoppedError):
                await self.stop.guard(asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED))
        finally:
            item.cancel()  # no effect if it is done
            await asyncio.wait({item})
        return None if item.cancelled() else item.result()

    async def _get_permit(self, entry: Entry) -> Permit | None:
        """Return a permit for an entry; None if the run was stopped meanwhile.

        Only a submission takes a shared slot: a task that is already running needs none.
        """
        if entry.state is not State.PLANNED:
            return self.rate_limiter.follow(lambda: None)
        while True:
            try:
                return await self._wait_for_permit(entry)
            except (ClosedError, StoppedError):
                return None
            except DiskError:  # no file descriptor is left for a slot, until a running task ends
                if not self._live:
                    raise
                await asyncio.wait(self._live, return_when=asyncio.FIRST_COMPLETED)

    async def _wait_for_permit(self, entry: Entry) -> Permit:
        # The slot is taken first. A refused entry keeps its slot while it waits for a permit, so an entry that held a
        # permit while it waits for a slot could cause a deadlock.
        slot = self.slots.try_acquire()
        if slot is None:
            self.listener(Queued(entry.id, entry.label, entry.seed, self.slots.limit))
            slot = await self.stop.guard(self.slots.acquire())
        try:
            return await self.stop.guard(self.rate_limiter.enter(slot.release))
        except BaseException:
            slot.release()
            raise

    async def _run_one(self, entry: Entry, report: OnOutcome, permit: Permit, wait: bool) -> None:
        started = self.clock.now()
        error: FluxError | None = None
        try:
            entry = await self._advance(entry, permit, wait)
        except ClosedError:
            self.listener(Ended(entry.id, State.PLANNED))
            return
        except StoppedError:
            if self.stop.signal_number is None:
                return
            entry = self._reread(entry)
            error = interruption_error(entry, self.stop.signal_number)
        except FluxError as failure:
            entry, error = self._reread(entry), failure
            if self.fail_fast or isinstance(failure, self.halting):
                self.halted = self.halted or failure
                self.rate_limiter.close()
        finally:
            permit.release()
        error = error or find_shortfall(entry)
        self.listener(Ended(entry.id, entry.state))
        report(Outcome(entry, error, self.clock.now() - started))

    async def _advance(self, entry: Entry, permit: Permit, wait: bool) -> Entry:
        task: Task | None = None
        if earlier := entry.state is not State.PLANNED:
            self._announce(entry, earlier=True)
        else:
            entry, task = await self.submitter.submit(entry, permit)
        if entry.state is State.ACCEPTED:
            if not earlier:
                self._announce(entry)
            if not wait:  # released, so that another process can wait for the task
                return self.journal.release(entry)
            entry, task = await self.stop.guard(self.poller.poll(entry, task))
        permit.release()  # the task has ended, so the next may be sent while this one is saved
        if entry.state is State.READY:
            entry = await self.stop.guard(self._save(entry, task))
        return entry

    async def _save(self, entry: Entry, task: Task | None) -> Entry:
        """Return the saved entry. A bug becomes the error of this entry only, so that the others continue."""
        try:
            return await self.saver.save(entry, task)
        except (FluxError, StoppedError):
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise FluxError(
                f"a bug in flux: {type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})",
                hint="Please report this; once it is fixed, resume saves the image",
                command=("resume",),
                code="bug",
            ) from error

    def _announce(self, entry: Entry, *, earlier: bool = False) -> None:
        assert entry.task_id is not None
        expected = self.schedule(entry).expected if entry.request else None
        self.listener(Accepted(entry.id, entry.label, entry.seed, entry.task_id, expected, entry.price, earlier))

    def _reread(self, entry: Entry) -> Entry:
        """Return the entry as it is in the journal: its state may have changed before the error."""
        try:
            return self.journal.get(entry.id) or entry
        except JournalError:
            return entry


def interruption_error(entry: Entry, signal_number: int, how: str = "interrupted") -> InterruptError:
    """Return the error for an entry whose command was ended by a signal."""
    if entry.state in (State.SENDING, State.UNKNOWN):
        how += f' while waiting for the response to the request for "{clean(entry.label, LABEL)}"'
    elif entry.task_id:
        state = "completed, not yet saved" if entry.state is State.READY else "still running"
        how += f"; task {entry.task_id} is {state}"
    return InterruptError(how, signal_number=signal_number)
