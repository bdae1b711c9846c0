"""Locks, syncs, signals and pipes of other systems, emulated where this system differs."""

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
    """Locks of Windows on ranges of bytes. Each belongs to an open file, and is released when that file is closed."""

    LK_NBLCK = 2

    @staticmethod
    def locking(descriptor: int, mode: int, number: int) -> None:
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, number, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            raise OSError(errno.EACCES, "Permission denied") from error


def import_on_windows(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module as Windows imports it."""
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_on_windows", module.__file__ or "")
    assert spec
    assert spec.loader
    copy = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        spec.loader.exec_module(copy)
    return copy


@pytest.fixture
def windows_locks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return `file_locks` as Windows imports it."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("only Linux has locks on ranges that belong to an open file")
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt("msvcrt"))
    module = import_on_windows(file_locks, monkeypatch)
    assert not hasattr(module, "fcntl")
    return module


@pytest.fixture(params=["here", "on Windows"])
def locks(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "here":
        return file_locks
    module: ModuleType = request.getfixturevalue("windows_locks")
    return module


def test_a_shared_lock_excludes_an_exclusive_one(locks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    shared = [locks.try_lock(path, shared=True) for _ in range(30)]
    assert None not in shared
    assert locks.try_lock(path) is None
    for descriptor in shared[1:]:
        os.close(descriptor)
    assert locks.try_lock(path) is None
    os.close(shared[0])

    exclusive = locks.try_lock(path)
    assert exclusive is not None
    assert locks.try_lock(path) is None
    assert locks.try_lock(path, shared=True) is None
    os.close(exclusive)
    os.close(locks.try_lock(path, shared=True))


def test_checking_a_lock_does_not_hold_it(locks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "dead.lock"
    assert not locks.is_held(path)
    path.touch()
    checking = locks.try_lock(path, shared=True)
    assert not locks.is_held(path)
    os.close(checking)
    held = locks.Lock.try_take(path)
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
    """Emulate a Mac, and return the calls that sync files."""
    calls = list[str]()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command: calls.append(f"fcntl {command}"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    return calls


def test_a_mac_syncs_through_the_cache_of_its_drive(syncs: list[str], tmp_path: Path) -> None:
    atomic_files.write_atomic(tmp_path / "file", b"content")
    assert syncs == ["fcntl 51", "fsync"]  # the file, its directory


def test_a_file_system_without_full_sync_is_synced_normally(
    syncs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, command: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    atomic_files.write_atomic(tmp_path / "file", b"content")
    assert syncs == ["fsync", "fsync"]


def test_ctrl_break_requests_an_orderly_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs on Windows stop others with it. Without a handler, it ends the process immediately."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGURG, raising=False)
    stop = import_on_windows(signals, monkeypatch).Stop()

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
def test_a_pipe_on_windows_receives_names_in_utf_8(
    monkeypatch: pytest.MonkeyPatch, system: str, written: bytes
) -> None:
    """Its regional encoding lacks most characters. On other systems, the user has chosen the encoding."""
    pipe = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", system)
        output = Output(io.TextIOWrapper(pipe, encoding="cp1252"), io.StringIO())
    output.print_line("狐-ü.png")
    assert pipe.getvalue().strip() == written


@pytest.mark.parametrize(("system", "arguments"), [
    ("nt", [r"C:\bin\pass.exe", "show", "my key"]),
    ("posix", ["C:binpass.exe", "show", "my key"]),
])  # fmt: skip
def test_paths_in_the_key_command_keep_their_backslashes(
    monkeypatch: pytest.MonkeyPatch, system: str, arguments: list[str]
) -> None:
    started = list[list[str]]()

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        started.append(command)
        return subprocess.CompletedProcess(command, 0, b"a-key-0123456789abcdef\n")

    with monkeypatch.context() as patched:
        patched.setattr(os, "name", system)
        patched.setattr(subprocess, "run", run)
        api_key.key_from_command(r'C:\bin\pass.exe show "my key"', system)  # cached per source
    assert started == [arguments]
