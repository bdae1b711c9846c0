"""When to look: often enough to waste little waiting, seldom enough to be welcome. Simulated, without sleeping."""

import itertools
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import waiting
from benchmarks.waiting import Cost, cost, every
from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import LONGEST, SHORTEST, PollSchedule, Uniform, backoff

RANGES = {name: model.seconds for name, model in Catalog({}).models.items()}
ROUND_TRIP = 0.2
SCALES = st.floats(0.001, 1000)


def looks(schedule: PollSchedule) -> Iterator[float]:
    """The times of the looks, seconds after the task was accepted, when answers take no time."""
    now = 0.0
    while True:
        now += schedule.step(now)
        yield now


def costs_of(step: Callable[[float], float], low: float, high: float) -> Cost:
    """Waste and looks for tasks of any duration from `low` to `high`."""
    return cost(waiting.looks(step, step(0.0)), [(1.0, Uniform(low, high))])


def test_the_ranges_are_the_documented_ones() -> None:
    assert RANGES == {"schnell": (15, 20), "dev": (25, 35), "pro": (30, 45), "dev-advanced": (40, 60)}


@pytest.mark.parametrize("model", RANGES)
def test_under_a_third_of_the_specifications_waste_for_no_more_looks(model: str) -> None:
    seconds = RANGES[model]
    ours = costs_of(PollSchedule(seconds).step, *seconds)
    specification = cost(waiting.looks(every(5.0), 0.0), [(1.0, Uniform(*seconds))])  # it looks first, then sleeps
    assert ours.waste < specification.waste * 0.3
    assert ours.looks <= specification.looks
    assert ours.bound < 1.5


@pytest.mark.parametrize("model", RANGES)
@pytest.mark.parametrize("factor", [0.1, 0.3, 10])
def test_a_service_that_is_faster_or_slower_than_documented_is_found(model: str, factor: float) -> None:
    schedule, (low, high) = PollSchedule(RANGES[model]), RANGES[model]
    times = list(itertools.takewhile(lambda time: time < 12 * high, looks(schedule)))
    gaps = [after - before for before, after in itertools.pairwise([0.0, *times])]
    assert max(gaps) <= LONGEST * (1 + 1e-9)
    found = next(time for time in times if time >= factor * low)
    assert found - factor * low <= LONGEST
    slow = [gap for time, gap in zip(times, gaps, strict=True) if time > 3 * high]
    assert min(slow) > 2.0, "a task that takes ten times longer is not looked at more often than it is worth"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(RANGES.values())), SCALES, st.floats(0, 1e7))
def test_a_step_is_positive_and_bounded_at_any_time(seconds: tuple[float, float], scale: float, elapsed: float) -> None:
    step = PollSchedule(seconds, scale).step(elapsed)
    assert 0 < SHORTEST * scale * 0.999 <= step <= LONGEST * scale * 1.001


@pytest.mark.parametrize("model", RANGES)
def test_tasks_that_were_accepted_together_are_not_looked_at_together(model: str) -> None:
    random.seed(3)
    schedule, known = PollSchedule(RANGES[model], spread=0.2), PollSchedule((9, 11), 1.0, [10.0, 10.2] * 20, spread=0.2)
    steps = [schedule.step(0.0) for _ in range(200)]
    assert max(steps) - min(steps) > 2
    assert len({round(step, 3) for step in steps}) > 100
    assert all(9 < known.step(0.0) < 10.3 for _ in range(200)), "a task whose end is known is looked at then"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(RANGES.values())), st.floats(0, 300))
def test_a_scale_shrinks_every_step_alike(seconds: tuple[float, float], elapsed: float) -> None:
    whole, small = PollSchedule(seconds), PollSchedule(seconds, 0.02)
    assert small.step(0.02 * elapsed) == pytest.approx(0.02 * whole.step(elapsed), rel=1e-6)
    assert small.expected == pytest.approx((0.02 * seconds[0], 0.02 * seconds[1]))


@pytest.mark.parametrize("model", RANGES)
@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_service_that_is_not_as_documented_is_learnt_within_a_few_tasks(model: str, factor: float) -> None:
    low, high = RANGES[model]
    real, chance = (factor * low, factor * high), random.Random(5)
    past: list[float] = []
    costs = []
    for _ in range(12):
        costs.append(costs_of(PollSchedule((low, high), 1.0, past).step, *real).bound)
        past.append(chance.uniform(*real))
    every_5_s = costs_of(every(5.0), *real).bound
    assert max(costs[3:]) < 0.9 * every_5_s
    assert costs[0] > 1.5 * max(costs[3:])
    low_seen, high_seen = PollSchedule((low, high), 1.0, past).expected
    assert real[0] * 0.99 <= low_seen < high_seen <= real[1] * 1.01


def test_a_straggler_among_many_changes_little() -> None:
    past = [15.0, 16.0, 17.0, 18.0, 19.0] * 4
    usual = costs_of(PollSchedule((15, 20), 1.0, past).step, 15, 20)
    odd = costs_of(PollSchedule((15, 20), 1.0, [*past, 600.0]).step, 15, 20)
    assert (odd.waste, odd.looks) == pytest.approx((usual.waste, usual.looks), rel=0.2)


@pytest.mark.parametrize("attempt", [1, 2, 5, 6, 100, 5000])
def test_backoff_is_jittered_and_bounded_however_long_the_streak(attempt: int) -> None:
    random.seed(3)
    limit = min(30, 2 ** (attempt - 1))
    waits = [backoff(attempt) for _ in range(300)]
    assert 0 <= min(waits) < 0.1 * limit
    assert 0.9 * limit < max(waits) <= limit
    assert max(backoff(attempt, 0.02) for _ in range(300)) <= 0.02 * limit
