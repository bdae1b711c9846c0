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
from ..engine.scheduler import HALTING, Scheduler, interruption
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
from .plan import Limits, Plan, PlannedTask, check_budgets
from .results import Reporter, Results
from .resume import Action, Policy, Step, begin, find_expired, review
from .workspace import Workspace

SLACK_SECONDS = 600.0
"""An uploaded image must still be there when the request has waited for its turn."""
Feed = Callable[[Scheduler], AsyncIterator[Entry | Outcome]]
"""Yields the entries of a run, and outcomes that are known already; may ask the scheduler whether it was halted."""
Beside = Callable[[Scheduler], AbstractAsyncContextManager[None]]
"""Work that runs as long as the scheduler does."""


class Connections:
    """What tasks that run at the same time share: clients, the limit on tasks, uploads. For one event loop."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        workspace = self.workspace
        async with AsyncExitStack() as opening:
            self.client: PiAPIClient = await opening.enter_async_context(workspace.client())
            self.downloader: Downloader = await opening.enter_async_context(workspace.downloader())
            self._exits = opening.pop_all()
        clock = workspace.clock
        self._slots = Slots(workspace.slots_folder, workspace.concurrency, warn=workspace.warn, sleep=clock.sleep)
        self._rate_limiter = RateLimiter(workspace.concurrency, workspace.timeout, clock)
        self._uploader = Uploader(
            self.client, workspace.journal, workspace.images, upload_service=workspace.upload_service, clock=clock
        )
        self._limiter = PollLimiter(clock)
        self._durations = Durations(workspace.catalog, workspace.journal, clock.scale)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def scheduler(
        self,
        listener: Listener,
        stop: Stop,
        *,
        join_identical: bool,
        share_errors: bool = True,
        deadline: float | None = None,
    ) -> Scheduler:
        """Return a scheduler.

        join_identical: whether an identical request, submitted within the cache time, is used again.
        share_errors: whether an error that the next submission would meet too stops all of them.
        deadline: on the monotonic clock, when waiting ends for all tasks; None: each has the timeout.
        """
        workspace, clock = self.workspace, self.workspace.clock

        async def body(entry: Entry) -> bytes:
            assert entry.request is not None
            needed = images_sent(workspace, entry.request)
            urls = await self._uploader.find_urls(entry, needed, listener)
            return encode_body(workspace.body(entry.request, urls))

        return Scheduler(
            submitter=Submitter(
                client=self.client,
                journal=workspace.journal,
                listener=listener,
                stop=stop,
                body=body,
                clock=clock,
                timeout=workspace.timeout,
                budgets=workspace.budgets,
                life=workspace.cache_seconds if join_identical else 0.0,
            ),
            poller=Poller(
                client=self.client,
                journal=workspace.journal,
                listener=listener,
                durations=self._durations,
                limiter=self._limiter,
                clock=clock,
                timeout=workspace.timeout,
                deadline=deadline,
            ),
            saver=Saver(
                client=self.client,
                downloader=self.downloader,
                journal=workspace.journal,
                listener=listener,
                limiter=self._limiter,
                clock=clock,
                deadline=deadline,
            ),
            journal=workspace.journal,
            listener=listener,
            stop=stop,
            schedule=self._durations.schedule,
            clock=clock,
            slots=self._slots,
            rate_limiter=self._rate_limiter,
            halting=HALTING if share_errors else (),
        )


def images_sent(workspace: Workspace, request: TaskRequest) -> list[str]:
    """Return the references to local images in a request as it is sent: a vocabulary may leave one out."""
    written = set(strings_in(workspace.body(request, {})))
    return [image for image in request.local_images if image in written]


def lacks_inputs(workspace: Workspace, request: TaskRequest) -> bool:
    """Return whether PiAPI no longer has a local image of a stored request, which cannot be uploaded again."""
    until = time.time() + UPLOAD_MARGIN + SLACK_SECONDS
    return any(known_url(workspace.journal, image, until) is None for image in images_sent(workspace, request))


@dataclass(slots=True)
class Run:
    """The entries of a feed, brought as far as they will go by one command.

    total: how many there will be; 0 when that is not known. tasks: the planned task of each entry, by its ID.
    first: the first image that is saved ends the run, and the other tasks keep running.
    one_deadline: the timeout limits the whole run, not the time for each task.
    halted: the error that stopped it before its end.
    beside: a server that feeds the run; a signal is then a normal end if no task is running.
    """

    workspace: Workspace
    reporter: Reporter
    results: Results
    feed: Feed
    total: int
    tasks: dict[str, PlannedTask] = field(default_factory=dict)
    wait: bool = True
    fail_fast: bool = False
    join_identical: bool = True
    first: bool = False
    one_deadline: bool = False
    beside: Beside | None = None
    _stop: Stop = field(init=False, default_factory=Stop)
    _begun: dict[str, Entry] = field(init=False, default_factory=dict)
    halted: FluxError | None = field(init=False, default=None)
    _won: bool = field(init=False, default=False)

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
        if self._won and ExitCode.UNKNOWN_CHARGE not in self.results.errors:
            return ExitCode.OK
        number = self._stop.signal_number
        if number is None:
            return exit_code(self.results.errors.values(), stopped_by=self.halted)
        code = ExitCode(128 + number)
        if cut_off or code in self.results.errors:
            return code
        if self.beside:
            return ExitCode.OK
        raise InterruptError("interrupted", signal_number=number)

    def _report_rest(self) -> bool:
        """Report the tasks that have no outcome yet; return whether a signal cut a submitted one off."""
        left = [self.workspace.journal.get(name) or entry for name, entry in self._begun.items()]
        running = [entry for entry in left if entry.state is not State.PLANNED]
        number, followed = self._stop.signal_number, []
        for entry in left:
            task = self.tasks.get(entry.id)
            if entry.state is State.PLANNED:
                if task:
                    self.results.not_started(task)
            elif number is not None:
                self.results.add(task, Outcome(entry, interruption(entry, number, "stopped immediately"), 0.0))
            elif entry.state in (State.SENDING, State.UNKNOWN):
                self.results.add(task, Outcome(entry, unknown_outcome(entry), 0.0))
            else:
                followed.append(entry)
        if followed:
            self.results.left_running(followed)
        return bool(running)

    async def _run(self) -> None:
        asyncio.get_running_loop().set_default_executor(DetachedExecutor())
        deadline = self.workspace.clock.now() + self.workspace.timeout if self.one_deadline else None
        async with Connections(self.workspace) as connections:
            with self.reporter.progress(self.total) as listener:
                scheduler = connections.scheduler(
                    listener, self._stop, join_identical=self.join_identical, deadline=deadline
                )
                scheduler.fail_fast = self.fail_fast
                try:
                    async with self.beside(scheduler) if self.beside else nullcontext():
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
        if self.first and entry.state is State.SAVED:
            self._won = outcome.error is None
            self._stop.request()


async def feed_entries(items: Sequence[Entry | Outcome]) -> AsyncIterator[Entry | Outcome]:
    """Yield items that are known beforehand."""
    for item in items:
        yield item


def finish_entries(workspace: Workspace, reporter: Reporter, items: Sequence[Entry | Outcome]) -> ExitCode:
    """Bring entries that this process owns as far as they will go, and return the exit code."""
    return Run(workspace, reporter, Results(reporter), lambda _: feed_entries(items), len(items)).finish()


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
    workspace: Workspace
    saving: Saving
    policy: Policy
    limits: Limits
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
            asyncio.run(reopen(self.workspace, expired))
        steps = self.prepare()
        feed = _Feed(self, iter(steps))
        run = Run(
            self.workspace,
            self.reporter,
            self.results,
            feed.items,
            len(steps),
            tasks=feed.tasks,
            wait=self.policy.wait,
            fail_fast=self.fail_fast,
            join_identical=not self.policy.fresh,
        )
        try:
            return run.finish()
        finally:
            feed.report_rest()
            if self.plan.total > 1:
                self.reporter.summary(self.results.summary())

    def find_expired(self) -> Sequence[Entry]:
        """Return the expired entries that would be paid for again: PiAPI may have their tasks, see `reopen`."""
        return find_expired(self.plan, self.workspace, self.saving, self.policy)

    def prepare(self) -> list[Step]:
        """Return the steps of the plan, after everything that can be checked beforehand was checked."""
        workspace = self.workspace
        steps = review(self.plan, workspace, self.saving, self.policy)
        if self.plan.tasks:
            encode_body(workspace.body(self.plan.tasks[0].request, {}))  # what each of them would stumble over
        price = sum((step.price for step in steps), Decimal(0))
        self.limits.check(price, sum(step.task.request.operation.batch_size for step in steps if step.price))
        check_budgets(workspace.journal.allowances(workspace.budgets), price)
        return steps


@dataclass
class _Feed:
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
                    item = begin(step, batch.workspace, batch.saving)
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


async def reopen(workspace: Workspace, entries: Iterable[Entry]) -> None:
    """Ask PiAPI again for tasks that had expired: those that it has are followed like any other."""
    async with workspace.client() as client:
        for entry in entries:
            assert entry.task_id is not None
            try:
                await client.poll(entry.task_id)
            except (TaskNotFoundError, TemporaryError):
                continue
            if claimed := workspace.journal.claim(entry):
                workspace.journal.move(claimed, replace(claimed, state=State.ACCEPTED, problem=None, owner=None))
