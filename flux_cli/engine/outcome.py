"""What became of an entry in this run, and what that means for the exit code."""

from collections.abc import Iterable

from ..errors import ExitCode, FluxError
from ..frozen import frozen
from ..journal.entries import Entry


@frozen
class Outcome:
    """The end of one entry. `error` is None when everything asked for was done; `seconds` is the time it took."""

    entry: Entry
    error: FluxError | None
    seconds: float


def exit_code(errors: Iterable[FluxError | None]) -> ExitCode:
    """The exit code of a run, from the error of each of its entries (None for those that ended well).

    A possible charge wins over everything but signals; one kind of failure for all keeps its own code; a mixture
    is 3 (docs/promises.md).
    """
    codes = [error.exit_code if error else ExitCode.OK for error in errors]
    for winner in (ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.UNKNOWN_CHARGE, ExitCode.DISK, ExitCode.JOURNAL):
        if winner in codes:
            return winner
    kinds = set(codes)
    if not kinds:
        return ExitCode.OK
    return kinds.pop() if len(kinds) == 1 else ExitCode.PARTIAL


def worse(one: ExitCode, other: ExitCode) -> ExitCode:
    """The exit code for two halves of a command. A signal and a possible charge win."""
    for winner in (ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.UNKNOWN_CHARGE):
        if winner in (one, other):
            return winner
    if one == other or not other:
        return one
    return other if not one else ExitCode.PARTIAL
