"""The journal: what was asked for, what was paid, and how far it got. SQLite, one row an entry.

`sending` is durable before the first byte of a POST leaves, `accepted` before anything is printed. A change is a
compare-and-swap on the state and the owner, so two processes never advance one entry; the owner is a lock file
that the kernel frees when its process dies.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from ..errors import JournalError
from ..images.output_names import OutputPlan
from ..json_value import Json
from ..operations.request import TaskRequest
from ..system.file_locks import Lock, is_held
from .budgets import Allowance, Budget
from .database import Database
from .duplicates import seed_of, twin_of
from .entries import NEXT, Entry, State, from_row, given_up, new_id, to_row
from .spending import spent

DURABLE = frozenset(State) - {State.PLANNED, State.READY, State.SAVED}
"""States that a power cut must not take back."""


class Journal:
    """The journal of one user at one place on disk.

    Every method raises JournalError when the file cannot be read or written.
    """

    def __init__(self, path: Path, locks: Path, *, now: Callable[[], float] = time.time) -> None:
        self._locks, self._now = locks, now
        self._owner: tuple[str, Lock] | None = None
        self._sent: list[str] = []
        self._db = Database(path)

    def close(self) -> None:
        """Close the file and let go of every entry."""
        self._db.close()
        if self._owner:
            self._owner[1].release()
            self._owner = None

    @property
    def owner(self) -> str:
        """This process's name in the journal, held by a lock that dies with it."""
        if self._owner is None:
            import secrets

            name = secrets.token_hex(8)
            with self._db.errors():
                lock = Lock.take(self._lock_path(name))
            if lock is None:
                raise JournalError(f"cannot lock {self._lock_path(name)}")
            self._owner = (name, lock)
        return self._owner[0]

    def _lock_path(self, owner: str) -> Path:
        return self._locks / f"{owner}.lock"

    def _is_alive(self, owner: str | None) -> bool:
        """Whether an owner's process lives. The lock file of a dead one goes: its name is never used again."""
        if owner is None:
            return False
        held = is_held(self._lock_path(owner))
        if not held:
            with contextlib.suppress(OSError):
                self._lock_path(owner).unlink()
        return held

    # --- writing ---------------------------------------------------------------------------------------------

    def plan(self, request: TaskRequest, output: OutputPlan, *, service: str, profile: str, price: Decimal) -> Entry:
        """A new entry, about to be sent; what a power cut takes of it has cost nothing."""
        now = self._now()
        return self._insert(Entry(new_id(), State.PLANNED, service, profile, output, now, self.owner, request, price))

    def plan_row(
        self,
        row: str,
        known: Entry | None,
        request: TaskRequest,
        output: OutputPlan,
        *,
        service: str,
        profile: str,
        price: Decimal,
    ) -> Entry | None:
        """As `plan`, for a row of a batch whose newest entry is `known`.

        None when another process has planned that row in the meantime: two of the same batch never both buy it.
        """
        now = self._now()
        entry = Entry(new_id(), State.PLANNED, service, profile, output, now, self.owner, request, price, row=row)
        with self._db.transaction():
            newest = self.find_row(row, service=service, profile=profile)
            return self._insert(entry) if (newest and newest.id) == (known and known.id) else None

    def replan(self, entry: Entry, *, price: Decimal) -> Entry:
        """A new entry for the request of one with a lost answer, which is forgotten: both are durable, or neither."""
        again = Entry(
            new_id(), State.PLANNED, entry.service, entry.profile, entry.output, self._now(), self.owner,
            entry.request, price, row=entry.row, replaces=entry.id,
        )  # fmt: skip
        self._db.survive_power_cuts(True)
        with self._db.transaction():
            self.move(entry, state=State.FORGOTTEN, problem=given_up(f"sent once more as entry {again.id}"))
            return self._insert(again)

    def adopt(
        self,
        task_id: str,
        output: OutputPlan,
        *,
        service: str,
        profile: str,
        request: TaskRequest | None = None,
        row: str | None = None,
    ) -> Entry:
        """A new entry, durable, for a task that was submitted elsewhere, or whose pictures are to come once more."""
        now = self._now()
        entry = Entry(new_id(), State.ACCEPTED, service, profile, output, now, self.owner, request, row=row)
        return self._insert(replace(entry, task_id=task_id, accepted=now))

    def _insert(self, entry: Entry) -> Entry:
        row = to_row(entry)
        self._db.survive_power_cuts(entry.state in DURABLE)
        places = ", ".join("?" * len(row))
        self._db.write(f"INSERT INTO entries ({', '.join(row)}) VALUES ({places})", list(row.values()))
        return entry

    def move(self, entry: Entry, **changes: object) -> Entry:
        """Change an entry that this process owns; `state` among the changes must be an allowed next one.

        On return a state of DURABLE is on the disk itself, every other change is what other processes see.
        Raises JournalError when somebody else has changed it.
        """
        moved = replace(entry, **changes)  # type: ignore[arg-type]
        if moved.state is not entry.state and moved.state not in NEXT.get(entry.state, frozenset()):
            raise JournalError(f"entry {entry.id} cannot go from {entry.state} to {moved.state}")
        row = to_row(moved, [name for name in changes if getattr(moved, name) != getattr(entry, name)])
        self._db.survive_power_cuts(moved.state in DURABLE and moved.state is not entry.state)
        if row and not self._swap(entry, row):
            raise JournalError(f"entry {entry.id} was changed by another process", hint="see: flux history")
        return moved

    def discard_unseen(self) -> None:
        """Delete this process's entries for IDs that PiAPI has no task for: a mistyped ID leaves no trace."""
        unseen = "state = ? AND submitted IS NULL AND request IS NULL AND status IS NULL"
        self._db.write(f"DELETE FROM entries WHERE owner = ? AND {unseen}", [self.owner, State.EXPIRED])

    def send(self, entry: Entry, budgets: Sequence[Budget], life: float) -> Entry:
        """Move a planned entry to `sending`, durably: from here on its price counts as spent.

        Not when the same request was submitted less than `life` seconds ago: then the entry becomes `accepted`, with
        that one's task and at no price; or stays `planned` while the other's answer is not known.
        What is spent and sent is looked at and added to in one transaction, so that all processes together keep to
        the budgets and send nothing twice. Raises BudgetError when the price does not fit; the entry stays planned.
        """
        assert entry.request is not None
        price, request = entry.price or Decimal(0), entry.request
        self._db.survive_power_cuts(True)
        with self._db.transaction():
            now = self._now()  # not before: others may have sent while this one waited
            twin = self.twin(request, service=entry.service, profile=entry.profile, since=now - life) if life else None
            if twin and twin.task_id:
                joined = {"task_id": twin.task_id, "status": twin.status, "accepted": twin.accepted}
                return self.move(entry, state=State.ACCEPTED, submitted=now, price=Decimal(0), **joined)
            if twin and self._is_alive(twin.owner):
                return entry
            for allowance in self.allowances(budgets, now, service=entry.service, profile=entry.profile):
                allowance.check(price, "the next task", "nothing was sent for it")
            self._sent.append(entry.id)
            return self.move(entry, state=State.SENDING, submitted=now)

    def _swap(self, entry: Entry, row: Mapping[str, Json]) -> bool:
        sets = ", ".join(f"{name} = ?" for name in row)
        where = "id = ? AND state = ? AND owner IS ?"
        values = [*row.values(), entry.id, entry.state, entry.owner]
        return self._db.write(f"UPDATE entries SET {sets} WHERE {where}", values) == 1

    def claim(self, entry: Entry) -> Entry | None:
        """The entry, now owned by this process; None when a living process has it, or it has moved on."""
        if entry.owner == self.owner:
            return entry
        if self._is_alive(entry.owner):
            return None
        return replace(entry, owner=self.owner) if self._swap(entry, {"owner": self.owner}) else None

    def settle_dead(self) -> list[Entry]:
        """Mark as unknown what was being sent by processes that have died, and return it."""
        settled = []
        for entry in self.dead():
            if claimed := self.claim(entry):
                evidence = "the process that sent it ended before the answer came"
                settled.append(self.move(claimed, state=State.UNKNOWN, evidence=evidence))
        return settled

    def dead(self) -> list[Entry]:
        """What was being sent by processes that have died: the next `settle_dead` makes it unknown."""
        sending = self.entries(states=(State.SENDING,))
        return [entry for entry in sending if not self._is_alive(entry.owner)]

    # --- reading ---------------------------------------------------------------------------------------------

    def entries(
        self, *, states: Iterable[State] = (), service: str | None = None, profile: str | None = None,
        task_id: str | None = None, newest_first: bool = False, limit: int = -1,
    ) -> list[Entry]:  # fmt: skip
        """Entries in these states (empty: all), of a service, a profile and a task, in the order they were made."""
        wanted = [str(state) for state in states]
        conditions, values = ["1"], list[Json]()
        if wanted:
            conditions.append(f"state IN ({', '.join('?' * len(wanted))})")
            values += wanted
        for name, value in (("service", service), ("profile", profile), ("task_id", task_id)):
            if value is not None:
                conditions.append(f"{name} = ?")
                values.append(value)
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT * FROM entries WHERE {' AND '.join(conditions)} ORDER BY number {order} LIMIT ?"
        return self._db.read(from_row, sql, [*values, limit])

    def get(self, entry_id: str) -> Entry | None:
        """The entry with this id."""
        return self._one("id = ?", entry_id)

    def find(self, word: str, *, service: str, profile: str) -> Entry | None:
        """The newest entry of a service and profile with this id or this task id."""
        return self._one("(id = ? OR task_id = ?) AND service = ? AND profile = ?", word, word, service, profile)

    def find_row(self, row: str, *, service: str, profile: str) -> Entry | None:
        """The newest entry of a service and profile that a batch made for this row."""
        return self._one("row = ? AND service = ? AND profile = ?", row, service, profile)

    def sent_here(self) -> list[Entry]:
        """Return the entries that this process has sent, as they are now."""
        return [entry for name in dict.fromkeys(self._sent) if (entry := self.get(name))]

    def replacement(self, entry: Entry) -> Entry | None:
        """The entry that sends this one once more."""
        return self._one("replaces = ?", entry.id)

    def _one(self, condition: str, *values: str) -> Entry | None:
        sql = f"SELECT * FROM entries WHERE {condition} ORDER BY number DESC LIMIT 1"
        return next(iter(self._db.read(from_row, sql, values)), None)

    # --- money -----------------------------------------------------------------------------------------------

    def allowances(self, budgets: Iterable[Budget], moment: float, *, service: str, profile: str) -> list[Allowance]:
        """What a service and profile have left of each budget at a moment."""
        found = []
        for budget in budgets:
            begins, ends = budget.span(moment)
            with self._db.errors():
                found.append(Allowance(budget, spent(self._db.connection, service, profile, begins, ends), ends))
        return found

    def durations(self, model: str, operation: str, *, service: str, limit: int) -> list[float]:
        """What the newest tasks of a model and operation took, oldest first (see `durations`)."""
        kind = "json_extract(request, '$.model') = ? AND json_extract(request, '$.op') = ?"
        sql = f"SELECT seconds FROM entries WHERE seconds > 0 AND service = ? AND {kind} ORDER BY number DESC LIMIT ?"
        newest = self._db.read(lambda row: float(row["seconds"]), sql, (service, model, operation, limit))
        return newest[::-1]

    # --- identical requests ----------------------------------------------------------------------------------

    def twin(self, request: TaskRequest, *, service: str, profile: str, since: float) -> Entry | None:
        """The newest entry with this very request, submitted `since`, that has a picture or is about to have one."""
        with self._db.errors():
            return twin_of(self._db.connection, request, service=service, profile=profile, since=since)

    def seed_of(self, request: TaskRequest, *, service: str, profile: str, since: float) -> int | None:
        """The seed of the newest such entry whose request is this one but for its seed."""
        with self._db.errors():
            return seed_of(self._db.connection, request, service=service, profile=profile, since=since)

    # --- addresses of pictures -------------------------------------------------------------------------------

    def address_of(self, sha256: str, *, service: str, profile: str, since: float) -> str | None:
        """Where the service still has a picture that was saved here with this content, from a task ended `since`."""
        where = "service = ? AND profile = ? AND ended >= ? AND files LIKE ?"
        sql = f"SELECT * FROM entries WHERE {where} ORDER BY number DESC"
        for entry in self._db.read(from_row, sql, (service, profile, since, f'%"{sha256}"%')):
            for file, url in zip(entry.files, entry.urls, strict=False):
                if file.sha256 == sha256:
                    return url
        return None

    def last_saved(self, *, service: str, profile: str) -> Entry | None:
        """The newest entry whose pictures are on disk."""
        return self._one("state = ? AND service = ? AND profile = ?", State.SAVED, service, profile)

    def upload_of(self, sha256: str, *, service: str, profile: str, alive_until: float) -> str | None:
        """The address of uploaded content that lives until then at least."""
        sql = "SELECT url FROM uploads WHERE sha256 = ? AND service = ? AND profile = ? AND expires >= ?"
        urls = self._db.read(lambda row: str(row["url"]), sql, (sha256, service, profile, alive_until))
        return urls[0] if urls else None

    def remember_upload(self, sha256: str, url: str, *, service: str, profile: str, expires: float) -> None:
        """Note where uploaded content stands."""
        self._db.write(
            "INSERT OR REPLACE INTO uploads (sha256, service, profile, url, expires) VALUES (?, ?, ?, ?, ?)",
            (sha256, service, profile, url, expires),
        )
