"""Outcomes in words and as JSON: what `--json`, reports and the lines of a run say of an entry."""

from ...engine.counting import Summary
from ...engine.outcome import Outcome
from ...journal.entries import CHARGED, Entry, State
from ...json_value import Json, JsonObject
from ...text import counted, seconds, usd
from .output import Mode, Output, error_json, shown
from .viewer import look


def tell_outcome(output: Output, outcome: Outcome, place: JsonObject | None = None) -> None:
    """Say how an entry ended, on both streams. `place`: where it stood in a batch."""
    entry = outcome.entry
    if output.mode is Mode.JSON:
        output.record("outcome", outcome_json(outcome) | (place or {}))
    elif entry.state is State.SAVED and not output.names_tasks:
        _tell_saved(output, entry)
    elif entry.state in (State.ACCEPTED, State.SAVED) and entry.task_id:
        output.result(entry.task_id)
    if outcome.error:
        output.error(outcome.error, entry.label)
    if output.listener:
        output.listener(outcome)
    if entry.state is State.SAVED:
        look(output, [file.path for file in entry.files])


def _tell_saved(output: Output, entry: Entry) -> None:
    if output.pipes_pictures:
        output.content(entry.files[0].path)
        return
    names = [shown(file.path) for file in entry.files]
    for name in names:
        output.path(name)
    if output.mode is Mode.TEXT:
        # A person sees the names on stdout already; a log of stderr alone needs them.
        what = counted(len(names), "picture") if output.to_terminal else ", ".join(names)
        output.note(f"saved {what}{facts(entry)}")


def tell_summary(output: Output, summary: Summary) -> None:
    """Say how a batch went."""
    told = ", ".join(f"{number} {name}" for name, number in summary.counts.items()) or "nothing to do"
    output.note(f"{told}; {usd(summary.spent)} spent in {seconds(summary.duration)}")
    if output.mode is Mode.JSON:
        output.record("summary", summary_json(summary))


def facts(entry: Entry) -> str:
    """What is worth knowing of a picture beside its name: ` (model, seed 7, $0.015, 12 s)`; empty when nothing is."""
    known = []
    if entry.request:
        known += [entry.request.model, f"seed {entry.request.seed}"]
    if entry.price is not None:
        known.append(usd(entry.price))
    if entry.ended and entry.accepted:
        known.append(seconds(max(0.0, entry.ended - entry.accepted)))
    return f" ({', '.join(known)})" if known else ""


def entry_json(entry: Entry) -> JsonObject:
    """An entry as `--json` shows it. Fields are only ever added."""
    request, price = entry.request, None if entry.price is None else str(entry.price)
    return {
        "state": str(entry.state),
        "entry": entry.id,
        "task_id": entry.task_id,
        "status": entry.status,
        "op": request.operation.name if request else None,
        "model": request.model if request else None,
        "prompt": request.operation.prompt if request else None,
        "seed": request.seed if request else None,
        "files": [str(file.path) for file in entry.files],
        "urls": list(entry.urls),
        "cost_usd": price if entry.state in CHARGED else None,
        "at_risk_usd": price if entry.state is State.UNKNOWN else None,
    }


def outcome_json(outcome: Outcome) -> JsonObject:
    """An outcome as `--json` shows it."""
    error: Json = error_json(outcome.error) if outcome.error else None
    return {**entry_json(outcome.entry), "seconds": round(outcome.seconds, 3), "error": error}


def summary_json(summary: Summary) -> JsonObject:
    """How a batch went, as `--json` shows it."""
    content: JsonObject = {name.replace(" ", "_"): number for name, number in summary.counts.items()}
    return {**content, "cost_usd": str(summary.spent), "seconds": round(summary.duration, 3)}
