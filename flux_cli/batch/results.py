"""The results of one command: counted, and handed to whatever shows them and writes the report."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from ..config.urls import is_local
from ..engine.events import Listener
from ..engine.outcome import Outcome
from ..errors import ExitCode, FluxError
from ..frozen import frozen
from ..journal.entries import CHARGED, POSSIBLY_CHARGED, Entry, State
from .plan import PlannedTask


@frozen
class TaskResult:
    """The result of one task of a command.

    task: of the plan; None for a task that comes from elsewhere. outcome: None for a task that was not run: it was
    skipped because `files` exist, or not started. before, earlier: its images were saved, or it was submitted, by an
    earlier run.
    """

    task: PlannedTask | None
    outcome: Outcome | None
    files: tuple[Path, ...] = ()
    before: bool = False
    earlier: bool = False

    @property
    def is_not_started(self) -> bool:
        """Whether the run ended before the task."""
        return not self.outcome and not self.files


@frozen
class Summary:
    """How a command went.

    counts: how many tasks ended how. spent, possibly: what this run was charged, and what it may have been charged
    beside, USD; simulated: by a service on this machine. duration: seconds.
    """

    counts: Mapping[str, int]
    spent: Decimal
    duration: float
    possibly: Decimal = Decimal(0)
    simulated: bool = False


class Reporter(Protocol):
    """Shows what happens to a user."""

    def show_note(self, text: str) -> None:
        """Show a line that is worth knowing."""

    def show_result(self, result: TaskResult) -> None:
        """Show the result of a task."""

    def show_summary(self, summary: Summary) -> None:
        """Show how a command of several tasks went."""

    def show_left_running(self, entries: Sequence[Entry]) -> None:
        """Name the tasks that keep running: no result of theirs was shown."""

    def show_progress(self, total: int) -> AbstractContextManager[Listener]:
        """Return a listener for the scheduler's events, which shows them while it is entered."""


class Results:
    """Counts the results of a command and hands each to the reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._states: Counter[State] = Counter()
        self._before = self._existing = self._not_started = 0
        self._spent = self._possibly = Decimal(0)
        self._simulated = False
        self._started, self._clock = time.time(), time.monotonic()
        self.errors: dict[ExitCode, FluxError | None] = {}
        """One of each kind decides the exit code: memory does not grow with the number of tasks."""

    def add(self, task: PlannedTask | None, outcome: Outcome, *, before: bool = False) -> None:
        """Count an outcome, then show it. before: this run did not begin it."""
        entry, error = outcome.entry, outcome.error
        self.errors.setdefault(error.exit_code if error else ExitCode.OK, error)
        self._count(entry, before=before)
        before = before and entry.state is State.SAVED
        self._before += before
        earlier = entry.submitted is not None and entry.submitted < self._started
        self._reporter.show_result(TaskResult(task, outcome, before=before, earlier=earlier))

    def _count(self, entry: Entry, *, before: bool = False) -> None:
        self._states[entry.state] += 1
        if before or not entry.submitted or entry.submitted < self._started:
            return
        if entry.state in CHARGED:
            self._spent += entry.price or 0
        elif entry.state in POSSIBLY_CHARGED:
            self._possibly += entry.price or 0
        self._simulated = is_local(entry.service)

    def add_skipped(self, task: PlannedTask, files: tuple[Path, ...]) -> None:
        """Count a task whose images exist, then show them."""
        self.errors.setdefault(ExitCode.OK, None)
        self._existing += 1
        self._reporter.show_result(TaskResult(task, None, files))

    def add_not_started(self, task: PlannedTask) -> None:
        """Count a task that the run stopped before."""
        self._not_started += 1
        self._reporter.show_result(TaskResult(task, None))

    def add_left_running(self, entries: Sequence[Entry]) -> None:
        """Count tasks that keep running without a result of their own, then name them."""
        for entry in entries:
            self._count(entry)
        self._reporter.show_left_running(entries)

    @property
    def saved(self) -> int:
        """The number of tasks whose images are on disk."""
        return self._states[State.SAVED]

    @property
    def count(self) -> int:
        """The number of tasks that have a result."""
        return self._states.total() + self._existing

    def summary(self) -> Summary:
        """Return how the command went, without counts of zero."""
        states = self._states
        counts = {
            "saved": states[State.SAVED] - self._before,
            "already saved": self._before + self._existing,
            "running": states[State.ACCEPTED],
            "not saved": states[State.READY],
            "failed": states[State.FAILED],
            "refused": states[State.REJECTED],
            "expired": states[State.EXPIRED],
            "dismissed": states[State.DISMISSED],
            "unknown": states[State.UNKNOWN] + states[State.SENDING],
            "not started": self._not_started + states[State.PLANNED],
        }
        shown = {name: number for name, number in counts.items() if number}
        return Summary(shown, self._spent, time.monotonic() - self._clock, self._possibly, self._simulated)
