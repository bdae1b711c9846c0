"""The times of the polls of a task, from the documented durations and those measured on this machine.

A poll is free, and ten lost seconds are noticed. So the next poll always comes soon, as a share of the time that the
task has run, and sooner near the time when the task should end. Measured by `python -m benchmarks waiting`.
After a failed poll, `Poller._choose_wait` decides. `piapi.client.POLLS` polls run at a time.
"""

import random
from collections import deque
from collections.abc import Sequence

from ..config.catalog import Catalog
from ..journal.entries import Entry
from ..journal.journal import Journal
from ..piapi.task import Task
from ..system.clock import Clock

GAP_SECONDS, GAP_SHARE, LONGEST_GAP = 2.1, 0.1, 30.0
"""The gap between two polls: GAP_SECONDS, or GAP_SHARE of the elapsed time if that is more; at most LONGEST_GAP."""
DOCUMENTED_GAP = (0.85, 0.031)
LEARNED_GAP = (0.45, 0.008)
"""GAP_SECONDS and GAP_SHARE within the expected range, if that is the documented one or a measured one."""
LEARNED_MARGIN = 0.15
"""The measured range is extended by this share at both ends, because a few past tasks do not cover all durations."""
JITTER = 0.25
"""The share by which a gap varies at random, so that tasks that were accepted together are not polled together."""
ENOUGH, EDGE = 5, 0.1
"""The number of past tasks that define a measured range, and the share of them that is ignored at either end."""
POLLS_PER_SECOND = 10


class PollSchedule:
    """The times of the polls of one task.

    documented: the documented range of durations, in seconds. past: measured durations, in seconds.
    scale: a factor for these and for every result. expected: the scaled range in which the task should end.
    """

    def __init__(self, documented: tuple[float, float], scale: float = 1.0, past: Sequence[float] = ()) -> None:
        learned = len(past) >= ENOUGH
        low, high = _middle(past) if learned else documented
        margin = LEARNED_MARGIN if learned else 0.0
        self.expected = (low * scale, high * scale)
        self._near = (low * (1 - margin), high * (1 + margin))
        self._near_gap = LEARNED_GAP if learned else DOCUMENTED_GAP
        self._scale = scale

    def first_step(self) -> float:
        """Return the seconds from the acceptance of a task to its first poll: a random part of a step."""
        return random.random() * self.step(0.0)

    def step(self, elapsed: float) -> float:
        """Return the seconds to the next poll, `elapsed` seconds after the task was accepted."""
        now = elapsed / self._scale
        gap = min(max(GAP_SECONDS, GAP_SHARE * now), LONGEST_GAP)
        begin, end = self._near
        if now < end:
            seconds, share = self._near_gap
            gap = min(gap, max(begin - now, seconds, share * now))
        return gap * random.uniform(1 - JITTER, 1 + JITTER) * self._scale


def _middle(past: Sequence[float]) -> tuple[float, float]:
    ordered, edge = sorted(past), int(EDGE * len(past))
    return ordered[edge], ordered[-1 - edge]


class PollLimiter:
    """A limit for the polls of one process: POLLS_PER_SECOND, divided by the scale; first come, first served."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gap = clock.scale / POLLS_PER_SECOND
        self._next = clock.now()

    async def wait(self) -> None:
        """Return when it is the caller's turn to poll."""
        now = self._clock.now()
        turn = max(now, self._next)
        self._next = turn + self._gap
        await self._clock.sleep(turn - now)


REMEMBERED = 50
"""Past tasks per model and operation: enough for a range, and few enough to follow changes at PiAPI."""
TaskKind = tuple[str, str]
"""The model's ID and the operation's name."""


class Durations:
    """Poll schedules from the durations of past tasks.

    A duration is the time from the creation to the end of a task, as PiAPI reports it, in seconds at a time scale of 1.
    scale: a factor for every schedule.
    """

    def __init__(self, catalog: Catalog, journal: Journal, scale: float) -> None:
        self._catalog, self._journal, self._scale = catalog, journal, scale
        self._past: dict[TaskKind, deque[float]] = {}

    def schedule(self, entry: Entry) -> PollSchedule:
        """Return the poll schedule for the task of an entry."""
        if entry.request is None:
            return PollSchedule(self._catalog.seconds_of(None), self._scale)
        kind = entry.request.model, entry.request.operation.name
        return PollSchedule(self._catalog.seconds_of(kind[0]), self._scale, self._seen(kind))

    def record(self, entry: Entry, task: Task, running: float, ended: float) -> float | None:
        """Return the duration of a task that has ended, and use it for later schedules; None if it is unknown.

        running, ended: seconds from the acceptance to the last poll that found the task running (0 if none did), and to
        the first that found it ended. PiAPI's times, which may be whole seconds, are limited to these bounds.
        """
        if task.ended and task.created and task.ended > task.created:
            seconds = (task.ended - task.created).total_seconds()
        elif ended - running < LONGEST_GAP * self._scale:
            seconds = (running + ended) / 2
        else:  # nothing was measured: the wait may have been resumed days later
            return None
        seconds = min(max(seconds, running), ended) / self._scale
        if entry.request:
            self._seen((entry.request.model, entry.request.operation.name)).append(seconds)
        return seconds

    def _seen(self, kind: TaskKind) -> "deque[float]":
        if kind not in self._past:
            past = self._journal.task_durations.find_kind(*kind, limit=REMEMBERED)
            self._past[kind] = deque(past, REMEMBERED)
        return self._past[kind]
