"""Bring entries to their end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from ..engine.outcome import Outcome, exit_code
from ..engine.scheduler import Scheduler, interruption_error
from ..errors import ExitCode, FluxError, InterruptError
from ..journal.entries import Entry, State, error_of, unknown_outcome
from ..system.signals import DetachedExecutor, Stop
from .connections import Connections
from .plan import PlannedTask
from .results import Reporter, Results
from .run_context import RunContext

Feed = Callable[[Scheduler], AsyncIterator[Entry | Outcome]]
"""Yields the entries of a run, and outcomes that are known already; may ask the scheduler whether it was halted."""
Server = Callable[[Scheduler], AbstractAsyncContextManager[None]]
"""Work that runs as long as the scheduler does."""


@dataclass(slots=True)
class Run:
    """The entries of a feed, brought as far as they will go by one command.

    total: how many there will be; 0 when that is not known. tasks: the planned task of each entry, by its ID.
    stop_after_first: the first image that is saved ends the run, and the other tasks keep running.
    one_deadline: the timeout limits the whole run, not the time for each task.
    halted: the error that stopped it before its end.
    server: a server that feeds the run; a signal is then a normal end if no task is running.
    """

    run_context: RunContext
    reporter: Reporter
    results: Results
    feed: Feed
    total: int
    tasks: dict[str, PlannedTask] = field(default_factory=dict)
    wait: bool = True
    fail_fast: bool = False
    use_cache: bool = True
    stop_after_first: bool = False
    one_deadline: bool = False
    server: Server | None = None
    _stop: Stop = field(init=False, default_factory=Stop)
    _begun: dict[str, Entry] = field(init=False, default_factory=dict)
    halted: FluxError | None = field(init=False, default=None)
    _first_saved: bool = field(init=False, default=False)

    def finish(self) -> ExitCode:
        """Run to the end and return the exit code.

        Whatever ends the run, every task that was begun is reported: as its outcome, or as still running. Raise what
        went wrong beside the tasks, unless a submission may have been charged: that decides the exit code.
        """
        try:
            self._stop.run(self._run())
        except Exception as failure:
            self._report_rest()
            if exit_code(self.results.errors.values()) is ExitCode.UNKNOWN_CHARGE:
                self.reporter.show_note(
                    f"stopped by: {failure}" if isinstance(failure, FluxError) else "stopped by a failure"
                )
                return ExitCode.UNKNOWN_CHARGE
            raise
        cut_off = self._report_rest()
        if self._first_saved and ExitCode.UNKNOWN_CHARGE not in self.results.errors:
            return ExitCode.OK
        number = self._stop.signal_number
        if number is None:
            return exit_code(self.results.errors.values(), stopped_by=self.halted)
        code = ExitCode(128 + number)
        if cut_off or code in self.results.errors:
            return code
        if self.server:
            return ExitCode.OK
        raise InterruptError("interrupted", signal_number=number)

    def _report_rest(self) -> bool:
        """Report the tasks that have no outcome yet; return whether a signal cut a submitted one off."""
        left = [self.run_context.journal.get(name) or entry for name, entry in self._begun.items()]
        running = [entry for entry in left if entry.state is not State.PLANNED]
        number, followed = self._stop.signal_number, []
        for entry in left:
            task = self.tasks.get(entry.id)
            if entry.state is State.PLANNED:
                if task:
                    self.results.add_not_started(task)
            elif number is not None:
                self.results.add(task, Outcome(entry, interruption_error(entry, number, "stopped immediately")))
            elif entry.state in (State.SENDING, State.UNKNOWN):
                self.results.add(task, Outcome(entry, unknown_outcome(entry, "the run ended")))
            else:
                followed.append(entry)
        if followed:
            self.results.add_left_running(followed)
        return bool(running)

    async def _run(self) -> None:
        asyncio.get_running_loop().set_default_executor(DetachedExecutor())
        deadline = self.run_context.clock.now() + self.run_context.timeout if self.one_deadline else None
        async with Connections(self.run_context) as connections:
            with self.reporter.show_progress(self.total) as listener:
                scheduler = connections.make_scheduler(
                    listener, self._stop, use_cache=self.use_cache, deadline=deadline
                )
                scheduler.fail_fast = self.fail_fast
                try:
                    async with self.server(scheduler) if self.server else nullcontext():
                        await scheduler.run(self._note_begun(scheduler), self._report, wait=self.wait)
                finally:
                    self.halted = scheduler.halted

    async def _note_begun(self, scheduler: Scheduler) -> AsyncIterator[Entry | Outcome]:
        async for item in self.feed(scheduler):
            if isinstance(item, Entry):
                self._begun[item.id] = item
            yield item

    def _report(self, outcome: Outcome) -> None:
        entry = outcome.entry
        begun = self._begun.pop(entry.id, None)
        self.results.add(self.tasks.pop(entry.id, None), outcome, before=begun is None)
        if self.stop_after_first and entry.state is State.SAVED:
            self._first_saved = outcome.error is None
            self._stop.request()


async def feed_entries(items: Sequence[Entry | Outcome]) -> AsyncIterator[Entry | Outcome]:
    """Yield items that are known beforehand."""
    for item in items:
        yield item


def finish_entries(run_context: RunContext, reporter: Reporter, items: Sequence[Entry | Outcome]) -> ExitCode:
    """Bring entries that this process owns as far as they will go, and return the exit code."""
    return Run(run_context, reporter, Results(reporter), lambda _: feed_entries(items), len(items)).finish()


def report_entries(results: Results, entries: Iterable[Entry]) -> None:
    """Report how entries ended that are not brought any further."""
    for entry in entries:
        results.add(None, Outcome(entry, error_of(entry)))
