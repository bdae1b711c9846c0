"""Entries with the same request: an image that exists, or is about to, need not be generated and paid for again."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..operations.request import TaskRequest
from .entries import Account, Entry, State, from_row

if TYPE_CHECKING:
    import sqlite3

WITH_TASK = (State.ACCEPTED, State.READY, State.SAVED)
"""A request in one of these has an image, or is about to have one."""


def find_same(
    db: "sqlite3.Connection",
    request: TaskRequest,
    account: Account,
    since: float,
    states: Sequence[State],
    *,
    any_seed: bool,
) -> Iterator[Entry]:
    """Yield the entries of an account with this request in one of `states`, newest first.

    since: when they were submitted, or planned, at the earliest; seconds since the epoch.
    any_seed: with this request but for its seed. Raises sqlite3.Error.
    """
    name, value = ("content", request.content) if any_seed else ("digest", request.digest)
    # `+`: without statistics SQLite would search by account or state, which most entries have in common.
    sql = f"""
        SELECT * FROM entries
        WHERE {name} = ? AND +service = ? AND +profile = ? AND coalesce(submitted, created) >= ?
        AND +state IN ({", ".join("?" * len(states))}) ORDER BY number DESC
    """
    return map(from_row, db.execute(sql, (value, account.service, account.profile, since, *states)))
