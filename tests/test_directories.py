"""Homes and working directories that do not exist or are not writable."""

import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import KEY, Flux, Result

Start = Callable[..., subprocess.Popen[str]]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such users, permissions and directories")
GEN = "gen x --sandbox --size 64x64"


def wait_for(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=30)
    return Result(process.returncode, out, err)


def get_checks(result: Result) -> dict[str, dict[str, object]]:
    """Return the checks that `doctor --json` printed, by name."""
    return {row["name"]: row for row in map(json.loads, result.out.splitlines())}


# --- no home ----------------------------------------------------------------------------------------------------------

UNKNOWN_USER = (
    "-c",
    "import pwd; pwd.getpwuid = lambda uid: {}[uid]; from flux_cli.__main__ import run; run()",
)
"""flux for a user whom the system does not know, for example in a container that runs with an arbitrary user ID."""


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("config path", {}),
        (GEN, {}),
        ("history", {"FLUX_HOME": "~/flux"}),
        (GEN, {"FLUX_HOME": "home", "FLUX_OUTPUT_DIR": "~/images"}),
    ],
)
def test_a_user_without_a_home_gets_a_hint_to_set_flux_home(start: Start, line: str, variables: dict[str, str]) -> None:
    result = wait_for(start(line, UNKNOWN_USER, env={"PATH": os.environ["PATH"], **variables}))
    assert (result.code, result.out) == (4, "")
    assert result.err.splitlines()[0].startswith("flux: no home directory: HOME is not set")
    assert result.err.splitlines()[1] == "      Set FLUX_HOME to a directory that you can write to"


def test_flux_home_replaces_the_home_directory(start: Start, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "FLUX_HOME": str(tmp_path / "home"), "FLUX_TIME_SCALE": "0.02"}
    assert wait_for(start(GEN, UNKNOWN_USER, env=env)).code == 0
    assert wait_for(start("doctor --sandbox --bundle report.zip", UNKNOWN_USER, env=env)).code == 0


@pytest.mark.parametrize("directory", ["/dev/null", "/proc"])
def test_without_a_writable_home_the_hint_and_doctor_name_flux_home(
    flux: Flux, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    if not Path(directory).exists():
        pytest.skip(f"no {directory}")
    monkeypatch.delenv("FLUX_HOME")
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", directory)
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    hint = "Set FLUX_HOME to a directory that you can write to"

    result = flux("gen x")
    assert (result.code, hint in result.err) == (12, True)
    diagnosis = flux("doctor --offline --json")
    assert (diagnosis.code, get_checks(diagnosis)["data dir"]["level"], get_checks(diagnosis)["data dir"]["hint"]) == (
        12,
        "problem",
        hint,
    )
    stored = flux("config set plan pro")
    assert (stored.code, hint[1:] in stored.err) == (4, True)
    assert flux("models -q").code == flux("config list").code == 0


# --- a read-only home -------------------------------------------------------------------------------------------------


def obey_permissions() -> None:
    """Make permissions apply to root too, once the process has started another program (Linux: capabilities)."""
    if sys.platform == "linux":
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.fixture
def read_only(home: Path) -> Iterator[Callable[[], None]]:
    """Return a function that removes all write permissions from the home."""

    def remove_permissions() -> None:
        for path in (*home.rglob("*"), home):
            path.chmod(0o500 if path.is_dir() else 0o400)

    yield remove_permissions
    for path in (home, *home.rglob("*")):
        path.chmod(0o700)


def test_a_read_only_home_can_be_read_but_nothing_is_submitted(
    flux: Flux, start: Start, home: Path, read_only: Callable[[], None]
) -> None:
    flux(f"{GEN} -o a.png")
    before = flux("history --sandbox").out
    (home / "sandbox" / "locks").mkdir(exist_ok=True)
    read_only()

    def run(line: str) -> Result:
        return wait_for(start(line, preexec_fn=obey_permissions))

    history = run("history --sandbox")
    assert (history.code, history.out) == (0, before)
    assert run("cost --sandbox").out.split()[1] == "$0.015"
    assert run("models --sandbox --json").out.count('"measured_tasks": 1') == 1
    refused = run(f"{GEN} -o b.png")
    assert (refused.code, "Set FLUX_HOME to a directory that you can write to" in refused.err) == (12, True)
    assert not Path("b.png").exists()
    found = get_checks(run("doctor --sandbox --json"))
    assert (found["data dir"]["level"], found["journal"]["level"]) == ("problem", "ok")


def test_a_read_only_journal_of_a_killed_process_is_read_with_its_log(
    flux: Flux, start: Start, home: Path, tmp_path: Path, read_only: Callable[[], None]
) -> None:
    journal, copy = home / "sandbox" / "journal.db", tmp_path / "copy"
    flux(f"{GEN} -o a.png")
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("SELECT * FROM entries").fetchall()  # SQLite empties the log when the last connection closes
        flux(f"{GEN} -o b.png")
        before = flux("history --sandbox").out
        shutil.copytree(home, copy)
    shutil.rmtree(home)
    copy.rename(home)
    assert (home / "sandbox" / "journal.db-wal").stat().st_size
    read_only()

    history = wait_for(start("history --sandbox", preexec_fn=obey_permissions))
    assert (history.code, history.out, len(before.splitlines())) == (0, before, 2)


# --- a deleted working directory --------------------------------------------------------------------------------------


@pytest.fixture
def deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the working directory, which was deleted."""
    directory = tmp_path / "deleted"
    directory.mkdir()
    monkeypatch.chdir(directory)
    directory.rmdir()
    return directory


@pytest.mark.usefixtures("deleted")
def test_without_a_working_directory_absolute_paths_work(flux: Flux, tmp_path: Path) -> None:
    result = flux(f"{GEN} -o {tmp_path}/a.png")
    assert (result.code, result.out) == (0, f"{tmp_path}/a.png\n")
    assert flux(f"{GEN} -d {tmp_path}/out").code == 0
    assert flux("history --sandbox").code == 0


@pytest.mark.usefixtures("deleted")
@pytest.mark.parametrize("line", [GEN, f"{GEN} -o a.png", f"{GEN} -d out", f"{GEN} --seed 1..2", "gallery --sandbox"])
def test_without_a_working_directory_relative_paths_are_refused(flux: Flux, line: str) -> None:
    result = flux(line)
    assert (result.code, result.out) == (11, "")
    assert result.err.startswith("flux: the working directory was deleted")


@pytest.mark.usefixtures("deleted")
def test_doctor_reports_a_deleted_working_directory(flux: Flux) -> None:
    found = get_checks(flux("doctor --sandbox --json"))
    assert found["output dir"]["message"] == "cannot write to .: the working directory was deleted"
