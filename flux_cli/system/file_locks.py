"""Locks on files. The kernel frees a lock when its holder dies, however it dies.

Only this module distinguishes Unix (`flock`) from Windows (`msvcrt.locking`). Windows locks ranges of bytes, and the
standard library has no shared lock for it. There an exclusive lock covers the whole range, and a shared one covers one
byte of it, as in SQLite where shared locks are missing.
"""

import contextlib
import errno
import os
import random
import sys
from pathlib import Path
from typing import Self

from .atomic_files import make_private_directory, sync

if sys.platform == "win32":
    import msvcrt

    RANGE = 512
    """Bytes, and the most processes that can share a lock."""

    def _lock(descriptor: int, *, shared: bool) -> None:
        os.lseek(descriptor, random.randrange(RANGE) if shared else 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1 if shared else RANGE)

    TRIES = 4
    """Attempts at a shared lock: another process may have locked the same random byte."""
else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    TRIES = 1

UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS}


class UnsupportedError(OSError):
    """The file system has no locks."""


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Return a descriptor that holds the lock at `path` until it is closed; None if the lock is taken.

    shared: exclude exclusive holders only, not other shared ones. Raise UnsupportedError if the file system has no
    locks, another OSError if the file cannot be opened or created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        taken = _take(descriptor, shared=shared)
    except UnsupportedError as error:
        os.close(descriptor)
        error.filename = str(path)
        raise
    if taken:
        return descriptor
    os.close(descriptor)
    return None


def _take(descriptor: int, *, shared: bool) -> bool:
    """Lock an open file, if it is free. Raise UnsupportedError."""
    for _ in range(TRIES if shared else 1):
        try:
            _lock(descriptor, shared=shared)
        except OSError as error:
            if error.errno in UNSUPPORTED:
                raise UnsupportedError(error.errno, error.strerror) from error
        else:
            return True
    return False


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def try_take(cls, path: Path) -> Self | None:
        """Return the lock, or None if another process holds it. Raise OSError as `try_lock` does."""
        make_private_directory(path.parent)
        descriptor = try_lock(path)
        return None if descriptor is None else cls(path, descriptor)

    def write(self, offset: int, content: bytes) -> None:
        """Write `content` at byte `offset` of the file, for others to read once the lock is free. Raise OSError."""
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        if os.write(self._descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def sync(self) -> None:
        """Wait until the content of the file is on the disk. Raise OSError."""
        sync(self._descriptor)

    def release(self, *, remove: bool = True) -> None:
        """Release the lock and, if `remove`, delete the file, whose name is never used again."""
        os.close(self._descriptor)
        if remove:
            with contextlib.suppress(OSError):
                self._path.unlink()


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock at `path`; True if that cannot be determined.

    A lock whose file is missing is not held.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    except OSError:  # no descriptors left, for example
        return True
    try:
        return not _take(descriptor, shared=True)  # shared: two checks must not find each other's lock
    except UnsupportedError:
        return True
    finally:
        os.close(descriptor)
