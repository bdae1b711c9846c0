"""Bring entries to their end: those of a new plan (`Batch`), and those that exist (`Run`)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Self

from ..engine.events import Listener
from ..engine.outcome import Outcome, exit_code
from ..engine.poll_schedule import Durations, PollLimiter
from ..engine.poller import Poller
from ..engine.rate_limiter import RateLimiter
from ..engine.saver import Saver
from ..engine.scheduler import HALTING, Scheduler, interruption_error
from ..engine.slots import Slots
from ..engine.submitter import Submitter
from ..engine.uploader import UPLOAD_MARGIN, Uploader, known_url
from ..errors import ExitCode, FluxError, InterruptError
from ..journal.entries import Entry, State, error_of, unknown_outcome
from ..json_value import strings_in
from ..operations.request import TaskRequest, encode_body
from ..piapi.client import PiAPIClient
from ..piapi.errors import TaskNotFoundError, TemporaryError
from ..piapi.image_download import Downloader
from ..system.signals import DetachedExecutor, Stop
from .outputs import Saving
from .plan import CostLimits, Plan, PlannedTask, check_budgets
from .results import Reporter, Results
from .resume import Action, Policy, Step, begin, find_expired, review
from .run_context import RunContext

SLACK_SECONDS = 600.0
"""An uploaded image must still be there when the request has waited for its turn."""
Feed = Callable[[Scheduler], AsyncIterator[Entry | Outcome]]
"""Yields the entries of a run, and outcomes that are known already; may ask the scheduler whether it was halted."""
Server = Callable[[Scheduler], AbstractAsyncContextManager[None]]
"""Work that runs as long as the scheduler does."""


class Connections:
    """What tasks that run at the same time share: clients, the limit on tasks, uploads. For one event loop."""

    def __init__(self, run_context: RunContext) -> None:
        self.run_context = run_context
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        run_context = self.run_context
        async with AsyncExitStack() as opening:
            self.client: PiAPIClient = await opening.enter_async_context(run_context.client())
            self.downloader: Downloader = await opening.enter_async_context(run_context.downloader())
            self._exits = opening.pop_all()
        clock = run_context.clock
        self._slots = Slots(run_context.slots_folder, run_context.concurrency, warn=run_context.warn, sleep=clock.sleep)
        self._rate_limiter = RateLimiter(run_context.concurrency, run_context.timeout, clock)
        self._uploader = Uploader(
            self.client, run_context.journal, run_context.images, upload_service=run_context.upload_service, clock=clock
        )
        self._poll_limiter = PollLimiter(clock)
        self._durations = Durations(run_context.catalog, run_context.journal, clock.scale)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def scheduler(
        self,
        listener: Listener,
        stop: Stop,
        *,
        use_cache: bool,
        share_errors: bool = True,
        deadline: float | None = None,
    ) -> Scheduler:
        """Return a scheduler.

        use_cache: whether an identical request, submitted within the cache time, is used again.
        share_errors: whether an error that the next submission would meet too stops all of them.
        deadline: on the monotonic clock, when waiting ends for all tasks; None: each has the timeout.
        """
        run_context, clock = self.run_context, self.run_context.clock

        async def body(entry: Entry) -> bytes:
            assert entry.request is not None
            needed = images_sent(run_context, entry.request)
            urls = await self._uploader.find_urls(entry, needed, listener)
            return encode_body(run_context.body(entry.request, urls))

        return Scheduler(
            submitter=Submitter(
                client=self.client,
                journal=run_context.journal,
                listener=listener,
                stop=stop,
                body=body,
                clock=clock,
                timeout=run_context.timeout,
                budgets=run_context.budgets,
                cache_seconds=run_context.cache_seconds if use_cache else 0.0,
            ),
            poller=Poller(
                client=self.client,
                journal=run_context.journal,
                listener=listener,
                durations=self._durations,
                poll_limiter=self._poll_limiter,
                clock=clock,
                timeout=run_context.timeout,
                deadline=deadline,
            ),
            saver=Saver(
                client=self.client,
                downloader=self.downloader,
                journal=run_context.journal,
                listener=listener,
                poll_limiter=self._poll_limiter,
                clock=clock,
                deadline=deadline,
            ),
            journal=run_context.journal,
            listener=listener,
            stop=stop,
            schedule=self._durations.schedule,
            clock=clock,
            slots=self._slots,
            rate_limiter=self._rate_limiter,
            halting=HALTING if share_errors else (),
        )


def images_sent(run_context: RunContext, request: TaskRequest) -> list[str]:
    """Return the references to local images in a request as it is sent: a vocabulary may leave one out."""
    written = set(strings_in(run_context.body(request, {})))
    return [image for image in request.local_images if image in written]


def lacks_inputs(run_context: RunContext, request: TaskRequest) -> bool:
    """Return whether PiAPI no longer has a local image of a stored request, which cannot be uploaded again."""
    until = time.time() + UPLOAD_MARGIN + SLACK_SECONDS
    return any(known_url(run_context.journal, image, until) is None for image in images_sent(run_context, request))


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
                self.reporter.note(
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
                    self.results.not_started(task)
            elif number is not None:
                self.results.add(task, Outcome(entry, interruption_error(entry, number, "stopped immediately"), 0.0))
            elif entry.state in (State.SENDING, State.UNKNOWN):
                self.results.add(task, Outcome(entry, unknown_outcome(entry), 0.0))
            else:
                followed.append(entry)
        if followed:
            self.results.left_running(followed)
        return bool(running)

    async def _run(self) -> None:
        asyncio.get_running_loop().set_default_executor(DetachedExecutor())
        deadline = self.run_context.clock.now() + self.run_context.timeout if self.one_deadline else None
        async with Connections(self.run_context) as connections:
            with self.reporter.progress(self.total) as listener:
                scheduler = connections.scheduler(listener, self._stop, use_cache=self.use_cache, deadline=deadline)
                scheduler.fail_fast = self.fail_fast
                try:
                    async with self.server(scheduler) if self.server else nullcontext():
                        await scheduler.run(self._fed(scheduler), self._report, wait=self.wait)
                finally:
                    self.halted = scheduler.halted

    async def _fed(self, scheduler: Scheduler) -> AsyncIterator[Entry | Outcome]:
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
        results.add(None, Outcome(entry, error_of(entry), 0.0))


@dataclass
class Batch:
    """A plan that is run by one command.

    fail_fast: the first failure stops further submissions.
    """

    plan: Plan
    run_context: RunContext
    saving: Saving
    policy: Policy
    limits: CostLimits
    reporter: Reporter
    fail_fast: bool = False
    results: Results = field(init=False)

    def __post_init__(self) -> None:
        self.results = Results(self.reporter)

    def run(self) -> ExitCode:
        """Run the plan to its end and return the exit code.

        Raise UsageError, BudgetError, DiskError, JournalError before anything is sent.
        """
        if expired := self.find_expired():
            asyncio.run(reopen(self.run_context, expired))
        steps = self.prepare()
        feed = _StepFeed(self, iter(steps))
        run = Run(
            self.run_context,
            self.reporter,
            self.results,
            feed.items,
            len(steps),
            tasks=feed.tasks,
            wait=self.policy.wait,
            fail_fast=self.fail_fast,
            use_cache=not self.policy.no_cache,
        )
        try:
            return run.finish()
        finally:
            feed.report_rest()
            if self.plan.total > 1:
                self.reporter.summary(self.results.summary())

    def find_expired(self) -> Sequence[Entry]:
        """Return the expired entries that would be paid for again: PiAPI may have their tasks, see `reopen`."""
        return find_expired(self.plan, self.run_context, self.saving, self.policy)

    def prepare(self) -> list[Step]:
        """Return the steps of the plan, after everything that can be checked beforehand was checked."""
        run_context = self.run_context
        steps = review(self.plan, run_context, self.saving, self.policy)
        if self.plan.tasks:
            encode_body(run_context.body(self.plan.tasks[0].request, {}))  # what each of them would stumble over
        price = sum((step.price for step in steps), Decimal(0))
        self.limits.check(price, sum(step.task.request.operation.batch_size for step in steps if step.price))
        check_budgets(run_context.journal.allowances(run_context.budgets), price)
        return steps


@dataclass
class _StepFeed:
    """Turns steps into what the scheduler takes, one at a time."""

    batch: Batch
    steps: Iterator[Step]
    tasks: dict[str, PlannedTask] = field(default_factory=dict)

    async def items(self, scheduler: Scheduler) -> AsyncIterator[Entry | Outcome]:
        batch = self.batch
        for step in self.steps:
            if step.action is Action.SKIP:
                batch.results.skip(step.task, step.files)
            elif scheduler.halted and step.price:
                batch.results.not_started(step.task)
            else:
                try:
                    item = begin(step, batch.run_context, batch.saving)
                except Exception:  # it ends the run, and the report has every row
                    batch.results.not_started(step.task)
                    raise
                entry = item.entry if isinstance(item, Outcome) else item
                self.tasks[entry.id] = step.task
                yield item

    def report_rest(self) -> None:
        """Report the tasks that the run was stopped before."""
        for step in self.steps:
            self.batch.results.not_started(step.task)


async def reopen(run_context: RunContext, entries: Iterable[Entry]) -> None:
    """Ask PiAPI again for tasks that had expired: those that it has are followed like any other."""
    async with run_context.client() as client:
        for entry in entries:
            assert entry.task_id is not None
            try:
                await client.poll(entry.task_id)
            except (TaskNotFoundError, TemporaryError):
                continue
            if claimed := run_context.journal.claim(entry):
                run_context.journal.move(claimed, replace(claimed, state=State.ACCEPTED, problem=None, owner=None))
