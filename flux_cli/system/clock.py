"""The time of a run, which a test replaces, and the waits before a request is repeated."""

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
    """A clock that never goes back.

    now: seconds since some moment. sleep: waits so many seconds. scale: multiplies the times that a service is given;
    callers multiply what they pass to `sleep`, because a wait that a server requests is not scaled.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    scale: float = 1.0

    def backoff(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after failed attempt `attempt` (from 1): full jitter below 1, 2, 4, ... 30 s.

        retry_after: the wait that the server requests, which counts instead.
        """
        if retry_after is not None:
            return retry_after
        return self.scale * random.uniform(0, min(CAP_SECONDS, 2.0 ** min(attempt - 1, 5)))
