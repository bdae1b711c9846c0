"""Submissions with an unknown outcome: what flux reports about them, and how the user resolves them."""

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.batch.task_matching import _prompts_differ
from flux_cli.journal.entries import State

from .conftest import Flux, Result
from .servers import Breaker, BreakingProxy, Reply, Service
from .test_promises import GEN, POLL, POST, Entries, Start, finish, make_refusal, wait_until

SERVER_ERROR: Reply = (500, {}, b"")


def submit_without_response(flux: Flux, proxy: BreakingProxy, line: str = GEN) -> Result:
    """Run a command whose submission reaches the server, and whose response does not come back."""
    proxy.breakers.append(Breaker(b"POST"))
    result = flux(line)
    assert result.code == 7
    return result


def make_poll_reply(service: Service, *, created: datetime | None = None, **facts: object) -> Reply:
    """Return the reply to a poll of the first task, which has ended, with only these facts."""
    wait_until(lambda: time.time() > service.charges[0].ended)
    task = service.charges[0].id
    output = {"image_url": f"{service.origin}/images/{task}/1.png"}
    meta = {"created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}"} if created else {}
    data = {"task_id": task, "status": "completed", "output": output, "meta": meta, **facts}
    return 200, {}, json.dumps({"code": 200, "data": data}).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("resolve nosuch1", "flux: no task with ID 'nosuch1' in the history"),
        (
            "resolve {0} --dismiss --resubmit",
            "flux: --task, --dismiss and --resubmit cannot be used together. Nothing was sent.",
        ),
        ("resolve {0} --force", "flux: --force needs --task"),
        ("resolve {0} {1} --task x", "flux: --task needs exactly one ID, not 2"),
        ("resolve nosuch1 nosuch2 --task x", "flux: --task needs exactly one ID, not 2"),
        ("resolve {0} --task ../x", "flux: --task '../x' is not a task ID"),
        ("resolve {0} --dismiss --profile other", "flux: entry {0} belongs to profile default"),
        ("resolve {0} {1} --dismiss", "flux: entry {1} is saved: there is nothing to resolve"),
        ("resolve {0} {1} --resubmit", "flux: entry {1} is saved: there is nothing to resolve. Nothing was sent."),
        ("resolve {1} --task x", "flux: entry {1} is saved: there is nothing to resolve"),
    ],
)
def test_an_invalid_resolution_changes_nothing(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, line: str, message: str
) -> None:
    submit_without_response(flux, proxy)
    flux(GEN)
    ids = [entry.id for entry in entries()]
    result = flux(line.format(*ids))

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == message.format(*ids)
    assert [entry.state for entry in entries()] == [State.UNKNOWN, State.SAVED]
    assert service.count_posts() == 2


# --- linking a task ---------------------------------------------------------------------------------------------------


def test_an_existing_task_is_linked_to_its_entry(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy, f"{GEN} -o fox.png")
    (entry,), (task,) = entries(), service.charges
    result = flux(f"resolve {entry.id} --task {task.id}")

    assert (result.code, result.out) == (0, "fox.png\n")
    assert f"linked entry {entry.id} to task {task.id}: same model, prompt, seed, time" in result.err
    assert [(entry.state, entry.task_id) for entry in entries()] == [(State.SAVED, task.id)]
    assert flux(f"resolve {entry.id} --task {task.id} -q").out == "fox.png\n"
    assert flux("resume").code == 0
    assert flux("cost").out.split() == ["total", "$0.015", "1", "task"]
    assert len(service.charges) == 1


def test_another_task_is_refused_without_force(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    far = "very " * 30
    submit_without_response(flux, proxy, f"gen '{far}big boat' --seed 1 --size 64x64 -o boat.png")
    flux(f"gen '{far}big goat' --seed 2 --size 64x64 -m schnell --no-wait --profile other")
    unresolved, task = entries()[0], service.charges[1]
    result = flux(f"resolve {unresolved.id} --task {task.id}")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [
        f"flux: task {task.id} does not match entry {unresolved.id}. Nothing was changed.",
        '      - its prompt is "…very very very very very big goat", not "…very very very very very big boat"',
        "      - its seed is 2, not 1",
        "      - its model is Qubico/flux1-schnell, not Qubico/flux1-dev",
        "      To link it anyway, add --force",
    ]
    assert entries()[0] == unresolved
    assert flux(f"resolve {unresolved.id} --task {task.id} --force -q").out == "boat.png\n"


@pytest.mark.parametrize(
    ("facts", "code", "message"),
    [
        ({}, 0, "PiAPI returned nothing to compare"),
        ({"input": {"prompt": " a boat\n", "seed": 0}}, 0, "same prompt"),
        ({"input": {"seed": -1}, "output": {"seed": 1, "image_url": ""}}, 0, "same seed"),
        ({"input": {"prompt": "a goat"}}, 2, 'its prompt is "a goat", not "a boat"'),
        ({"created": datetime.now(UTC) + timedelta(minutes=5)}, 0, "same time"),
        ({"created": datetime.now(UTC) - timedelta(hours=1)}, 2, "it was created "),
    ],
)
def test_only_fields_that_piapi_returned_are_compared(
    flux: Flux,
    service: Service,
    proxy: BreakingProxy,
    entries: Entries,
    facts: dict[str, object],
    code: int,
    message: str,
) -> None:
    submit_without_response(flux, proxy)
    service.reply_with(*POLL, make_poll_reply(service, **facts))  # type: ignore[arg-type]  # `created` among them
    result = flux(f"resolve {entries()[0].id} --task {service.charges[0].id}")

    assert (result.code, message in result.err) == (code, True)
    assert [entry.state for entry in entries()] == [State.UNKNOWN if code else State.SAVED]


@pytest.mark.parametrize(("reply", "code"), [(make_refusal(404, 404, "task not found"), 5), ((502, {}, b""), 13)])
def test_a_task_that_cannot_be_polled_is_not_linked(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, reply: Reply, code: int
) -> None:
    submit_without_response(flux, proxy)
    service.reply_with(*POLL, reply)
    result = flux(f"resolve {entries()[0].id} --task {service.charges[0].id} --force")
    assert result.code == code
    message = " (task not found). Nothing was changed.\n      Copy the ID from "
    assert (message in result.err) is (code == 5)
    assert [entry.state for entry in entries()] == [State.UNKNOWN]


def test_a_failed_task_is_linked_with_its_failure(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy)
    service.reply_with(*POLL, *[make_poll_reply(service, status="failed", error={"code": 1800, "message": "no"})] * 2)
    assert flux(f"resolve {entries()[0].id} --task {service.charges[0].id}").code == 8
    assert flux("resume").code == 0


def test_an_image_that_was_downloaded_already_is_not_downloaded_again(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    """`flux wait` received a reply without the request, and could not find the entry of the task."""
    submit_without_response(flux, proxy)
    (unresolved,), (task,) = entries(), service.charges
    service.reply_with(*POLL, *[make_poll_reply(service)] * 2)
    assert flux(f"wait {task.id}").code == 0
    assert flux("resume").code == 7
    result = flux(f"resolve {unresolved.id} --task {task.id}")

    assert (result.code, result.out) == (0, f"{task.id}.png\n")
    assert [path.name for path in Path().iterdir()] == [f"{task.id}.png"]
    assert sum(request.path.startswith("/images/") for request in service.requests) == 1
    assert flux("cost").out.split() == ["total", "$0.015", "1", "task"]
    assert flux("resume").code == 0


def test_a_task_is_never_linked_to_two_entries(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    """The same command ran twice. The first response was lost, and the second task looks exactly the same."""
    submit_without_response(flux, proxy)
    flux(GEN)
    unresolved, paid = entries()
    result = flux(f"resolve {unresolved.id} --task {paid.task_id} --force")

    assert result.code == 2
    assert f"task {paid.task_id} already belongs to entry {paid.id}" in result.err
    assert f"flux resolve {unresolved.id} --dismiss" in result.err
    assert flux("cost").out.split()[1] == "$0.015"


def test_waiting_for_the_task_resolves_its_entry(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy)
    (unresolved,), (task,) = entries(), service.charges
    result = flux(f"wait {task.id}")

    assert (result.code, result.out) == (0, "a-boat-1.png\n")
    assert [(entry.id, entry.state) for entry in entries()] == [(unresolved.id, State.SAVED)]


@pytest.mark.parametrize(
    "facts",
    [
        {"input": {"seed": 1}},
        {"input": {"prompt": "a boat"}},
        {"input": {"prompt": "a goat", "seed": 1}},
        {"input": {"prompt": "a boat", "seed": 1}, "created": datetime.now(UTC) - timedelta(hours=1)},
    ],
)
def test_waiting_for_a_task_that_may_be_another_resolves_nothing(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, facts: dict[str, object]
) -> None:
    submit_without_response(flux, proxy)
    task = service.charges[0].id
    service.reply_with(*POLL, *[make_poll_reply(service, **facts)] * 2)  # type: ignore[arg-type]  # `created` among them

    assert flux(f"wait {task}").out == f"{task}.png\n"
    assert [entry.state for entry in entries()] == [State.UNKNOWN, State.SAVED]


# --- dismissing an entry ----------------------------------------------------------------------------------------------


def test_dismissed_entries_count_as_possibly_charged(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy)
    submit_without_response(flux, proxy)
    ids = flux("history --state unknown -q").out
    result = flux("resolve - --dismiss", stdin=ids)

    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines()[:2] == [
        "Dismissed 2 tasks. Possibly charged: up to $0.03 (simulated).",
        "If one appears in your workspace later, link it with: flux resolve ID --task TASK_ID",
    ]
    records = [json.loads(line) for line in flux("resolve - --dismiss --json", stdin=ids).out.splitlines()]
    assert [(record["state"], record["possibly_charged_usd"]) for record in records] == [("dismissed", "0.015")] * 2
    assert flux("resume").code == 0
    assert flux("cost").out.split(maxsplit=2) == ["total", "$0.00", "2 tasks, plus up to $0.03 possibly charged\n"]
    assert service.count_posts() == 2
    waited = flux(f"wait {ids.split()[0]}")
    assert (waited.code, "was dismissed. It may have been charged" in waited.err) == (3, True)


def test_a_dismissed_entry_can_be_linked_to_a_task_later(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy)
    entry = entries()[0].id
    flux(f"resolve {entry} --dismiss")

    assert flux(f"resolve {entry} --task {service.charges[0].id} -q").out == "a-boat-1.png\n"
    assert flux("cost").out.split()[1] == "$0.015"


def test_a_dismissed_row_of_a_batch_counts_as_failed(flux: Flux, service: Service, entries: Entries) -> None:
    Path("prompts.txt").write_text("one\ntwo\n")
    line = "gen --from prompts.txt -m schnell --size 64x64 -j 1"
    service.reply_with(*POST, SERVER_ERROR)
    assert flux(line).code == 7
    flux(f"resolve {entries()[0].id} --dismiss")

    repeated = flux(line)
    assert (repeated.code, service.count_posts()) == (3, 2)
    *_, total, end = repeated.err.splitlines()
    assert total.startswith("1 already saved, 1 dismissed; $0.00 spent")
    assert end == "To submit the dismissed tasks again, and pay for them, add --retry-failed"
    assert flux(f"{line} --retry-failed").code == 0
    assert service.count_posts() == 3


# --- resubmitting a request -------------------------------------------------------------------------------------------


def test_a_request_is_resubmitted_only_once(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy, f"{GEN} -o fox.png")
    unresolved = entries()[0].id
    result = flux(f"resolve {unresolved} --resubmit")

    assert (result.code, result.out) == (0, "fox.png\n")
    assert result.err.startswith(
        "Submitting 1 request again for $0.015 (simulated). The first request may also have been charged.\n"
    )
    assert [charge.body for charge in service.charges] == [service.charges[0].body] * 2
    assert [(entry.state, entry.replaces) for entry in entries()] == [
        (State.DISMISSED, None),
        (State.SAVED, unresolved),
    ]
    assert flux(f"resolve {unresolved} --resubmit").out == "fox.png\n"
    assert flux("resume").code == 0
    assert len(service.charges) == 2
    assert flux("cost").out.split()[:2] == ["total", "$0.015"]


def test_a_resubmission_may_have_an_unknown_outcome_too(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    submit_without_response(flux, proxy)
    first = entries()[0].id
    submit_without_response(flux, proxy, f"resolve {first} --resubmit")
    second = entries()[1].id
    repeated = flux(f"resolve {first} --resubmit")

    assert (repeated.code, len(service.charges)) == (7, 2)
    assert f"Next: flux resolve {second}" in repeated.err
    assert flux(f"resolve {first} {second} --resubmit -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 3


@pytest.mark.parametrize(
    ("options", "setting", "code"),
    [
        ("", "FLUX_CONFIRM_ABOVE=0.02", 2),
        ("--max-cost 0.02", "", 2),
        ("", "FLUX_BUDGET_DAY=0.05", 2),  # 0.03 was possibly charged, and 0.03 is requested
        ("-y", "FLUX_CONFIRM_ABOVE=0.02", 0),
        ("--max-cost 0.03", "", 0),
    ],
)
def test_a_resubmission_is_subject_to_all_cost_limits(
    flux: Flux,
    service: Service,
    proxy: BreakingProxy,
    entries: Entries,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    setting: str,
    code: int,
) -> None:
    submit_without_response(flux, proxy)
    submit_without_response(flux, proxy, "gen 'a boat' --seed 2 --size 256x256")
    if setting:
        monkeypatch.setenv(*setting.split("="))
    ids = " ".join(entry.id for entry in entries())

    assert flux(f"resolve {ids} --resubmit {options}").code == code
    assert service.count_posts() == (2 if code else 4)


def kill_resubmission(service: Service, entries: Entries, start: Start, state: State) -> str:
    """Kill a resubmission when its new entry is in this state, and return the ID of the old entry."""
    unresolved = entries()[0].id
    process = start(f"resolve {unresolved} --resubmit")
    charges = 1 if state is State.PLANNED else 2  # a request that arrived without its body is not charged

    def is_reached() -> bool:
        (*_, last) = entries()
        return (
            service.count_posts() == 2
            and len(service.charges) == charges
            and (last.replaces, last.state) == (unresolved, state)
        )

    wait_until(is_reached)
    process.kill()
    finish(process)
    return unresolved


def test_a_resubmission_that_was_killed_before_it_was_sent_is_sent_once(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    submit_without_response(flux, proxy)
    service.reply_with(*POST, *[make_refusal(429, 1400, **{"retry-after": "60"})])
    unresolved = kill_resubmission(service, entries, start, State.PLANNED)
    assert len(service.charges) == 1

    assert flux(f"resolve {unresolved} --resubmit -q").out == "a-boat-1.png\n"
    assert [entry.state for entry in entries()] == [State.DISMISSED, State.SAVED]
    assert len(service.charges) == 2


def test_a_resubmission_that_was_killed_while_it_was_sent_is_unknown(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    submit_without_response(flux, proxy)
    proxy.breakers.append(Breaker(b"POST", hold=True))
    unresolved = kill_resubmission(service, entries, start, State.SENDING)

    assert flux(f"resolve {unresolved} --resubmit").code == 7
    assert [entry.state for entry in entries()] == [State.DISMISSED, State.UNKNOWN]
    assert len(service.charges) == 2


def test_a_resubmission_that_was_killed_while_waiting_is_not_sent_again(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    submit_without_response(flux, proxy)
    service.reply_with(*POLL, *[(503, {}, b"")] * 1000)
    unresolved = kill_resubmission(service, entries, start, State.ACCEPTED)
    service.scripted.clear()

    assert flux(f"resolve {unresolved} --resubmit -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 2


def test_an_entry_is_not_dismissed_if_the_new_one_cannot_be_written(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, home: Path
) -> None:
    submit_without_response(flux, proxy)
    (unresolved,) = entries()
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    db.close()

    assert flux(f"resolve {unresolved.id} --resubmit").code == 12
    assert entries() == [unresolved]
    assert service.count_posts() == 1


def test_a_resubmission_needs_its_input_image(flux: Flux, service: Service, entries: Entries, home: Path) -> None:
    Image.new("RGB", (300, 300), "red").save("photo.png")
    service.reply_with(*POST, SERVER_ERROR, SERVER_ERROR)
    for _number in range(2):
        assert flux("edit photo.png night --seed 1").code == 7
    first, second = (entry.id for entry in entries())
    assert flux(f"resolve {first} --resubmit -q").out == "night-1.png\n"
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        db.execute("DELETE FROM uploads")
    db.close()
    result = flux(f"resolve {second} --resubmit")

    assert result.code == 2
    assert f"PiAPI no longer has the input image of entry {second}. Nothing was sent." in result.err
    assert len(service.charges) == 1


def test_the_difference_between_long_prompts_is_shown() -> None:
    long = "very " * 30 + "big boat"
    shown = _prompts_differ(f"{long} at night", long)
    assert shown.startswith('its prompt is "…')
    assert 'big boat at night", not ' in shown


def test_a_request_whose_outcome_is_unknown_is_not_repeated_without_a_warning(
    flux: Flux, service: Service, entries: Entries
) -> None:
    service.reply_with(*POST, (500, {}, b""))
    assert flux("gen 'a boat' --seed 1 --size 64x64").code == 7
    (unknown,) = entries()
    warning = f"an identical request, entry {unknown.id}, has an unknown outcome: you may be charged twice"
    assert warning in flux("gen 'a boat' --seed 1 --size 64x64").err
    assert warning not in flux("gen 'a boat' --seed 2 --size 64x64").err
    shown = flux(f"show {unknown.id}")
    assert "cost" not in shown.out
    assert "State: unknown. It may have been charged ($0.015 simulated)" in shown.err
