"""The file of the journal: an SQLite database that several processes use at the same time.

A new journal is written under a temporary name and then renamed, so a file that is too short has been truncated. SQLite
would take an empty file for a new database and delete the log beside it, and with it the record of paid tasks.

Every process holds a shared lock while the journal is open. A process that replaces the file needs an exclusive one.
"""

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from ..config.paths import HOME_HINT
from ..errors import JournalError
from ..json_value import Json
from ..system.atomic_files import create, make_private_directory, move_into_place, temporary_beside
from ..system.file_locks import UnsupportedError, try_lock
from ..text import counted
from .migrations import MIGRATIONS, migrate, version_of

UPDATE_HINT = "Update your clone of flux, and install it again"
BUSY_SECONDS = 10.0
"""The longest wait for another process."""
CHECK_SECONDS = 0.05
"""Limit for the second part of the check. The first part, of the pages themselves, takes 0.5 ms per MB."""
CHECK_STEPS = 10_000
"""SQLite instructions between two checks of that limit."""

OWN = "+service = ? AND +profile = ?"
"""Entries of one account. `+` keeps SQLite from searching by account, which nearly all entries have in common."""
HEADER_BYTES = 100
"""Size of the header of every SQLite database (SQLite: Database File Format, 1.3)."""
NOT_WRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""SQLite's errors for a place that is not writable."""
NO_PLACE = (PermissionError, FileNotFoundError, NotADirectoryError)
"""Errors for a directory that cannot be created or written."""

T = TypeVar("T")


class LockedError(JournalError):
    """Another process keeps the journal locked."""

    code = "journal_locked"


class Database:
    """The database at a path, which is created and migrated if necessary.

    Every method raises JournalError if the file cannot be read or written, and LockedError if it is locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._durable: bool | None = None
        self._checked = False
        with contextlib.ExitStack() as opening:
            with self.errors():
                make_private_directory(path.parent)
                self.read_only = path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
                if not self.read_only and (descriptor := _share(path)) is not None:
                    opening.callback(os.close, descriptor)
                self._file = _identify(path)
                self.connection = opening.enter_context(closing(self._connect()))
                self.connection.row_factory = sqlite3.Row
                if not self.read_only:
                    self._use_wal()
                    # For macOS (see `atomic_files.sync`); other systems ignore it.
                    self.connection.execute("PRAGMA fullfsync=ON")
                self._migrate()
            self._open = opening.pop_all()

    def _connect(self) -> sqlite3.Connection:
        if not self.read_only:
            # Threads that prepare images look up earlier ones. Only one thread writes.
            return sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        return connect_read_only(self._path)

    def _use_wal(self) -> None:
        """Switch to WAL mode. Retry while other processes do so too, because SQLite ignores its timeout here."""
        ends = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > ends:
                    raise
                time.sleep(0.01)

    def _migrate(self) -> None:
        version = version_of(self.connection)
        if version > len(MIGRATIONS):
            raise JournalError(f"the journal {self._path} was written by a newer version of flux", hint=UPDATE_HINT)
        if version < len(MIGRATIONS):
            if self.read_only:
                raise sqlite3.OperationalError("an older flux wrote it, and it cannot be written to")
            migrate(self.connection)

    def check(self) -> None:
        """Raise JournalError if a page of the file is damaged, because a paid task might not be recorded.

        The check runs once per process and for a bounded time: not every row of a large journal is checked.
        """
        if self._checked:
            return
        ends = time.monotonic() + CHECK_SECONDS
        with self.errors():
            self.connection.set_progress_handler(lambda: time.monotonic() > ends, CHECK_STEPS)
            try:
                (found,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                found = "ok"
            finally:
                self.connection.set_progress_handler(None, 0)
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        self._checked = True

    def require_in_place(self) -> None:
        """Raise JournalError if the file at the path is no longer the open one.

        SQLite keeps writing to a deleted file, and those records would be lost.
        """
        with self.errors():
            if _identify(self._path) != self._file:
                raise JournalError(
                    f"the journal {self._path} was deleted or replaced while flux was using it; nothing more is sent",
                    hint="Put the file back first: without its entries, flux would pay for the same tasks again",
                )

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Convert errors inside the block that concern the file to a JournalError."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError, ArithmeticError) as error:  # invalid text or prices
            message = f"cannot use the journal {self._path}: {getattr(error, 'strerror', None) or error}"
            if isinstance(error, OSError) and error.filename not in (None, str(self._path)):  # a directory
                raise JournalError(f"cannot create {error.filename}: {error.strerror}", hint=HOME_HINT) from error
            if isinstance(error, TimeoutError) or _is_busy(error):
                raise LockedError(message, hint="Another program keeps it locked; try again") from error
            if isinstance(error, NO_PLACE) or _code(error) in NOT_WRITABLE or getattr(error, "errno", 0) == errno.EROFS:
                raise JournalError(message, hint=HOME_HINT) from error
            raise JournalError(message, hint="Find out what is wrong with it", command=("doctor",)) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as a transaction that is atomic for all processes. An error rolls it back."""
        with self.errors(), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            yield

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait at most `seconds` for another process's lock inside the block."""
        with self.errors():
            self.connection.execute(f"PRAGMA busy_timeout={1000 * seconds:.0f}")
        try:
            yield
        finally:
            with self.errors():
                self.connection.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS:.0f}")

    def read(self, make: Callable[[sqlite3.Row], T], sql: str, values: Sequence[Json] = ()) -> list[T]:
        """Return the rows of a query, converted with `make`."""
        with self.errors():
            return [make(row) for row in self.connection.execute(sql, values).fetchall()]

    def write(self, sql: str, values: Sequence[Json] = ()) -> int:
        """Execute a statement and return the number of rows that it changed."""
        with self.errors():
            return self.connection.execute(sql, values).rowcount

    def survive_power_cuts(self, needed: bool) -> None:
        """Set whether the next commit must be on the disk when it returns.

        Records of charges need this. The rest can be recovered: without its `saved`, an image is downloaded again. Each
        such commit waits for the disk, which takes milliseconds if it is busy.
        """
        if needed is not self._durable and not self.connection.in_transaction:  # cannot be changed within a transaction
            self.write(f"PRAGMA synchronous={'FULL' if needed else 'NORMAL'}")
            self._durable = needed


def _identify(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if it is missing. Raise OSError."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _is_busy(error: Exception) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: Exception) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF  # the rest of an extended code is detail


def _share(path: Path) -> int | None:
    """Return a descriptor that holds the shared lock of a journal; None if the file system has no locks.

    A missing journal is created first. Raise JournalError for a truncated one, OSError.
    """
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        _refuse_remains(path)
        exists = path.exists()
        try:
            descriptor = try_lock(_lock_of(path), shared=exists)
        except UnsupportedError:
            if not exists:
                make(path)
            return None
        if descriptor is not None and exists:
            return descriptor
        if descriptor is not None:
            try:
                if not path.exists():
                    make(path)
            finally:
                os.close(descriptor)
        elif time.monotonic() > ends:
            raise TimeoutError(f"another process has been making or repairing it for {BUSY_SECONDS:.0f} s")
        else:
            time.sleep(0.01)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of the journal at `path`. Raise LockedError if a process has it open, OSError."""
    descriptor = try_lock(_lock_of(path))
    if descriptor is None:
        raise LockedError(f"the journal {path} is in use by a running flux", hint="Wait until it has ended")
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_of(path: Path) -> Path:
    return beside(path, ".lock")


def _refuse_remains(path: Path) -> None:
    """Raise JournalError if the journal was truncated."""
    if left := cut_off(path):
        raise JournalError(
            f"the journal {path} {left}: its record of paid tasks may be lost",
            hint="Recover what is readable, and start a new one",
            command=("doctor", "--fix"),
        )


def make(path: Path) -> None:
    """Create a journal at `path`, unless another process has done so meanwhile. Raise OSError."""
    temporary = temporary_beside(path)
    try:
        # Prompts are private, so only the owner can read the file, whatever the umask.
        with open(create(temporary, 0o600), "wb") as file:
            file.write(blank(len(MIGRATIONS)))
        with contextlib.suppress(FileExistsError):
            move_into_place(temporary, path, overwrite=False)
    finally:
        temporary.unlink(missing_ok=True)


def blank(version: int) -> bytes:
    """Return the content of an empty journal with schema `version`."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        for statement in (*MIGRATIONS[:version], f"PRAGMA user_version={version}"):
            db.execute(statement)
        return db.serialize()


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a read-only connection. Raise sqlite3.Error or OSError.

    In a read-only directory, SQLite opens the file only as `immutable`, and then ignores the log beside it.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        db.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in NOT_WRITABLE or file_size(beside(path, "-wal")):
            raise
        db = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return db


def cut_off(path: Path) -> str | None:
    """Return the defect of a journal that SQLite would replace with an empty one: a few bytes, or only the log.

    Return None for any other journal, and if there is none.
    """
    logged = file_size(beside(path, "-wal"))  # read first, because a new journal gets its log last
    size = file_size(path)
    if size is None:
        return "is missing, but its log exists" if logged else None
    return None if size >= HEADER_BYTES else f"is damaged ({counted(size, 'byte')})"


def file_size(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it is missing. A log can disappear at any time."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to a database: its own path with a suffix."""
    return path.with_name(path.name + suffix)
