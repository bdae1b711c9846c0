"""Tasks that exist already: the entries that bring their images here."""

from dataclasses import replace
from datetime import datetime

from ..batch.outputs import name_values, plan_found_task
from ..config.catalog import Catalog
from ..engine.outcome import Outcome
from ..errors import NetworkError, RefusedError
from ..images.output_names import DEFAULT_TEMPLATE
from ..journal.entries import UNFINISHED, Entry, State, busy_error, error_of
from ..piapi.client import PiAPIClient
from ..piapi.errors import TaskNotFoundError, TemporaryError
from ..piapi.task import Task
from .context import Session
from .options import SaveOptions

UNKNOWN_VALUES = {"task": "", "n": "1"}
"""The placeholders of a task whose request is unknown."""
TEMPLATE_HINT = "Use a template: -o '{task}.png'"


async def look_at(client: PiAPIClient, task_id: str) -> Task:
    """Poll a task. Raise RefusedError if PiAPI has no such task, NetworkError or KeyRefusedError."""
    try:
        return await client.poll(task_id)
    except TaskNotFoundError as error:
        raise RefusedError(
            f"PiAPI has no task {task_id}: {error}", code="no_such_task", hint="List yours", command=("history",)
        ) from error
    except TemporaryError as error:
        raise NetworkError(f"cannot get the status of task {task_id}: {error.message}") from error


def to_wait_for(session: Session, word: str, known: Entry | None, save: SaveOptions) -> Entry | Outcome:
    """Return an entry to bring to its end, or the outcome of one that has ended. `known` is the newest for the ID."""
    if known is None:
        return track(session, word, save)
    if known.state is State.SAVED:
        present = all(file.path.exists() for file in known.files)
        return Outcome(known, None, 0.0) if present and not save.given else track(session, known.task_id or word, save)
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
    values = UNKNOWN_VALUES
    plan = plan_found_task(save.output, values, 1, session.saving(save), default="{task}")
    return session.journal.track(task_id, plan, evidence=evidence)
