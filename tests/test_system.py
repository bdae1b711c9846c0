"""Locks, syncs, signals and pipes as other systems have them, emulated where this one does it differently."""

import asyncio
import errno
import importlib.util
import io
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flux_cli.cli.output.output import Output
from flux_cli.config import api_key
from flux_cli.system import atomic_files, file_locks, signals

fcntl = pytest.importorskip("fcntl", reason="emulates Windows and macOS on other systems")


class Msvcrt(ModuleType):
    """Windows' locks on ranges of bytes: each belongs to an open file, and closing the file frees it."""

    LK_NBLCK = 2

    @staticmethod
    def locking(descriptor: int, mode: int, number: int) -> None:
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, number, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            raise OSError(errno.EACCES, "Permission denied") from error


def imported_on_windows(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module as it is there."""
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_on_windows", module.__file__ or "")
    assert spec
    assert spec.loader
    again = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        spec.loader.exec_module(again)
    return again


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`file_locks` as it is there."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("only Linux has locks on ranges that belong to an open file")
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt("msvcrt"))
    module = imported_on_windows(file_locks, monkeypatch)
    assert not hasattr(module, "fcntl")
    return module


@pytest.fixture(params=["here", "on Windows"])
def locks(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "here":
        return file_locks
    module: ModuleType = request.getfixturevalue("on_windows")
    return module


def test_many_share_a_lock_and_exclude_the_one_who_wants_it_alone(locks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    shared = [locks.hold(path, shared=True) for _ in range(30)]
    assert None not in shared
    assert locks.hold(path) is None
    for descriptor in shared[1:]:
        os.close(descriptor)
    assert locks.hold(path) is None
    os.close(shared[0])

    alone = locks.hold(path)
    assert alone is not None
    assert locks.hold(path) is None
    assert locks.hold(path, shared=True) is None
    os.close(alone)
    os.close(locks.hold(path, shared=True))


def test_those_who_check_a_lock_do_not_take_each_other_for_its_holder(locks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "dead.lock"
    assert not locks.is_held(path)
    path.touch()
    checking = locks.hold(path, shared=True)
    assert not locks.is_held(path)
    os.close(checking)
    held = locks.Lock.take(path)
    assert locks.is_held(path)
    held.release()
    assert not locks.is_held(path)


def test_a_lock_that_cannot_be_checked_counts_as_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert file_locks.is_held(tmp_path / "lock")
    assert not file_locks.is_held(tmp_path / "lock")


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How files are synced, on a Mac."""
    called = list[str]()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command: called.append(f"fcntl {command}"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: called.append("fsync"))
    return called


def test_a_mac_is_told_to_write_through_the_cache_of_its_drive(syncs: list[str], tmp_path: Path) -> None:
    atomic_files.write_atomic(tmp_path / "file", b"content")
    assert syncs == ["fcntl 51", "fsync"]  # the file, its folder


def test_a_file_system_without_it_is_synced_as_elsewhere(
    syncs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, command: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    atomic_files.write_atomic(tmp_path / "file", b"content")
    assert syncs == ["fsync", "fsync"]


def test_ctrl_break_requests_an_orderly_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is how programs on Windows stop another one; without a handler it ends the process at once."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGURG, raising=False)
    stop = imported_on_windows(signals, monkeypatch).Stop()

    async def work() -> str:
        signal.raise_signal(signal.SIGURG)
        for _ in range(1000):
            if stop.requested:
                break
            await asyncio.sleep(0.001)
        return "recorded"

    assert stop.run(work()) == "recorded"
    assert stop.signal_number == signal.SIGTERM
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL


@pytest.mark.parametrize(("system", "written"), [
    ("nt", "狐-ü.png".encode()),
    ("posix", b"\\u72d0-\xfc.png"),
])  # fmt: skip
def test_a_pipe_on_windows_gets_names_as_they_are(monkeypatch: pytest.MonkeyPatch, system: str, written: bytes) -> None:
    """Its regional encoding has most characters not at all; elsewhere the user has chosen the encoding."""
    pipe = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", system)
        output = Output(io.TextIOWrapper(pipe, encoding="cp1252"), io.StringIO())
    output.result("狐-ü.png")
    assert pipe.getvalue().strip() == written


@pytest.mark.parametrize(("system", "words"), [
    ("nt", [r"C:\bin\pass.exe", "show", "my key"]),
    ("posix", ["C:binpass.exe", "show", "my key"]),
])  # fmt: skip
def test_paths_in_the_command_for_the_key_keep_their_backslashes(
    monkeypatch: pytest.MonkeyPatch, system: str, words: list[str]
) -> None:
    started = list[list[str]]()

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        started.append(command)
        return subprocess.CompletedProcess(command, 0, b"a-key-0123456789abcdef\n")

    with monkeypatch.context() as patched:
        patched.setattr(os, "name", system)
        patched.setattr(subprocess, "run", run)
        api_key.key_from_command(r'C:\bin\pass.exe show "my key"', system)  # once per source
    assert started == [words]
