"""How long tasks took, as the journal has it."""

from .database import Database
from .entries import Account

RECENT = 5000
"""Entries among which the durations of a kind are looked for: a kind that is rare may be in none of them."""


class TaskDurations:
    """The durations of tasks at the service of an account, in seconds. Every method raises JournalError."""

    def __init__(self, db: Database, account: Account) -> None:
        self._db, self._service = db, account.service

    def find_kind(self, model: str, operation: str, limit: int) -> list[float]:
        """Return those of the newest tasks of a model and operation, oldest first."""
        sql = f"""
            SELECT seconds FROM entries
            WHERE seconds > 0 AND +service = ? AND number > (SELECT MAX(number) FROM entries) - {RECENT}
            AND json_extract(request, '$.model') = ? AND json_extract(request, '$.op') = ?
            ORDER BY number DESC LIMIT ?
        """
        values = (self._service, model, operation, limit)
        return self._db.read(lambda row: float(row["seconds"]), sql, values)[::-1]

    def find_all(self, limit: int) -> dict[str, list[float]]:
        """Return those of the newest tasks, at most `limit` in all, by the ID of their model."""
        columns = "json_extract(request, '$.model') AS model, seconds"
        sql = f"SELECT {columns} FROM entries WHERE seconds > 0 AND +service = ? ORDER BY number DESC LIMIT ?"
        found: dict[str, list[float]] = {}
        rows = self._db.read(lambda row: (row["model"], float(row["seconds"])), sql, (self._service, limit))
        for model, seconds in rows:
            found.setdefault(str(model), []).append(seconds)
        return found
