"""`flux history`: the entries of the journal, newest first."""

import time
from datetime import datetime
from typing import Annotated

from ...errors import ExitCode, UsageError
from ...journal.entries import CHARGED, Entry, State
from ...json_value import JsonObject
from ...operations.parameters import Option
from ...text import clean, counted, suggestion, usd
from ..context import Session
from ..expiry import expiring
from ..output.money import NOT_CHARGED
from ..output.output import Mode, shown
from ..output.render import entry_json

StateOption = Annotated[
    str | None,
    Option("--state", metavar="STATE", help="Only entries in this state: saved, accepted, unknown, ..."),
]
LimitOption = Annotated[int, Option("--limit", metavar="N", min=1, help="Maximum number of entries.")]


def history(session: Session, state: StateOption = None, limit: LimitOption = 20) -> ExitCode:
    """List past tasks with their status and cost, newest first."""
    if state is not None and state not in [known.value for known in State]:
        raise UsageError(f"unknown state {clean(state, 40)!r}", hint=suggestion(state, State))
    session.journal.mark_dead_unknown()
    states = (State(state),) if state else ()
    profile = session.settings.profile
    entries = session.journal.newest(*states, profile=profile, limit=limit)
    if entries and session.output.mode is Mode.TEXT:
        session.output.note(f"{'ENTRY':<8}  {'SUBMITTED':<16}  {'STATE':<9}  {'COST':>8}  PROMPT  IMAGES")
    for entry in entries:
        if session.output.mode is Mode.JSON:
            session.output.record("entry", _history_json(entry))
        elif session.output.mode is Mode.QUIET:
            session.output.result(entry.id)
        else:
            session.output.row(_history_line(entry), 10)
    if not entries:
        session.output.note("no entries")
    _warn_of_unknowns(session)
    if going := expiring(session, time.time()):
        session.output.note(f"{going}; download the images, at no cost, with", ("resume", "--expiring"))
    return ExitCode.OK


def _warn_of_unknowns(session: Session) -> None:
    unknown = session.journal.newest(State.UNKNOWN, profile=session.settings.profile)
    if unknown:
        risk = sum(entry.price for entry in unknown if entry.price is not None)
        number = counted(len(unknown), "submission")
        charged = f"up to {usd(risk)} possibly charged" if risk else "possibly charged"
        session.output.note(f"{number} with an unknown outcome, {charged}; resolve with", ("resolve", unknown[-1].id))


def _history_json(entry: Entry) -> JsonObject:
    problem: JsonObject | None = None
    if entry.problem:
        code, message = entry.problem.code, entry.problem.message
        problem = {"code": code, "message": message, "exit_code": entry.problem.exit_code}
    created = datetime.fromtimestamp(entry.created).astimezone().isoformat(timespec="seconds")
    stored: JsonObject = {
        name: getattr(entry, name) for name in ("service", "profile", "evidence", "seen_id", "replaces")
    }
    return {**entry_json(entry), "created_at": created, **stored, "error": problem}


def _history_line(entry: Entry) -> str:
    when = datetime.fromtimestamp(entry.created).strftime("%Y-%m-%d %H:%M")
    cost = _cost(entry)
    what = ", ".join(shown(file.path) for file in entry.files) or (entry.task_id if entry.request else "") or ""
    label = clean(entry.label, 50)
    return f"{entry.id}  {when}  {entry.state:<9}  {cost:>8}  {label}" + (f"  {what}" if what else "")


def _cost(entry: Entry) -> str:
    """Return what an entry cost: `-` if nothing was charged, `~$0.015` if that is unknown."""
    if entry.price is None or entry.state in (*NOT_CHARGED, State.DISMISSED) or entry.submitted is None:
        return "-"
    return usd(entry.price) if entry.state in CHARGED else f"~{usd(entry.price)}"
