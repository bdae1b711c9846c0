"""The outcome of a paid submission, which alone decides whether a POST may be sent again.

PiAPI has no idempotency key, so a POST is repeated only on proof that it was not applied. Once sending has begun, any
other outcome is unknown, and the POST is never repeated automatically. docs/explanation/guarantees.md lists the rules
in this order.
"""

import re
from enum import Enum

from ..frozen import frozen
from .http_client import Response
from .http_errors import is_untrusted, plain_words, retry_after
from .responses import ParsedResponse, find_task_id, parse_response, summarize_body
from .task import Task, is_task_id


class SubmissionOutcome(Enum):
    """The outcome of a POST, as far as the evidence proves it."""

    ACCEPTED = "accepted"
    NOT_SENT = "not sent"
    UNTRUSTED = "certificate not trusted"
    RATE_LIMITED = "refused for now"
    UNAVAILABLE = "unavailable for now"
    NOT_APPLIED = "not applied"
    KEY_REFUSED = "key refused"
    OUT_OF_CREDITS = "out of credits"
    PLAN_TOO_LOW = "plan too low"
    REFUSED = "refused"
    UNKNOWN = "unknown"


RETRIES: dict[SubmissionOutcome, int | None] = {
    SubmissionOutcome.NOT_SENT: 3,
    SubmissionOutcome.RATE_LIMITED: None,
    SubmissionOutcome.UNAVAILABLE: 2,
    SubmissionOutcome.NOT_APPLIED: 2,
}
"""How often a POST is repeated, by outcome. None: until the deadline. Outcomes that are not listed: never."""


@frozen
class Evidence:
    """The facts about a POST after it ended.

    sent: whether a byte of the request may have been sent.
    written: whether the whole request may have been sent.
    untrusted: whether the server's certificate was rejected.
    status: the HTTP status of the response; None if no response head arrived.
    complete: whether the whole body arrived.
    well_formed, code, message, task_id: of the body (see `responses.ParsedResponse`).
    seen_id: a task ID in a body that cannot be parsed, for example because it was truncated after the ID.
    """

    sent: bool
    written: bool = True
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
PLAN = re.compile(r"\bplans?\b", re.IGNORECASE)
REFUSAL_CODES = frozenset({1100, 1200, 1300, 1600, 1700, 1800})
NOT_APPLIED_STATUSES = frozenset({421, 425, 521, 523, 525, 526, 530})
REQUEST_TIMEOUT = 408
"""Servers return 408 if the request did not arrive in time. Some gateways also return it for a slow backend."""
REFUSED_REDIRECTS = frozenset({301, 307, 308})


def classify_submission(evidence: Evidence) -> SubmissionOutcome:
    """Return the outcome that the evidence proves; UNKNOWN if it is unclear. This function never raises."""
    if evidence.task_id is not None and is_task_id(evidence.task_id):
        return SubmissionOutcome.ACCEPTED
    if evidence.seen_id is not None:  # a task may exist, so no refusal is believed
        return SubmissionOutcome.UNKNOWN
    if evidence.status is not None:
        return _classify_response(evidence, evidence.status)
    if evidence.sent:
        return SubmissionOutcome.UNKNOWN
    return SubmissionOutcome.UNTRUSTED if evidence.untrusted else SubmissionOutcome.NOT_SENT


def _classify_response(evidence: Evidence, status: int) -> SubmissionOutcome:
    # A code counts only in a complete JSON response, which is PiAPI's own and not a gateway's.
    code = evidence.code if evidence.well_formed and evidence.complete else None
    message = evidence.message.casefold()
    text = message if evidence.complete and (evidence.well_formed or 400 <= status < 500) else ""
    if status == 429 or code in (429, 1400) or BUSY_TEXT in text:
        return SubmissionOutcome.RATE_LIMITED
    if code == 1500:
        return SubmissionOutcome.UNAVAILABLE
    if status in NOT_APPLIED_STATUSES or (status == REQUEST_TIMEOUT and not evidence.written):
        return SubmissionOutcome.NOT_APPLIED
    refusals = {code, status} if evidence.complete else {code}
    if refusals & {401, 1200}:
        return SubmissionOutcome.KEY_REFUSED
    if refusals & {402, 1300} or any(words in text for words in CREDITS_TEXTS):
        return SubmissionOutcome.OUT_OF_CREDITS
    if 403 in refusals and PLAN.search(text):
        return SubmissionOutcome.PLAN_TOO_LOW
    client_error = any(number is not None and 400 <= number < 500 for number in refusals - {REQUEST_TIMEOUT})
    if code in REFUSAL_CODES or client_error or status in REFUSED_REDIRECTS:
        return SubmissionOutcome.REFUSED
    return SubmissionOutcome.UNKNOWN


@frozen
class SubmissionResult:
    """The outcome of a POST.

    message: PiAPI's error text or a description of the failure, for the user.
    retry_after: the wait that the server requests, in seconds, 0 to 300.
    evidence: a description of the response or the error, for the journal.
    seen_id: a task ID in a response that cannot be parsed.
    """

    outcome: SubmissionOutcome
    task: Task | None
    message: str
    retry_after: float | None = None
    evidence: str = ""
    seen_id: str | None = None


def result_of_response(response: Response, *, written: bool) -> SubmissionResult:
    """Return the outcome that a response proves. written: whether the whole request may have been sent."""
    parsed = parse_response(response.text)
    seen_id = None if parsed.task else find_task_id(response.text)
    outcome = classify_submission(
        Evidence(
            sent=True,
            written=written,
            status=response.status,
            complete=response.complete,
            well_formed=parsed.well_formed,
            code=parsed.code,
            message=parsed.message,
            task_id=parsed.task.id if parsed.task else None,
            seen_id=seen_id,
        )
    )
    head = f"HTTP {response.status}{'' if response.complete else f', {response.fault}'}"
    evidence = f"{head}; body: {summarize_body(response.text) or 'none'}"
    message = _explain(outcome, response, parsed)
    return SubmissionResult(outcome, parsed.task, message, retry_after(response.headers), evidence, seen_id)


def _explain(outcome: SubmissionOutcome, response: Response, parsed: ParsedResponse) -> str:
    status = response.status
    if not response.complete:
        return f"PiAPI's response is unusable (HTTP {status}, {response.fault})"
    if outcome is not SubmissionOutcome.UNKNOWN:
        return parsed.error_words(status)
    if parsed.well_formed and 200 <= status < 300:
        return f"PiAPI returned no task ID (HTTP {status}{f': {parsed.message}' if parsed.message else ''})"
    return f"PiAPI returned {parsed.words(status)}"


def result_of_error(error: Exception, *, sent: bool, seen_id: str | None) -> SubmissionResult:
    """Return the outcome of a POST that ended with an error.

    sent: whether sending had begun. seen_id: a task ID in the received part of the response.
    """
    outcome = classify_submission(Evidence(sent=sent, untrusted=is_untrusted(error), seen_id=seen_id))
    words = plain_words(error)
    return SubmissionResult(outcome, None, words, evidence=f"{words} ({type(error).__name__})", seen_id=seen_id)
