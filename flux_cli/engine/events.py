"""Events of the engine, for progress displays. The journal is the authoritative record.

Each event contains the ID of its entry. Texts from outside are clean and on one line.
"""

from collections.abc import Callable
from decimal import Decimal

from ..frozen import frozen


@frozen
class Queued:
    """The entry waits for a slot, because `limit` tasks are running."""

    entry: str
    label: str
    seed: int | None
    limit: int


@frozen
class Submitting:
    """A paid submission is about to be sent. `label`: the prompt, or the task ID."""

    entry: str
    label: str
    seed: int | None
    model: str | None


@frozen
class Accepted:
    """PiAPI accepted the task, or an earlier task is being polled. `expected`: a range in seconds."""

    entry: str
    label: str
    seed: int | None
    task_id: str
    expected: tuple[float, float] | None
    cost: Decimal | None
    earlier: bool = False


@frozen
class Polled:
    """A poll found this status, `elapsed` seconds after the task was accepted."""

    entry: str
    status: str
    elapsed: float


@frozen
class Trouble:
    """A temporary failure; the next try is in `wait` seconds."""

    entry: str
    message: str
    wait: float


@frozen
class Slowed:
    """PiAPI accepts no more for now: the run continues with `window` tasks at a time, in `wait` seconds or later."""

    entry: str
    message: str
    window: int
    wait: float


@frozen
class Uploading:
    """An input image of `size` bytes is being uploaded, for free."""

    entry: str
    size: int


@frozen
class Fetching:
    """The task is completed, and its images are being downloaded."""

    entry: str
    images: int


@frozen
class Noted:
    """A fact that the user should know, and that is not a failure."""

    entry: str
    message: str


@frozen
class Waiting:
    """The entry waits for another process; `message` contains the reason."""

    entry: str
    message: str


@frozen
class Ended:
    """The engine is done with the entry; `state`: its state in the journal."""

    entry: str
    state: str


Event = Queued | Uploading | Submitting | Accepted | Polled | Trouble | Slowed | Fetching | Noted | Waiting | Ended
Listener = Callable[[Event], None]
