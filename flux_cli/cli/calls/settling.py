"""Submissions whose answers were lost: what is known of them, and the user's word on what became of them."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal

from ...batch.task_ids import read_ids
from ...engine.outcome import Outcome, exit_code
from ...engine.task_matching import likeness, moment
from ...engine.uploader import MARGIN_SECONDS
from ...errors import ExitCode, RefusedError, UnknownChargeError, UsageError
from ...frozen import frozen
from ...journal.entries import Entry, State, given_up
from ...journal.entry_errors import busy, lost_answer
from ...operations.operations import LOCAL
from ...piapi.requests import encoded
from ...piapi.task import Task, is_task_id
from ...text import clean, counted, usd
from ..buying.adopting import adopt
from ..buying.purchase import check_budgets, confirm_price, probe_folder
from ..buying.runs import finish, pictures_sent
from ..context import Session
from ..options.options import SaveOptions
from ..output.output import Mode
from ..output.render import tell_outcome
from .following import look_at, to_wait_for

OPEN = (State.UNKNOWN, State.FORGOTTEN)
"""What can be settled; what was forgotten also once more, for a task may turn up."""
SLACK_SECONDS = 600.0
"""An uploaded picture must still be there when the request has waited for its place."""


@frozen
class Choice:
    """What the user says became of entries.

    adopt: a task id; force: also when that looks different.
    max_cost, yes: what `resubmit` may cost, as for every command that buys.
    """

    adopt: str | None
    force: bool
    forget: bool
    resubmit: bool
    max_cost: str | None
    yes: bool


def settle_entries(session: Session, words: Sequence[str], choice: Choice) -> ExitCode:
    """Do with entries what the user chose, or explain them. Raises UsageError before anything is changed."""
    if sum((choice.adopt is not None, choice.forget, choice.resubmit)) > 1:
        raise UsageError("give only one of --adopt, --forget, --resubmit")
    if choice.force and choice.adopt is None:
        raise UsageError("--force belongs to --adopt")
    session.journal.settle_dead()
    entries = [_entry(session, word) for word in asyncio.run(_read(session, words))]
    if choice.adopt is not None:
        return _adopt(session, entries, choice.adopt, force=choice.force)
    if choice.forget:
        return _forget(session, entries)
    if choice.resubmit:
        return _resubmit(session, entries, choice)
    return exit_code([_explain(session, entry) for entry in entries])


async def _read(session: Session, words: Sequence[str]) -> list[str]:
    ids = dict[str, None]()
    async for found in read_ids(words, session.stdin):
        if isinstance(found, UsageError):
            raise found
        ids[found] = None
    return list(ids)


def _entry(session: Session, word: str) -> Entry:
    entry = session.journal.get(word)
    if entry is None:
        raise UsageError(
            f"no entry is called {clean(word, 60)}", hint="they are listed by: flux history --state unknown"
        )
    if (entry.service, entry.profile) != (session.service, session.settings.profile):
        raise UsageError(
            f"entry {entry.id} belongs to another account",
            hint=f"give --profile {entry.profile}; its service is {entry.service}",
        )
    return entry


# --- no choice: what is known, and the ways on ------------------------------------------------------------------------


def _explain(session: Session, entry: Entry) -> UnknownChargeError | None:
    """Tell of an entry; the error that it stands for, if it is still unknown."""
    if entry.state is not State.UNKNOWN:
        forgotten = entry.state is State.FORGOTTEN and entry.problem
        session.output.note(
            f"entry {entry.id}: {forgotten.message}" if forgotten else _nothing_to_settle(entry).message
        )
        return None
    error = lost_answer(entry)
    if session.output.mode is Mode.TEXT:
        session.output.row(f"entry {entry.id}: the answer to this submission was lost; {error.money}", 2)
        for line in _known(entry):
            session.output.row(line, 13)
        for line in _ways_on(session, entry):
            session.output.result(line)
    else:
        tell_outcome(session.output, Outcome(entry, error, 0.0))
    return error


def _known(entry: Entry) -> list[str]:
    rows: dict[str, str | None] = {}
    if request := entry.request:
        rows = {"prompt": f'"{request.operation.prompt}"', "model": request.model, "seed": str(request.seed)}
    rows |= {
        "sent": moment(entry.submitted) if entry.submitted is not None else None,
        "known": entry.evidence,
        "task seen": entry.seen_id,
    }
    return [f"  {name:<9}  {clean(value, 400)}" for name, value in rows.items() if value]


def _ways_on(session: Session, entry: Entry) -> list[str]:
    place = session.output.place
    line = f"flux settle {entry.id}{place}"
    ways = [(f"flux resume{place}", "look at the task seen, and fetch it if it is this one")] if entry.seen_id else []
    ways += [
        (f"{line} --adopt TASK_ID", "it is there: fetch it, at no cost"),
        (f"{line} --forget", "it is not there, or does not matter"),
    ]
    if entry.request:
        ways.append((f"{line} --resubmit", f"send it once more, for {usd(session.price(entry.request))}"))
    width = max(len(command) for command, _ in ways)
    where = "Look for a task with this prompt and time in the PiAPI workspace. Then:"
    return [where, *(f"  {command:<{width}}  {meaning}" for command, meaning in ways)]


def _nothing_to_settle(entry: Entry) -> UsageError:
    return UsageError(f"entry {entry.id} is {entry.state}: there is nothing to settle", money="")


# --- the choices ------------------------------------------------------------------------------------------------------


def _adopt(session: Session, entries: Sequence[Entry], task_id: str, *, force: bool) -> ExitCode:
    if len(entries) > 1:
        raise UsageError(f"a task is that of one entry, and there are {len(entries)}")
    if not is_task_id(task_id):
        raise UsageError(f"{clean(task_id, 60)!r} is not a task id")
    (entry,) = entries
    if entry.task_id != task_id:  # said once more, it goes on where the first time ended
        if entry.state not in OPEN:
            raise _nothing_to_settle(entry)
        task = asyncio.run(_looked_at(session, task_id))
        found = likeness(entry, task)
        if found.unlike and not force:
            message = f"task {task_id} is not what entry {entry.id} asked for"
            hint = "if it is the one all the same: add --force"
            raise UsageError(message, details=found.unlike, hint=hint, money="nothing was changed")
        adopt(session, entry, task, found)
    return finish(session, [_to_wait_for(session, entry)])


def _to_wait_for(session: Session, entry: Entry) -> Entry | Outcome:
    return to_wait_for(session, entry.id, session.find(entry.id), SaveOptions())


async def _looked_at(session: Session, task_id: str) -> Task:
    try:
        async with session.client() as client:
            return await look_at(client, task_id)
    except RefusedError as error:
        hint = "copy the id from the task in the PiAPI workspace; without one: --forget or --resubmit"
        raise RefusedError(error.message, code=error.code, hint=hint, money="nothing was changed") from error


def _forget(session: Session, entries: Sequence[Entry]) -> ExitCode:
    for entry in entries:
        if entry.state not in OPEN:
            raise _nothing_to_settle(entry)
    for entry in entries:
        if entry.state is State.UNKNOWN:
            entry = session.journal.move(entry, state=State.FORGOTTEN, problem=given_up("given up"))
        tell_outcome(session.output, Outcome(entry, None, 0.0))
    risk = sum((entry.price for entry in entries if entry.state is State.UNKNOWN and entry.price), Decimal(0))
    number = counted(len(entries), "submission")
    name = entries[0].id if len(entries) == 1 else "ENTRY"
    after_all = f"if a task turns up after all: flux settle {name} --adopt TASK_ID"
    session.output.note(f"{number} forgotten, {usd(risk)} less at risk; {after_all}")
    return ExitCode.OK


def _resubmit(session: Session, entries: Sequence[Entry], choice: Choice) -> ExitCode:
    """Send requests once more. Said again, after whatever interruption, it goes on with what it sent the first time."""
    session.key  # noqa: B018 - a missing key is told before anything is written
    named = {entry.id for entry in entries}
    latest = {last.id: last for last in (_latest(session, entry) for entry in entries)}
    prices: dict[str, Decimal] = {}
    for last in latest.values():
        if (last.id in named and last.state in OPEN) or (last.replaces and last.state is State.PLANNED):
            prices[last.id] = _price(session, last)
        elif last.id in named:
            raise _nothing_to_settle(last)
    total = sum(prices.values(), Decimal(0))
    if prices:
        number = counted(len(prices), "request")
        session.output.note(f"{number} once more for {usd(total)}; the first time may have been charged as well")
    confirm_price(session, total, choice.max_cost, yes=choice.yes)
    check_budgets(session, total)
    return finish(session, [_once_more(session, last, prices.get(last.id)) for last in latest.values()])


def _latest(session: Session, entry: Entry) -> Entry:
    """What a submission has become by being sent once more."""
    while entry.state is State.FORGOTTEN and (again := session.journal.replacement(entry)):
        entry = again
    return entry


def _price(session: Session, entry: Entry) -> Decimal:
    """What it costs to send an entry's request. Raises UsageError, DiskError when it cannot be sent or saved."""
    request = entry.request
    if request is None:
        raise UsageError(f"entry {entry.id} was written by a newer flux: what it asked for is not known here")
    encoded(session.body(request, {}))
    for path in entry.output.paths:
        probe_folder(path.parent)
    until = time.time() + MARGIN_SECONDS + SLACK_SECONDS
    place = {"service": session.upload_service, "profile": session.settings.profile}
    for image in pictures_sent(session, request):
        if session.journal.upload_of(image.removeprefix(LOCAL), **place, alive_until=until) is None:
            raise UsageError(
                f"the picture that went into entry {entry.id} is not at the service any more",
                hint=f"run its command again with the local file, and: flux settle {entry.id} --forget",
            )
    return session.price(request)


def _once_more(session: Session, entry: Entry, price: Decimal | None) -> Entry | Outcome:
    if price is None:  # sent once more before: what became of that is told
        return _to_wait_for(session, entry)
    if entry.state is State.PLANNED:
        claimed = session.journal.claim(entry)
        return session.journal.move(claimed, price=price) if claimed else Outcome(entry, busy(entry), 0.0)
    return session.journal.replan(entry, price=price)
