"""The results of a command as a user sees them: on stdout and stderr, and in the report."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...batch.results import Summary, TaskResult
from ...config.paths import display_path
from ...engine.events import Listener
from ...engine.outcome import Outcome
from ...errors import DiskError, InterruptError
from ...journal.entries import LABEL, Entry, State
from ...json_value import JsonObject
from ...text import clean, counted
from .next_steps import NextSteps, download_step
from .output import Mode, Output
from .render import show_failure, show_result, show_summary, summarize

if TYPE_CHECKING:
    from .reports import Report


class CommandReporter:
    """Shows the results of one command.

    report: the file that gets a row for each task; None for no report. source: the file that the tasks come from.
    ids: stdout gets the task IDs (`--no-wait`). images: stdout gets the bytes of the image (`-o -`).
    seeds: several tasks have the same prompt, so that their labels need the seed. many: there are several tasks.
    no_cache: earlier images are not reused.

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
        many: bool = False,
        no_cache: bool = False,
    ) -> None:
        self._output, self._report, self._source = output, report, source
        self._ids, self._images, self._seeds = ids, images, seeds
        self._summary: Summary | None = None
        self._many = many
        self._next_steps = NextSteps(no_cache=no_cache)
        self._submitted = 0
        self._was_interrupted = False
        self.report_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._show_next_steps()  # a run that raises, or has one result, prints no summary
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
        self._next_steps.add(result)
        if outcome and self._is_one_of_many_cut_off(outcome):
            self._was_interrupted = True
            self._next_steps.add_interrupted(outcome.entry)
            summarize(self._output, outcome)
        elif outcome:
            self._show(result, outcome)
        elif result.files:
            self._show_skipped(result.files)

    def _is_one_of_many_cut_off(self, outcome: Outcome) -> bool:
        """Return whether one line at the end is enough: a signal cut the task off, among others, and it can continue.

        Only for a person: `-q` prints no such line, and with `--no-wait` the ID goes to stdout.
        """
        resumable = outcome.entry.state in (State.PLANNED, State.ACCEPTED, State.READY)
        return self._is_brief and not self._ids and resumable and isinstance(outcome.error, InterruptError)

    @property
    def _is_brief(self) -> bool:
        """Whether the next steps of all tasks come after the summary: for a person, and among several."""
        return self._many and self._output.mode is Mode.TEXT

    def _show_next_steps(self) -> None:
        if self._submitted and self._output.to_terminal:  # in a pipe, `flux wait -` follows
            words = ["wait", "@last"] if self._submitted == 1 else ["resume"]
            self._output.note(f"Submitted {counted(self._submitted, 'task')}. To save the images when ready", words)
            self._submitted = 0
        for text, command in self._next_steps.take(many=self._many):
            self._output.note(text, command)

    def _show(self, result: TaskResult, outcome: Outcome) -> None:
        output, entry = self._output, outcome.entry
        place: JsonObject = {"index": result.task.index, "id": result.task.draft.id} if result.task else {}
        as_text = output.mode is not Mode.JSON
        try:
            if as_text and self._ids and entry.task_id and entry.state in (State.ACCEPTED, State.READY, State.SAVED):
                output.print_line(entry.task_id)
                self._submitted += entry.state is State.ACCEPTED
            elif as_text and self._images and entry.state is State.SAVED:
                output.print_file(entry.files[0].path)
            else:
                show_result(output, outcome, place, before=result.before, earlier=result.earlier)
        finally:
            self._show_failure(result, outcome)

    def _show_failure(self, result: TaskResult, outcome: Outcome) -> None:
        if self._is_brief and outcome.error:
            entry = outcome.entry
            subject = f'"{clean(entry.label, LABEL)}"' + (f", seed {entry.seed}" if self._seeds else "")
            brief = self._next_steps.add_error(result, outcome.error, entry)
            show_failure(self._output, outcome, subject=subject, brief=brief)
        else:
            show_failure(self._output, outcome)

    def _show_skipped(self, files: tuple[Path, ...]) -> None:
        output = self._output
        for file in files:
            if output.mode is Mode.JSON:
                output.print_json("skipped", {"files": [str(file)], "reason": "exists", "cost_usd": None})
                continue
            output.note(f"skipped: {display_path(file)} exists")
            if not self._ids:
                output.print_path(display_path(file))
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
        show_summary(self._output, summary, "Interrupted: " if self._was_interrupted else "")
        self._show_next_steps()

    def show_left_running(self, entries: Sequence[Entry]) -> None:
        self._output.note(*download_step(entries))

    def show_progress(self, total: int) -> AbstractContextManager[Listener]:
        self._many = self._many or total > 1
        return self._output.show_progress(total, seeds=self._seeds)
