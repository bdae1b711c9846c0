"""The next steps after a command with several tasks: one line for all tasks of a kind."""

from collections.abc import Iterator, Sequence

from ...batch.results import TaskResult
from ...errors import CreditsError, FluxError, KeyRefusedError
from ...journal.entries import Entry, State
from .render import next_command

Step = tuple[str, tuple[str, ...]]
"""A line, and the words of the command at its end, if there is one."""

RETRIED = {State.FAILED: "failed", State.REJECTED: "refused", State.DISMISSED: "dismissed"}
"""The states from which --retry-failed submits a task of a batch again, and what summaries call them."""


class NextSteps:
    """Collects the results of a command, and yields what is to be done about them. no_cache: of the command."""

    def __init__(self, *, no_cache: bool = False) -> None:
        self._no_cache = no_cache
        self._reset()

    def _reset(self) -> None:
        self._unfinished: list[Entry] = []
        self._unknown = self._not_started = self._reused = self._others = 0
        self._ended = dict[str, None]()
        self._overwrite = self._refused_account = False

    def add(self, result: TaskResult) -> None:
        """Count a result. Its error is counted by `add_error` or `add_interrupted`."""
        if _is_reused(result):
            self._reused += 1
            self._overwrite = self._overwrite or (result.task is not None and result.task.draft.output is not None)
        elif result.is_not_started:
            self._not_started += 1
        else:
            self._others += 1

    def add_interrupted(self, entry: Entry) -> None:
        """Add a task that a signal cut off."""
        if entry.state is State.PLANNED:
            self._not_started += 1
        else:
            self._unfinished.append(entry)

    def add_error(self, result: TaskResult, error: FluxError, entry: Entry) -> bool:
        """Return whether one line of `take` has the next step for all tasks with such an error; count this one."""
        command = () if error.command else next_command(error, entry)[:1]
        if command == ("resolve",):
            self._unknown += 1
        elif command in (("wait",), ("resume",)):
            self._unfinished.append(entry)
        elif error.code in (CreditsError.code, KeyRefusedError.code):
            self._refused_account = True
            return False
        elif result.task and entry.state in RETRIED:
            self._ended[RETRIED[entry.state]] = None
            return entry.state is not State.REJECTED or result.earlier  # a new refusal has a hint of its own
        else:
            return False
        return True

    def take(self, *, many: bool) -> Iterator[Step]:
        """Yield the next steps, and forget the results. many: the command has several tasks."""
        if self._unknown:
            yield "To resolve the unknown outcomes", ("resolve",)
        if self._unfinished and not self._not_started:  # if run again, the command downloads these images too
            yield download_step(self._unfinished)
        if self._ended:
            yield f"To submit the {' and '.join(self._ended)} tasks again, and pay for them, add --retry-failed", ()
        if self._not_started and many:
            again = "without --no-cache" if self._no_cache else "again"
            paid = "the refused tasks, and for those" if self._refused_account else "tasks"
            yield f"To continue, run the same command {again}. It pays only for {paid} that were not started", ()
        if self._reused and not self._others:
            yield f"To generate again, and pay again, add --no-cache{' --overwrite' if self._overwrite else ''}", ()
        self._reset()


def download_step(entries: Sequence[Entry]) -> Step:
    """Return the step for tasks that are paid for and not on disk."""
    ids = [entry.task_id or entry.id for entry in entries]
    command = ("wait", *ids) if len(ids) == 1 else ("resume",)
    if all(entry.state is State.READY for entry in entries):
        return "To download the images (no new charge)", command
    return "To wait for the running tasks and save their images (no new charge)", command


def _is_reused(result: TaskResult) -> bool:
    """Return whether the images of a planned task come from an earlier task."""
    entry = result.outcome.entry if result.task and result.outcome else None
    return entry is not None and entry.state is State.SAVED and (result.before or entry.price == 0)
