"""A limit on unfinished tasks that all processes with the same directory share.

A slot is a locked file. The kernel frees it when its holder dies, for any reason. A waiting process tries to lock one
at random intervals: with 20 processes for 2 slots, the longest wait was three times that of a queue, and the total time
was the same. A process that releases a slot waits for the next one like all others, so that a batch does not keep a
single task of another process waiting.
"""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

from ..errors import DiskError
from ..system import file_locks as locks
from ..system.atomic_files import count_openable, make_private_directory
from ..system.clock import Sleep

PAUSE = 0.05
"""Mean seconds between two attempts: 1.5% of a task of 3 s, and 0.5% of a CPU core per waiting process."""

FILES = 2
"""Files that a task has open at a time, besides its slot: a connection and an image."""


class Slot:
    """The right to one unfinished task, held until `release` or the end of the process."""

    def __init__(self, number: int, free: Callable[[int], None]) -> None:
        self.number = number
        self._free: Callable[[int], None] | None = free

    def release(self) -> None:
        """Release the slot. A second call does nothing."""
        if free := self._free:
            self._free = None
            free(self.number)


class Slots:
    """The slots 1 to `limit` of a directory, for one event loop and its thread only.

    limit: the most unfinished tasks. Processes with different limits share the lower slots.
    warn: called with a sentence if the file system has no locks, so that the limit applies to this process only.
    """

    def __init__(
        self,
        directory: Path,
        limit: int,
        *,
        warn: Callable[[str], None] = lambda message: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if limit < 1:
            raise ValueError(f"nothing could start under a limit of {limit}")
        self._directory, self.limit = directory, limit
        self._warn, self._sleep = warn, sleep
        self._held: dict[int, int | None] = {}  # descriptor by number; None without a lock
        self._made = False
        self._shared = True
        self._queue = asyncio.Lock()

    def try_acquire(self) -> Slot | None:
        """Return a free slot; None if there is none.

        A process that holds a slot gets another one only if all its tasks can open the files that they need.
        Raise DiskError if the files of the slots cannot be created or opened.
        """
        needed = 1 + FILES * (len(self._held) + 1)
        if self._held and count_openable(needed) < needed:
            return None
        try:
            if not self._made:
                make_private_directory(self._directory)
                self._made = True
            return next((Slot(number, self._free) for number in self._numbers() if self._take(number)), None)
        except OSError as error:
            what = f"{error.strerror}: {error.filename or self._directory}"
            raise DiskError(f"cannot share the limit on parallel tasks with other processes: {what}") from error

    async def acquire(self) -> Slot:
        """Wait for a free slot, and return it. Raise DiskError as `try_acquire` does.

        One coroutine per process tries, and the others wait in a queue.
        """
        async with self._queue:
            while not (slot := self.try_acquire()):
                await self._sleep(PAUSE * random.uniform(0.5, 1.5))
            return slot

    def _numbers(self) -> list[int]:
        return [number for number in range(1, self.limit + 1) if number not in self._held]

    def _take(self, number: int) -> bool:
        descriptor = None
        if self._shared:
            try:
                descriptor = locks.try_lock(self._directory / f"slot-{number}")
                if descriptor is None:
                    return False
            except locks.UnsupportedError:
                self._shared = False
                self._warn(f"{self._directory} has no file locks: the limit on parallel tasks applies per process")
        self._held[number] = descriptor
        return True

    def _free(self, number: int) -> None:
        descriptor = self._held.pop(number)
        if descriptor is not None:
            os.close(descriptor)  # the file is kept: another process may have just locked it
