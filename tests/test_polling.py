"""Poll times: often enough to waste little time, and seldom enough for PiAPI. Simulated, without sleeping."""

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


def test_the_ranges_match_the_documentation() -> None:
    assert RANGES == {"schnell": (15, 20), "dev": (25, 35), "pro": (30, 45), "dev-advanced": (40, 60)}


@pytest.mark.parametrize("model", RANGES)
@pytest.mark.parametrize("duration", [1.5, 2, 3, 4, 6, 9, 14, 19, 23, 29, 38, 45, 52, 60])
def test_the_end_of_a_first_task_is_noticed_soon(model: str, duration: float) -> None:
    real = 0.95 * duration, 1.05 * duration
    result = simulate_first(RANGES[model], real)
    assert result.waste <= max(1.4, 0.08 * duration)
    assert result.polls <= simulate_sleeping(1.0, real).polls + 1


@pytest.mark.parametrize("model", RANGES)
def test_the_end_of_a_task_with_the_documented_duration_is_noticed_soon(model: str) -> None:
    waste, polls = waiting.DOCUMENTED[model]
    real = RANGES[model]
    first, later = simulate_first(real, real), simulate_after_five(real, real)
    assert first.waste <= waste
    assert first.polls <= polls
    assert later.waste <= 0.5
    assert later.polls <= simulate_sleeping(1.0, real).polls


@pytest.mark.parametrize("past", [[3.0, 3.1, 3.2, 3.3, 3.4], [15.0, 16.0, 17.0, 18.0, 600.0], [200.0] * 50])
def test_an_outdated_history_wastes_little_time(past: list[float]) -> None:
    schedule = PollSchedule((15, 20), past=past)
    for duration in (1.5, 4.0, 10.0, 25.0, 60.0):
        result = simulate(lambda: schedule, (0.95 * duration, 1.05 * duration))
        assert result.waste <= max(1.4, 0.08 * duration)
        assert result.polls <= 2 * simulate_sleeping(1.0, (duration, duration)).polls + 1


@given(
    st.sampled_from(list(RANGES.values())),
    st.lists(st.floats(0.001, 1e6), max_size=50),
    st.floats(0.001, 1000),
    st.floats(0, 1e7),
)
def test_a_step_is_positive_and_bounded(
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
    times = [schedule.first_step() for _ in range(200)]
    assert max(sum(time <= other < time + 0.1 for other in times) for time in times) < 30


def test_polls_of_one_process_are_spaced() -> None:
    now, times = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        times.append(now + seconds)

    async def run() -> None:
        nonlocal now
        limiter = PollLimiter(Clock(lambda: now, sleep, 0.5))
        await limiter.wait()
        now = 7.0
        await asyncio.gather(*(limiter.wait() for _ in range(30)))

    asyncio.run(run())
    gap = 0.5 / POLLS_PER_SECOND
    assert times == pytest.approx([0.0, *(7 + number * gap for number in range(30))])


@pytest.mark.parametrize("attempt", [1, 2, 5, 6, 100, 5000])
def test_backoff_is_jittered_and_bounded(attempt: int) -> None:
    random.seed(3)
    limit = min(30, 2 ** (attempt - 1))
    waits = [Clock().backoff(attempt) for _ in range(300)]
    assert 0 <= min(waits) < 0.1 * limit
    assert 0.9 * limit < max(waits) <= limit
    assert max(Clock(scale=0.02).backoff(attempt) for _ in range(300)) <= 0.02 * limit
