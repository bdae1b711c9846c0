"""The only decision whether a paid POST can be sent again (docs/explanation/guarantees.md: When a POST may be sent again)."""

import re
from dataclasses import replace

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from flux_cli.piapi.submission import RETRIES, Evidence, classify_submission
from flux_cli.piapi.submission import SubmissionOutcome as Outcome

NO_RESPONSE = Evidence(sent=True)


def reply(status: int, code: int | None = None, message: str = "", task_id: str | None = None) -> Evidence:
    """Return a complete reply in the JSON of the API."""
    return Evidence(True, status=status, complete=True, well_formed=True, code=code, message=message, task_id=task_id)


def bare(status: int, message: str = "", *, complete: bool = True) -> Evidence:
    """Return a reply that is not the API's JSON: empty, text, or a page of a proxy."""
    return Evidence(True, status=status, complete=complete, message=message)


TASK = "1631d053-2352-4add-95cc-360fc52d5f89"
NOT_APPLIED = (421, 425, 521, 523, 525, 526, 530)
PROXY_ERRORS = (500, 502, 503, 504, 520, 522, 524)
INVALID_IDS = ("", "a b", "../x", "x" * 129, "é", "x\n")

ROWS: dict[str, tuple[Outcome, list[Evidence]]] = {
    "a well-formed task ID, whatever the status": (Outcome.ACCEPTED, [
        *[reply(status, code, "too many requests", TASK) for status in (200, 302, 429, 504) for code in (None, 1400)],
        replace(NO_RESPONSE, task_id=TASK), Evidence(True, status=200, task_id=TASK), reply(408, None, "timeout", TASK),
    ]),
    "a task ID in a reply without a task, whatever else it contains": (Outcome.UNKNOWN, [
        *[replace(bare(status, complete=False), seen_id=TASK) for status in (200, 400, 402, 429, 500, 521)],
        replace(reply(429, 1400, "too many requests"), seen_id=TASK), replace(NO_RESPONSE, seen_id=TASK),
    ]),
    "nothing was sent": (Outcome.NOT_SENT, [Evidence(sent=False)]),
    "nothing was sent: the certificate": (Outcome.UNTRUSTED, [Evidence(sent=False, untrusted=True)]),
    "HTTP 429, with any body or none": (Outcome.RATE_LIMITED, [
        bare(429), bare(429, complete=False), bare(429, "<html>"), reply(429, 1300, "failed to freeze point"),
    ]),
    "code 1400 or its text, without a task ID": (Outcome.RATE_LIMITED, [
        reply(200, 1400), reply(400, 1400), reply(500, 1400), reply(400, 10000, "Too Many Requests: slow down"),
        reply(200, 10000, "too many requests"), reply(500, message="TOO MANY REQUESTS"), bare(403, "too many requests"),
    ]),
    "code 1500 in a well-formed reply": (Outcome.UNAVAILABLE, [reply(status, 1500) for status in (200, 400, 500, 503)]),
    "HTTP 408 before the whole request was written": (Outcome.NOT_APPLIED, [
        replace(item, written=False)
        for item in (bare(408), bare(408, complete=False), reply(408), reply(408, 408, "timeout"), reply(408, 10000))
    ]),
    "HTTP 408 after that: gateways send it too if the server behind them was slow": (Outcome.UNKNOWN, [
        bare(408), bare(408, "Request Timeout"), bare(408, complete=False), reply(408), reply(408, 408, "timeout"),
        reply(200, 408, "timeout"), reply(408, 10000),
    ]),
    "HTTP 408 with the API's own refusal": (Outcome.REFUSED, [reply(408, 1700)]),
    "statuses of requests that were not applied": (Outcome.NOT_APPLIED, [
        *[bare(status) for status in NOT_APPLIED], *[reply(status, 1700) for status in NOT_APPLIED],
        *[bare(status, complete=False) for status in NOT_APPLIED],
    ]),
    "out of credits": (Outcome.OUT_OF_CREDITS, [
        bare(402), reply(402), reply(200, 1300), reply(400, 1300), reply(500, 10000, "failed to freeze point"),
    ]),
    "key refused": (Outcome.KEY_REFUSED, [
        bare(401), bare(401, "<html>"), reply(401), reply(400, 1200), reply(200, 401), reply(401, 1300),
    ]),
    "HTTP 403 or code 403 with the word plan": (Outcome.PLAN_TOO_LOW, [
        reply(403, 403, "Insufficient plan level"), reply(403, message="Your PLAN: free"), reply(200, 403, "no plan"),
        bare(403, "upgrade your plan"), reply(403, 403, "not in your plans"),
    ]),
    "HTTP 403 without it": (Outcome.REFUSED, [
        bare(403), bare(403, "<html>"), reply(403, 403, "no"), reply(403, message="see the explanation"),
        reply(403, message="planned maintenance"),
    ]),
    "the word plan elsewhere": (Outcome.REFUSED, [reply(400, 1700, "Insufficient plan level"), bare(404, "no plan")]),
    "the specification's other refusals": (Outcome.REFUSED, [
        reply(status, code) for status in (200, 400, 500) for code in (1100, 1600, 1700, 1800)
    ]),
    "any other whole 4xx, and an envelope that says 4xx": (Outcome.REFUSED, [
        *[bare(status) for status in (400, 404, 405, 409, 413, 418, 422, 451, 499)],
        reply(400, 10000), reply(200, 400), reply(200, 404),
    ]),
    "redirects that keep the method": (Outcome.REFUSED, [bare(status) for status in (301, 307, 308)]),
    "no response": (Outcome.UNKNOWN, [NO_RESPONSE, replace(NO_RESPONSE, untrusted=True)]),
    "missing, unreadable or odd 2xx": (Outcome.UNKNOWN, [
        bare(200), bare(204), bare(200, complete=False), bare(200, "too many requests"), reply(201),
        reply(200, 200, "success"), *[reply(200, 200, "success", no_id) for no_id in INVALID_IDS],
    ]),
    "other redirects": (Outcome.UNKNOWN, [bare(status) for status in (302, 303, 300, 304)]),
    "bare server errors, even with text from a proxy": (Outcome.UNKNOWN, [
        *[bare(status, text) for status in PROXY_ERRORS for text in ("", "Too many requests", "freeze point")],
        reply(500, 500, "internal error"), reply(503, None, "unavailable"), reply(500, 10000, "failed to do request"),
    ]),
    "an incomplete refusal": (Outcome.UNKNOWN, [
        *[bare(status, complete=False) for status in (400, 401, 402, 403, 404)],
        *[replace(reply(status, code), complete=False) for status in (200, 500) for code in (1300, 1400, 1500, 1700)],
    ]),
    "a code outside the API's JSON": (Outcome.UNKNOWN, [
        replace(reply(500, code), well_formed=False) for code in (1400, 1500, 1700)
    ]),
}  # fmt: skip
CASES = [
    pytest.param(outcome, item, id=f"{row}-{n}")
    for row, (outcome, items) in ROWS.items()
    for n, item in enumerate(items)
]


@pytest.mark.parametrize(("outcome", "evidence"), CASES)
def test_each_kind_of_evidence_has_its_outcome(outcome: Outcome, evidence: Evidence) -> None:
    assert classify_submission(evidence) is outcome


def test_the_number_of_retries_of_each_outcome() -> None:
    assert RETRIES == {Outcome.NOT_SENT: 3, Outcome.RATE_LIMITED: None, Outcome.UNAVAILABLE: 2, Outcome.NOT_APPLIED: 2}


CODES = (0, 200, 400, 402, 404, 429, 500, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 10000)
REFUSAL_CODES = frozenset({*range(400, 408), *range(409, 500), 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800})
MESSAGES = (
    "",
    "success",
    "Insufficient plan level",
    "too many requests",
    "Too Many Requests",
    "failed to freeze point",
    "Insufficient credits",
)
HEADS = {429: Outcome.RATE_LIMITED, 301: Outcome.REFUSED, 307: Outcome.REFUSED, 308: Outcome.REFUSED}
HEADS |= dict.fromkeys(NOT_APPLIED, Outcome.NOT_APPLIED)
"""What the first line of a reply proves alone."""
EVIDENCE = st.builds(
    Evidence,
    sent=st.booleans(),
    written=st.booleans(),
    untrusted=st.booleans(),
    status=st.none()
    | st.integers(100, 599)
    | st.sampled_from((200, 302, 403, 408, 429, 500, 504, *NOT_APPLIED))
    | st.integers(),
    complete=st.booleans(),
    well_formed=st.booleans(),
    code=st.none() | st.sampled_from(CODES) | st.integers(),
    message=st.sampled_from(MESSAGES) | st.text(max_size=20),
    task_id=st.none() | st.sampled_from(("", TASK, "a/b", "x" * 200)) | st.text(max_size=9),
    seen_id=st.none() | st.none() | st.just(TASK),
)


@given(EVIDENCE)
@example(NO_RESPONSE)
def test_nothing_is_sent_again_without_proof(evidence: Evidence) -> None:
    outcome = classify_submission(evidence)
    event(outcome.value)
    assert isinstance(outcome, Outcome)
    if outcome is Outcome.ACCEPTED:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", evidence.task_id or "")
        return
    if evidence.seen_id:
        assert outcome is Outcome.UNKNOWN
        return
    status, whole_json = evidence.status, evidence.complete and evidence.well_formed
    if status is None:
        assert (outcome is Outcome.UNKNOWN) == evidence.sent
    elif outcome in RETRIES:
        by_code = whole_json and evidence.code in (429, 1400, 1500)
        by_message = evidence.complete and "too many requests" in evidence.message.casefold()
        late = status == 408 and not evidence.written
        assert status == 429 or status in NOT_APPLIED or late or by_code or by_message
    if status is not None and not evidence.complete:
        head = Outcome.NOT_APPLIED if status == 408 and not evidence.written else Outcome.UNKNOWN
        assert outcome is HEADS.get(status, head)


@given(EVIDENCE, st.integers(200, 299))
def test_a_2xx_without_a_task_id_is_unknown_unless_its_json_refuses(evidence: Evidence, status: int) -> None:
    outcome = classify_submission(replace(evidence, status=status, task_id=None))
    text = evidence.message.casefold()
    refuses = evidence.code in REFUSAL_CODES or any(
        word in text for word in ("too many requests", "freeze", "insufficient")
    )
    if not (evidence.complete and evidence.well_formed and refuses):
        assert outcome is Outcome.UNKNOWN


@given(EVIDENCE, st.sampled_from(PROXY_ERRORS))
def test_a_server_error_without_the_apis_json_is_unknown_whatever_it_contains(evidence: Evidence, status: int) -> None:
    assert classify_submission(replace(evidence, status=status, well_formed=False, task_id=None)) is Outcome.UNKNOWN
