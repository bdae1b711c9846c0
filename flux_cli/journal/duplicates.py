"""Identical requests: what was asked for before, word for word and with the same seed, need not be bought again."""

import json
from typing import TYPE_CHECKING

from ..operations.request import TaskRequest
from .entries import Entry, State, from_row

if TYPE_CHECKING:
    import sqlite3

ALIVE = (State.SENDING, State.ACCEPTED, State.READY, State.SAVED)
"""A request in one of these has a picture, or is about to have one."""
_WHERE = f"service = ? AND profile = ? AND submitted >= ? AND state IN ({', '.join('?' * len(ALIVE))})"
_OF_CONTENT = "json_remove(request, '$.seed', '$.webhook') = json_remove(?, '$.seed', '$.webhook')"


def twin_of(
    db: "sqlite3.Connection", request: TaskRequest, *, service: str, profile: str, since: float
) -> Entry | None:
    """The newest entry with this very request, submitted `since` (seconds since the epoch).

    One with a task goes before one without: what is being sent may never become a task.
    """
    sql = f"SELECT * FROM entries WHERE digest = ? AND {_WHERE} ORDER BY task_id IS NULL, number DESC LIMIT 1"
    row = db.execute(sql, (request.digest, service, profile, since, *ALIVE)).fetchone()
    return None if row is None else from_row(row)


def seed_of(db: "sqlite3.Connection", request: TaskRequest, *, service: str, profile: str, since: float) -> int | None:
    """The seed of the newest entry whose request is this one but for the seed, submitted `since`."""
    stored = json.dumps(request.to_json(), separators=(",", ":"))
    sql = f"SELECT * FROM entries WHERE {_WHERE} AND {_OF_CONTENT} ORDER BY number DESC LIMIT 1"
    row = db.execute(sql, (service, profile, since, *ALIVE, stored)).fetchone()
    found = None if row is None else from_row(row)
    return found.request.seed if found and found.request else None
