"""Batches: the throughput of many tasks in parallel, and the memory and CPU time of many prompts."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from shutil import which
from statistics import median

from flux_cli.config.catalog import Catalog
from flux_cli.engine.poll_schedule import PollSchedule

from .environment import Installation, make_variables
from .mock_piapi import COMPLETED_ID, Counts, Mock, start_mock
from .report import Figure, Section
from .runner import FailedRunError, Usage, run, show_progress

ABOUT_THROUGHPUT = """
`flux gen --from FILE -j N` against a mock of PiAPI, a separate process that responds immediately. Its tasks take a
fixed time, and FLUX_TIME_SCALE scales the range that flux expects so that this time is in its middle. Ideal is
ceil(tasks / N) x duration. CPU is the user and system time of the client, including program start and exit, divided by
the requests that the mock counted: creates, polls and images. The largest plan allows 20 tasks in parallel.
""".strip()
ABOUT_MEMORY = """
`flux cost gen --from FILE -y` reads, checks and prices every prompt of a file without sending a request. The table
shows the peak memory of the process and its CPU time. CPU time per prompt excludes that of the smallest file. Its ratio
to the previous size is 1 if CPU time is linear.
""".strip()
MIB = 2**20
IMAGE_BYTES = 12_000
MODEL = "dev"
BASELINE_RUNS, CURL_RUNS = 15, 3
SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
"""Prompts per file."""
SIZE_TARGETS = {100_000: (200.0, 10.0)}
"""Peak memory in MiB and CPU time in seconds, by the number of prompts."""
RATIO_TARGET = 1.3
"""CPU time per prompt, as a multiple of that of the previous size."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of tasks, and its targets.

    seconds: duration of a task. Targets: makespan, a multiple of ideal; cpu, seconds per 1,000 requests; peak, MiB.
    """

    tasks: int
    parallel: int
    seconds: float
    makespan: float
    cpu: float | None
    peak: float

    @property
    def title(self) -> str:
        """Return the head of its column."""
        return f"{self.tasks:,} tasks, {self.parallel} in parallel"


BATCHES = (Batch(80, 20, 2.0, 1.06, 1.5, 100.0), Batch(2000, 200, 2.0, 1.5, None, 100.0))
QUICK_BATCHES = (Batch(40, 20, 0.5, 1.06, 1.5, 100.0),)


def measure_throughput(installation: Installation, directory: Path, *, quick: bool) -> Section:
    """Return the makespan, the CPU time per request and the peak memory of batches."""
    rows: dict[str, dict[str, Figure]] = {}
    for batch in QUICK_BATCHES if quick else BATCHES:
        show_progress(f"  {batch.title}")
        for row, figure in _measure_batch(batch, installation, directory / str(batch.tasks)).items():
            rows.setdefault(row, {})[batch.title] = figure
    return Section("throughput", "Throughput of one process", ABOUT_THROUGHPUT, rows)


def measure_memory(installation: Installation, directory: Path, *, quick: bool) -> Section:
    """Return the peak memory and the CPU time of a dry run for three numbers of prompts."""
    sizes = QUICK_SIZES if quick else SIZES
    variables = make_variables(directory / "home")
    command = [installation.flux, "cost", "gen", "--from", "prompts.txt", "-y"]
    usages: dict[int, Usage] = {}
    for size in sizes:
        show_progress(f"  {size:,} prompts")
        _write_prompts(directory, size)
        usages[size] = run([command], variables, directory)
    rows: dict[str, dict[str, Figure]] = {}
    previous = 0.0
    for size, usage in usages.items():
        peak, cpu = SIZE_TARGETS.get(size, (None, None))
        row = {"peak": Figure(usage.peak / MIB, "MiB", peak), "CPU": Figure(usage.cpu, "s", cpu)}
        if size != sizes[0]:
            per_prompt = (usage.cpu - usages[sizes[0]].cpu) / (size - sizes[0])
            row["per prompt"] = Figure(1e6 * per_prompt, "µs")
            if previous:
                row["x previous size"] = Figure(per_prompt / previous, target=RATIO_TARGET)
            previous = per_prompt
        rows[f"{size:,} prompts"] = row
    return Section("memory", "Memory and CPU time by number of prompts", ABOUT_MEMORY, rows)


def _write_prompts(directory: Path, count: int) -> None:
    with (directory / "prompts.txt").open("w") as file:
        file.writelines(f"a red fox in the snow, number {number}\n" for number in range(count))


def _measure_batch(batch: Batch, installation: Installation, directory: Path) -> dict[str, Figure]:
    low, high = Catalog({}).model(MODEL).seconds
    scale = batch.seconds / ((low + high) / 2)
    directory.mkdir()
    _write_prompts(directory, batch.tasks)
    with start_mock(task_seconds=batch.seconds, image_bytes=IMAGE_BYTES) as mock:
        variables = make_variables(
            directory / "home",
            FLUX_BASE_URL=f"{mock.origin}/api/v1",
            FLUX_TIME_SCALE=f"{scale:.4f}",
            PIAPI_API_KEY="benchmark-key",
        )
        options = ["--from", "prompts.txt", "-m", MODEL, "-j", str(batch.parallel), "-y", "-d", "images"]
        usage = run([[installation.flux, "gen", *options]], variables, directory)
        counts = mock.fetch_counts()
        cpu = 1000 * usage.cpu / counts.requests
        figures = _make_figures(batch, usage, counts) | _compare_cpu(cpu, installation, mock, variables, directory)
    images = len(list((directory / "images").iterdir()))
    if images != batch.tasks:
        raise FailedRunError(f"{images} images of {batch.tasks} tasks")
    delay = _compute_delay(PollSchedule((low, high), scale), batch.seconds)
    polling = Figure((batch.seconds + delay) / batch.seconds, "x ideal")
    return figures | {"makespan if only polling caused delays": polling}


def _make_figures(batch: Batch, usage: Usage, counts: Counts) -> dict[str, Figure]:
    ideal = ceil(batch.tasks / batch.parallel) * batch.seconds
    return {
        "makespan, including program start and exit": Figure(usage.seconds / ideal, "x ideal", batch.makespan),
        "client's CPU per 1,000 requests": Figure(1000 * usage.cpu / counts.requests, "s", batch.cpu),
        "client's peak memory": Figure(usage.peak / MIB, "MiB", batch.peak),
        "client's share of one CPU": Figure(usage.cpu / usage.seconds),
        "mock's share of one CPU": Figure(counts.cpu / usage.seconds),
        "polls per task": Figure(counts.polls / batch.tasks),
    }


def _compare_cpu(
    cpu: float, installation: Installation, mock: Mock, variables: dict[str, str], directory: Path
) -> dict[str, Figure]:
    """Return `cpu`, the seconds per 1,000 requests, as ratios that can be compared across machines."""
    baseline = [[installation.python, "-c", "pass"]]
    unit = median(run(baseline, variables, directory).cpu for _ in range(BASELINE_RUNS))
    figures = {"CPU per 1,000 requests, x pass": Figure(cpu / unit)}
    if curl := which("curl"):
        urls = f"{mock.origin}/api/v1/task/{COMPLETED_ID}[001-1000]"
        command = [curl, "--silent", "--parallel", "--parallel-max", "200", urls]
        curl_cpu = median(run([command], variables, directory).cpu for _ in range(CURL_RUNS))
        figures["CPU per 1,000 requests, x curl --parallel"] = Figure(cpu / curl_cpu)
    return figures


def _compute_delay(schedule: PollSchedule, seconds: float) -> float:
    """Return the seconds from the end of a task of `seconds` seconds to the next poll, if nothing else takes time."""
    now = 0.0
    while now < seconds:
        now += schedule.step(now)
    return now - seconds
