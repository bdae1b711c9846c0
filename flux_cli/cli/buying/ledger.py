"""What becomes of the tasks of one command: told as they end, counted, and written into a report."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ...engine.counting import Summary, Tally
from ...engine.outcome import Outcome, worse
from ...errors import DiskError, ExitCode
from ...images.output_names import expand_path
from ...journal.entries import Entry
from ..context import Session
from ..output.render import tell_outcome
from .members import Member

if TYPE_CHECKING:
    from ..output.reports import Report


class Ledger:
    """Knows which task of the source each entry of the engine is, as long as the engine has it.

    source: the name of the file that the tasks come from. report: where what became of them is written, if anywhere.
    Raises UsageError or DiskError for a place that no report can be written to.
    """

    def __init__(self, session: Session, source: str | None, report: Path | None) -> None:
        self._session, self._source = session, source
        self._flight: dict[str, Member] = {}
        self.tally = Tally()
        self._report: Report | None = None
        if report is not None:
            from ..output.reports import open_report

            title = "flux" if source is None else f"flux: {source}"
            self._report = open_report(expand_path(str(report)), title, session.output.secrets)

    def __enter__(self) -> Self:
        self._kept: AbstractContextManager[object] = self._report or nullcontext()
        self._kept.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kept.__exit__(kind, error, traceback)

    def begin(self, member: Member, item: Entry | Outcome) -> None:
        """The engine takes this task; its local pictures are kept until it has ended."""
        entry = item.entry if isinstance(item, Outcome) else item
        self._flight[entry.id] = member
        self._session.inputs.keep(member.request.local_images)

    def tell(self, outcome: Outcome) -> None:
        """A task has ended."""
        member = self._flight.pop(outcome.entry.id, None)
        if member:
            self._session.inputs.drop(member.request.local_images)
            tell_outcome(self._session.output, outcome, {"index": member.index, "id": member.id})
        else:
            tell_outcome(self._session.output, outcome)
        self.tally.hear(outcome)
        self._write(member, outcome, "")

    def leave_out(self, member: Member, reason: str) -> None:
        """A task does not come to the engine."""
        self._write(member, None, reason)

    def close(self, code: ExitCode, summary: Summary | None = None) -> ExitCode:
        """Write the report. `code` is how the run ended; returns how the command does."""
        for member in self._flight.values():
            self._write(member, None, "not begun")
        if self._report:
            try:
                self._report.close(summary)
            except DiskError as error:  # what was paid for is on disk: the run's own end matters more
                self._session.output.failure(error)
                return worse(code, error.exit_code)
        return code

    def _write(self, member: Member | None, outcome: Outcome | None, reason: str) -> None:
        if self._report:
            from ..output.reports import ReportRow

            place = f"{self._source}, line {member.line}" if member and member.line else None
            index, name = (member.index, member.id) if member else (1, None)
            self._report.add(ReportRow(index, name, place, outcome, reason))
