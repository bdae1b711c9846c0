"""Journals that are locked, cut, damaged, older or newer: nothing is sent that cannot be written down."""

import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from flux_cli.errors import ExitCode
from flux_cli.journal import database
from flux_cli.journal.create import make_unless_there
from flux_cli.journal.entries import State
from flux_cli.journal.migrations import MIGRATIONS

from .conftest import Flux
from .servers import Service
from .test_promises import GEN, LOOK, Entries, task_reply

TABLE = next(number for number, statement in enumerate(MIGRATIONS, 1) if "CREATE TABLE entries" in statement)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is writing and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_locked_journal_can_be_read_and_sends_nothing(
    flux: Flux, service: Service, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    flux(GEN + " --no-wait")
    task = service.charges[0].id
    with locked(home / "journal.db"):
        for line in (GEN + " --no-cache", "resume", "wait another-task"):
            result = flux(line)
            assert (result.code, result.out) == (12, ""), line
            assert "cannot use the journal" in result.err or "is locked" in result.err
            assert "another flux holds it; try again" in result.err
        assert flux("history -q").code == 0
        assert flux(f"status {task}").code == 0

    assert service.posts() == 1
    assert flux("resume -q").out == "a-boat-1.png\n"


def filled(flux: Flux, service: Service) -> None:
    """A journal with entries in many states, all of it in the one file."""
    flux(GEN)
    flux("gen 'a ship' --seed 2 --size 64x64 -m schnell -b 2")
    service.answer("POST", "/api/v1/task", (500, {}, b"oops"))
    flux("gen 'a lost boat' --seed 3 --size 64x64")
    service.answer("POST", "/api/v1/task", (400, {}, b'{"code": 400, "message": "no boats"}'))
    flux("gen 'a forbidden boat' --seed 4 --size 64x64")
    flux("gen 'a late boat' --seed 5 --size 64x64 --no-wait")
    service.answer(*LOOK, task_reply(service, task_id=service.charges[-1].id, status="failed"))
    flux("resume")
    flux("gen 'a later boat' --seed 6 --size 64x64 --no-wait")


def test_a_journal_cut_anywhere_is_told_and_sends_nothing(flux: Flux, service: Service, home: Path) -> None:
    filled(flux, service)
    path = home / "journal.db"
    whole, posts = path.read_bytes(), service.posts()
    for length in (0, 1, 99, 100, 4095, 4096, 8192, len(whole) // 2, len(whole) - 4096):
        path.write_bytes(whole[:length])
        for line in ("history", GEN + " --no-cache", "resume"):
            result = flux(line)
            assert (result.code, result.out) == (12, ""), (length, line)
            begins, hint = f"cannot use the journal {path}: ", "find out what is wrong with it: flux doctor"
            if length < 100:  # no header is whole
                begins, hint = f"the journal {path} was cut to {length} byte", "begin a new one: flux doctor --fix"
            assert result.err.startswith(f"flux: {begins}")
            assert hint in result.err
        assert path.read_bytes()[:length] == whole[:length]
    assert service.posts() == posts


def test_a_damaged_journal_is_never_a_crash(flux: Flux, service: Service, home: Path) -> None:
    filled(flux, service)
    path = home / "journal.db"
    whole, chance = path.read_bytes(), random.Random(1)
    telling = (b"planned", b"saved", b"unknown", b'{"', b'["', b"0.0", b"sha256")
    likely = [place for word in telling for place in places(whole, word)]
    for place in [*chance.sample(likely, 15), *(chance.randrange(len(whole)) for _ in range(15))]:
        damaged = bytearray(whole)
        damaged[place : place + 3] = chance.randbytes(3)
        path.write_bytes(damaged)
        for line in ("history", "history --json -q", "cost", "resume --timeout 0"):
            result = flux(line)
            assert result.code in set(ExitCode) - {ExitCode.BUG}, (place, line, result.err)
            assert not set("\x1b\x9b\x07") & set(result.out + result.err)


def places(content: bytes, word: bytes) -> list[int]:
    """Where a word stands."""
    return [place for place in range(len(content)) if content.startswith(word, place)]


def of_version(path: Path, version: int) -> sqlite3.Connection:
    """A journal as the program wrote it when it had so many migrations."""
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
def test_a_journal_of_every_older_version_is_read_and_continued(
    flux: Flux, service: Service, home: Path, entries: Entries, version: int
) -> None:
    task = flux("gen 'an old boat' --seed 7 --size 64x64 --no-wait -q").out.strip()
    for path in home.glob("journal.db*"):
        path.unlink()
    old = of_version(home / "journal.db", version)
    if version >= TABLE:
        place = Path("old.png").absolute()
        output = f'{{"paths":["{place}"],"overwrite":false,"metadata":true}}'
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
        closing(of_version(home / "new.db", len(MIGRATIONS))) as new,
    ):
        query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        assert now.execute(query).fetchall() == new.execute(query).fetchall()
        assert now.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_migration_that_was_cut_off_is_made_again(flux: Flux, home: Path) -> None:
    version = len(MIGRATIONS) - 1
    old = of_version(home / "journal.db", version)
    old.execute("BEGIN IMMEDIATE")
    old.execute(MIGRATIONS[version])
    old.close()  # as if the power went: what was begun is undone

    assert flux("history").code == 0


def test_a_newer_journal_is_left_as_it_is(flux: Flux, service: Service, home: Path) -> None:
    new = of_version(home / "journal.db", len(MIGRATIONS))
    new.execute("ALTER TABLE entries ADD COLUMN mood TEXT")
    new.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    new.close()
    for line in (GEN, "history", "resume", "cost", "status some-task", "wait some-task", "rerun @last", "show @last"):
        result = flux(line)
        assert (result.code, result.out) == (12, ""), line
        assert "was written by a newer flux" in result.err
        assert "upgrade: pip install -U piapi-flux" in result.err

    assert service.posts() == 0
    with closing(sqlite3.connect(home / "journal.db")) as left:
        assert left.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert left.execute("SELECT count(mood) FROM entries").fetchone() == (0,)


def test_a_journal_in_use_is_not_replaced_by_another_new_one_where_there_are_no_hard_links(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, placed = threading.Barrier(2), list[str]()
    lexists, rename = os.path.lexists, os.rename

    def no_link(source: Path, target: Path, **_: bool) -> None:
        raise PermissionError(1, "Operation not permitted")

    def looked_for(path: Path) -> bool:
        found = lexists(path)
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.5)  # neither gives a name before the other has looked, if it may
        return found

    def renamed(source: Path, target: Path) -> None:
        placed.append(str(target))
        rename(source, target)

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(os.path, "lexists", looked_for)
    monkeypatch.setattr(os, "rename", renamed)
    home.mkdir()
    journal = home / "journal.db"
    with ThreadPoolExecutor(2) as threads:
        for made in [threads.submit(make_unless_there, journal) for _ in range(2)]:
            made.result()
    assert placed == [str(journal)]
    assert list(home.iterdir()) == [journal]
