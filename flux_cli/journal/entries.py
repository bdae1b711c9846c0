"""An entry of the journal: one paid task, from plan to picture.

planned -> sending -> accepted -> ready -> saved
side exits: rejected, unknown, forgotten, failed, expired
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExitCode, UsageError
from ..frozen import frozen
from ..images.output_names import OutputPlan
from ..json_value import Json
from ..operations.request import TaskRequest

if TYPE_CHECKING:
    import sqlite3


class State(StrEnum):
    """How far an entry got (docs/promises.md)."""

    PLANNED = "planned"
    SENDING = "sending"
    ACCEPTED = "accepted"
    READY = "ready"
    SAVED = "saved"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    FORGOTTEN = "forgotten"
    FAILED = "failed"
    EXPIRED = "expired"


NEXT: dict[State, frozenset[State]] = {
    # Straight to accepted when it joins an identical request.
    State.PLANNED: frozenset({State.SENDING, State.ACCEPTED}),
    # Back to planned only on proof that nothing was carried out.
    State.SENDING: frozenset({State.PLANNED, State.ACCEPTED, State.REJECTED, State.UNKNOWN}),
    State.ACCEPTED: frozenset({State.READY, State.FAILED, State.EXPIRED}),
    State.READY: frozenset({State.READY, State.SAVED, State.EXPIRED}),
    State.UNKNOWN: frozenset({State.ACCEPTED, State.FORGOTTEN}),
    # A task that was given up may turn up after all.
    State.FORGOTTEN: frozenset({State.ACCEPTED}),
    # When the user asks for it once more: a gateway may have said what the service would not.
    State.EXPIRED: frozenset({State.ACCEPTED}),
}
CHARGED = frozenset({State.ACCEPTED, State.READY, State.SAVED, State.EXPIRED, State.FAILED})
"""The service took the task, and its price."""
SPENT = CHARGED | {State.SENDING, State.UNKNOWN}
"""The price is gone, or may be: what counts against a budget."""
UNFINISHED = (State.ACCEPTED, State.READY)
"""Paid for, with a task id: `resume` finishes these at no cost."""
REPORTED = "reported by a webhook; PiAPI has not been asked about it"
"""The evidence of an accepted entry that a webhook made."""
RESULT_SECONDS = 7 * 86400
"""The service keeps results for seven days (specification: Output Images)."""


@frozen
class SavedFile:
    """A picture on disk. `sha256` is of the whole file, hex."""

    path: Path
    sha256: str

    def is_whole(self) -> bool:
        """Whether the file is still there, byte for byte."""
        import hashlib

        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False


@frozen
class Problem:
    """Why an entry ended as it did: a stable word, a sentence, and the exit code."""

    code: str
    message: str
    exit_code: int


@frozen
class Entry:
    """One paid task.

    row: how a batch knows it again. seconds: what the task took (see `durations`).
    seen_id: a task id that stood in an answer which could not be read: this entry's, perhaps.
    replaces: the entry with a lost answer that this one sends once more.
    Other times are seconds since the epoch; `price` is USD; `request` is None for a task from elsewhere.
    """

    id: str
    state: State
    service: str
    profile: str
    output: OutputPlan
    created: float
    owner: str | None = None
    request: TaskRequest | None = None
    price: Decimal | None = None
    task_id: str | None = None
    status: str | None = None
    urls: tuple[str, ...] = ()
    files: tuple[SavedFile, ...] = ()
    problem: Problem | None = None
    evidence: str | None = None
    row: str | None = None
    seen_id: str | None = None
    replaces: str | None = None
    submitted: float | None = None
    accepted: float | None = None
    ended: float | None = None
    seconds: float | None = None

    @property
    def label(self) -> str:
        """What a person knows the entry by."""
        return self.request.operation.prompt if self.request else self.task_id or self.id

    @property
    def seed(self) -> int | None:
        """The seed that was sent; None for a task from elsewhere."""
        return self.request.seed if self.request else None

    @property
    def expires(self) -> float | None:
        """When the service no longer has its pictures; of a task that may still run: the earliest moment."""
        ended = self.ended or self.accepted
        return None if ended is None else ended + RESULT_SECONDS


def given_up(how: str) -> Problem:
    """Why an entry with a lost answer is forgotten."""
    return Problem("forgotten", f"the answer to the submission was lost, and it was {how}", int(ExitCode.PARTIAL))


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """A fresh entry id: eight characters that are easy to read and to type (40 bits)."""
    import secrets

    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


def to_row(entry: Entry, changed: Iterable[str] | None = None) -> dict[str, Json]:
    """An entry as the journal's columns hold it (see `schema`): all of it, or only the fields that `changed`."""
    names = {field.name for field in fields(Entry)} if changed is None else set(changed)
    if "request" in names:
        names.add("digest")
    return {name: _WRITTEN[name](entry) if name in _WRITTEN else getattr(entry, name) for name in names}


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
    "price": lambda entry: None if entry.price is None else str(entry.price),
    "urls": lambda entry: _dump(list(entry.urls)),
    "files": lambda entry: _dump([{"path": str(file.path), "sha256": file.sha256} for file in entry.files]),
    "problem": lambda entry: None if entry.problem is None else _dump(asdict(entry.problem)),
}
"""Columns that are not the field itself."""


def from_row(row: "sqlite3.Row") -> Entry:
    """The entry in a row of the journal. Raises sqlite3.DataError for a row that this program did not write so."""
    try:
        return _from_row(row)
    except (ValueError, TypeError, LookupError, ArithmeticError, OSError, RecursionError) as error:
        import sqlite3  # not before the journal is needed

        raise sqlite3.DataError(f"entry {row['number']} in it is damaged") from error


def _from_row(row: "sqlite3.Row") -> Entry:
    for name in ("created", "submitted", "accepted", "ended"):
        datetime.fromtimestamp(row[name] or 0)  # one that is no time would only be noticed where it is shown
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
        row=row["row"],
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
    """The request, or None for one that a newer version stored: its task can be fetched all the same."""
    try:
        return None if stored is None else TaskRequest.from_json(json.loads(stored))
    except (UsageError, ValueError):
        return None


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
