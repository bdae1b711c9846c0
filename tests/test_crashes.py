"""A batch that is killed at every step, again and again, and run again: charges are counted on the server's side.

FLUX_KILLS: how many random deaths are died.
"""

import itertools
import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flux_cli.errors import ExitCode
from flux_cli.journal.entries import State
from flux_cli.system.file_locks import is_held

from .broken import STATEMENTS
from .crashing import World, prompt_of, world
from .moments import Life, Moment, dies, holds, kill
from .test_promises import POST, wait_until
from .warm import ERR, Warm, warm

if sys.platform == "win32":
    pytest.skip("nothing kills as SIGKILL does", allow_module_level=True)

KILLS = int(os.environ.get("FLUX_KILLS", "16"))
KILLS_OF_A_ROUND, ROWS = 8, 4


@pytest.fixture(scope="module")
def runners() -> Iterator[tuple[Warm, Warm]]:
    with warm() as one, warm() as other:
        yield one, other


@pytest.fixture
def runner(runners: tuple[Warm, Warm]) -> Warm:
    return runners[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(tmp_path, monkeypatch) as found:
        yield found


def is_found(here: World, fault: str) -> bool:
    return any(found.startswith(fault) for found in here.faults)


def die_at_every_step(here: World, runner: Warm, broken: str | None = None, sought: str = "none") -> int:
    """Kill a batch at its first durable step, another one at its second, and so on; gives how many died.

    sought: the fault that a broken engine has; it is found once.
    """
    for step in itertools.count(1):
        if here.run(runner, here.batch([f"boat {step}"]), dies=step, broken=broken) >= 0:
            break
        if is_found(here, sought):
            return step
    here.finish(runner, broken=broken)
    return step - 1


MOMENTS = {(kind, when) for kind in ("create", "poll", "image") for when in ("arrived", "done", "half")}


def die_at_every_moment(here: World, runner: Warm, broken: str | None = None, sought: str = "none") -> list[Moment]:
    """The same for every moment of a batch's requests; gives those at which one died."""
    died = list[Moment]()
    for number in itertools.count(1):
        life = Life(number, dies)
        if here.run(runner, here.batch([f"ship {number}"]), life, broken=broken) >= 0:
            break
        died.append(life.moments[number - 1])
        if is_found(here, sought):
            return died
    for moment in sorted(MOMENTS - set(died)):  # chance moves polls, and with them the numbers of what follows
        life = Life(moment, dies)
        if here.run(runner, here.batch([f"ship {' '.join(moment)}"]), life, broken=broken) < 0:
            died.append(moment)
    here.finish(runner, broken=broken)
    return died


def test_killed_at_every_durable_step(here: World, runner: Warm) -> None:
    died = die_at_every_step(here, runner)
    assert here.faults == []
    assert died > 30


def test_killed_at_every_moment_that_the_service_sees(here: World, runner: Warm) -> None:
    died = die_at_every_moment(here, runner)
    assert here.faults == []
    assert set(died) >= MOMENTS


def test_killed_while_an_image_is_uploaded(here: World, runner: Warm) -> None:
    Image.new("RGB", (256, 256), "red").save("../photo.png")
    here.command = "edit ../photo.png"
    for when in ("arrived", "done", "half", "answered"):
        life = Life(("upload", when), dies)
        assert here.run(runner, here.batch([when]), life) < 0
    here.finish(runner)
    assert here.faults == []


def random_death(chance: random.Random) -> dict[str, Any]:
    """A death at a step, at a moment, or at any time."""
    return chance.choice(
        [
            {"dies": chance.randint(1, 140)},
            {"life": Life(chance.randint(1, 60), dies)},
            {"after": chance.uniform(0.02, 0.4)},
        ]
    )


def random_round(here: World, runners: tuple[Warm, Warm], chance: random.Random, kills: int) -> int:
    """Run a batch, or resume it, until so many have been killed or it is done; sometimes two at once."""
    batch = here.batch([f"boat {number}" for number in range(ROWS)])
    died = 0
    while died < kills:
        running = []
        for runner in runners[: chance.choice([1, 1, 2])]:
            words = chance.choice([batch, batch, [*batch, "--no-wait"], ["resume"]])
            running.append((runner, here.start(runner, words, **random_death(chance))))
        codes = [here.end(runner, order) for runner, order in running]
        died += sum(code < 0 for code in codes)
        ended = [entry for entry in here.entries() if entry.state in (State.SAVED, State.UNKNOWN)]
        if len(ended) >= ROWS:
            break
    here.finish(runners[0])
    return died


def test_killed_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runners: tuple[Warm, Warm]) -> None:
    died = 0
    for number in itertools.count():
        (root := tmp_path / str(number)).joinpath("work").mkdir(parents=True)
        with world(root, monkeypatch) as here:
            died += random_round(here, runners, random.Random(number), min(KILLS_OF_A_ROUND, KILLS - died))
        assert here.faults == [], f"round {number}"
        if died >= KILLS:
            break


def test_two_that_resume_at_once_and_one_is_killed(here: World, runners: tuple[Warm, Warm]) -> None:
    """The batch before them was killed too, in the midst of its polls."""
    one, other = runners
    for number in range(1, 8):
        prompts = [f"boat {number}-{place}" for place in range(3)]
        here.run(one, here.batch(prompts), Life(("poll", "arrived"), dies))
        first = here.start(other, ["resume"])
        second = here.start(one, ["resume"], Life(number, dies))
        here.end(other, first)
        here.end(one, second)
    here.finish(one)
    assert here.faults == []


def test_those_who_look_after_a_dead_process_do_not_take_each_other_for_it(tmp_path: Path) -> None:
    lock = tmp_path / "dead.lock"
    lock.touch()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(1000):
            assert not any(pool.map(is_held, [lock] * 8))


def test_one_that_waits_for_a_place_gets_it_when_its_holder_is_killed(here: World, runners: tuple[Warm, Warm]) -> None:
    one, other = runners
    life = Life(("poll", "arrived"), holds)
    first = here.start(one, [*here.batch(["holder"]), "-j", "1"], life)
    wait_until(lambda: life.happened > 0)
    second = here.start(other, [*here.batch(["waiting"]), "-j", "1"], Life())
    wait_until(lambda: "queued:" in (Path(second.folder) / ERR).read_text())
    kill(life.process)
    here.end(one, first)
    assert here.end(other, second) == 0
    life.over = True
    here.finish(one)
    assert here.faults == []


def test_a_resubmission_is_sent_once_wherever_it_is_killed(here: World, runner: Warm) -> None:
    prompts = [f"boat {number}" for number in range(1, 25)]
    here.service.answer(*POST, *[(500, {}, b"")] * len(prompts))
    here.excused |= set(prompts)
    here.run(runner, here.batch(prompts))
    lost = [entry.id for entry in here.entries()]
    for step, entry in enumerate(lost, 1):
        here.run(runner, ["resolve", entry, "--resubmit", "-y"], dies=step)
    here.run(runner, ["resolve", *lost, "--resubmit", "-y"])
    assert len(here.charged()) > len(prompts) - 3  # of those that died with a POST on its way nobody knows
    here.finish(runner)
    assert here.faults == []


def raise_while_one_is_in_flight(here: World, runner: Warm, broken: str) -> set[str]:
    """Let a statement of the loop raise before the response to the first POST comes; gives what is saved then."""
    here.run(runner, here.batch(["known"]))
    life = Life(("create", "done"), holds)
    here.codes.add(ExitCode.BUG)
    order = here.start(runner, here.batch(["one", "two", "known", "three", "four"]), life, broken=broken)
    wait_until(lambda: "raised" in (Path(order.folder) / ERR).read_text())
    life.over = True
    assert here.end(runner, order) in (ExitCode.BUG, ExitCode.UNKNOWN_CHARGE)
    return {prompt_of(entry) for entry in here.entries() if entry.state is State.SAVED}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_bug_in_the_loop_cuts_off_nothing_that_is_in_flight(here: World, runner: Warm, statement: str) -> None:
    saved = raise_while_one_is_in_flight(here, runner, f"raises_at_{statement}")
    assert saved == {*here.charged().values()} > {"known"}
    here.finish(runner)
    assert here.faults == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_loop_that_cuts_off_what_is_in_flight_is_found(here: World, runner: Warm, statement: str) -> None:
    raise_while_one_is_in_flight(here, runner, f"cuts_off_at_{statement}")
    assert is_found(here, "unknown without a reason"), here.faults


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ("written_down_after_the_response", "charged 2 times"),
        ("sent_again_after_a_crash", "charged 2 times"),
        ("written_in_place", "torn"),
        ("polled_before_it_is_accepted", "poll before it was written down"),
    ],
)
def test_a_broken_engine_is_found(here: World, runner: Warm, broken: str, found: str) -> None:
    """These tests can fail: they do when an engine has a fault."""
    die_at_every_moment(here, runner, broken, found)
    assert is_found(here, found), here.faults


def test_a_broken_engine_is_found_between_two_moments(here: World, runner: Warm) -> None:
    die_at_every_step(here, runner, "saved_before_it_is_there", "saved, and not there")
    assert is_found(here, "saved, and not there"), here.faults
