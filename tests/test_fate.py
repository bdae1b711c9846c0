"""The one decision whether a paid POST may be sent again (docs/promises.md: When a POST may be sent again)."""

import re
from dataclasses import replace

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from flux_cli.piapi.submission import RETRIES, Evidence, Fate, fate_of

LOST = Evidence(sent=True)


def reply(status: int, code: int | None = None, message: str = "", task_id: str | None = None) -> Evidence:
    """A whole reply in the API's own JSON."""
    return Evidence(True, status=status, complete=True, well_formed=True, code=code, message=message, task_id=task_id)


def bare(status: int, message: str = "", *, complete: bool = True) -> Evidence:
    """A reply that is not the API's JSON: empty, text, or a proxy's page."""
    return Evidence(True, status=status, complete=complete, message=message)


TASK = "1631d053-2352-4add-95cc-360fc52d5f89"
NOT_APPLIED = (408, 421, 425, 521, 523, 525, 526, 530)
LOST_AT_A_PROXY = (500, 502, 503, 504, 520, 522, 524)
NO_IDS = ("", "a b", "../x", "x" * 129, "é", "x\n")

ROWS: dict[str, tuple[Fate, list[Evidence]]] = {
    "a well-formed task id, whatever the status": (Fate.ACCEPTED, [
        *[reply(status, code, "too many requests", TASK) for status in (200, 302, 429, 504) for code in (None, 1400)],
        replace(LOST, task_id=TASK), Evidence(True, status=200, task_id=TASK),
    ]),
    "a task id in what tells of no task, whatever else it says": (Fate.UNKNOWN, [
        *[replace(bare(status, complete=False), seen_id=TASK) for status in (200, 400, 402, 429, 500, 521)],
        replace(reply(429, 1400, "too many requests"), seen_id=TASK), replace(LOST, seen_id=TASK),
    ]),
    "nothing was sent": (Fate.NOT_SENT, [Evidence(sent=False)]),
    "nothing was sent: the certificate": (Fate.UNTRUSTED, [Evidence(sent=False, untrusted=True)]),
    "HTTP 429, with any body or none": (Fate.LATER, [
        bare(429), bare(429, complete=False), bare(429, "<html>"), reply(429, 1300, "failed to freeze point"),
    ]),
    "code 1400 or the words, without a task id": (Fate.LATER, [
        reply(200, 1400), reply(400, 1400), reply(500, 1400), reply(400, 10000, "Too Many Requests: slow down"),
        reply(200, 10000, "too many requests"), reply(500, message="TOO MANY REQUESTS"), bare(403, "too many requests"),
    ]),
    "code 1500 in a well-formed reply": (Fate.BUSY, [reply(status, 1500) for status in (200, 400, 500, 503)]),
    "statuses that say it was not applied": (Fate.NOT_APPLIED, [
        *[bare(status) for status in NOT_APPLIED], *[reply(status, 1700) for status in NOT_APPLIED],
        *[bare(status, complete=False) for status in NOT_APPLIED],
    ]),
    "out of credits": (Fate.NO_CREDITS, [
        bare(402), reply(402), reply(200, 1300), reply(400, 1300), reply(500, 10000, "failed to freeze point"),
    ]),
    "key refused": (Fate.NO_KEY, [
        bare(401), bare(403, "<html>"), reply(403, message="Insufficient plan level"), reply(400, 1200),
    ]),
    "the specification's other refusals": (Fate.REFUSED, [
        reply(status, code) for status in (200, 400, 500) for code in (1100, 1600, 1700, 1800)
    ]),
    "any other whole 4xx, and an envelope that says 4xx": (Fate.REFUSED, [
        *[bare(status) for status in (400, 404, 405, 409, 413, 418, 422, 451, 499)],
        reply(400, 10000), reply(200, 400), reply(200, 404),
    ]),
    "redirects that keep the method": (Fate.REFUSED, [bare(status) for status in (301, 307, 308)]),
    "no answer": (Fate.UNKNOWN, [LOST, replace(LOST, untrusted=True)]),
    "missing, unreadable or odd 2xx": (Fate.UNKNOWN, [
        bare(200), bare(204), bare(200, complete=False), bare(200, "too many requests"), reply(201),
        reply(200, 200, "success"), *[reply(200, 200, "success", no_id) for no_id in NO_IDS],
    ]),
    "other redirects": (Fate.UNKNOWN, [bare(status) for status in (302, 303, 300, 304)]),
    "bare server errors, also with words from a proxy": (Fate.UNKNOWN, [
        *[bare(status, words) for status in LOST_AT_A_PROXY for words in ("", "Too many requests", "freeze point")],
        reply(500, 500, "internal error"), reply(503, None, "unavailable"), reply(500, 10000, "failed to do request"),
    ]),
    "a refusal of which a part is missing": (Fate.UNKNOWN, [
        *[bare(status, complete=False) for status in (400, 401, 402, 403, 404)],
        *[replace(reply(status, code), complete=False) for status in (200, 500) for code in (1300, 1400, 1500, 1700)],
    ]),
    "a code in what is not the API's JSON": (Fate.UNKNOWN, [
        replace(reply(500, code), well_formed=False) for code in (1400, 1500, 1700)
    ]),
}  # fmt: skip
CASES = [pytest.param(fate, one, id=f"{row}-{n}") for row, (fate, all_) in ROWS.items() for n, one in enumerate(all_)]


@pytest.mark.parametrize(("fate", "evidence"), CASES)
def test_every_row_of_the_table(fate: Fate, evidence: Evidence) -> None:
    assert fate_of(evidence) is fate


def test_how_often_each_fate_is_repeated() -> None:
    assert RETRIES == {Fate.NOT_SENT: 3, Fate.LATER: None, Fate.BUSY: 2, Fate.NOT_APPLIED: 2}


CODES = (0, 200, 400, 402, 404, 429, 500, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 10000)
REFUSING = frozenset({*range(400, 500), 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800})
WORDS = ("", "success", "too many requests", "Too Many Requests", "failed to freeze point", "Insufficient credits")
HEADS = {429: Fate.LATER, 301: Fate.REFUSED, 307: Fate.REFUSED, 308: Fate.REFUSED}
HEADS |= dict.fromkeys(NOT_APPLIED, Fate.NOT_APPLIED)
"""What the first line of a reply proves without the rest."""
EVIDENCE = st.builds(
    Evidence,
    sent=st.booleans(),
    untrusted=st.booleans(),
    status=st.none() | st.integers(100, 599) | st.sampled_from((200, 302, 429, 500, 504, *NOT_APPLIED)) | st.integers(),
    complete=st.booleans(),
    well_formed=st.booleans(),
    code=st.none() | st.sampled_from(CODES) | st.integers(),
    message=st.sampled_from(WORDS) | st.text(max_size=20),
    task_id=st.none() | st.sampled_from(("", TASK, "a/b", "x" * 200)) | st.text(max_size=9),
    seen_id=st.none() | st.none() | st.just(TASK),
)


@settings(max_examples=1000, deadline=None)
@given(EVIDENCE)
@example(LOST)
def test_nothing_is_sent_again_without_proof(evidence: Evidence) -> None:
    fate = fate_of(evidence)
    event(fate.value)
    assert isinstance(fate, Fate)
    if fate is Fate.ACCEPTED:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", evidence.task_id or "")
        return
    if evidence.seen_id:
        assert fate is Fate.UNKNOWN
        return
    status, whole_json = evidence.status, evidence.complete and evidence.well_formed
    if status is None:
        assert (fate is Fate.UNKNOWN) == evidence.sent
    elif fate in RETRIES:
        says_so = whole_json and evidence.code in (429, 1400, 1500)
        words = evidence.complete and "too many requests" in evidence.message.casefold()
        assert status == 429 or status in NOT_APPLIED or says_so or words
    if status is not None and not evidence.complete:
        assert fate is HEADS.get(status, Fate.UNKNOWN)


@settings(max_examples=400, deadline=None)
@given(EVIDENCE, st.integers(200, 299))
def test_a_2xx_without_a_task_id_is_unknown_unless_its_own_json_refuses(evidence: Evidence, status: int) -> None:
    fate = fate_of(replace(evidence, status=status, task_id=None))
    text = evidence.message.casefold()
    refuses = evidence.code in REFUSING or any(word in text for word in ("too many requests", "freeze", "insufficient"))
    if not (evidence.complete and evidence.well_formed and refuses):
        assert fate is Fate.UNKNOWN


@settings(max_examples=200, deadline=None)
@given(EVIDENCE, st.sampled_from(LOST_AT_A_PROXY))
def test_a_server_error_without_the_apis_json_is_unknown_whatever_it_says(evidence: Evidence, status: int) -> None:
    assert fate_of(replace(evidence, status=status, well_formed=False, task_id=None)) is Fate.UNKNOWN
