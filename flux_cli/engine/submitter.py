"""Submitting an entry: the one step that costs money.

The order is the promise: `sending` on disk, then the POST; `accepted` on disk, then anything else.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from ..errors import JournalError, NetworkError, StillRunningError, UnknownChargeError
from ..frozen import frozen
from ..journal.budgets import Budget
from ..journal.entries import Entry, State
from ..journal.entry_errors import problem_of, unknown_outcome
from ..journal.journal import Journal
from ..piapi.client import PiAPIClient
from ..piapi.errors import Answer, refusal
from ..piapi.submission import RETRIES, Fate
from ..piapi.task import Task
from ..system.signals import Sleep, Stop, StoppedError
from .backoff import backoff
from .events import Listener, Noted, Slowed, Submitting, Trouble, Waiting
from .rate_limiter import SHORTEST_WAIT, ImpatientError, Place

JOIN_SECONDS = 0.5
"""Between two checks whether an identical request was accepted."""
GRACE_SECONDS = 10.0
"""How long a POST in flight may still answer after the user asked to stop: its charge must not be lost."""


@frozen
class Submitter:
    """Sends planned entries.

    body: makes what is sent for an entry; may upload pictures first, which costs nothing.
    timeout: bounds, in seconds, how long a service that cannot be reached is tried again.
    budgets: what all processes together may spend.
    life: seconds for which an identical request, submitted before, stands for one; 0: each is bought.
    """

    client: PiAPIClient
    journal: Journal
    listener: Listener
    stop: Stop
    body: Callable[[Entry], Coroutine[Any, Any, bytes]]
    clock: Callable[[], float]
    sleep: Sleep
    timeout: float
    scale: float
    budgets: Sequence[Budget]
    life: float

    async def submit(self, entry: Entry, place: Place) -> tuple[Entry, Task | None]:
        """The entry, accepted, and the task as the service first told of it; None for one that was submitted before.

        place: in the pace of the run; given back, and taken again, whenever the service takes no more for now.

        Raises RefusedError, CreditsError, KeyRefusedError, NetworkError and BudgetError (the entry stays planned),
        UnknownChargeError, JournalError, StoppedError, ClosedError (the run has halted; the entry stays planned).
        """
        assert entry.request is not None
        self.listener(Submitting(entry.id, entry.label, entry.seed, entry.request.model))
        body = await self.stop.guard(self.body(entry))
        deadline = self.clock() + self.timeout
        tries: Counter[Fate] = Counter()
        while True:
            if self.stop.requested:
                raise StoppedError
            entry = self.journal.send(entry, self.budgets, self.life)
            if entry.state is State.ACCEPTED:
                self.listener(Noted(entry.id, f"identical to task {entry.task_id}: not charged again"))
                return entry, None
            if entry.state is State.PLANNED:  # an identical one is on its way: its response decides
                await self._wait_for_identical(entry, deadline)
                continue
            place.sending()
            answer = await self._post(entry, body)
            if answer.fate is Fate.ACCEPTED and answer.task is not None:
                entry = self._accepted(entry, answer.task)
                place.accepted()
                return entry, answer.task
            entry = self._refused(entry, answer)
            if answer.fate is Fate.LATER:
                await self._until_its_turn(entry, answer, place)
                deadline = self.clock() + self.timeout
                continue
            tries[answer.fate] += 1
            await self._before_another_try(entry, answer, tries[answer.fate], deadline)

    async def _wait_for_identical(self, entry: Entry, deadline: float) -> None:
        if self.clock() > deadline:
            raise StillRunningError(f'an identical request of another process has had no response: "{entry.label}"')
        self.listener(Waiting(entry.id, "waiting for the response to an identical request"))
        await self.stop.guard(self.sleep(JOIN_SECONDS * self.scale))

    async def _post(self, entry: Entry, body: bytes) -> Answer:
        try:
            return await self.stop.grace(self.client.create(body), GRACE_SECONDS)
        except (StoppedError, asyncio.CancelledError):
            self._record_unknown(entry, "interrupted before the answer came")
            raise
        except Exception as error:
            # Whatever this was, sending may have begun: doubt is unknown.
            self._record_unknown(entry, f"ended by {type(error).__name__}")
            raise

    def _record_unknown(self, entry: Entry, evidence: str, seen_id: str | None = None) -> Entry:
        # Left at `sending` by a journal that cannot be written, the entry becomes unknown when this process is gone.
        with contextlib.suppress(JournalError):
            return self.journal.move(entry, state=State.UNKNOWN, evidence=evidence, seen_id=seen_id)
        return replace(entry, seen_id=seen_id)

    def _accepted(self, entry: Entry, task: Task) -> Entry:
        try:
            return self.journal.move(
                entry, state=State.ACCEPTED, task_id=task.id, status=task.status.word, accepted=time.time()
            )
        except JournalError as error:
            raise UnknownChargeError(
                f"task {task.id} was accepted, but could not be recorded: {error.message}",
                hint="Keep this ID; download its image with",
                command=("wait", task.id),
            ) from error

    def _refused(self, entry: Entry, answer: Answer) -> Entry:
        """The entry, planned again, when the POST may be repeated; otherwise its end is journalled and raised."""
        if answer.fate is Fate.UNKNOWN:
            raise unknown_outcome(self._record_unknown(entry, answer.evidence, answer.seen_id), answer.message)
        if answer.fate in RETRIES or answer.fate is Fate.UNTRUSTED:
            return self.journal.move(entry, state=State.PLANNED)
        error = refusal(answer)
        self.journal.move(entry, state=State.REJECTED, problem=problem_of(error))
        raise error

    async def _until_its_turn(self, entry: Entry, answer: Answer, place: Place) -> None:
        try:
            wait = place.refused(answer.retry_after)
            self.listener(Slowed(entry.id, answer.message, place.at_once, wait))
            await self.stop.guard(place.again())
        except ImpatientError:
            raise _not_submitted(answer) from None

    async def _before_another_try(self, entry: Entry, answer: Answer, tries: int, deadline: float) -> None:
        asked = answer.retry_after if answer.retry_after is not None else backoff(tries, self.scale)
        wait = max(asked, SHORTEST_WAIT * self.scale)
        if tries > (RETRIES.get(answer.fate) or 0) or self.clock() + wait > deadline:
            raise _not_submitted(answer)
        self.listener(Trouble(entry.id, answer.message, wait))
        await self.stop.guard(self.sleep(wait))


def _not_submitted(answer: Answer) -> NetworkError:
    return NetworkError(f"the task could not be submitted: {answer.message}", hint=_advice(answer.fate))


def _advice(fate: Fate) -> str:
    if fate is Fate.LATER:
        return "the account has as many tasks as its plan allows; wait for them, or raise --timeout"
    if fate is Fate.UNTRUSTED:
        return "check the address and the clock; behind a company proxy set SSL_CERT_FILE"
    return "check the connection, then run it again"
