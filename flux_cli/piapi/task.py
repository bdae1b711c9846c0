"""A task as PiAPI reports it."""

import re
from datetime import datetime
from enum import Enum

from ..frozen import frozen

SUCCESS_WORDS = frozenset({"completed", "success", "succeeded"})
FAILURE_WORDS = frozenset({"failed", "failure", "error", "cancelled", "canceled"})

# Task IDs are untrusted, and are used in URLs and file names (docs/explanation/guarantees.md). They must not begin with
# a hyphen, which `flux wait` would take for an option.
_TASK_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}", re.ASCII)


def is_task_id(text: object) -> bool:
    """Return whether `text` is a string that may be used as a task ID in a URL or a path."""
    return isinstance(text, str) and _TASK_ID.fullmatch(text) is not None


class Phase(Enum):
    """The phase of a task, which decides whether to keep polling."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@frozen
class TaskStatus:
    """A status of PiAPI's, in lower case.

    The specification capitalizes the words, the live API does not always, and it adds new ones (`staged`). An unknown
    word counts as running (docs/internals/service.md, section 2).
    """

    word: str

    @classmethod
    def parse(cls, text: object) -> "TaskStatus":
        """Return the status from a response's `status` field; `unknown` for anything but a string."""
        word = text.strip().casefold() if isinstance(text, str) else ""
        return cls(word or "unknown")

    @property
    def phase(self) -> Phase:
        """The phase that the status means."""
        if self.word in SUCCESS_WORDS:
            return Phase.COMPLETED
        return Phase.FAILED if self.word in FAILURE_WORDS else Phase.RUNNING


@frozen
class TaskError:
    """PiAPI's reason why a task failed. `code` is 0 if there is none."""

    code: int
    message: str


@frozen
class Task:
    """The state of a task in a response.

    urls: the URLs of the images, in order and without duplicates; http(s), but not yet checked for safety.
    inline: images in the response itself, base64.
    error: None unless the task failed (successful responses of the live API have `error.code = 0`).
    created, started, ended: UTC; None if that has not happened yet.
    prompt, seed: those of the request, if the response repeats them.
    """

    id: str
    status: TaskStatus
    urls: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()
    error: TaskError | None = None
    model: str | None = None
    task_type: str | None = None
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    prompt: str | None = None
    seed: int | None = None
