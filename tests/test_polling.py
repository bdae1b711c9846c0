"""When tasks are polled: often enough to waste little time, seldom enough to be welcome. Simulated, without sleeping."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import waiting
from benchmarks.waiting import simulate, simulate_after_five, simulate_first, simulate_sleeping
from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import (
    GAP_SECONDS,
    GAP_SHARE,
    JITTER,
    LONGEST_GAP,
    POLLS_PER_SECOND,
    PollLimiter,
    PollSchedule,
)
from flux_cli.system.clock import Clock

RANGES = {name: model.seconds for name, model in Catalog({}).models.items()}


def test_the_ranges_are_the_documented_ones() -> None:
    assert RANGES == {"schnell": (15, 20), "dev": (25, 35), "pro": (30, 45), "dev-advanced": (40, 60)}


@pytest.mark.parametrize("model", RANGES)
@pytest.mark.parametrize("duration", [1.5, 2, 3, 4, 6, 9, 14, 19, 23, 29, 38, 45, 52, 60])
def test_a_first_task_is_known_soon_after_its_end_however_long_it_takes(model: str, duration: float) -> None:
    real = 0.95 * duration, 1.05 * duration
    found = simulate_first(RANGES[model], real)
    assert found.waste <= max(1.4, 0.08 * duration)
    assert found.polls <= simulate_sleeping(1.0, real).polls + 1


@pytest.mark.parametrize("model", RANGES)
def test_a_task_that_takes_as_long_as_documented_is_known_at_once(model: str) -> None:
    waste, polls = waiting.DOCUMENTED[model]
    real = RANGES[model]
    first, later = simulate_first(real, real), simulate_after_five(real, real)
    assert first.waste <= waste
    assert first.polls <= polls
    assert later.waste <= 0.5
    assert later.polls <= simulate_sleeping(1.0, real).polls


@pytest.mark.parametrize("past", [[3.0, 3.1, 3.2, 3.3, 3.4], [15.0, 16.0, 17.0, 18.0, 600.0], [200.0] * 50])
def test_a_history_that_is_no_longer_true_does_little_harm(past: list[float]) -> None:
    schedule = PollSchedule((15, 20), past=past)
    for duration in (1.5, 4.0, 10.0, 25.0, 60.0):
        found = simulate(lambda: schedule, (0.95 * duration, 1.05 * duration))
        assert found.waste <= max(1.4, 0.08 * duration)
        assert found.polls <= 2 * simulate_sleeping(1.0, (duration, duration)).polls + 1


@given(
    st.sampled_from(list(RANGES.values())),
    st.lists(st.floats(0.001, 1e6), max_size=50),
    st.floats(0.001, 1000),
    st.floats(0, 1e7),
)
def test_a_step_is_positive_and_bounded_at_any_time(
    documented: tuple[float, float], past: list[float], scale: float, elapsed: float
) -> None:
    schedule = PollSchedule(documented, scale, past)
    now = elapsed / scale
    longest = min(max(GAP_SECONDS, GAP_SHARE * now), LONGEST_GAP) * (1 + JITTER)
    assert 0.2 * scale < schedule.step(elapsed) <= longest * scale * 1.001
    assert 0 <= schedule.first_step() <= GAP_SECONDS * (1 + JITTER) * scale


def test_an_hour_of_waiting_takes_a_few_hundred_polls() -> None:
    for past in ([], [15.0, 16.0, 17.0, 18.0, 3600.0]):
        schedule, now, polls = PollSchedule((15, 20), past=past), 0.0, 0
        while now < 3600:
            now, polls = now + schedule.step(now), polls + 1
        assert polls < 700


def test_tasks_that_were_accepted_together_are_not_polled_together() -> None:
    random.seed(3)
    schedule = PollSchedule((15, 20))
    moments = [schedule.first_step() for _ in range(200)]
    assert max(sum(moment <= other < moment + 0.1 for other in moments) for moment in moments) < 30


def test_polls_of_one_process_are_spaced() -> None:
    now, turns = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        turns.append(now + seconds)

    async def run() -> None:
        nonlocal now
        limiter = PollLimiter(Clock(lambda: now, sleep, 0.5))
        await limiter.wait()
        now = 7.0
        await asyncio.gather(*(limiter.wait() for _ in range(30)))

    asyncio.run(run())
    gap = 0.5 / POLLS_PER_SECOND
    assert turns == pytest.approx([0.0, *(7 + number * gap for number in range(30))])


@pytest.mark.parametrize("attempt", [1, 2, 5, 6, 100, 5000])
def test_backoff_is_jittered_and_bounded_however_long_the_streak(attempt: int) -> None:
    random.seed(3)
    limit = min(30, 2 ** (attempt - 1))
    waits = [Clock().backoff(attempt) for _ in range(300)]
    assert 0 <= min(waits) < 0.1 * limit
    assert 0.9 * limit < max(waits) <= limit
    assert max(Clock(scale=0.02).backoff(attempt) for _ in range(300)) <= 0.02 * limit
