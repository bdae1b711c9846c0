"""Waiting: how late flux knows that a task is done, and how many looks that costs. Simulated; nothing sleeps."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import PollSchedule, Uniform

from .figures import Figure, Section
from .installed import Installed
from .runner import Say

ABOUT = """
`flux_cli/engine/poll_schedule.py` as it is, simulated over the documented durations of each model and over others,
with a round trip of 0.2 s. Waste is the time from the moment when the service is done to the moment when flux knows. For any
schedule (waste - round trip / 2) x looks is at least (integral of sqrt(f (1 - F)))^2 / 2, where f is the density of
the durations and F their distribution; "x bound" tells how far above that a schedule is. Beside it: a look every 5 s,
as the specification has it, and every second.
""".strip()
ROUND_TRIP = 0.2
TAIL_SHARE, TAIL_END = 0.05, 60.0
POINTS = 4000
"""Durations that stand for a distribution, evenly spread."""
EXPECTED = ("documented", "5 % tail")
WASTE, LOOKS, BOUND = 0.2, 1.0, 1.5
"""Targets where durations are as EXPECTED: waste and looks as parts of the specification's, and times the bound."""

Truth = Sequence[tuple[float, Uniform]]
"""How long tasks really take: weights and their distributions."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Means over a distribution: seconds of waste, looks, and their product as a multiple of the bound."""

    waste: float
    looks: float
    bound: float


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Waste and looks of every model, and of a service that is not as documented. It takes a second, quick or not."""
    rows = {}
    for name, model in Catalog({}).models.items():
        say(name)
        for case, truth in truths(model.seconds).items():
            rows[f"{name}, {case}"] = _row(PollSchedule(model.seconds), truth, strict=case in EXPECTED)
    tail = f"The tail: {TAIL_SHARE:.0%} of the tasks take up to {TAIL_END:.0f} s, or half as long again as documented."
    return Section("waiting", "Waiting for a task", ABOUT, rows, (tail,))


def _row(schedule: PollSchedule, truth: Truth, *, strict: bool) -> dict[str, Figure]:
    """The figures of a schedule; `strict`: those that have a target are told with it."""
    ours = cost(looks(schedule.step, schedule.step(0.0)), truth)
    spec, second = (cost(looks(every(seconds), 0.0), truth) for seconds in (5.0, 1.0))
    return {
        "waste": Figure(ours.waste, "s"),
        "/ that of 5 s": Figure(ours.waste / spec.waste, target=WASTE if strict else None),
        "looks": Figure(ours.looks),
        "/ those of 5 s": Figure(ours.looks / spec.looks, target=LOOKS if strict else None),
        "x bound": Figure(ours.bound, target=BOUND if strict else None),
        "5 s: x bound": Figure(spec.bound),
        "1 s: x bound": Figure(second.bound),
    }


def truths(seconds: tuple[float, float]) -> dict[str, Truth]:
    """What the durations may really be, by name; `seconds` is the documented range."""
    low, high = seconds
    documented = Uniform(low, high)
    tail = Uniform(high, max(TAIL_END, 1.5 * high))
    return {
        "documented": [(1.0, documented)],
        "5 % tail": [(1 - TAIL_SHARE, documented), (TAIL_SHARE, tail)],
        "5 x faster": [(1.0, Uniform(low / 5, high / 5))],
        "5 x slower": [(1.0, Uniform(low * 5, high * 5))],
    }


def every(seconds: float) -> Callable[[float], float]:
    """The pause of a schedule that does not know what it waits for."""
    return lambda elapsed: seconds


def looks(step: Callable[[float], float], first: float) -> Iterator[float]:
    """When requests leave, in seconds since the task was accepted; `step` tells the pause after each answer."""
    sent = first
    while True:
        yield sent
        answered = sent + ROUND_TRIP
        sent = answered + step(answered)


def cost(times: Iterator[float], truth: Truth) -> Cost:
    """What looking at these times costs."""
    longest = max(part.high for _, part in truth)
    sent: list[float] = []
    while not sent or sent[-1] < longest:
        sent.append(next(times))
    waste = count = 0.0
    for weight, part in truth:
        for point in range(POINTS):
            duration = part.low + (part.high - part.low) * (point + 0.5) / POINTS
            # The acceptance was known half a round trip late, and a request arrives half a round trip after it left.
            found = bisect_left(sent, duration - ROUND_TRIP)
            waste += weight / POINTS * (sent[found] + ROUND_TRIP - (duration - ROUND_TRIP / 2))
            count += weight / POINTS * (found + 1)
    return Cost(waste, count, (waste - ROUND_TRIP / 2) * count / bound(truth))


def bound(truth: Truth) -> float:
    """The least that (waste - round trip / 2) x looks can be."""
    start, end = min(part.low for _, part in truth), max(part.high for _, part in truth)
    grain = (end - start) / (10 * POINTS)
    total = 0.0
    for point in range(10 * POINTS):
        t = start + (point + 0.5) * grain
        density = sum(weight * part.density(t) for weight, part in truth)
        survival = sum(weight * part.survival(t) for weight, part in truth)
        total += sqrt(density * survival) * grain
    return total**2 / 2
