"""The error that the state of an entry stands for: when it has just ended, and whenever it is reported again.

Each error names its entry; what to type next follows from that.
"""

from typing import TypeVar

from ..errors import ExitCode, FluxError, InterruptError, JournalError, RefusedError, UnknownChargeError
from ..text import clean
from .entries import Entry, Problem, State

LABEL = 40
"""Characters of a prompt by which a person recognizes it."""
E = TypeVar("E", bound=FluxError)


def error_of(entry: Entry) -> FluxError:
    """Return the error that an entry ended with."""
    if entry.state is State.UNKNOWN:
        return unknown_outcome(entry)
    if entry.state is State.SENDING:
        return _about(entry, JournalError(f"entry {entry.id} is being submitted by another flux process", code="busy"))
    if entry.problem is None:
        return _about(entry, RefusedError(f"entry {entry.id} was never sent"))
    return _about(entry, _error(entry.problem))


def busy_error(entry: Entry) -> JournalError:
    """Return the error for an entry that another process is bringing to its end."""
    message = f"another flux process is waiting for entry {entry.id}"
    return _about(entry, JournalError(message, hint="It will save the image", code="busy"))


def changed_error(entry: Entry) -> JournalError:
    """Return the error for a planned entry whose price was not part of what the user agreed to."""
    message = f"entry {entry.id} was changed meanwhile, and was not sent"
    return _about(entry, JournalError(message, hint="Run the command again", code="busy"))


def unknown_outcome(entry: Entry, why: str = "") -> UnknownChargeError:
    """Return the error for a submission without a usable response. why: in a few words, when it has just happened."""
    reason = f" ({why})" if why else ""
    message = f'no usable response to the submission of "{clean(entry.label, LABEL)}"{reason}'
    return _about(entry, UnknownChargeError(message))


def problem_of(error: FluxError) -> Problem:
    """Return what the journal keeps of an error."""
    return Problem(error.code, error.message, int(error.exit_code))


def _error(problem: Problem) -> FluxError:
    """Return a stored error as an instance of its class, which its code and its exit code name."""
    classes = list(FluxError.__subclasses__())
    for kind in classes:
        classes += kind.__subclasses__()
    fitting = [kind for kind in classes if kind.exit_code == problem.exit_code and kind is not InterruptError]
    kind = next((kind for kind in fitting if kind.code == problem.code), fitting[0] if fitting else FluxError)
    error = kind(problem.message, code=problem.code)
    error.exit_code = ExitCode(problem.exit_code)
    return error


def _about(entry: Entry, error: E) -> E:
    error.entry, error.task_id = entry.id, entry.task_id
    return error
