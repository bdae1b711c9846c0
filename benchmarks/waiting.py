"""Waiting: how late flux detects the end of a task, and with how many polls. Simulated, without sleeping."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import ENOUGH, PollSchedule

from .environment import Installation
from .report import Figure, Section
from .runner import show_progress

ABOUT = """
A simulation of `flux_cli/engine/poll_schedule.py` with a round trip of 0.2 s. Task durations are spread evenly over the
documented range, or over the given duration plus or minus 10%. Waste is the time from the end of a task until flux
detects it. It is shown for the first task on a machine, and for a task after five such tasks. The last columns show the
waste of scripts that poll and then sleep for 1, 2 or 5 s. PiAPI's published spec sleeps for 5 s.
""".strip()
ROUND_TRIP = 0.2
TASKS = 1000
"""Simulated tasks per figure."""
DURATIONS = (1.5, 3.5, 7.0, 11.0, 17.0, 29.0, 45.0, 60.0)
SPREAD = 0.1
SLEEPS = (1.0, 2.0, 5.0)
WASTE_SECONDS, WASTE_SHARE = 1.4, 0.08
"""Target for a first task: seconds, or a share of the duration if that is longer."""
LEARNED_SECONDS = 0.5
"""Target for the waste after five tasks of documented durations."""
DOCUMENTED = {"schnell": (0.7, 12), "dev": (0.7, 17), "pro": (0.9, 20), "dev-advanced": (1.1, 24)}
"""Targets for a first task of a documented duration: seconds of waste, and polls."""

Range = tuple[float, float]
"""The shortest and the longest duration of a task, in seconds."""


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """The schedule of a loop that polls and then sleeps, with the methods of PollSchedule. pause: seconds."""

    pause: float

    def first_step(self) -> float:
        """Return 0: the loop polls immediately."""
        return 0.0

    def step(self, elapsed: float) -> float:
        """Return the pause."""
        return self.pause


class Cost(NamedTuple):
    """Means over many tasks: seconds of waste, and polls."""

    waste: float
    polls: float


def measure(installation: Installation, directory: Path, *, quick: bool) -> Section:
    """Return the waste and the polls of every model for a grid of durations. This takes a second, quick or not."""
    rows: dict[str, dict[str, Figure]] = {}
    for name, model in Catalog({}).models.items():
        show_progress(f"  {name}")
        waste, polls = DOCUMENTED[name]
        rows[f"{name}, as documented"] = _make_row(model.seconds, model.seconds, waste, polls, LEARNED_SECONDS)
        for duration in DURATIONS:
            actual = duration * (1 - SPREAD), duration * (1 + SPREAD)
            target = max(WASTE_SECONDS, WASTE_SHARE * duration)
            rows[f"{name}, {duration:g} s"] = _make_row(model.seconds, actual, target)
    return Section("waiting", "Waiting for a task", ABOUT, rows)


def _make_row(
    documented: Range, actual: Range, waste: float, polls: float | None = None, learned: float | None = None
) -> dict[str, Figure]:
    """Return the figures for tasks of `actual` durations. waste, polls, learned: the targets."""
    first, later = simulate_first(documented, actual), simulate_after_five(documented, actual)
    return {
        "first task: waste": Figure(first.waste, "s", waste),
        "first task: polls": Figure(first.polls, target=polls),
        "after five: waste": Figure(later.waste, "s", learned),
        "after five: polls": Figure(later.polls),
        **{f"sleep {pause:g} s": Figure(simulate_sleeping(pause, actual).waste, "s") for pause in SLEEPS},
    }


def simulate_first(documented: Range, actual: Range) -> Cost:
    """Return the cost of a first task, for which flux has only the documented range."""
    return simulate(lambda: PollSchedule(documented), actual)


def simulate_after_five(documented: Range, actual: Range) -> Cost:
    """Return the cost of a task after five others of `actual` durations."""
    return simulate(lambda: PollSchedule(documented, past=[random.uniform(*actual) for _ in range(ENOUGH)]), actual)


def simulate_sleeping(pause: float, actual: Range) -> Cost:
    """Return the cost of a loop that polls and then sleeps for `pause` seconds."""
    return simulate(lambda: FixedSchedule(pause), actual)


def simulate(make_schedule: Callable[[], PollSchedule | FixedSchedule], actual: Range) -> Cost:
    """Return the mean cost of polling tasks whose durations are spread evenly over a range. Results are repeatable."""
    random.seed(1)
    low, high = actual
    waste = polls = 0.0
    for number in range(TASKS):
        duration = low + (high - low) * (number + 0.5) / TASKS
        schedule = make_schedule()
        sent, count = schedule.first_step(), 1
        # The client detects the acceptance half a round trip late, and a poll takes half a round trip to arrive.
        while sent + ROUND_TRIP < duration:
            received = sent + ROUND_TRIP
            sent, count = received + schedule.step(received), count + 1
        waste += sent + ROUND_TRIP - (duration - ROUND_TRIP / 2)
        polls += count
    return Cost(waste / TASKS, polls / TASKS)
