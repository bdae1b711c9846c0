"""When to look at a task next.

A look costs a request; not looking costs waiting. For a task that ends at a time with hazard rate h(t), waste and
looks together are smallest when looks are as dense as sqrt(h(t) / 2c), where c is the seconds of waiting that one
look is worth: the next look is where the integral of that density reaches one.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

from ..frozen import frozen

LOOK_COST = 0.085
"""c: one look is worth this many seconds of waiting. As many looks as one every 5 s, and a fifth of the waste."""
HALF_TRIP = 0.1
"""Seconds from here to the service: an answer tells how things stood so long ago, and a look arrives so much later."""
SHORTEST, LONGEST = 0.1, 15.0
"""Bounds of a step, seconds."""
GRAIN, FINENESS, HORIZON = 0.05, 0.005, 3600.0
"""Points at which the density is added up: so many seconds apart, or this part of their time, up to an hour."""
TAIL = 0.01
"""The belief that a task is not at all like the others."""
PRIOR = 2.0
"""The documented range counts as so many tasks that were seen."""
LONE_SPREAD, NARROWEST = 0.3, 0.03
"""Of the logarithm of the durations: what one task tells, and the least."""
QUARTILES_APART = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
ENOUGH, EDGE = 5, 0.1
"""So many past tasks tell what to expect: all but this part of them at either end."""


class Duration(Protocol):
    """How long a task takes, as a distribution; t in seconds."""

    def survival(self, t: float) -> float:
        """The probability of a duration over t."""

    def density(self, t: float) -> float:
        """The probability density at t, 1/s."""


@frozen
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


@frozen
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


class Mixture:
    """Several distributions, each with a weight; the weights sum to 1."""

    def __init__(self, *parts: tuple[float, Duration]) -> None:
        self._parts = parts

    def survival(self, t: float) -> float:
        """The probability of a duration over t."""
        return sum(weight * part.survival(t) for weight, part in self._parts)

    def density(self, t: float) -> float:
        """The probability density at t, 1/s."""
        return sum(weight * part.density(t) for weight, part in self._parts)


def believed(documented: tuple[float, float], past: Sequence[float] = ()) -> Mixture:
    """How long a task is going to take: the documented range, giving way to what was seen.

    Some belief is always on durations around it within a factor of ten or so: a service that is faster, slower or
    queued is found too. `past`: seconds that such tasks took, the more the surer.
    """
    low, high = documented
    seen = len(past) / (len(past) + PRIOR)
    parts: list[tuple[float, Duration]] = [((1 - TAIL) * (1 - seen), Uniform(low, high))]
    middle = math.sqrt(low * high)
    if past:
        middle, spread = _center(past)
        parts.append(((1 - TAIL) * seen, LogNormal(middle, spread)))
    return Mixture(*parts, (TAIL, LogNormal(middle, math.log(10))))


def _center(past: Sequence[float]) -> tuple[float, float]:
    """The median, and the spread of the logarithm that the middle half has: a few stragglers change neither."""
    if len(past) == 1:
        return past[0], LONE_SPREAD
    ordered, last = sorted(past), len(past) - 1
    quarter, median, three_quarters = (_at(part * last, range(last + 1), ordered) for part in (0.25, 0.5, 0.75))
    spread = math.log(three_quarters / quarter) / QUARTILES_APART
    # Few look more alike than all are.
    return median, max(spread, LONE_SPREAD / len(past), NARROWEST)


class PollSchedule:
    """Looks timed to how long a task is believed to take.

    seconds: the documented range; past: what such tasks took, in the same seconds; scale: what multiplies them, and
    everything else here. spread: the part of a step by which chance makes it shorter or longer, measured in looks, so
    that tasks which were accepted together are not looked at together, and a task whose end is known is not missed.
    """

    def __init__(
        self, seconds: tuple[float, float], scale: float = 1.0, past: Sequence[float] = (), *, spread: float = 0.0
    ) -> None:
        self._scale, self._spread = scale, spread
        self._table = _Table(believed(seconds, past))
        low, high = seconds if len(past) < ENOUGH else (quantile(past, EDGE), quantile(past, 1 - EDGE))
        self.expected = (low * scale, high * scale)

    def step(self, elapsed: float) -> float:
        """Seconds to the next look, `elapsed` seconds after the task was accepted."""
        now = elapsed / self._scale
        seen = max(0.0, now - HALF_TRIP)
        one = random.uniform(1 - self._spread, 1 + self._spread)
        arrives = self._table.time(self._table.looks(seen) + one)
        return min(max(arrives - HALF_TRIP - now, SHORTEST), LONGEST * one) * self._scale


class _Table:
    """Times in seconds, and how many looks are worth their while until then.

    It grows as far as it is asked for: all of it takes as long as Python to start, and most tasks end early.
    """

    def __init__(self, durations: Duration) -> None:
        self._durations = durations
        self._times, self._looks = [0.0], [0.0]

    def looks(self, time: float) -> float:
        """How many until then."""
        while self._times[-1] <= time and self._grow():
            pass
        return _at(time, self._times, self._looks)

    def time(self, looks: float) -> float:
        """When there have been so many; infinite when there never are."""
        while self._looks[-1] <= looks:
            if not self._grow():
                return math.inf
        return _at(looks, self._looks, self._times)

    def _grow(self) -> bool:
        """By one time, up to an hour."""
        last = self._times[-1]
        if last >= HORIZON:
            return False
        grain = max(GRAIN, last * FINENESS)
        middle = last + grain / 2
        survival = self._durations.survival(middle)
        density = math.sqrt(self._durations.density(middle) / survival / (2 * LOOK_COST)) if survival > 0 else 0.0
        self._times.append(last + grain)
        self._looks.append(self._looks[-1] + density * grain)
        return True


def _at(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The value at x of what `ys` are at `xs`, both growing; beyond the last one, the last one."""
    place = bisect_right(xs, x)
    if place == len(xs):
        return ys[-1]
    low, high = xs[place - 1], xs[place]
    return ys[place - 1] + (ys[place] - ys[place - 1]) * (x - low) / (high - low)


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` (0 to 1) of all are under."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def backoff(attempt: int, scale: float = 1.0) -> float:
    """Seconds to wait before try `attempt` + 1 (from 1): full jitter under 1, 2, 4, ... 30 s."""
    return scale * random.uniform(0, min(30.0, 2.0 ** min(attempt - 1, 5)))
