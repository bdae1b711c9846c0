"""The submission of an entry, which is the only step that costs money.

The order of writes guarantees that no charge is lost: `sending` is on disk before the POST, and `accepted` before
anything else happens.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from ..errors import JournalError, NetworkError, StillRunningError, UnknownChargeError
from ..frozen import frozen
from ..journal.budgets import Budget
from ..journal.database import LockedError
from ..journal.entries import LABEL, Entry, State, problem_of, unknown_outcome
from ..journal.journal import Journal
from ..journal.owner import Response
from ..piapi.client import PiAPIClient
from ..piapi.refusals import refusal_error
from ..piapi.submission import RETRIES, SubmissionOutcome, SubmissionResult
from ..piapi.task import Task
from ..system.clock import Clock
from ..system.signals import Stop, StoppedError
from ..text import clean
from .events import Listener, Slowed, Submitting, Trouble, Waiting
from .rate_limiter import SHORTEST_WAIT, BusyError, Permit

JOIN_SECONDS = 0.5
"""Seconds between two checks of whether the submission of another process has had its response."""
GRACE_SECONDS = 10.0
"""Seconds to wait for the response to a POST after the user requested a stop, so that its charge is not lost."""
LOCK_SECONDS, LOCK_PAUSE = 0.1, 0.4
"""Seconds that an attempt to record a response waits for a locked journal, and seconds between two attempts."""


@frozen
class Submitter:
    """The submission of planned entries.

    make_body: makes what is sent for an entry; may upload images first, which costs nothing.
    timeout: seconds for which a service that cannot be reached is tried again.
    budgets: limits on what all processes together may spend.
    cache_seconds: for which a request reuses the image of an identical earlier one; 0: it is always submitted.
    """

    client: PiAPIClient
    journal: Journal
    listener: Listener
    stop: Stop
    make_body: Callable[[Entry], Coroutine[Any, Any, bytes]]
    clock: Clock
    timeout: float
    budgets: Sequence[Budget]
    cache_seconds: float

    async def submit(self, entry: Entry, permit: Permit) -> tuple[Entry, Task | None]:
        """Submit an entry. Return the accepted entry and the task in the response (None if it joins an earlier task).

        permit: of the rate limiter; released and taken again after a temporary refusal.

        Raise RefusedError, CreditsError, KeyRefusedError, NetworkError and BudgetError (the entry stays planned),
        UnknownChargeError, JournalError, StoppedError, ClosedError (the run has halted; the entry stays planned).
        """
        assert entry.request is not None
        self.listener(Submitting(entry.id, entry.label, entry.seed, entry.request.model))
        body = await self.stop.guard(self.make_body(entry))
        deadline = self.clock.now() + self.timeout
        tries: Counter[SubmissionOutcome] = Counter()
        while True:
            if self.stop.requested:
                raise StoppedError
            entry = self.journal.send(entry, self.budgets, self.cache_seconds)
            if entry.state is State.ACCEPTED:
                return entry, None
            if entry.state is State.PLANNED:  # an identical request is in flight, and its response decides
                await self._wait_for_identical(entry, deadline)
                continue
            permit.note_sending()
            result = await self._post(entry, body)
            if result.outcome is SubmissionOutcome.ACCEPTED and result.task is not None:
                entry = await self._record_accepted(entry, result.task)
                permit.note_accepted()
                return entry, result.task
            entry = await self._record_refused(entry, result)
            if result.outcome is SubmissionOutcome.RATE_LIMITED:
                await self._wait_for_permit(entry, result, permit)
                deadline = self.clock.now() + self.timeout
                continue
            tries[result.outcome] += 1
            await self._pause_before_retry(entry, result, tries[result.outcome], deadline)

    async def _wait_for_identical(self, entry: Entry, deadline: float) -> None:
        if self.clock.now() > deadline:
            label = clean(entry.label, LABEL)
            raise StillRunningError(f'an identical request of another process has had no response: "{label}"')
        self.listener(Waiting(entry.id, "waiting for the response to an identical request"))
        await self.stop.guard(self.clock.sleep(JOIN_SECONDS * self.clock.scale))

    async def _post(self, entry: Entry, body: bytes) -> SubmissionResult:
        try:
            return await self.stop.shield(self.client.create(body), GRACE_SECONDS)
        except (StoppedError, asyncio.CancelledError):
            self._record_unknown(entry, "interrupted before the response came")
            raise
        except Exception as error:
            # Sending may have begun before any error.
            self._record_unknown(entry, f"ended by {type(error).__name__}")
            raise

    def _record_unknown(self, entry: Entry, evidence: str) -> None:
        # If the journal cannot be written, the entry stays `sending`, and becomes unknown after this process has ended.
        with contextlib.suppress(JournalError):
            self.journal.move(entry, replace(entry, state=State.UNKNOWN, evidence=evidence))

    async def _record_accepted(self, entry: Entry, task: Task) -> Entry:
        try:
            return await self._record(
                entry, f"task {task.id} was accepted", lambda: self.journal.accept(entry, task.id, task.status.word)
            )
        except JournalError as error:
            if error.code == "busy":
                raise
            kept = self.journal.keep_response(entry, Response("task_id", task.id))
            raise UnknownChargeError(
                f"task {task.id} was accepted, but could not be recorded: {error.message}",
                hint="Its ID is kept; when the journal can be written, download its image with"
                if kept
                else "Keep this ID; download its image with",
                command=("resume",) if kept else ("wait", task.id),
            ) from error

    async def _record(self, entry: Entry, what: str, write: Callable[[], Entry]) -> Entry:
        """Return the result of `write`. Repeat it while another program keeps the journal locked.

        Each attempt blocks the loop only briefly. After a request to stop, the attempts end with the grace period, and
        after a second one immediately. what: the fact to record, for the user. Raise JournalError.
        """
        deadline: float | None = None
        while True:
            try:
                with self.journal.patience(LOCK_SECONDS):
                    return write()
            except LockedError as error:
                if deadline is None and self.stop.requested:
                    deadline = self.clock.now() + GRACE_SECONDS
                if deadline is not None and self.clock.now() > deadline:
                    raise
                locked = error
            self.listener(Waiting(entry.id, f"{what}; waiting for another program that keeps the journal locked"))
            try:
                await self.clock.sleep(LOCK_PAUSE)
            except asyncio.CancelledError:
                raise locked from None

    async def _record_refused(self, entry: Entry, result: SubmissionResult) -> Entry:
        """Return the entry, planned again, if the POST may be repeated. Otherwise record and raise its error."""
        if result.outcome is SubmissionOutcome.UNKNOWN:
            unknown = replace(entry, state=State.UNKNOWN, evidence=result.evidence, seen_id=result.seen_id)
            try:
                await self._record(entry, "no usable response came", lambda: self.journal.move(entry, unknown))
            except JournalError:  # the entry becomes unknown after this process has ended
                if result.seen_id:
                    self.journal.keep_response(entry, Response("seen_id", result.seen_id))
            raise unknown_outcome(unknown, result.message)
        if result.outcome in RETRIES or result.outcome is SubmissionOutcome.UNTRUSTED:
            return self.journal.move(entry, replace(entry, state=State.PLANNED))
        error = refusal_error(result)
        self.journal.move(entry, replace(entry, state=State.REJECTED, problem=problem_of(error)))
        raise error

    async def _wait_for_permit(self, entry: Entry, result: SubmissionResult, permit: Permit) -> None:
        try:
            wait = permit.note_refused(result.retry_after)
            self.listener(Slowed(entry.id, result.message, permit.window, wait))
            await self.stop.guard(permit.enter_again())
        except BusyError:
            raise _not_submitted(result) from None

    async def _pause_before_retry(self, entry: Entry, result: SubmissionResult, tries: int, deadline: float) -> None:
        wait = max(self.clock.backoff(tries, result.retry_after), SHORTEST_WAIT * self.clock.scale)
        if tries > (RETRIES.get(result.outcome) or 0) or self.clock.now() + wait > deadline:
            raise _not_submitted(result)
        self.listener(Trouble(entry.id, result.message, wait))
        await self.stop.guard(self.clock.sleep(wait))


def _not_submitted(result: SubmissionResult) -> NetworkError:
    return NetworkError(f"the task could not be submitted: {result.message}", hint=_advice(result.outcome))


def _advice(outcome: SubmissionOutcome) -> str:
    if outcome is SubmissionOutcome.RATE_LIMITED:
        return "PiAPI is not accepting more tasks right now. Run the command again later, or raise --timeout"
    if outcome is SubmissionOutcome.UNTRUSTED:
        return "check the URL and the clock; behind a company proxy set SSL_CERT_FILE"
    if outcome is SubmissionOutcome.NOT_SENT:
        return "check the network connection, then run the command again"
    return "PiAPI is unavailable. Run the command again later"
