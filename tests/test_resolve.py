"""Submissions whose answers were lost: what is told of them, and what the user can say became of them."""

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
from .test_promises import GEN, LOOK, POST, Entries, Start, finish, refusal, wait_until

LOST: Reply = (500, {}, b"")


def lose(flux: Flux, proxy: BreakingProxy, line: str = GEN) -> Result:
    """Run a command whose submission reaches the service, and whose answer does not come back."""
    proxy.breakers.append(Breaker(b"POST"))
    result = flux(line)
    assert result.code == 7
    return result


def look_reply(service: Service, *, created: datetime | None = None, **told: object) -> Reply:
    """The reply to a look at the first task, which has ended, with these facts and no others."""
    wait_until(lambda: time.time() > service.charges[0].ended)
    task = service.charges[0].id
    output = {"image_url": f"{service.origin}/images/{task}/1.png"}
    meta = {"created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}"} if created else {}
    data = {"task_id": task, "status": "completed", "output": output, "meta": meta, **told}
    return 200, {}, json.dumps({"code": 200, "data": data}).encode()


# --- what is told ----------------------------------------------------------------------------------------------------


def test_it_is_said_what_happened_what_it_may_cost_and_what_to_do(
    flux: Flux, proxy: BreakingProxy, entries: Entries
) -> None:
    result = lose(flux, proxy)
    (entry,) = entries()
    assert result.out == ""
    assert result.err.splitlines() == [
        'flux: no usable response to the submission of "a boat" (the connection closed before a response arrived). '
        "It may have been charged ($0.015 simulated); flux does not resend it.",
        f"      Next: flux resolve {entry.id}",
    ]

    told = flux(f"resolve {entry.id}")
    assert (told.code, told.err) == (7, "")
    assert told.out.splitlines() == [
        f"entry {entry.id}: no usable response to this submission. "
        "It may have been charged ($0.015 simulated); flux does not resend it.",
        '  prompt     "a boat"',
        "  model      Qubico/flux1-dev",
        "  seed       1",
        f"  sent       {datetime.fromtimestamp(entry.submitted or 0):%Y-%m-%d %H:%M:%S}",
        "  known      the connection closed before a response arrived (RemoteProtocolError)",
        "Look for a task with this prompt and time in the PiAPI workspace. Then:",
        f"  flux resolve {entry.id} --task ID   the task exists: download its image (no extra charge)",
        f"  flux resolve {entry.id} --dismiss   the task does not exist, or you do not need it",
        f"  flux resolve {entry.id} --resubmit  submit it again, for $0.015",
    ]
    record = json.loads(flux(f"resolve {entry.id} --json").out)
    assert (record["state"], record["possibly_charged_usd"]) == ("unknown", "0.015")
    assert record["error"]["hint"] == "Look for a task with this prompt and time in the PiAPI workspace. Then:"
    assert record["error"]["details"][0].startswith(f"flux resolve {entry.id} --task ID")
    assert record["error"]["command"] is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("resolve nosuch1", "flux: no entry 'nosuch1'. Nothing was sent."),
        (
            "resolve {0} --dismiss --resubmit",
            "flux: --task, --dismiss and --resubmit cannot be used together. Nothing was sent.",
        ),
        ("resolve {0} --force", "flux: --force needs --task. Nothing was sent."),
        ("resolve {0} {1} --task x", "flux: --task is for one entry, and there are 2. Nothing was sent."),
        ("resolve {0} --task ../x", "flux: '../x' is not a task ID. Nothing was sent."),
        ("resolve {0} --dismiss --profile other", "flux: entry {0} belongs to another account. Nothing was sent."),
        ("resolve {0} {1} --dismiss", "flux: entry {1} is saved: there is nothing to resolve. Nothing was sent."),
        ("resolve {0} {1} --resubmit", "flux: entry {1} is saved: there is nothing to resolve. Nothing was sent."),
        ("resolve {1} --task x", "flux: entry {1} is saved: there is nothing to resolve. Nothing was sent."),
    ],
)
def test_what_cannot_be_changes_nothing(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, line: str, said: str
) -> None:
    lose(flux, proxy)
    flux(GEN)
    ids = [entry.id for entry in entries()]
    result = flux(line.format(*ids))

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == said.format(*ids)
    assert [entry.state for entry in entries()] == [State.UNKNOWN, State.SAVED]
    assert service.count_posts() == 2


# --- adopting a task -------------------------------------------------------------------------------------------------


def test_the_task_is_there(flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries) -> None:
    lose(flux, proxy, f"{GEN} -o fox.png")
    (entry,), (task,) = entries(), service.charges
    result = flux(f"resolve {entry.id} --task {task.id}")

    assert (result.code, result.out) == (0, "fox.png\n")
    assert f"matched entry {entry.id} to task {task.id}: same model, prompt, seed, time" in result.err
    assert [(entry.state, entry.task_id) for entry in entries()] == [(State.SAVED, task.id)]
    assert flux(f"resolve {entry.id} --task {task.id} -q").out == "fox.png\n"
    assert flux("resume").code == 0
    assert flux("cost").out.split() == ["total", "$0.015", "1", "task"]
    assert len(service.charges) == 1


def test_another_task_is_refused_unless_forced(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    far = "very " * 30
    lose(flux, proxy, f"gen '{far}big boat' --seed 1 --size 64x64 -o boat.png")
    flux(f"gen '{far}big goat' --seed 2 --size 64x64 -m schnell --no-wait --profile other")
    lost, task = entries()[0], service.charges[1]
    result = flux(f"resolve {lost.id} --task {task.id}")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [
        f"flux: task {task.id} does not match entry {lost.id}; nothing was changed. Nothing was sent.",
        '      - its prompt is "…very very very very very big goat", not "…very very very very very big boat"',
        "      - its seed is 2, not 1",
        "      - its model is Qubico/flux1-schnell, not Qubico/flux1-dev",
        "      To link it anyway, add --force",
    ]
    assert entries()[0] == lost
    assert flux(f"resolve {lost.id} --task {task.id} --force -q").out == "boat.png\n"


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        ({}, 0, "PiAPI returned nothing to compare"),
        ({"input": {"prompt": " a boat\n", "seed": 0}}, 0, "same prompt"),
        ({"input": {"seed": -1}, "output": {"seed": 1, "image_url": ""}}, 0, "same seed"),
        ({"input": {"prompt": "a goat"}}, 2, 'its prompt is "a goat", not "a boat"'),
        ({"created": datetime.now(UTC) + timedelta(minutes=5)}, 0, "same time"),
        ({"created": datetime.now(UTC) - timedelta(hours=1)}, 2, "it was created "),
    ],
)
def test_only_what_the_service_tells_is_compared(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, told: dict[str, object], code: int, said: str
) -> None:
    lose(flux, proxy)
    service.reply_with(*LOOK, look_reply(service, **told))  # type: ignore[arg-type]  # `created` among them
    result = flux(f"resolve {entries()[0].id} --task {service.charges[0].id}")

    assert (result.code, said in result.err) == (code, True)
    assert [entry.state for entry in entries()] == [State.UNKNOWN if code else State.SAVED]


@pytest.mark.parametrize(("reply", "code"), [(refusal(404, 404, "task not found"), 5), ((502, {}, b""), 13)])
def test_a_task_that_cannot_be_looked_at_is_not_adopted(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, reply: Reply, code: int
) -> None:
    lose(flux, proxy)
    service.reply_with(*LOOK, reply)
    result = flux(f"resolve {entries()[0].id} --task {service.charges[0].id} --force")
    assert result.code == code
    told = "; nothing was changed. Nothing was sent.\n      Copy the ID from the task in the PiAPI workspace"
    assert (told in result.err) is (code == 5)
    assert [entry.state for entry in entries()] == [State.UNKNOWN]


def test_a_task_that_failed_is_adopted_with_its_failure(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    lose(flux, proxy)
    service.reply_with(*LOOK, *[look_reply(service, status="failed", error={"code": 1800, "message": "no"})] * 2)
    assert flux(f"resolve {entries()[0].id} --task {service.charges[0].id}").code == 8
    assert flux("resume").code == 0


def test_a_picture_that_was_fetched_already_is_not_fetched_again(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    """`flux wait` got a reply that does not tell what was asked for, and could not know whose task it is."""
    lose(flux, proxy)
    (lost,), (task,) = entries(), service.charges
    service.reply_with(*LOOK, *[look_reply(service)] * 2)
    assert flux(f"wait {task.id}").code == 0
    assert flux("resume").code == 7
    result = flux(f"resolve {lost.id} --task {task.id}")

    assert (result.code, result.out) == (0, f"{task.id}.png\n")
    assert [path.name for path in Path().iterdir()] == [f"{task.id}.png"]
    assert sum(request.path.startswith("/images/") for request in service.requests) == 1
    assert flux("cost").out.split() == ["total", "$0.015", "1", "task"]
    assert flux("resume").code == 0


def test_one_task_is_never_that_of_two_submissions(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    """The same command twice: the first answer was lost, and the second task looks exactly the same."""
    lose(flux, proxy)
    flux(GEN)
    lost, bought = entries()
    result = flux(f"resolve {lost.id} --task {bought.task_id} --force")

    assert result.code == 2
    assert f"task {bought.task_id} belongs to entry {bought.id}, which submitted it" in result.err
    assert f"flux resolve {lost.id} --dismiss" in result.err
    assert flux("cost").out.split()[1] == "$0.015"


def test_waiting_for_the_task_settles_its_entry(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    lose(flux, proxy)
    (lost,), (task,) = entries(), service.charges
    result = flux(f"wait {task.id}")

    assert (result.code, result.out) == (0, "a-boat-1.png\n")
    assert [(entry.id, entry.state) for entry in entries()] == [(lost.id, State.SAVED)]


@pytest.mark.parametrize(
    "told",
    [
        {"input": {"seed": 1}},
        {"input": {"prompt": "a boat"}},
        {"input": {"prompt": "a goat", "seed": 1}},
        {"input": {"prompt": "a boat", "seed": 1}, "created": datetime.now(UTC) - timedelta(hours=1)},
    ],
)
def test_waiting_for_what_may_be_another_task_settles_nothing(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, told: dict[str, object]
) -> None:
    lose(flux, proxy)
    task = service.charges[0].id
    service.reply_with(*LOOK, *[look_reply(service, **told)] * 2)  # type: ignore[arg-type]  # `created` among them

    assert flux(f"wait {task}").out == f"{task}.png\n"
    assert [entry.state for entry in entries()] == [State.UNKNOWN, State.SAVED]


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_dismissed_entries_need_nothing_and_may_have_been_charged(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    lose(flux, proxy)
    lose(flux, proxy)
    ids = flux("history --state unknown -q").out
    result = flux("resolve - --dismiss", stdin=ids)

    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("2 submissions dismissed; if a task appears later: flux resolve ENTRY --task ID\n")
    records = [json.loads(line) for line in flux("resolve - --dismiss --json", stdin=ids).out.splitlines()]
    assert [(record["state"], record["possibly_charged_usd"]) for record in records] == [("dismissed", "0.015")] * 2
    assert flux("resume").code == 0
    assert flux("cost").out.split(maxsplit=2) == ["total", "$0.00", "2 tasks, and $0.03 possibly charged\n"]
    assert service.count_posts() == 2
    told = flux(f"wait {ids.split()[0]}")
    assert (told.code, "dismissed; the outcome of its submission is unknown" in told.err) == (3, True)


def test_a_task_that_turns_up_after_all(flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries) -> None:
    lose(flux, proxy)
    entry = entries()[0].id
    flux(f"resolve {entry} --dismiss")

    assert flux(f"resolve {entry} --task {service.charges[0].id} -q").out == "a-boat-1.png\n"
    assert flux("cost").out.split()[1] == "$0.015"


def test_a_forgotten_row_of_a_batch_counts_as_failed(flux: Flux, service: Service, entries: Entries) -> None:
    Path("prompts.txt").write_text("one\ntwo\n")
    line = "gen --from prompts.txt -m schnell --size 64x64 -j 1"
    service.reply_with(*POST, LOST)
    assert flux(line).code == 7
    flux(f"resolve {entries()[0].id} --dismiss")

    again = flux(line)
    assert (again.code, service.count_posts()) == (3, 2)
    assert again.err.splitlines()[-1].startswith("1 already saved, 1 dismissed; $0.00 spent")
    assert flux(f"{line} --retry-failed").code == 0
    assert service.count_posts() == 3


# --- sending it once more --------------------------------------------------------------------------------------------


def test_sent_once_more_and_never_twice(flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries) -> None:
    lose(flux, proxy, f"{GEN} -o fox.png")
    lost = entries()[0].id
    result = flux(f"resolve {lost} --resubmit")

    assert (result.code, result.out) == (0, "fox.png\n")
    assert result.err.startswith("Resending 1 request for $0.015. The first attempt may also have been charged.\n")
    assert [charge.body for charge in service.charges] == [service.charges[0].body] * 2
    assert [(entry.state, entry.replaces) for entry in entries()] == [(State.DISMISSED, None), (State.SAVED, lost)]
    assert flux(f"resolve {lost} --resubmit").out == "fox.png\n"
    assert flux("resume").code == 0
    assert len(service.charges) == 2
    assert flux("cost").out.split()[:2] == ["total", "$0.015"]


def test_what_was_sent_once_more_may_get_lost_as_well(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    lose(flux, proxy)
    first = entries()[0].id
    lose(flux, proxy, f"resolve {first} --resubmit")
    second = entries()[1].id
    again = flux(f"resolve {first} --resubmit")

    assert (again.code, len(service.charges)) == (7, 2)
    assert f"Next: flux resolve {second}" in again.err
    assert flux(f"resolve {first} {second} --resubmit -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 3


@pytest.mark.parametrize(
    ("options", "setting", "code"),
    [
        ("", "FLUX_CONFIRM_ABOVE=0.02", 2),
        ("--max-cost 0.02", "", 2),
        ("", "FLUX_BUDGET_DAY=0.05", 2),  # twice 0.015 are at risk, and 0.03 are asked for
        ("-y", "FLUX_CONFIRM_ABOVE=0.02", 0),
        ("--max-cost 0.03", "", 0),
    ],
)
def test_it_obeys_the_limits_of_every_purchase(
    flux: Flux,
    service: Service,
    proxy: BreakingProxy,
    entries: Entries,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    setting: str,
    code: int,
) -> None:
    lose(flux, proxy)
    lose(flux, proxy, "gen 'a boat' --seed 2 --size 256x256")
    if setting:
        monkeypatch.setenv(*setting.split("="))
    ids = " ".join(entry.id for entry in entries())

    assert flux(f"resolve {ids} --resubmit {options}").code == code
    assert service.count_posts() == (2 if code else 4)


def killed_while_resubmitting(service: Service, entries: Entries, start: Start, state: State) -> str:
    """The lost entry, whose resubmission was killed when the new entry was in this state."""
    lost = entries()[0].id
    process = start(f"resolve {lost} --resubmit")
    charges = 1 if state is State.PLANNED else 2  # a request that has come may still lack its body: nothing is charged

    def there() -> bool:
        (*_, last) = entries()
        return (
            service.count_posts() == 2
            and len(service.charges) == charges
            and (last.replaces, last.state) == (lost, state)
        )

    wait_until(there)
    process.kill()
    finish(process)
    return lost


def test_killed_before_it_was_sent(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    lose(flux, proxy)
    service.reply_with(*POST, *[refusal(429, 1400, **{"retry-after": "60"})])
    lost = killed_while_resubmitting(service, entries, start, State.PLANNED)
    assert len(service.charges) == 1

    assert flux(f"resolve {lost} --resubmit -q").out == "a-boat-1.png\n"
    assert [entry.state for entry in entries()] == [State.DISMISSED, State.SAVED]
    assert len(service.charges) == 2


def test_killed_while_it_was_sent(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    lose(flux, proxy)
    proxy.breakers.append(Breaker(b"POST", hold=True))
    lost = killed_while_resubmitting(service, entries, start, State.SENDING)

    assert flux(f"resolve {lost} --resubmit").code == 7
    assert [entry.state for entry in entries()] == [State.DISMISSED, State.UNKNOWN]
    assert len(service.charges) == 2


def test_killed_while_it_was_waited_for(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, start: Start
) -> None:
    lose(flux, proxy)
    service.reply_with(*LOOK, *[(503, {}, b"")] * 1000)
    lost = killed_while_resubmitting(service, entries, start, State.ACCEPTED)
    service.scripted.clear()

    assert flux(f"resolve {lost} --resubmit -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 2


def test_nothing_is_forgotten_when_the_new_entry_cannot_be_written(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries, home: Path
) -> None:
    lose(flux, proxy)
    (lost,) = entries()
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    db.close()

    assert flux(f"resolve {lost.id} --resubmit").code == 12
    assert entries() == [lost]
    assert service.count_posts() == 1


def test_a_picture_that_went_in_must_still_be_there(flux: Flux, service: Service, entries: Entries, home: Path) -> None:
    Image.new("RGB", (300, 300), "red").save("photo.png")
    service.reply_with(*POST, LOST, LOST)
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


def test_the_difference_is_shown_when_one_prompt_begins_like_the_other() -> None:
    long = "very " * 30 + "big boat"
    shown = _prompts_differ(f"{long} at night", long)
    assert shown.startswith('its prompt is "…')
    assert 'big boat at night", not ' in shown
