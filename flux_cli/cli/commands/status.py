"""`flux status`: PiAPI's status of tasks, without waiting."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from ...batch.task_ids import read_ids
from ...engine.outcome import Outcome, exit_code
from ...engine.poll_schedule import PollLimiter
from ...engine.poller import failure_error
from ...errors import ConfigError, ExitCode, FluxError, UsageError
from ...journal.entries import Entry, error_of
from ...json_value import JsonObject
from ...piapi.client import PiAPIClient
from ...piapi.task import Phase, Task
from ...system.signals import DetachedExecutor
from ...text import clean
from ..found_tasks import Ids, expand_ids, find_entry, poll_task
from ..output.output import Failure, Item, Note, Record
from ..registry import help_page
from ..session import Session

POLLS_AT_ONCE = 8
"""The most polls in parallel."""
Found = tuple[Entry | None, Task] | Outcome | FluxError
"""The entry and the task of an ID, the outcome of an entry without a task, or the error for the ID."""


@help_page(
    ("Show one task", "flux status 1631d053-2352-4add-95cc-360fc52d5f89"),
    ("Show all running tasks", "flux history --state accepted --limit 1000 -q | flux status -"),
)
def status(session: Session, ids: Ids) -> ExitCode:
    """Show the status of tasks, without waiting for them."""
    return asyncio.run(_show_all(session, read_ids(expand_ids(session.journal, ids), session.stdin.text)))


async def _show_all(session: Session, ids: AsyncIterator[str | UsageError]) -> ExitCode:
    """Print the result of each poll immediately, and return the exit code."""
    errors: dict[ExitCode, FluxError | None] = {}
    asyncio.get_running_loop().set_default_executor(DetachedExecutor())
    session.journal.mark_dead_unknown()
    async with session.make_client() as client, aclosing(_poll_all(session, client, ids)) as results:
        async for found in results:
            if isinstance(found, ConfigError):
                raise found  # every other poll would be refused too
            error = found if isinstance(found, FluxError) else found.error if isinstance(found, Outcome) else None
            errors[error.exit_code if error else ExitCode.OK] = error
            for item in _items(found):
                session.output.print(item)
    return exit_code(errors.values())


def _items(found: Found) -> Iterator[Item]:
    if isinstance(found, FluxError):
        yield Failure(found)
    elif isinstance(found, Outcome):
        yield found
    else:
        entry, task = found
        yield Record("task", _task_json(task, entry), f"{task.id} {task.status.word}")
        if task.status.phase is Phase.FAILED and task.error:
            yield Note(failure_error(task).message)


async def _poll_all(
    session: Session, client: PiAPIClient, ids: AsyncIterator[str | UsageError]
) -> AsyncGenerator[Found]:
    """Yield the results of polls in the order of the IDs. Up to POLLS_AT_ONCE run in parallel."""
    polls, limiter = deque[asyncio.Future[Found]](), PollLimiter(session.run_context.clock)
    coming: asyncio.Future[str | UsageError | None] | None = asyncio.ensure_future(anext(ids, None))
    try:
        while coming or polls:
            room = [coming] if coming and len(polls) < POLLS_AT_ONCE else []
            either: list[asyncio.Future[Any]] = [*room, *list(polls)[:1]]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if room and room[0].done():
                word = room[0].result()
                coming = None if word is None else asyncio.ensure_future(anext(ids, None))
                if word is not None:
                    polls.append(asyncio.ensure_future(_poll(session, client, limiter, word)))
            if polls and polls[0].done():
                yield polls.popleft().result()
    finally:
        left: list[asyncio.Future[Any]] = [*polls, *([coming] if coming else [])]
        for future in left:
            future.cancel()
            await asyncio.wait([future])


async def _poll(session: Session, client: PiAPIClient, limiter: PollLimiter, word: str | UsageError) -> Found:
    try:
        if isinstance(word, UsageError):
            raise word
        entry = find_entry(session, word)
        if entry and entry.task_id is None:
            return Outcome(entry, error_of(entry))
        await limiter.wait()
        return entry, await poll_task(client, entry.task_id if entry and entry.task_id else word)
    except FluxError as error:
        return error


def _task_json(task: Task, entry: Entry | None) -> JsonObject:
    error: JsonObject | None = {"code": task.error.code, "message": task.error.message} if task.error else None
    moments = {"created_at": task.created, "started_at": task.started, "ended_at": task.ended}
    return {
        "task_id": task.id,
        "status": clean(task.status.word, 40),
        "entry": entry.id if entry else None,
        "state": str(entry.state) if entry else None,
        "model": task.model,
        "task_type": task.task_type,
        "urls": list(task.urls),
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
        "error": error,
    }
