"""The wait before a request is repeated."""

import random

CAP_SECONDS = 30.0


def backoff(attempt: int, scale: float = 1.0) -> float:
    """Return the seconds to wait after failed attempt `attempt` (from 1): full jitter below 1, 2, 4, ... 30 s."""
    return scale * random.uniform(0, min(CAP_SECONDS, 2.0 ** min(attempt - 1, 5)))
