"""The journal's file: an SQLite database that many processes read and write at once."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import JournalError
from ..json_value import Json
from ..system.atomic_files import private_folder
from .create import make_unless_there
from .migrations import MIGRATIONS

BUSY_SECONDS = 10.0

T = TypeVar("T")


class Database:
    """The database at a path, made and migrated when that is needed.

    Every method raises JournalError when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._survives: bool | None = None
        with self.errors():
            private_folder(path.parent)
            make_unless_there(path)
            # Images are prepared in threads, which may look up earlier ones; only one thread writes.
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self.connection.row_factory = sqlite3.Row
        try:
            with self.errors():
                self._use_wal()
                self._migrate()
        except JournalError:
            self.close()
            raise

    def _use_wal(self) -> None:
        """Of several processes that make the file at once, SQLite refuses some here without waiting."""
        ends = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                    raise
                time.sleep(0.01)

    def _migrate(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise JournalError(
                f"the journal {self._path} was written by a newer flux", hint="upgrade: pip install -U piapi-flux"
            )
        if version == len(MIGRATIONS):
            return
        self.connection.execute("BEGIN IMMEDIATE")
        # Another process may have migrated while this one waited for the lock.
        for number, statement in enumerate(MIGRATIONS[self._version() :], self._version() + 1):
            self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version={number}")
        self.connection.execute("COMMIT")

    def _version(self) -> int:
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        return version

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """While inside, what goes wrong with the file becomes a JournalError."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:  # a damaged schema may be no text
            locked = "locked" in str(error)
            hint = "another flux holds it; try again" if locked else "find out what is wrong with it: flux doctor"
            raise JournalError(f"cannot use the journal {self._path}: {error}", hint=hint) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is read and written inside happens at once, for every process; an error undoes it."""
        with self.errors(), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            yield

    def read(self, make: Callable[[sqlite3.Row], T], sql: str, values: Sequence[Json] = ()) -> list[T]:
        """What is made of each row that a query finds."""
        with self.errors():
            return [make(row) for row in self.connection.execute(sql, values).fetchall()]

    def write(self, sql: str, values: Sequence[Json] = ()) -> int:
        """Execute a statement; gives the number of rows that it changed."""
        with self.errors():
            return self.connection.execute(sql, values).rowcount

    def survive_power_cuts(self, needed: bool) -> None:
        """Whether the next commit is to be on the disk itself when it returns.

        It is for what tells that money is on its way or gone. The rest can be found out again: a lost `saved` makes
        `resume` fetch the picture once more. Each such commit waits for the disk, milliseconds on a busy one.
        """
        if needed is not self._survives and not self.connection.in_transaction:  # a transaction is as it began
            self.write(f"PRAGMA synchronous={'FULL' if needed else 'NORMAL'}")
            self._survives = needed
