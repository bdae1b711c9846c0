"""Corner cases of submission and download that never occur in a normal run."""

import io
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.journal.entries import Account, State
from flux_cli.journal.journal import Journal

from .conftest import KEY, Flux
from .servers import Breaker, Reply, Service, run_breaking_proxy
from .test_promises import GEN, IMAGE, POLL, POST, Entries, Start, finish, make_refusal, wait_until


def run_in_bash(line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash in which `flux` is the program."""
    script = f'flux() {{ {sys.executable} -m flux_cli "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)


def make_jpeg() -> bytes:
    """Return a small, complete JPEG."""
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(content, "JPEG")
    return content.getvalue()


def test_nothing_is_submitted_after_a_signal(service: Service, start: Start, entries: Entries) -> None:
    service.reply_with(*POST, *[make_refusal(429, 1400, **{"retry-after": "0"})] * 100_000)
    process = start(GEN)
    wait_until(lambda: service.count_posts() > 3)
    process.send_signal(signal.SIGTERM)
    result = finish(process)

    assert result.code == -signal.SIGTERM
    assert "flux: interrupted. Not charged." in result.err
    posts = service.count_posts()
    assert posts < 200, "retries without a pause"
    assert service.charges == []
    assert [entry.state for entry in entries()] == [State.PLANNED]


def test_a_signal_after_the_last_output_changes_nothing() -> None:
    script = """
import os, signal
from flux_cli import __main__ as program
leave = program._leave

def interrupted(code):
    program._leave = leave
    os.kill(os.getpid(), signal.SIGINT)

program._leave = interrupted
program.run()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "show", "nothing"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("flux: 'nothing' is not a file, and no task has this ID")
    assert "Traceback" not in done.stderr


SIGNALLED = """
import os, signal, sys

left = int(sys.argv.pop(1))

def counts(event, _):
    global left
    if event == "import":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)

from flux_cli.__main__ import run
sys.addaudithook(counts)
run()
"""
"""Runs the program, and sends it a signal when it imports its n-th module. A signal from outside could arrive while Python
itself starts, before the program could handle it."""


def test_a_signal_at_any_point_of_the_startup_is_handled(service: Service, start: Start, entries: Entries) -> None:
    codes = list[int]()
    for number in itertools.count(1, 45):
        line = f"{GEN} --overwrite -o {number}.png"
        result = finish(start(line, program=["-c", SIGNALLED, str(number)]))
        assert result.code in (0, -signal.SIGINT)
        assert "Traceback" not in result.err
        codes.append(result.code)
        if result.code == 0:
            break
    assert len(codes) > 8
    known = {entry.task_id for entry in entries() if entry.task_id}
    assert {charge.id for charge in service.charges} <= known
    assert not [entry for entry in entries() if entry.state is State.UNKNOWN]


@pytest.mark.parametrize("length", ["", "content-length"])
def test_a_status_that_was_cut_off_is_polled_again_and_not_quoted(flux: Flux, service: Service, length: str) -> None:
    half = b'{"code": 200, "data": {"task_id": "flux_'
    headers = {"content-type": "application/json"} | ({} if length else {"content-length": "999"})
    service.reply_with(*POLL, (200, headers, half))
    result = flux(f"{GEN} -o boat.png")
    assert (result.code, '"code"' in result.err) == (0, False)
    assert "PiAPI's response was incomplete; trying again" in result.err


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 01 Jan 99999 00:00:00 GMT", "-5", "١٢"]
)
def test_an_invalid_retry_after_loses_no_task(flux: Flux, service: Service, date: str) -> None:
    flux(GEN + " --no-wait -q")
    task = service.charges[0].id
    body = json.dumps({"code": 200, "data": {"task_id": task, "status": "pending"}}).encode()
    service.reply_with(*POST, (200, {"retry-after": date.encode().decode("latin-1")}, body))

    assert flux(GEN + " --no-wait").out == f"{task}\n"


def test_a_key_echoed_by_a_server_is_redacted(flux: Flux, service: Service) -> None:
    echo = json.dumps({"code": 500, "message": f"bad key {KEY}", "key": KEY}).encode()
    service.reply_with(*POST, (500, {}, echo))
    assert flux(GEN + " --debug").code == 7
    assert "bad key [secret]" in flux("history --json").out
    # conftest searches every file and output for the key


def test_a_webhook_secret_is_redacted_in_the_trace(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", 'pa\\ss"wo  rd1234')
    result = flux(GEN + " --webhook https://example.com/hook --debug")

    assert result.code == 0
    assert "rd1234" not in result.err
    assert '"secret": "[secret]"' in result.err


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2> >(head -c 10 >/dev/null)"])
def test_a_broken_stderr_does_not_fail_the_command(service: Service, where: str) -> None:
    done = run_in_bash(f"flux {GEN} --debug {where}")

    assert (done.returncode, done.stdout) == (0, "a-boat-1.png\n")


def test_a_full_stdout_is_reported_and_a_closed_one_is_accepted(service: Service, entries: Entries) -> None:
    for line in ("--help", "gen --help", "--version", "completion bash", "models"):
        done = run_in_bash(f"flux {line} >/dev/full")
        assert (done.returncode, done.stderr.count("cannot write to stdout")) == (11, 1), line
    full = run_in_bash(f"flux {GEN} >/dev/full")
    assert full.returncode == 11
    assert "flux: cannot write to stdout" in full.stderr
    assert run_in_bash(f"flux {GEN} --no-cache >&-").returncode == 0
    assert run_in_bash("flux wait - <&-").returncode == 2
    assert [entry.state for entry in entries()] == [State.SAVED] * 2


def test_another_profile_cannot_end_an_entry(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    task = flux(GEN + " --no-wait").out.strip()
    service.reply_with(*POLL, *[make_refusal(404, 404, "task not found")] * 3)
    assert flux(f"wait {task} --profile other").code == 5

    assert flux("resume -q").out == "a-boat-1.png\n"


def test_only_consecutive_404s_end_a_task(flux: Flux, service: Service) -> None:
    flux(GEN + " --no-wait")
    missing = make_refusal(404, 404, "task not found")
    page: Reply = (404, {}, b"<html>no route</html>")
    task = service.charges[0].id
    service.reply_with(*POLL, *[missing, (500, {}, b""), missing, page, missing, (502, {}, b"")] * 2)

    assert flux(f"wait {task} --profile other -q").out == f"{task}.png\n"


def test_an_expired_entry_can_be_polled_again(flux: Flux, service: Service, entries: Entries) -> None:
    flux(GEN + " --no-wait")
    service.reply_with(*POLL, *[make_refusal(404, 404, "task not found")] * 999)
    assert flux("resume").code == 10
    (entry,) = entries()
    assert entry.state is State.EXPIRED

    service.scripted.clear()
    assert flux(f"wait {entry.id} -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 1


def test_the_status_of_a_submission_of_unknown_outcome_does_not_deny_a_charge(
    flux: Flux, service: Service, entries: Entries
) -> None:
    service.reply_with(*POST, (500, {}, b""))
    flux(GEN)
    (entry,) = entries()
    result = flux(f"status {entry.id}")

    assert result.code == 7
    assert 'no usable response to an earlier request: "a boat"' in result.err
    assert "Not charged" not in result.err
    assert "Nothing was sent" not in result.err


def test_a_key_that_is_refused_while_a_task_runs_loses_no_task(flux: Flux, service: Service) -> None:
    flux(GEN + " --no-wait")
    service.reply_with(*POLL, (403, {}, b"<html>blocked</html>"), make_refusal(401, 1200, "Authentication failed"))
    result = flux("resume")

    assert result.code == 4
    assert "flux: PiAPI refused the key: Authentication failed (code 1200). Charged ($0.015 simulated)." in result.err
    assert flux("resume -q").out == "a-boat-1.png\n"


def test_an_interrupted_submission_with_a_locked_journal_is_reported_as_possibly_charged(
    service: Service, home: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_breaking_proxy(service) as proxy:
        monkeypatch.setenv("FLUX_BASE_URL", f"{proxy.origin}/api/v1")
        proxy.breakers.append(Breaker(b"POST", hold=True))
        process = start(GEN)
        wait_until(lambda: len(service.charges) == 1)
        holder = sqlite3.connect(home / "journal.db")
        holder.execute("BEGIN IMMEDIATE")
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        result = finish(process)
        holder.close()

    assert result.code == -signal.SIGINT
    assert "It may have been charged ($0.015 simulated)" in result.err


def test_skip_existing_finds_an_image_by_its_real_extension(flux: Flux, service: Service) -> None:
    service.reply_with(*IMAGE, (200, {}, make_jpeg()))
    assert flux(GEN + " -o fox.png").out == "fox.jpg\n"

    skipped = flux(GEN + " -o fox.png --skip-existing")
    assert (skipped.code, skipped.out) == (0, "fox.jpg\n")
    assert len(service.charges) == 1


def test_overwrite_replaces_only_the_named_file(flux: Flux, service: Service) -> None:
    Path("fox.jpg").write_text("mine")
    service.reply_with(*IMAGE, (200, {}, make_jpeg()))

    assert flux(GEN + " -o fox.png --overwrite").out == "fox-2.jpg\n"
    assert Path("fox.jpg").read_text() == "mine"


def test_an_interrupted_image_for_stdout_is_resumed_as_a_file(flux: Flux, service: Service) -> None:
    flux(GEN + " -o - --timeout 0 -q")
    result = flux("resume -q")

    assert result.out.endswith("sandbox/images/a-boat-1.png\n") or result.out.endswith("images/a-boat-1.png\n")
    assert "PNG" not in result.out


def test_an_unwritable_directory_does_not_block_other_images(flux: Flux, service: Service) -> None:
    for number in range(4):
        flux(f"gen boat --seed {number} --size 64x64 -d dir{number} --no-wait")
    Path("dir0").rmdir()
    Path("dir0").write_text("in the way")
    result = flux("resume -j 1")

    assert result.code == 11
    assert sorted(result.out.split()) == [f"dir{number}/boat-{number}.png" for number in (1, 2, 3)]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://user:pass-word-123@[::1"])
def test_an_invalid_proxy_is_reported_without_its_value(
    flux: Flux, monkeypatch: pytest.MonkeyPatch, proxy: str, entries: Entries
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    result = flux(GEN)

    assert result.code == 4
    assert "proxy or certificate settings" in result.err
    assert "pass-word" not in result.err


def test_loopback_bypasses_proxies(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert flux(GEN).code == 0


def test_a_newer_or_broken_journal_sends_nothing(flux: Flux, service: Service, home: Path) -> None:
    flux("history")
    journal = home / "journal.db"
    with closing(sqlite3.connect(journal)) as newer, newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()
    result = flux(GEN)
    assert (result.code, "was written by a newer version of flux" in result.err) == (12, True)

    journal.write_bytes(b"not a database" * 100)
    for leftover in home.glob("journal.db-*"):
        leftover.unlink()
    result = flux(GEN)
    assert (result.code, f"cannot use the journal {journal}" in result.err) == (12, True)
    assert service.count_posts() == 0


def test_concurrent_processes_can_create_the_journal(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        Journal(path, tmp_path / "locks", Account("s", "p")).close()

    with ThreadPoolExecutor(8) as threads:
        for number in range(60):
            list(threads.map(make, [tmp_path / f"{number}.db"] * 8))


def test_an_entry_of_a_newer_version_can_be_downloaded(flux: Flux, service: Service, home: Path) -> None:
    flux(GEN + " --no-wait")
    with closing(sqlite3.connect(home / "journal.db")) as db, db:
        db.execute("UPDATE entries SET request = json_set(request, '$.op', 'hologram')")
    db.close()

    assert flux("history").code == 0
    assert flux("resume -q").out == "a-boat-1.png\n"


def test_hostile_texts_of_piapi_are_escaped(flux: Flux, service: Service) -> None:
    flux(GEN + " --no-wait")
    hostile = "\x1b]0;owned\x07 \u202egnp.exe [red]x[/red] " + "y" * 100_000
    data = {"task_id": service.charges[0].id, "status": "\x1b[2Jweird", "error": {"message": hostile}}
    body = json.dumps({"code": 200, "data": data}).encode()
    failed = json.dumps({"code": 200, "data": {**data, "status": "failed"}}).encode()
    service.reply_with(*POLL, (200, {}, body), (200, {}, failed))
    result = flux("resume -v --debug")

    assert result.code == 8
    assert "\\x1b[2jweird" in result.err
    assert not set(result.err) & set("\x1b\x07\u202e")
    assert max(map(len, result.err.splitlines())) < 2100
