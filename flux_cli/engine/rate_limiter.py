"""How many tasks this process keeps unfinished at PiAPI at a time, learned from its responses.

The slots know the limit of the plan; the account may allow less: a smaller plan, a second machine, a person in the
workspace. As in TCP's congestion control (AIMD), the number is a window. A refusal "for now" shrinks it by a factor,
and each acceptance raises it by a part of a task, so that processes without knowledge of each other come to share the
limit. All submissions of the process wait in one line: one of them at a time asks a busy service, not all.
"""

import asyncio
from collections.abc import Callable

from ..system.clock import Clock

DECREASE = 0.7
"""The share of the window that is left after a refusal, as in RFC 9438: 0.5 would leave a quarter of the limit idle."""
SHORTEST_WAIT = 0.5
"""Seconds between a refusal and the next submission, even if the server requests less."""


class ClosedError(Exception):
    """Nothing new may be sent any more."""


class BusyError(Exception):
    """PiAPI stayed busy past the patience of the rate limiter."""


class RateLimiter:
    """Gives out the permits of the window. For one event loop.

    limit: the largest window, and the first.
    patience: seconds for which a service that accepts nothing is tried again.
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
        self._line = asyncio.Lock()
        self._pausing: asyncio.Future[None] | None = None

    @property
    def window(self) -> int:
        """How many tasks may be unfinished now, from 1 to the limit."""
        return int(self._window)

    async def enter(self, free: Callable[[], None]) -> "Permit":
        """Wait in line, and return a permit. `free` is called when it is released for good. Raise ClosedError."""
        await self._enter(None)
        return Permit(self, free)

    def follow(self, free: Callable[[], None]) -> "Permit":
        """Return a permit, without waiting, for a task that is running already; new tasks wait until it has ended."""
        self._held += 1
        return Permit(self, free)

    def close(self) -> None:
        """Give out no more permits; those who wait in line get a ClosedError."""
        self._closed = True
        self._wake()

    async def _enter(self, begun: float | None) -> None:
        async with self._line:
            while not self._admits():
                self._check_patience(begun)
                await self._pause()
            self._held += 1  # nothing is awaited from here on, so a cancellation cannot lose the permit

    def _admits(self) -> bool:
        if self._closed:
            raise ClosedError
        return self._held < self.window and self._clock.now() >= self._quiet

    async def _pause(self) -> None:
        """Wait until the quiet time is over, or `_wake` is called."""
        left = self._quiet - self._clock.now()
        waiting = (
            asyncio.ensure_future(self._clock.sleep(left)) if left > 0 else asyncio.get_running_loop().create_future()
        )
        self._pausing = waiting
        try:
            await asyncio.wait({waiting})
        finally:
            waiting.cancel()

    def _wake(self) -> None:
        if self._pausing:
            self._pausing.cancel()

    def _check_patience(self, begun: float | None) -> None:
        """Raise BusyError if nothing was accepted for too long since `begun`, the time of a first submission."""
        if begun is not None and self._quiet > max(begun, self._accepted) + self._patience:
            raise BusyError

    def _leave(self) -> None:
        self._held -= 1
        self._wake()

    def _increase(self) -> None:
        self._window = min(self._window + 1 / self._window, float(self._limit))
        self._streak, self._accepted = 0, self._clock.now()
        self._wake()

    def _decrease(self, sent_in: int, retry_after: float | None) -> None:
        """Shrink the window, once per round: submissions of the same round were refused for the same reason."""
        wait = 0.0
        if sent_in == self._round:
            # By the tasks that are unfinished: a window that was not used up says nothing about the service.
            self._window = max(1.0, min(self._window, self._held) * DECREASE)
            self._round, self._streak = self._round + 1, self._streak + 1
            wait = self._clock.backoff(self._streak)
        wait = max(wait if retry_after is None else retry_after, SHORTEST_WAIT * self._clock.scale)
        self._quiet = max(self._quiet, self._clock.now() + wait)


class Permit:
    """The right of one task to be unfinished, held until `release`."""

    def __init__(self, limiter: RateLimiter, free: Callable[[], None]) -> None:
        self._limiter = limiter
        self._free: Callable[[], None] | None = free
        self._inside = True
        self._round = 0
        self._begun: float | None = None

    @property
    def window(self) -> int:
        """The window of the rate limiter."""
        return self._limiter.window

    def sending(self) -> None:
        """Note that a submission is about to be sent."""
        self._round = self._limiter._round
        if self._begun is None:
            self._begun = self._limiter._clock.now()

    def accepted(self) -> None:
        """Note that PiAPI has accepted the task."""
        self._limiter._increase()

    def refused(self, retry_after: float | None) -> float:
        """Give the permit back, because PiAPI accepts no more for now, and return the seconds until the next try.

        retry_after: the wait that the server requests, in seconds. Call `enter_again` next.
        Raise BusyError if the next try would be too late.
        """
        self._limiter._decrease(self._round, retry_after)
        self._leave()
        self._limiter._check_patience(self._begun)
        return self._limiter._quiet - self._limiter._clock.now()

    async def enter_again(self) -> None:
        """Wait in line for the permit. Raise ClosedError or BusyError."""
        await self._limiter._enter(self._begun)
        self._inside = True

    def release(self) -> None:
        """Give the permit back. A second call does nothing."""
        self._leave()
        if free := self._free:
            self._free = None
            free()

    def _leave(self) -> None:
        if self._inside:
            self._inside = False
            self._limiter._leave()
