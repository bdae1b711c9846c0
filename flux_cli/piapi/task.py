"""A task as the service tells of it."""

import re
from datetime import datetime
from enum import Enum

from ..frozen import frozen

SUCCESS_WORDS = frozenset({"completed", "success", "succeeded"})
FAILURE_WORDS = frozenset({"failed", "failure", "error", "cancelled", "canceled"})

# A task id stands in URLs and file names, and comes from outside (docs/promises.md).
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def is_task_id(text: object) -> bool:
    """Whether `text` is a string that may be used as a task id in a URL or a path."""
    return isinstance(text, str) and _TASK_ID.fullmatch(text) is not None


class Phase(Enum):
    """What a status word means to somebody who waits."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@frozen
class TaskStatus:
    """The service's status word, lowercase, and what it means.

    The documented words are capitalised, live replies also lowercase, and new ones appear
    (`staged`): a word nobody knows means keep waiting (docs/service.md, section 2).
    """

    word: str

    @classmethod
    def parse(cls, text: object) -> "TaskStatus":
        """The status that a reply's `status` field tells; anything but a string is `unknown`."""
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
    """Why the service says a task failed. `code` is 0 when it gave none."""

    code: int
    message: str


@frozen
class Task:
    """One look at a task.

    urls: the pictures, in order and without repetition; http(s) only, not yet judged safe to fetch.
    inline: pictures that came inside the reply, base64.
    error: set only when the task failed (live replies carry `error.code = 0` on success).
    created, started, ended: UTC, None while the service has not got there.
    prompt, seed: of the request, as far as the reply repeats them.
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
