"""The condition of the file of a journal, checked without a change to it: no migration, no repair, no new file."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import field
from pathlib import Path

from ..frozen import frozen
from ..text import counted
from .entries import from_row
from .migrations import MIGRATIONS, version_of

HEADER_BYTES = 100
"""Size of the header of every SQLite database (SQLite: Database File Format, 1.3)."""
NOT_WRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""Errors of SQLite where nothing can be written."""
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@frozen
class Condition:
    """The condition of a journal.

    version: of the schema. trouble: why the file cannot be used, None if it can; damaged: its content is wrong.
    counts: entries by state. wal_bytes: size of the log that SQLite has not yet written into the file.
    """

    version: int = 0
    trouble: str | None = None
    damaged: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    wal_bytes: int = 0


def examine(path: Path) -> Condition | None:
    """Return the condition of the journal at `path`; None when it does not exist."""
    version = wal_bytes = 0
    try:
        if left := cut_off(path):
            return Condition(trouble=left, damaged=True)
        if not path.exists():
            return None
        wal_bytes = _size(beside(path, "-wal")) or 0
        with closing(connect_read_only(path)) as db:
            version = version_of(db)
            found = "; ".join(str(row[0]) for row in db.execute("PRAGMA quick_check(3)"))
            if found != "ok":
                return Condition(version, found, damaged=True, wal_bytes=wal_bytes)
            return Condition(version, counts=_counts(db, version), wal_bytes=wal_bytes)
    except OSError as error:
        return Condition(trouble=str(error.strerror))
    except (sqlite3.Error, UnicodeError) as error:  # names in a damaged schema may be no valid text
        code = (
            getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        )  # the rest of an extended code is detail
        return Condition(version, str(error), damaged=code in DAMAGE, wal_bytes=wal_bytes)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that changes nothing. Raises sqlite3.Error or OSError.

    Where nothing can be written, SQLite reads only what is declared `immutable`, and then ignores the log beside it.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        db.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in NOT_WRITABLE or _size(beside(path, "-wal")):
            raise
        db = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return db


def _counts(db: sqlite3.Connection, version: int) -> dict[str, int]:
    """Return the number of entries by state. Raises sqlite3.DataError for a row that is not an entry."""
    db.row_factory = sqlite3.Row
    if version == len(MIGRATIONS):
        return dict(Counter(from_row(row).state.value for row in db.execute("SELECT * FROM entries")))
    return dict(db.execute("SELECT state, COUNT(*) FROM entries GROUP BY state").fetchall()) if version else {}


def cut_off(path: Path) -> str | None:
    """Return what is left of a journal that SQLite would replace with an empty one: a few bytes, or only the log.

    None for one that is complete or does not exist.
    """
    logged = _size(beside(path, "-wal"))  # first: a process that makes a journal makes its log last
    size = _size(path)
    if size is None:
        return "is missing, and its log is there" if logged else None
    return None if size >= HEADER_BYTES else f"was cut to {counted(size, 'byte')}"


def _size(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it is missing. A log can disappear at any time."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to a database and stands beside it."""
    return path.with_name(path.name + suffix)
