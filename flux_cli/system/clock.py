"""The clock of a run, which tests replace, and the waits before a request is repeated."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ..frozen import frozen

Sleep = Callable[[float], Coroutine[Any, Any, None]]
CAP_SECONDS = 30.0


@frozen
class Clock:
    """A monotonic clock.

    now: returns seconds since an arbitrary moment. sleep: waits for a number of seconds. scale: the factor for flux's
    own times. Callers apply it to what they pass to `sleep`, because a wait that a server requests is not scaled.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    scale: float = 1.0

    def backoff(self, attempt: int, retry_after: float | None = None) -> float:
        """Return a random wait after failed attempt `attempt` (from 1): up to 1, 2, 4, ... 30 seconds (full jitter).

        retry_after: the wait that the server requests, which is returned instead.
        """
        if retry_after is not None:
            return retry_after
        return self.scale * random.uniform(0, min(CAP_SECONDS, 2.0 ** min(attempt - 1, 5)))
