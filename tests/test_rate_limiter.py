"""How many tasks at once: the window by itself, in virtual time, and the program against a service that has less room
than it was told."""

import asyncio
import random
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_cli.cli.common_options import CommonOptions
from flux_cli.cli.context import Session
from flux_cli.engine.rate_limiter import BusyError, ClosedError, Permit, RateLimiter
from flux_cli.errors import ExitCode
from flux_cli.journal.entries import State
from flux_cli.json_value import object_at
from flux_cli.system.clock import Clock

from .conftest import KEY, Flux
from .servers import Service, run_sandbox
from .test_engine import finish, plan_entries
from .test_promises import LOOK, POST, Entries, Start, refusal

T = TypeVar("T")
MOMENT = 1e-6
"""In virtual time: everything that can happen without waiting has happened after it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while nothing else happens, and then at once."""

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


def now() -> float:
    return asyncio.get_running_loop().time()


def virtually(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def new_limiter(limit: int, *, patience: float = 1e9, scale: float = 1.0) -> RateLimiter:
    return RateLimiter(limit, patience, Clock(now, asyncio.sleep, scale))


def free() -> None:
    """A slot that nobody needs."""


def sent(permit: Permit) -> Permit:
    permit.sending()
    return permit


class Line:
    """A limiter, and what must be true of it: who is inside, who waits, and how they were let in."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.limiter = new_limiter(limit, scale=0)  # without backoff: the quiet time is what the server asks for
        self.inside: list[Permit] = []
        self.waiting: list[asyncio.Task[None]] = []
        self.let_in: list[asyncio.Task[None] | None] = []
        self.quiet = 0.0

    def join(self, work: Callable[[], Awaitable[Permit]]) -> None:
        async def visit() -> None:
            permit = await work()
            self.inside.append(permit)
            self.let_in.append(asyncio.current_task())
            assert len(self.inside) <= self.limiter.window
            assert now() >= self.quiet

        self.waiting.append(asyncio.create_task(visit()))

    def come(self) -> None:
        self.join(lambda: self.limiter.enter(free))

    def follow(self) -> None:
        self.inside.append(self.limiter.follow(free))

    def accept(self, many: int) -> None:
        for permit in self.inside[:many]:
            sent(permit).accepted()

    def refuse(self, many: int, asked: float) -> None:
        refused, self.inside = self.inside[:many], self.inside[many:]
        for permit in refused:
            permit.sending()
        for permit in refused:
            permit.refused(asked)
            self.quiet = max(self.quiet, now() + asked)

            async def again(permit: Permit = permit) -> Permit:
                await permit.enter_again()
                return permit

            self.join(again)

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
        assert [task for task in done if not task.cancelled()] == self.let_in, "not in the order they came"
        self.let_in.clear()
        self.waiting = [task for task in self.waiting if not task.done()]
        assert 1 <= self.limiter.window <= self.limit
        if self.waiting and now() > self.quiet + MOMENT:
            assert len(self.inside) >= self.limiter.window, "there is a permit, and nobody was woken"


STEPS = st.one_of(
    st.tuples(st.just("come")),
    st.tuples(st.just("come")),
    st.tuples(st.just("follow")),
    st.tuples(st.sampled_from(["finish", "cancel"]), st.integers(0, 99)),
    st.tuples(st.just("accept"), st.integers(1, 8)),
    st.tuples(st.just("refuse"), st.integers(1, 8), st.sampled_from([0.0, 0.0, 1.0, 300.0])),
    st.tuples(st.just("settle"), st.sampled_from([MOMENT, MOMENT, 0.5, 299.0])),
)


@given(st.integers(1, 8), st.lists(STEPS, min_size=20, max_size=60))
def test_whatever_happens_the_window_has_its_bounds_and_the_line_its_order(limit: int, steps: list[Any]) -> None:
    """Steps that are not settled between happen in the same moment: a permit comes free as its heir goes away."""

    async def main() -> None:
        line = Line(limit)
        for name, *values in steps:
            step = getattr(line, name)(*values)
            if name == "settle":
                await step
        while line.inside or line.waiting:
            await line.settle(301)
            while line.inside:
                line.finish(0)
        # The window is whole again: all permits can be had, and not one more.
        for _ in range(limit * limit):
            accepted = line.limiter.follow(free)
            accepted.accepted()
            accepted.release()
        for _ in range(limit + 1):
            line.come()
        await line.settle()
        assert (len(line.inside), len(line.waiting)) == (limit, 1)
        line.cancel(0)
        line.refuse(1, 300.0)
        await line.settle()
        line.cancel(0)
        await line.settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nobody sleeps for one who has gone

    virtually(main())


def test_refusals_of_submissions_that_left_together_count_once() -> None:
    async def main() -> None:
        limiter = new_limiter(10)
        permits = [sent(await limiter.enter(free)) for _ in range(10)]
        for permit in permits[:5]:
            permit.refused(None)
        assert limiter.window == 7
        later = sent(permits[5])
        for permit in permits[6:]:
            permit.refused(None)
        assert limiter.window == 7
        later.refused(None)  # it left after the decrease, alone
        assert limiter.window == 1

    virtually(main())


def test_a_server_that_asks_to_be_left_alone_is() -> None:
    """By all, also by those who were not told; and a refusal that asks for less does not shorten it."""

    async def main() -> None:
        limiter = new_limiter(4)
        told, also = sent(await limiter.enter(free)), sent(await limiter.enter(free))
        assert told.refused(300.0) == 300
        assert also.refused(2.0) == 300
        newcomer = asyncio.create_task(limiter.enter(free))
        await asyncio.sleep(299)
        assert not newcomer.done()
        await newcomer
        assert now() == pytest.approx(300)

    virtually(main())


def test_a_halt_sends_home_all_who_wait() -> None:
    async def main() -> None:
        limiter = new_limiter(4)
        permits = [sent(await limiter.enter(free)) for _ in range(4)]
        for permit in permits:
            permit.refused(300.0)
        line = [asyncio.create_task(permit.enter_again()) for permit in permits]
        newcomer = asyncio.create_task(limiter.enter(free))
        await asyncio.sleep(MOMENT)
        limiter.close()
        results = await asyncio.gather(*line, newcomer, return_exceptions=True)
        assert [type(result) for result in results] == [ClosedError] * 5
        assert now() < 1

    virtually(main())


async def run(limiter: RateLimiter, submissions: int, room: int) -> Counter[str]:
    """Submissions, twenty at once, to an account with room for some: what became of them."""
    happened: Counter[str] = Counter()
    slots, account = asyncio.Semaphore(20), asyncio.BoundedSemaphore(room)

    async def one(permit: Permit) -> None:
        try:
            while True:
                permit.sending()
                await asyncio.sleep(0.2)
                if not account.locked():
                    break
                happened["refused"] += 1
                permit.refused(None)
                await permit.enter_again()
        except BusyError:
            happened["gave up"] += 1
        else:
            await account.acquire()
            permit.accepted()
            happened["accepted"] += 1
            await asyncio.sleep(random.uniform(25.0, 35.0))
            account.release()
            await asyncio.sleep(0.5)  # until it is noticed
        permit.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(submissions):
            await slots.acquire()
            group.create_task(one(await limiter.enter(slots.release)))
    return happened


@pytest.mark.parametrize("room", [1, 2, 5, 15])
def test_a_run_finds_the_room_there_is(room: int) -> None:
    """Few are refused, the account is seldom idle, and as long as some are taken nobody loses patience."""
    random.seed(room)

    async def main() -> None:
        happened = await run(new_limiter(20, patience=100.0), 40 * room, room)
        assert happened["accepted"] == 40 * room
        assert happened["refused"] < 120  # 1,000 and more when each tries by itself
        assert now() < 40 * 30 * 1.25

    virtually(main())


def test_a_service_that_takes_nothing_is_asked_by_one_at_a_time_until_patience_ends() -> None:
    random.seed(1)

    async def main() -> None:
        happened = await run(new_limiter(20, patience=900.0), 20, 0)
        assert happened["gave up"] == 20
        assert 900 - 30 < now() <= 900 + 30
        # 20 + 14 + 9 + ... until one is left, and that one every 15 s; 1,280 when each tries by itself
        assert happened["refused"] < 170

    virtually(main())


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A service with room for two."""
    with run_sandbox(tmp_path / "free.db", plan="free", speed=50) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        yield service


def prompts(count: int) -> None:
    """A prompt file, prompts.txt."""
    Path("prompts.txt").write_text("".join(f"boat {number}\n" for number in range(count)))


BATCH = "gen --from prompts.txt -m schnell --size 64x64"


def test_ten_at_once_where_two_fit(flux: Flux, small: Service) -> None:
    prompts(20)
    result = flux(f"{BATCH} -j 10")

    assert (result.code, len(result.out.split())) == (0, 20)
    bought = Counter(object_at(charge.body, "input")["prompt"] for charge in small.charges)
    assert set(bought.values()) == {1}
    assert len(bought) == 20
    refused = small.count_posts() - 20
    assert 0 < refused < 50, "by itself each entry would be refused five times, 100 together"
    told = [line for line in result.err.splitlines() if "busy" in line or "code 1400" in line]
    assert len(told) <= 5
    assert told[-1].startswith("PiAPI is busy: ")
    assert re.search(
        r"all running \(code 1400\)\. Continuing with (1 task|2 tasks) in parallel (now|in .* s)$", told[-1]
    )


def test_tasks_of_an_earlier_run_are_known_to_take_room(flux: Flux, small: Service) -> None:
    prompts(2)
    flux(f"{BATCH} --no-wait -q")
    prompts(6)
    result = flux(f"{BATCH} -j 2")

    assert (result.code, len(result.out.split())) == (0, 6)
    assert small.count_posts() == len(small.charges) == 6


def test_a_retry_after_longer_than_the_time_out_is_not_waited_for(
    flux: Flux, service: Service, entries: Entries
) -> None:
    service.reply_with(*POST, refusal(429, 1400, **{"retry-after": "60"}))
    result = flux("gen boat --timeout 50")

    assert result.code == 13
    assert "flux: the task could not be submitted: no (code 1400). Not charged." in result.err
    assert "trying again" not in result.err
    assert service.count_posts() == 1
    assert [entry.state for entry in entries()] == [State.PLANNED]


def test_ctrl_c_while_all_wait(service: Service, start: Start, entries: Entries) -> None:
    service.reply_with(*POST, *[refusal(429, 1400, **{"retry-after": "300"})] * 99)
    prompts(9)
    process = start(f"{BATCH} -j 3")
    assert process.stderr is not None
    assert any(line.startswith("PiAPI is busy: ") for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert {line for line in err.splitlines() if line.startswith("flux:")} == {"flux: interrupted. Not charged."}
    assert "9 not started; $0.00 spent in " in err
    assert "Traceback" not in err
    assert service.count_posts() <= 3
    assert service.charges == []
    assert {entry.state for entry in entries()} == {State.PLANNED}


def test_what_waits_is_not_sent_after_the_run_halted(flux: Flux, service: Service) -> None:
    """The key is refused while two wait for the service: they would have been sent ten seconds later."""
    flux("gen first --no-wait")
    with Session.create(CommonOptions(quiet=True), {"concurrency": "3"}) as session:
        (first,) = session.journal.entries()
        claimed = session.journal.claim(first)
        assert claimed is not None
        service.reply_with(*LOOK, (503, {"retry-after": "1"}, b""), (401, {}, b""))
        service.reply_with(*POST, *[refusal(429, 1400, **{"retry-after": "10"})] * 2)
        code = finish(session, [claimed, *plan_entries(session, 4)])
        states = [entry.state for entry in session.journal.entries()]

    assert code is ExitCode.CONFIG
    assert states == [State.ACCEPTED] + [State.PLANNED] * 4
    assert len(service.charges) == 1
