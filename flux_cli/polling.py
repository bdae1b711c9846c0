"""When to look at a task next.

A look costs a request; not looking costs waiting. For a task that ends at a time with hazard rate h(t), waste and
looks together are smallest when looks are as dense as sqrt(h(t) / 2c), where c is the seconds of waiting that one
look is worth: the next look is where the integral of that density reaches one.
"""

import math
import random
from dataclasses import dataclass
from typing import Protocol

LOOK_COST = 0.1
"""c: one look is worth this many seconds of waiting."""
SHORTEST, LONGEST = 0.25, 15.0
"""Bounds of a step, seconds."""
GRAIN = 0.05
"""Seconds between the points at which the density is added up."""
TAIL = 0.05
"""The belief that the documented range is wrong this time."""


class Duration(Protocol):
    """How long a task takes, as a distribution; t in seconds."""

    def survival(self, t: float) -> float:
        """The probability of a duration over t."""

    def density(self, t: float) -> float:
        """The probability density at t, 1/s."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any duration from `low` to `high` seconds is as likely as any other."""

    low: float
    high: float

    def survival(self, t: float) -> float:
        """The probability of a duration over t."""
        return min(1.0, max(0.0, (self.high - t) / (self.high - self.low)))

    def density(self, t: float) -> float:
        """The probability density at t, 1/s."""
        return 1 / (self.high - self.low) if self.low <= t < self.high else 0.0


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

    Nearly all belief is on the range; the rest is on durations around it within a factor of ten or so, so that a
    service that is faster, slower or queued is found too.

    seconds: the documented range; scale: what multiplies it, and everything else here.
    """

    def __init__(self, seconds: tuple[float, float], scale: float = 1.0) -> None:
        low, high = seconds
        self._scale = scale
        self._parts: tuple[tuple[float, Duration], ...] = (
            (1 - TAIL, Uniform(low, high)),
            (TAIL, LogNormal(math.sqrt(low * high), math.log(10))),
        )
        self.expected = (low * scale, high * scale)

    def step(self, elapsed: float) -> float:
        """Seconds to the next look, `elapsed` seconds after the task was accepted."""
        start, step, looks = elapsed / self._scale, 0.0, 0.0
        while looks < 1 and step < LONGEST:
            looks += self._density(start + step + GRAIN / 2) * GRAIN
            step += GRAIN
        return min(max(step, SHORTEST), LONGEST) * self._scale

    def _density(self, t: float) -> float:
        """Looks per second at t."""
        survival = sum(weight * part.survival(t) for weight, part in self._parts)
        density = sum(weight * part.density(t) for weight, part in self._parts)
        return math.sqrt(density / survival / (2 * LOOK_COST)) if survival > 0 else 0.0


def backoff(attempt: int, scale: float = 1.0) -> float:
    """Seconds to wait before try `attempt` + 1 (from 1): full jitter under 1, 2, 4, ... 30 s."""
    return scale * random.uniform(0, min(30.0, 2.0 ** min(attempt - 1, 5)))
