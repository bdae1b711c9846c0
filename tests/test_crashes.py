"""Kill a batch at every step, run it again, and count the charges on the server's side.

FLUX_KILLS: the number of random kills.
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
    pytest.skip("there is no SIGKILL", allow_module_level=True)

KILLS = int(os.environ.get("FLUX_KILLS", "16"))
KILLS_PER_ROUND, ROWS = 8, 4


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


def kill_at_every_step(harness: Harness, runner: Runner, fault: str | None = None, expected: str = "none") -> int:
    """Kill a batch at its first durable step, the next one at its second, and so on; return the number of kills.

    expected: the failure that a broken engine causes; stop when it is found.
    """
    for step in itertools.count(1):
        if harness.run(runner, harness.make_batch([f"boat {step}"]), die_at_step=step, fault=fault) >= 0:
            break
        if has_failure(harness, expected):
            return step
    harness.finish(runner, fault=fault)
    return step - 1


POINTS = {(kind, when) for kind in ("create", "poll", "image") for when in ("arrived", "done", "half")}


def kill_at_every_point(
    harness: Harness, runner: Runner, fault: str | None = None, expected: str = "none"
) -> list[Point]:
    """Kill batches at every point of their requests; return the points of the kills."""
    killed = list[Point]()
    for number in itertools.count(1):
        injection = Injection(number, kill_process)
        if harness.run(runner, harness.make_batch([f"ship {number}"]), injection, fault=fault) >= 0:
            break
        killed.append(injection.points[number - 1])
        if has_failure(harness, expected):
            return killed
    for point in sorted(POINTS - set(killed)):  # the number of polls varies, and with it the numbers of later points
        injection = Injection(point, kill_process)
        if harness.run(runner, harness.make_batch([f"ship {' '.join(point)}"]), injection, fault=fault) < 0:
            killed.append(point)
    harness.finish(runner, fault=fault)
    return killed


def test_batches_killed_at_every_durable_step_lose_nothing(harness: Harness, runner: Runner) -> None:
    killed = kill_at_every_step(harness, runner)
    assert harness.failures == []
    assert killed > 30


def test_batches_killed_at_every_point_of_a_request_lose_nothing(harness: Harness, runner: Runner) -> None:
    killed = kill_at_every_point(harness, runner)
    assert harness.failures == []
    assert set(killed) >= POINTS


def test_a_batch_killed_during_an_upload_loses_nothing(harness: Harness, runner: Runner) -> None:
    Image.new("RGB", (256, 256), "red").save("../photo.png")
    harness.command = "edit ../photo.png"
    for when in ("arrived", "done", "half", "answered"):
        injection = Injection(("upload", when), kill_process)
        assert harness.run(runner, harness.make_batch([when]), injection) < 0
    harness.finish(runner)
    assert harness.failures == []


def choose_kill(rng: random.Random) -> dict[str, Any]:
    """Return options that kill a run at a step, at a point of a request, or at any time."""
    return rng.choice(
        [
            {"die_at_step": rng.randint(1, 140)},
            {"injection": Injection(rng.randint(1, 60), kill_process)},
            {"die_after": rng.uniform(0.02, 0.4)},
        ]
    )


def run_random_round(harness: Harness, runners: tuple[Runner, Runner], rng: random.Random, kills: int) -> int:
    """Run or resume a batch, sometimes in two processes, until enough runs were killed or it is finished."""
    batch = harness.make_batch([f"boat {number}" for number in range(ROWS)])
    killed = 0
    while killed < kills:
        running = []
        for runner in runners[: rng.choice([1, 1, 2])]:
            words = rng.choice([batch, batch, [*batch, "--no-wait"], ["resume"]])
            running.append((runner, harness.start(runner, words, **choose_kill(rng))))
        codes = [harness.end(runner, spec) for runner, spec in running]
        killed += sum(code < 0 for code in codes)
        ended = [entry for entry in harness.read_entries() if entry.state in (State.SAVED, State.UNKNOWN)]
        if len(ended) >= ROWS:
            break
    harness.finish(runners[0])
    return killed


def test_batches_killed_at_random_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runners: tuple[Runner, Runner]
) -> None:
    killed = 0
    for number in itertools.count():
        (root := tmp_path / str(number)).joinpath("work").mkdir(parents=True)
        with run_harness(root, monkeypatch) as harness:
            killed += run_random_round(harness, runners, random.Random(number), min(KILLS_PER_ROUND, KILLS - killed))
        assert harness.failures == [], f"round {number}"
        if killed >= KILLS:
            break


def test_a_kill_during_two_parallel_resumes_loses_nothing(harness: Harness, runners: tuple[Runner, Runner]) -> None:
    """The batch before them was also killed, while it polled."""
    one, other = runners
    for number in range(1, 8):
        prompts = [f"boat {number}-{index}" for index in range(3)]
        harness.run(one, harness.make_batch(prompts), Injection(("poll", "arrived"), kill_process))
        first = harness.start(other, ["resume"])
        second = harness.start(one, ["resume"], Injection(number, kill_process))
        harness.end(other, first)
        harness.end(one, second)
    harness.finish(one)
    assert harness.failures == []


def test_concurrent_checks_of_a_dead_lock_do_not_see_each_other(tmp_path: Path) -> None:
    lock = tmp_path / "dead.lock"
    lock.touch()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(1000):
            assert not any(pool.map(is_held, [lock] * 8))


def test_a_queued_process_gets_the_slot_of_a_killed_one(harness: Harness, runners: tuple[Runner, Runner]) -> None:
    one, other = runners
    injection = Injection(("poll", "arrived"), hold_request)
    first = harness.start(one, [*harness.make_batch(["holder"]), "-j", "1"], injection)
    wait_until(lambda: injection.triggered_at > 0)
    second = harness.start(other, [*harness.make_batch(["waiting"]), "-j", "1"], Injection())
    wait_until(lambda: "queued;" in (Path(second.directory) / ERR).read_text())
    kill_and_wait(injection.pid)
    harness.end(one, first)
    assert harness.end(other, second) == 0
    injection.released = True
    harness.finish(one)
    assert harness.failures == []


def test_a_resubmission_killed_at_any_step_is_sent_once(harness: Harness, runner: Runner) -> None:
    prompts = [f"boat {number}" for number in range(1, 25)]
    harness.service.reply_with(*POST, *[(500, {}, b"")] * len(prompts))
    harness.may_be_unknown |= set(prompts)
    harness.run(runner, harness.make_batch(prompts))
    unknown = [entry.id for entry in harness.read_entries()]
    for step, entry in enumerate(unknown, 1):
        harness.run(runner, ["resolve", entry, "--resubmit", "-y"], die_at_step=step)
    harness.run(runner, ["resolve", *unknown, "--resubmit", "-y"])
    assert len(harness.read_charges()) > len(prompts) - 3  # a kill during a POST leaves the outcome unknown
    harness.finish(runner)
    assert harness.failures == []


def raise_during_submission(harness: Harness, runner: Runner, fault: str) -> set[str]:
    """Let a statement of the scheduler raise before the first POST is answered; return the prompts that are saved."""
    harness.run(runner, harness.make_batch(["known"]))
    injection = Injection(("create", "done"), hold_request)
    harness.exit_codes.add(ExitCode.BUG)
    spec = harness.start(runner, harness.make_batch(["one", "two", "known", "three", "four"]), injection, fault=fault)
    wait_until(lambda: "raised" in (Path(spec.directory) / ERR).read_text())
    injection.released = True
    assert harness.end(runner, spec) in (ExitCode.BUG, ExitCode.UNKNOWN_CHARGE)
    return {prompt_of(entry) for entry in harness.read_entries() if entry.state is State.SAVED}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_bug_in_the_scheduler_cancels_no_task_in_flight(harness: Harness, runner: Runner, statement: str) -> None:
    saved = raise_during_submission(harness, runner, f"raise_at_{statement}")
    assert saved == {*harness.read_charges().values()} > {"known"}
    harness.finish(runner)
    assert harness.failures == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_scheduler_that_cancels_tasks_in_flight_is_detected(harness: Harness, runner: Runner, statement: str) -> None:
    raise_during_submission(harness, runner, f"cancel_at_{statement}")
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
def test_a_broken_engine_is_detected(harness: Harness, runner: Runner, fault: str, found: str) -> None:
    """Prove that the tests above fail if the engine has a fault."""
    kill_at_every_point(harness, runner, fault, found)
    assert has_failure(harness, found), harness.failures


def test_a_broken_engine_is_detected_at_a_durable_step(harness: Harness, runner: Runner) -> None:
    kill_at_every_step(harness, runner, "record_saved_before_rename", "saved, but missing")
    assert has_failure(harness, "saved, but missing"), harness.failures
