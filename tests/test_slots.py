"""The limit on tasks at once, kept by processes that know nothing of each other but a folder."""

import asyncio
import errno
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flux_cli.engine.slots import PATIENCE, Slot, Slots
from flux_cli.errors import DiskError
from flux_cli.system import file_locks as locks

Process = subprocess.Popen[str]
Start = Callable[..., Process]

PREAMBLE = """
import asyncio, os, sys
from pathlib import Path
from flux_cli.engine.slots import Slots

slots = Slots(Path(sys.argv[1]), int(sys.argv[2]))
log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(word):
    os.write(log, f"{word} {os.getpid()}\\n".encode())
"""
WORKER = """
async def visit():
    slot = await slots.acquire()
    note("enter")
    await asyncio.sleep(0.002)
    note("leave")
    slot.release()

async def main():
    await asyncio.gather(*(visit() for _ in range(int(sys.argv[4]))))
"""
HOLDER = """
async def main():
    await slots.acquire()
    note("enter")
    await asyncio.sleep(60)
"""
RUN = "\nasyncio.run(main())\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "slots"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def start(folder: Path, log: Path) -> Iterator[Start]:
    """Starts a process with a limit and, for a worker, a number of visits. None outlives the test."""
    begun: list[Process] = []

    def begin(script: str, limit: int, visits: int = 0) -> Process:
        command = [sys.executable, "-c", PREAMBLE + script + RUN, str(folder), str(limit), str(log), str(visits)]
        begun.append(subprocess.Popen(command, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def until(met: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so. The limit is for a machine that is busy with other things."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


async def soon(met: Callable[[], bool]) -> None:
    """As `until`, for coroutines."""
    end = time.monotonic() + 20.0
    while not met():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.001)


def words(log: Path) -> list[tuple[str, int]]:
    """What the processes noted, in order."""
    pairs = (line.split() for line in log.read_text().splitlines())
    return [(word, int(pid)) for word, pid in pairs]


def waiting(folder: Path) -> int:
    return len(list((folder / "queue").glob("*"))) if folder.exists() else 0


def most_at_once(notes: list[tuple[str, int]]) -> int:
    inside = most = 0
    for word, _ in notes:
        inside += 1 if word == "enter" else -1
        most = max(most, inside)
    return most


def taken(slots: Slots) -> Slot:
    """A slot that must be free."""
    slot = slots.try_acquire()
    assert slot
    return slot


@contextmanager
def nothing_leaked(folder: Path, limit: int) -> Iterator[None]:
    """Afterwards every slot is free, nobody is in the queue and no file is open that was not before."""
    descriptors = Path("/dev/fd")
    before = len(os.listdir(descriptors)) if descriptors.exists() else 0
    yield
    assert waiting(folder) == 0
    if descriptors.exists():
        assert len(os.listdir(descriptors)) == before
    slots = Slots(folder, limit)
    for slot in [taken(slots) for _ in range(limit)]:
        slot.release()


def test_eight_processes_never_hold_more_than_the_limit(start: Start, folder: Path, log: Path) -> None:
    workers = [start(WORKER, 3, 40) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8

    notes = words(log)
    assert len(notes) == 8 * 40 * 2
    assert most_at_once(notes) == 3
    assert waiting(folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["queue", "slot-1", "slot-2", "slot-3"]


def test_the_largest_limit_bounds_all_together(start: Start, log: Path) -> None:
    workers = [start(WORKER, limit, 20) for limit in (1, 2, 4, 4)]
    assert [worker.wait() for worker in workers] == [0] * 4

    assert len(words(log)) == 4 * 20 * 2
    assert most_at_once(words(log)) <= 4


def test_a_killed_holder_frees_its_slot(start: Start, folder: Path, log: Path) -> None:
    holder = start(HOLDER, 1)
    until(lambda: words(log) != [])

    async def inherit() -> float:
        heir = asyncio.create_task(Slots(folder, 1).acquire())
        await soon(lambda: waiting(folder) == 1)
        killed = time.monotonic()
        holder.kill()
        (await heir).release()
        return time.monotonic() - killed

    assert asyncio.run(inherit()) < 2.0  # the longest pause is 0.1 s; the rest is for a busy machine


def test_processes_are_served_in_the_order_they_came(start: Start, folder: Path, log: Path) -> None:
    slot = taken(Slots(folder, 1))
    came = []
    for number in range(1, 5):
        came.append(start(WORKER, 1, 1).pid)
        until(lambda number=number: waiting(folder) == number)  # type: ignore[misc]
    slot.release()
    until(lambda: len(words(log)) == 8)

    assert [pid for word, pid in words(log) if word == "enter"] == came


def test_who_comes_back_at_once_goes_to_the_end(folder: Path) -> None:
    served: list[str] = []

    async def visitor(name: str) -> None:
        slots = Slots(folder, 1)
        for _ in range(6):
            slot = await slots.acquire()
            served.append(name)
            await asyncio.sleep(0.01)
            slot.release()

    async def main() -> None:
        await asyncio.gather(*(visitor(name) for name in "abc"))

    asyncio.run(main())
    assert {frozenset(served[turn : turn + 3]) for turn in range(0, 18, 3)} == {frozenset("abc")}


def test_a_newcomer_does_not_pass_those_who_wait(folder: Path) -> None:
    async def main() -> None:
        slot = taken(Slots(folder, 1))
        first = asyncio.create_task(Slots(folder, 1).acquire())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        slot.release()
        assert Slots(folder, 1).try_acquire() is None
        (await first).release()
        taken(Slots(folder, 1)).release()

    asyncio.run(main())


@pytest.mark.parametrize("age", [PATIENCE + 1, -3600.0], ids=["dead or suspended", "the clock was set back"])
def test_a_place_nobody_keeps_is_passed_over(folder: Path, age: float) -> None:
    taken(Slots(folder, 1)).release()
    place = folder / "queue" / "00000000000000000001-1-7"
    place.touch()
    assert Slots(folder, 1).try_acquire() is None

    os.utime(place, (time.time() - age,) * 2)
    taken(Slots(folder, 1)).release()
    assert not place.exists()


def test_a_suspended_process_takes_its_old_place_again(folder: Path) -> None:
    async def main() -> None:
        holder = taken(Slots(folder, 1))
        sleeper = asyncio.create_task(Slots(folder, 1).acquire())
        await soon(lambda: waiting(folder) == 1)
        (place,) = (folder / "queue").iterdir()
        place.unlink()  # as the others do after a while
        await soon(place.exists)
        holder.release()
        (await sleeper).release()

    with nothing_leaked(folder, 1):
        asyncio.run(main())


def test_a_smaller_limit_uses_the_lower_slots_and_holds_up_nobody(folder: Path) -> None:
    async def main() -> None:
        small, large = Slots(folder, 1), Slots(folder, 3)
        low = taken(large)
        patient = asyncio.create_task(small.acquire())
        await soon(lambda: waiting(folder) == 1)
        others = [taken(large), taken(large)]
        assert [low.number, *(slot.number for slot in others)] == [1, 2, 3]
        assert large.try_acquire() is None

        low.release()
        assert large.try_acquire() is None  # slot 1 is kept for the one who waits for it
        assert (await patient).number == 1

    asyncio.run(main())


def test_coroutines_of_one_process_never_share_a_slot(folder: Path) -> None:
    slots, inside, order = Slots(folder, 2), set[int](), list[int]()

    async def visit(name: int) -> None:
        slot = await slots.acquire()
        assert slot.number not in inside
        inside.add(slot.number)
        order.append(name)
        await asyncio.sleep(0.001)
        inside.remove(slot.number)
        slot.release()

    async def main() -> None:
        await asyncio.gather(*(visit(name) for name in range(60)))

    with nothing_leaked(folder, 2):
        asyncio.run(main())
    assert order == list(range(60))


def test_a_release_wakes_the_own_process_without_a_pause(folder: Path) -> None:
    async def for_ever(seconds: float) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        slots = Slots(folder, 1, sleep=for_ever)
        slot = await slots.acquire()
        next_one = asyncio.create_task(slots.acquire())
        await soon(lambda: waiting(folder) == 1)
        slot.release()
        (await asyncio.wait_for(next_one, 10)).release()

    asyncio.run(main())


def test_the_pauses_grow_while_nothing_moves(folder: Path) -> None:
    pauses: list[float] = []

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 30:
            slot.release()

    slot = taken(Slots(folder, 1))
    asyncio.run(Slots(folder, 1, sleep=noted).acquire()).release()
    assert len(pauses) == 30
    assert 0.004 <= pauses[0] <= 0.006
    assert all(0.08 <= pause <= 0.12 for pause in pauses[-10:])


def test_cancellation_at_any_moment_leaks_nothing(folder: Path) -> None:
    slots, chance = Slots(folder, 2), random.Random(4)

    async def moments(seconds: float) -> None:
        await asyncio.sleep(0)

    async def visit(rival: bool) -> None:
        slot = await (Slots(folder, 2, sleep=moments) if rival else slots).acquire()
        try:
            await asyncio.sleep(0)
        finally:
            slot.release()

    async def main() -> None:
        for _ in range(30):
            visits = [asyncio.create_task(visit(chance.random() < 0.5)) for _ in range(8)]
            for task in chance.sample(visits, 5):
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(*visits, return_exceptions=True)
            assert waiting(folder) == 0

    asyncio.run(asyncio.sleep(0))  # what the first event loop opens stays open
    with nothing_leaked(folder, 2):
        asyncio.run(main())


def test_a_second_release_does_not_free_the_slot_of_the_next(folder: Path) -> None:
    slots = Slots(folder, 1)
    slot = taken(slots)
    slot.release()
    after = taken(slots)
    slot.release()
    assert Slots(folder, 1).try_acquire() is None
    after.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_the_limit_holds_for_the_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    async def main() -> None:
        held = [await slots.acquire(), await slots.acquire()]
        assert slots.try_acquire() is None
        third = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0.02)
        assert not third.done()
        held[0].release()
        (await third).release()
        held[1].release()

    monkeypatch.setattr(locks, "_take", refuse)
    warnings: list[str] = []
    slots = Slots(folder, 2, warn=warnings.append)
    asyncio.run(main())
    assert len(warnings) == 1
    assert "no file locks" in warnings[0]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="cannot share the limit in"):
        Slots(tmp_path / "file" / "slots", 1).try_acquire()


def test_a_limit_of_nothing_is_a_bug(folder: Path) -> None:
    with pytest.raises(ValueError, match="wait for ever"):
        Slots(folder, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_the_folder_is_for_the_user_alone(folder: Path) -> None:
    assert not folder.exists()
    slots = Slots(folder, 1)
    assert not folder.exists()  # nothing is made before it is used
    taken(slots).release()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "slot-1").stat().st_mode & 0o777 == 0o600
