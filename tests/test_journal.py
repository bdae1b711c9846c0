"""Locked, truncated, damaged, older and newer journals: nothing is sent that cannot be recorded."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from flux_cli.engine import submitter
from flux_cli.errors import ExitCode, UsageError
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal import database
from flux_cli.journal.budgets import Budget
from flux_cli.journal.database import Database, alone
from flux_cli.journal.entries import Account, Entry, State, error_of
from flux_cli.journal.journal import Journal
from flux_cli.journal.migrations import MIGRATIONS
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .conftest import Flux
from .servers import Service
from .test_promises import GEN, POLL, POST, Entries, Start, finish, make_task_reply, wait_until

TABLE = next(number for number, statement in enumerate(MIGRATIONS, 1) if "CREATE TABLE entries" in statement)


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a write lock, as another process does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_locked_journal_can_be_read_and_sends_nothing(
    flux: Flux, service: Service, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    flux(GEN + " --no-wait")
    task = service.charges[0].id
    with hold_lock(home / "journal.db"):
        for line in (GEN + " --no-cache", "resume", "wait another-task"):
            result = flux(line)
            assert (result.code, result.out) == (12, ""), line
            assert "cannot use the journal" in result.err or "is locked" in result.err
            assert "Another program keeps it locked; try again" in result.err
        assert flux("history -q").code == 0
        assert flux(f"status {task}").code == 0

    assert service.count_posts() == 1
    assert flux("resume -q").out == "a-boat-1.png\n"


def fill_journal(flux: Flux, service: Service) -> None:
    """Fill the journal with entries in many states, all in one file."""
    flux(GEN)
    flux("gen 'a ship' --seed 2 --size 64x64 -m schnell -b 2")
    service.reply_with("POST", "/api/v1/task", (500, {}, b"oops"))
    flux("gen 'a lost boat' --seed 3 --size 64x64")
    service.reply_with("POST", "/api/v1/task", (400, {}, b'{"code": 400, "message": "no boats"}'))
    flux("gen 'a forbidden boat' --seed 4 --size 64x64")
    flux("gen 'a late boat' --seed 5 --size 64x64 --no-wait")
    service.reply_with(*POLL, make_task_reply(service, task_id=service.charges[-1].id, status="failed"))
    flux("resume")
    flux("gen 'a later boat' --seed 6 --size 64x64 --no-wait")


def test_a_truncated_journal_is_reported_and_sends_nothing(flux: Flux, service: Service, home: Path) -> None:
    fill_journal(flux, service)
    path = home / "journal.db"
    whole, posts = path.read_bytes(), service.count_posts()
    for length in (0, 1, 99, 100, 4095, 4096, 8192, len(whole) // 2, len(whole) - 4096):
        path.write_bytes(whole[:length])
        for line in ("history", GEN + " --no-cache", "resume"):
            result = flux(line)
            assert (result.code, result.out) == (12, ""), (length, line)
            start, hint = f"cannot use the journal {path}: ", "Find out what is wrong with it: flux doctor"
            if length < 100:  # no header is complete
                start, hint = f"the journal {path} is damaged ({length} byte", "start a new one: flux doctor --fix"
            assert result.err.startswith(f"flux: {start}")
            assert hint in result.err
        assert path.read_bytes()[:length] == whole[:length]
    assert service.count_posts() == posts


def test_a_damaged_journal_never_crashes(flux: Flux, service: Service, home: Path) -> None:
    fill_journal(flux, service)
    path = home / "journal.db"
    whole, rng = path.read_bytes(), random.Random(1)
    words = (b"planned", b"saved", b"unknown", b'{"', b'["', b"0.0", b"sha256")
    likely = [offset for word in words for offset in find_offsets(whole, word)]
    for offset in [*rng.sample(likely, 15), *(rng.randrange(len(whole)) for _ in range(15))]:
        damaged = bytearray(whole)
        damaged[offset : offset + 3] = rng.randbytes(3)
        path.write_bytes(damaged)
        for line in ("history", "history --json -q", "cost", "resume --timeout 0"):
            result = flux(line)
            assert result.code in set(ExitCode) - {ExitCode.BUG}, (offset, line, result.err)
            assert not set("\x1b\x9b\x07") & set(result.out + result.err)


def find_offsets(content: bytes, word: bytes) -> list[int]:
    """Return the offsets of a word."""
    return [offset for offset in range(len(content)) if content.startswith(word, offset)]


def create_version(path: Path, version: int) -> sqlite3.Connection:
    """Create a journal as the program did when it had this number of migrations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[:version]:
        db.execute(statement)
    db.execute(f"PRAGMA user_version={version}")
    return db


OLD_ENTRY = {
    "id": "e0123456789abcdef",
    "state": "accepted",
    "profile": "default",
    "created": 1_700_000_000.5,
    "request": '{"op":"gen","model":"Qubico/flux1-dev","seed":7,"prompt":"an old boat","width":64,"height":64}',
    "price": "0.015",
    "submitted": 1_700_000_000.5,
    "accepted": 1_700_000_001.5,
    "urls": "[]",
    "files": "[]",
}


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_a_journal_of_any_version_is_migrated_and_used(
    flux: Flux, service: Service, home: Path, entries: Entries, version: int
) -> None:
    task = flux("gen 'an old boat' --seed 7 --size 64x64 --no-wait -q").out.strip()
    for path in home.glob("journal.db*"):
        path.unlink()
    old = create_version(home / "journal.db", version)
    if version >= TABLE:
        target = Path("old.png").absolute()
        output = f'{{"paths":["{target}"],"overwrite":false,"metadata":true}}'
        row = OLD_ENTRY | {"service": f"{service.origin}/api/v1", "task_id": task, "output": output}
        old.execute(f"INSERT INTO entries ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    old.close()

    result = flux("resume -q")
    assert (result.code, result.out) == (0, "old.png\n" if version >= TABLE else "")
    assert flux(GEN + " -q").out == "a-boat-1.png\n"
    expected = [("an old boat", State.SAVED)] if version >= TABLE else []
    assert [(entry.label, entry.state) for entry in entries()] == [*expected, ("a boat", State.SAVED)]
    with (
        closing(sqlite3.connect(home / "journal.db")) as now,
        closing(create_version(home / "new.db", len(MIGRATIONS))) as new,
    ):
        query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        assert now.execute(query).fetchall() == new.execute(query).fetchall()
        assert now.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_an_interrupted_migration_is_repeated(flux: Flux, home: Path) -> None:
    version = len(MIGRATIONS) - 1
    old = create_version(home / "journal.db", version)
    old.execute("BEGIN IMMEDIATE")
    old.execute(MIGRATIONS[version])
    old.close()  # as after a power failure: the transaction is rolled back

    assert flux("history").code == 0


def test_a_newer_journal_is_unchanged(flux: Flux, service: Service, home: Path) -> None:
    new = create_version(home / "journal.db", len(MIGRATIONS))
    new.execute("ALTER TABLE entries ADD COLUMN mood TEXT")
    new.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    new.close()
    for line in (GEN, "history", "resume", "cost", "status some-task", "wait some-task", "rerun @last", "show @last"):
        result = flux(line)
        assert (result.code, result.out) == (12, ""), line
        assert "was written by a newer version of flux" in result.err
        assert "Update your clone of flux, and install it again" in result.err

    assert service.count_posts() == 0
    with closing(sqlite3.connect(home / "journal.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert db.execute("SELECT count(mood) FROM entries").fetchone() == (0,)


def test_without_hard_links_a_journal_in_use_is_not_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, targets = threading.Barrier(2), list[str]()
    lexists, rename = os.path.lexists, os.rename

    def refuse_link(source: Path, target: Path, **_: bool) -> None:
        raise PermissionError(1, "Operation not permitted")

    def check_exists(path: Path) -> bool:
        found = lexists(path)
        with suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=0.5)  # neither renames before the other has checked, if possible
        return found

    def record_rename(source: Path, target: Path) -> None:
        targets.append(str(target))
        rename(source, target)

    monkeypatch.setattr(os, "link", refuse_link)
    monkeypatch.setattr(os.path, "lexists", check_exists)
    monkeypatch.setattr(os, "rename", record_rename)
    home.mkdir()
    journal = home / "journal.db"
    with ThreadPoolExecutor(2) as threads:
        for opened in [threads.submit(Database, journal) for _ in range(2)]:
            opened.result().close()
    assert targets == [str(journal)]
    assert sorted(path.name for path in home.iterdir()) == ["journal.db", "journal.db.lock"]


# --- damage that is not yet detected ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["entries", "entries_task", "entries_own_task", "entries_spent", "saved_files"])
def test_a_damaged_page_is_detected_before_anything_is_sent(
    flux: Flux, service: Service, home: Path, entries: Entries, name: str
) -> None:
    fill_journal(flux, service)
    path, posts = home / "journal.db", service.count_posts()
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    damaged = bytearray(path.read_bytes())
    damaged[(page - 1) * size : page * size] = b"\x55" * size
    path.write_bytes(damaged)

    result = flux("gen 'a new boat' --seed 9 --size 64x64")
    assert (result.code, result.out, service.count_posts()) == (12, "", posts)
    assert "Find out what is wrong with it: flux doctor" in result.err


def test_the_check_of_a_large_journal_is_cut_short(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(database, "CHECK_STEPS", 1)
    assert flux(GEN).code == flux(GEN.replace("--seed 1", "--seed 2")).code == 0


def test_an_open_journal_is_not_rebuilt_and_one_being_rebuilt_is_not_opened(
    flux: Flux, service: Service, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_journal(flux, service)
    path, posts = home / "journal.db", service.count_posts()
    whole = path.read_bytes()
    with closing(Journal(path, home / "locks", Account("any", "any"))):
        damaged = whole[:-4096]
        path.write_bytes(damaged)
        assert "is in use by a running flux" in flux("doctor --offline --fix").err
        assert path.read_bytes() == damaged
        assert not list(home.glob("*.damaged-*"))

    path.write_bytes(whole)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with alone(path):
        result = flux("gen 'a new boat' --seed 9 --size 64x64")
        assert (result.code, service.count_posts()) == (12, posts)
        assert "another process has been making or repairing it" in result.err
    assert flux("history").code == 0


def test_a_home_named_locked_is_not_reported_as_locked(
    flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "locked"
    home.mkdir()
    (home / "journal.db").write_bytes(b"not a database" * 100)
    monkeypatch.setenv("FLUX_HOME", str(home))
    assert "Find out what is wrong with it: flux doctor" in flux("history").err


# --- a task belongs to one entry -------------------------------------------------------------------------------------


def plan_and_send(journal: Journal, prompt: str) -> Entry:
    request = TaskRequest(TextToImage(prompt=prompt), "Qubico/flux1-schnell", 7)
    return journal.send(journal.plan(request, OutputPlan((Path("x.png"),)), price=Decimal("0.002")), (), 0)


def test_only_one_of_two_concurrent_links_to_a_task_succeeds(home: Path) -> None:
    """Each waits until both are about to write."""
    account = Account("https://api.example", "default")

    def link(task: str) -> bool:
        with closing(Journal(home / "journal.db", home / "locks", account)) as journal:
            entry = plan_and_send(journal, task)
            entry = journal.move(entry, replace(entry, state=State.UNKNOWN))
            barrier.wait()
            with suppress(UsageError):
                return journal.link(entry, task, "pending", None).task_id == task
            return False

    with ThreadPoolExecutor(2) as threads:
        for number in range(20):
            barrier = threading.Barrier(2)
            assert sorted(threads.map(link, [f"task-{number}"] * 2)) == [False, True]


def test_two_submissions_may_return_the_same_task(flux: Flux, service: Service, entries: Entries) -> None:
    """A mock of PiAPI may use the same ID for all tasks."""
    flux("gen 'a boat' --seed 1 --size 64x64")
    service.reply_with(*POST, make_task_reply(service))
    assert flux("gen 'a ship' --seed 2 --size 64x64").code == 0
    first, second = entries()
    assert (first.task_id, first.joined) == (second.task_id, None)
    assert (second.state, second.joined) == (State.SAVED, first.id)


@pytest.mark.parametrize("replaced", [False, True])
def test_deleting_or_replacing_the_journal_stops_further_submissions(
    flux: Flux, service: Service, home: Path, replaced: bool
) -> None:
    flux("history")
    journal = home / "journal.db"
    backup = journal.read_bytes()

    def lose() -> None:
        journal.unlink()
        if replaced:
            journal.write_bytes(backup)

    service.hooks[POST] = lose
    Path("prompts.txt").write_text("boat\nship\n")
    result = flux("gen --from prompts.txt -m schnell --size 64x64 -j 1 -o {slug}.png")

    assert (result.code, result.out) == (12, "boat.png\n"), result.err
    assert f"flux: the journal {journal} was deleted or replaced while flux was using it; nothing more" in result.err
    assert "Put the file back first" in result.err
    assert len(service.charges) == 1


def test_a_log_deleted_after_a_kill_is_reported_before_anything_is_charged_again(
    flux: Flux, service: Service, home: Path, start: Start, entries: Entries
) -> None:
    """The newest entries are only in the log, and SQLite does not report a missing log."""
    flux("history")
    process = start(GEN)
    service.hooks[POST] = process.kill
    finish(process)
    for suffix in ("-wal", "-shm"):
        (home / f"journal.db{suffix}").unlink()

    for line in (GEN, "resume", "history", "doctor"):
        result = flux(line)
        assert result.code == 12, line
        assert "that flux had sent before it was killed" in result.out + result.err
    assert service.count_posts() == 1

    result = flux("doctor --fix")
    assert "fix: forget " in result.err
    assert flux("history").code == 0
    assert entries() == []
    assert list((home / "locks").iterdir()) == []


@pytest.mark.parametrize("state", [state for state in State if state is not State.PLANNED])
def test_only_planned_entries_are_reported_as_not_sent(home: Path, state: State) -> None:
    entry = Entry("e1", state, "s", "p", OutputPlan((home / "x.png",)), 0.0, task_id="task-1")
    assert "never sent" not in error_of(entry).message


# --- locked by another program ---------------------------------------------------------------------------------------


def test_a_response_is_recorded_when_a_locked_journal_is_released(
    flux: Flux, service: Service, home: Path, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(submitter, "LOCK_SECONDS", 0.01)
    monkeypatch.setattr(submitter, "LOCK_PAUSE", 0.01)
    flux("history")
    holder = sqlite3.connect(home / "journal.db", isolation_level=None, check_same_thread=False)

    def lock() -> None:
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.4, holder.execute, ("ROLLBACK",)).start()

    for code in (0, 7):
        service.hooks[POST] = lock
        if code:
            service.reply_with(*POST, (500, {}, b'{"task_id": "seen-task-1"'))
        result = flux(f"gen 'boat {code}' --seed 1 --size 64x64")
        assert result.code == code
        assert "waiting for another program that keeps the journal locked" in result.err
    holder.close()
    saved, unknown = entries()
    assert saved.state is State.SAVED
    assert (unknown.state, unknown.seen_id) == (State.UNKNOWN, "seen-task-1")
    assert (service.count_posts(), len(service.charges)) == (2, 1)


def test_the_task_id_is_kept_if_the_journal_stays_locked(
    flux: Flux, service: Service, home: Path, start: Start, entries: Entries
) -> None:
    flux("history")
    process = start(GEN)
    with closing(sqlite3.connect(home / "journal.db", isolation_level=None, check_same_thread=False)) as holder:
        service.hooks[POST] = lambda: holder.execute("BEGIN IMMEDIATE") and None
        wait_until(lambda: len(service.charges) == 1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        result = finish(process)
    task = service.charges[0].id
    assert f"task {task} was accepted, but could not be recorded" in result.err
    assert "Its ID is kept; when the journal can be written, download its image with: flux resume" in result.err
    assert result.code == -signal.SIGINT
    assert [entry.state for entry in entries()] == [State.SENDING]
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert [entry.task_id for entry in entries()] == [task]


# --- many entries, invalid times, other systems ----------------------------------------------------------------------


def test_lookups_use_an_index(home: Path) -> None:
    statements = list[str]()
    request = TaskRequest(TextToImage(prompt="x"), "Qubico/flux1-dev", 1)
    with closing(Journal(home / "journal.db", home / "locks", Account("s", "p"))) as journal:
        entry = plan_and_send(journal, "x")
        journal._db.connection.set_trace_callback(statements.append)
        journal.find("x")
        journal.find_by_identity("x")
        journal.find_replacement(entry)
        journal.last_saved()
        journal.find_duplicate(request, 60)
        journal.find_seed(request, 60)
        journal.allowances([Budget("day", Decimal(1))])
        journal.task_durations.find_kind("Qubico/flux1-dev", "gen", 50)
        journal.image_urls.find_result("0" * 64, 0)
        journal.image_urls.find_upload("0" * 64, alive_until=0)
        journal.entries(State.UNKNOWN)
        journal.entries(task_id="x")
        journal.find_dead()
        journal.accept(entry, "task-1", "pending")
        journal._db.connection.set_trace_callback(None)
        queries = [statement for statement in statements if statement.lstrip().startswith(("SELECT", "UPDATE"))]
        assert len(queries) > 13
        for query in queries:
            steps = [row["detail"] for row in journal._db.connection.execute(f"EXPLAIN QUERY PLAN {query}")]
            by_all = [
                step for step in steps if step.startswith("SCAN entries") or step.endswith("(service=? AND profile=?)")
            ]
            assert not by_all, query


def test_invalid_times_hide_no_entry(flux: Flux, service: Service, home: Path) -> None:
    flux(GEN)
    with closing(Journal(home / "journal.db", home / "locks", Account("s", "default"), now=lambda: 1e15)) as journal:
        entry = plan_and_send(journal, "a boat")
        entry = journal.move(entry, replace(entry, state=State.UNKNOWN))
        linked = journal.link(entry, "task-1", "completed", -1e12)
        journal.move(linked, replace(linked, state=State.READY, ended=1e300))
    assert flux("history").code == 0
    assert flux("doctor --offline").code == 0


def test_the_journal_uses_full_fsync_on_macos(home: Path) -> None:
    with closing(Database(home / "journal.db")) as db:
        assert db.connection.execute("PRAGMA fullfsync").fetchone()[0] == 1
