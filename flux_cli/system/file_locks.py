"""Locks that die with their holder, however it dies: the kernel frees them.

The one seam between Unix (`flock`) and Windows (`msvcrt.locking`).
"""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Self

from .atomic_files import private_folder

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    _share = _take  # there are no shared ones
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _share(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS}


class UnsupportedError(OSError):
    """The file system has no locks."""


def hold(path: Path) -> int | None:
    """A descriptor that holds the lock at `path` until it is closed, or None when another descriptor holds it.

    Raises UnsupportedError when the file system has no locks, another OSError when the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _take(descriptor)
    except OSError as error:
        os.close(descriptor)
        if error.errno in UNSUPPORTED:
            raise UnsupportedError(error.errno, error.strerror, str(path)) from error
        return None
    return descriptor


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """The lock, or None when another process holds it. Raises OSError when the file cannot be made."""
        private_folder(path.parent)
        try:
            descriptor = hold(path)
        except UnsupportedError:
            return None
        return None if descriptor is None else cls(path, descriptor)

    def release(self) -> None:
        """Let go, and remove the file: its name is never used again."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._path.unlink()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at `path`, or nobody can tell. One whose file is gone is not held."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    except OSError:  # a file of another user, or on a read-only file system
        return True
    try:
        _share(descriptor)  # two that look at the same moment must not take each other for the holder
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
