"""`flux history`: the entries of the journal, newest first."""

import time
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from ...config.paths import display_path
from ...config.urls import is_local, workspace
from ...errors import ExitCode, UsageError
from ...journal.entries import CHARGED, Entry, State
from ...journal.expiry import describe_expiring
from ...json_value import JsonObject
from ...operations.parameters import Option
from ...text import clean, counted, quoted, suggestion, usd
from ..output.output import Items, Mode, Note, Record
from ..output.render import NOT_CHARGED, entry_json, format_sum
from ..registry import help_page
from ..session import Session

LONGEST_LABEL = 41
"""Characters of a prompt in the table. A task ID, shown for an unknown prompt, fits."""
StateOption = Annotated[
    str | None,
    Option(
        "--state",
        metavar="STATE",
        short="Only tasks in this state, for example unknown.",
        help="Only tasks in this state: planned, sending, accepted, ready, saved, rejected, unknown, dismissed, "
        "failed or expired.",
    ),
]
MEANT = {"running": "accepted", "refused": "rejected", "done": "saved", "completed": "saved"}
"""Words that users type for a state, because summaries or PiAPI use them."""
DEFAULT_LIMIT = 20
LimitOption = Annotated[int, Option("--limit", metavar="N", min=1, help="Maximum number of tasks.")]


@help_page(
    ("List the newest tasks", "flux history"),
    ("List tasks whose outcome is unknown", "flux history --state unknown"),
    ("Print the files of the last 100 tasks", "flux history --limit 100 --json | jq -r '.files[]'"),
)
def history(session: Session, state: StateOption = None, limit: LimitOption = DEFAULT_LIMIT) -> Items:
    """List past tasks with their state and cost, newest first."""
    if state is not None and state not in [known.value for known in State]:
        hint = f"Did you mean {MEANT[state]}?" if state in MEANT else suggestion(state, State)
        raise UsageError(f"unknown state {quoted(state, 40)}", hint=hint)
    session.journal.mark_dead_unknown()
    states = (State(state),) if state else ()
    profile = session.settings.profile
    entries = session.journal.newest(*states, profile=profile, limit=limit + 1)
    more, entries = len(entries) > limit, entries[:limit]
    width = max(map(len, ["PROMPT", *map(_label, entries)]))
    if entries and session.output.mode is Mode.TEXT:
        columns = f"{'ID':<8}  {'SUBMITTED':<16}  {'STATE':<9}  {'COST':>8}  {'PROMPT':<{width}}  FILES"
        yield Note(columns)
    for entry in entries:
        yield Record("entry", _history_json(entry), _history_line(entry, width), quiet=entry.id, indent=10)
    if more and limit == DEFAULT_LIMIT and session.output.mode is Mode.TEXT:
        yield Note(f"Only the newest {limit} tasks are listed. For more, add --limit N")
    costs = [_cost(entry) for entry in entries] if session.output.mode is Mode.TEXT else []
    if any(cost.startswith("~") for cost in costs):
        places = {workspace(entry.service) for entry, cost in zip(entries, costs, strict=True) if cost.startswith("~")}
        yield Note(f"~ possibly charged; see {' and '.join(sorted(places))}")
    if any(cost.endswith("*") for cost in costs):
        yield Note("* simulated by the sandbox, never charged")
    if not entries:
        yield Note(f"No tasks in state {state}." if state else "No tasks in the history.")
        if not session.sandbox:
            yield Note("List the tasks of the sandbox", ("history", "--sandbox"))
    if unknown := session.journal.entries(State.UNKNOWN):
        risk = sum((entry.price for entry in unknown if entry.price is not None), Decimal(0))
        number = counted(len(unknown), "task")
        charged = (
            f"up to {format_sum(risk, is_local(session.service))} possibly charged" if risk else "possibly charged"
        )
        yield Note(f"{number} with an unknown outcome, {charged}. To resolve", ("resolve",))
    if going := describe_expiring(session.journal, time.time()):
        yield Note(f"{going}. Download the images (no charge)", ("resume", "--expiring"))
    return ExitCode.OK


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


def _history_line(entry: Entry, width: int) -> str:
    """Return a row of the table. width: of the prompt column, in characters."""
    when = datetime.fromtimestamp(entry.created).strftime("%Y-%m-%d %H:%M")
    files = ", ".join(display_path(file.path) for file in entry.files) or "-"
    return f"{entry.id}  {when}  {entry.state:<9}  {_cost(entry):>8}  {_label(entry):<{width}}  {files}"


def _label(entry: Entry) -> str:
    return clean(entry.label, LONGEST_LABEL)


def _cost(entry: Entry) -> str:
    """Return the cost of an entry: `-` if it was not charged, `~$0.015` if possibly charged, `$0.015*` if simulated."""
    if entry.price is None or entry.state in NOT_CHARGED or entry.submitted is None:
        return "-"
    cost = usd(entry.price) if entry.state in CHARGED else f"~{usd(entry.price)}"
    return f"{cost}*" if _is_simulated(entry) else cost


def _is_simulated(entry: Entry) -> bool:
    return is_local(entry.service) and bool(entry.price)
