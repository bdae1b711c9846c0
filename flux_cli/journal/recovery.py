"""Examination of a journal's file, and recovery of a damaged one, row by row, into a new file.

An examination changes nothing: no migration, no repair, no new file. The damaged file is kept.
"""

import shlex
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import field
from pathlib import Path

from ..errors import JournalError
from ..frozen import frozen
from ..json_value import Json
from ..system.atomic_files import create, sync, sync_directory
from .database import alone, beside, blank, connect_read_only, cut_off, file_size
from .entry_rows import from_row
from .migrations import MIGRATIONS, migrate, version_of

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
LONGEST = 2**33
"""Bytes. A header with a larger size is damaged itself."""


@frozen
class Condition:
    """The condition of a journal.

    version: the version of the schema. trouble: why the file cannot be used; None if it can. damaged: whether its
    content is invalid. counts: entries by state. wal_bytes: the size of the log that is not yet in the file.
    """

    version: int = 0
    trouble: str | None = None
    damaged: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    wal_bytes: int = 0


def examine(path: Path) -> Condition | None:
    """Return the condition of the journal at `path`; None if it does not exist."""
    version = wal_bytes = 0
    try:
        if left := cut_off(path):
            return Condition(trouble=left, damaged=True)
        if not path.exists():
            return None
        wal_bytes = file_size(beside(path, "-wal")) or 0
        with closing(connect_read_only(path)) as db:
            version = version_of(db)
            found = "; ".join(str(row[0]) for row in db.execute("PRAGMA quick_check(3)"))
            if found != "ok":
                return Condition(version, found, damaged=True, wal_bytes=wal_bytes)
            return Condition(version, counts=_counts(db, version), wal_bytes=wal_bytes)
    except OSError as error:
        return Condition(trouble=str(error.strerror))
    except (sqlite3.Error, UnicodeError) as error:  # names in a damaged schema may be invalid text
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # without the detail
        return Condition(version, str(error), damaged=code in DAMAGE, wal_bytes=wal_bytes)


def _counts(db: sqlite3.Connection, version: int) -> dict[str, int]:
    """Return the number of entries by state. Raise sqlite3.DataError for a damaged row."""
    db.row_factory = sqlite3.Row
    if version == len(MIGRATIONS):
        return dict(Counter(from_row(row).state.value for row in db.execute("SELECT * FROM entries")))
    return dict(db.execute("SELECT state, COUNT(*) FROM entries GROUP BY state").fetchall()) if version else {}


@frozen
class Salvaged:
    """The result of a recovery.

    read: the number of entries in the new journal. known: the number in the old one. kept: the unchanged, damaged file.
    """

    read: int
    known: int
    kept: Path


def rebuild(path: Path, stamp: str) -> Salvaged:
    """Replace the journal at `path` with a new one that has its readable rows, and keep the old file beside it.

    stamp: a part of the name of the kept file. Raise LockedError if a running process has the journal open, and
    JournalError if nothing can be read. The journal is unchanged then.
    """
    kept = beside(path, f".damaged-{stamp}")
    try:
        with alone(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as directory:
            old, new = Path(directory, "old.db"), Path(directory, "new.db")
            cut = cut_off(path) is not None
            _copy(path, old)  # SQLite merges a remaining log into the file that it opens
            if cut:  # SQLite would delete the log. After the first pages of any journal, it reads the log
                old.write_bytes(blank(len(MIGRATIONS)))
            _lengthen(old)
            read, known = _carry_over(old, new)
            if not read and not cut:  # a truncated file has nothing to lose
                raise JournalError(
                    f"no entry in {path} could be read; it was left as it is",
                    hint=f"for a new, empty journal: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}",
                )
            _copy(path, kept)
            for suffix in ("-wal", "-shm"):  # an old log beside a new file would damage it
                beside(path, suffix).unlink(missing_ok=True)
            _sync(new)
            new.replace(path)
            sync_directory(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"cannot rebuild the journal {path}: {error}") from error
    return Salvaged(read, max(known, read), kept)


def _copy(path: Path, target: Path) -> None:
    for suffix in ("", "-wal"):
        part = beside(path, suffix)
        if part.exists() and (part.stat().st_size or not suffix):
            shutil.copy2(part, beside(target, suffix))
            _sync(beside(target, suffix))


def _sync(path: Path) -> None:
    """Wait until a file is on the disk, because it may be the only record of a paid task."""
    with path.open("rb+") as file:
        sync(file.fileno())


def _lengthen(path: Path) -> None:
    """Extend a truncated file with zeros to its full length, because SQLite refuses to read a shorter one.

    Its header has the page size at byte 16 and the number of pages at byte 28 (SQLite: Database File Format, 1.3).
    """
    with path.open("rb+") as file:
        header = file.read(32)
        if len(header) < 32 or not header.startswith(b"SQLite format 3\0"):
            return
        length = int.from_bytes(header[16:18]) * int.from_bytes(header[28:32])
        if path.stat().st_size < length <= LONGEST:
            file.truncate(length)


def _carry_over(old: Path, new: Path) -> tuple[int, int]:
    """Create a journal at `new` from the rows of `old`. Return the number of its entries, and of those in `old`.

    Rows are copied into the schema of the old journal, and then migrated.
    """
    with closing(sqlite3.connect(old)) as source:
        source.row_factory = sqlite3.Row
        with open(create(new, 0o600), "wb") as file:
            file.write(blank(_version(source)))
        with closing(sqlite3.connect(new, isolation_level=None)) as target:
            target.row_factory = sqlite3.Row
            known = _last(source)
            target.execute("BEGIN")
            for row in _rows(source, "entries", known):
                _insert(target, "entries", row)
            for row in _rows(source, "uploads", _highest(source, "SELECT MAX(rowid) FROM uploads")):
                _insert(target, "uploads", row)
            target.execute("COMMIT")
            migrate(target)
            target.execute("BEGIN")
            read = sum(_is_entry(target, number) for number in range(1, known + 1))
            # The trigger adds the files to `saved_files`.
            target.execute("UPDATE entries SET files = files WHERE json_valid(files)")
            target.execute("COMMIT")
    return read, known


def _version(source: sqlite3.Connection) -> int:
    """Return the schema version of a damaged journal; the newest one if it is unreadable or invalid."""
    with suppress(sqlite3.Error):
        version = version_of(source)
        if 1 <= version <= len(MIGRATIONS):
            return version
    return len(MIGRATIONS)


def _last(source: sqlite3.Connection) -> int:
    """Return the highest number that was ever given to an entry."""
    numbered = _highest(source, "SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
    return max(numbered, _highest(source, "SELECT MAX(number) FROM entries"))


def _highest(source: sqlite3.Connection, sql: str) -> int:
    with suppress(sqlite3.Error, UnicodeError):
        row = source.execute(sql).fetchone()
        if row and isinstance(row[0], int):
            return row[0]
    return 0


def _rows(source: sqlite3.Connection, table: str, last: int) -> Iterator[sqlite3.Row]:
    """Yield the readable rows, one query per row: a damaged page would end a scan of the whole table."""
    for number in range(1, last + 1):
        with suppress(sqlite3.Error, UnicodeError):
            row = source.execute(f"SELECT * FROM {table} WHERE rowid = ?", (number,)).fetchone()
            if row is not None:
                yield row


def _insert(target: sqlite3.Connection, table: str, row: sqlite3.Row) -> None:
    """Copy a row, unless it violates a constraint."""
    names, values = row.keys(), list[Json](row)
    with suppress(sqlite3.Error):
        target.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)


def _is_entry(target: sqlite3.Connection, number: int) -> bool:
    """Return whether the row with this number is a valid entry. Delete an invalid row."""
    try:
        row = target.execute("SELECT * FROM entries WHERE number = ?", (number,)).fetchone()
        if row is None:
            return False
        from_row(row)
    except sqlite3.Error:
        target.execute("DELETE FROM entries WHERE number = ?", (number,))
        return False
    return True
