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

from .crash_harness import Harness, prompt_of, run_harness
from .engine_faults import STATEMENTS
from .injection import Injection, Point, hold_request, kill_and_wait, kill_process
from .runner import ERR, Runner, start_runner
from .test_promises import POST, wait_until

if sys.platform == "win32":
    pytest.skip("nothing kills as SIGKILL does", allow_module_level=True)

KILLS = int(os.environ.get("FLUX_KILLS", "16"))
KILLS_OF_A_ROUND, ROWS = 8, 4


@pytest.fixture(scope="module")
def runners() -> Iterator[tuple[Runner, Runner]]:
    with start_runner() as one, start_runner() as other:
        yield one, other


@pytest.fixture
def runner(runners: tuple[Runner, Runner]) -> Runner:
    return runners[0]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    with run_harness(tmp_path, monkeypatch) as found:
        yield found


def has_failure(harness: Harness, failure: str) -> bool:
    return any(found.startswith(failure) for found in harness.failures)


def die_at_every_step(harness: Harness, runner: Runner, fault: str | None = None, sought: str = "none") -> int:
    """Kill a batch at its first durable step, another one at its second, and so on; gives how many died.

    sought: the fault that a broken engine has; it is found once.
    """
    for step in itertools.count(1):
        if harness.run(runner, harness.make_batch([f"boat {step}"]), die_at_step=step, fault=fault) >= 0:
            break
        if has_failure(harness, sought):
            return step
    harness.finish(runner, fault=fault)
    return step - 1


POINTS = {(kind, when) for kind in ("create", "poll", "image") for when in ("arrived", "done", "half")}


def die_at_every_moment(
    harness: Harness, runner: Runner, fault: str | None = None, sought: str = "none"
) -> list[Point]:
    """The same for every moment of a batch's requests; gives those at which one died."""
    died = list[Point]()
    for number in itertools.count(1):
        injection = Injection(number, kill_process)
        if harness.run(runner, harness.make_batch([f"ship {number}"]), injection, fault=fault) >= 0:
            break
        died.append(injection.points[number - 1])
        if has_failure(harness, sought):
            return died
    for point in sorted(POINTS - set(died)):  # chance moves polls, and with them the numbers of what follows
        injection = Injection(point, kill_process)
        if harness.run(runner, harness.make_batch([f"ship {' '.join(point)}"]), injection, fault=fault) < 0:
            died.append(point)
    harness.finish(runner, fault=fault)
    return died


def test_killed_at_every_durable_step(harness: Harness, runner: Runner) -> None:
    died = die_at_every_step(harness, runner)
    assert harness.failures == []
    assert died > 30


def test_killed_at_every_moment_that_the_service_sees(harness: Harness, runner: Runner) -> None:
    died = die_at_every_moment(harness, runner)
    assert harness.failures == []
    assert set(died) >= POINTS


def test_killed_while_an_image_is_uploaded(harness: Harness, runner: Runner) -> None:
    Image.new("RGB", (256, 256), "red").save("../photo.png")
    harness.command = "edit ../photo.png"
    for when in ("arrived", "done", "half", "answered"):
        injection = Injection(("upload", when), kill_process)
        assert harness.run(runner, harness.make_batch([when]), injection) < 0
    harness.finish(runner)
    assert harness.failures == []


def random_death(chance: random.Random) -> dict[str, Any]:
    """A death at a step, at a moment, or at any time."""
    return chance.choice(
        [
            {"die_at_step": chance.randint(1, 140)},
            {"injection": Injection(chance.randint(1, 60), kill_process)},
            {"die_after": chance.uniform(0.02, 0.4)},
        ]
    )


def random_round(harness: Harness, runners: tuple[Runner, Runner], chance: random.Random, kills: int) -> int:
    """Run a batch, or resume it, until so many have been killed or it is done; sometimes two at once."""
    batch = harness.make_batch([f"boat {number}" for number in range(ROWS)])
    died = 0
    while died < kills:
        running = []
        for runner in runners[: chance.choice([1, 1, 2])]:
            words = chance.choice([batch, batch, [*batch, "--no-wait"], ["resume"]])
            running.append((runner, harness.start(runner, words, **random_death(chance))))
        codes = [harness.end(runner, order) for runner, order in running]
        died += sum(code < 0 for code in codes)
        ended = [entry for entry in harness.read_entries() if entry.state in (State.SAVED, State.UNKNOWN)]
        if len(ended) >= ROWS:
            break
    harness.finish(runners[0])
    return died


def test_killed_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runners: tuple[Runner, Runner]) -> None:
    died = 0
    for number in itertools.count():
        (root := tmp_path / str(number)).joinpath("work").mkdir(parents=True)
        with run_harness(root, monkeypatch) as harness:
            died += random_round(harness, runners, random.Random(number), min(KILLS_OF_A_ROUND, KILLS - died))
        assert harness.failures == [], f"round {number}"
        if died >= KILLS:
            break


def test_two_that_resume_at_once_and_one_is_killed(harness: Harness, runners: tuple[Runner, Runner]) -> None:
    """The batch before them was killed too, in the midst of its polls."""
    one, other = runners
    for number in range(1, 8):
        prompts = [f"boat {number}-{place}" for place in range(3)]
        harness.run(one, harness.make_batch(prompts), Injection(("poll", "arrived"), kill_process))
        first = harness.start(other, ["resume"])
        second = harness.start(one, ["resume"], Injection(number, kill_process))
        harness.end(other, first)
        harness.end(one, second)
    harness.finish(one)
    assert harness.failures == []


def test_those_who_look_after_a_dead_process_do_not_take_each_other_for_it(tmp_path: Path) -> None:
    lock = tmp_path / "dead.lock"
    lock.touch()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(1000):
            assert not any(pool.map(is_held, [lock] * 8))


def test_one_that_waits_for_a_place_gets_it_when_its_holder_is_killed(
    harness: Harness, runners: tuple[Runner, Runner]
) -> None:
    one, other = runners
    injection = Injection(("poll", "arrived"), hold_request)
    first = harness.start(one, [*harness.make_batch(["holder"]), "-j", "1"], injection)
    wait_until(lambda: injection.triggered_at > 0)
    second = harness.start(other, [*harness.make_batch(["waiting"]), "-j", "1"], Injection())
    wait_until(lambda: "queued:" in (Path(second.folder) / ERR).read_text())
    kill_and_wait(injection.pid)
    harness.end(one, first)
    assert harness.end(other, second) == 0
    injection.released = True
    harness.finish(one)
    assert harness.failures == []


def test_a_resubmission_is_sent_once_wherever_it_is_killed(harness: Harness, runner: Runner) -> None:
    prompts = [f"boat {number}" for number in range(1, 25)]
    harness.service.reply_with(*POST, *[(500, {}, b"")] * len(prompts))
    harness.may_be_unknown |= set(prompts)
    harness.run(runner, harness.make_batch(prompts))
    lost = [entry.id for entry in harness.read_entries()]
    for step, entry in enumerate(lost, 1):
        harness.run(runner, ["resolve", entry, "--resubmit", "-y"], die_at_step=step)
    harness.run(runner, ["resolve", *lost, "--resubmit", "-y"])
    assert len(harness.read_charges()) > len(prompts) - 3  # of those that died with a POST on its way nobody knows
    harness.finish(runner)
    assert harness.failures == []


def raise_while_one_is_in_flight(harness: Harness, runner: Runner, fault: str) -> set[str]:
    """Let a statement of the loop raise before the response to the first POST comes; gives what is saved then."""
    harness.run(runner, harness.make_batch(["known"]))
    injection = Injection(("create", "done"), hold_request)
    harness.exit_codes.add(ExitCode.BUG)
    order = harness.start(runner, harness.make_batch(["one", "two", "known", "three", "four"]), injection, fault=fault)
    wait_until(lambda: "raised" in (Path(order.folder) / ERR).read_text())
    injection.released = True
    assert harness.end(runner, order) in (ExitCode.BUG, ExitCode.UNKNOWN_CHARGE)
    return {prompt_of(entry) for entry in harness.read_entries() if entry.state is State.SAVED}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_bug_in_the_loop_cuts_off_nothing_that_is_in_flight(harness: Harness, runner: Runner, statement: str) -> None:
    saved = raise_while_one_is_in_flight(harness, runner, f"raise_at_{statement}")
    assert saved == {*harness.read_charges().values()} > {"known"}
    harness.finish(runner)
    assert harness.failures == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_loop_that_cuts_off_what_is_in_flight_is_found(harness: Harness, runner: Runner, statement: str) -> None:
    raise_while_one_is_in_flight(harness, runner, f"cancel_at_{statement}")
    assert has_failure(harness, "unknown without a reason"), harness.failures


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("record_sending_after_response", "charged 2 times"),
        ("resend_after_crash", "charged 2 times"),
        ("write_in_place", "torn"),
        ("poll_before_recording_acceptance", "poll before it was recorded"),
    ],
)
def test_a_broken_engine_is_found(harness: Harness, runner: Runner, fault: str, found: str) -> None:
    """These tests can fail: they do when an engine has a fault."""
    die_at_every_moment(harness, runner, fault, found)
    assert has_failure(harness, found), harness.failures


def test_a_broken_engine_is_found_between_two_moments(harness: Harness, runner: Runner) -> None:
    die_at_every_step(harness, runner, "record_saved_before_rename", "saved, but missing")
    assert has_failure(harness, "saved, but missing"), harness.failures
