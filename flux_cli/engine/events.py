"""What the engine tells while it works. Events are for looking; the journal is for knowing.

Every event names its entry; texts from outside are already one clean line.
"""

from collections.abc import Callable
from decimal import Decimal

from ..frozen import frozen


@frozen
class Queued:
    """As many tasks run as the plan or the user allows: this one waits for a place."""

    entry: str
    label: str
    seed: int | None


@frozen
class Submitting:
    """A paid submission is about to leave. `label` is the prompt or the task id."""

    entry: str
    label: str
    seed: int | None
    model: str | None


@frozen
class Accepted:
    """The service took the task, or a task of earlier is being followed. `expected` is a range in seconds."""

    entry: str
    label: str
    seed: int | None
    task_id: str
    expected: tuple[float, float] | None
    cost: Decimal | None


@frozen
class Polled:
    """PiAPI's status word for the task, `elapsed` seconds after it was accepted."""

    entry: str
    status: str
    elapsed: float


@frozen
class Trouble:
    """Something passing: it is tried again in `wait` seconds."""

    entry: str
    message: str
    wait: float


@frozen
class Slowed:
    """The service takes no more for now: the run goes on with `at_once` tasks, in `wait` seconds or later."""

    entry: str
    message: str
    at_once: int
    wait: float


@frozen
class Fetching:
    """The task is done, and its images are being downloaded."""

    entry: str
    images: int


@frozen
class Noted:
    """Something the user should know that is no failure."""

    entry: str
    message: str


@frozen
class Waiting:
    """The entry waits for another process; `message` says for what."""

    entry: str
    message: str


@frozen
class Ended:
    """The engine is done with the entry; `state` is the journal's word."""

    entry: str
    state: str


Event = Queued | Submitting | Accepted | Polled | Trouble | Slowed | Fetching | Noted | Waiting | Ended
Listener = Callable[[Event], None]
