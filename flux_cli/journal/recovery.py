"""A damaged journal, read row by row into a new one. The damaged file is kept."""

import os
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from ..errors import JournalError
from ..frozen import frozen
from ..json_value import Json
from ..system.atomic_files import sync_folder
from .create import blank
from .entries import from_row
from .integrity import beside, cut_off
from .journal import Journal

LONGEST = 2**33
"""Bytes. A header that claims more is damaged itself."""


@frozen
class Salvaged:
    """read: entries that are in the new journal. known: how many there were. kept: the damaged file, as it was."""

    read: int
    known: int
    kept: Path


def rebuild(path: Path, stamp: str) -> Salvaged:
    """Put what can be read of the journal at `path` into a new one in its place, and keep the old file beside it.

    stamp: goes into the kept file's name. Nobody else may use the journal meanwhile.
    Raises JournalError when nothing can be read, and then the journal stays as it is.
    """
    kept = beside(path, f".damaged-{stamp}")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as folder:
            old, new = Path(folder, "old.db"), Path(folder, "new.db")
            cut = cut_off(path) is not None
            _copy(path, old)  # SQLite writes a log that was left into the file: not into the damaged one
            if cut:  # SQLite would remove the log beside it; on what a journal begins with, the log can be read
                old.write_bytes(blank())
            _lengthen(old)
            Journal(new, Path(folder)).close()
            read, known = _carried_over(old, new)
            if not read and not cut:  # of one that was cut there is nothing to lose
                raise JournalError(
                    f"no entry in {path} could be read; it was left as it is",
                    hint=f"for a new, empty journal: mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}",
                )
            _copy(path, kept)
            for suffix in ("-wal", "-shm"):  # an old log beside a new file would damage it
                beside(path, suffix).unlink(missing_ok=True)
            _sync(new)
            new.replace(path)
        sync_folder(path.parent)
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
    """Have what was written on the disk itself: the damaged file may hold the only word of a paid task."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _lengthen(path: Path) -> None:
    """Give a file that was cut its length back, in zeros: SQLite reads nothing of one that is shorter than it says.

    Its header has the page size at byte 16, and the number of pages at byte 28 (SQLite: Database File Format, 1.3).
    """
    with path.open("rb+") as file:
        header = file.read(32)
        if len(header) < 32 or not header.startswith(b"SQLite format 3\0"):
            return
        length = int.from_bytes(header[16:18]) * int.from_bytes(header[28:32])
        if path.stat().st_size < length <= LONGEST:
            file.truncate(length)


def _carried_over(old: Path, new: Path) -> tuple[int, int]:
    """How many entries could be read and written, and how many there were."""
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(new)) as target:
        source.row_factory = target.row_factory = sqlite3.Row
        last = _last(source)
        with target:
            read = sum(_insert_entry(target, row) for row in _rows(source, "entries", last))
            for row in _rows(source, "uploads", _highest(source, "SELECT MAX(rowid) FROM uploads")):
                _insert(target, "uploads", row)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return read, last


def _last(source: sqlite3.Connection) -> int:
    """The highest number that an entry was given; entries are never removed."""
    numbered = _highest(source, "SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
    return max(numbered, _highest(source, "SELECT MAX(number) FROM entries"))


def _highest(source: sqlite3.Connection, sql: str) -> int:
    with suppress(sqlite3.Error, UnicodeError):
        row = source.execute(sql).fetchone()
        if row and isinstance(row[0], int):
            return row[0]
    return 0


def _rows(source: sqlite3.Connection, table: str, last: int) -> Iterator[sqlite3.Row]:
    """Each row that can be read. One by one: a damaged page ends a scan, and hides only its own rows from look-ups."""
    for number in range(1, last + 1):
        with suppress(sqlite3.Error, UnicodeError):
            row = source.execute(f"SELECT * FROM {table} WHERE rowid = ?", (number,)).fetchone()
            if row is not None:
                yield row


def _insert(target: sqlite3.Connection, table: str, row: sqlite3.Row) -> bool:
    names, values = row.keys(), list[Json](row)
    try:
        target.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
    except sqlite3.Error:
        return False
    return True


def _insert_entry(target: sqlite3.Connection, row: sqlite3.Row) -> bool:
    """Whether the row is an entry also when it is read again, in the schema of today."""
    if not _insert(target, "entries", row):
        return False
    try:
        from_row(target.execute("SELECT * FROM entries WHERE number = ?", (row["number"],)).fetchone())
    except sqlite3.Error:
        target.execute("DELETE FROM entries WHERE number = ?", (row["number"],))
        return False
    return True
