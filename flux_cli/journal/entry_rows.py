"""An entry as a row of the journal's table (see `migrations`)."""

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path

from ..errors import UsageError
from ..images.output_names import OutputPlan
from ..json_value import Json
from ..operations.request import TaskRequest
from .entries import Entry, Problem, SavedFile, State

LATEST = 32_503_680_000.0
"""The year 3000, in seconds since the epoch: not every platform can show a later time, or one before the epoch."""
FIELDS = tuple(field.name for field in fields(Entry))
TIMES = ("created", "submitted", "accepted", "ended")


def to_row(entry: Entry, changed: Iterable[str] | None = None) -> dict[str, Json]:
    """Return the columns of an entry (see `migrations`): all of them, or those of the fields that `changed`."""
    names = set(FIELDS if changed is None else changed)
    if "request" in names:
        names |= {"digest", "content"}
    return {name: _WRITTEN[name](entry) if name in _WRITTEN else getattr(entry, name) for name in names}


def _in_range(name: str) -> Callable[[Entry], Json]:
    """Return what writes a time: the clock of a server may say anything, and so may the clock of this machine."""

    def write(entry: Entry) -> Json:
        moment: float | None = getattr(entry, name)
        return None if moment is None else min(max(moment, 0.0), LATEST)

    return write


_WRITTEN: dict[str, Callable[[Entry], Json]] = {
    "state": lambda entry: str(entry.state),
    "output": lambda entry: _dump(
        {
            "paths": [str(path) for path in entry.output.paths],
            "overwrite": entry.output.overwrite,
            "metadata": entry.output.metadata,
        }
    ),
    "request": lambda entry: None if entry.request is None else _dump(entry.request.to_json()),
    "digest": lambda entry: None if entry.request is None else entry.request.digest,
    "content": lambda entry: None if entry.request is None else entry.request.digest_without_seed,
    "price": lambda entry: None if entry.price is None else str(entry.price),
    "urls": lambda entry: _dump(list(entry.urls)),
    "files": lambda entry: _dump([{"path": str(file.path), "sha256": file.sha256} for file in entry.files]),
    "problem": lambda entry: None if entry.problem is None else _dump(asdict(entry.problem)),
    "any_seed": lambda entry: int(entry.any_seed),
    **{name: _in_range(name) for name in TIMES},
}
"""Columns that differ from their field."""


def from_row(row: sqlite3.Row) -> Entry:
    """Return the entry in a row of the journal. Raise sqlite3.DataError for a row that flux did not write."""
    try:
        return _from_row(row)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise sqlite3.DataError(f"entry {row['number']} in it is damaged") from error


def _from_row(row: sqlite3.Row) -> Entry:
    for name in TIMES:
        if not 0 <= (row[name] or 0) <= LATEST:  # it would fail only where it is shown
            raise ValueError("not a time")
    output, problem = json.loads(row["output"]), json.loads(row["problem"] or "null")
    return Entry(
        id=row["id"],
        state=State(row["state"]),
        service=row["service"],
        profile=row["profile"],
        output=OutputPlan(tuple(Path(path) for path in output["paths"]), output["overwrite"], output["metadata"]),
        created=row["created"],
        owner=row["owner"],
        request=_request(row["request"]),
        price=None if row["price"] is None else _price(row["price"]),
        task_id=row["task_id"],
        status=row["status"],
        urls=tuple(json.loads(row["urls"])),
        files=tuple(SavedFile(Path(file["path"]), file["sha256"]) for file in json.loads(row["files"])),
        problem=None if problem is None else Problem(problem["code"], problem["message"], problem["exit_code"]),
        evidence=row["evidence"],
        identity=row["identity"],
        any_seed=bool(row["any_seed"]),
        joined=row["joined"],
        seen_id=row["seen_id"],
        replaces=row["replaces"],
        submitted=row["submitted"],
        accepted=row["accepted"],
        ended=row["ended"],
        seconds=row["seconds"],
    )


def _price(stored: str) -> Decimal:
    price = Decimal(stored)
    if not price.is_finite() or price < 0:
        raise ValueError("not a price")
    return price


def _request(stored: str | None) -> TaskRequest | None:
    """Return the request; None for one that a newer version stored, whose task can be fetched anyway."""
    try:
        return None if stored is None else TaskRequest.from_json(json.loads(stored))
    except (UsageError, ValueError):
        return None


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
