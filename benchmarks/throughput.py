"""Throughput: many tasks at once from one process, against a stand-in for the service."""

from math import ceil
from pathlib import Path
from shutil import which
from statistics import median

from flux_cli.config.catalog import Catalog

from .figures import Figure, Section
from .installed import Installed
from .runner import MIB, FailedRunError, Run, Say, Work, clean_environ
from .stub import DONE_ID, Counts, Stub, serving

ABOUT = """
`flux gen --from FILE -j N` against a stand-in for the service, a process of its own that answers at once; its tasks
take a fixed time, which FLUX_TIME_SCALE puts in the middle of the range that flux expects. Ideal is ceil(tasks / N) x
duration. CPU is all user and system time of the client, over the requests that the stand-in counted: creates, looks,
pictures.
""".strip()
PICTURE_BYTES = 12_000
MODEL = "dev"
MAKESPAN, CPU, PEAK = 1.05, 0.3, 80.0
"""Targets: times ideal, seconds per 1,000 requests, MiB."""
BASELINES = 15


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Makespan, CPU per request and peak memory of one large batch."""
    tasks, at_once, seconds = (100, 50, 0.5) if quick else (2000, 200, 2.0)
    low, high = Catalog({}).model(MODEL).seconds
    scale = seconds / ((low + high) / 2)
    (folder / "prompts.txt").write_text("".join(f"a red fox in the snow, number {n}\n" for n in range(tasks)))
    with serving(seconds=seconds, picture_bytes=PICTURE_BYTES) as stub:
        environ = clean_environ(
            folder / "home",
            FLUX_BASE_URL=f"{stub.origin}/api/v1",
            FLUX_TIME_SCALE=f"{scale:.4f}",
            PIAPI_API_KEY="a-key-of-the-benchmarks",
        )
        options = ["--from", "prompts.txt", "-m", MODEL, "-j", str(at_once), "-y", "-d", "pictures"]
        say(f"{tasks} tasks")
        run = Work([[installed.flux, "gen", *options]]).run(environ, cwd=folder)
        counts = stub.counts()
        rows = _rows(run, counts, ceil(tasks / at_once) * seconds, tasks)
        say("baselines")
        rows |= _baselines(installed, stub, environ, folder, run.cpu / counts.requests)
    pictures = len(list((folder / "pictures").iterdir()))
    if pictures != tasks:
        raise FailedRunError(f"{pictures} pictures of {tasks} tasks")
    title = f"{tasks} tasks of {seconds:g} s, {at_once} at once, one process"
    return Section("throughput", title, ABOUT, rows)


def _rows(run: Run, counts: Counts, ideal: float, tasks: int) -> dict[str, dict[str, Figure]]:
    return {
        "makespan, start and end of the program included": {
            "measured": Figure(run.seconds / ideal, "x ideal", MAKESPAN)
        },
        "client's CPU per 1,000 requests": {"measured": Figure(1000 * run.cpu / counts.requests, "s", CPU)},
        "client's peak memory": {"measured": Figure(run.peak / MIB, "MiB", PEAK)},
        "client's share of one CPU": {"measured": Figure(run.cpu / run.seconds)},
        "stand-in's share of one CPU": {"measured": Figure(counts.cpu / run.seconds)},
        "looks per task": {"measured": Figure(counts.looks / tasks)},
    }


def _baselines(
    installed: Installed, stub: Stub, environ: dict[str, str], folder: Path, cpu: float
) -> dict[str, dict[str, Figure]]:
    """The CPU of a request (`cpu`, seconds) in units that travel from machine to machine."""
    passing = Work([[installed.python, "-c", "pass"]])
    unit = median(passing.run(environ, cwd=folder).cpu for _ in range(BASELINES))
    rows = {"CPU per 1,000 requests, x pass": {"measured": Figure(1000 * cpu / unit)}}
    if curl := which("curl"):
        thousand = f"{stub.origin}/api/v1/task/{DONE_ID}[001-1000]"
        many = Work([[curl, "--silent", "--parallel", "--parallel-max", "200", thousand]])
        spent = median(many.run(environ, cwd=folder).cpu for _ in range(3))
        rows["CPU per 1,000 requests, x curl --parallel"] = {"measured": Figure(1000 * cpu / spent)}
    return rows
