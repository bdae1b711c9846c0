"""`flux status`, `flux wait` and `flux resume`: tasks that exist already."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from ...batch.outputs import name_values, plan_found_task
from ...batch.reconciliation import link_matching, link_seen
from ...batch.results import Results
from ...batch.runner import Run, feed_entries, report_entries
from ...batch.task_ids import read_ids
from ...engine.outcome import Outcome, exit_code
from ...engine.poll_schedule import PollLimiter
from ...engine.scheduler import Scheduler
from ...errors import ConfigError, ExitCode, FluxError, NetworkError, RefusedError, UsageError
from ...images.output_names import DEFAULT_TEMPLATE, is_template
from ...journal.entries import UNFINISHED, Entry, State
from ...journal.entry_errors import busy_error, error_of
from ...json_value import JsonObject
from ...piapi.client import PiAPIClient
from ...piapi.errors import TaskNotFoundError, TemporaryError
from ...piapi.task import Phase, Task
from ...system.signals import DetachedExecutor
from ...text import clean
from ..context import Session
from ..options.options import SaveOptions
from ..output.output import Mode
from ..output.render import show_outcome
from .expiry import ends_soon

TEMPLATE_HINT = "Use a template: -o '{task}.png'"
POLLS_AT_ONCE = 8
"""Of `flux status`."""
Found = tuple[Entry | None, Task] | Outcome | FluxError
"""The entry and the task with an ID, the outcome of an entry without a task, or why there is nothing to show."""


def show_status(session: Session, words: Sequence[str]) -> ExitCode:
    """Show PiAPI's status of each task, in the order of the IDs, as they come."""
    return asyncio.run(_show_all(session, read_ids(words, session.stdin.text)))


async def _show_all(session: Session, ids: AsyncIterator[str | UsageError]) -> ExitCode:
    errors: dict[ExitCode, FluxError | None] = {}
    asyncio.get_running_loop().set_default_executor(DetachedExecutor())
    session.journal.mark_dead_unknown()
    async with session.client() as client, aclosing(_polled(session, client, ids)) as polled:
        async for found in polled:
            if isinstance(found, ConfigError):
                raise found  # every other poll would be refused too
            if isinstance(found, Outcome) and found.error:
                show_outcome(session.output, found)
                errors[found.error.exit_code] = found.error
            elif isinstance(found, FluxError):
                session.output.failure(found)
                errors[found.exit_code] = found
            elif isinstance(found, tuple):
                _show(session, *found)
                errors[ExitCode.OK] = None
    return exit_code(errors.values())


async def _polled(session: Session, client: PiAPIClient, ids: AsyncIterator[str | UsageError]) -> AsyncGenerator[Found]:
    """Yield what polls find, in the order of the IDs. At most POLLS_AT_ONCE run at a time."""
    polls, limiter = deque[asyncio.Future[Found]](), PollLimiter(time.monotonic, asyncio.sleep, session.scale)
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
        entry = session.journal.find(word)
        if entry and entry.task_id is None:
            return Outcome(entry, error_of(entry), 0.0)
        await limiter.wait()
        return entry, await look_at(client, entry.task_id if entry and entry.task_id else word)
    except FluxError as error:
        return error


def _show(session: Session, entry: Entry | None, task: Task) -> None:
    if session.output.mode is Mode.JSON:
        session.output.record("task", _task_json(task, entry))
        return
    session.output.result(f"{task.id} {task.status.word}")
    if task.status.phase is Phase.FAILED and task.error:
        session.output.note(f"{task.id}: {task.error.message}")


async def look_at(client: PiAPIClient, task_id: str) -> Task:
    """Poll a task. Raise RefusedError if PiAPI has no such task, NetworkError or KeyRefusedError."""
    try:
        return await client.poll(task_id)
    except TaskNotFoundError as error:
        raise RefusedError(f"PiAPI has no task {task_id}: {error}", code="no_such_task") from error
    except TemporaryError as error:
        raise NetworkError(f"task {task_id} could not be polled: {error.message}") from error


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


def wait_for(session: Session, words: Sequence[str], save: SaveOptions, *, first: bool = False) -> ExitCode:
    """Wait for tasks, as their IDs arrive, and save their images.

    first: stop when one is saved; the others keep running.
    """
    ids = read_ids(words, session.stdin.text)
    named = len({word for word in words if word != "-"})
    if save.to_stdout:
        raise UsageError("-o - is for commands that make one image", hint="Save it, then: cat FILE")
    if named > 1 and _takes_one(save, first):
        raise UsageError(f"-o names one file, and there are {named} tasks", hint=TEMPLATE_HINT)
    session.require_key()
    session.journal.mark_dead_unknown()
    wrong = dict[ExitCode, FluxError]()
    with session.reporter() as reporter:
        results = Results(reporter)

        def feed(scheduler: Scheduler) -> AsyncIterator[Entry | Outcome]:
            return _followed(session, ids, save, wrong, first=first)

        # IDs from a pipe arrive at any time, so the timeout of each begins when it arrives.
        piped = "-" in words
        total = 0 if piped else named
        run = Run(session.workspace, reporter, results, feed, total, first=first, one_deadline=not piped)
        try:
            code = run.finish()
        finally:
            session.journal.discard_unseen()
            if results.count > 1:
                # Tasks that were submitted in the meantime were paid for by another process.
                reporter.summary(replace(results.summary(), spent=Decimal(0)))
    if first and results.saved:
        return code
    return exit_code([*results.errors.values(), *wrong.values()], stopped_by=run.halted)


def _takes_one(save: SaveOptions, first: bool) -> bool:
    """Return whether `-o` names one file. With `first` that is enough, unless a second image could replace it."""
    return save.output is not None and not is_template(save.output) and (save.overwrite or not first)


async def _followed(
    session: Session,
    ids: AsyncIterator[str | UsageError],
    save: SaveOptions,
    wrong: dict[ExitCode, FluxError],
    *,
    first: bool,
) -> AsyncIterator[Entry | Outcome]:
    """Yield entries to bring to their end, and outcomes of those that have ended; each task once.

    Report invalid IDs and continue; `wrong` keeps one error per exit code.
    """
    seen = set[str]()
    async for word in ids:
        try:
            if isinstance(word, UsageError):
                raise word
            known = session.journal.find(word) or await link_matching(session.workspace, word)
            task = (known.task_id or known.id) if known else word
            if task in seen:
                continue
            seen.add(task)
            if len(seen) > 1 and _takes_one(save, first):
                raise UsageError(f"-o names one file, and task {task} needs another", hint=TEMPLATE_HINT)
            item = to_wait_for(session, word, known, save)
        except FluxError as error:
            session.output.failure(error)
            wrong[error.exit_code] = error
        else:
            yield item


def to_wait_for(session: Session, word: str, known: Entry | None, save: SaveOptions) -> Entry | Outcome:
    """Return an entry to bring to its end, or the outcome of one that has ended. `known` is the newest for the ID."""
    if known is None:
        return track(session, word, save)
    if known.state is State.SAVED:
        whole = all(file.path.exists() for file in known.files)
        return Outcome(known, None, 0.0) if whole and not save.given else track(session, known.task_id or word, save)
    if known.state not in (*UNFINISHED, State.EXPIRED):
        return Outcome(known, error_of(known), 0.0)
    claimed = session.journal.claim(known)
    if claimed is None:
        return Outcome(known, busy_error(known), 0.0)
    if claimed.state is State.EXPIRED:
        claimed = session.journal.move(claimed, replace(claimed, state=State.ACCEPTED, problem=None))
    if save.given:
        count = len(known.output.paths)
        plan = plan_found_task(
            save.output, _values(session, known), count, session.saving(save), default=DEFAULT_TEMPLATE
        )
        claimed = session.journal.move(claimed, replace(claimed, output=plan))
    return claimed


def _values(session: Session, entry: Entry) -> dict[str, str]:
    if entry.request is None:
        return {"task": "", "n": "1"}
    return name_values(entry.request, session.catalog.name_of(entry.request.model), datetime.now())


def track(session: Session, task_id: str, save: SaveOptions, evidence: str | None = None) -> Entry:
    """Return a new entry for a task that was submitted elsewhere, or whose images are saved again."""
    values = {"task": "", "n": "1"}
    plan = plan_found_task(save.output, values, 1, session.saving(save), default="{task}")
    return session.journal.track(task_id, plan, evidence=evidence)


def resume_all(session: Session, *, expiring: bool) -> ExitCode:
    """Finish every accepted or ready entry of this service and profile; exit 7 while an unknown one is left.

    expiring: only those whose images PiAPI may delete within a day.
    """
    from .deliveries import resolve_reported

    session.journal.mark_dead_unknown()
    link_seen(session.workspace)
    resolve_reported(session)
    now = time.time()
    left = session.journal.entries(*UNFINISHED)
    if expiring:
        left = [entry for entry in left if ends_soon(entry, now)]
    items = [session.journal.claim(entry) or Outcome(entry, busy_error(entry), 0.0) for entry in left]
    with session.reporter() as reporter:
        results = Results(reporter)
        feed = feed_entries(items)
        run = Run(session.workspace, reporter, results, lambda _: feed, len(items), one_deadline=True)
        if items:
            run.finish()
        else:
            session.output.note("nothing expires soon" if expiring else "nothing is left to download")
        report_entries(results, session.journal.entries(State.UNKNOWN))
        return exit_code(results.errors.values(), stopped_by=run.halted)
