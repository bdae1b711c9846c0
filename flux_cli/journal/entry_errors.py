"""The error that an entry's state stands for: when it has just ended, and whenever it is reported again."""

from ..errors import ExitCode, FluxError, JournalError, RefusedError, UnknownChargeError
from ..text import clean
from .entries import Entry, Problem, State

LABEL = 40
"""Characters of a prompt by which a person recognizes it."""


def past_error(entry: Entry) -> FluxError:
    """Return the error that an entry ended with."""
    if entry.state is State.UNKNOWN:
        return unknown_outcome(entry)
    if entry.state is State.SENDING:
        return JournalError(f"entry {entry.id} is being submitted by another flux", code="busy")
    if entry.problem is None:
        return RefusedError(f"entry {entry.id} was never sent")
    error = FluxError(entry.problem.message, code=entry.problem.code)
    error.exit_code = ExitCode(entry.problem.exit_code)
    return error


def busy(entry: Entry) -> JournalError:
    """Return the error for an entry that another process is bringing to its end."""
    hint = "It will save the image"
    return JournalError(f"another flux process is waiting for entry {entry.id}", hint=hint, code="busy")


def unknown_outcome(entry: Entry, why: str = "") -> UnknownChargeError:
    """Return the error for a submission without a usable response; `why` in a few words, when it has just happened."""
    reason = f" ({why})" if why else ""
    return UnknownChargeError(f'no usable response to the submission of "{clean(entry.label, LABEL)}"{reason}')


def problem_of(error: FluxError) -> Problem:
    """Return what the journal keeps of an error."""
    return Problem(error.code, error.message, int(error.exit_code))
