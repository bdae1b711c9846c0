"""The limit on parallel tasks, shared by processes that know nothing of each other but a folder."""

import asyncio
import errno
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flux_cli.engine.slots import Slot, Slots
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


def until(met: Callable[[], bool]) -> None:
    """Wait until something is so. The limit is for a busy machine."""
    end = time.monotonic() + 20.0
    while not met():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def words(log: Path) -> list[tuple[str, int]]:
    """What the processes noted, in order."""
    pairs = (line.split() for line in log.read_text().splitlines())
    return [(word, int(pid)) for word, pid in pairs]


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
    """Afterwards every slot is free and no file is open that was not open before."""
    descriptors = Path("/dev/fd")
    before = len(os.listdir(descriptors)) if descriptors.exists() else 0
    yield
    if descriptors.exists():
        assert len(os.listdir(descriptors)) == before
    slots = Slots(folder, limit)
    for slot in [taken(slots) for _ in range(limit)]:
        slot.release()


def test_eight_processes_never_hold_more_than_the_limit(start: Start, folder: Path, log: Path) -> None:
    workers = [start(WORKER, 3, 10) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8

    notes = words(log)
    assert len(notes) == 8 * 10 * 2
    assert most_at_once(notes) <= 3
    assert sorted(path.name for path in folder.iterdir()) == ["slot-1", "slot-2", "slot-3"]


def test_the_largest_limit_bounds_all_together(start: Start, log: Path) -> None:
    workers = [start(WORKER, limit, 10) for limit in (1, 2, 4, 4)]
    assert [worker.wait() for worker in workers] == [0] * 4

    assert len(words(log)) == 4 * 10 * 2
    assert most_at_once(words(log)) <= 4


def test_a_killed_holder_frees_its_slot(start: Start, folder: Path, log: Path) -> None:
    holder = start(HOLDER, 1)
    until(lambda: words(log) != [])

    async def inherit() -> None:
        slots = Slots(folder, 1)
        assert slots.try_acquire() is None
        heir = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        holder.kill()
        (await asyncio.wait_for(heir, 20)).release()

    asyncio.run(inherit())


def test_a_batch_leaves_room_for_a_single_task(folder: Path) -> None:
    """It has more tasks than slots, and takes a slot whenever one is free."""

    async def main() -> int:
        batch, done = Slots(folder, 2), 0

        async def task() -> None:
            nonlocal done
            slot = await batch.acquire()
            await asyncio.sleep(0.02)
            slot.release()
            done += 1

        tasks = [asyncio.create_task(task()) for _ in range(200)]
        await asyncio.sleep(0.05)
        (await Slots(folder, 2).acquire()).release()
        for other in tasks:
            other.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert asyncio.run(main()) < 100, "it had to wait for the batch"


def test_a_smaller_limit_uses_the_lower_slots(folder: Path) -> None:
    small, large = Slots(folder, 1), Slots(folder, 3)
    held = [taken(large) for _ in range(3)]
    assert [slot.number for slot in held] == [1, 2, 3]
    held[2].release()
    assert small.try_acquire() is None
    held[0].release()
    assert taken(small).number == 1


def test_coroutines_of_one_process_never_share_a_slot(folder: Path) -> None:
    async def moment(seconds: float) -> None:
        await asyncio.sleep(0)

    slots, inside, order = Slots(folder, 2, sleep=moment), set[int](), list[int]()

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


def test_cancellation_at_any_moment_leaks_nothing(folder: Path) -> None:
    chance = random.Random(4)

    async def moment(seconds: float) -> None:
        await asyncio.sleep(0)

    slots = Slots(folder, 2, sleep=moment)

    async def visit(rival: bool) -> None:
        slot = await (Slots(folder, 2, sleep=moment) if rival else slots).acquire()
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
    def refuse(descriptor: int, *, shared: bool) -> None:
        raise OSError(number, os.strerror(number))

    async def main() -> None:
        held = [await slots.acquire(), await slots.acquire()]
        assert slots.try_acquire() is None
        third = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        assert not third.done()
        held[0].release()
        (await third).release()
        held[1].release()

    monkeypatch.setattr(locks, "_lock", refuse)
    warnings: list[str] = []
    slots = Slots(folder, 2, warn=warnings.append)
    asyncio.run(main())
    assert len(warnings) == 1
    assert "no file locks" in warnings[0]


def test_a_folder_that_is_missing_or_cannot_be_made_is_an_error_and_hurts_no_held_slot(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=f"with other processes: .*: {tmp_path}/file/slots"):
        Slots(tmp_path / "file" / "slots", 1).try_acquire()

    slots = Slots(folder, 3)
    held = taken(slots)
    shutil.rmtree(folder)
    with pytest.raises(DiskError, match=r"No such file or directory: .*slot-2"):
        asyncio.run(slots.acquire())
    held.release()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of this kind")
def test_without_file_descriptors_fewer_tasks_run_at_a_time(folder: Path) -> None:
    import resource

    async def main() -> None:
        slots, order = Slots(folder, 9), list[str]()
        held = taken(slots)

        async def next_one() -> None:
            slot = await slots.acquire()
            order.append("acquired")
            slot.release()

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # those that are open stay open
        try:
            with pytest.raises(DiskError, match="Too many open files"):
                Slots(folder, 9).try_acquire()
            assert slots.try_acquire() is None
            waiting = asyncio.create_task(next_one())
            await asyncio.sleep(0)
            order.append("released")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            held.release()
        await waiting
        assert order == ["released", "acquired"]

    asyncio.run(main())


def test_a_limit_of_nothing_is_a_bug(folder: Path) -> None:
    with pytest.raises(ValueError, match="nothing could start"):
        Slots(folder, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_the_folder_is_for_the_user_alone(folder: Path) -> None:
    assert not folder.exists()
    slots = Slots(folder, 1)
    assert not folder.exists()  # nothing is made before it is used
    taken(slots).release()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "slot-1").stat().st_mode & 0o777 == 0o600
