"""Waiting for a task: free requests, repeated until the task ends or the deadline passes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import KeyRefusedError, NotSavedError, RefusedError, StillRunningError, TaskFailedError
from ..frozen import frozen
from ..journal.entries import Entry, State
from ..journal.entry_errors import problem_of
from ..journal.journal import Journal
from ..piapi.client import PiAPIClient
from ..piapi.errors import NoSuchTaskError, PassingTroubleError
from ..piapi.task import Phase, Task
from ..system.signals import Sleep
from ..text import seconds
from .durations import Durations
from .events import Listener, Looked, Trouble
from .poll_schedule import backoff

NEW_SECONDS = 30.0
"""A task may be unknown to the service's readers for this long after its creation."""
MISSES = 3
"""After that, this many answers in a row that there is no such task mean that it has expired."""
EMPTY_LOOKS = 3
"""A task may be completed a moment before its pictures are listed."""


@dataclass
class _Streaks:
    """How often in a row something went wrong; `running`: when the task still ran, seconds after its acceptance."""

    running: float = 0.0
    trouble: int = 0
    missing: int = 0
    empty: int = 0


@frozen
class Watcher:
    """Follows accepted entries. `timeout` is in seconds, per entry."""

    client: PiAPIClient
    journal: Journal
    listener: Listener
    durations: Durations
    clock: Callable[[], float]
    sleep: Sleep
    timeout: float
    scale: float

    async def watch(self, entry: Entry, task: Task | None) -> tuple[Entry, Task]:
        """The entry, ready, and the task with its pictures. `task` is the look that is known already, if any.

        Raises TaskFailedError, StillRunningError, NotSavedError, RefusedError, KeyRefusedError, JournalError.
        """
        started, already = self.clock(), max(0.0, time.time() - (entry.accepted or time.time()))
        deadline, schedule, streaks = started + self.timeout, self.durations.schedule(entry), _Streaks()
        wait, late = 0.0, started >= deadline
        while True:
            if task is None:
                await self.sleep(max(0.0, min(wait, deadline - self.clock())))
                late = self.clock() >= deadline
                task, wait = await self._look(entry, streaks)
            elapsed = self.clock() - started + already
            if task is not None:
                self.listener(Looked(entry.id, task.status.word, elapsed))
                if task.status.phase is not Phase.RUNNING and (ended := self._ended(entry, task, streaks, elapsed)):
                    return ended, task
                entry, task, streaks.running = self._noted(entry, task), None, elapsed
                wait = schedule.step(elapsed)
            # The last look is begun when the time is over: a machine that was suspended in the midst of an earlier one
            # knows only how the task was before that.
            if late:
                raise still_running(entry, self.timeout)

    async def _look(self, entry: Entry, streaks: _Streaks) -> tuple[Task | None, float]:
        """The task, or None and the seconds to wait before another look."""
        assert entry.task_id is not None
        try:
            task = await self.client.look(entry.task_id)
        except KeyRefusedError as refused:
            raise key_refused_meanwhile(entry, refused) from refused
        except PassingTroubleError as trouble:
            streaks.trouble, streaks.missing = streaks.trouble + 1, 0
            wait = trouble.retry_after if trouble.retry_after is not None else backoff(streaks.trouble + 1, self.scale)
            if streaks.trouble == 1:
                self.listener(Trouble(entry.id, trouble.message, wait))
            return None, wait
        except NoSuchTaskError as missing:
            streaks.trouble = 0
            return None, self._missing(entry, streaks, str(missing))
        streaks.trouble = streaks.missing = 0
        return task, 0.0

    def _missing(self, entry: Entry, streaks: _Streaks, words: str) -> float:
        # A task of ours is known to exist; somebody else's id may be a slip of the keyboard.
        if entry.submitted is not None and time.time() - (entry.accepted or 0) < NEW_SECONDS:
            return 2.0 * self.scale
        streaks.missing += 1
        if streaks.missing < MISSES:
            return 1.0 * self.scale
        error = no_such_task(entry, words)
        self.journal.move(entry, replace(entry, state=State.EXPIRED, problem=problem_of(error)))
        raise error

    def _noted(self, entry: Entry, task: Task) -> Entry:
        if task.status.word == entry.status:
            return entry
        return self.journal.move(entry, replace(entry, status=task.status.word))

    def _ended(self, entry: Entry, task: Task, streaks: _Streaks, elapsed: float) -> Entry | None:
        """The entry, ready; None when the pictures are not listed yet."""
        word = task.status.word
        if task.status.phase is Phase.FAILED:
            error = task_failed(task)
            self.journal.move(
                entry, replace(entry, state=State.FAILED, status=word, ended=time.time(), problem=problem_of(error))
            )
            raise error
        if task.urls or task.inline:
            took = self.durations.measured(entry, task, streaks.running, elapsed)
            ended = _ended_at(entry, task, None if took is None else took * self.scale)
            return self.journal.move(
                entry, replace(entry, state=State.READY, status=word, urls=task.urls, ended=ended, seconds=took)
            )
        streaks.empty += 1
        if streaks.empty <= EMPTY_LOOKS:
            return None
        self.journal.move(entry, replace(entry, status=word, evidence="completed without a picture in the reply"))
        raise NotSavedError(
            f"task {task.id} is completed, but the service lists no picture",
            hint=f"ask again later: flux wait {task.id}",
        )


def _ended_at(entry: Entry, task: Task, took: float | None) -> float | None:
    """When the task ended, by this machine's clock where it was accepted here; None when nobody knows.

    took: seconds, more exact than the service's times of day, which may be whole seconds.
    """
    if took is not None and entry.submitted is not None and entry.accepted is not None:
        return min(entry.accepted + took, time.time())
    if task.ended is not None:
        return min(task.ended.timestamp(), time.time())
    return time.time() if entry.submitted is not None else None


def still_running(entry: Entry, timeout: float) -> StillRunningError:
    """The error for a task that outlived `--timeout`."""
    return StillRunningError(
        f"task {entry.task_id} is still {entry.status or 'running'} after {seconds(timeout)}",
        hint=f"fetch it later: flux wait {entry.task_id}, or everything: flux resume",
    )


def key_refused_meanwhile(entry: Entry, refused: KeyRefusedError) -> KeyRefusedError:
    """The error for a key that stopped working while a task ran."""
    return KeyRefusedError(
        refused.message,
        money=f"task {entry.task_id} is paid for and runs on",
        hint="give another key with: flux login, then: flux resume",
    )


def task_failed(task: Task) -> TaskFailedError:
    """The error for a task that the service gave up."""
    reason = task.error.message if task.error else "no reason given"
    code = f" (code {task.error.code})" if task.error and task.error.code else ""
    return TaskFailedError(
        f"task {task.id} {task.status.word}: {reason}{code}", hint="whether it was charged: see the PiAPI workspace"
    )


def no_such_task(entry: Entry, words: str) -> NotSavedError | RefusedError:
    """The error for a task that the service does not know, or knows no more."""
    if entry.submitted is None:
        return RefusedError(f"the service knows no task {entry.task_id}: {words}", code="no_such_task")
    return NotSavedError(f"task {entry.task_id} has expired at the service: {words}", code="expired")
