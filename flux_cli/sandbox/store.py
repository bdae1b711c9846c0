"""The sandbox's tasks, in an SQLite file, with uploads beside it. Both persist between processes.

The progress of a task is not stored: it is computed from the times that were set when the task was created.
"""

import hashlib
import json
import math
import sqlite3
from decimal import Decimal
from pathlib import Path

from ..frozen import frozen
from ..json_value import Json, JsonObject
from ..system.atomic_files import make_private_directory, write_atomic
from .rules import CODES, RefusalError

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,       -- the create request, without its webhook secret
    cost TEXT NOT NULL,       -- USD
    created REAL NOT NULL,    -- seconds since the epoch, as all times here
    started REAL NOT NULL,
    ended REAL NOT NULL       -- infinite for a task that never ends
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_ended ON tasks (ended);
CREATE TABLE IF NOT EXISTS failures (  -- of tasks that end without an image
    id TEXT PRIMARY KEY,
    word TEXT NOT NULL,       -- the status
    code INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;
"""
FOUND = "SELECT tasks.*, word, code, message FROM tasks LEFT JOIN failures USING (id)"


@frozen
class Failure:
    """The end of a task without an image. word: the status. code, message: of PiAPI's error."""

    word: str
    code: int
    message: str


@frozen
class StoredTask:
    """A task of the sandbox. `cost` is in USD; times are seconds since the epoch."""

    id: str
    body: JsonObject
    cost: Decimal
    created: float
    started: float
    ended: float
    failure: Failure | None = None

    def status(self, now: float) -> str:
        """Return the status at `now`, in the specification's words."""
        if now >= self.ended:
            return self.failure.word if self.failure else "completed"
        return "processing" if self.begun(now) else "pending"

    def begun(self, now: float) -> bool:
        """Return whether the task has started at `now`. A canceled one never starts."""
        return self.started <= min(now, self.ended)


class Store:
    """Tasks in an SQLite file, which is created if it does not exist."""

    def __init__(self, path: Path) -> None:
        make_private_directory(path.parent)
        self._uploads = path.with_name(f"{path.name}.uploads")
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error:  # not a database, or locked
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def add(self, task: StoredTask, *, limit: int, credit: Decimal | None) -> None:
        """Add a task and charge it, in one transaction.

        limit: the most unfinished tasks of the plan. credit: all USD that were ever paid into the account; None for no
        limit. Raise RefusalError, without a charge, if one is exceeded.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if len(self.active(task.created)) >= limit:
                detail = "too many requests: your plan's tasks are all running"
                raise RefusalError(429, 1400, CODES[1400], detail)
            if credit is not None and self.spent() + task.cost > credit:
                raise RefusalError(402, 1300, CODES[1300], "Top up account balance")
            values = (task.id, json.dumps(task.body), str(task.cost), task.created, task.started, task.ended)
            self._db.execute(
                "INSERT INTO tasks (id, body, cost, created, started, ended) VALUES (?, ?, ?, ?, ?, ?)", values
            )
            if task.failure:
                self._add_failure(task.id, task.failure)

    def cancel(self, task_id: str, now: float) -> bool:
        """Cancel a task that has not started, without a charge. Return False if it has started."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            found = self._db.execute(
                "UPDATE tasks SET ended = ?, cost = '0' WHERE id = ? AND started > ? AND ended > ?",
                (now, task_id, now, now),
            )
            if found.rowcount:
                self._add_failure(task_id, Failure("cancelled", 0, "task canceled"))
        return found.rowcount > 0

    def _add_failure(self, task_id: str, failure: Failure) -> None:
        values = (task_id, failure.word, failure.code, failure.message)
        self._db.execute("INSERT OR REPLACE INTO failures (id, word, code, message) VALUES (?, ?, ?, ?)", values)

    def find(self, task_id: str) -> StoredTask | None:
        """Return the task with this ID; None if there is none."""
        return next(iter(self._tasks("WHERE tasks.id = ?", task_id)), None)

    def tasks(self) -> list[StoredTask]:
        """Return every task, oldest first."""
        return self._tasks("ORDER BY number")

    def active(self, now: float) -> list[StoredTask]:
        """Return the tasks that are not finished at `now`, oldest first."""
        return self._tasks("WHERE ended > ? ORDER BY number", now)

    def newest(
        self, count: int, *, skip: int = 0, since: float = -math.inf, until: float = math.inf
    ) -> tuple[list[StoredTask], int]:
        """Return up to `count` tasks, newest first, after the first `skip`, and the number of all matching tasks.

        since, until: bounds of their creation, in seconds since the epoch.
        """
        span = "created BETWEEN ? AND ?"
        (total,) = self._db.execute(f"SELECT count(*) FROM tasks WHERE {span}", (since, until)).fetchone()
        return self._tasks(f"WHERE {span} ORDER BY number DESC LIMIT ? OFFSET ?", since, until, count, skip), total

    def _tasks(self, condition: str, *values: str | float) -> list[StoredTask]:
        return [_task(row) for row in self._db.execute(f"{FOUND} {condition}", values)]

    def spent(self) -> Decimal:
        """Return the cost of all tasks in USD."""
        return sum((Decimal(row["cost"]) for row in self._db.execute("SELECT cost FROM tasks")), Decimal(0))

    def keep_upload(self, content: bytes, extension: str) -> str:
        """Store an uploaded image, and return its name."""
        name = f"{hashlib.sha256(content).hexdigest()}.{extension}"
        make_private_directory(self._uploads)
        write_atomic(self._uploads / name, content)
        return name

    def upload(self, name: str) -> bytes | None:
        path = self._uploads / name
        return path.read_bytes() if path.is_file() else None


def _task(row: sqlite3.Row) -> StoredTask:
    body: Json = json.loads(row["body"])
    assert isinstance(body, dict)
    failure = None if row["word"] is None else Failure(row["word"], row["code"], row["message"])
    times = (row["created"], row["started"], row["ended"])
    return StoredTask(row["id"], body, Decimal(row["cost"]), *times, failure)
