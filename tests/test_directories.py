"""Homes and working directories that do not exist, or where nothing can be written."""

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


def ended(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=30)
    return Result(process.returncode, out, err)


def checks(result: Result) -> dict[str, dict[str, object]]:
    """Return what `doctor --json` printed, by name."""
    return {row["name"]: row for row in map(json.loads, result.out.splitlines())}


# --- no home ----------------------------------------------------------------------------------------------------------

UNKNOWN_USER = (
    "-c",
    "import pwd; pwd.getpwuid = lambda uid: {}[uid]; from flux_cli.__main__ import run; run()",
)
"""flux, for a user whom the system does not know, as in a container that runs with any user ID."""


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("config path", {}),
        (GEN, {}),
        ("history", {"FLUX_HOME": "~/flux"}),
        (GEN, {"FLUX_HOME": "home", "FLUX_OUTPUT_DIR": "~/images"}),
    ],
)
def test_a_user_without_a_home_is_told_to_set_flux_home(start: Start, line: str, variables: dict[str, str]) -> None:
    result = ended(start(line, UNKNOWN_USER, env={"PATH": os.environ["PATH"], **variables}))
    assert (result.code, result.out) == (4, "")
    assert result.err.splitlines()[0].startswith("flux: no home directory: HOME is not set")
    assert result.err.splitlines()[1] == "      Set FLUX_HOME to a directory that you can write to"


def test_flux_home_is_enough(start: Start, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "FLUX_HOME": str(tmp_path / "home"), "FLUX_TIME_SCALE": "0.02"}
    assert ended(start(GEN, UNKNOWN_USER, env=env)).code == 0
    assert ended(start("doctor --sandbox --bundle report.zip", UNKNOWN_USER, env=env)).code == 0


@pytest.mark.parametrize("place", ["/dev/null", "/proc"])
def test_where_nothing_can_be_written_the_hint_and_doctor_name_flux_home(
    flux: Flux, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if not Path(place).exists():
        pytest.skip(f"no {place}")
    monkeypatch.delenv("FLUX_HOME")
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", place)
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    hint = "Set FLUX_HOME to a directory that you can write to"

    result = flux("gen x")
    assert (result.code, hint in result.err) == (12, True)
    looked = flux("doctor --offline --json")
    assert (looked.code, checks(looked)["data dir"]["level"], checks(looked)["data dir"]["hint"]) == (
        12,
        "problem",
        hint,
    )
    stored = flux("config set plan pro")
    assert (stored.code, hint[1:] in stored.err) == (4, True)
    assert flux("models -q").code == flux("config list").code == 0


# --- a home that is read-only -----------------------------------------------------------------------------------------


def obey_permissions() -> None:
    """Have permissions apply to root too, once the process has started another program (Linux: capabilities)."""
    if sys.platform == "linux":
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.fixture
def read_only(home: Path) -> Iterator[Callable[[], None]]:
    """Return a function that takes all write permissions from the home."""

    def close() -> None:
        for path in (*home.rglob("*"), home):
            path.chmod(0o500 if path.is_dir() else 0o400)

    yield close
    for path in (home, *home.rglob("*")):
        path.chmod(0o700)


def test_what_a_read_only_home_remembers_can_be_read_but_nothing_is_submitted(
    flux: Flux, start: Start, home: Path, read_only: Callable[[], None]
) -> None:
    flux(f"{GEN} -o a.png")
    before = flux("history --sandbox").out
    (home / "sandbox" / "locks").mkdir(exist_ok=True)
    read_only()

    def run(line: str) -> Result:
        return ended(start(line, preexec_fn=obey_permissions))

    history = run("history --sandbox")
    assert (history.code, history.out) == (0, before)
    assert run("cost --sandbox").out.split()[1] == "$0.015"
    assert run("models --sandbox --json").out.count('"measured_tasks": 1') == 1
    refused = run(f"{GEN} -o b.png")
    assert (refused.code, "Set FLUX_HOME to a directory that you can write to" in refused.err) == (12, True)
    assert not Path("b.png").exists()
    found = checks(run("doctor --sandbox --json"))
    assert (found["data dir"]["level"], found["journal"]["level"]) == ("problem", "ok")


def test_a_read_only_journal_that_a_killed_process_left_is_read_with_its_log(
    flux: Flux, start: Start, home: Path, tmp_path: Path, read_only: Callable[[], None]
) -> None:
    journal, copy = home / "sandbox" / "journal.db", tmp_path / "copy"
    flux(f"{GEN} -o a.png")
    with closing(sqlite3.connect(journal)) as other:
        other.execute("SELECT * FROM entries").fetchall()  # SQLite empties the log when the last connection closes
        flux(f"{GEN} -o b.png")
        before = flux("history --sandbox").out
        shutil.copytree(home, copy)
    shutil.rmtree(home)
    copy.rename(home)
    assert (home / "sandbox" / "journal.db-wal").stat().st_size
    read_only()

    history = ended(start("history --sandbox", preexec_fn=obey_permissions))
    assert (history.code, history.out, len(before.splitlines())) == (0, before, 2)


# --- a working directory that was deleted -----------------------------------------------------------------------------


@pytest.fixture
def deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, which does not exist."""
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    return folder


@pytest.mark.usefixtures("deleted")
def test_without_a_working_directory_absolute_names_work(flux: Flux, tmp_path: Path) -> None:
    result = flux(f"{GEN} -o {tmp_path}/a.png")
    assert (result.code, result.out) == (0, f"{tmp_path}/a.png\n")
    assert flux(f"{GEN} -d {tmp_path}/out").code == 0
    assert flux("history --sandbox").code == 0


@pytest.mark.usefixtures("deleted")
@pytest.mark.parametrize("line", [GEN, f"{GEN} -o a.png", f"{GEN} -d out", f"{GEN} --seed 1..2"])
def test_without_a_working_directory_relative_names_are_refused(flux: Flux, line: str) -> None:
    result = flux(line)
    assert (result.code, result.out) == (11, "")
    assert result.err.startswith("flux: the working directory was deleted")


@pytest.mark.usefixtures("deleted")
def test_doctor_reports_a_deleted_working_directory(flux: Flux) -> None:
    found = checks(flux("doctor --sandbox --json"))
    assert found["output dir"]["message"] == "cannot write to .: the working directory was deleted"
