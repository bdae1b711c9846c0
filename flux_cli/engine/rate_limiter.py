"""A limit for the unfinished tasks of this process, adapted to PiAPI's responses.

The slots enforce the limit of the plan, but the account may allow less: the plan may be smaller, and other machines or
the PiAPI workspace may run tasks too. As in TCP's congestion control (AIMD), the limit is a window. A temporary refusal
shrinks it by a factor, and each acceptance widens it by a part of a task, so that independent processes come to share
the limit of the account. All submissions of the process wait in one queue, so that only one at a time tries a busy
service.
"""

import asyncio
from collections.abc import Callable

from ..frozen import frozen
from ..system.clock import Clock

DECREASE = 0.7
"""The factor for the window after a refusal, as in RFC 9438. 0.5 would leave a quarter of the limit unused."""
SHORTEST_WAIT = 0.5
"""Seconds between a refusal and the next submission, even if the server requests less."""


class ClosedError(Exception):
    """The rate limiter is closed: nothing more may be sent."""


class BusyError(Exception):
    """PiAPI stayed busy for longer than the patience of the rate limiter."""


class RateLimiter:
    """A window of permits, for one event loop.

    limit: the initial and the largest window.
    patience: seconds without an acceptance after which a refused submission gives up.
    """

    def __init__(self, limit: int, patience: float, clock: Clock) -> None:
        self._limit, self._patience, self._clock = limit, patience, clock
        self._window = float(limit)
        self._held = 0
        self._round = 0  # counts decreases
        self._streak = 0  # decreases since the last acceptance
        self._quiet = clock.now()  # nothing is sent before this time
        self._accepted = clock.now()  # time of the last acceptance
        self._closed = False
        self._queue = asyncio.Lock()
        self._pausing: asyncio.Future[None] | None = None

    @property
    def window(self) -> int:
        """The current limit of unfinished tasks, from 1 to `limit`."""
        return int(self._window)

    async def enter(self, free: Callable[[], None]) -> "Permit":
        """Wait in the queue, and return a permit. free: called when it is finally released. Raise ClosedError."""
        await self.wait_in_line(None)
        return Permit(self, free)

    def follow(self, free: Callable[[], None]) -> "Permit":
        """Return a permit for a task that is already running, without waiting. It counts against the window."""
        self._held += 1
        return Permit(self, free)

    def close(self) -> None:
        """Give out no more permits. Waiting submissions get ClosedError."""
        self._closed = True
        self._wake()

    def start(self, first: "Attempt | None") -> "Attempt":
        """Return the attempt that is about to be sent. first: the first attempt of the same submission."""
        return Attempt(self._round, self._clock.now() if first is None else first.begun)

    def accept(self) -> None:
        """Widen the window: PiAPI has accepted a task."""
        self._window = min(self._window + 1 / self._window, float(self._limit))
        self._streak, self._accepted = 0, self._clock.now()
        self._wake()

    def refuse(self, attempt: "Attempt", retry_after: float | None) -> float:
        """Shrink the window, and return the seconds until the next attempt. Raise BusyError if that is too late.

        The window shrinks once per round, because attempts of the same round were refused for the same reason.
        retry_after: the wait that the server requests, in seconds.
        """
        wait = 0.0
        if attempt.round == self._round:
            # From the tasks that are unfinished, because an unused part of the window proves nothing about PiAPI.
            self._window = max(1.0, min(self._window, self._held) * DECREASE)
            self._round, self._streak = self._round + 1, self._streak + 1
            wait = self._clock.backoff(self._streak)
        wait = max(wait if retry_after is None else retry_after, SHORTEST_WAIT * self._clock.scale)
        self._quiet = max(self._quiet, self._clock.now() + wait)
        self.leave()
        self._check_patience(attempt)
        return self._quiet - self._clock.now()

    async def wait_in_line(self, refused: "Attempt | None") -> None:
        """Wait until one more task may be unfinished, and count it. Raise ClosedError, or BusyError after a refusal."""
        async with self._queue:
            while not self._admits(now := self._clock.now()):
                self._check_patience(refused)
                await self._pause(now)
            self._held += 1  # nothing is awaited from here on, so a cancellation cannot lose the permit

    def leave(self) -> None:
        """Count one task less."""
        self._held -= 1
        self._wake()

    def _admits(self, now: float) -> bool:
        if self._closed:
            raise ClosedError
        return self._held < self.window and now >= self._quiet

    async def _pause(self, now: float) -> None:
        """Wait until the quiet time is over, or `_wake` is called.

        now: the time that was not admitted. At a later one the quiet time may be over, and nothing would call `_wake`.
        """
        left = self._quiet - now
        wait = self._clock.sleep(left) if left > 0 else asyncio.get_running_loop().create_future()
        self._pausing = asyncio.ensure_future(wait)
        try:
            await asyncio.wait({self._pausing})
        finally:
            self._pausing.cancel()

    def _wake(self) -> None:
        if self._pausing:
            self._pausing.cancel()

    def _check_patience(self, refused: "Attempt | None") -> None:
        """Raise BusyError if nothing was accepted for too long since a refused submission began."""
        if refused and self._quiet > max(refused.begun, self._accepted) + self._patience:
            raise BusyError


@frozen
class Attempt:
    """An attempt of a submission. round: the round of the window. begun: when the first attempt began, on the clock."""

    round: int
    begun: float


class Permit:
    """The right of one task to be unfinished, held until `release`."""

    def __init__(self, limiter: RateLimiter, free: Callable[[], None]) -> None:
        self._limiter = limiter
        self._free: Callable[[], None] | None = free
        self._inside = True
        self._attempt: Attempt | None = None

    @property
    def window(self) -> int:
        """The window of the rate limiter."""
        return self._limiter.window

    def note_sending(self) -> None:
        """Record that an attempt is about to be sent."""
        self._attempt = self._limiter.start(self._attempt)

    def note_accepted(self) -> None:
        """Record that PiAPI has accepted the task."""
        self._limiter.accept()

    def note_refused(self, retry_after: float | None) -> float:
        """Return the permit after a temporary refusal, and return the seconds until the next attempt.

        Call `enter_again` next. Raise BusyError if the next attempt would be too late.
        """
        assert self._attempt is not None
        self._inside = False
        return self._limiter.refuse(self._attempt, retry_after)

    async def enter_again(self) -> None:
        """Wait in the queue for the permit. Raise ClosedError or BusyError."""
        await self._limiter.wait_in_line(self._attempt)
        self._inside = True

    def release(self) -> None:
        """Return the permit. A second call does nothing."""
        if self._inside:
            self._inside = False
            self._limiter.leave()
        if free := self._free:
            self._free = None
            free()
