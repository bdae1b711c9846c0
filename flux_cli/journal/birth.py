"""How a journal's file comes to be: whole, under another name first. So one that is too short was in use, and is cut.

SQLite takes a file of no bytes for a new database, and removes the log beside it: what was paid for would be gone
without a word.
"""

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path

from ..domain.errors import JournalError
from ..system.files import create, place, temporary_beside
from .condition import cut_off
from .schema import MIGRATIONS


def make_unless_there(path: Path) -> None:
    """A new journal at `path`, if none was ever there. Raises JournalError for what is left of one, OSError."""
    if left := cut_off(path):
        raise JournalError(
            f"the journal {path} {left}: what it knew of paid tasks is not in it any more; nothing was sent",
            hint="save what can be saved, and begin a new one: flux doctor --fix",
        )
    if path.exists():
        return
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
