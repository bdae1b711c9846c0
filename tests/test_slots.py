"""The limit on parallel tasks, shared by processes that have only a directory in common."""

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
def directory(tmp_path: Path) -> Path:
    return tmp_path / "slots"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def start(directory: Path, log: Path) -> Iterator[Start]:
    """Return a function that starts a process with a limit and, for a worker, a number of visits. None outlives the test."""
    processes: list[Process] = []

    def run(script: str, limit: int, visits: int = 0) -> Process:
        command = [sys.executable, "-c", PREAMBLE + script + RUN, str(directory), str(limit), str(log), str(visits)]
        processes.append(subprocess.Popen(command, text=True))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true. The limit is for a busy machine."""
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end, "the condition never became true"
        time.sleep(0.002)


def read_notes(log: Path) -> list[tuple[str, int]]:
    """Return what the processes noted, in order."""
    pairs = (line.split() for line in log.read_text().splitlines())
    return [(word, int(pid)) for word, pid in pairs]


def find_peak(notes: list[tuple[str, int]]) -> int:
    inside = peak = 0
    for word, _ in notes:
        inside += 1 if word == "enter" else -1
        peak = max(peak, inside)
    return peak


def take(slots: Slots) -> Slot:
    """Take a slot that must be free."""
    slot = slots.try_acquire()
    assert slot
    return slot


@contextmanager
def check_for_leaks(directory: Path, limit: int) -> Iterator[None]:
    """Check afterwards that every slot is free, and that no more files are open than before."""
    descriptors = Path("/dev/fd")
    before = len(os.listdir(descriptors)) if descriptors.exists() else 0
    yield
    if descriptors.exists():
        assert len(os.listdir(descriptors)) == before
    slots = Slots(directory, limit)
    for slot in [take(slots) for _ in range(limit)]:
        slot.release()


def test_eight_processes_never_exceed_the_limit(start: Start, directory: Path, log: Path) -> None:
    workers = [start(WORKER, 3, 10) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8

    notes = read_notes(log)
    assert len(notes) == 8 * 10 * 2
    assert find_peak(notes) <= 3
    assert sorted(path.name for path in directory.iterdir()) == ["slot-1", "slot-2", "slot-3"]


def test_the_largest_limit_applies_to_all_processes(start: Start, log: Path) -> None:
    workers = [start(WORKER, limit, 10) for limit in (1, 2, 4, 4)]
    assert [worker.wait() for worker in workers] == [0] * 4

    assert len(read_notes(log)) == 4 * 10 * 2
    assert find_peak(read_notes(log)) <= 4


def test_a_killed_process_frees_its_slot(start: Start, directory: Path, log: Path) -> None:
    holder = start(HOLDER, 1)
    wait_until(lambda: read_notes(log) != [])

    async def take_over() -> None:
        slots = Slots(directory, 1)
        assert slots.try_acquire() is None
        waiting = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        holder.kill()
        (await asyncio.wait_for(waiting, 20)).release()

    asyncio.run(take_over())


def test_a_batch_leaves_a_slot_for_a_single_task(directory: Path) -> None:
    """The batch has more tasks than slots, and takes a slot whenever one is free."""

    async def main() -> int:
        batch, done = Slots(directory, 2), 0

        async def task() -> None:
            nonlocal done
            slot = await batch.acquire()
            await asyncio.sleep(0.02)
            slot.release()
            done += 1

        tasks = [asyncio.create_task(task()) for _ in range(200)]
        await asyncio.sleep(0.05)
        (await Slots(directory, 2).acquire()).release()
        for pending in tasks:
            pending.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert asyncio.run(main()) < 100, "it had to wait for the batch"


def test_a_smaller_limit_uses_the_lower_slots(directory: Path) -> None:
    small, large = Slots(directory, 1), Slots(directory, 3)
    held = [take(large) for _ in range(3)]
    assert [slot.number for slot in held] == [1, 2, 3]
    held[2].release()
    assert small.try_acquire() is None
    held[0].release()
    assert take(small).number == 1


def test_coroutines_of_one_process_never_share_a_slot(directory: Path) -> None:
    async def yield_once(seconds: float) -> None:
        await asyncio.sleep(0)

    slots, inside, order = Slots(directory, 2, sleep=yield_once), set[int](), list[int]()

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

    with check_for_leaks(directory, 2):
        asyncio.run(main())
    assert order == list(range(60))


def test_cancellation_at_any_time_leaks_nothing(directory: Path) -> None:
    rng = random.Random(4)

    async def yield_once(seconds: float) -> None:
        await asyncio.sleep(0)

    slots = Slots(directory, 2, sleep=yield_once)

    async def visit(rival: bool) -> None:
        slot = await (Slots(directory, 2, sleep=yield_once) if rival else slots).acquire()
        try:
            await asyncio.sleep(0)
        finally:
            slot.release()

    async def main() -> None:
        for _ in range(30):
            tasks = [asyncio.create_task(visit(rng.random() < 0.5)) for _ in range(8)]
            for task in rng.sample(tasks, 5):
                for _ in range(rng.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.sleep(0))  # files that the first event loop opens stay open
    with check_for_leaks(directory, 2):
        asyncio.run(main())


def test_a_second_release_does_not_free_the_slot_of_the_next_task(directory: Path) -> None:
    slots = Slots(directory, 1)
    slot = take(slots)
    slot.release()
    next_slot = take(slots)
    slot.release()
    assert Slots(directory, 1).try_acquire() is None
    next_slot.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_file_locks_the_limit_applies_within_the_process(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
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
    slots = Slots(directory, 2, warn=warnings.append)
    asyncio.run(main())
    assert len(warnings) == 1
    assert "no file locks" in warnings[0]


def test_a_missing_directory_is_an_error_and_keeps_held_slots(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=f"with other processes: .*: {tmp_path}/file/slots"):
        Slots(tmp_path / "file" / "slots", 1).try_acquire()

    slots = Slots(directory, 3)
    held = take(slots)
    shutil.rmtree(directory)
    with pytest.raises(DiskError, match=r"No such file or directory: .*slot-2"):
        asyncio.run(slots.acquire())
    held.release()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of this kind")
def test_without_file_descriptors_fewer_tasks_run_in_parallel(directory: Path) -> None:
    import resource

    async def main() -> None:
        slots, order = Slots(directory, 9), list[str]()
        held = take(slots)

        async def take_next() -> None:
            slot = await slots.acquire()
            order.append("acquired")
            slot.release()

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # open files stay open
        try:
            with pytest.raises(DiskError, match="Too many open files"):
                Slots(directory, 9).try_acquire()
            assert slots.try_acquire() is None
            waiting = asyncio.create_task(take_next())
            await asyncio.sleep(0)
            order.append("released")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            held.release()
        await waiting
        assert order == ["released", "acquired"]

    asyncio.run(main())


def test_a_limit_of_zero_is_a_bug(directory: Path) -> None:
    with pytest.raises(ValueError, match="nothing could start"):
        Slots(directory, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_the_directory_is_only_for_the_user(directory: Path) -> None:
    assert not directory.exists()
    slots = Slots(directory, 1)
    assert not directory.exists()  # nothing is created before it is used
    take(slots).release()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "slot-1").stat().st_mode & 0o777 == 0o600
