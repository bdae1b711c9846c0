"""How a journal's file comes to be: whole, under another name first. So one that is too short was in use, and is cut.

SQLite takes a file of no bytes for a new database, and removes the log beside it: what was paid for would be gone
without a word.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import JournalError
from ..system.atomic_files import create, place, temporary_beside
from ..system.file_locks import UnsupportedError, hold
from .integrity import beside, cut_off
from .migrations import MIGRATIONS

PATIENCE = 10.0
"""Seconds that another process may take to make the file."""


def make_unless_there(path: Path) -> None:
    """A new journal at `path`, if none was ever there. Raises JournalError for what is left of one, OSError."""
    if left := cut_off(path):
        raise JournalError(
            f"the journal {path} {left}: what it knew of paid tasks is not in it any more; nothing was sent",
            hint="save what can be saved, and begin a new one: flux doctor --fix",
        )
    if path.exists():
        return
    with _alone(beside(path, ".birth")):
        if not path.exists():
            _make(path)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """While inside, no other process is.

    Where there are no hard links, a name is looked for and then given: a second journal would take the place of a
    first one that is in use. Raises OSError.
    """
    ends, descriptor = time.monotonic() + PATIENCE, None
    with contextlib.suppress(UnsupportedError):
        while (descriptor := hold(lock)) is None:
            if time.monotonic() > ends:
                raise TimeoutError(f"the journal is locked: another process has been making it for {PATIENCE:.0f} s")
            time.sleep(0.01)
    try:
        yield
        with contextlib.suppress(OSError):  # Windows keeps what is open
            lock.unlink()  # only now that there is a journal: whoever still waits will see it
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _make(path: Path) -> None:
    temporary = temporary_beside(path)
    try:
        # Prompts are private: the file is its owner's alone, whatever the umask.
        with open(create(temporary, 0o600), "wb") as file:
            file.write(blank())
        with contextlib.suppress(FileExistsError):  # another process was faster
            place(temporary, path, overwrite=False)
    finally:
        temporary.unlink(missing_ok=True)


def blank() -> bytes:
    """A journal without entries."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        for statement in (*MIGRATIONS, f"PRAGMA user_version={len(MIGRATIONS)}"):
            db.execute(statement)
        return db.serialize()
