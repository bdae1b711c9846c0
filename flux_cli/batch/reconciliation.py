"""Link entries of unknown outcome to their tasks, once these are found."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from ..engine.task_matching import Likeness, likeness
from ..errors import JournalError, UsageError
from ..journal.entries import Entry, State
from ..piapi.errors import TaskNotFoundError, TemporaryError
from ..piapi.task import Task
from .workspace import Workspace


def link(workspace: Workspace, entry: Entry, task: Task, found: Likeness) -> Entry:
    """Return the entry, accepted with its task; saved if `flux wait` has saved the images of that task before.

    found: what the task and the request have in common, which is shown.
    Raises UsageError when another entry submitted the task, JournalError when another process was faster.
    """
    journal = workspace.journal
    entry = journal.link(entry, task.id, task.status.word, task.created.timestamp() if task.created else None)
    same = ", ".join(sorted(found.alike))
    compared = f"same {same}" if same else "PiAPI returned nothing to compare"
    workspace.note(f"matched entry {entry.id} to task {task.id}: {compared}")
    for other in journal.entries(State.SAVED, task_id=task.id):
        if all(file.is_whole() for file in other.files):
            ready = replace(entry, state=State.READY, status=other.status, urls=other.urls, ended=other.ended)
            ready = journal.move(entry, ready)
            return journal.move(ready, replace(ready, state=State.SAVED, files=other.files))
    return entry


def link_seen(workspace: Workspace) -> None:
    """Link the tasks whose IDs came in responses that could not be parsed, where they match."""
    entries = [entry for entry in workspace.journal.entries(State.UNKNOWN) if entry.seen_id]
    if entries:
        asyncio.run(_link_seen(workspace, entries))


async def _link_seen(workspace: Workspace, entries: Iterable[Entry]) -> None:
    async with workspace.client() as client:
        for entry in entries:
            assert entry.seen_id is not None
            try:
                task = await client.poll(entry.seen_id)
                found = likeness(entry, task)
                if found.proves:
                    linked = link(workspace, entry, task, found)
                    if linked.owner and linked.state is State.ACCEPTED:  # the command that needs its image claims it
                        workspace.journal.move(linked, replace(linked, owner=None))
                    continue
                why = "; ".join(found.unlike) or "PiAPI returned nothing to compare"
            except TemporaryError as error:
                why = error.message
            except (TaskNotFoundError, UsageError, JournalError) as error:
                why = str(error)
            workspace.note(f"entry {entry.id} is not linked to task {entry.seen_id}: {why}")


async def link_matching(workspace: Workspace, task_id: str) -> Entry | None:
    """Link a task to the entry of unknown outcome that it certainly belongs to; None if there is no such entry.

    Raises KeyRefusedError, UsageError, JournalError.
    """
    entries = workspace.journal.entries(State.UNKNOWN)
    if not entries:
        return None
    async with workspace.client() as client:
        try:
            task = await client.poll(task_id)
        except (TaskNotFoundError, TemporaryError):
            return None  # the next poll of the task reports it
    for entry in entries:
        if (found := likeness(entry, task)).proves_alone:
            return link(workspace, entry, task, found)
    return None
