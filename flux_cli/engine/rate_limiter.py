"""How many tasks this process keeps unfinished at the service at once, found out by asking.

The slots know what the plan allows; the account may have room for less: a smaller plan, a second machine, a person in
the workspace. As in TCP's congestion control, the number is a window. A refusal "for now" shrinks it by a factor, each
acceptance raises it by a part of a task: processes that know nothing of each other come to share what there is. All
submissions of the process wait in one line, so that a busy service is asked by one of them at a time, not by all.
"""

import asyncio
from collections.abc import Callable

from ..system.signals import Sleep
from .backoff import backoff

DECREASE = 0.7
"""What a refusal leaves of the window, as in RFC 9438: half of it would idle a quarter of the account's room."""
SHORTEST_WAIT = 0.5
"""Seconds between a refusal and the next submission, even when the server asks for none."""


class ClosedError(Exception):
    """Nothing new is to be sent any more."""


class ImpatientError(Exception):
    """The service has been busy for as long as anybody was to wait for it."""


class Pace:
    """Gives out the places in the window. For one event loop.

    limit: the largest window, and the first.
    patience: seconds that a service which takes nothing is asked again.
    scale: multiplies backoffs, never what the server asks for.
    """

    def __init__(
        self, limit: int, *, patience: float, clock: Callable[[], float], sleep: Sleep, scale: float = 1.0
    ) -> None:
        self._limit, self._patience, self._scale = limit, patience, scale
        self._clock, self._sleep = clock, sleep
        self._window = float(limit)
        self._held = 0
        self._round = 0  # counts decreases
        self._streak = 0  # decreases since the last acceptance
        self._quiet = clock()  # until then nothing is sent
        self._accepted = clock()  # when something last was
        self._closed = False
        self._line = asyncio.Lock()
        self._pausing: asyncio.Future[None] | None = None

    @property
    def at_once(self) -> int:
        """How many tasks may be unfinished now, from 1 to the limit."""
        return int(self._window)

    async def enter(self, free: Callable[[], None]) -> "Place":
        """A place in the window: first come, first served. `free` is called when it is given back for good.

        Raises ClosedError.
        """
        await self._enter(None)
        return Place(self, free)

    def follow(self, free: Callable[[], None]) -> "Place":
        """Return a place for a task that runs already, at once; new tasks wait until it has ended."""
        self._held += 1
        return Place(self, free)

    def close(self) -> None:
        """Admit no more tasks; those in line get a ClosedError."""
        self._closed = True
        self._wake()

    async def _enter(self, begun: float | None) -> None:
        async with self._line:
            while not self._admits():
                self._check_patience(begun)
                await self._pause()
            self._held += 1  # nothing is awaited from here on: a cancellation cannot lose the place

    def _admits(self) -> bool:
        if self._closed:
            raise ClosedError
        return self._held < self.at_once and self._clock() >= self._quiet

    async def _pause(self) -> None:
        """Until the quiet time is over, or something else has moved."""
        left = self._quiet - self._clock()
        waiting = asyncio.ensure_future(self._sleep(left)) if left > 0 else asyncio.get_running_loop().create_future()
        self._pausing = waiting
        try:
            await asyncio.wait({waiting})
        finally:
            waiting.cancel()

    def _wake(self) -> None:
        if self._pausing:
            self._pausing.cancel()

    def _check_patience(self, begun: float | None) -> None:
        """For one whose first submission was at `begun`: while others are accepted, its turn will come."""
        if begun is not None and self._quiet > max(begun, self._accepted) + self._patience:
            raise ImpatientError

    def _leave(self) -> None:
        self._held -= 1
        self._wake()

    def _rise(self) -> None:
        self._window = min(self._window + 1 / self._window, float(self._limit))
        self._streak, self._accepted = 0, self._clock()
        self._wake()

    def _fall(self, sent_in: int, asked: float | None) -> None:
        """For a submission of round `sent_in`. Those of one round were refused for one reason: they count once."""
        wait = 0.0
        if sent_in == self._round:
            # Of what is unfinished: a window that was not used up says nothing about the service.
            self._window = max(1.0, min(self._window, self._held) * DECREASE)
            self._round, self._streak = self._round + 1, self._streak + 1
            wait = backoff(self._streak, self._scale)
        wait = max(wait if asked is None else asked, SHORTEST_WAIT * self._scale)
        self._quiet = max(self._quiet, self._clock() + wait)


class Place:
    """A place in the window, held until `release`."""

    def __init__(self, pace: Pace, free: Callable[[], None]) -> None:
        self._pace = pace
        self._free: Callable[[], None] | None = free
        self._inside = True
        self._round = 0
        self._begun: float | None = None

    @property
    def at_once(self) -> int:
        """As `Pace.at_once`."""
        return self._pace.at_once

    def sending(self) -> None:
        """A submission leaves now."""
        self._round = self._pace._round
        if self._begun is None:
            self._begun = self._pace._clock()

    def accepted(self) -> None:
        """The service took the task."""
        self._pace._rise()

    def refused(self, asked: float | None) -> float:
        """The service takes no more for now: the place is given back, to wait for `again`.

        asked: seconds that the server wants to be left alone. Returns the seconds until anything is sent again.
        Raises ImpatientError when that is too late.
        """
        self._pace._fall(self._round, asked)
        self._leave()
        self._pace._check_patience(self._begun)
        return self._pace._quiet - self._pace._clock()

    async def again(self) -> None:
        """Wait in line for a place. Raises ClosedError, ImpatientError."""
        await self._pace._enter(self._begun)
        self._inside = True

    def release(self) -> None:
        """Give the place back; a second time does nothing."""
        self._leave()
        if free := self._free:
            self._free = None
            free()

    def _leave(self) -> None:
        if self._inside:
            self._inside = False
            self._pace._leave()
