"""Full and read-only disks, and names that are taken: paid images are kept, existing files are unchanged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flux_cli.journal.entries import State

from .conftest import Flux, Result
from .servers import Service
from .test_promises import GEN, IMAGE, POLL, POST, Entries, Start, finish, wait_until

ROOT_NEEDS = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
"""The prefix of a command that lets file permissions apply to it."""
permissions = pytest.mark.skipif(
    bool(ROOT_NEEDS) and shutil.which("setpriv") is None, reason="root may write anywhere, and setpriv is not installed"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one process limit another")


def limit_file_size(pid: int, size: int) -> None:
    """Limit the size of files of a process, as if the disk were full."""
    import resource

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def run_in_bash(script: str, *prefix: str) -> Result:
    """Run a line of bash in which `flux` is the program. prefix: a command that runs bash."""
    shell = f'flux="{sys.executable} -m flux_cli"; {script.replace("flux ", "$flux ")}'
    done = subprocess.run([*prefix, "bash", "-c", shell], capture_output=True, text=True, timeout=30, check=False)
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def run_unprivileged(line: str) -> Result:
    """Run the program as a user to whom file permissions apply."""
    return run_in_bash(f"flux {line}", *ROOT_NEEDS)


@linux
def test_a_disk_that_is_full_when_the_response_arrives_does_not_lose_the_task(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    process = start(GEN)
    service.hooks[POST] = lambda: limit_file_size(process.pid, 0)
    result = finish(process)

    (task,) = [charge.id for charge in service.charges]
    assert (result.code, result.out) == (7, "")
    assert f"flux: task {task} was accepted, but could not be recorded" in result.err
    assert f"      Keep this ID; download its image with: flux wait {task}" in result.err
    assert [entry.state for entry in entries()] == [State.SENDING]
    assert flux(f"wait {task} -q").out == "a-boat-1.png\n"  # matched to that submission
    assert flux("resume").code == 0
    assert service.count_posts() == 1


@linux
@pytest.mark.parametrize("damaged", [False, True])
def test_a_disk_that_is_full_when_the_response_arrives_keeps_the_id_in_the_lock_file(
    flux: Flux, service: Service, entries: Entries, start: Start, home: Path, damaged: bool
) -> None:
    """Existing files can be overwritten but cannot grow: only the lock file has space for the ID."""
    process = start(f"{GEN} -o boat.png")
    service.hooks[POST] = lambda: limit_file_size(process.pid, 4096)
    if damaged:
        service.reply_with(*POST, (500, {}, b'{"task_id": "seen-task-1"'))
    result = finish(process)

    assert (result.code, result.out) == (7, "")
    (lock,) = (home / "locks").iterdir()
    os.utime(lock, (0, 0))
    assert str(lock) not in flux("doctor --fix").err  # it removes old locks, except those that contain an ID
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
    done = run_in_bash(f"ulimit -f 8; flux {GEN}")  # 8 kB, less than the journal

    assert (done.code, done.out) == (12, "")
    assert done.err.startswith("flux: cannot use the journal ")
    assert service.count_posts() == 1
    assert [entry.label for entry in entries()] == ["first"]


@linux
def test_a_disk_that_fills_up_while_metadata_is_embedded_keeps_the_image_ready(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    prompt = "a boat " * 200
    flux(f"gen '{prompt}' --seed 1 --no-wait --no-metadata -o bare.png")
    assert flux("resume").code == 0
    unlabeled = Path("bare.png").stat().st_size
    Path("bare.png").unlink()

    process = start(f"gen '{prompt}' --seed 1 --no-cache")
    service.hooks[IMAGE] = lambda: limit_file_size(process.pid, unlabeled + 1000)
    result = finish(process)

    assert (result.code, result.out) == (11, "")
    assert "flux: cannot save 1 image of task " in result.err
    assert "Make room, then run: flux resume" in result.err
    assert list(Path().iterdir()) == []
    assert entries()[-1].state is State.READY
    assert flux("resume").code == 0


@linux
def test_an_image_saved_without_a_journal_record_is_not_saved_twice(
    flux: Flux, service: Service, entries: Entries, start: Start
) -> None:
    process = start("gen 'a boat' --seed 1 --size 64x64")
    service.hooks[IMAGE] = lambda: limit_file_size(process.pid, 20_000)  # more than the image, less than the journal
    result = finish(process)

    assert (result.code, result.out) == (12, "")
    assert [entry.state for entry in entries()] == [State.READY]
    assert [path.name for path in Path().iterdir()] == ["a-boat-1.png"]
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert [path.name for path in Path().iterdir()] == ["a-boat-1.png"]


@pytest.fixture(scope="module")
def mount_prefix() -> list[str]:
    """Return the prefix of a shell that may mount file systems."""
    try:
        probe = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if probe.returncode:
        pytest.skip(f"cannot mount a file system here: {probe.stderr.decode().strip()}")
    return ["unshare", "-rm"]


@pytest.mark.parametrize(
    ("size", "directory", "code", "message", "charges", "state"),
    [
        ("16k", "small", 11, "flux: cannot save 1 image of task ", 1, [State.READY]),
        ("16k", "home", 12, "flux: cannot use the journal ", 0, []),
        ("4k", "small", 11, "flux: cannot write to small: No space left on device. Nothing was sent.", 0, []),
    ],
)
def test_a_full_disk_loses_no_paid_image(
    flux: Flux, service: Service, entries: Entries, mount_prefix: list[str], home: Path,
    size: str, directory: str, code: int, message: str, charges: int, state: list[State],
) -> None:  # fmt: skip
    Path("small").mkdir()
    home.mkdir()
    where = {"small": "small", "home": str(home)}[directory]
    full = "; echo x > small/x" if size == "4k" else ""
    script = f"mount -t tmpfs -o size={size} none '{where}'{full}; flux gen 'a boat' --seed 1 -d small"
    result = run_in_bash(script, *mount_prefix)

    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert len(service.charges) == charges
    assert [entry.state for entry in entries()] == state
    if state:
        assert flux("resume -q").out == "small/a-boat-1.png\n"


@permissions
def test_a_read_only_directory_is_reported_before_anything_is_charged(service: Service, home: Path) -> None:
    Path("closed").mkdir(mode=0o555)
    result = run_unprivileged(GEN + " -d closed")
    assert (result.code, result.out) == (11, "")
    assert "flux: cannot write to closed: Permission denied. Nothing was sent." in result.err

    run_unprivileged("history")
    home.chmod(0o555)
    (home / "journal.db").chmod(0o444)
    result = run_unprivileged(GEN)
    home.chmod(0o755)
    assert (result.code, result.out) == (12, "")
    assert result.err.startswith(f"flux: cannot create {home}/locks: ")
    assert service.count_posts() == 0


@permissions
def test_a_directory_that_becomes_read_only_after_the_charge_can_be_resumed(
    flux: Flux, service: Service, entries: Entries
) -> None:
    Path("open").mkdir()
    run_unprivileged(GEN + " -d open --no-wait")
    Path("open").chmod(0o555)
    result = run_unprivileged("resume")

    assert (result.code, result.out) == (11, "")
    assert f"Permission denied: {Path('open').resolve()}/" in result.err
    assert f"cannot save 1 image of task {service.charges[0].id}: " in result.err
    assert [entry.state for entry in entries()] == [State.READY]
    Path("open").chmod(0o755)
    assert flux("resume -q").out == "open/a-boat-1.png\n"


@pytest.mark.parametrize("directory", ["file", "file/below", "/dev/null", "/dev/full/x", "/proc/flux"])
def test_a_home_that_is_not_a_directory_sends_nothing(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    Path("file").write_text("mine")
    monkeypatch.setenv("FLUX_HOME", directory)
    result = flux(GEN)

    assert result.code in (4, 12)
    assert result.err.startswith(
        ("flux: cannot create ", "flux: cannot read ", "flux: FLUX_HOME is a file, not a directory: ")
    )
    assert service.count_posts() == 0
    assert Path("file").read_text() == "mine"


def make_links() -> None:
    """Create symbolic links of every kind, and their targets."""
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
def test_symbolic_links_are_replaced_only_with_overwrite(
    flux: Flux, service: Service, name: str, option: str, code: int, out: str
) -> None:
    make_links()
    result = flux(f"{GEN} -o {name} {option}")

    assert (result.code, result.out) == (code, out), result.err
    assert Path("target.txt").read_text() == "mine"
    assert not Path("nowhere.png").exists()
    assert list(Path("folder").iterdir()) == []
    assert len(service.charges) == (1 if out else 0)
    assert Path(name).is_symlink() == (option != "--overwrite" or code != 0)


def test_the_output_directory_may_be_a_symbolic_link(flux: Flux, service: Service) -> None:
    make_links()
    assert flux(GEN + " -d folder.png").out == "folder.png/a-boat-1.png\n"
    assert [path.name for path in Path("folder").iterdir()] == ["a-boat-1.png"]
    assert flux(GEN + " --no-cache -d loop.png").code == 11


def test_a_file_that_takes_the_output_name_after_the_charge_is_kept(
    flux: Flux, service: Service, entries: Entries
) -> None:
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
def test_two_processes_with_the_same_output_name_keep_both_images(service: Service, start: Start, option: str) -> None:
    service.reply_with(*POLL, *[(503, {}, b"")] * 10_000)
    both = [start(f"gen 'a boat' --seed {seed} --size 256x256 -o fox.png -q {option}") for seed in (1, 2)]
    wait_until(lambda: len(service.charges) == 2)
    service.scripted.clear()
    results = [finish(process) for process in both]

    assert [result.code for result in results] == [0, 0], results
    expected = ["fox.png", "fox.png"] if option else ["fox-2.png", "fox.png"]
    assert sorted(result.out.strip() for result in results) == expected
    assert sorted(path.name for path in Path().iterdir()) == sorted(set(expected))
    assert all(path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in Path().iterdir())


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names must be text there")
def test_a_file_name_may_contain_arbitrary_bytes(
    flux: Flux, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    directory.mkdir()
    monkeypatch.chdir(directory)
    for name in ("boat.png", os.fsdecode(b"b\xf6t.png")):
        result = flux(f"{GEN} --no-cache -o '{name}'")
        assert (result.code, result.out_bytes) == (0, os.fsencode(name) + b"\n"), result.err
        assert (directory / name).is_file()
    assert len(service.charges) == 2
