"""The miniature service's memory: tasks and credits in a SQLite file, uploads beside it; it outlives a process.

A task's progress is not stored: it follows from the times that were settled when it was created.
"""

import hashlib
import json
import math
import sqlite3
from decimal import Decimal
from pathlib import Path

from ..frozen import frozen
from ..json_value import Json, JsonObject
from ..system.atomic_files import private_folder, write_atomic

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,       -- the create request, without its webhook secret
    cost TEXT NOT NULL,       -- USD
    created REAL NOT NULL,    -- seconds since the epoch, as all times here
    started REAL NOT NULL,
    ended REAL NOT NULL       -- infinite when it never ends
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_ended ON tasks (ended);
CREATE TABLE IF NOT EXISTS failures (  -- tasks that end without a picture
    id TEXT PRIMARY KEY,
    word TEXT NOT NULL,       -- the status
    code INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;
"""
FOUND = "SELECT tasks.*, word, code, message FROM tasks LEFT JOIN failures USING (id)"


@frozen
class Failure:
    """How a task ends that has no picture: the status, PiAPI's error code and its words."""

    word: str
    code: int
    message: str


@frozen
class StoredTask:
    """A task of the miniature service. `cost` is USD; times are seconds since the epoch."""

    id: str
    body: JsonObject
    cost: Decimal
    created: float
    started: float
    ended: float
    failure: Failure | None = None

    def status(self, now: float) -> str:
        """The specification's word for where the task is at `now`."""
        if now >= self.ended:
            return self.failure.word if self.failure else "completed"
        return "processing" if self.begun(now) else "pending"

    def begun(self, now: float) -> bool:
        """Whether the work has begun at `now`; for a task that was cancelled, it never does."""
        return self.started <= min(now, self.ended)


class LimitReachedError(Exception):
    """As many tasks as the plan allows are unfinished."""


class CreditsEndedError(Exception):
    """The account cannot pay for the task."""


class Store:
    """Tasks in a SQLite file, which is made when there is none."""

    def __init__(self, path: Path) -> None:
        private_folder(path.parent)
        self._uploads = path.with_name(f"{path.name}.uploads")
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error:  # it is no database, or is locked
            self._db.close()
            raise

    def add(self, task: StoredTask, *, limit: int, credit: Decimal | None) -> None:
        """Take a task in and charge it, in one transaction.

        limit: unfinished tasks the plan allows; credit: USD the account ever had, None for no end.
        Raises LimitReachedError, CreditsEndedError; then nothing is charged.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (unfinished,) = self._db.execute("SELECT count(*) FROM tasks WHERE ended > ?", (task.created,)).fetchone()
            if unfinished >= limit:
                raise LimitReachedError
            if credit is not None and self.spent() + task.cost > credit:
                raise CreditsEndedError
            values = (task.id, json.dumps(task.body), str(task.cost), task.created, task.started, task.ended)
            self._db.execute(
                "INSERT INTO tasks (id, body, cost, created, started, ended) VALUES (?, ?, ?, ?, ?, ?)", values
            )
            if task.failure:
                self._fail(task.id, task.failure)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def cancel(self, task_id: str, now: float) -> bool:
        """End a task that has not started; it costs nothing then. Gives whether it was in time."""
        self._db.execute("BEGIN IMMEDIATE")
        found = self._db.execute(
            "UPDATE tasks SET ended = ?, cost = '0' WHERE id = ? AND started > ? AND ended > ?",
            (now, task_id, now, now),
        )
        if found.rowcount:
            self._fail(task_id, Failure("cancelled", 0, "task canceled"))
        self._db.execute("COMMIT")
        return found.rowcount > 0

    def _fail(self, task_id: str, failure: Failure) -> None:
        values = (task_id, failure.word, failure.code, failure.message)
        self._db.execute("INSERT OR REPLACE INTO failures (id, word, code, message) VALUES (?, ?, ?, ?)", values)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def find(self, task_id: str) -> StoredTask | None:
        """The task with this id."""
        row = self._db.execute(f"{FOUND} WHERE tasks.id = ?", (task_id,)).fetchone()
        return None if row is None else _task(row)

    def keep_upload(self, content: bytes, extension: str) -> str:
        """Keep an uploaded picture; gives its name."""
        name = f"{hashlib.sha256(content).hexdigest()}.{extension}"
        private_folder(self._uploads)
        write_atomic(self._uploads / name, content)
        return name

    def upload(self, name: str) -> bytes | None:
        """An uploaded picture's content."""
        path = self._uploads / name
        return path.read_bytes() if path.is_file() else None

    def tasks(self) -> list[StoredTask]:
        """Every task, in the order they came."""
        return [_task(row) for row in self._db.execute(f"{FOUND} ORDER BY number")]

    def newest(
        self, count: int, *, skip: int = 0, since: float = 0.0, until: float = math.inf
    ) -> tuple[list[StoredTask], int]:
        """`count` tasks, newest first, after the first `skip`, and how many there are in all.

        since, until: when they were created, seconds since the epoch.
        """
        span = "created BETWEEN ? AND ?"
        (total,) = self._db.execute(f"SELECT count(*) FROM tasks WHERE {span}", (since, until)).fetchone()
        query = f"{FOUND} WHERE {span} ORDER BY number DESC LIMIT ? OFFSET ?"
        return [_task(row) for row in self._db.execute(query, (since, until, count, skip))], total

    def spent(self) -> Decimal:
        """What all tasks cost together, USD."""
        return sum((Decimal(row["cost"]) for row in self._db.execute("SELECT cost FROM tasks")), Decimal(0))


def _task(row: sqlite3.Row) -> StoredTask:
    body: Json = json.loads(row["body"])
    assert isinstance(body, dict)
    failure = None if row["word"] is None else Failure(row["word"], row["code"], row["message"])
    times = (row["created"], row["started"], row["ended"])
    return StoredTask(row["id"], body, Decimal(row["cost"]), *times, failure)
