"""The sentence about charges in a message, derived from the journal's entries."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from ...errors import FluxError, KeyRefusedError, UnknownChargeError
from ...journal.entries import CHARGED, Entry, State
from ...text import usd

NOT_CHARGED = (State.PLANNED, State.REJECTED)


def describe_charge(entry: Entry) -> str:
    """Return whether an entry was charged, as a sentence; empty for a task that was not submitted here."""
    price = f" ({usd(entry.price)})" if entry.price else ""
    if entry.state in NOT_CHARGED:
        return "Not charged."
    if entry.submitted is None:
        return ""
    if entry.state in CHARGED:
        return f"Charged{price}." if price or entry.price is None else "Not charged again."
    if entry.state is State.FAILED:
        return f"It may have been charged{price}; see the PiAPI workspace."
    return f"It may have been charged{price}; flux does not resend it."


def describe_charges(sent: Sequence[Entry]) -> str:
    """Return the cost of a command's submissions, as a sentence."""
    if not sent:
        return "Nothing was sent."
    charged = _total(entry for entry in sent if entry.state in CHARGED)
    possible = _total(entry for entry in sent if entry.state not in (*CHARGED, *NOT_CHARGED))
    parts = [f"Charged: {usd(charged)}."] if charged else []
    parts += [f"Possibly charged: up to {usd(possible)}."] if possible else []
    return " ".join(parts) or "Not charged."


def _total(entries: Iterable[Entry]) -> Decimal:
    return sum((entry.price or Decimal(0) for entry in entries), Decimal(0))


def next_command(error: FluxError, entry: Entry | None) -> tuple[str, ...]:
    """Return the next command after an error: its own, or the one for the state of its entry."""
    if error.command or entry is None:
        return error.command or (("login",) if isinstance(error, KeyRefusedError) else ())
    if isinstance(error, KeyRefusedError):
        return ("login",)
    if isinstance(error, UnknownChargeError) or entry.state in (State.UNKNOWN, State.SENDING):
        return ("resume",) if entry.seen_id else ("resolve", entry.id)
    if entry.state in (State.ACCEPTED, State.READY) and entry.task_id and error.code != "busy":
        return ("wait", entry.task_id) if entry.state is State.ACCEPTED else ("resume",)
    return ()
