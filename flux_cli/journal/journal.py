"""The journal: what was asked for, what was paid, and how far each task got. SQLite, one row per entry.

`sending` is durable before the first byte of a POST leaves, `accepted` before anything is printed. A change is a
compare-and-swap on the state and the owner, so two processes never advance one entry. The owner is a lock file, which
the kernel frees when its process dies.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from ..config.urls import is_local
from ..errors import JournalError, UsageError
from ..images.output_names import OutputPlan
from ..json_value import Json
from ..operations.request import TaskRequest
from .budgets import Allowance, Budget, Spending, Split, split_spending, sum_spent
from .database import OWN, Database
from .entries import NEXT, Account, Entry, SavedFile, State, busy_error, dismissal, lost_error, new_id
from .entry_rows import FIELDS, from_row, to_row
from .image_urls import ImageURLs
from .owner import Owner, Response, files_of_dead, is_alive, read_records, sent_by
from .task_durations import TaskDurations

DURABLE = frozenset(State) - {State.PLANNED, State.READY, State.SAVED}
"""States that a power cut must not undo."""
WITH_TASK = (State.ACCEPTED, State.READY, State.SAVED)
"""States of a request that has an image, or is about to have one: it need not be paid for again."""


class Journal:
    """The journal at one place on disk, as one account uses it.

    image_urls: where PiAPI has images. task_durations: how long tasks took.

    Methods are about the entries of that account unless they say otherwise. Every method raises JournalError when the
    file cannot be read or written.
    """

    def __init__(self, path: Path, locks: Path, account: Account, *, now: Callable[[], float] = time.time) -> None:
        self.account = account
        self._locks, self._now = locks, now
        self._owner: Owner | None = None
        self._sent: list[str] = []
        self._db = Database(path)
        self.image_urls, self.task_durations = ImageURLs(self._db, account), TaskDurations(self._db, account)

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Return a context in which a locked journal raises LockedError after so many seconds."""
        return self._db.patience(seconds)

    def close(self) -> None:
        """Close the file and release every entry."""
        self._db.close()
        if self._owner:
            self._owner.release()
            self._owner = None

    @property
    def owner(self) -> str:
        """The name of this process in the journal, held by a lock that dies with it."""
        return self._locked.name

    @property
    def _locked(self) -> Owner:
        if self._owner is None:
            with self._db.errors():
                self._owner = Owner(self._locks)
        return self._owner

    def _is_alive(self, owner: str | None) -> bool:
        return is_alive(self._locks, owner)

    # --- writing ---------------------------------------------------------------------------------------------

    def plan(self, request: TaskRequest, output: OutputPlan, *, price: Decimal, any_seed: bool = False) -> Entry:
        """Add an entry that is about to be sent. A power cut may undo it, for it has cost nothing.

        any_seed: an image of the same request with another seed will do.
        """
        return self._insert(self._planned(request, output, price, any_seed=any_seed))

    def plan_once(
        self,
        identity: str,
        known: Entry | None,
        request: TaskRequest,
        output: OutputPlan,
        *,
        price: Decimal,
        any_seed: bool = False,
    ) -> Entry | None:
        """Add an entry as `plan` does, for a task whose newest entry is `known`.

        None when another process has planned that task in the meantime: two runs of one command never both pay for it.
        """
        entry = replace(self._planned(request, output, price, any_seed=any_seed), identity=identity)
        with self._db.transaction():
            newest = self.find_by_identity(identity)
            return self._insert(entry) if (newest and newest.id) == (known and known.id) else None

    def replan(self, entry: Entry, *, price: Decimal) -> Entry:
        """Dismiss an entry of unknown outcome and plan its request again: both durably, or neither."""
        assert entry.request is not None
        again = self._planned(entry.request, entry.output, price, any_seed=False)
        again = replace(again, identity=entry.identity, replaces=entry.id)
        reason = dismissal(entry, f"closed when its request was submitted again as entry {again.id}")
        self._db.survive_power_cuts(True)
        with self._db.transaction():
            self.move(entry, replace(entry, state=State.DISMISSED, problem=reason))
            return self._insert(again)

    def track(
        self,
        task_id: str,
        output: OutputPlan,
        *,
        request: TaskRequest | None = None,
        identity: str | None = None,
        evidence: str | None = None,
        files: Sequence[SavedFile] = (),
    ) -> Entry:
        """Add an entry, durably, for a task that was submitted elsewhere or whose images are to be fetched again.

        files: its images that were saved before; those that still exist are not downloaded again.
        """
        now = self._now()
        entry = Entry(new_id(), State.ACCEPTED, *self._place, output, now, self.owner, request, identity=identity)
        return self._insert(replace(entry, task_id=task_id, accepted=now, evidence=evidence, files=tuple(files)))

    def discard(self, entry: Entry) -> None:
        """Delete an entry of this process that was made for a reported task, and is not needed any more."""
        where = "id = ? AND state = ? AND owner IS ? AND submitted IS NULL"
        self._db.write(f"DELETE FROM entries WHERE {where}", [entry.id, entry.state, entry.owner])

    @property
    def _place(self) -> tuple[str, str]:
        return self.account.service, self.account.profile

    def _planned(self, request: TaskRequest, output: OutputPlan, price: Decimal, *, any_seed: bool) -> Entry:
        now = self._now()
        return Entry(
            new_id(), State.PLANNED, *self._place, output, now, self.owner, request, price, any_seed=any_seed
        )  # fmt: skip

    def _insert(self, entry: Entry) -> Entry:
        row = to_row(entry)
        self._db.survive_power_cuts(entry.state in DURABLE)
        places = ", ".join("?" * len(row))
        self._db.write(f"INSERT INTO entries ({', '.join(row)}) VALUES ({places})", list(row.values()))
        return entry

    def move(self, before: Entry, after: Entry) -> Entry:
        """Change an entry that this process owns from `before` to `after`, and return `after`.

        A change of state must be allowed by NEXT. On return a state of DURABLE is on the disk itself; any other change
        is visible to other processes. Raise JournalError when another process has changed the entry.
        """
        if after.state is not before.state and after.state not in NEXT.get(before.state, frozenset()):
            raise JournalError(f"entry {before.id} cannot go from {before.state} to {after.state}")
        row = to_row(after, [name for name in FIELDS if getattr(after, name) != getattr(before, name)])
        self._db.survive_power_cuts(after.state in DURABLE and after.state is not before.state)
        if row and not self._swap(before, row):
            raise JournalError(f"entry {before.id} was changed by another process", command=("history",))
        return after

    def discard_unseen(self) -> None:
        """Delete the entries of this process for IDs that PiAPI has no task for: a mistyped ID leaves no trace."""
        unseen = "state = ? AND submitted IS NULL AND request IS NULL AND status IS NULL"
        self._db.write(f"DELETE FROM entries WHERE owner = ? AND {unseen}", [self.owner, State.EXPIRED])

    def _swap(self, entry: Entry, row: Mapping[str, Json]) -> bool:
        sets = ", ".join(f"{name} = ?" for name in row)
        where = "id = ? AND state = ? AND owner IS ?"
        values = [*row.values(), entry.id, entry.state, entry.owner]
        return self._db.write(f"UPDATE entries SET {sets} WHERE {where}", values) == 1

    def send(self, entry: Entry, budgets: Sequence[Budget], cache_seconds: float) -> Entry:
        """Move a planned entry to `sending`, durably: from here on its price counts as spent.

        If the same request was submitted less than `cache_seconds` ago, the entry becomes `accepted` instead, with the
        task of that one and at no charge; or it stays `planned` while a living process is sending that one.
        One transaction reads what was spent and sent, and adds to it: all processes together keep to the budgets and
        send nothing twice. Raise BudgetError when the price does not fit (the entry stays planned), JournalError.
        """
        assert entry.request is not None
        self._db.check()
        self._db.survive_power_cuts(True)
        with self._db.transaction():
            now = self._now()  # not before: other processes may have sent while this one waited
            if cache_seconds:
                if same := next(self._same(entry.request, cache_seconds, WITH_TASK, any_seed=entry.any_seed), None):
                    return self._join(entry, same, now)
                sending = self._same(entry.request, cache_seconds, (State.SENDING,), any_seed=entry.any_seed)
                if any(
                    self._is_alive(same.owner) for same in sending
                ):  # a dead process's may be newer than a living one's
                    return entry
            for allowance in self._allowances(budgets, now):
                allowance.check(entry.price or Decimal(0), "the next task")
            self._db.require_in_place()
            self._locked.note_sending(entry.id)
            self._sent.append(entry.id)
            return self.move(entry, replace(entry, state=State.SENDING, submitted=now))

    def _join(self, entry: Entry, same: Entry, now: float) -> Entry:
        """Return the entry, accepted with the task of another one. With that seed, if it had another."""
        assert entry.request is not None
        assert same.request is not None
        joined = replace(
            entry,
            state=State.ACCEPTED,
            request=replace(entry.request, seed=same.request.seed),
            price=Decimal(0),
            submitted=now,
            task_id=same.task_id,
            joined=same.joined or same.id,
            status=same.status,
            accepted=same.accepted,
        )
        return self.move(entry, joined)

    def accept(self, entry: Entry, task_id: str, status: str) -> Entry:
        """Record, durably, the task that PiAPI made of a submission of this process.

        Also if another process took this one for dead meanwhile, because its lock was deleted, and marked the entry
        unknown. Raise LockedError, JournalError; the latter with the code `busy` if another process has the task.
        """
        self._db.survive_power_cuts(True)
        with self._db.transaction():
            before = self.get(entry.id) or entry
            if before.task_id == task_id:
                raise busy_error(before)
            if before.state in (State.UNKNOWN, State.DISMISSED):
                entry = replace(before, owner=entry.owner, problem=None)
            else:
                before = entry
            return self.move(before, self._accepted(entry, task_id, status))

    def _accepted(self, entry: Entry, task_id: str, status: str | None) -> Entry:
        first = self.submitter_of(task_id)  # a service that names one task twice is none the less believed
        return replace(
            entry,
            state=State.ACCEPTED,
            task_id=task_id,
            joined=first.id if first else None,
            status=status,
            accepted=self._now(),
        )

    def keep_response(self, entry: Entry, response: Response) -> bool:
        """Keep a response that could not be recorded where no room is needed, until a journal is opened next.

        Return whether that was possible.
        """
        return self._locked.keep_response(entry.id, response)

    def link(self, entry: Entry, task_id: str, status: str, created: float | None) -> Entry:
        """Give an entry of unknown outcome its task, durably. created: when PiAPI made it, seconds since the epoch.

        Raise UsageError when the task is that of another submission, JournalError when another process was faster.
        """
        owner, now = self.owner, self._now()
        self._db.survive_power_cuts(True)
        with self._db.transaction():
            if first := self.submitter_of(task_id):
                raise UsageError(
                    f"task {task_id} already belongs to entry {first.id}",
                    hint=f"If there is no other task for entry {entry.id}",
                    command=("resolve", entry.id, "--dismiss"),
                    code="task_taken",
                )
            linked = replace(
                entry,
                state=State.ACCEPTED,
                owner=owner,
                task_id=task_id,
                status=status,
                accepted=now if created is None else min(created, now),
                problem=None,
            )
            return self.move(entry, linked)

    def submitter_of(self, task_id: str) -> Entry | None:
        return self._one("task_id = ? AND submitted IS NOT NULL AND joined IS NULL", task_id)

    def claim(self, entry: Entry) -> Entry | None:
        """Return the entry, owned by this process; None when a living process owns it or it has changed."""
        if entry.owner == self.owner:
            return entry
        if self._is_alive(entry.owner):
            return None
        return replace(entry, owner=self.owner) if self._swap(entry, {"owner": self.owner}) else None

    def release(self, entry: Entry) -> Entry:
        """Return the entry without an owner: any process can claim it."""
        return self.move(entry, replace(entry, owner=None))

    def mark_dead_unknown(self, *, forget_lost: bool = False) -> None:
        """Record the end of what processes were sending when they died, of all accounts: it is unknown.

        Accepted, if its task ID came and could not be recorded then. Raise JournalError for entries that are lost,
        each time until they are to be forgotten.
        """
        if self._db.read_only:
            return
        kept = self._owner.kept if self._owner else {}
        for entry in [*self.find_dead(), *filter(None, map(self.get, kept))]:
            self._db.survive_power_cuts(True)
            with self._db.transaction():
                if entry.state is State.SENDING and self.get(entry.id) == entry:  # otherwise another was faster
                    self.move(entry, self._after_death(entry))
            kept.pop(entry.id, None)
        self._remove_files_of_dead(forget_lost)
        self.require_sent()

    def _after_death(self, entry: Entry) -> Entry:
        own = self._owner and self._owner.kept.get(entry.id)
        response = own or sent_by(self._locks, entry.owner).get(entry.id)
        entry = replace(entry, owner=None)
        if response and response.kind == "task_id":
            return self._accepted(entry, response.id, None)
        evidence = "the process that sent it ended before the response came"
        if response:
            evidence = "a damaged response, which could not be recorded when it came"
        return replace(entry, state=State.UNKNOWN, evidence=evidence, seen_id=response.id if response else None)

    def _remove_files_of_dead(self, forget_lost: bool) -> None:
        """Remove the files of dead processes of which everything is recorded."""
        with self._db.errors():
            for path in files_of_dead(self._locks):
                found = [self.get(name) for name in read_records(path)]
                if not any(entry.state is State.SENDING if entry else not forget_lost for entry in found):
                    path.unlink(missing_ok=True)

    def find_lost(self) -> list[str]:
        """Return the IDs of entries that dead processes had sent, and that the journal lacks."""
        with self._db.errors():
            sent = [name for path in files_of_dead(self._locks) for name in read_records(path)]
        return [name for name in sent if self.get(name) is None]

    def require_sent(self) -> None:
        """Raise JournalError if the journal lacks an entry that a dead process had sent."""
        if lost := self.find_lost():
            raise lost_error(lost)

    def find_dead(self) -> list[Entry]:
        """Return what processes were sending when they died, of all accounts."""
        sending = self._db.read(from_row, "SELECT * FROM entries WHERE state = ?", (State.SENDING,))
        return [entry for entry in sending if not self._is_alive(entry.owner)]

    # --- reading ---------------------------------------------------------------------------------------------

    def entries(
        self, *states: State, task_id: str | None = None, ended_since: float | None = None
    ) -> list[Entry]:  # fmt: skip
        """Return the entries in these states (none: all), of a task, and ended since a time, oldest first."""
        conditions, values = _in_states(states)
        for name, value in (("task_id = ?", task_id), ("ended >= ?", ended_since)):
            if value is not None:
                conditions.append(name)
                values.append(value)
        sql = f"SELECT * FROM entries WHERE {OWN} AND {' AND '.join(conditions)} ORDER BY number"
        return self._db.read(from_row, sql, [*self._place, *values])

    def newest(self, *states: State, profile: str | None = None, limit: int = -1) -> list[Entry]:
        """Return the newest entries first, of all accounts or those of a profile, in these states (none: all)."""
        conditions, values = _in_states(states)
        sql = f"SELECT * FROM entries WHERE (+profile = ? OR ? IS NULL) AND {' AND '.join(conditions)}"
        return self._db.read(from_row, f"{sql} ORDER BY number DESC LIMIT ?", [profile, profile, *values, limit])

    def get(self, entry_id: str) -> Entry | None:
        """Return the entry with this ID, of any account."""
        return next(iter(self._db.read(from_row, "SELECT * FROM entries WHERE id = ?", (entry_id,))), None)

    def find(self, word: str) -> Entry | None:
        """Return the newest entry with this ID or this task ID."""
        return self._one("(id = ? OR task_id = ?)", word, word)

    def find_by_identity(self, identity: str) -> Entry | None:
        """Return the newest entry of a planned task."""
        return self._one("identity = ?", identity)

    def sent_here(self) -> list[Entry]:
        """Return the entries that this process has sent, as they are now."""
        return [entry for name in dict.fromkeys(self._sent) if (entry := self.get(name))]

    def find_replacement(self, entry: Entry) -> Entry | None:
        """Return the entry that sends the request of this one again."""
        return self._one("replaces = ?", entry.id)

    def last_saved(self) -> Entry | None:
        """Return the newest entry whose images were saved."""
        return self._one("state = ?", State.SAVED)

    def last_submitted(self) -> Entry | None:
        """Return the newest entry that was submitted."""
        return self._one("submitted IS NOT NULL")

    def _one(self, condition: str, *values: str) -> Entry | None:
        sql = f"SELECT * FROM entries WHERE {condition} AND {OWN} ORDER BY number DESC LIMIT 1"
        return next(iter(self._db.read(from_row, sql, [*values, *self._place])), None)

    # --- identical requests ----------------------------------------------------------------------------------

    def find_duplicate(self, request: TaskRequest, cache_seconds: float) -> Entry | None:
        """Return the newest entry with the same request and a task, submitted less than `cache_seconds` ago."""
        with self._db.errors():
            return next(self._same(request, cache_seconds, WITH_TASK), None)

    def find_seed(self, request: TaskRequest, cache_seconds: float) -> int | None:
        """Return the seed of the newest request, at most `cache_seconds` old, that differs in nothing but its seed.

        One that is not submitted yet counts while its process is alive.
        """
        pending = (State.PLANNED, State.SENDING)
        with self._db.errors():
            for entry in self._same(request, cache_seconds, (*WITH_TASK, *pending), any_seed=True):
                if entry.request and (entry.state not in pending or self._is_alive(entry.owner)):
                    return entry.request.seed
        return None

    def _same(
        self, request: TaskRequest, cache_seconds: float, states: Sequence[State], *, any_seed: bool = False
    ) -> Iterator[Entry]:
        """Yield the entries with this request in one of `states`, not older than `cache_seconds` seconds, newest first.

        any_seed: with this request but for its seed. Raise sqlite3.Error.
        """
        name, value = ("content", request.digest_without_seed) if any_seed else ("digest", request.digest)
        # `+`: without statistics SQLite would search by account or state, which most entries have in common.
        sql = f"""
            SELECT * FROM entries
            WHERE {name} = ? AND {OWN} AND coalesce(submitted, created) >= ?
            AND +state IN ({", ".join("?" * len(states))}) ORDER BY number DESC
        """
        return map(
            from_row, self._db.connection.execute(sql, (value, *self._place, self._now() - cache_seconds, *states))
        )

    # --- money -----------------------------------------------------------------------------------------------

    def allowances(self, budgets: Iterable[Budget]) -> list[Allowance]:
        """Return what is left of each budget now."""
        with self._db.errors():
            return self._allowances(budgets, self._now())

    def _allowances(self, budgets: Iterable[Budget], moment: float) -> list[Allowance]:
        found = []
        for budget in budgets:
            begins, ends = budget.span(moment)
            spent = sum_spent(self._db.connection, self.account, begins, ends)
            found.append(Allowance(budget, spent, ends, is_local(self.account.service)))
        return found

    def spending(self, split: Split | None, since: float, profile: str | None) -> list[Spending]:
        """Return what was spent by entries created `since` (seconds since the epoch), of all profiles or one.

        Simulated charges count if this account's service is on this machine, and then nothing else does.
        """
        with self._db.errors():
            simulated = is_local(self.account.service)
            return split_spending(self._db.connection, split, since, profile, simulated=simulated)


def _in_states(states: Sequence[State]) -> tuple[list[str], list[Json]]:
    """Return the condition in SQL that an entry is in one of these states (none: any), and its values."""
    if not states:
        return ["1"], []
    return [f"state IN ({', '.join('?' * len(states))})"], [str(state) for state in states]
