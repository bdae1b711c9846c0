"""Waiting: how late flux knows that a task is done, and how many polls that costs. Simulated; nothing sleeps."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import ENOUGH, PollSchedule

from .figures import Figure, Section
from .installed import Installed
from .runner import Say

ABOUT = """
`flux_cli/engine/poll_schedule.py` as it is, simulated with a round trip of 0.2 s for tasks of a given duration, give or
take a tenth, and for durations spread evenly over the documented range. Waste is the time from the moment when the
service is done to the moment when flux knows: of the first task on a machine, and of one after five such tasks. Beside
it: scripts that poll and then sleep for 1, 2 or 5 s (the specification's).
""".strip()
ROUND_TRIP = 0.2
TASKS = 1000
"""Simulated tasks per figure."""
DURATIONS = (1.5, 3.5, 7.0, 11.0, 17.0, 29.0, 45.0, 60.0)
SPREAD = 0.1
WASTE_SECONDS, WASTE_SHARE = 1.4, 0.08
"""Target for a first task: the larger of seconds and a share of the duration."""
WASTE_KNOWN = 0.5
"""Target after five tasks of documented durations, seconds."""
DOCUMENTED = {"schnell": (0.7, 12), "dev": (0.7, 17), "pro": (0.9, 20), "dev-advanced": (1.1, 24)}
"""Targets for a first task of a documented duration: seconds of waste, and polls."""

Range = tuple[float, float]
Simulation = tuple[Callable[[], float], Callable[[float], float]]
"""The seconds to the first poll, and the seconds to the next one after so many have passed."""


class Cost(NamedTuple):
    """Means over many tasks: seconds of waste, and polls."""

    waste: float
    polls: float


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Measure waste and polls of every model for a grid of durations. It takes a second, quick or not."""
    rows: dict[str, dict[str, Figure]] = {}
    for name, model in Catalog({}).models.items():
        say(name)
        waste, polls = DOCUMENTED[name]
        rows[f"{name}, as documented"] = _row(model.seconds, model.seconds, waste, polls, WASTE_KNOWN)
        for duration in DURATIONS:
            real = duration * (1 - SPREAD), duration * (1 + SPREAD)
            target = max(WASTE_SECONDS, WASTE_SHARE * duration)
            rows[f"{name}, {duration:g} s"] = _row(model.seconds, real, target)
    return Section("waiting", "Waiting for a task", ABOUT, rows)


def _row(
    documented: Range, real: Range, waste: float, polls: float | None = None, known: float | None = None
) -> dict[str, Figure]:
    """Return the figures for tasks of `real` durations. waste, polls, known: the targets."""
    first, later = cost(new_machine(documented), real), cost(after_five(documented, real), real)
    scripts = {f"{pause:g} s": Figure(cost(every(pause), real).waste, "s") for pause in (1.0, 2.0, 5.0)}
    return {
        "first task": Figure(first.waste, "s", waste),
        "polls": Figure(first.polls, target=polls),
        "after five": Figure(later.waste, "s", known),
        "their polls": Figure(later.polls),
        **scripts,
    }


def new_machine(documented: Range) -> Callable[[], Simulation]:
    """Return a maker of schedules that know the documented range only."""
    schedule = PollSchedule(documented)
    return lambda: (schedule.first_step, schedule.step)


def after_five(documented: Range, real: Range) -> Callable[[], Simulation]:
    """Return a maker of schedules that each know five past tasks of `real` durations."""

    def simulation() -> Simulation:
        schedule = PollSchedule(documented, past=[random.uniform(*real) for _ in range(ENOUGH)])
        return schedule.first_step, schedule.step

    return simulation


def every(pause: float) -> Callable[[], Simulation]:
    """Return a maker of the loop that polls and then sleeps."""
    return lambda: (lambda: 0.0, lambda elapsed: pause)


def cost(make: Callable[[], Simulation], real: Range) -> Cost:
    """Return the mean cost of polling tasks whose durations are spread evenly over `real`, the same at every call."""
    random.seed(1)
    low, high = real
    waste = polls = 0.0
    for number in range(TASKS):
        duration = low + (high - low) * (number + 0.5) / TASKS
        first, step = make()
        sent, count = first(), 1
        # The acceptance was known half a round trip late, and a poll arrives half a round trip after it was sent.
        while sent + ROUND_TRIP < duration:
            received = sent + ROUND_TRIP
            sent, count = received + step(received), count + 1
        waste += sent + ROUND_TRIP - (duration - ROUND_TRIP / 2)
        polls += count
    return Cost(waste / TASKS, polls / TASKS)
