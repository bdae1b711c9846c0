"""A limit on paid tasks at once, shared by every process that uses the same folder.

A slot is a locked file: the kernel frees it when its holder dies, however it dies. Who must wait queues with a file
of its own, named by its time of arrival and touched at every look. A lock as the gate would not do: those who poll
for it get it by lot, and a process suspended with Ctrl-Z while it holds the gate would stop all the others. The
queue only decides who is next: whatever goes wrong with it, the locks keep the limit.
"""

import asyncio
import contextlib
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import DiskError
from ..system import file_locks as locks
from ..system.atomic_files import private_folder
from ..system.signals import Sleep

SHORTEST, LONGEST = 0.005, 0.1
"""Seconds between two looks: short after the queue has moved, longer the longer it stands still."""
GROWTH = 1.25
PATIENCE = 2.0
"""Seconds after which a place in the queue that is not touched is passed over: its owner is dead or suspended."""


class Slot:
    """A place under the limit, held until `release` or the end of the process."""

    def __init__(self, number: int, free: Callable[[int], None]) -> None:
        self.number = number
        self._free: Callable[[int], None] | None = free

    def release(self) -> None:
        """Give the slot back; a second time does nothing."""
        if free := self._free:
            self._free = None
            free(self.number)


class Slots:
    """Hands out the slots 1 to `limit` of a folder. For one event loop, and to be used in its thread.

    limit: tasks at once. Processes with different limits share the lower slots.
    warn: told once, in a sentence, when the file system has no locks and the limit holds for this process alone.
    """

    def __init__(
        self,
        folder: Path,
        limit: int,
        *,
        warn: Callable[[str], None] = lambda message: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if limit < 1:
            raise ValueError(f"a limit of {limit} would wait for ever")
        self._folder = folder
        self._limit = limit
        self._warn = warn
        self._sleep = sleep
        self._queue = _Queue(folder / "queue")
        self._held: dict[int, int | None] = {}  # descriptor by number; None without a lock
        self._made = False
        self._shared = True
        self._line = asyncio.Lock()
        self._pausing: asyncio.Task[None] | None = None

    def try_acquire(self) -> Slot | None:
        """A slot, if one is free that nobody waits for. Raises DiskError when the files cannot be made."""
        return self._look(None)[0]

    async def acquire(self) -> Slot:
        """A slot, as soon as one is free and those who came before have theirs. Raises DiskError as `try_acquire`.

        Processes take turns by arrival: of one process, one coroutine queues and the others stand behind it.
        """
        async with self._line:
            if slot := self.try_acquire():
                return slot
            ticket = self._queue.ticket(self._limit)
            try:
                return await self._wait(ticket)
            finally:
                with contextlib.suppress(OSError):  # a slot just taken must not be lost; the queue forgets the file
                    ticket.unlink()

    async def _wait(self, ticket: Path) -> Slot:
        place, delay = -1, SHORTEST
        while True:
            slot, ahead = self._look(ticket)
            if slot:
                return slot  # nothing is awaited from the lock to here: a cancellation cannot come between
            delay = min(delay * GROWTH, LONGEST) if ahead == place else SHORTEST
            place = ahead
            await self._pause(delay * random.uniform(0.8, 1.2))

    async def _pause(self, seconds: float) -> None:
        """Until `seconds` have passed or this process releases a slot."""
        self._pausing = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({self._pausing})
        finally:
            self._pausing.cancel()

    def _look(self, ticket: Path | None) -> tuple[Slot | None, int]:
        """A free slot that nobody before `ticket` waits for, if there is one; and how many are before it."""
        try:
            self._make_folders()
            kept, ahead = self._queue.ahead(ticket, self._limit) if self._shared else (0, 0)
            return self._first_free(kept + 1), ahead
        except OSError as error:
            raise DiskError(f"cannot share the limit in {self._folder}: {error.strerror}") from error

    def _make_folders(self) -> None:
        if not self._made:
            private_folder(self._queue.folder)
            self._made = True

    def _first_free(self, first: int) -> Slot | None:
        for number in range(first, self._limit + 1):
            if number not in self._held and self._take(number):
                return Slot(number, self._free)
        return None

    def _take(self, number: int) -> bool:
        descriptor = None
        if self._shared:
            try:
                descriptor = locks.hold(self._folder / f"slot-{number}")
                if descriptor is None:
                    return False
            except locks.UnsupportedError:
                self._shared = False
                self._warn(f"{self._folder} has no file locks: the limit of tasks at once holds for each process alone")
        self._held[number] = descriptor
        return True

    def _free(self, number: int) -> None:
        descriptor = self._held.pop(number)
        if descriptor is not None:
            os.close(descriptor)  # the file stays: whoever removed it could remove a lock that was just taken
        if self._pausing:
            self._pausing.cancel()


class _Queue:
    """Who waits, in order of arrival, of all processes."""

    NAME = re.compile(r"\d+-\d+-\d+")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ticket(self, limit: int) -> Path:
        """A name for a place at the end, for one who can use the slots up to `limit`; `ahead` makes the file."""
        return self.folder / f"{time.time_ns():020}-{limit}-{random.getrandbits(64)}"

    def ahead(self, ticket: Path | None, limit: int) -> tuple[int, int]:
        """Up to which slot those before `ticket` come first (at least `limit`: all), and how many they are.

        ticket: is touched; None comes after all. Who waits for low slots only holds up nobody who can use a higher one.
        """
        if ticket:
            ticket.touch(mode=0o600)
        places = [name for name in os.listdir(self.folder) if self.NAME.fullmatch(name)]
        before = sorted(name for name in places if ticket is None or name < ticket.name)
        kept = 0
        for name in before:
            wanted = int(name.split("-")[1])
            if wanted > kept and _is_waiting(self.folder / name):
                kept = wanted
            if kept >= limit:
                break  # one who is alive is enough: a long queue costs each of its members one look at a file
        return kept, len(before)


def _is_waiting(place: Path) -> bool:
    """Whether the owner of a place still touches it. A place that was left is cleared away."""
    with contextlib.suppress(OSError):  # gone, or not to be read: nobody to wait for
        if abs(time.time() - place.stat().st_mtime) < PATIENCE:  # abs: the clock may have been set back
            return True
        place.unlink()  # should the owner wake up, its next look makes it again, in the old place
    return False
