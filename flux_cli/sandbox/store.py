"""The miniature service's memory: tasks and credits in a SQLite file, uploads beside it; it outlives a process.

A task's progress is not stored: it follows from the times that were settled when it was created.
"""

import hashlib
import json
import sqlite3
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ..files import write_atomic
from ..json_value import Json, JsonObject

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,       -- the create request, without its webhook secret
    cost TEXT NOT NULL,       -- USD
    created REAL NOT NULL,    -- seconds since the epoch, as all times here
    started REAL NOT NULL,
    ended REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_ended ON tasks (ended);
"""


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task of the miniature service. `cost` is USD; times are seconds since the epoch."""

    id: str
    body: JsonObject
    cost: Decimal
    created: float
    started: float
    ended: float

    def status(self, now: float) -> str:
        """The specification's word for where the task is at `now`."""
        if now < self.started:
            return "pending"
        return "processing" if now < self.ended else "completed"


class LimitReachedError(Exception):
    """As many tasks as the plan allows are unfinished."""


class CreditsEndedError(Exception):
    """The account cannot pay for the task."""


class Store:
    """Tasks in a SQLite file, which is made when there is none."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._uploads = path.parent / "uploads"
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    def add(
        self, body: JsonObject, cost: Decimal, now: float, duration: float, *, limit: int, credit: Decimal | None
    ) -> StoredTask:
        """Take a task in and charge it, in one transaction.

        limit: unfinished tasks the plan allows; credit: USD the account ever had, None for no end.
        Raises LimitReachedError, CreditsEndedError; then nothing is charged.
        """
        task = StoredTask(f"flux_{uuid.uuid4()}", body, cost, now, now + duration * 0.15, now + duration)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (unfinished,) = self._db.execute("SELECT count(*) FROM tasks WHERE ended > ?", (now,)).fetchone()
            if unfinished >= limit:
                raise LimitReachedError
            if credit is not None and self.spent() + cost > credit:
                raise CreditsEndedError
            values = (task.id, json.dumps(body), str(cost), task.created, task.started, task.ended)
            self._db.execute(
                "INSERT INTO tasks (id, body, cost, created, started, ended) VALUES (?, ?, ?, ?, ?, ?)", values
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return task

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def find(self, task_id: str) -> StoredTask | None:
        """The task with this id."""
        row = self._db.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
        return None if row is None else _task(row)

    def keep_upload(self, content: bytes, extension: str) -> str:
        """Keep an uploaded picture; gives its name."""
        name = f"{hashlib.sha256(content).hexdigest()}.{extension}"
        self._uploads.mkdir(parents=True, exist_ok=True)
        write_atomic(self._uploads / name, content)
        return name

    def upload(self, name: str) -> bytes | None:
        """An uploaded picture's content."""
        path = self._uploads / name
        return path.read_bytes() if path.is_file() else None

    def tasks(self) -> list[StoredTask]:
        """Every task, in the order they came."""
        return [_task(row) for row in self._db.execute("SELECT * FROM tasks ORDER BY number")]

    def spent(self) -> Decimal:
        """What all tasks cost together, USD."""
        return sum((Decimal(row["cost"]) for row in self._db.execute("SELECT cost FROM tasks")), Decimal(0))


def _task(row: sqlite3.Row) -> StoredTask:
    body: Json = json.loads(row["body"])
    assert isinstance(body, dict)
    return StoredTask(row["id"], body, Decimal(row["cost"]), row["created"], row["started"], row["ended"])
