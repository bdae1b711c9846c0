"""The calls of the Python API: each makes a task or waits for one. They share connections, limits and a budget."""

import asyncio
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..batch.batch import Batch, reopen
from ..batch.connections import Connections
from ..batch.plan import Draft, Shard, make_plan
from ..batch.prompts import OnePrompt
from ..batch.resume import Policy, Step, begin_step
from ..batch.runner import feed_entries
from ..batch.task_matching import link_matching
from ..cli.common_options import CommonOptions
from ..cli.found_tasks import poll_task, prepare_wait
from ..cli.options import SaveOptions
from ..cli.session import Session
from ..engine.events import Event, Listener
from ..engine.outcome import Outcome, claim
from ..engine.scheduler import Scheduler
from ..errors import BudgetError, FluxError, StillRunningError
from ..frozen import frozen
from ..journal.entries import LABEL, SPENT, UNFINISHED, Entry, State, error_of
from ..system.signals import Stop
from ..text import clean, usd
from . import keywords as kw
from .keywords import Order

TURN_SECONDS = 5.0
"""The least time that a request may wait to be sent, even if the call's own wait is shorter."""
CHECK_SECONDS = 1.0
"""Seconds between two checks, after a call's wait is over, whether its request still waits to be sent."""


class Nowhere(io.TextIOWrapper):
    """An empty stream that discards everything and is not a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def write(self, text: str) -> int:
        return len(text)


def open_session(common: CommonOptions, environ: Mapping[str, str], settings: Mapping[str, str | None]) -> Session:
    """Return a session that prints nothing and asks nothing."""
    nowhere = Nowhere()
    return Session.create(common, settings, environ=environ, stdin=nowhere, stdout=nowhere, stderr=nowhere)


class Ledger:
    """The USD that calls have spent, or have reserved while they run, up to `limit`.

    It belongs to one event loop and never waits, so that a check and the reservation after it are atomic.
    """

    def __init__(self, limit: Decimal | None) -> None:
        self.limit = limit
        self._prices: dict[str, Decimal] = {}

    @property
    def left(self) -> Decimal | None:
        """The rest in USD; None if there is no limit."""
        return None if self.limit is None else self.limit - sum(self._prices.values(), Decimal(0))

    def check(self, price: Decimal, entry: Entry | None) -> None:
        """Raise BudgetError if `price` exceeds the rest. entry: the entry to pay, which may have a reservation."""
        more = price - (self._prices.get(entry.id, Decimal(0)) if entry else Decimal(0))
        if self.limit is not None and self.left is not None and more > 0 and more > self.left:
            raise BudgetError(
                f"this costs {usd(price)}, but {usd(self.left)} of the budget of {usd(self.limit)} is left",
                hint="Start again with a higher budget",
            )

    def reserve(self, entry: Entry) -> None:
        """Reserve the price of an entry that is about to be sent. Raise BudgetError."""
        price = entry.price or Decimal(0)
        self.check(price, entry)
        self._prices[entry.id] = price

    def record(self, entry: Entry) -> Decimal:
        """Replace the reservation of an entry by what it was charged, or possibly charged. Return that amount."""
        if entry.id in self._prices:
            self._prices[entry.id] = (entry.price or Decimal(0)) if entry.state in SPENT else Decimal(0)
        return self._prices.get(entry.id, Decimal(0))


@frozen
class CallOptions:
    """The options of a call.

    listener: called with its events. deadline: the end of its wait on the monotonic clock; None for the timeout.
    repeats: whether an identical call continues the same task, in any state, and is not charged again.
    retry_failed: whether, with `repeats`, a failed task is submitted again.
    """

    listener: Callable[[Event], None] | None = None
    deadline: float | None = None
    repeats: bool = False
    retry_failed: bool = False


@frozen
class CallResult:
    """The result of a call. paid: USD that it was charged or possibly charged; 0 if the image was paid for earlier."""

    outcome: Outcome
    paid: Decimal


class Calls:
    """Concurrent calls of a session, in one event loop.

    budget: the most USD that all of them may spend; None for no limit.
    """

    def __init__(self, session: Session, budget: Decimal | None) -> None:
        self.session, self.ledger = session, Ledger(budget)
        self._opened = False
        self._process = os.getpid()
        self._connections: Connections | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._running: dict[asyncio.Task[None], str] = {}
        """The ID of the entry of each running asyncio task."""

    async def open(self) -> None:
        """Open the session and its connections, once. Raise ConfigError, JournalError."""
        if self._opened:
            raise RuntimeError("an AsyncFlux is entered once; make another one")
        self._opened = True
        with ExitStack() as opening:
            opening.enter_context(self.session)
            self._connections = await Connections(self.session.run_context).__aenter__()
            opening.pop_all()

    async def close(self) -> None:
        """Close the connections, after the running tasks have recorded their state."""
        connections, self._connections = self._connections, None
        assert connections is not None
        with self.session:
            while self._running:  # after calls that were canceled twice, a response may still have to be recorded
                await asyncio.wait(self._running)
            await connections.__aexit__()

    async def cancel(self) -> None:
        """Cancel all calls, wait until their state is recorded, and close the connections."""
        calls = self._calls - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)
        if self._connections:
            await self.close()

    def require_same_process(self) -> None:
        """Raise RuntimeError in a fork: connections, locks and threads belong to the process that created them."""
        if os.getpid() != self._process:
            raise RuntimeError("a client does not survive a fork; make another one in this process")

    async def make(self, op: str, keywords: Mapping[str, object], options: CallOptions) -> CallResult:
        """Make a task and wait for its images. Raise FluxError if it could not be planned."""
        with self._call():
            session = self.session
            order = await asyncio.to_thread(kw.read_order, session, op, keywords)
            step = await self._plan(order, options)
            self.ledger.check(step.price, step.known)
            item = begin_step(step, session.run_context, session.saving(order.save))
            return await self._finish(item, options, wait=order.wait, cache=not order.no_cache)

    async def wait(self, task_id: str, save: SaveOptions, options: CallOptions) -> CallResult:
        """Save the images of an existing task, or of an entry, for free."""
        with self._call():
            session = self.session
            session.require_key()
            session.journal.mark_dead_unknown()
            known = session.journal.find(task_id) or await link_matching(session.run_context, task_id)
            if known is None and options.deadline is not None:  # it may end before a wrong ID is detected
                assert self._connections is not None
                await poll_task(self._connections.client, task_id)
            try:
                return await self._finish(prepare_wait(session, task_id, known, save), options, wait=True, cache=False)
            finally:
                session.journal.discard_unseen()

    async def _plan(self, order: Order, options: CallOptions) -> Step:
        """Return the step for an order, from the plan of a batch with one task."""
        session, save = self.session, order.save
        draft = Draft(order.request, save.output, random_seed=order.random_seed, metadata=not save.no_metadata)
        prompt, source = OnePrompt(order.request.operation.prompt), "calls" if options.repeats else None
        plan = make_plan(prompt, lambda _: iter([draft]), source=source, price=session.catalog.price, shard=Shard())
        session.require_key()
        session.journal.mark_dead_unknown()
        policy = Policy(no_cache=order.no_cache, retry_failed=options.retry_failed, wait=order.wait)
        limits = session.cost_limits(order.max_cost, yes=order.yes)
        batch = Batch(plan, session.run_context, session.saving(save), policy, limits, session.make_reporter())
        if expired := batch.find_expired():
            await reopen(session.run_context, expired)
        (step,) = batch.prepare()
        if options.repeats and save.output is None and self._is_old(step.known):
            (step,) = replace(batch, policy=replace(policy, no_cache=True)).prepare()
        return step

    def _is_old(self, known: Entry | None) -> bool:
        """Return whether an image is too old to be reused by an identical request."""
        if known is None or known.state is not State.SAVED:
            return False
        return time.time() - (known.submitted or known.created) > self.session.cache_seconds

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Register the current asyncio task, so that `cancel` finds it, while the block runs."""
        self.require_same_process()
        if self._connections is None:
            raise RuntimeError("use it inside: async with AsyncFlux() as flux")
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            yield
        finally:
            self._calls.discard(task)

    async def _finish(self, item: Entry | Outcome, options: CallOptions, *, wait: bool, cache: bool) -> CallResult:
        """Run an entry to its end. cache: whether it may join the task of an identical request."""
        item = await self._join(item, options.deadline)
        if isinstance(item, Outcome):
            return CallResult(item, Decimal(0))
        # Nothing suspends this call before the entry is in `_running`, so that no other call runs it as well.
        pays = item.state is State.PLANNED
        if pays:
            self.ledger.reserve(item)
        outcome = await self._run_until(item, options, wait=wait, cache=cache)
        return CallResult(outcome, self.ledger.record(outcome.entry) if pays else Decimal(0))

    async def _join(self, item: Entry | Outcome, deadline: float | None) -> Entry | Outcome:
        """Return the entry, to be run by this call; if another call runs it, wait, and return the outcome of that."""
        journal, entry = self.session.journal, item.entry if isinstance(item, Outcome) else item
        while others := [task for task, name in self._running.items() if name == entry.id]:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            done, _ = await asyncio.wait(others, timeout=left)
            entry = journal.get(entry.id) or entry
            if not done:
                return Outcome(entry, _left_over(entry))
            if entry.state not in (State.PLANNED, *UNFINISHED):
                return Outcome(entry, None if entry.state is State.SAVED else error_of(entry))
            item = claim(journal, entry)
        return item

    async def _run_until(self, item: Entry, options: CallOptions, *, wait: bool, cache: bool) -> Outcome:
        """Run an entry as an asyncio task of its own, and return its outcome, or its state at the deadline."""
        assert self._connections is not None
        stop, outcomes = Stop(), list[Outcome]()
        # Calls share limits but not errors: a full disk in this call must not end others.
        scheduler = self._connections.make_scheduler(
            _listener(options.listener), stop, use_cache=cache, share_errors=False, deadline=options.deadline
        )
        running = asyncio.create_task(self._run(scheduler, item, outcomes.append, wait))
        self._running[running] = item.id
        running.add_done_callback(self._running.pop)
        try:
            await self._wait_for(running, item, stop, options.deadline)
        except asyncio.CancelledError:
            stop.request()
            await asyncio.shield(asyncio.wait({running}))
            raise
        except FluxError as error:  # an error of the run itself, for example of the journal
            outcomes.append(Outcome(self.session.journal.get(item.id) or item, error))
        entry = self.session.journal.get(item.id) or item
        return outcomes[0] if outcomes else Outcome(entry, _left_over(entry))

    async def _wait_for(self, running: asyncio.Task[None], item: Entry, stop: Stop, deadline: float | None) -> None:
        """Wait until an entry has ended. After the deadline, stop it if it still waits to be sent."""
        if deadline is not None:
            await asyncio.wait({running}, timeout=max(TURN_SECONDS, deadline - time.monotonic()))
            while not running.done():
                entry = self.session.journal.get(item.id)
                if entry and entry.state is State.PLANNED:
                    stop.request()
                await asyncio.wait({running}, timeout=CHECK_SECONDS)
        await asyncio.shield(running)

    async def _run(self, scheduler: Scheduler, entry: Entry, report: Callable[[Outcome], None], wait: bool) -> None:
        try:
            await scheduler.run(feed_entries([entry]), report, wait=wait)
        finally:
            # This process may run for long. Release the entry, so that another process can save its images.
            left = scheduler.journal.get(entry.id)
            if left and left.state in UNFINISHED and left.owner == scheduler.journal.owner:
                scheduler.journal.release(left)
            if left:
                self.ledger.record(left)  # even if the call was canceled


def _left_over(entry: Entry) -> FluxError:
    """Return the error of a call whose wait ended before its task was polled."""
    if entry.state is State.PLANNED:
        return StillRunningError(
            f'"{clean(entry.label, LABEL)}" was not sent yet: other tasks are running', code="queued"
        )
    if entry.state in UNFINISHED:
        return StillRunningError(f"task {entry.task_id} is still {entry.status or 'running'}")
    return error_of(entry)


def _listener(on_event: Callable[[Event], None] | None) -> Listener:
    """Return a listener that passes errors to the loop's handler, so that they cannot prevent a journal write."""

    def listen(event: Event) -> None:
        if on_event:
            try:
                on_event(event)
            # SystemExit would end the loop, and CancelledError would look like a canceled call.
            except BaseException as error:
                context = {"message": "on_event raised an error", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    return listen
