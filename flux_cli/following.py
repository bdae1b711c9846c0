"""Tasks that exist already: looking at them, waiting for them, finishing what is left."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from .buying import probed
from .client import NoSuchTaskError, PassingTroubleError, PiAPIClient
from .compose import name_values
from .entry import UNFINISHED, Entry, State
from .errors import ExitCode, FluxError, JournalError, NetworkError, RefusedError, UnknownChargeError, UsageError
from .json_value import JsonObject
from .options import SaveOptions
from .outcome import Outcome, exit_code, worse
from .output import Mode
from .runs import finish
from .session import Session
from .submission import lost_answer
from .task import Phase, Task, is_task_id
from .telling import tell_outcome
from .text import clean


def read_ids(session: Session, words: Sequence[str]) -> list[str]:
    """Ids from the command line, `-` standing for those on stdin, one a line; each once, in order.

    Raises UsageError for one that is none, and when there are none.
    """
    ids: dict[str, None] = {}
    for word in words:
        if word == "-" and session.stdin.isatty():
            raise UsageError("- reads task ids from stdin, and stdin is a terminal", hint="pipe them in, or name them")
        for line in session.stdin if word == "-" else (word,):
            if not (found := line.strip()):
                continue
            if not is_task_id(found):
                raise UsageError(f"{clean(found, 60)!r} is not a task id")
            ids[found] = None
    if not ids:
        raise UsageError("no task ids came")
    return list(ids)


def show_status(session: Session, words: Sequence[str]) -> ExitCode:
    """Tell what the service says of each task now."""
    return exit_code(asyncio.run(_look_at_all(session, read_ids(session, words))))


async def _look_at_all(session: Session, ids: Iterable[str]) -> list[FluxError | None]:
    errors: list[FluxError | None] = []
    session.journal.settle_dead()
    async with session.client() as client:
        for word in ids:
            error = None
            try:
                await _show_one(session, client, word)
            except (RefusedError, NetworkError, UnknownChargeError) as failure:
                error = failure
                session.output.failure(failure)
            errors.append(error)
    return errors


async def _show_one(session: Session, client: PiAPIClient, word: str) -> None:
    entry = session.find(word)
    task_id = entry.task_id if entry else word
    if task_id is None:
        assert entry is not None
        raise past_error(entry)
    try:
        task = await client.look(task_id)
    except NoSuchTaskError as error:
        raise RefusedError(f"the service knows no task {task_id}: {error}", code="no_such_task", money="") from error
    except PassingTroubleError as error:
        raise NetworkError(f"task {task_id} could not be looked at: {error.message}", money="") from error
    if session.output.mode is Mode.JSON:
        session.output.record("task", _task_json(task, entry))
        return
    session.output.result(f"{task.id} {task.status.word}")
    if task.status.phase is Phase.FAILED and task.error:
        session.output.note(f"{task.id}: {task.error.message}")


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


def wait_for(session: Session, words: Sequence[str], save: SaveOptions) -> ExitCode:
    """Wait for tasks and save their pictures, whoever submitted them."""
    ids = read_ids(session, words)
    session.journal.settle_dead()
    if save.to_stdout:
        raise UsageError("-o - is for commands that make one picture", hint="save it, then: cat FILE")
    if len(ids) > 1 and save.output is not None and "{" not in save.output:
        raise UsageError(f"-o names one file, and there are {len(ids)} tasks", hint="use a template: -o '{task}.png'")
    session.key  # noqa: B018 - a missing key is told before anything is written
    entries: list[Entry] = []
    ended: list[FluxError | None] = []
    for word in ids:
        entry = _to_wait_for(session, word, save)
        if isinstance(entry, Outcome):
            ended.append(_tell(session, entry))
        else:
            entries.append(entry)
    code = finish(session, entries) if entries else ExitCode.OK
    return worse(code, exit_code(ended))


def _to_wait_for(session: Session, word: str, save: SaveOptions) -> Entry | Outcome:
    """An entry to bring to its end, or the outcome of one that has ended."""
    known = session.find(word)
    if known is None:
        return _adopted(session, word, save)
    if known.state is State.SAVED:
        whole = all(file.path.exists() for file in known.files)
        return Outcome(known, None, 0.0) if whole and not save.given else _adopted(session, known.task_id or word, save)
    if known.state not in (*UNFINISHED, State.EXPIRED):
        return Outcome(known, past_error(known), 0.0)
    claimed = session.journal.claim(known)
    if claimed is None:
        return Outcome(known, busy(known), 0.0)
    if claimed.state is State.EXPIRED:
        claimed = session.journal.move(claimed, state=State.ACCEPTED, problem=None)
    if save.given:
        plan = probed(save.plan(_values(session, known), len(known.output.paths), session.folder), save)
        claimed = session.journal.move(claimed, output=plan)
    return claimed


def busy(entry: Entry) -> JournalError:
    """The error for an entry that another process is bringing to its end."""
    return JournalError(f"another flux is waiting for entry {entry.id}", hint="it will save the picture", code="busy")


def _values(session: Session, entry: Entry) -> dict[str, str]:
    if entry.request is None:
        return {"task": "", "n": "1"}
    return name_values(entry.request, session.catalog.model(entry.request.model).name, datetime.now())


def _adopted(session: Session, task_id: str, save: SaveOptions) -> Entry:
    plan = save.plan({"task": "", "n": "1"}, 1, session.folder, template="{task}")
    return session.journal.adopt(task_id, probed(plan, save), service=session.service, profile=session.settings.profile)


def past_error(entry: Entry) -> FluxError:
    """The error that an entry ended with, told again."""
    if entry.state is State.UNKNOWN:
        return lost_answer(entry, entry.evidence or "no evidence")
    if entry.state is State.SENDING:
        return JournalError(f"entry {entry.id} is being submitted by another flux", code="busy")
    if entry.problem is None:
        return RefusedError(f"entry {entry.id} was never sent")
    error = FluxError(entry.problem.message, code=entry.problem.code)
    error.exit_code = ExitCode(entry.problem.exit_code)
    return error


def resume_all(session: Session) -> ExitCode:
    """Finish every accepted or ready entry of this service and profile; exit 7 while an unknown is left."""
    session.journal.settle_dead()
    mine: list[Entry] = []
    ended: list[FluxError | None] = []
    for entry in session.entries(*UNFINISHED):
        if claimed := session.journal.claim(entry):
            mine.append(claimed)
        else:
            ended.append(_tell(session, Outcome(entry, busy(entry), 0.0)))
    if not mine and not ended:
        session.output.note("nothing is left to fetch")
    code = finish(session, mine) if mine else ExitCode.OK
    for entry in session.entries(State.UNKNOWN):
        ended.append(_tell(session, Outcome(entry, past_error(entry), 0.0)))
    return worse(code, exit_code(ended))


def _tell(session: Session, outcome: Outcome) -> FluxError | None:
    tell_outcome(session.output, outcome)
    return outcome.error
