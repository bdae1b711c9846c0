"""Waiting for a task: free polls until it ends or the deadline passes."""

import time
from dataclasses import dataclass, field, replace

from ..errors import NotSavedError, RefusedError, StillRunningError, TaskFailedError
from ..frozen import frozen
from ..journal.entries import Entry, State, problem_of
from ..journal.journal import Journal
from ..piapi.client import PiAPIClient
from ..piapi.refusals import TaskNotFoundError, TemporaryError
from ..piapi.task import Phase, Task
from ..system.clock import Clock
from ..text import format_seconds
from .events import Listener, Polled, Trouble
from .poll_schedule import Durations, PollLimiter

MISSES, MISSING_SECONDS = 3, 45.0
"""The number of consecutive "not found" responses, and the seconds they must span, to prove that a task is deleted.

Fewer are no proof: some servers may not have a new task for half a minute, and a gateway may return 404 during a
deployment.
"""
EMPTY_POLLS = 3
"""Polls that may find a completed task without images: PiAPI may list them a moment later."""


@dataclass
class Misses:
    """Consecutive polls that did not find the task. since: the time of the first on the clock."""

    count: int = 0
    since: float = 0.0

    def add(self, now: float) -> int:
        """Count a poll at `now`, and return the number of consecutive ones."""
        if not self.count:
            self.since = now
        self.count += 1
        return self.count

    def are_proof(self, now: float, span: float) -> bool:
        """Return whether the polls are enough, and span `span` seconds, so that the task does not exist."""
        return self.count >= MISSES and now - self.since >= span


@dataclass
class _Streak:
    """The results of consecutive polls of a task.

    reason: why the status is unknown; empty once a poll returned it. running: seconds from the acceptance to the last
    poll that found the task running.
    """

    reason: str = "PiAPI was not asked"
    running: float = 0.0
    trouble: int = 0
    empty: int = 0
    misses: Misses = field(default_factory=Misses)


@frozen
class Poller:
    """The polling of accepted entries until their tasks end.

    poll_limiter: shared by all polls of the process.
    timeout: seconds to wait for each task. deadline: a common end of the wait, as a time on the clock, instead of it.
    """

    client: PiAPIClient
    journal: Journal
    listener: Listener
    durations: Durations
    poll_limiter: PollLimiter
    clock: Clock
    timeout: float
    deadline: float | None = None

    async def poll(self, entry: Entry, task: Task | None) -> tuple[Entry, Task]:
        """Return the ready entry and its task. task: that of the response to the submission, if it was just submitted.

        Raise TaskFailedError, StillRunningError, NotSavedError, RefusedError, KeyRefusedError, JournalError.
        """
        started = self.clock.now()
        accepted = started - max(0.0, time.time() - (entry.accepted or time.time()))
        deadline = started + self.timeout if self.deadline is None else self.deadline
        schedule, streak = self.durations.schedule(entry), _Streak()
        wait = 0.0 if task is None else schedule.first_step()
        while True:
            await self.clock.sleep(max(0.0, min(wait, deadline - self.clock.now())))
            await self.poll_limiter.wait()
            # The last poll is sent after the deadline, because a machine that was suspended has only an old status.
            late = self.clock.now() >= deadline
            task, wait = await self._poll_once(entry, streak)
            if task is not None:
                elapsed, streak.reason = self.clock.now() - accepted, ""
                entry = self._advance(entry, task, streak, elapsed)
                if entry.state is State.READY:
                    return entry, task
                wait = schedule.step(elapsed)
            if late:
                raise _still_running(entry, max(0.0, deadline - started), streak.reason)

    async def _poll_once(self, entry: Entry, streak: _Streak) -> tuple[Task | None, float]:
        """Return the task, or None and the seconds to wait before the next poll."""
        assert entry.task_id is not None
        try:
            task = await self.client.poll(entry.task_id)
        except TemporaryError as trouble:
            streak.trouble, streak.misses = streak.trouble + 1, Misses()
            return None, self._choose_wait(entry, streak, trouble.message, streak.trouble, trouble.retry_after)
        except TaskNotFoundError as missing:
            streak.trouble = 0
            return None, self._note_missing(entry, streak, str(missing))
        streak.trouble, streak.misses = 0, Misses()
        return task, 0.0

    def _choose_wait(
        self, entry: Entry, streak: _Streak, message: str, failures: int, retry_after: float | None = None
    ) -> float:
        """Return the seconds to wait after `failures` consecutive ones, the first of which is reported."""
        wait = self.clock.backoff(failures + 1, retry_after)  # first up to 2 s, as between other polls
        streak.reason = streak.reason and message
        if failures == 1:
            self.listener(Trouble(entry.id, message, wait))
        return wait

    def _note_missing(self, entry: Entry, streak: _Streak, words: str) -> float:
        # A task that this machine submitted or has seen did exist. Any other ID may be a typing error.
        existed = bool(entry.submitted or entry.status or entry.request)
        now = self.clock.now()
        count = streak.misses.add(now)
        if not streak.misses.are_proof(now, MISSING_SECONDS * self.clock.scale if existed else 0.0):
            return self._choose_wait(entry, streak, f"PiAPI did not find the task ({words})", count)
        if existed:
            raise record_expiry(self.journal, entry, f"PiAPI no longer has it ({words})")
        error = RefusedError(f"PiAPI has no task {entry.task_id} ({words})", code="no_such_task")
        self.journal.move(entry, replace(entry, state=State.EXPIRED, problem=problem_of(error)))
        raise error

    def _advance(self, entry: Entry, task: Task, streak: _Streak, elapsed: float) -> Entry:
        """Return the entry, updated from a poll: ready once its images are listed. Raise TaskFailedError."""
        word = task.status.word
        self.listener(Polled(entry.id, word, elapsed))
        if task.status.phase is Phase.FAILED:
            error = failure_error(task)
            self.journal.move(
                entry, replace(entry, state=State.FAILED, status=word, ended=time.time(), problem=problem_of(error))
            )
            raise error
        if task.status.phase is Phase.RUNNING:
            streak.running = elapsed
        elif task.urls or task.inline:
            took = self.durations.record(entry, task, streak.running, elapsed)
            ended = _ended_at(entry, task, None if took is None else took * self.clock.scale)
            return self.journal.move(
                entry, replace(entry, state=State.READY, status=word, urls=task.urls, ended=ended, seconds=took)
            )
        else:
            self._note_empty(entry, task, streak)
        return entry if word == entry.status else self.journal.move(entry, replace(entry, status=word))

    def _note_empty(self, entry: Entry, task: Task, streak: _Streak) -> None:
        """Count a poll that found the task completed without images. Raise NotSavedError after EMPTY_POLLS of them."""
        streak.empty += 1
        if streak.empty > EMPTY_POLLS:
            evidence = "completed without an image in the response"
            self.journal.move(entry, replace(entry, status=task.status.word, evidence=evidence))
            raise NotSavedError(f"task {task.id} is completed, but the response contains no image")


def _ended_at(entry: Entry, task: Task, took: float | None) -> float | None:
    """Return when the task ended, in seconds since the epoch; None if that is unknown.

    took: the duration in seconds. Added to the acceptance by this machine's clock, it is more exact than PiAPI's time,
    which may be in whole seconds.
    """
    if took is not None and entry.submitted is not None and entry.accepted is not None:
        return min(entry.accepted + took, time.time())
    if task.ended is not None:
        return min(task.ended.timestamp(), time.time())
    return time.time() if entry.submitted is not None else None


def _still_running(entry: Entry, waited: float, reason: str) -> StillRunningError:
    """Return the error for a task that had not ended after `waited` seconds. reason: why its status is unknown."""
    after = format_seconds(waited)
    if reason:
        return StillRunningError(f"cannot get the status of task {entry.task_id} within {after}: {reason}")
    return StillRunningError(f"task {entry.task_id} is still {entry.status or 'running'} after {after}")


def failure_error(task: Task) -> TaskFailedError:
    """Return the error for a failed task."""
    reason = task.error.message if task.error else "no reason given"
    code = f" (code {task.error.code})" if task.error and task.error.code else ""
    return TaskFailedError(f"task {task.id} {task.status.word}: {reason}{code}")


def record_expiry(journal: Journal, entry: Entry, reason: str) -> NotSavedError:
    """Move an entry to `expired`, and return the error for it."""
    error = NotSavedError(f"task {entry.task_id} has expired: {reason}", code="expired")
    journal.move(entry, replace(entry, state=State.EXPIRED, problem=problem_of(error)))
    return error
