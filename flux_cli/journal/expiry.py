"""Paid images that are not on disk. PiAPI deletes them seven days after their task ended."""

from .entries import RESULT_SECONDS, UNFINISHED, Entry, State
from .journal import Journal

SOON = 86400.0


def expires_soon(entry: Entry, now: float) -> bool:
    """Return whether PiAPI may delete a result within a day."""
    return entry.expires is not None and entry.expires - now < SOON


def describe_expiring(journal: Journal, now: float) -> str | None:
    """Return a sentence about results that are not saved and may be deleted within a day, or None."""
    soon = sorted(entry.expires or now for entry in journal.entries(*UNFINISHED) if expires_soon(entry, now))
    if not soon:
        return None
    hours = (soon[0] - now) / 3600
    when = "now" if hours < 0 else "within the hour" if hours < 1 else f"in {hours:.0f} h"
    results = "result is" if len(soon) == 1 else "results are"
    return f"{len(soon)} paid {results} not saved and may be deleted within a day, the first {when}"


def find_missing_images(journal: Journal, now: float) -> list[Entry]:
    """Return entries whose saved images no longer exist, while PiAPI still has them."""
    recent = journal.entries(State.SAVED, ended_since=now - RESULT_SECONDS)
    present = {entry.task_id for entry in recent if entry.has_files}  # also by another entry
    missing = {entry.task_id: entry for entry in recent if entry.task_id not in present}
    return list(missing.values())
