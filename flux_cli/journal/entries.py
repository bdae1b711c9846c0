"""An entry of the journal: one paid task, from the plan to the saved image.

planned -> sending -> accepted -> ready -> saved
side exits: rejected, unknown, dismissed, failed, expired

The state of an entry stands for an error: when it has just ended, and whenever it is reported again. Each error names
its entry; what to type next follows from that.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from ..errors import (
    ExitCode,
    FluxError,
    InterruptError,
    JournalError,
    RefusedError,
    StillRunningError,
    UnknownChargeError,
)
from ..frozen import frozen
from ..images.output_names import OutputPlan
from ..operations.request import TaskRequest
from ..text import clean, counted

E = TypeVar("E", bound=FluxError)


class State(StrEnum):
    """The phase that an entry has reached (docs/explanation/guarantees.md)."""

    PLANNED = "planned"
    SENDING = "sending"
    ACCEPTED = "accepted"
    READY = "ready"
    SAVED = "saved"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    DISMISSED = "dismissed"
    FAILED = "failed"
    EXPIRED = "expired"


NEXT: dict[State, frozenset[State]] = {
    # Directly to accepted when it joins an identical request.
    State.PLANNED: frozenset({State.SENDING, State.ACCEPTED}),
    # Back to planned only on proof that PiAPI did nothing.
    State.SENDING: frozenset({State.PLANNED, State.ACCEPTED, State.REJECTED, State.UNKNOWN}),
    State.ACCEPTED: frozenset({State.READY, State.FAILED, State.EXPIRED}),
    State.READY: frozenset({State.READY, State.SAVED, State.EXPIRED}),
    State.UNKNOWN: frozenset({State.ACCEPTED, State.DISMISSED}),
    # The task of a dismissed entry may be found later.
    State.DISMISSED: frozenset({State.ACCEPTED}),
    # On request of the user: the "not found" may have come from a gateway and not from PiAPI.
    State.EXPIRED: frozenset({State.ACCEPTED}),
}
CHARGED = frozenset({State.ACCEPTED, State.READY, State.SAVED, State.EXPIRED})
"""PiAPI accepted the task and charges its price."""
POSSIBLY_CHARGED = frozenset({State.SENDING, State.UNKNOWN, State.DISMISSED, State.FAILED})
"""A submission left, and only the PiAPI workspace shows whether it was charged: a user who dismisses it cannot know."""
SPENT = CHARGED | POSSIBLY_CHARGED
"""States whose price counts against a budget."""
UNFINISHED = (State.ACCEPTED, State.READY)
"""Paid for, with a task ID: finished at no cost."""
REPORTED = "reported by a webhook; PiAPI has not been asked about it"
"""The evidence of an accepted entry that a webhook made."""
RESULT_SECONDS = 7 * 86400
"""PiAPI keeps results for seven days (specification: Output Images)."""
REUSE_SECONDS = RESULT_SECONDS - 6 * 3600
"""For which a result can be an input: the new task may be queued for some hours before PiAPI reads it."""
LABEL = 40
"""Characters of a prompt by which a person recognizes it."""
ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Characters that are not mistaken for another."""


@frozen
class Account:
    """Who pays: the base URL of the service, and the profile whose key is used there."""

    service: str
    profile: str


@frozen
class SavedFile:
    """An image on disk. `sha256` is of the whole file, hex."""

    path: Path
    sha256: str

    def is_whole(self) -> bool:
        """Return whether the file still exists with the same bytes."""
        import hashlib

        try:
            return self.path.is_file() and hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False

    def is_usable(self) -> bool:
        """Return whether the file is still an image: as it was saved, or changed in place (by an optimizer, say)."""
        from ..images.formats import is_complete_image

        return self.is_whole() or is_complete_image(self.path)


@frozen
class Problem:
    """Why an entry ended without an image: a stable word, a sentence, and the exit code."""

    code: str
    message: str
    exit_code: int


@frozen
class Entry:
    """One paid task.

    owner: the process that may change it. identity: recognizes a planned task when its command is run again.
    any_seed: an image of the same request with another seed will do.
    task_id, joined: the task, and the entry that submitted it if that is another one.
    seen_id: a task ID in a response that could not be parsed; perhaps the ID of this task.
    replaces: the entry of unknown outcome whose request this one sends again.
    seconds: how long the task took (see `engine.poll_schedule.Durations`). Other times are seconds since the epoch.
    price: USD. request: None for a task that was submitted elsewhere.
    """

    id: str
    state: State
    service: str
    profile: str
    output: OutputPlan
    created: float
    owner: str | None = None
    request: TaskRequest | None = None
    price: Decimal | None = None
    task_id: str | None = None
    status: str | None = None
    urls: tuple[str, ...] = ()
    files: tuple[SavedFile, ...] = ()
    problem: Problem | None = None
    evidence: str | None = None
    identity: str | None = None
    any_seed: bool = False
    joined: str | None = None
    seen_id: str | None = None
    replaces: str | None = None
    submitted: float | None = None
    accepted: float | None = None
    ended: float | None = None
    seconds: float | None = None

    @property
    def account(self) -> Account:
        """The account that pays for the entry."""
        return Account(self.service, self.profile)

    @property
    def label(self) -> str:
        """The name of the entry for people: the prompt, or the task ID."""
        return self.request.operation.label if self.request else self.task_id or self.id

    @property
    def seed(self) -> int | None:
        """The seed that was sent; None for a task that was submitted elsewhere."""
        return self.request.seed if self.request else None

    @property
    def has_files(self) -> bool:
        """Whether its saved images exist on disk."""
        return all(file.path.exists() for file in self.files)

    @property
    def expires(self) -> float | None:
        """When PiAPI deletes its images, in seconds since the epoch; while the task is running, at the earliest."""
        ended = self.ended or self.accepted
        return None if ended is None else ended + RESULT_SECONDS


def dismissal(entry: Entry, how: str) -> Problem:
    """Return the reason why an entry of unknown outcome ends. how: `dismissed`, or as what it was submitted again."""
    return Problem("dismissed", f"entry {entry.id} was {how}", int(ExitCode.PARTIAL))


def new_id() -> str:
    """Return a new entry ID: eight characters that are easy to read and to type (40 bits)."""
    import secrets

    return "".join(secrets.choice(ID_ALPHABET) for _ in range(8))


# --- errors ---------------------------------------------------------------------------------------------------------


def error_of(entry: Entry) -> FluxError:
    """Return the error that an entry ended with."""
    if entry.state is State.UNKNOWN:
        return unknown_outcome(entry)
    if entry.state is State.SENDING:
        return _about(entry, JournalError(f"entry {entry.id} is being submitted by another flux process", code="busy"))
    if entry.problem:
        return _about(entry, _error(entry.problem))
    if entry.state is State.PLANNED:
        return _about(entry, RefusedError(f"entry {entry.id} was never sent"))
    return _about(entry, StillRunningError(f"task {entry.task_id} of entry {entry.id} is {entry.state}"))


def busy_error(entry: Entry) -> JournalError:
    """Return the error for an entry that another process is bringing to its end."""
    message = f"another flux process is waiting for entry {entry.id}"
    hint = "It saves the image. When it has ended, run the same command again"
    return _about(entry, JournalError(message, hint=hint, code="busy"))


def changed_error(entry: Entry) -> JournalError:
    """Return the error for a planned entry whose price was not part of what the user agreed to."""
    message = f"entry {entry.id} was changed meanwhile, and was not sent"
    return _about(entry, JournalError(message, hint="Run the command again", code="busy"))


def lost_error(names: Sequence[str]) -> JournalError:
    """Return the error for entries that were sent, and that the journal lacks."""
    entries = counted(len(names), "entry", "entries")
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return JournalError(
        f"the journal has lost {entries} ({some}) that flux had sent before it was killed: "
        "its log was deleted, or an older copy was put back. Their tasks may have been charged",
        hint="Put the files back. Or look for the tasks at https://piapi.ai/workspace, and forget them with",
        command=("doctor", "--fix"),
    )


def unknown_outcome(entry: Entry, why: str = "") -> UnknownChargeError:
    """Return the error for a submission without a usable response. why: in a few words, when it has just happened."""
    request = f'"{clean(entry.label, LABEL)}"' + ("" if entry.seed is None else f" (seed {entry.seed})")
    now, before = (
        f"no usable response to the request for {request}: {why}",
        f"no usable response to an earlier request: {request}",
    )
    return _about(entry, UnknownChargeError(now if why else before))


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
