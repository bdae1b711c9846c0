"""Budgets per day and month: shared by all processes, and checked before anything is sent."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from flux_cli.cli.common_options import CommonOptions
from flux_cli.cli.session import Session
from flux_cli.config.resolve import resolve
from flux_cli.engine.slots import Slots
from flux_cli.errors import BudgetError, ConfigError
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.budgets import Budget, Period
from flux_cli.journal.entries import Account, Entry
from flux_cli.journal.journal import Journal
from flux_cli.json_value import JsonObject
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .conftest import Flux
from .servers import Service
from .test_batches import read_paid_prompts, write_prompts
from .test_promises import POST, Start, finish, make_refusal, wait_until

Entries = Callable[[], list[Entry]]
SMALL = "-m schnell --size 64x64"  # $0.002
PATH = Path("/home/u/config.toml")


def let_days_pass(home: Path, days: int) -> None:
    """Move all submissions in the journal back in time."""
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as db:
        db.execute("UPDATE entries SET submitted = submitted - ?", (days * 86400,))


@contextmanager
def occupy_slots(limit: int) -> Iterator[None]:
    """Hold all slots, so that no process with this limit can send anything."""
    with Session.create(CommonOptions(), {}) as session:
        slots = Slots(session.run_context.slots_directory, limit)
        held = [slots.try_acquire() for _ in range(limit)]
        yield
        for slot in held:
            assert slot
            slot.release()


# --- before anything is sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "price"),
    [
        (f"gen --from prompts.txt {SMALL}", "0.006"),
        (f"gen 'a {{red|blue}} fox' -b 2 {SMALL}", "0.008"),
        ("gen x --size 64x64", "0.015"),
        ("rerun @last -b 3", "0.006"),
    ],
)
def test_a_command_that_exceeds_the_budget_sends_nothing(
    flux: Flux, service: Service, entries: Entries, line: str, price: str
) -> None:
    write_prompts("a", "b", "c")
    flux("config set budget.day 0.007")
    flux("config set budget.month 5")
    assert flux(f"gen y {SMALL} -q").code == 0
    assert flux(f"{line} --dry-run -q").code == flux(f"cost {line}").code == 0
    result = flux(line)

    assert (result.code, result.out) == (2, "")
    first, hint = result.err.splitlines()
    assert (
        first
        == f"flux: this would cost ${price} (simulated), but only $0.005 is left of today's $0.007 budget. Nothing was sent."
    )
    assert hint.endswith("aise the budget with: flux config set budget.day USD")
    assert ("Wait until" in hint) == (price == "0.006")  # a cost above the budget of a whole day never fits
    assert json.loads(flux(f"{line} --json").out)["error"]["code"] == "too_expensive"
    assert service.count_posts() == len(entries()) == 1


def test_the_sandbox_ignores_budgets(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0")
    assert flux(f"gen x {SMALL} --sandbox -q").code == 0
    assert "budget" not in flux("cost --sandbox").out
    assert flux(f"gen x {SMALL}").code == 2
    assert service.requests == []


def test_paid_images_do_not_count_against_the_budget_again(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the missing images of a repeated command must fit in the budget."""
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.006")
    write_prompts("a", "b")
    line = f"gen --from prompts.txt {SMALL}"
    assert flux(line).code == flux(line).code == 0
    write_prompts("a", "b", "c")
    assert flux(line).code == flux(line).code == 0

    write_prompts("a", "b", "c", "d", "e")
    result = flux(line)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "flux: this would cost $0.004 (simulated), but only $0.00 is left of today's $0.006 budget"
    )
    assert flux(f"{line} --no-cache").err.startswith("flux: this would cost $0.01 (simulated),")
    assert read_paid_prompts(service) == ["a", "b", "c"]


def test_skipped_files_need_no_budget(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_BUDGET_MONTH", "0.004")
    write_prompts("a", "b")
    line = f"gen --from prompts.txt {SMALL} -o '{{slug}}.png' --skip-existing"
    assert flux(f"gen a {SMALL} -o a.png").code == 0
    assert flux(line).code == 0
    assert flux(f"gen a {SMALL} -o a.png --skip-existing").code == 0
    assert flux(line).code == 0
    assert read_paid_prompts(service) == ["a", "b"]


def test_a_reused_image_needs_no_budget(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.002")
    line = f"gen a {SMALL} --seed 1"
    assert flux(f"{line} -o a.png").code == flux(f"{line} -o b.png").code == 0
    assert flux(f"{line} -o c.png --no-cache").code == 2
    assert len(service.charges) == 1


# --- spending ------------------------------------------------------------------------------------------------------


def test_possible_charges_count_and_refused_requests_do_not(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.004")
    service.reply_with(*POST, make_refusal(400, 1100), make_refusal(429, 1400, **{"retry-after": "0"}))
    assert flux(f"gen x {SMALL}").code == 5
    assert flux(f"gen x {SMALL}").code == 0
    service.reply_with(*POST, (500, {}, b""))
    assert flux(f"gen x {SMALL}").code == 7
    assert (
        "flux: this would cost $0.002 (simulated), but only $0.00 is left of today's $0.004"
        in flux(f"gen x {SMALL}").err
    )


@pytest.mark.parametrize("resolve", ["--resubmit -y", "--dismiss"])
def test_resubmitted_and_dismissed_entries_still_count_as_possibly_charged(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, resolve: str
) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.005")
    service.reply_with(*POST, *[(500, {}, b"")] * 9)
    assert flux(f"gen x {SMALL}").code == 7
    for _ in range(8):
        flux(f"resolve - {resolve}", stdin=flux("history --state unknown -q").out)
        flux(f"gen x {SMALL} -o x.png")
    assert service.count_posts() == 2
    total, left = flux("cost").out.splitlines()
    assert total.split(maxsplit=2) == ["total", "$0.00", "2 tasks, plus up to $0.004 possibly charged"]
    assert left.split()[:2] == ["budget.day", "$0.001"]
    assert json.loads(flux("cost --json").out.splitlines()[0])["possibly_charged_usd"] == "0.004"


def test_budgets_renew_every_day_and_month(
    flux: Flux, service: Service, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.002")
    monkeypatch.setenv("FLUX_BUDGET_MONTH", "0.002")
    assert flux(f"gen x {SMALL}").code == 0
    # Both are spent, so waiting until tomorrow does not help.
    today = datetime.now()
    next_month = f"{today.year + today.month // 12}-{today.month % 12 + 1:02}-01"
    result = flux(f"gen x {SMALL}")
    assert "of this month's $0.002" in result.err
    assert f"Wait until {next_month}, or raise FLUX_BUDGET_MONTH" in result.err

    let_days_pass(home, 31)
    assert flux(f"gen x {SMALL}").code == 0
    let_days_pass(home, 2)
    monkeypatch.setenv("FLUX_BUDGET_MONTH", "1")
    assert flux(f"gen x {SMALL}").code == 0
    assert flux(f"gen x {SMALL}").code == 2


def test_each_profile_has_its_own_budget_and_amounts_are_exact(flux: Flux, service: Service, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        "[profiles.default]\nbudget.day = 0.3\n[profiles.other]\n[prices]\nschnell = 0.1\n"
    )
    (home / "config.toml").chmod(0o600)
    line = f"gen x {SMALL}"
    # In binary, three times 0.1 is more than 0.3.
    assert [flux(line).code for _ in range(4)] == [0, 0, 0, 2]
    assert flux(f"{line} --profile other").code == 0


def test_a_delayed_task_has_the_price_of_the_time_it_is_sent(flux: Flux, service: Service, home: Path) -> None:
    write_prompts("a")
    service.reply_with(*POST, *[make_refusal(500, 1500)] * 3)
    assert flux(f"gen --from prompts.txt {SMALL}").code == 13
    home.joinpath("config.toml").write_text("[prices]\nschnell = 0.5\n")
    home.joinpath("config.toml").chmod(0o600)
    assert flux(f"gen --from prompts.txt {SMALL}").code == 0
    assert flux("cost").out.split()[:2] == ["total", "$0.50"]


def test_cost_shows_the_remaining_budget(flux: Flux, service: Service) -> None:
    flux("config set budget.day 5")
    flux(f"gen x {SMALL}")
    total, left = flux("cost").out.splitlines()
    assert left.split()[:5] == ["budget.day", "$4.998", "left", "of", "$5.00;"]
    _, budget = map(json.loads, flux("cost --json").out.splitlines())
    del budget["until"]
    assert budget == {
        "schema": 1, "type": "budget", "name": "budget.day", "limit_usd": "5", "spent_usd": "0.002", "left_usd": "4.998",
    }  # fmt: skip
    flux("config set budget.day 0.001")
    assert "$0.00  left of $0.001; resets on " in flux("cost").out
    flux("config set budget.day ''")
    assert flux("cost").out.splitlines() == [total]


# --- several processes ---------------------------------------------------------------------------------------------


def test_parallel_processes_together_stay_within_the_budget(
    service: Service, start: Start, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six processes have passed the check before sending; the budget is enough for three."""
    monkeypatch.setenv("FLUX_BUDGET_MONTH", "0.006")
    monkeypatch.setenv("FLUX_CONCURRENCY", "6")
    with occupy_slots(6):
        processes = [start(f"gen 'boat {number}' {SMALL}") for number in range(6)]
        wait_until(lambda: len(entries()) == 6)
    results = [finish(process) for process in processes]

    assert sorted(result.code for result in results) == [0, 0, 0, 2, 2, 2]
    assert len(service.charges) == service.count_posts() == 3
    refused = next(result for result in results if result.code)
    assert (
        "flux: the next task would cost $0.002 (simulated), but only $0.00 is left of this month's $0.006 budget"
        in refused.err
    )


def test_a_batch_stops_when_another_process_spends_the_budget_and_continues_when_it_is_raised(
    flux: Flux, service: Service, start: Start, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.024")
    monkeypatch.setenv("FLUX_CONCURRENCY", "3")
    write_prompts(*"abcdefghijkl")
    line = f"gen --from prompts.txt {SMALL}"
    with occupy_slots(3):
        batch = start(f"{line} --json")
        wait_until(lambda: len(entries()) == 1)
        assert [flux(f"gen x {SMALL} -b 4 -j 4 -q").code for _ in range(2)] == [0, 0]
    stopped = finish(batch)

    assert stopped.code == 2
    *outcomes, summary = map(json.loads, stopped.out.splitlines())
    assert [row["state"] for row in outcomes if not row["error"]] == ["saved"] * 4
    refused = [row for row in outcomes if row["error"]]
    assert {row["error"]["code"] for row in refused} == {"too_expensive"}
    assert 1 <= len(refused) <= 3, "the batch continued after the first refusal"
    assert (summary["saved"], summary["not_started"], summary["cost_usd"]) == (4, 8, "0.008")
    assert service.count_posts() == 6

    assert flux(line).code == 2
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.04")
    rerun = flux(line)
    assert (rerun.code, len(rerun.out.split())) == (0, 12)
    assert rerun.err.splitlines()[-1].startswith("8 saved, 4 already saved; $0.016 (simulated) spent")
    assert read_paid_prompts(service) == [*"abcdefghijkl", "x", "x"]


def test_concurrent_journals_never_exceed_the_budget(home: Path) -> None:
    """Checking and spending the budget is one atomic step."""
    budget, price = Budget("day", Decimal("0.1")), Decimal("0.002")
    request, output = TaskRequest(TextToImage(prompt="x"), "m", 1), OutputPlan((home / "x.png",))

    def spend(_: int) -> int:
        with closing(Journal(home / "journal.db", home / "locks", Account("s", "p"))) as journal:
            for sent in range(25):
                entry = journal.plan(request, output, price=price)
                try:
                    journal.send(entry, [budget], 0.0)
                except BudgetError:
                    return sent
        return 25

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(spend, range(4))) == 50


# --- the calendar --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "period", "moment", "start", "end", "hours"),
    [
        ("UTC", "day", "2026-11-01T12:00", "2026-11-01", "2026-11-02", 24),
        ("UTC", "month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01", 31 * 24),
        ("UTC", "month", "2028-02-01T00:00", "2028-02-01", "2028-03-01", 29 * 24),
        ("Europe/Berlin", "day", "2026-03-29T05:00", "2026-03-29", "2026-03-30", 23),
        ("Europe/Berlin", "day", "2026-10-25T02:30", "2026-10-25", "2026-10-26", 25),
        # Midnight occurs twice; this is after the second.
        ("America/Havana", "day", "2026-11-01T00:30", "2026-11-01", "2026-11-02", 25),
    ],
)
def test_periods_follow_the_calendar(
    monkeypatch: pytest.MonkeyPatch, zone: str, period: Period, moment: str, start: str, end: str, hours: int
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = datetime.fromisoformat(moment).replace(fold=1).timestamp()
        first, last = Budget(period, limit=Decimal(1)).span(at)
        assert [f"{datetime.fromtimestamp(edge):%Y-%m-%d}" for edge in (first, last)] == [start, end]
        assert first <= at < last
        assert (last - first) / 3600 == hours
    finally:
        monkeypatch.undo()
        time.tzset()


# --- the settings --------------------------------------------------------------------------------------------------


def test_budgets_are_a_table_in_the_config_file(flux: Flux, home: Path) -> None:
    assert flux("config set budget.day 5").code == flux("config set budget.month 60.5").code == 0
    assert (home / "config.toml").read_text() == "[profiles.default.budget]\nday = 5\nmonth = 60.5\n"
    assert flux("config get budget.month").out == "60.5\n"
    assert flux("config set budget.day ''").code == 0
    assert [line.split()[:2] for line in flux("config list").out.splitlines() if "budget" in line] == [
        ["budget.day", "-"],
        ["budget.month", "60.5"],
    ]
    refused = flux("config set budget.week 5")
    assert (refused.code, refused.err.startswith("flux: unknown setting 'budget.week'")) == (2, True)
    problem = "flux: invalid budget.day 'nan': expected a number from 0 to 100000"
    assert flux("config set budget.day nan").err.startswith(problem)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"budget": {"week": 5}}, "unknown setting 'budget.week'"),
        ({"budget": 5}, "unknown setting 'budget'"),
        ({"budget": {"day": "much"}}, "invalid budget.day 'much' .*: expected a number"),
        ({"budget": {"day": {"usd": 5}}}, "invalid budget.day .*: expected a single value"),
        ({"budget": {"day": True}}, "invalid budget.day 'true' .*: expected a number"),
    ],
)
def test_invalid_budgets_are_rejected(table: JsonObject, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        resolve({"profiles": {"default": table}}, {}, {}, path=PATH)


def test_charges_of_a_mock_server_do_not_count_as_spending(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell without the variables of `flux sandbox` shows only the charges of PiAPI."""
    flux("gen fox -m schnell --size 64x64")
    assert flux("cost").out.split() == ["total", "$0.002", "1", "task"]
    assert flux("cost").err == "simulated: the sandbox charges nothing\n"
    monkeypatch.delenv("FLUX_BASE_URL")
    assert flux("cost").out.split() == ["total", "$0.00", "0", "tasks"]
    assert flux("cost").err == ""
