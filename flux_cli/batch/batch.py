"""Run a plan: what is paid for already, what it costs, then one entry after the other to its end."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from ..engine.outcome import Outcome
from ..engine.scheduler import Scheduler
from ..errors import ExitCode
from ..journal.entries import Entry, State
from ..operations.request import encode_body
from ..piapi.refusals import TaskNotFoundError, TemporaryError
from .outputs import Saving
from .plan import CostLimits, Plan, PlannedTask, check_budgets
from .results import Reporter, Results
from .resume import Action, Policy, Step, begin_step, decide_steps, find_expired
from .run_context import RunContext
from .runner import Run


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
            feed.begin_all,
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
                self.reporter.show_summary(self.results.summary())

    def find_expired(self) -> Sequence[Entry]:
        """Return the expired entries that would be paid for again: PiAPI may have their tasks, see `reopen`."""
        return find_expired(self.plan, self.run_context, self.saving, self.policy)

    def prepare(self) -> list[Step]:
        """Return the steps of the plan, after everything that can be checked beforehand was checked."""
        run_context = self.run_context
        steps = decide_steps(self.plan, run_context, self.saving, self.policy)
        if self.plan.tasks:
            encode_body(run_context.make_body(self.plan.tasks[0].request, {}))  # what each of them would stumble over
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

    async def begin_all(self, scheduler: Scheduler) -> AsyncIterator[Entry | Outcome]:
        """Yield the entries of the steps, begun, and the outcomes of those that have ended."""
        batch = self.batch
        for step in self.steps:
            if step.action is Action.SKIP:
                batch.results.add_skipped(step.task, step.files)
            elif scheduler.halted and step.price:
                batch.results.add_not_started(step.task)
            else:
                try:
                    item = begin_step(step, batch.run_context, batch.saving)
                except Exception:  # it ends the run, and the report has every row
                    batch.results.add_not_started(step.task)
                    raise
                entry = item.entry if isinstance(item, Outcome) else item
                self.tasks[entry.id] = step.task
                yield item

    def report_rest(self) -> None:
        """Report the tasks that the run was stopped before."""
        for step in self.steps:
            self.batch.results.add_not_started(step.task)


async def reopen(run_context: RunContext, entries: Iterable[Entry]) -> None:
    """Ask PiAPI again for tasks that had expired: those that it has are followed like any other."""
    async with run_context.make_client() as client:
        for entry in entries:
            assert entry.task_id is not None
            try:
                await client.poll(entry.task_id)
            except (TaskNotFoundError, TemporaryError):
                continue
            if claimed := run_context.journal.claim(entry):
                run_context.journal.move(claimed, replace(claimed, state=State.ACCEPTED, problem=None, owner=None))
