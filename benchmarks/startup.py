"""Start-up: what a command line takes that has little or nothing to wait for."""

from collections.abc import Sequence
from pathlib import Path
from shutil import which
from statistics import median, quantiles

from flux_cli.cli.registry import COMMANDS, CONFIG_COMMANDS
from flux_cli.engine.poll_schedule import GAP_SECONDS

from .figures import Figure, Section
from .installed import Installed
from .runner import Run, Say, Work, clean_environ, interleaved
from .stub import DONE_ID, Stub, serving

ABOUT = """
Wall time of the `flux` console script from start to exit, as a multiple of `python -c pass` with the same Python,
which runs before every command. Medians, with quartiles, and the median of CPU time, which a busy machine changes
less. `gen` is a whole one: create, one poll, an image of 1.5 MB verified on disk, against a stand-in for the service
that answers at once. The curls do the same requests.
""".strip()
ROUNDS, QUICK_ROUNDS = 21, 3
PICTURE_BYTES = 1_500_000
MODEL = "schnell"
SCALE = 0.001
"""The smallest FLUX_TIME_SCALE; a note says how long it leaves to wait before the first poll."""
HELP, OFFLINE, GEN = 1.5, 5.0, 10.0
"""Targets: multiples of `pass`."""
OFFLINES = ("models", "history", "cost")
COMPLETIONS = {
    "a command": "flux ge",
    "an option": "flux gen --asp",
    "a model": "flux gen -m sch",
    "a task's id": "flux status ",
}
"""Lines of which a shell asks the program at TAB what follows."""
HELPS = tuple(f"{line} --help" for line in (*COMMANDS, *(f"config {name}" for name in CONFIG_COMMANDS)))


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Ratios to `python -c pass`."""
    helps = HELPS[:2] if quick else HELPS
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with serving(seconds=0, image_bytes=PICTURE_BYTES) as stub:
        environ = clean_environ(
            folder / "home",
            FLUX_BASE_URL=f"{stub.origin}/api/v1",
            FLUX_TIME_SCALE=str(SCALE),
            PIAPI_API_KEY="a-key-of-the-benchmarks",
        )
        works = _works(installed, helps, folder, stub)
        baseline = Work([[installed.python, "-c", "pass"]])
        done, base = interleaved(works, baseline, environ, cwd=folder, rounds=rounds, say=say)
    unit = Run(median(run.seconds for run in base), median(run.cpu for run in base), 0)
    rows = {"flux --version": _row(done["--version"], unit, HELP), "flux --help": _row(done["--help"], unit, HELP)}
    ordered = sorted(helps, key=lambda line: median(run.seconds for run in done[line]))
    rows[f"flux COMMAND --help, the median of {len(helps)}"] = _row(done[ordered[len(ordered) // 2]], unit, HELP)
    rows[f"flux {ordered[-1]}, the slowest"] = _row(done[ordered[-1]], unit, HELP)
    rows |= {f"completion of {what}": _row(done[what], unit, OFFLINE) for what in COMPLETIONS}
    rows |= {f"flux {line}": _row(done[line], unit, OFFLINE) for line in OFFLINES}
    rows[f"flux gen -m {MODEL}"] = _row(done["gen"], unit, GEN)
    if "import re\n" in Path(installed.flux).read_text("utf-8"):  # older installers write it so, newer do without
        rows["python -c 'import re', which the console script does too"] = _row(done["script"], unit)
    if "curls" in done:
        rows["three curls"] = _row(done["curls"], unit)
    notes = (
        f"`python -c pass` took {1000 * unit.seconds:.1f} ms; {rounds} rounds.",
        f"`gen` waits {1000 * SCALE * GAP_SECONDS / 2:.0f} ms on average before it polls, the least it can.",
    )
    return Section("startup", "Start-up", ABOUT, rows, notes)


def _works(installed: Installed, helps: Sequence[str], folder: Path, stub: Stub) -> dict[str, Work]:
    python, flux = installed.python, installed.flux
    lines = ("--version", "--help", *helps, *OFFLINES)
    works = {line: Work([[flux, *line.split()]]) for line in lines}
    works |= {what: Work([[flux, "--complete", line]]) for what, line in COMPLETIONS.items()}
    gen = [flux, "gen", "a red fox in the snow", "-m", MODEL, "-o", str(folder / "fox.png"), "--overwrite"]
    works["gen"] = Work([gen])
    works["script"] = Work([[python, "-c", "import re"]])
    if curl := which("curl"):
        task = f"{stub.origin}/api/v1/task"
        create = [curl, "--silent", "--data", '{"model": "Qubico/flux1-schnell", "task_type": "txt2img"}', task]
        look = [curl, "--silent", f"{task}/{DONE_ID}"]
        fetch = [curl, "--silent", "--output", str(folder / "curl.png"), f"{stub.origin}/images/{DONE_ID}.png"]
        works["curls"] = Work([create, look, fetch])
    return works


def _row(runs: Sequence[Run], unit: Run, target: float | None = None) -> dict[str, Figure]:
    ratios = [run.seconds / unit.seconds for run in runs]
    low, _, high = quantiles(ratios, n=4)
    cpu = median(run.cpu for run in runs) / unit.cpu
    return {
        "x pass": Figure(median(ratios), "", target),
        "lower quartile": Figure(low),
        "upper quartile": Figure(high),
        "CPU x pass": Figure(cpu),
    }
