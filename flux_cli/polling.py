"""When to look at a task next.

A look costs a request; not looking costs waiting. For a task that ends at a time with hazard rate h(t), looks
spaced step(t) = sqrt(2c / h(t)) make the sum smallest, where c is the seconds of waiting that one look is worth.
"""

import math
import random
from dataclasses import dataclass

LOOK_COST = 0.05
"""c: one look is worth this many seconds of waiting."""
SHORTEST, LONGEST = 0.25, 5.0
"""Bounds of a step, seconds: the longest is the specification's own interval."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A duration whose logarithm is normal. `median` in seconds, `sigma` the spread of the logarithm."""

    median: float
    sigma: float

    def survival(self, t: float) -> float:
        """The probability of a duration over t."""
        return 0.5 * math.erfc(self._z(t) / math.sqrt(2)) if t > 0 else 1.0

    def density(self, t: float) -> float:
        """The probability density at t, 1/s."""
        if t <= 0:
            return 0.0
        return math.exp(-(self._z(t) ** 2) / 2) / (t * self.sigma * math.sqrt(2 * math.pi))

    def _z(self, t: float) -> float:
        return math.log(t / self.median) / self.sigma


class PollSchedule:
    """Looks timed to the documented range of a model's durations.

    Nine tenths of the belief are on the documented range, one tenth on durations from a tenth to ten times of
    it, so that a service that is faster, slower or queued than documented is found in a few looks.
    """

    def __init__(self, seconds: tuple[float, float], scale: float = 1.0) -> None:
        low, high = seconds[0] * scale, seconds[1] * scale
        # The range as the central 90 % of a log-normal: 1.645 standard deviations to each side.
        middle = math.sqrt(low * high)
        self._parts = (
            (0.9, LogNormal(middle, math.log(high / low) / (2 * 1.645))),
            (0.1, LogNormal(middle, math.log(10))),
        )
        self._scale = scale
        self.expected = (low, high)

    def step(self, elapsed: float) -> float:
        """Seconds to the next look, `elapsed` seconds after the task was accepted."""
        shortest, longest = SHORTEST * min(1.0, self._scale), LONGEST * max(self._scale, 0.01)
        # The step is solved for the hazard at its own end: before the range begins the hazard is close to nothing.
        step = longest
        for _ in range(20):
            step = max(shortest, min(longest, (step + self._ideal(elapsed + step)) / 2))
        return step

    def _ideal(self, t: float) -> float:
        survival = sum(weight * part.survival(t) for weight, part in self._parts)
        density = sum(weight * part.density(t) for weight, part in self._parts)
        if density <= 0 or survival <= 0:
            return math.inf
        return math.sqrt(2 * LOOK_COST * self._scale * survival / density)


def backoff(attempt: int, scale: float = 1.0) -> float:
    """Seconds to wait before try `attempt` + 1 (from 1): full jitter under 1, 2, 4, ... 30 s."""
    return scale * random.uniform(0, min(30.0, 2.0 ** min(attempt - 1, 5)))
