"""Tasks that exist already: looking at them, waiting for them, finishing what is left."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from ...batch.task_ids import read_ids
from ...engine.counting import Occurrences, Tally
from ...engine.outcome import Outcome, exit_code, worse
from ...engine.scheduler import Engine
from ...errors import ConfigError, ExitCode, FluxError, NetworkError, RefusedError, UsageError
from ...images.output_names import is_template
from ...journal.entries import UNFINISHED, Entry, State
from ...journal.entry_errors import busy, past_error
from ...json_value import JsonObject
from ...piapi.client import PiAPIClient
from ...piapi.errors import TaskNotFoundError, TemporaryError
from ...piapi.task import Phase, Task
from ...system.signals import DetachedExecutor
from ...text import clean
from ..buying.adopting import adopt_seen, recognised
from ..buying.purchase import probed
from ..buying.runs import Run, finish
from ..context import Session
from ..options.compose import name_values
from ..options.options import SaveOptions
from ..output.output import Mode
from ..output.render import tell_outcome, tell_summary
from .expiry import ends_soon

TEMPLATE_HINT = "use a template: -o '{task}.png'"


def show_status(session: Session, words: Sequence[str]) -> ExitCode:
    """Tell what the service says of each task now, as the ids come."""
    return asyncio.run(_look_at_all(session, read_ids(words, session.stdin)))


async def _look_at_all(session: Session, ids: AsyncIterator[str | UsageError]) -> ExitCode:
    errors: dict[ExitCode, FluxError | None] = {}
    asyncio.get_running_loop().set_default_executor(DetachedExecutor())
    session.journal.settle_dead()
    async with session.client() as client:
        async for found in ids:
            try:
                if isinstance(found, UsageError):
                    raise found
                await _show_one(session, client, found)
                errors[ExitCode.OK] = None
            except ConfigError:
                raise  # the next look would be refused too
            except FluxError as failure:
                session.output.failure(failure)
                errors[failure.exit_code] = failure
    wrong = errors.pop(ExitCode.USAGE, None)
    return worse(exit_code(errors.values()), exit_code([wrong]))


async def _show_one(session: Session, client: PiAPIClient, word: str) -> None:
    entry = session.find(word)
    task_id = entry.task_id if entry else word
    if task_id is None:
        assert entry is not None
        raise past_error(entry)
    task = await look_at(client, task_id)
    if session.output.mode is Mode.JSON:
        session.output.record("task", _task_json(task, entry))
        return
    session.output.result(f"{task.id} {task.status.word}")
    if task.status.phase is Phase.FAILED and task.error:
        session.output.note(f"{task.id}: {task.error.message}")


async def look_at(client: PiAPIClient, task_id: str) -> Task:
    """The task now. Raises RefusedError when there is none, NetworkError, KeyRefusedError."""
    try:
        return await client.poll(task_id)
    except TaskNotFoundError as error:
        raise RefusedError(f"the service knows no task {task_id}: {error}", code="no_such_task", money="") from error
    except TemporaryError as error:
        raise NetworkError(f"task {task_id} could not be looked at: {error.message}", money="") from error


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
    """Wait for tasks and save their pictures, whoever submitted them, as their ids come.

    first: until one is saved; the others run on.
    """
    ids = read_ids(words, session.stdin)
    named = len({word for word in words if word != "-"})
    if save.to_stdout:
        raise UsageError("-o - is for commands that make one picture", hint="save it, then: cat FILE")
    if named > 1 and _takes_one(save, first):
        raise UsageError(f"-o names one file, and there are {named} tasks", hint=TEMPLATE_HINT)
    session.key  # noqa: B018 - a missing key is told before anything is written
    session.journal.settle_dead()
    tally, wrong = Tally(), dict[ExitCode, FluxError]()

    def tell(outcome: Outcome) -> None:
        tell_outcome(session.output, outcome)
        tally.hear(outcome)

    def feed(engine: Engine) -> AsyncIterator[Entry | Outcome]:
        return _followed(session, ids, save, wrong, first=first)

    code = Run(session, feed, 0 if "-" in words else named, first=first, tell=tell).to_its_end()
    if (tasks := tally.states.total()) > 1:
        # What was submitted in the meantime was paid by whoever did it.
        tell_summary(session.output, replace(tally.summary(tasks), spent=Decimal(0)))
    return code if first and tally.states[State.SAVED] else worse(code, exit_code(wrong.values()))


def _takes_one(save: SaveOptions, first: bool) -> bool:
    """Whether `-o` has no place for a second task. With `first` one is enough, but nothing may replace it later."""
    return save.output is not None and not is_template(save.output) and (save.overwrite or not first)


async def _followed(
    session: Session,
    ids: AsyncIterator[str | UsageError],
    save: SaveOptions,
    wrong: dict[ExitCode, FluxError],
    *,
    first: bool,
) -> AsyncIterator[Entry | Outcome]:
    """Entries to bring to their end, and outcomes of those that have ended; each task once.

    Ids that cannot be followed are told, one of each kind is left in `wrong`, and the rest are none the worse for it.
    """
    with closing(Occurrences()) as seen:
        tasks = 0
        async for word in ids:
            try:
                if isinstance(word, UsageError):
                    raise word
                known = session.find(word) or await recognised(session, word)
                task = (known.task_id or known.id) if known else word
                if seen.count(task) > 1:
                    continue
                tasks += 1
                if tasks > 1 and _takes_one(save, first):
                    raise UsageError(f"-o names one file, and there is also task {task}", hint=TEMPLATE_HINT, money="")
                item = to_wait_for(session, word, known, save)
            except FluxError as error:
                session.output.failure(error)
                wrong[error.exit_code] = error
            else:
                yield item


def to_wait_for(session: Session, word: str, known: Entry | None, save: SaveOptions) -> Entry | Outcome:
    """An entry to bring to its end, or the outcome of one that has ended. `known` is the newest one with this id."""
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


def _values(session: Session, entry: Entry) -> dict[str, str]:
    if entry.request is None:
        return {"task": "", "n": "1"}
    return name_values(entry.request, session.catalog.model(entry.request.model).name, datetime.now())


def _adopted(session: Session, task_id: str, save: SaveOptions) -> Entry:
    plan = save.plan({"task": "", "n": "1"}, 1, session.folder, template="{task}")
    return session.journal.adopt(task_id, probed(plan, save), service=session.service, profile=session.settings.profile)


def resume_all(session: Session, *, expiring: bool) -> ExitCode:
    """Finish every accepted or ready entry of this service and profile; exit 7 while an unknown is left.

    expiring: only those whose pictures the service may drop within a day.
    """
    session.journal.settle_dead()
    adopt_seen(session)
    mine: list[Entry] = []
    ended: list[FluxError | None] = []
    now = time.time()
    left = session.entries(*UNFINISHED)
    for entry in [entry for entry in left if ends_soon(entry, now)] if expiring else left:
        if claimed := session.journal.claim(entry):
            mine.append(claimed)
        else:
            ended.append(_tell(session, Outcome(entry, busy(entry), 0.0)))
    if not mine and not ended:
        session.output.note("nothing is about to expire" if expiring else "nothing is left to fetch")
    code = finish(session, mine) if mine else ExitCode.OK
    for entry in session.entries(State.UNKNOWN):
        ended.append(_tell(session, Outcome(entry, past_error(entry), 0.0)))
    return worse(code, exit_code(ended))


def _tell(session: Session, outcome: Outcome) -> FluxError | None:
    tell_outcome(session.output, outcome)
    return outcome.error
