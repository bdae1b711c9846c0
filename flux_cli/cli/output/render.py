"""Outcomes as text and as JSON, for the output of a run and for reports."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ...config.paths import display_path
from ...config.urls import is_local, workspace
from ...engine.outcome import Outcome
from ...errors import ConfigError, FluxError, JournalError, KeyRefusedError, UnknownChargeError
from ...journal.entries import CHARGED, LABEL, POSSIBLY_CHARGED, Entry, State
from ...json_value import JsonObject
from ...text import clean, format_seconds, usd
from .output import Mode, Output

if TYPE_CHECKING:
    from ...batch.results import Summary

LINK_TASK = "If its task appears in your workspace, link it with"
"""The next step for a dismissed entry, before the command."""


def show_outcome(output: Output, outcome: Outcome) -> None:
    """Print an outcome: the result on stdout, and an error on stderr."""
    show_result(output, outcome, earlier=True)
    show_failure(output, outcome)


def show_result(
    output: Output,
    outcome: Outcome,
    place: JsonObject | None = None,
    *,
    before: bool = False,
    earlier: bool = False,
) -> None:
    """Print an outcome on stdout.

    place: the fields of its position in a batch. before: whether its images were saved by an earlier run.
    earlier: whether the task was paid for by an earlier run.
    """
    if output.mode is Mode.JSON:
        entry = outcome.entry
        paid = str(entry.price or 0) if entry.state in CHARGED and not (before or earlier) else "0"
        output.print_json("outcome", outcome_json(output, outcome) | {"paid_now_usd": paid} | (place or {}))
    elif outcome.entry.state is State.SAVED:
        _show_saved(output, outcome.entry, before=before, earlier=earlier)


def show_failure(output: Output, outcome: Outcome, *, subject: str = "", brief: bool = False) -> None:
    """Print the error of an outcome on stderr, or show its images as `--preview` and `--open` request.

    subject: the task, if there are several. brief: the next step is printed later, for all of them.
    """
    entry, error = outcome.entry, outcome.error
    if error:
        named = (
            isinstance(error, JournalError | ConfigError)
            or entry.label == entry.task_id
            or f'"{clean(entry.label, LABEL)}"' in error.message
        )
        subject = "" if named else subject
        money, hint = describe_charge(entry), _hint(output, error, entry)
        output.print_entry_error(error, money, hint, about=entry.label, subject=subject, brief=brief)
    summarize(output, outcome)
    if entry.state is State.SAVED:
        output.show_images([file.path for file in entry.files])


def summarize(output: Output, outcome: Outcome) -> None:
    """Add an outcome to the step summary on GitHub Actions."""
    if output.summary:
        output.summary.add(outcome, _error_json(output, outcome))


def _show_saved(output: Output, entry: Entry, *, before: bool, earlier: bool) -> None:
    """Print the images of a saved entry: the paths on stdout, the facts on stderr."""
    names = [display_path(file.path) for file in entry.files]
    about = " (already saved, no charge)" if before else _facts(entry, earlier=earlier)
    if output.shows_all:  # one line per image, with the facts after the last
        for name in names:
            output.print_row(f"{name}{about if name is names[-1] else ''}", 2)
        return
    for name in names:
        output.print_path(name)
    if output.mode is Mode.TEXT:
        what = ", ".join(names)
        output.note(f"already saved: {what} (no charge)" if before else f"saved {what}{about}")


def show_summary(output: Output, summary: "Summary", lead: str = "") -> None:
    """Show how a command of several tasks went. lead: the beginning of the line."""
    names = {"unknown": "with an unknown outcome", "not saved": "finished but not saved"}
    counts = ", ".join(f"{number} {names.get(name, name)}" for name, number in summary.counts.items())
    money = f"{format_sum(summary.spent, summary.simulated)} spent"
    if summary.possibly:
        money += f", up to {format_sum(summary.possibly, summary.simulated)} possibly charged"
    output.note(f"{lead}{counts or 'nothing to do'}; {money} ({format_seconds(summary.duration)})")
    if output.mode is Mode.JSON:
        output.print_json("summary", summary_json(summary))


def _facts(entry: Entry, *, earlier: bool) -> str:
    """Return the facts about an image besides its name: ` (model, seed 7, $0.015, 12 s)`; empty if there are none."""
    known = []
    if entry.request:
        known += [entry.request.model.rpartition("/")[2], f"seed {entry.request.seed}"]
    if earlier or (entry.request and entry.price is None):
        known.append("no new charge")
    elif entry.price is not None:
        known.append(amount(entry) if entry.price else "reused, no charge")
    if entry.price != 0 and entry.ended and entry.accepted:
        known.append(format_seconds(max(0.0, entry.ended - entry.accepted)))
    return f" ({', '.join(known)})" if known else ""


def amount(entry: Entry) -> str:
    """Return the cost of an entry: `$0.015`, `$0.015 simulated` in the sandbox, `no charge` for a reused task."""
    price = entry.price or Decimal(0)
    return "no charge" if price == 0 else usd(price) + (" simulated" if is_local(entry.service) else "")


def entry_json(entry: Entry) -> JsonObject:
    """Return an entry for `--json`. Fields may be added, but never removed."""
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
        "possibly_charged_usd": price if entry.state in POSSIBLY_CHARGED else None,
    }


def outcome_json(output: Output, outcome: Outcome) -> JsonObject:
    """Return an outcome for `--json` and reports."""
    error = _error_json(output, outcome)
    return {**entry_json(outcome.entry), "seconds": round(outcome.seconds, 3), "error": error}


def _error_json(output: Output, outcome: Outcome) -> JsonObject | None:
    entry, error = outcome.entry, outcome.error
    if error is None:
        return None
    return output.error_json(error, describe_charge(entry), _hint(output, error, entry), next_command(error, entry))


def _hint(output: Output, error: FluxError, entry: Entry) -> str:
    """Return the next step after the error of an entry; a paid one is words only, because scripts run commands."""
    words = next_command(error, entry)
    if error.code == "no_such_task" and not error.hint:
        return output.join_hint("List your tasks", words)
    if entry.state is State.UNKNOWN and entry.seen_id and not error.hint:
        return output.join_hint("A task ID arrived. To check it, and save its image", words)
    if not words and not error.hint:
        if entry.request and entry.state in (State.FAILED, State.EXPIRED):
            return output.join_hint("To generate it again, and pay again", ("rerun", entry.id))
        if entry.state is State.DISMISSED:
            return output.join_hint(LINK_TASK, ("resolve", entry.id, "--task", "TASK_ID"))
    return output.hint_for(error, words)


def summary_json(summary: "Summary") -> JsonObject:
    """Return the summary of a command with several tasks for `--json`."""
    content: JsonObject = {name.replace(" ", "_"): number for name, number in summary.counts.items()}
    money: JsonObject = {"cost_usd": str(summary.spent), "possibly_charged_usd": str(summary.possibly)}
    return {**content, **money, "seconds": round(summary.duration, 3)}


NOT_CHARGED = (State.PLANNED, State.REJECTED)


def describe_charge(entry: Entry) -> str:
    """Return whether an entry was charged, as a sentence; empty for a task that was not submitted here."""
    price = f" ({amount(entry)})" if entry.price else ""
    if entry.state in NOT_CHARGED:
        return "Not charged."
    if entry.submitted is None:
        return ""
    if entry.state in CHARGED:
        return f"Charged{price}." if price or entry.price is None else "Not charged again."
    if entry.state is State.FAILED:
        return f"It may have been charged{price}; see {workspace(entry.service)}."
    end = "" if entry.state is State.DISMISSED else "; flux does not resend it"
    return f"It may have been charged{price}{end}."


def describe_charges(sent: Sequence[Entry]) -> str:
    """Return the cost of a command's submissions, as a sentence."""
    if not sent:
        return "Nothing was sent."
    charged = _total(entry for entry in sent if entry.state in CHARGED)
    possibly = _total(entry for entry in sent if entry.state in POSSIBLY_CHARGED)
    simulated = is_local(sent[0].service)
    parts = [f"Charged: {format_sum(charged, simulated)}."] if charged else []
    parts += [f"Possibly charged: up to {format_sum(possibly, simulated)}."] if possibly else []
    return " ".join(parts) or "Not charged."


def format_sum(amount: Decimal, simulated: bool) -> str:
    """Return an amount in USD, marked if it is simulated: `$0.03 (simulated)`."""
    return usd(amount) + (" (simulated)" if simulated and amount else "")


def _total(entries: Iterable[Entry]) -> Decimal:
    return sum((entry.price or Decimal(0) for entry in entries), Decimal(0))


def next_command(error: FluxError, entry: Entry | None) -> tuple[str, ...]:
    """Return the next command after an error: its own, or the one for the state of its entry."""
    if error.command:
        return error.command
    if isinstance(error, KeyRefusedError):
        return ("login",)
    if entry is None or error.details:  # the details contain the commands
        return ()
    if error.code == "no_such_task":
        return ("history",)
    if entry.state is State.SENDING and error.code == "busy":  # the response may still arrive
        return ("wait", entry.id)
    if isinstance(error, UnknownChargeError) or entry.state in (State.UNKNOWN, State.SENDING):
        return ("resume",) if entry.seen_id else ("resolve", entry.id)
    if entry.state in (State.ACCEPTED, State.READY) and entry.task_id and error.code != "busy":
        return ("wait", entry.task_id) if entry.state is State.ACCEPTED else ("resume",)
    return ()
