"""A task as PiAPI reports it."""

import re
from datetime import datetime
from enum import Enum

from ..frozen import frozen

SUCCESS_WORDS = frozenset({"completed", "success", "succeeded"})
FAILURE_WORDS = frozenset({"failed", "failure", "error", "cancelled", "canceled"})

# A task ID comes from outside and is used in URLs and file names (docs/explanation/guarantees.md).
_TASK_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}", re.ASCII)  # `flux wait -rf` would be an option


def is_task_id(text: object) -> bool:
    """Return whether `text` is a string that may be used as a task ID in a URL or a path."""
    return isinstance(text, str) and _TASK_ID.fullmatch(text) is not None


class Phase(Enum):
    """What a status word means for waiting."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@frozen
class TaskStatus:
    """PiAPI's status word, lowercase, and what it means.

    The documented words are capitalized, live responses also lowercase, and new ones appear (`staged`): an unknown word
    means keep waiting (docs/internals/service.md, section 2).
    """

    word: str

    @classmethod
    def parse(cls, text: object) -> "TaskStatus":
        """Return the status in a response's `status` field; anything but a string is `unknown`."""
        word = text.strip().casefold() if isinstance(text, str) else ""
        return cls(word or "unknown")

    @property
    def phase(self) -> Phase:
        """Running, completed or failed."""
        if self.word in SUCCESS_WORDS:
            return Phase.COMPLETED
        return Phase.FAILED if self.word in FAILURE_WORDS else Phase.RUNNING


@frozen
class TaskError:
    """Why a task failed, in PiAPI's words. `code` is 0 if it gave none."""

    code: int
    message: str


@frozen
class Task:
    """A task at the time of a response.

    urls: the images, in order and without repetition; http(s) only, not yet checked for safety.
    inline: images within the response, base64.
    error: set only if the task failed (live responses have `error.code = 0` on success).
    created, started, ended: UTC, None if it has not happened yet.
    prompt, seed: of the request, if the response repeats them.
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
