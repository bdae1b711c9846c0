"""What an earlier run of the same command left of a task."""

from dataclasses import replace
from enum import Enum, auto

from ...engine.outcome import Outcome
from ...errors import CreditsError, KeyRefusedError
from ...journal.entries import UNFINISHED, Entry, State
from ...journal.entry_errors import busy, past_error
from ...operations.request import TaskRequest
from ..context import Session
from ..options.options import ManyOptions


class Left(Enum):
    """What is to be done about a task now."""

    BUY = auto()
    """Nothing is known of it, or it is to be bought again."""
    SEND = auto()
    """It was planned and never sent."""
    FETCH = auto()
    """It is paid for, and its pictures are not here."""
    TELL = auto()
    """It has ended, well or not."""


def left_of(known: Entry | None, many: ManyOptions) -> Left:
    """What is left to do about a task of which the journal knows this."""
    if known is None or many.new:
        return Left.BUY
    if known.state is State.PLANNED:
        return Left.SEND
    if known.state in UNFINISHED:
        return Left.FETCH
    if known.state in (State.SAVED, State.UNKNOWN, State.SENDING):
        return Left.TELL
    for_now = known.problem is not None and known.problem.code in (CreditsError.code, KeyRefusedError.code)
    return Left.BUY if for_now or many.retry_failed else Left.TELL


def take_up(session: Session, known: Entry, request: TaskRequest, *, overwrite: bool) -> Entry | Outcome:
    """The entry of a task that is not to be bought anew, for the engine; or how it ended.

    request: as it is asked for now; its seed is the planned one's, which the name of the picture may tell.
    overwrite: what stands in the place of a picture that is fetched again is somebody else's, and kept unless asked.
    """
    journal = session.journal
    if known.state is State.PLANNED:
        claimed = journal.claim(known)
        if claimed is not None and claimed.request is not None:
            asked = replace(request, seed=claimed.request.seed)
            claimed = journal.move(claimed, request=asked, price=session.price(asked))
        return claimed or Outcome(known, busy(known), 0.0)
    if known.state in UNFINISHED:
        return journal.claim(known) or Outcome(known, busy(known), 0.0)
    if known.state is not State.SAVED:
        return Outcome(known, past_error(known), 0.0)
    if all(file.is_whole() for file in known.files):
        return Outcome(known, None, 0.0)
    return journal.adopt(
        known.task_id or "",
        replace(known.output, overwrite=overwrite),
        service=session.service,
        profile=session.settings.profile,
        request=known.request,
        row=known.row,
    )
