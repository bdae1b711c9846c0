"""The file of the journal: an SQLite database that many processes read and write at the same time.

A new journal is made under another name and then renamed. So a file that is too short was in use and has been cut.
SQLite would take a file of no bytes for a new database and remove the log beside it, and with it the record of what
was paid for.

Every process holds a shared lock while it has the journal open: one that replaces the file needs it for itself alone.
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
from ..system.atomic_files import create, make_private_folder, place, temporary_beside
from ..system.file_locks import UnsupportedError, hold
from ..text import counted
from .migrations import MIGRATIONS, migrate, version_of

UPDATE_HINT = "Update your clone of flux, and install it again"
BUSY_SECONDS = 10.0
"""Seconds to wait for another process."""
CHECK_SECONDS = 0.05
"""Bounds the second part of the check: the first one, of the pages themselves, takes 0.5 ms per MB (56 MB: 26 ms)."""
CHECK_STEPS = 10_000
"""Instructions of SQLite after which the clock is read."""

OWN = "+service = ? AND +profile = ?"
"""Entries of one account. `+` keeps SQLite from searching by account, which nearly all entries have in common."""
HEADER_BYTES = 100
"""Size of the header of every SQLite database (SQLite: Database File Format, 1.3)."""
NOT_WRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""Errors of SQLite where nothing can be written."""
NO_PLACE = (PermissionError, FileNotFoundError, NotADirectoryError)
"""Errors of a home where nothing can be written."""

T = TypeVar("T")


class LockedError(JournalError):
    """Another process keeps the journal locked."""

    code = "journal_locked"


class Database:
    """The database at a path, made and migrated if necessary.

    Every method raises JournalError when the file cannot be read or written, and LockedError when it is locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._durable: bool | None = None
        self._checked = False
        with contextlib.ExitStack() as opening:
            with self.errors():
                make_private_folder(path.parent)
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
            # Images are prepared in threads, which may look up earlier ones; only one thread writes.
            return sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        return connect_read_only(self._path)

    def _use_wal(self) -> None:
        """Switch to WAL mode; try again if other processes make the file too, for which SQLite does not wait here."""
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
        """Raise JournalError when a page of the file is damaged: what was paid for could not be recorded in it.

        Once per process, and for a bounded time: of a large journal, not every row is checked.
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
        """Raise JournalError when the file at the path is no longer the one that is open.

        SQLite keeps writing into a file that was deleted, where nothing could be found again.
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
        """Turn what fails inside because of the file into a JournalError."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError, ArithmeticError) as error:  # damaged, texts and prices are none
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
        """Make what is read and written inside one step for every process; an error undoes it."""
        with self.errors(), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            yield

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait only so long inside for another process that is writing."""
        with self.errors():
            self.connection.execute(f"PRAGMA busy_timeout={1000 * seconds:.0f}")
        try:
            yield
        finally:
            with self.errors():
                self.connection.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS:.0f}")

    def read(self, make: Callable[[sqlite3.Row], T], sql: str, values: Sequence[Json] = ()) -> list[T]:
        """Return what `make` makes of each row that a query finds."""
        with self.errors():
            return [make(row) for row in self.connection.execute(sql, values).fetchall()]

    def write(self, sql: str, values: Sequence[Json] = ()) -> int:
        """Execute a statement and return the number of rows that it changed."""
        with self.errors():
            return self.connection.execute(sql, values).rowcount

    def survive_power_cuts(self, needed: bool) -> None:
        """Set whether the next commit has to be on the disk itself when it returns.

        Needed for what records that money is leaving or spent. The rest can be found out again: after a lost `saved`,
        the image is downloaded again. Each such commit waits for the disk, milliseconds on a busy one.
        """
        if needed is not self._durable and not self.connection.in_transaction:  # a transaction keeps its own
            self.write(f"PRAGMA synchronous={'FULL' if needed else 'NORMAL'}")
            self._durable = needed


def _identify(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from another one of the same name; None if it is missing. Raise OSError."""
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
    """Return a descriptor that shares the lock of a journal, which is made first if there is none; None without locks.

    Raise JournalError for what is left of a journal, OSError.
    """
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        _refuse_remains(path)
        exists = path.exists()
        try:
            descriptor = hold(_lock_of(path), shared=exists)
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
    """Keep every process from opening the journal at `path`. Raise LockedError when one has it open, OSError."""
    descriptor = hold(_lock_of(path))
    if descriptor is None:
        raise LockedError(f"the journal {path} is in use by a running flux", hint="Wait until it has ended")
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_of(path: Path) -> Path:
    return beside(path, ".lock")


def _refuse_remains(path: Path) -> None:
    """Raise JournalError for what is left of a journal that was cut."""
    if left := cut_off(path):
        raise JournalError(
            f"the journal {path} {left}: its record of paid tasks may be lost",
            hint="Recover what is readable, and start a new one",
            command=("doctor", "--fix"),
        )


def make(path: Path) -> None:
    """Make a new journal at `path`, unless another process was faster. Raise OSError."""
    temporary = temporary_beside(path)
    try:
        # Prompts are private: the file is for its owner only, whatever the umask.
        with open(create(temporary, 0o600), "wb") as file:
            file.write(blank(len(MIGRATIONS)))
        with contextlib.suppress(FileExistsError):
            place(temporary, path, overwrite=False)
    finally:
        temporary.unlink(missing_ok=True)


def blank(version: int) -> bytes:
    """Return a journal without entries that has had `version` migrations."""
    with closing(sqlite3.connect("", isolation_level=None)) as db:
        for statement in (*MIGRATIONS[:version], f"PRAGMA user_version={version}"):
            db.execute(statement)
        return db.serialize()


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that changes nothing. Raise sqlite3.Error or OSError.

    Where nothing can be written, SQLite reads only what is declared `immutable`, and then ignores the log beside it.
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
    """Return what is left of a journal that SQLite would replace with an empty one: a few bytes, or only the log.

    None for one that is complete or does not exist.
    """
    logged = file_size(beside(path, "-wal"))  # first: a process that makes a journal makes its log last
    size = file_size(path)
    if size is None:
        return "is missing, and its log is there" if logged else None
    return None if size >= HEADER_BYTES else f"is damaged ({counted(size, 'byte')})"


def file_size(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it is missing. A log can disappear at any time."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to a database and stands beside it."""
    return path.with_name(path.name + suffix)
