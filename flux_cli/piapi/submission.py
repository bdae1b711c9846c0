"""What became of a paid submission: the one decision whether a POST may be sent again.

The service has no idempotency key, so a POST is repeated only on proof that it was not carried out. Everything
else, once sending has begun, is unknown, and an unknown is never sent again by itself. The rules stand in
docs/promises.md, in this order.
"""

from enum import Enum

from ..frozen import frozen
from .task import is_task_id


class Fate(Enum):
    """What the evidence proves."""

    ACCEPTED = "accepted"
    NOT_SENT = "not sent"
    UNTRUSTED = "certificate not trusted"
    LATER = "refused for now"
    BUSY = "unavailable for now"
    NOT_APPLIED = "not carried out"
    NO_KEY = "key refused"
    NO_CREDITS = "out of credits"
    REFUSED = "refused"
    UNKNOWN = "unknown"


RETRIES: dict[Fate, int | None] = {Fate.NOT_SENT: 3, Fate.LATER: None, Fate.BUSY: 2, Fate.NOT_APPLIED: 2}
"""How often a POST with this fate is repeated; None: until the deadline; a fate that is not here: never."""


@frozen
class Evidence:
    """What is known after a POST.

    sent: whether a byte of the request may have left.
    untrusted: the server's certificate was not accepted.
    status: the response's HTTP status; None when no response head came.
    complete: the body came to its end.
    well_formed, code, message, task_id: of the body, as `replies.read_reply` reads it.
    seen_id: an id in a body that as such tells of no task: it may have been cut behind it.
    """

    sent: bool
    untrusted: bool = False
    status: int | None = None
    complete: bool = False
    well_formed: bool = False
    code: int | None = None
    message: str = ""
    task_id: str | None = None
    seen_id: str | None = None


BUSY_TEXT = "too many requests"
CREDITS_TEXTS = ("freeze point", "insufficient credit", "insufficient balance")
REFUSAL_CODES = frozenset({1100, 1200, 1300, 1600, 1700, 1800})
NOT_APPLIED_STATUSES = frozenset({408, 421, 425, 521, 523, 525, 526, 530})
REFUSED_REDIRECTS = frozenset({301, 307, 308})


def fate_of(evidence: Evidence) -> Fate:
    """The fate of a submission. Total: every evidence has one, and doubt is UNKNOWN."""
    if evidence.task_id is not None and is_task_id(evidence.task_id):
        return Fate.ACCEPTED
    if evidence.seen_id is not None:  # whatever else the answer says: there may be a task
        return Fate.UNKNOWN
    if evidence.status is None:
        return Fate.UNKNOWN if evidence.sent else Fate.UNTRUSTED if evidence.untrusted else Fate.NOT_SENT
    return _fate_of_response(evidence, evidence.status)


def _fate_of_response(evidence: Evidence, status: int) -> Fate:
    text = evidence.message.casefold()
    # A code or a text counts only in a reply that came whole and is the API's own JSON.
    code = evidence.code if evidence.well_formed and evidence.complete else None
    spoken = text if evidence.complete and (evidence.well_formed or 400 <= status < 500) else ""
    if status == 429 or code in (429, 1400) or BUSY_TEXT in spoken:
        return Fate.LATER
    if code == 1500:
        return Fate.BUSY
    if status in NOT_APPLIED_STATUSES:
        return Fate.NOT_APPLIED
    refusals = {code, status} if evidence.complete else {code}
    if refusals & {402, 1300} or any(words in spoken for words in CREDITS_TEXTS):
        return Fate.NO_CREDITS
    if refusals & {401, 403, 1200}:
        return Fate.NO_KEY
    complete_4xx = any(number is not None and 400 <= number < 500 for number in refusals)
    if code in REFUSAL_CODES or complete_4xx or status in REFUSED_REDIRECTS:
        return Fate.REFUSED
    return Fate.UNKNOWN
