"""Slots: what a place under the shared limit costs, free and contended."""

import asyncio
import os
import time
from functools import partial
from pathlib import Path
from statistics import mean, median

from flux_cli.engine.slots import Slots
from flux_cli.system import file_locks as locks

from .figures import Figure, Section
from .installed import Installed
from .runner import Say
from .several import percentile, together

ABOUT = """
Processes that share one folder, with more tasks than slots each: a task takes a slot, holds it for a moment and gives
it back, and the next begins. Ideal is the mean wait if each free slot were taken at once: (tasks / slots - 1) holds.
The worst wait shows how unfair the lot is. A slot that is free stands beside the bare lock that it is made of, in the
same loop.
""".strip()
PROCESSES, TASKS, LIMIT, HOLD = 6, 3, 2, 0.2
VISITS, QUICK_VISITS = 12, 3
FREE, QUICK_FREE = 2000, 200


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Times of an acquire."""
    say("one process")
    taken, locked = free(folder / "free", QUICK_FREE if quick else FREE)
    say(f"{PROCESSES} processes")
    parts = together(PROCESSES, partial(contended, folder / "contended", QUICK_VISITS if quick else VISITS))
    waits = [seconds for part in parts for seconds in part]
    ideal = (PROCESSES * TASKS / LIMIT - 1) * HOLD
    rows = {
        "free": {
            "p50": Figure(1000 * median(taken), "ms"),
            "p99": Figure(1000 * percentile(taken, 99), "ms"),
            "worst": Figure(1000 * max(taken), "ms"),
            "p50 x bare lock": Figure(median(taken) / median(locked)),
        },
        f"{PROCESSES * TASKS} tasks for {LIMIT} slots, held {1000 * HOLD:.0f} ms": {
            "p50": Figure(1000 * median(waits), "ms"),
            "p99": Figure(1000 * percentile(waits, 99), "ms"),
            "worst": Figure(1000 * max(waits), "ms"),
            "mean x ideal": Figure(mean(waits) / ideal),
            "worst x ideal": Figure(max(waits) / ideal),
        },
    }
    return Section("slots", "Places under the shared limit", ABOUT, rows)


def free(folder: Path, times: int) -> tuple[list[float], list[float]]:
    """Seconds of taking and giving back a slot that is free, and a lock, so many times each."""
    slots = Slots(folder, LIMIT)
    taken, locked = list[float](), list[float]()
    for _ in range(times):
        begun = time.perf_counter()
        slot = slots.try_acquire()
        assert slot
        slot.release()
        between = time.perf_counter()
        descriptor = locks.hold(folder / "bare")
        assert descriptor is not None
        os.close(descriptor)
        taken.append(between - begun)
        locked.append(time.perf_counter() - between)
    return taken, locked


def contended(folder: Path, visits: int) -> list[float]:
    """Return the seconds that each of so many visits waited for a slot that others want too."""
    waits: list[float] = []

    async def work(slots: Slots) -> None:
        for _ in range(visits):
            begun = time.perf_counter()
            slot = await slots.acquire()
            waits.append(time.perf_counter() - begun)
            await asyncio.sleep(HOLD)
            slot.release()

    async def work_all() -> None:
        slots = Slots(folder, LIMIT)
        await asyncio.gather(*(work(slots) for _ in range(TASKS)))

    asyncio.run(work_all())
    return waits
