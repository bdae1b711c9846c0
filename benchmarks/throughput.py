"""Throughput: many tasks at once from one process, against a stand-in for the service."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from shutil import which
from statistics import median

from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import PollSchedule

from .figures import Figure, Section
from .installed import Installed
from .runner import MIB, FailedRunError, Run, Say, Work, clean_environ
from .stub import DONE_ID, Counts, Stub, serving

ABOUT = """
`flux gen --from FILE -j N` against a stand-in for PiAPI, a process of its own that responds at once; its tasks take a
fixed time, which FLUX_TIME_SCALE puts in the middle of the range that flux expects. Ideal is ceil(tasks / N) x
duration. CPU is all user and system time of the client, start and end of the program included, over the requests that
the stand-in counted: creates, polls, images. The largest plan allows 20 tasks at once.
""".strip()
IMAGE_BYTES = 12_000
MODEL = "dev"
BASELINES = 15


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch to run, and the targets for it: times ideal, seconds of CPU per 1,000 requests, MiB."""

    tasks: int
    at_once: int
    seconds: float
    makespan: float
    cpu: float | None
    peak: float

    @property
    def title(self) -> str:
        """The column's head."""
        return f"{self.tasks} tasks, {self.at_once} at once"


BATCHES = (Batch(80, 20, 2.0, 1.06, 1.5, 100.0), Batch(2000, 200, 2.0, 1.5, None, 100.0))
QUICK_BATCHES = (Batch(40, 20, 0.5, 1.06, 1.5, 100.0),)


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Makespan, CPU per request and peak memory of batches."""
    rows: dict[str, dict[str, Figure]] = {}
    for batch in QUICK_BATCHES if quick else BATCHES:
        say(batch.title)
        for row, figure in _measure(batch, installed, folder / str(batch.tasks)).items():
            rows.setdefault(row, {})[batch.title] = figure
    return Section("throughput", "Throughput of one process", ABOUT, rows)


def _measure(batch: Batch, installed: Installed, folder: Path) -> dict[str, Figure]:
    low, high = Catalog({}).model(MODEL).seconds
    scale = batch.seconds / ((low + high) / 2)
    folder.mkdir()
    (folder / "prompts.txt").write_text("".join(f"a red fox in the snow, number {n}\n" for n in range(batch.tasks)))
    with serving(seconds=batch.seconds, image_bytes=IMAGE_BYTES) as stub:
        environ = clean_environ(
            folder / "home",
            FLUX_BASE_URL=f"{stub.origin}/api/v1",
            FLUX_TIME_SCALE=f"{scale:.4f}",
            PIAPI_API_KEY="a-key-of-the-benchmarks",
        )
        options = ["--from", "prompts.txt", "-m", MODEL, "-j", str(batch.at_once), "-y", "-d", "images"]
        run = Work([[installed.flux, "gen", *options]]).run(environ, cwd=folder)
        counts = stub.counts()
        figures = _figures(batch, run, counts) | _baselines(installed, stub, environ, folder, run.cpu / counts.requests)
    images = len(list((folder / "images").iterdir()))
    if images != batch.tasks:
        raise FailedRunError(f"{images} images of {batch.tasks} tasks")
    late = _lateness(PollSchedule((low, high), scale), batch.seconds)
    schedule = Figure((batch.seconds + late) / batch.seconds, "x ideal")
    return figures | {"makespan, if only the schedule were late": schedule}


def _figures(batch: Batch, run: Run, counts: Counts) -> dict[str, Figure]:
    ideal = ceil(batch.tasks / batch.at_once) * batch.seconds
    return {
        "makespan, start and end of the program included": Figure(run.seconds / ideal, "x ideal", batch.makespan),
        "client's CPU per 1,000 requests": Figure(1000 * run.cpu / counts.requests, "s", batch.cpu),
        "client's peak memory": Figure(run.peak / MIB, "MiB", batch.peak),
        "client's share of one CPU": Figure(run.cpu / run.seconds),
        "stand-in's share of one CPU": Figure(counts.cpu / run.seconds),
        "polls per task": Figure(counts.polls / batch.tasks),
    }


def _baselines(
    installed: Installed, stub: Stub, environ: dict[str, str], folder: Path, cpu: float
) -> dict[str, Figure]:
    """The CPU of a request (`cpu`, seconds) in units that travel from machine to machine."""
    passing = Work([[installed.python, "-c", "pass"]])
    unit = median(passing.run(environ, cwd=folder).cpu for _ in range(BASELINES))
    figures = {"CPU per 1,000 requests, x pass": Figure(1000 * cpu / unit)}
    if curl := which("curl"):
        thousand = f"{stub.origin}/api/v1/task/{DONE_ID}[001-1000]"
        many = Work([[curl, "--silent", "--parallel", "--parallel-max", "200", thousand]])
        spent = median(many.run(environ, cwd=folder).cpu for _ in range(3))
        figures["CPU per 1,000 requests, x curl --parallel"] = Figure(1000 * cpu / spent)
    return figures


def _lateness(schedule: PollSchedule, seconds: float) -> float:
    """Return how long after the end of a task of so many seconds the schedule polls, if nothing else takes time."""
    now = 0.0
    while now < seconds:
        now += schedule.step(now)
    return now - seconds
