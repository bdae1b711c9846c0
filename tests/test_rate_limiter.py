"""The limit of parallel tasks: the rate limiter in virtual time, and the program with a server that has a lower limit."""

import asyncio
import random
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_cli.cli.common_options import CommonOptions
from flux_cli.cli.session import Session
from flux_cli.engine.rate_limiter import BusyError, ClosedError, Permit, RateLimiter
from flux_cli.errors import ExitCode
from flux_cli.journal.entries import State
from flux_cli.json_value import object_at
from flux_cli.system.clock import Clock

from .conftest import KEY, Flux
from .servers import Service, run_sandbox
from .test_engine import finish, plan_entries
from .test_promises import POLL, POST, Entries, Start, make_refusal

T = TypeVar("T")
MOMENT = 1e-6
"""After this virtual time, everything that can happen without waiting has happened."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while nothing else happens, and then immediately."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def skip(timeout: float | None) -> Any:
            assert timeout is not None, "all wait without a deadline"
            self._now += timeout
            return select(0)

        self._selector.select = skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now


def get_time() -> float:
    return asyncio.get_running_loop().time()


def run_in_virtual_time(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def make_limiter(limit: int, *, patience: float = 1e9, scale: float = 1.0) -> RateLimiter:
    return RateLimiter(limit, patience, Clock(get_time, asyncio.sleep, scale))


def release_slot() -> None:
    """Release a slot that nothing needs."""


def start_sending(permit: Permit) -> Permit:
    permit.note_sending()
    return permit


class LimiterQueue:
    """A limiter and its expected state: the permits that are inside, the tasks that wait, and their order."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.limiter = make_limiter(limit, scale=0)  # without backoff: the quiet time is the server's Retry-After
        self.inside: list[Permit] = []
        self.waiting: list[asyncio.Task[None]] = []
        self.let_in: list[asyncio.Task[None] | None] = []
        self.quiet = 0.0

    def join(self, work: Callable[[], Awaitable[Permit]]) -> None:
        async def enter_and_check() -> None:
            permit = await work()
            self.inside.append(permit)
            self.let_in.append(asyncio.current_task())
            assert len(self.inside) <= self.limiter.window
            assert get_time() >= self.quiet

        self.waiting.append(asyncio.create_task(enter_and_check()))

    def arrive(self) -> None:
        self.join(lambda: self.limiter.enter(release_slot))

    def follow(self) -> None:
        self.inside.append(self.limiter.follow(release_slot))

    def accept(self, count: int) -> None:
        for permit in self.inside[:count]:
            start_sending(permit).note_accepted()

    def refuse(self, count: int, retry_after: float) -> None:
        refused, self.inside = self.inside[:count], self.inside[count:]
        for permit in refused:
            permit.note_sending()
        for permit in refused:
            permit.note_refused(retry_after)
            self.quiet = max(self.quiet, get_time() + retry_after)

            async def reenter(permit: Permit = permit) -> Permit:
                await permit.enter_again()
                return permit

            self.join(reenter)

    def finish(self, number: int) -> None:
        if self.inside:
            permit = self.inside.pop(number % len(self.inside))
            permit.release()
            permit.release()

    def cancel(self, number: int) -> None:
        if self.waiting:
            self.waiting[number % len(self.waiting)].cancel()

    async def settle(self, seconds: float = MOMENT) -> None:
        await asyncio.sleep(seconds)
        done = [task for task in self.waiting if task.done()]
        for task in done:
            if not task.cancelled():
                task.result()
        assert [task for task in done if not task.cancelled()] == self.let_in, "not in the order of arrival"
        self.let_in.clear()
        self.waiting = [task for task in self.waiting if not task.done()]
        assert 1 <= self.limiter.window <= self.limit
        if self.waiting and get_time() > self.quiet + MOMENT:
            assert len(self.inside) >= self.limiter.window, "a permit is free, and no task was woken"


STEPS = st.one_of(
    st.tuples(st.just("arrive")),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("follow")),
    st.tuples(st.sampled_from(["finish", "cancel"]), st.integers(0, 99)),
    st.tuples(st.just("accept"), st.integers(1, 8)),
    st.tuples(st.just("refuse"), st.integers(1, 8), st.sampled_from([0.0, 0.0, 1.0, 300.0])),
    st.tuples(st.just("settle"), st.sampled_from([MOMENT, MOMENT, 0.5, 299.0])),
)


@given(st.integers(1, 8), st.lists(STEPS, min_size=20, max_size=60))
def test_the_window_stays_in_its_bounds_and_the_queue_in_its_order(limit: int, steps: list[Any]) -> None:
    """Steps without `settle` between them happen at the same moment, for example a release and a cancellation."""

    async def main() -> None:
        queue = LimiterQueue(limit)
        for name, *values in steps:
            step = getattr(queue, name)(*values)
            if name == "settle":
                await step
        while queue.inside or queue.waiting:
            await queue.settle(301)
            while queue.inside:
                queue.finish(0)
        # The whole window is available again, and not one permit more.
        for _ in range(limit * limit):
            accepted = queue.limiter.follow(release_slot)
            accepted.note_accepted()
            accepted.release()
        for _ in range(limit + 1):
            queue.arrive()
        await queue.settle()
        assert (len(queue.inside), len(queue.waiting)) == (limit, 1)
        queue.cancel(0)
        queue.refuse(1, 300.0)
        await queue.settle()
        queue.cancel(0)
        await queue.settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}  # no task sleeps for a canceled one

    run_in_virtual_time(main())


def test_refusals_of_submissions_that_were_sent_together_count_once() -> None:
    async def main() -> None:
        limiter = make_limiter(10)
        permits = [start_sending(await limiter.enter(release_slot)) for _ in range(10)]
        for permit in permits[:5]:
            permit.note_refused(None)
        assert limiter.window == 7
        later = start_sending(permits[5])
        for permit in permits[6:]:
            permit.note_refused(None)
        assert limiter.window == 7
        later.note_refused(None)  # it was sent after the decrease, alone
        assert limiter.window == 1

    run_in_virtual_time(main())


def test_retry_after_applies_to_all_submissions() -> None:
    """It applies to submissions without a refusal too, and a shorter one does not shorten it."""

    async def main() -> None:
        limiter = make_limiter(4)
        first, second = (
            start_sending(await limiter.enter(release_slot)),
            start_sending(await limiter.enter(release_slot)),
        )
        assert first.note_refused(300.0) == 300
        assert second.note_refused(2.0) == 300
        newcomer = asyncio.create_task(limiter.enter(release_slot))
        await asyncio.sleep(299)
        assert not newcomer.done()
        await newcomer
        assert get_time() == pytest.approx(300)

    run_in_virtual_time(main())


@pytest.mark.parametrize("retry_after", [0.0015, 0.0025, 0.0035, 0.0045])
def test_a_quiet_time_that_ends_between_two_readings_of_the_clock_is_not_missed(retry_after: float) -> None:
    """The submission would wait for a task to end, and there is none."""

    async def submit_twice() -> None:
        readings = count()
        clock = Clock(lambda: get_time() + 0.001 * next(readings), asyncio.sleep, scale=0)
        permit = start_sending(await RateLimiter(1, 1e9, clock).enter(release_slot))
        permit.note_refused(retry_after)
        await permit.enter_again()

    run_in_virtual_time(submit_twice())


def test_closing_the_limiter_ends_all_waiting_submissions() -> None:
    async def main() -> None:
        limiter = make_limiter(4)
        permits = [start_sending(await limiter.enter(release_slot)) for _ in range(4)]
        for permit in permits:
            permit.note_refused(300.0)
        waiting = [asyncio.create_task(permit.enter_again()) for permit in permits]
        newcomer = asyncio.create_task(limiter.enter(release_slot))
        await asyncio.sleep(MOMENT)
        limiter.close()
        results = await asyncio.gather(*waiting, newcomer, return_exceptions=True)
        assert [type(result) for result in results] == [ClosedError] * 5
        assert get_time() < 1

    run_in_virtual_time(main())


async def simulate(limiter: RateLimiter, submissions: int, capacity: int) -> Counter[str]:
    """Run submissions, 20 in parallel, on an account of limited capacity. Return the number of each outcome."""
    outcomes: Counter[str] = Counter()
    slots, account = asyncio.Semaphore(20), asyncio.BoundedSemaphore(capacity)

    async def submit(permit: Permit) -> None:
        try:
            while True:
                permit.note_sending()
                await asyncio.sleep(0.2)
                if not account.locked():
                    break
                outcomes["refused"] += 1
                permit.note_refused(None)
                await permit.enter_again()
        except BusyError:
            outcomes["gave up"] += 1
        else:
            await account.acquire()
            permit.note_accepted()
            outcomes["accepted"] += 1
            await asyncio.sleep(random.uniform(25.0, 35.0))
            account.release()
            await asyncio.sleep(0.5)  # until it is noticed
        permit.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(submissions):
            await slots.acquire()
            group.create_task(submit(await limiter.enter(slots.release)))
    return outcomes


@pytest.mark.parametrize("capacity", [1, 2, 5, 15])
def test_a_run_finds_the_capacity_of_the_account(capacity: int) -> None:
    """Few submissions are refused, the account is seldom idle, and none gives up while others are accepted."""
    random.seed(capacity)

    async def main() -> None:
        outcomes = await simulate(make_limiter(20, patience=100.0), 40 * capacity, capacity)
        assert outcomes["accepted"] == 40 * capacity
        assert outcomes["refused"] < 120  # 1,000 and more if each retries independently
        assert get_time() < 40 * 30 * 1.25

    run_in_virtual_time(main())


def test_a_server_that_accepts_nothing_gets_one_request_at_a_time_until_patience_ends() -> None:
    random.seed(1)

    async def main() -> None:
        outcomes = await simulate(make_limiter(20, patience=900.0), 20, 0)
        assert outcomes["gave up"] == 20
        assert 900 - 30 < get_time() <= 900 + 30
        # 20 + 14 + 9 + ... until one is left, and that one every 15 s; 1,280 if each retries independently
        assert outcomes["refused"] < 170

    run_in_virtual_time(main())


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a server that accepts two tasks in parallel."""
    with run_sandbox(tmp_path / "free.db", plan="free", speed=50) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        yield service


def write_prompts(count: int) -> None:
    """Write a prompt file, prompts.txt."""
    Path("prompts.txt").write_text("".join(f"boat {number}\n" for number in range(count)))


BATCH = "gen --from prompts.txt -m schnell --size 64x64"


def test_ten_parallel_tasks_adapt_to_a_limit_of_two(flux: Flux, small_server: Service) -> None:
    write_prompts(20)
    result = flux(f"{BATCH} -j 10")

    assert (result.code, len(result.out.split())) == (0, 20)
    charged = Counter(object_at(charge.body, "input")["prompt"] for charge in small_server.charges)
    assert set(charged.values()) == {1}
    assert len(charged) == 20
    refused = small_server.count_posts() - 20
    assert 0 < refused < 50, "independent entries would be refused five times each, 100 in total"
    reported = [line for line in result.err.splitlines() if "busy" in line or "code 1400" in line]
    assert len(reported) <= 5
    assert reported[-1].startswith("PiAPI is busy: ")
    assert re.search(
        r"all running \(code 1400\)\. Trying again (now|in .* s)(, with 2 tasks in parallel)?$", reported[-1]
    )


def test_tasks_of_an_earlier_run_count_toward_the_limit(flux: Flux, small_server: Service) -> None:
    write_prompts(2)
    flux(f"{BATCH} --no-wait -q")
    write_prompts(6)
    result = flux(f"{BATCH} -j 2")

    assert (result.code, len(result.out.split())) == (0, 6)
    assert small_server.count_posts() == len(small_server.charges) == 6


def test_a_retry_after_beyond_the_timeout_is_not_waited_for(flux: Flux, service: Service, entries: Entries) -> None:
    service.reply_with(*POST, make_refusal(429, 1400, **{"retry-after": "60"}))
    result = flux("gen boat --timeout 50")

    assert result.code == 13
    assert "flux: the task could not be submitted: no (code 1400). Not charged." in result.err
    assert "trying again" not in result.err
    assert service.count_posts() == 1
    assert [entry.state for entry in entries()] == [State.PLANNED]


def test_ctrl_c_while_all_submissions_wait(service: Service, start: Start, entries: Entries) -> None:
    service.reply_with(*POST, *[make_refusal(429, 1400, **{"retry-after": "300"})] * 99)
    write_prompts(9)
    process = start(f"{BATCH} -j 3")
    assert process.stderr is not None
    assert any(line.startswith("PiAPI is busy: ") for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert "flux:" not in err
    assert "Interrupted: 9 not started; $0.00 spent (" in err
    assert "Traceback" not in err
    assert service.count_posts() <= 3
    assert service.charges == []
    assert {entry.state for entry in entries()} == {State.PLANNED}


def test_a_waiting_submission_is_not_sent_after_the_run_stopped(flux: Flux, service: Service) -> None:
    """The key is refused while two submissions wait, which would be sent ten seconds later."""
    flux("gen first --no-wait")
    with Session.create(CommonOptions(quiet=True), {"concurrency": "3"}) as session:
        (first,) = session.journal.entries()
        claimed = session.journal.claim(first)
        assert claimed is not None
        service.reply_with(*POLL, (503, {"retry-after": "1"}, b""), (401, {}, b""))
        service.reply_with(*POST, *[make_refusal(429, 1400, **{"retry-after": "10"})] * 2)
        code = finish(session, [claimed, *plan_entries(session, 4)])
        states = [entry.state for entry in session.journal.entries()]

    assert code is ExitCode.CONFIG
    assert states == [State.ACCEPTED] + [State.PLANNED] * 4
    assert len(service.charges) == 1
