"""Tasks found again: an entry whose answer was lost takes its task, and is brought to its end like any other."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from ...errors import JournalError, UsageError
from ...journal.entries import Entry, State
from ...piapi.errors import NoSuchTaskError, PassingTroubleError
from ...piapi.task import Task
from ...piapi.task_matching import Likeness, likeness
from ..context import Session


def link(session: Session, entry: Entry, task: Task, found: Likeness) -> Entry:
    """The entry, accepted, with its task; saved, when `flux wait` has put the pictures of that task on disk already.

    found: what they have in common, to be told.
    Raises UsageError when the task is that of another submission, JournalError when another process was faster.
    """
    known = session.journal.entries(task_id=task.id)
    if others := [other for other in known if other.submitted is not None]:
        raise UsageError(
            f"task {task.id} is that of entry {others[0].id}, which was a submission of its own",
            hint=f"if there is no other task for {entry.id}: flux resolve {entry.id} --dismiss",
        )
    now, journal = time.time(), session.journal
    entry = journal.move(
        entry,
        replace(
            entry,
            state=State.ACCEPTED,
            owner=journal.owner,
            task_id=task.id,
            status=task.status.word,
            accepted=min(task.created.timestamp(), now) if task.created else now,
            problem=None,
        ),
    )
    same = ", ".join(sorted(found.alike))
    compared = f"the same {same}" if same else "the service tells nothing that could be compared"
    session.output.note(f"entry {entry.id} has its task, {task.id}: {compared}")
    for other in known:
        if other.state is State.SAVED and all(file.is_whole() for file in other.files):
            ready = journal.move(
                entry, replace(entry, state=State.READY, status=other.status, urls=other.urls, ended=other.ended)
            )
            return journal.move(ready, replace(ready, state=State.SAVED, files=other.files))
    return entry


def link_seen(session: Session) -> None:
    """Look at the task ids that came in answers which could not be read, and adopt those that fit."""
    entries = [entry for entry in session.journal.entries(State.UNKNOWN) if entry.seen_id]
    if entries:
        asyncio.run(_adopt_seen(session, entries))


async def _adopt_seen(session: Session, entries: Iterable[Entry]) -> None:
    async with session.client() as client:
        for entry in entries:
            assert entry.seen_id is not None
            try:
                task = await client.look(entry.seen_id)
                found = likeness(entry, task)
                if found.proves:
                    link(session, entry, task, found)
                    continue
                why = "; ".join(found.unlike) or "the service does not tell what it was asked for"
            except PassingTroubleError as error:
                why = error.message
            except (NoSuchTaskError, UsageError, JournalError) as error:
                why = str(error)
            session.output.note(f"entry {entry.id} does not take task {entry.seen_id}: {why}")


async def find_unknown(session: Session, task_id: str) -> Entry | None:
    """The entry with a lost answer whose task this one is beyond doubt, adopted. Raises KeyRefusedError."""
    entries = session.journal.entries(State.UNKNOWN)
    if not entries:
        return None
    async with session.client() as client:
        try:
            task = await client.look(task_id)
        except (NoSuchTaskError, PassingTroubleError):
            return None  # whoever waits for it will tell
    for entry in entries:
        if (found := likeness(entry, task)).proves_alone:
            return link(session, entry, task, found)
    return None
