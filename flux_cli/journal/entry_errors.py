"""How an entry ended, as the error that tells it: now, and whenever somebody asks again."""

from ..errors import ExitCode, FluxError, JournalError, RefusedError, UnknownChargeError
from ..text import clean, usd
from .entries import Entry, Problem, State

LABEL = 40
"""Characters of a prompt by which a person knows it again."""


def past_error(entry: Entry) -> FluxError:
    """The error that an entry ended with, told again."""
    if entry.state is State.UNKNOWN:
        return lost_answer(entry)
    if entry.state is State.SENDING:
        return JournalError(f"entry {entry.id} is being submitted by another flux", code="busy")
    if entry.problem is None:
        return RefusedError(f"entry {entry.id} was never sent")
    error = FluxError(entry.problem.message, code=entry.problem.code)
    error.exit_code = ExitCode(entry.problem.exit_code)
    return error


def busy(entry: Entry) -> JournalError:
    """The error for an entry that another process is bringing to its end."""
    return JournalError(f"another flux is waiting for entry {entry.id}", hint="it will save the picture", code="busy")


def lost_answer(entry: Entry, why: str = "") -> UnknownChargeError:
    """The error for a submission whose answer was lost; `why` in a few words, when it has just happened."""
    message = f'no usable response to the submission of "{clean(entry.label, LABEL)}"'
    charged = "it may have been charged" if entry.price is None else f"at most {usd(entry.price)} was charged"
    hint = f"see what to do: flux settle {entry.id}"
    if entry.seen_id:
        hint = f"a part came, with task {entry.seen_id}; to fetch it, if it is the one: flux resume"
    return UnknownChargeError(
        f"{message}: {why}" if why else message, hint=hint, money=f"{charged}, and it is not sent again by itself"
    )


def problem_of(error: FluxError) -> Problem:
    """What the journal keeps of an error."""
    return Problem(error.code, error.message, int(error.exit_code))
