"""Slots of the shared limit: how long it takes to acquire one, free or contended."""

import asyncio
import os
import time
from functools import partial
from pathlib import Path
from statistics import mean, median

from flux_cli.engine.slots import Slots
from flux_cli.system import file_locks

from .environment import Installation
from .report import Figure, Section, summarize
from .runner import run_in_processes, show_progress

ABOUT = """
Processes share one directory and have more tasks than slots. Each task repeatedly acquires a slot, holds it and
releases it. Ideal is the mean wait if every free slot were acquired immediately: (tasks / slots - 1) x hold time. The
maximum wait shows how unfair the selection is. A free slot is compared with a bare file lock in the same loop.
""".strip()
PROCESSES, TASKS, LIMIT = 6, 3, 2
"""Processes, tasks per process, and slots."""
HOLD_SECONDS = 0.2
ROUNDS, QUICK_ROUNDS = 12, 3
"""How often each task acquires a contended slot."""
REPEATS, QUICK_REPEATS = 2000, 200
"""How often a free slot is acquired."""


def measure(installation: Installation, directory: Path, *, quick: bool) -> Section:
    """Return the times to acquire free and contended slots."""
    show_progress("  one process")
    slot_times, lock_times = time_free_slots(directory / "free", QUICK_REPEATS if quick else REPEATS)
    show_progress(f"  {PROCESSES} processes")
    rounds = QUICK_ROUNDS if quick else ROUNDS
    parts = run_in_processes(PROCESSES, partial(time_contended_slots, directory / "contended", rounds))
    waits = [seconds for part in parts for seconds in part]
    ideal = (PROCESSES * TASKS / LIMIT - 1) * HOLD_SECONDS
    free = summarize(slot_times) | {"p50 x bare lock": Figure(median(slot_times) / median(lock_times))}
    contended = summarize(waits) | {
        "mean x ideal": Figure(mean(waits) / ideal),
        "max x ideal": Figure(max(waits) / ideal),
    }
    title = f"{PROCESSES * TASKS} tasks for {LIMIT} slots, held {1000 * HOLD_SECONDS:.0f} ms"
    return Section("slots", "Slots of the shared limit", ABOUT, {"free": free, title: contended})


def time_free_slots(directory: Path, repeats: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each acquisition and release of a free slot, and of a bare lock."""
    slots = Slots(directory, LIMIT)
    slot_times, lock_times = list[float](), list[float]()
    for _ in range(repeats):
        started = time.perf_counter()
        slot = slots.try_acquire()
        assert slot
        slot.release()
        between = time.perf_counter()
        descriptor = file_locks.try_lock(directory / "bare")
        assert descriptor is not None
        os.close(descriptor)
        slot_times.append(between - started)
        lock_times.append(time.perf_counter() - between)
    return slot_times, lock_times


def time_contended_slots(directory: Path, rounds: int) -> list[float]:
    """Return the seconds of each wait of TASKS tasks that acquire a slot `rounds` times each."""
    waits: list[float] = []

    async def work(slots: Slots) -> None:
        for _ in range(rounds):
            started = time.perf_counter()
            slot = await slots.acquire()
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(HOLD_SECONDS)
            slot.release()

    async def work_in_parallel() -> None:
        slots = Slots(directory, LIMIT)
        await asyncio.gather(*(work(slots) for _ in range(TASKS)))

    asyncio.run(work_in_parallel())
    return waits
