"""Disks that are full, closed, or hold something else under the name: what is paid for is kept, what is there stays."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flux_cli.journal.entries import State

from .conftest import Flux, Result
from .servers import Service
from .test_promises import GEN, LOOK, PICTURE, POST, Entries, Start, finish, wait_until

ROOT_NEEDS = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
"""What goes before a command so that permissions hold for it, too."""
permissions = pytest.mark.skipif(
    bool(ROOT_NEEDS) and shutil.which("setpriv") is None, reason="root may write anywhere, and setpriv is not installed"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one process limit another")


def limited(pid: int, size: int) -> None:
    """From now on the process can make no file longer than `size` bytes, as if the disk were full."""
    import resource

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def run(script: str, *before: str) -> Result:
    """A line of bash in which `flux` is the program; `before`: what makes room for it or takes it away."""
    shell = f'flux="{sys.executable} -m flux_cli"; {script.replace("flux ", "$flux ")}'
    done = subprocess.run([*before, "bash", "-c", shell], capture_output=True, text=True, timeout=30, check=False)
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def as_plain_user(line: str) -> Result:
    """The program as somebody for whom permissions hold."""
    return run(f"flux {line}", *ROOT_NEEDS)


@linux
def test_a_disk_that_is_full_when_the_answer_comes_does_not_lose_the_task(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    process = start(GEN)
    service.hooks[POST] = lambda: limited(process.pid, 0)
    result = finish(process)

    (task,) = [charge.id for charge in service.charges]
    assert (result.code, result.out) == (7, "")
    assert f"flux: task {task} was accepted, but could not be recorded" in result.err
    assert f"      Keep this ID; download its image with: flux wait {task}" in result.err
    assert [entry.state for entry in entries()] == [State.SENDING]
    assert flux(f"wait {task} -q").out == "a-boat-1.png\n"  # the task is recognised as that submission's
    assert flux("resume").code == 0
    assert service.count_posts() == 1


@linux
@pytest.mark.parametrize("damaged", [False, True])
def test_a_disk_that_is_full_when_the_answer_comes_keeps_the_id_in_the_room_that_it_has(
    flux: Flux, service: Service, entries: Entries, start: Start, home: Path, damaged: bool
) -> None:
    """Files that exist can be overwritten, and none grows: no table of the journal is as short as that."""
    process = start(f"{GEN} -o boat.png")
    service.hooks[POST] = lambda: limited(process.pid, 4096)
    if damaged:
        service.reply_with(*POST, (500, {}, b'{"task_id": "seen-task-1"'))
    result = finish(process)

    assert (result.code, result.out) == (7, "")
    (lock,) = (home / "locks").iterdir()
    os.utime(lock, (0, 0))
    assert str(lock) not in flux("doctor --fix").err  # it removes old locks, but not what is in one
    if not damaged:
        (task,) = [charge.id for charge in service.charges]
        assert f"flux: task {task} was accepted, but could not be recorded" in result.err
        assert "Its ID is kept; when the journal can be written, download its image with: flux resume" in result.err
        assert flux("resume -q").out == "boat.png\n"
        assert [(entry.state, entry.task_id) for entry in entries()] == [(State.SAVED, task)]
    else:
        assert flux("history").code == 0
        assert [(entry.state, entry.seen_id) for entry in entries()] == [(State.UNKNOWN, "seen-task-1")]
    assert list((home / "locks").iterdir()) == []
    assert service.count_posts() == 1


@linux
def test_a_disk_that_is_full_before_the_submission_sends_nothing(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    flux("gen first --size 256x256 --no-wait --seed 1")
    done = run(f"ulimit -f 8; flux {GEN}")  # 8 kB: the journal is longer

    assert (done.code, done.out) == (12, "")
    assert done.err.startswith("flux: cannot use the journal ")
    assert service.count_posts() == 1
    assert [entry.label for entry in entries()] == ["first"]


@linux
def test_a_disk_that_is_full_while_the_picture_gets_its_texts(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    prompt = "a boat " * 200
    flux(f"gen '{prompt}' --seed 1 --no-wait --no-metadata -o bare.png")
    assert flux("resume").code == 0
    bare = Path("bare.png").stat().st_size
    Path("bare.png").unlink()

    process = start(f"gen '{prompt}' --seed 1 --no-cache")
    service.hooks[PICTURE] = lambda: limited(process.pid, bare + 1000)
    result = finish(process)

    assert (result.code, result.out) == (11, "")
    assert "flux: the disk is full: " in result.err
    assert "Make room, then: flux resume" in result.err
    assert list(Path().iterdir()) == []
    assert entries()[-1].state is State.READY
    assert flux("resume").code == 0


@linux
def test_a_picture_that_the_journal_could_not_note_is_not_saved_twice(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    process = start("gen 'a boat' --seed 1 --size 64x64")
    service.hooks[PICTURE] = lambda: limited(process.pid, 20_000)  # more than the picture, less than the journal
    result = finish(process)

    assert (result.code, result.out) == (12, "")
    assert [entry.state for entry in entries()] == [State.READY]
    assert [path.name for path in Path().iterdir()] == ["a-boat-1.png"]
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert [path.name for path in Path().iterdir()] == ["a-boat-1.png"]


@pytest.fixture(scope="module")
def mounting() -> list[str]:
    """What goes before a shell that may mount."""
    try:
        trial = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if trial.returncode:
        pytest.skip(f"this machine lets tests mount nothing: {trial.stderr.decode().strip()}")
    return ["unshare", "-rm"]


@pytest.mark.parametrize(
    ("size", "place", "code", "said", "charges", "state"),
    [
        ("16k", "small", 11, "flux: the disk is full: ", 1, [State.READY]),
        ("16k", "home", 12, "flux: cannot use the journal ", 0, []),
        ("4k", "small", 11, "flux: cannot write to small: No space left on device. Nothing was sent.", 0, []),
    ],
)
def test_a_small_disk(
    flux: Flux, service: Service, entries: Entries, mounting: list[str], home: Path,
    size: str, place: str, code: int, said: str, charges: int, state: list[State],
) -> None:  # fmt: skip
    Path("small").mkdir()
    home.mkdir()
    where = {"small": "small", "home": str(home)}[place]
    full = "; echo x > small/x" if size == "4k" else ""
    script = f"mount -t tmpfs -o size={size} none '{where}'{full}; flux gen 'a boat' --seed 1 -d small"
    result = run(script, *mounting)

    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert len(service.charges) == charges
    assert [entry.state for entry in entries()] == state
    if state:
        assert flux("resume -q").out == "small/a-boat-1.png\n"


@permissions
def test_a_read_only_folder_is_told_before_paying(service: Service, home: Path) -> None:
    Path("closed").mkdir(mode=0o555)
    result = as_plain_user(GEN + " -d closed")
    assert (result.code, result.out) == (11, "")
    assert "flux: cannot write to closed: Permission denied. Nothing was sent." in result.err

    as_plain_user("history")
    home.chmod(0o555)
    (home / "journal.db").chmod(0o444)
    result = as_plain_user(GEN)
    home.chmod(0o755)
    assert (result.code, result.out) == (12, "")
    assert result.err.startswith(f"flux: cannot use the journal {home}/journal.db: ")
    assert service.count_posts() == 0


@permissions
def test_a_folder_that_is_closed_after_paying(flux: Flux, service: Service, entries: Entries) -> None:
    Path("open").mkdir()
    as_plain_user(GEN + " -d open --no-wait")
    Path("open").chmod(0o555)
    result = as_plain_user("resume")

    assert (result.code, result.out) == (11, "")
    assert f"Permission denied: {Path('open').resolve()}/" in result.err
    assert f"1 image of task {service.charges[0].id} not saved" in result.err
    assert [entry.state for entry in entries()] == [State.READY]
    Path("open").chmod(0o755)
    assert flux("resume -q").out == "open/a-boat-1.png\n"


@pytest.mark.parametrize("place", ["file", "file/below", "/dev/null", "/dev/full/x", "/proc/flux"])
def test_a_home_that_is_no_folder_keeps_everything_unsent(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    Path("file").write_text("mine")
    monkeypatch.setenv("FLUX_HOME", place)
    result = flux(GEN)

    assert result.code in (4, 12)
    assert result.err.startswith(("flux: cannot use the journal ", "flux: cannot read "))
    assert service.count_posts() == 0
    assert Path("file").read_text() == "mine"


def links() -> None:
    """A link of every kind, and what it leads to."""
    Path("target.txt").write_text("mine")
    Path("folder").mkdir()
    Path("file.png").symlink_to("target.txt")
    Path("dangling.png").symlink_to("nowhere.png")
    Path("folder.png").symlink_to("folder")
    Path("loop.png").symlink_to("loop.png")


@pytest.mark.parametrize(
    ("name", "option", "code", "out"),
    [
        ("file.png", "", 11, ""),
        ("file.png", "--overwrite", 0, "file.png\n"),
        ("file.png", "--skip-existing", 11, ""),
        ("dangling.png", "", 11, ""),
        ("dangling.png", "--overwrite", 0, "dangling.png\n"),
        ("dangling.png", "--skip-existing", 11, ""),
        ("folder.png", "", 11, ""),
        ("folder.png", "--overwrite", 11, ""),
        ("folder.png", "--skip-existing", 11, ""),
        ("loop.png", "", 11, ""),
        ("loop.png", "--overwrite", 0, "loop.png\n"),
    ],
)
def test_a_link_under_the_name(flux: Flux, service: Service, name: str, option: str, code: int, out: str) -> None:
    links()
    result = flux(f"{GEN} -o {name} {option}")

    assert (result.code, result.out) == (code, out), result.err
    assert Path("target.txt").read_text() == "mine"
    assert not Path("nowhere.png").exists()
    assert list(Path("folder").iterdir()) == []
    assert len(service.charges) == (1 if out else 0)
    assert Path(name).is_symlink() == (option != "--overwrite" or code != 0)


def test_a_folder_may_be_a_link(flux: Flux, service: Service) -> None:
    links()
    assert flux(GEN + " -d folder.png").out == "folder.png/a-boat-1.png\n"
    assert [path.name for path in Path("folder").iterdir()] == ["a-boat-1.png"]
    assert flux(GEN + " --no-cache -d loop.png").code == 11


def test_what_takes_the_name_after_paying_stays(flux: Flux, service: Service, entries: Entries) -> None:
    flux(GEN + " --no-wait")
    Path("a-boat-1.png").symlink_to("nowhere.png")
    assert flux("resume -q").out == "a-boat-1-2.png\n"
    assert Path("a-boat-1.png").is_symlink()
    assert not Path("nowhere.png").exists()

    flux(GEN + " --no-cache --no-wait --overwrite -o fox.png")
    Path("fox.png").mkdir()
    result = flux("resume")
    assert (result.code, "Is a directory: " in result.err) == (11, True), result.err
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []
    Path("fox.png").rmdir()
    assert flux("resume -q").out == "fox.png\n"
    assert len(service.charges) == 2


@pytest.mark.parametrize("option", ["", "--overwrite"])
def test_two_processes_with_one_name(service: Service, start: Start, option: str) -> None:
    service.reply_with(*LOOK, *[(503, {}, b"")] * 10_000)
    both = [start(f"gen 'a boat' --seed {seed} --size 256x256 -o fox.png -q {option}") for seed in (1, 2)]
    wait_until(lambda: len(service.charges) == 2)
    service.scripted.clear()
    results = [finish(process) for process in both]

    assert [result.code for result in results] == [0, 0], results
    expected = ["fox.png", "fox.png"] if option else ["fox-2.png", "fox.png"]
    assert sorted(result.out.strip() for result in results) == expected
    assert sorted(path.name for path in Path().iterdir()) == sorted(set(expected))
    assert all(path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in Path().iterdir())


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="every file name is a text there")
def test_a_file_name_may_have_bytes_that_are_no_text(
    flux: Flux, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("boat.png", os.fsdecode(b"b\xf6t.png")):
        result = flux(f"{GEN} --no-cache -o '{name}'")
        assert (result.code, result.out_bytes) == (0, os.fsencode(name) + b"\n"), result.err
        assert (folder / name).is_file()
    assert len(service.charges) == 2
