"""Existing tasks: those whose ID the user passes, and those that a webhook reports.

Each delivery of a webhook is recorded, then linked to the submission that it belongs to. Anyone can send a delivery,
and it can arrive before the response to its submission. So flux polls the task before it uses the delivery.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from ..batch.outputs import name_values, plan_found_task
from ..batch.task_matching import compare_task, link
from ..config.catalog import Catalog
from ..engine.outcome import Outcome, claim, find_shortfall
from ..engine.submitter import JOIN_SECONDS
from ..errors import FluxError, NetworkError, RefusedError, UsageError
from ..images.output_names import DEFAULT_TEMPLATE
from ..journal.entries import REPORTED, UNFINISHED, Entry, State, error_of
from ..journal.journal import Journal
from ..operations.parameters import Argument
from ..piapi.client import PiAPIClient
from ..piapi.refusals import TaskNotFoundError, TemporaryError
from ..piapi.task import Task
from ..text import quoted
from .options import SaveOptions
from .session import Session

Ids = Annotated[
    list[str], Argument("ID...", help="Task IDs, entry IDs, or @last for the newest task; - reads them from stdin.")
]
UNKNOWN_VALUES = {"task": "", "n": "1"}
"""The values of the placeholders for a task whose request is unknown."""
LIST_TASKS = "List your tasks"
TEMPLATE_HINT = "Use a template: -o '{task}.png'"
POLLS = 3
"""The most attempts to poll a task that this machine did not submit."""
AT_ONCE = 8
"""Deliveries that are resolved in parallel, so that forged ones do not delay the others for long."""
JOIN_LONGEST = 120.0
"""The longest wait for that response: the process of the submission may be suspended."""


def no_such_task(word: str) -> str:
    """Return the message for an ID that the journal does not have."""
    return f"no task with ID {quoted(word, 60)} in the history"


def check_account(session: Session, entry: Entry, *, any_service: bool = False) -> None:
    """Raise UsageError for an entry of another profile than the one in use, or, unless `any_service`, service."""
    here = session.journal.account
    if entry.account == here or (any_service and entry.profile == here.profile):
        return
    if entry.profile != here.profile:
        raise UsageError(f"entry {entry.id} belongs to profile {entry.profile}", hint=f"Add: --profile {entry.profile}")
    raise UsageError(
        f"entry {entry.id} was sent to {entry.service}, but flux now uses {here.service}",
        hint=f"Set FLUX_BASE_URL={entry.service}",
    )


def find_entry(session: Session, word: str) -> Entry | None:
    """Return the newest entry with an entry ID or a task ID. Raise UsageError if it is of another account."""
    found = session.journal.find(word)
    if found is None and (other := session.journal.get(word)):
        check_account(session, other)
    return found


def expand_ids(journal: Journal, words: Sequence[str]) -> list[str]:
    """Return the IDs that words stand for: `@ID` is the same as `ID`, `@last` the newest task. Raise UsageError."""
    last = journal.last_submitted() if "@last" in words else None
    if "@last" in words and last is None:
        raise UsageError("no tasks in the history")
    return [last.id if last and word == "@last" else word.removeprefix("@") for word in words]


async def poll_task(client: PiAPIClient, task_id: str) -> Task:
    """Return the current state of a task. Raise RefusedError if PiAPI has no such task, NetworkError, ConfigError."""
    try:
        return await client.poll(task_id)
    except TaskNotFoundError as error:
        raise RefusedError(
            f"PiAPI has no task {task_id} ({error})", code="no_such_task", hint=LIST_TASKS, command=("history",)
        ) from error
    except TemporaryError as error:
        raise NetworkError(f"cannot get the status of task {task_id}: {error.message}", hint=error.hint) from error


def prepare_wait(session: Session, word: str, known: Entry | None, save: SaveOptions) -> Entry | Outcome:
    """Return an entry to run, or the outcome if it has ended. known: the newest entry for the ID `word`."""
    if known is None:
        return track(session, word, save)
    if known.state is State.SAVED:
        if known.has_files and not save.chosen_by_user:
            return Outcome(known, find_shortfall(known))
        return track(session, known.task_id or word, save)
    if known.state not in (*UNFINISHED, State.EXPIRED):
        return Outcome(known, error_of(known))
    claimed = claim(session.journal, known)
    if isinstance(claimed, Outcome):
        return claimed
    if claimed.state is State.EXPIRED:
        claimed = session.journal.move(claimed, replace(claimed, state=State.ACCEPTED, problem=None))
    if save.chosen_by_user:
        count = len(known.output.paths)
        plan = plan_found_task(
            save.output, _values(session.catalog, known), count, session.saving(save), default=DEFAULT_TEMPLATE
        )
        claimed = session.journal.move(claimed, replace(claimed, output=plan))
    return claimed


def _values(catalog: Catalog, entry: Entry) -> dict[str, str]:
    if entry.request is None:
        return UNKNOWN_VALUES
    return name_values(entry.request, catalog.name_of(entry.request.model), datetime.now())


def track(session: Session, task_id: str, save: SaveOptions, evidence: str | None = None) -> Entry:
    """Return a new entry for a task that was submitted elsewhere, or whose images are saved again."""
    plan = plan_found_task(save.output, UNKNOWN_VALUES, 1, session.saving(save), default="{task}")
    return session.journal.track(task_id, plan, evidence=evidence)


# --- deliveries -------------------------------------------------------------------------------------------------------


def record_delivery(session: Session, task_id: str, save: SaveOptions) -> None:
    """Record the task of a delivery durably, unless the journal has it. Raise JournalError or DiskError."""
    if session.journal.find(task_id) is None:
        track(session, task_id, save, evidence=REPORTED)


async def resolve_delivery(session: Session, client: PiAPIClient, task_id: str) -> Entry | None:
    """Return the entry of a delivered task. That of its submission is preferred, if this machine submitted it.

    Otherwise, it is the entry from `record_delivery`, or None. Raise RefusedError if PiAPI has no such task (the entry
    is deleted), NetworkError if it cannot be polled (the entry is kept, for `flux resume`), ConfigError, JournalError.
    """
    received, journal, clock = time.time(), session.journal, session.run_context.clock
    task: Task | None = None
    deadline = clock.now() + JOIN_LONGEST
    while True:
        journal.mark_dead_unknown()
        entries = journal.entries(State.SENDING, State.UNKNOWN)
        known = journal.entries(task_id=task_id)  # read last, so that it includes a submission that was just accepted
        reported = next((entry for entry in known if entry.evidence == REPORTED), None)
        if reported and (reported := journal.claim(reported)) is None:
            return known[-1]  # another process resolves it
        if submitted := [entry for entry in known if entry.evidence != REPORTED]:
            if reported:
                journal.discard(reported)
            return submitted[-1]
        if task is None:
            task = await _poll_reported(session, client, task_id, reported)
            continue  # meanwhile, another delivery may have changed the entries
        # A submission that began after the delivery belongs to another task.
        able = [
            entry for entry in entries if (entry.submitted or 0.0) <= received and not compare_task(entry, task).unlike
        ]
        in_flight = any(entry.state is State.SENDING for entry in able)
        if not in_flight or clock.now() > deadline:
            break
        await clock.sleep(JOIN_SECONDS * clock.scale)
    for entry in [entry for entry in able if entry.state is State.UNKNOWN]:
        found = compare_task(entry, task)
        if found.proves_alone or (entry.seen_id == task_id and found.proves):
            linked = link(session.run_context, entry, task, found)
            if reported:
                journal.discard(reported)
            return linked
    return journal.move(reported, replace(reported, evidence=None)) if reported else None


async def _poll_reported(session: Session, client: PiAPIClient, task_id: str, reported: Entry | None) -> Task:
    """Return the current state of a task, after up to POLLS attempts. Raise RefusedError or NetworkError."""
    clock = session.run_context.clock
    for attempt in range(1, POLLS):
        try:
            return await poll_task(client, task_id)
        except (NetworkError, RefusedError):
            await clock.sleep(clock.backoff(attempt))
    try:
        return await poll_task(client, task_id)
    except RefusedError:
        if reported:
            session.journal.discard(reported)
        raise
    except NetworkError:
        if reported:
            session.journal.release(reported)
        raise


def resolve_reported(session: Session) -> None:
    """Resolve the entries of deliveries that no process has resolved. Print errors."""
    ids = [entry.task_id for entry in session.journal.entries(State.ACCEPTED) if entry.evidence == REPORTED]
    if ids:
        asyncio.run(_resolve_all(session, [task_id for task_id in ids if task_id]))


async def _resolve_all(session: Session, ids: list[str]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def resolve_one(task_id: str) -> None:
        async with turn:
            try:
                await resolve_delivery(session, client, task_id)
            except NetworkError:
                pass  # it is polled later, like other entries
            except FluxError as error:
                session.output.print_error(error)

    async with session.make_client() as client:
        await asyncio.gather(*map(resolve_one, ids))
