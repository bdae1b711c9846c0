"""How long tasks take: the documented range of each model, and past tasks of this machine."""

from collections import deque

from ..config.catalog import Catalog
from ..journal.entries import Entry
from ..journal.journal import Journal
from ..piapi.task import Task
from .poll_schedule import LONGEST_GAP, PollSchedule

REMEMBERED = 50
"""Past tasks per model and operation: enough for a range, few enough to follow changes of the service."""
TaskKind = tuple[str, str]
"""The model's ID and the operation's name."""


class Durations:
    """Poll schedules that learn from past tasks.

    A duration is the time from the creation of a task to its end, as PiAPI reports it, in seconds at a time scale of 1.
    scale: multiplies every schedule.
    """

    def __init__(self, catalog: Catalog, journal: Journal, scale: float) -> None:
        self._catalog, self._journal, self._scale = catalog, journal, scale
        self._past: dict[TaskKind, deque[float]] = {}

    def schedule(self, entry: Entry) -> PollSchedule:
        """Return the schedule for an entry's task."""
        if entry.request is None:
            return PollSchedule(self._catalog.seconds_of(None), self._scale)
        kind = entry.request.model, entry.request.operation.name
        return PollSchedule(self._catalog.seconds_of(kind[0]), self._scale, self._seen(kind))

    def record(self, entry: Entry, task: Task, running: float, ended: float) -> float | None:
        """Return the duration of a task that has ended, and keep it for later schedules; None if it is not known.

        running, ended: seconds from the acceptance to the last poll that found the task running (0: none did), and to
        the first that found it ended. The service's times count within these bounds: they may be whole seconds.
        """
        if task.ended and task.created and task.ended > task.created:
            seconds = (task.ended - task.created).total_seconds()
        elif ended - running < LONGEST_GAP * self._scale:
            seconds = (running + ended) / 2
        else:  # it may have been resumed days later
            return None
        seconds = min(max(seconds, running), ended) / self._scale
        if entry.request:
            self._seen((entry.request.model, entry.request.operation.name)).append(seconds)
        return seconds

    def _seen(self, kind: TaskKind) -> "deque[float]":
        if kind not in self._past:
            past = self._journal.durations(*kind, limit=REMEMBERED)
            self._past[kind] = deque(past, REMEMBERED)
        return self._past[kind]
