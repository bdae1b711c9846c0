"""`flux doctor`: checks, repairs, and bundles without secrets."""

import json
import os
import random
import re
import sqlite3
import stat
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flux_cli.errors import ExitCode
from flux_cli.journal.entries import Entry, State
from flux_cli.system.file_locks import Lock

from .conftest import KEY, Flux, Result
from .servers import Breaker, BreakingProxy, Service

GEN = 'gen "a boat" --seed 1 --size 256x256'
DAY = 86400
Entries = Callable[[], list[Entry]]


def read_checks(result: Result) -> dict[str, dict[str, object]]:
    """Return the checks that `--json` printed, by name; the last one of equal names."""
    return {row["name"]: row for row in map(json.loads, result.out.splitlines())}


def execute_sql(home: Path, sql: str, *values: object) -> None:
    """Change the journal directly."""
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        db.execute(sql, values)


def make_old_file(path: Path) -> Path:
    """Create a file that was not modified for two days."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - 2 * DAY,) * 2)
    return path


# --- checking ---------------------------------------------------------------------------------------------------------


def test_a_working_installation_passes_every_check(
    flux: Flux, service: Service, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_PLAN", "pro")
    flux("config set budget.day 5")
    flux(GEN)
    before = (home / "journal.db").read_bytes()
    result = flux("doctor")

    assert (result.code, result.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in result.out.splitlines()]
    assert {level for level, _ in lines} == {"ok"}
    output = "\n".join(rest for _, rest in lines)
    for expected in (
        "plan = pro (from FLUX_PLAN)",
        f"budget.day = 5 (from {home}/config.toml [profiles.default])",
        "…cdef from PIAPI_API_KEY; accepted by PiAPI",
        f"{service.origin}/api/v1 responds",
        "matches PiAPI's clock",
        "$1000.00",
        "pro: 15 tasks in parallel",
        f"{home}: writable",
        "intact, schema",
        "1 entry",
        "$4.985 of today's $5.00 left",
        "flux 0.1.0, Python 3.",
    ):
        assert expected in output
    assert service.count_posts() == 1
    assert (home / "journal.db").read_bytes() == before
    assert flux("doctor -q").out == ""


def test_checking_creates_no_files(flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    result = flux("doctor --offline --fix")

    assert result.code == 0
    assert "…cdef from PIAPI_API_KEY; not checked (offline)" in result.out
    assert not home.exists()
    assert list(Path.cwd().iterdir()) == []


def test_the_sandbox_passes_every_check(flux: Flux) -> None:
    flux(f"{GEN} --sandbox")
    result = flux("doctor --sandbox --json")
    assert (result.code, {row["level"] for row in read_checks(result).values()}) == (0, {"ok"})


def test_a_refused_key_is_reported_as_a_problem_with_the_key(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", "wrong-key-0123456789")
    result = flux("doctor --json")

    found = read_checks(result)
    assert (result.code, found["key"]["level"], found["key"]["exit_code"]) == (4, "problem", 4)
    assert "…6789 from PIAPI_API_KEY: PiAPI refused the key" in str(found["key"]["message"])
    assert found["key"]["hint"] == (
        "The key comes from PIAPI_API_KEY. Correct it, or unset it and store a key with: flux login"
    )
    assert found["PiAPI"]["level"] == "ok"
    assert "wrong-key" not in result.out + result.err


def test_a_missing_key_an_unreachable_api_and_a_broken_config_have_their_exit_codes(
    flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flux("doctor --offline").code == 4
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    monkeypatch.setenv("FLUX_BASE_URL", "http://127.0.0.1:1/api/v1")
    result = flux("doctor")
    assert result.code == 13
    assert "http://127.0.0.1:1/api/v1: could not reach PiAPI: connection refused" in result.out

    home.mkdir()
    (home / "config.toml").write_text(f"api_key = {KEY}")
    for line in ("doctor", "doctor --fix"):
        result = flux(line)
        assert (result.code, result.out.startswith("problem  configuration")) == (4, True)
        assert "config.toml, line 1: not valid TOML" in result.out
        assert "ok       versions" in result.out


def test_an_unusable_proxy_is_not_reported_as_a_problem_with_the_key(
    flux: Flux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:proxy-secret@127.0.0.1:1")
    result = flux("doctor --json")
    assert (result.code, read_checks(result)["PiAPI"]["level"], read_checks(result)["key"]["level"]) == (
        4,
        "problem",
        "ok",
    )
    assert "proxy-secret" not in result.out + result.err


def test_the_plan_is_compared_with_the_account(flux: Flux, service: Service) -> None:
    assert read_checks(flux("doctor --json"))["plan"]["message"] == "pro: 15 tasks in parallel"

    flux("config set concurrency 40")
    plan = read_checks(flux("doctor --json"))["plan"]
    assert plan["level"] == "warning"
    assert re.fullmatch(
        r"concurrency = 40 \(.*\) is more than your account \(plan pro\) allows: 15 tasks in parallel\. "
        "Use the account's limit: flux config set concurrency ''",
        str(plan["message"]),
    )


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a server whose clock is an hour behind, and whose account is empty."""

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - 3600)

        def do_GET(self) -> None:
            body = b'{"code": 200, "data": {"plan": "free", "equivalent_in_usd": 0}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        monkeypatch.setenv("FLUX_BASE_URL", f"http://127.0.0.1:{server.server_port}/api/v1")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("slow_clock")
def test_a_wrong_clock_and_an_empty_account_are_reported(flux: Flux) -> None:
    result = flux("doctor --json")

    found = read_checks(result)
    assert found["clock"]["level"] == "warning"
    assert "s ahead of PiAPI's" in str(found["clock"]["message"])
    assert (result.code, found["balance"]["level"]) == (6, "problem")


def test_unknown_outcomes_are_reported_with_their_price(
    flux: Flux, proxy: BreakingProxy, home: Path, entries: Entries
) -> None:
    proxy.breakers.append(Breaker(b"POST"))
    flux(GEN)
    flux(GEN.replace("--seed 1", "--seed 2"))
    execute_sql(home, "UPDATE entries SET state = 'sending', owner = 'dead' WHERE state = 'saved'")
    _unknown, dead = entries()

    found = read_checks(flux("doctor --json"))
    assert found["unknown"]["message"] == "1 task with an unknown outcome, up to $0.015 (simulated) possibly charged"
    assert found["unknown"]["hint"] == "See your options with: flux resolve"
    assert dead.id in str(found["sending"]["message"])
    assert entries()[1].state is State.SENDING

    fixed = flux("doctor --fix --json")
    assert f"fix: entry {dead.id} from sending to unknown" in fixed.err
    assert entries()[1].state is State.UNKNOWN
    found = read_checks(fixed)
    assert found["unknown"]["message"] == "2 tasks with an unknown outcome, up to $0.03 (simulated) possibly charged"
    assert "sending" not in found


def test_results_that_are_about_to_expire_are_reported(flux: Flux, service: Service, home: Path) -> None:
    flux(f"{GEN} --no-wait")
    assert "expiring" not in read_checks(flux("doctor --json"))
    assert "may be deleted" not in flux("history").err
    execute_sql(home, "UPDATE entries SET accepted = ?", time.time() - 6.8 * DAY)

    message = "1 paid result is not saved and may be deleted within a day, the first in 5 h"
    assert read_checks(flux("doctor --json"))["expiring"]["message"] == message
    assert flux("history").err.splitlines() == [
        "ID        SUBMITTED         STATE          COST  PROMPT  FILES",
        "* simulated by the sandbox, never charged",
        f"{message}. Download the images (no charge): flux resume --expiring",
    ]
    flux(f"{GEN} --no-wait --no-cache -o later.png")
    assert flux("resume --expiring -q").out == "a-boat-1.png\n"
    assert "may be deleted" not in flux("history").err
    assert flux("resume --expiring").err == "No images expire within a day.\n"
    assert flux("resume -q").out == "later.png\n"


def test_a_deleted_image_can_be_downloaded_again(flux: Flux, service: Service, home: Path) -> None:
    flux(GEN)
    Path("a-boat-1.png").unlink()
    missing = read_checks(flux("doctor --json"))["images"]
    assert missing["level"] == "warning"
    assert re.fullmatch(r"the images of 1 task are missing from disk \(\w{8}\)", str(missing["message"]))
    assert str(missing["hint"]).startswith("PiAPI keeps them for another 6 days. Download them again with: flux wait ")

    resumed = flux(str(missing["hint"]).partition("with: flux ")[2])
    assert (resumed.code, len(service.charges)) == (0, 1)
    assert Path(resumed.out.strip()).exists()
    assert "missing" not in read_checks(flux("doctor --json"))
    execute_sql(home, "UPDATE entries SET ended = ?", time.time() - 8 * DAY)
    Path(resumed.out.strip()).unlink()
    assert "missing" not in read_checks(flux("doctor --json"))


@pytest.mark.parametrize(("name", "protocol"), [("xterm-kitty", "kitty"), ("xterm", "half-block")])
def test_the_terminal_protocol_is_reported(
    flux: Flux, monkeypatch: pytest.MonkeyPatch, name: str, protocol: str
) -> None:
    for variable in ("TMUX", "STY", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", name)
    assert protocol in str(read_checks(flux("doctor --offline --json"))["terminal"]["message"])


# --- repairing --------------------------------------------------------------------------------------------------------


def test_only_old_leftovers_without_an_owner_are_removed(flux: Flux, service: Service, home: Path) -> None:
    flux("balance")
    (home / "config.toml").chmod(0o644)
    part, lock = make_old_file(Path(".flux-0123456789abcdef.part")), make_old_file(home / "locks" / "0123.lock")
    Path(".flux-fresh.part").touch()
    alive = Lock.try_take(make_old_file(home / "locks" / "4567.lock"))
    assert alive
    kept = [Path(".flux-fresh.part"), home / "locks" / "4567.lock", make_old_file(Path("mine.part"))]

    checked = flux("doctor")
    assert checked.code == 0
    assert "can be read by other users. Restrict it with: flux doctor --fix" in checked.out
    assert "1 unfinished file of interrupted runs" in checked.out
    assert "1 lock file of processes that no longer run" in checked.out
    assert part.exists()
    assert lock.exists()

    fixed = flux("doctor --fix")
    assert [line for line in fixed.err.splitlines() if line.startswith("fix: ")] == [
        f"fix: chmod 600 {home}/config.toml",
        f"fix: remove {part.absolute()}",
        f"fix: remove {lock}",
    ]
    assert "warning" not in fixed.out
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    assert not part.exists()
    assert not lock.exists()
    assert all(path.exists() for path in kept)
    alive.release()


def fill_journal(flux: Flux, home: Path) -> str:
    """Fill the journal with entries on several pages, all in one file; return the output of `history`."""
    for seed in range(1, 13):
        flux(f"gen '{'a boat ' * 100}' --seed {seed} --size 256x256 --no-wait")
    assert not (home / "journal.db-wal").exists()
    return flux("history").out


def find_page(path: Path, name: str) -> int:
    """Return the offset of the root page of a table or index, with pages of 4096 bytes."""
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return (int(page) - 1) * 4096


def test_a_damaged_journal_is_rebuilt_and_the_old_one_is_kept(flux: Flux, service: Service, home: Path) -> None:
    before, path = fill_journal(flux, home), home / "journal.db"
    offset = find_page(path, "entries_state")
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 4096] = b"\x55" * 4096
    path.write_bytes(damaged)
    assert flux("history").code == 12

    checked = flux("doctor")
    assert checked.code == 12
    assert "flux doctor --fix" in checked.out
    assert path.read_bytes() == damaged

    fixed = flux("doctor --fix")
    assert fixed.code == 0, fixed.out
    assert "recovered 12 of 12 entries" in fixed.err
    (kept,) = home.glob("journal.db.damaged-*")
    assert kept.read_bytes() == damaged
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert flux("history").out == before
    assert flux("resume -q").code == 0
    assert service.count_posts() == 12


def test_the_log_of_a_damaged_journal_is_also_read(flux: Flux, service: Service, home: Path) -> None:
    flux(GEN)
    path, log = home / "journal.db", home / "journal.db-wal"
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM entries").fetchall()  # SQLite empties the log when the last connection closes
        flux(GEN.replace("--seed 1", "--seed 2"))
        before, content, logged = flux("history").out, bytearray(path.read_bytes()), log.read_bytes()
    offset = find_page(path, "uploads")
    content[offset : offset + 4096] = b"\x55" * 4096
    path.write_bytes(content)
    log.write_bytes(logged)

    assert flux("doctor").code == 12
    fixed = flux("doctor --fix")
    assert (fixed.code, "recovered 2 of 2 entries" in fixed.err) == (0, True)
    assert flux("history").out == before
    kept = {name.name.partition(".damaged-")[2][15:]: name for name in home.glob("*.damaged-*")}
    assert kept[""].read_bytes() == content
    assert kept["-wal"].read_bytes() == logged


@pytest.mark.parametrize("size", [0, 99, None])
@pytest.mark.parametrize("logged", [True, False])
def test_a_journal_cut_to_nothing_is_not_mistaken_for_a_new_one(
    flux: Flux, service: Service, home: Path, size: int | None, logged: bool
) -> None:
    """SQLite would create a new one and remove the log, which has the entries of a killed process (`logged`)."""
    flux("history")
    path, log = home / "journal.db", home / "journal.db-wal"
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM entries").fetchall()
        flux(GEN)
        before, content, logs = flux("history").out, path.read_bytes(), log.read_bytes()
    if logged:
        log.write_bytes(logs)
    path.unlink() if size is None else path.write_bytes(content[:size])
    if size is None and not logged:
        assert flux("history").code == 0  # there is no sign of the old one
        return

    for line in (GEN, "resume", "history"):
        result = flux(line)
        assert (result.code, result.out) == (12, "")
        problem = "is missing, but its log exists" if size is None else f"is damaged ({size} byte"
        assert f"flux: the journal {path} {problem}" in result.err
        assert result.err.endswith("start a new one: flux doctor --fix\n")
    assert read_checks(flux("doctor --json"))["journal"]["level"] == "problem"
    fixed = flux("doctor --fix")
    assert (fixed.code, f"recovered {int(logged)} of {int(logged)} entries" in fixed.err) == (0, True)
    assert ("the new journal is empty" in fixed.err) is not logged
    assert flux("history").out == (before if logged else "")
    assert [kept.read_bytes() for kept in home.glob("*.damaged-*-wal")] == [logs] * logged
    assert service.count_posts() == 1


def test_a_truncated_journal_is_rebuilt(flux: Flux, service: Service, home: Path) -> None:
    fill_journal(flux, home)
    path = home / "journal.db"
    path.write_bytes(path.read_bytes()[:-4096])

    assert flux("doctor").code == 12
    fixed = flux("doctor --fix")
    assert fixed.code == 0
    assert flux("history").code == 0


def test_unreadable_entries_are_counted(flux: Flux, service: Service, home: Path) -> None:
    before, path = fill_journal(flux, home).splitlines(), home / "journal.db"
    offset = path.read_bytes().find(b'"seed":6,') // 4096 * 4096
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 4096] = bytes(4096)
    path.write_bytes(damaged)

    fixed = flux("doctor --fix")
    assert fixed.code == 0, fixed.out + fixed.err
    after = flux("history").out.splitlines()
    assert 0 < len(after) < 12
    assert set(after) < set(before)
    assert f"recovered {len(after)} of 12 entries" in fixed.err
    assert "could not be read. Tasks may have been charged" in fixed.err


def test_an_invalid_row_is_skipped(flux: Flux, service: Service, home: Path) -> None:
    flux(GEN)
    flux(GEN.replace("--seed 1", "--seed 2"))
    execute_sql(home, "UPDATE entries SET output = '{' WHERE number = 1")
    assert flux("doctor").code == 12

    fixed = flux("doctor --fix")
    assert (fixed.code, "recovered 1 of 2 entries" in fixed.err) == (0, True)
    assert len(flux("history").out.splitlines()) == 1


def test_an_unreadable_journal_is_unchanged(flux: Flux, service: Service, home: Path) -> None:
    path = home / "journal.db"
    home.mkdir()
    path.write_bytes(b"not a journal at all " * 1000)

    fixed = flux("doctor --fix")
    assert fixed.code == 12
    assert "no entry in" in fixed.err
    assert path.read_bytes() == b"not a journal at all " * 1000
    assert sorted(leftover.name for leftover in home.glob("*journal*")) == ["journal.db", "journal.db.lock"]


def test_random_damage_never_crashes_and_a_rebuilt_journal_works(flux: Flux, service: Service, home: Path) -> None:
    fill_journal(flux, home)
    path, rng = home / "journal.db", random.Random(2)
    whole, rebuilt = path.read_bytes(), 0
    for length in (99, 4096, len(whole) // 2, len(whole) - 4096, *[len(whole)] * 12):
        damaged = bytearray(whole[:length])
        offset = rng.randrange(length)
        damaged[offset : offset + 200] = rng.randbytes(len(damaged[offset : offset + 200]))
        path.write_bytes(damaged)
        assert flux("doctor --offline").code in (0, 12)
        fixed = flux("doctor --offline --fix")
        assert fixed.code in (0, 12), (offset, fixed.err)
        assert flux("history").code == fixed.code
        rebuilt += fixed.code == 0 and "recovered " in fixed.err
        for leftover in home.glob("journal.db*"):
            leftover.unlink()
    assert rebuilt > 3
    assert flux("history").code in set(ExitCode) - {ExitCode.BUG}


# --- the bundle -------------------------------------------------------------------------------------------------------

OTHER_KEY = "other-key-fedcba9876543210"


@pytest.fixture
def private_installation(flux: Flux, service: Service, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create an installation with two keys, a webhook with a secret in its URL, and a private prompt."""
    monkeypatch.setenv("HOME", str(home.parent))
    assert flux("login --no-check --profile client", stdin=OTHER_KEY).code == 0
    monkeypatch.setenv("FLUX_WEBHOOK", "https://hooks.example/?token=hook-secret")
    assert flux('gen "a secret boat" --seed 1 --size 256x256').code == 0
    assert flux("login --no-check", stdin=KEY).code == 0
    return home


def unpack(path: str) -> dict[str, str]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name).decode() for name in bundle.namelist()}


@pytest.mark.usefixtures("private_installation")
def test_a_bundle_contains_no_key_no_prompt_and_no_home_path(flux: Flux, home: Path) -> None:
    result = flux("doctor --bundle report.zip")
    assert (result.code, "Wrote report.zip. Review it before you share it." in result.err) == (0, True)
    assert stat.S_IMODE(Path("report.zip").stat().st_mode) == 0o600

    found = unpack("report.zip")
    assert sorted(found) == ["checks.json", "config.json", "entries.json", "journal.json", "versions.json"]
    everything = "".join(found.values())
    for secret in (KEY, OTHER_KEY, "hook-secret", "secret boat", "secret-boat", str(home.parent)):
        assert secret not in everything
    (entry,) = json.loads(found["entries.json"])
    assert (entry["state"], entry["op"], entry["files"]) == ("saved", "gen", 1)
    assert json.loads(found["journal.json"])["entries"] == {"saved": 1}
    assert json.loads(found["config.json"])["api_key"]["value"] == "set"

    second = flux("doctor --bundle report.zip")
    assert (second.code, second.out) == (11, "")


@pytest.mark.usefixtures("private_installation")
def test_keys_are_redacted_in_a_bundle_with_prompts(flux: Flux) -> None:
    flux(f'gen "a boat called {OTHER_KEY}" --seed 2 --size 256x256 -o b.png')
    flux("doctor --bundle report.zip --with-prompts")

    found = unpack("report.zip")
    prompts = [entry["prompt"] for entry in json.loads(found["entries.json"])]
    assert prompts == ["a boat called [key]", "a secret boat"]
    assert OTHER_KEY not in "".join(found.values())
    assert flux("doctor --with-prompts").code == 2


def test_a_bundle_is_written_for_a_broken_installation(flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    home.mkdir()
    (home / "journal.db").write_bytes(b"damaged" * 1000)
    assert flux("doctor --offline --bundle one.zip").code == 12
    assert "not a database" in unpack("one.zip")["journal.json"]
    (home / "config.toml").write_text("broken")
    assert flux("doctor --offline --bundle two.zip").code == 4
    assert "not valid TOML" in unpack("two.zip")["config.json"]


def test_a_spent_budget_names_the_variable_that_sets_it(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    flux("history")
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0")
    assert "or raise FLUX_BUDGET_DAY\n" in flux("doctor --offline").out
