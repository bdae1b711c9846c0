"""Startup: the time of commands that have little or nothing to wait for."""

from collections.abc import Sequence
from pathlib import Path
from shutil import which
from statistics import median, quantiles

from flux_cli.cli.registry import COMMANDS, CONFIG_COMMANDS
from flux_cli.engine.poll_schedule import GAP_SECONDS

from .environment import Installation, make_variables
from .mock_piapi import COMPLETED_ID, Mock, start_mock
from .report import Figure, Section
from .runner import Commands, Usage, run_interleaved

ABOUT = """
Wall time of the `flux` console script from start to exit, as a multiple of `python -c pass` with the same Python,
which runs before every command. The table shows medians with quartiles, and medians of CPU time, which other load
affects less. `gen` is a complete run: one create request, one poll, and a 1.5 MB image downloaded and verified, against
a mock of PiAPI that responds immediately. The curls send the same requests.
""".strip()
ROUNDS, QUICK_ROUNDS = 21, 3
IMAGE_BYTES = 1_500_000
MODEL = "schnell"
TIME_SCALE = 0.001
"""The smallest FLUX_TIME_SCALE. A note shows the time that remains before the first poll."""
HELP_TARGET, OFFLINE_TARGET, GEN_TARGET = 1.5, 5.0, 10.0
"""Multiples of `python -c pass`."""
HELP_LINES = tuple(f"{line} --help" for line in (*COMMANDS, *(f"config {name}" for name in CONFIG_COMMANDS)))
OFFLINE_LINES = ("models", "history", "cost")
COMPLETIONS = {
    "a command": "flux ge",
    "an option": "flux gen --asp",
    "a model": "flux gen -m sch",
    "a task ID": "flux status ",
}
"""Lines up to the cursor, which a shell passes to `flux --complete` at TAB."""


def measure(installation: Installation, directory: Path, *, quick: bool) -> Section:
    """Return the times of commands as multiples of `python -c pass`."""
    help_lines = HELP_LINES[:2] if quick else HELP_LINES
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with start_mock(task_seconds=0, image_bytes=IMAGE_BYTES) as mock:
        variables = make_variables(
            directory / "home",
            FLUX_BASE_URL=f"{mock.origin}/api/v1",
            FLUX_TIME_SCALE=str(TIME_SCALE),
            PIAPI_API_KEY="benchmark-key",
        )
        items = _list_commands(installation, help_lines, directory, mock)
        baseline = [[installation.python, "-c", "pass"]]
        usages, baselines = run_interleaved(items, baseline, variables, directory, rounds)
    unit = Usage(median(usage.seconds for usage in baselines), median(usage.cpu for usage in baselines), 0)
    ordered = sorted(help_lines, key=lambda line: median(usage.seconds for usage in usages[line]))
    middle, slowest = ordered[len(ordered) // 2], ordered[-1]
    rows = {f"flux {line}": _make_row(usages[line], unit, HELP_TARGET) for line in ("--version", "--help")}
    rows[f"flux COMMAND --help, median of {len(help_lines)}"] = _make_row(usages[middle], unit, HELP_TARGET)
    rows[f"flux {slowest}, slowest of {len(help_lines)}"] = _make_row(usages[slowest], unit, HELP_TARGET)
    rows |= {f"completion of {what}": _make_row(usages[what], unit, OFFLINE_TARGET) for what in COMPLETIONS}
    rows |= {f"flux {line}": _make_row(usages[line], unit, OFFLINE_TARGET) for line in OFFLINE_LINES}
    rows[f"flux gen -m {MODEL}"] = _make_row(usages["gen"], unit, GEN_TARGET)
    if "import re\n" in Path(installation.flux).read_text("utf-8"):  # written by older installers only
        rows["python -c 'import re', part of the console script"] = _make_row(usages["script"], unit)
    if "curls" in usages:
        rows["three curls"] = _make_row(usages["curls"], unit)
    first_poll = 1000 * TIME_SCALE * GAP_SECONDS / 2
    notes = (
        f"`python -c pass` took {1000 * unit.seconds:.1f} ms; {rounds} rounds.",
        f"`gen` waits {first_poll:.0f} ms on average before its first poll, the shortest possible wait.",
    )
    return Section("startup", "Startup", ABOUT, rows, notes)


def _list_commands(
    installation: Installation, help_lines: Sequence[str], directory: Path, mock: Mock
) -> dict[str, Commands]:
    python, flux = installation.python, installation.flux
    lines = ("--version", "--help", *help_lines, *OFFLINE_LINES)
    items: dict[str, Commands] = {line: [[flux, *line.split()]] for line in lines}
    items |= {what: [[flux, "--complete", line]] for what, line in COMPLETIONS.items()}
    output = str(directory / "fox.png")
    items["gen"] = [[flux, "gen", "a red fox in the snow", "-m", MODEL, "-o", output, "--overwrite"]]
    items["script"] = [[python, "-c", "import re"]]
    if curl := which("curl"):
        task = f"{mock.origin}/api/v1/task"
        items["curls"] = [
            [curl, "--silent", "--data", '{"model": "Qubico/flux1-schnell", "task_type": "txt2img"}', task],
            [curl, "--silent", f"{task}/{COMPLETED_ID}"],
            [curl, "--silent", "--output", str(directory / "curl.png"), f"{mock.origin}/images/{COMPLETED_ID}.png"],
        ]
    return items


def _make_row(usages: Sequence[Usage], unit: Usage, target: float | None = None) -> dict[str, Figure]:
    ratios = [usage.seconds / unit.seconds for usage in usages]
    low, _, high = quantiles(ratios, n=4)
    return {
        "x pass": Figure(median(ratios), "", target),
        "lower quartile": Figure(low),
        "upper quartile": Figure(high),
        "CPU x pass": Figure(median(usage.cpu for usage in usages) / unit.cpu),
    }
