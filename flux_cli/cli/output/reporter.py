"""The results of a command as a user sees them: on stdout and stderr, and in the report."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...batch.results import Summary, TaskResult
from ...config.paths import shown
from ...engine.events import Listener
from ...engine.outcome import Outcome
from ...errors import DiskError, InterruptError
from ...journal.entries import Entry, State
from ...json_value import JsonObject
from ...text import counted
from .output import Mode, Output
from .render import show_failure, show_result, show_summary, summarize

if TYPE_CHECKING:
    from .reports import Report


class CommandReporter:
    """Shows the results of one command.

    report: the file that gets a row for each task; None for no report. source: the file that the tasks come from.
    ids: stdout gets the task IDs (`--no-wait`). images: stdout gets the bytes of the image (`-o -`).
    seeds: several tasks have the same prompt, so that their labels need the seed.

    report_failed: the report could not be written, and the error was printed.

    If stdout is closed, the messages on stderr are printed before the error is raised.
    """

    def __init__(
        self,
        output: Output,
        *,
        report: "Report | None" = None,
        source: str | None = None,
        ids: bool = False,
        images: bool = False,
        seeds: bool = False,
    ) -> None:
        self._output, self._report, self._source = output, report, source
        self._ids, self._images, self._seeds = ids, images, seeds
        self._summary: Summary | None = None
        self._many = False
        self._interrupted: list[Entry] = []
        self.report_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._show_interrupted()  # a run that raises, or has one result, prints no summary
        if self._report:
            try:
                if error and not self._summary:  # refused before the run began: an earlier report stays unchanged
                    self._report.__exit__(kind, error, traceback)
                else:
                    self._report.close(self._summary)
            except DiskError as failure:  # the images are on disk: the result of the run matters more
                self._output.print_error(failure)
                self.report_failed = True

    def show_note(self, text: str) -> None:
        self._output.note(text)

    def show_result(self, result: TaskResult) -> None:
        self._add_to_report(result)
        outcome = result.outcome
        if outcome and self._is_one_of_many_cut_off(outcome):
            self._interrupted.append(outcome.entry)
            summarize(self._output, outcome)
        elif outcome:
            self._show(result, outcome)
        elif result.files:
            self._show_skipped(result.files)

    def _is_one_of_many_cut_off(self, outcome: Outcome) -> bool:
        """Return whether one line at the end is enough: a signal cut the task off, among others, and it can be resumed.

        Only for a person: `-q` prints no such line, and with `--no-wait` the ID goes to stdout.
        """
        resumable = outcome.entry.state in (State.ACCEPTED, State.READY)
        for_a_person = self._output.mode is Mode.TEXT and self._many and not self._ids
        return for_a_person and resumable and isinstance(outcome.error, InterruptError)

    def _show_interrupted(self) -> None:
        entries, self._interrupted = self._interrupted, []
        if entries:
            self.show_left_running(entries)

    def _show(self, result: TaskResult, outcome: Outcome) -> None:
        output, entry = self._output, outcome.entry
        place: JsonObject = {"index": result.task.index, "id": result.task.draft.id} if result.task else {}
        as_text = output.mode is not Mode.JSON
        try:
            if as_text and self._ids and entry.task_id and entry.state in (State.ACCEPTED, State.READY, State.SAVED):
                output.print_line(entry.task_id)
            elif as_text and self._images and entry.state is State.SAVED:
                output.print_file(entry.files[0].path)
            else:
                show_result(output, outcome, place, before=result.before)
        except BrokenPipeError:
            show_failure(output, outcome)
            raise
        show_failure(output, outcome)

    def _show_skipped(self, files: tuple[Path, ...]) -> None:
        output = self._output
        for file in files:
            if output.mode is Mode.JSON:
                output.print_json("skipped", {"files": [str(file)], "reason": "exists", "cost_usd": None})
                continue
            output.note(f"skipped: {shown(file)} exists")
            if not self._ids:
                output.print_path(shown(file))
        output.show_images(files)

    def _add_to_report(self, result: TaskResult) -> None:
        if self._report is None:
            return
        from .reports import ReportRow

        task = result.task
        place = f"{self._source}, line {task.line}" if task and task.line else None
        index, name = (task.index, task.draft.id) if task else (1, None)
        reason = "" if result.outcome else "exists" if result.files else "not started"
        self._report.add(ReportRow(index, name, place, result.outcome, reason))

    def show_summary(self, summary: Summary) -> None:
        self._summary = summary
        self._show_interrupted()
        show_summary(self._output, summary)

    def show_left_running(self, entries: Sequence[Entry]) -> None:
        ids = [entry.task_id or entry.id for entry in entries]
        command = ["wait", *ids] if len(ids) == 1 else ["resume"]
        tasks = counted(len(ids), "task")
        self._output.note(f"{tasks} still running or not saved; download the images, at no cost, with", command)

    def show_progress(self, total: int) -> AbstractContextManager[Listener]:
        self._many = total > 1
        return self._output.show_progress(total, seeds=self._seeds)
