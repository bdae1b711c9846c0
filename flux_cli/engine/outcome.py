"""The outcome of an entry in this run, and the exit code of the run."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import ExitCode, FluxError, PartialError
from ..frozen import frozen
from ..journal.entries import Entry, State, busy_error
from ..text import counted

if TYPE_CHECKING:
    from ..journal.journal import Journal

SIGNAL_EXIT_CODES = (ExitCode.SIGINT, ExitCode.SIGTERM)


@frozen
class Outcome:
    """The result of an entry. error: None if all its images were saved as requested. seconds: the time it took."""

    entry: Entry
    error: FluxError | None
    seconds: float = 0.0


def claim(journal: "Journal", entry: Entry) -> Entry | Outcome:
    """Return the entry, owned by this process; or, if another process is bringing it to its end, the error for that."""
    return journal.claim(entry) or Outcome(entry, busy_error(entry))


def find_shortfall(entry: Entry) -> PartialError | None:
    """Return the error for a saved entry with fewer images than requested; None for any other."""
    ordered = entry.request.operation.batch_size if entry.request else 1
    if entry.state is not State.SAVED or len(entry.files) >= ordered:
        return None
    message = f"task {entry.task_id} returned {len(entry.files)} of {counted(ordered, 'requested image')}"
    return PartialError(message, hint="See what PiAPI lists", command=("status", entry.task_id or "", "--json"))


def exit_code(errors: Iterable[FluxError | None], *, stopped_by: FluxError | None = None) -> ExitCode:
    """Return the exit code of a command from the error of each of its parts (None for success).

    Precedence: a signal, a possible charge, the error that stopped the command early. Otherwise, it is the code that
    all parts have in common, or 3 if they differ (docs/reference/exit-codes.md).
    """
    codes = {error.exit_code if error else ExitCode.OK for error in errors}
    for winner in (*SIGNAL_EXIT_CODES, ExitCode.UNKNOWN_CHARGE):
        if winner in codes or (stopped_by and stopped_by.exit_code is winner):
            return winner
    if stopped_by:
        return stopped_by.exit_code
    if len(codes) > 1:
        return ExitCode.PARTIAL
    return codes.pop() if codes else ExitCode.OK
