"""What tasks take: the documented range of each model, and what this machine has seen of each model and operation."""

from collections import deque

from ..config.catalog import Catalog
from ..journal.entries import Entry
from ..journal.journal import Journal
from ..piapi.task import Task
from .poll_schedule import LONGEST, PollSchedule

REMEMBERED = 50
"""Past tasks of a kind that count: enough to be sure, few enough to forget how the service once was."""
WATCHED = 2 * LONGEST
"""Seconds between two looks, at a scale of 1, within which a task's end is known well enough."""
SPREAD = 0.2
"""Costs 1 % of the waiting, and no look; a batch's looks come over seconds, and meet no limit on requests."""
Kind = tuple[str, str]
"""The model's id and the operation's name."""


class Durations:
    """Schedules that learn. Durations are the service's own: from when it made a task to when that ended.

    scale: what multiplies all expectations. A task's duration is kept as it would be with a scale of 1.
    """

    def __init__(self, catalog: Catalog, journal: Journal, scale: float) -> None:
        self._catalog, self._journal, self._scale = catalog, journal, scale
        self._past: dict[Kind, deque[float]] = {}
        self._schedules: dict[Kind, PollSchedule] = {}
        self._news: dict[Kind, int] = {}  # tasks that ended since the schedule was made

    def schedule(self, entry: Entry) -> PollSchedule:
        """When to look at an entry's task."""
        if entry.request is None:
            spans = [model.seconds for model in self._catalog.models.values()]
            span = min(low for low, _ in spans), max(high for _, high in spans)
            return PollSchedule(span, self._scale, spread=SPREAD)
        kind = entry.request.model, entry.request.operation.name
        past = self._seen(kind)
        # Working one out takes as long as a request: half as many tasks again have to speak for it.
        if kind not in self._schedules or self._news[kind] > len(past) // 3:
            documented = self._catalog.model(kind[0]).seconds
            self._schedules[kind] = PollSchedule(documented, self._scale, list(past), spread=SPREAD)
            self._news[kind] = 0
        return self._schedules[kind]

    def measured(self, entry: Entry, task: Task, running: float, ended: float) -> float | None:
        """What a task that has ended took, in seconds at a scale of 1; None when nobody knows.

        running, ended: seconds from its acceptance to the last look at which it ran (0: to none), and to the first at
        which it had ended. The service's own figures are believed between these: they may be whole seconds.
        It is kept for the schedules to come.
        """
        if task.ended and task.created:
            told = (task.ended - task.created).total_seconds()
        elif ended - running < WATCHED * self._scale:
            told = (running + ended) / 2
        else:  # it may have been resumed days later
            return None
        seconds = min(max(told, running), ended) / self._scale
        if entry.request and seconds > 0:
            kind = entry.request.model, entry.request.operation.name
            self._seen(kind).append(seconds)
            self._news[kind] = self._news.get(kind, 0) + 1
        return seconds

    def _seen(self, kind: Kind) -> "deque[float]":
        if kind not in self._past:
            past = self._journal.durations(*kind, limit=REMEMBERED)
            self._past[kind] = deque(past, REMEMBERED)
        return self._past[kind]
