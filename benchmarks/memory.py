"""Memory and time against the number of prompts: a million lines must not take more memory than a thousand."""

from pathlib import Path

from .figures import Figure, Section
from .installed import Installed
from .runner import MIB, Run, Say, Work, clean_environ

ABOUT = """
`flux cost gen --from FILE -y` reads, checks and prices every prompt of a file and sends nothing. Peak memory of the
process, and its CPU time per prompt beyond what the smallest file takes: 1 from one size to the next means linear.
""".strip()
SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
PEAK, LINEAR = 1.3, 1.3
"""Targets: times the peak of the smallest file; time per prompt, times that of the size before."""


def measure(installed: Installed, folder: Path, say: Say, *, quick: bool) -> Section:
    """Peak memory and CPU time of a dry run at three sizes."""
    sizes = QUICK_SIZES if quick else SIZES
    environ = clean_environ(folder / "home")
    runs: dict[int, Run] = {}
    for size in sizes:
        say(f"{size:,} prompts")
        with (folder / "prompts.txt").open("w") as file:
            file.writelines(f"a red fox in the snow, number {n}\n" for n in range(size))
        work = Work([[installed.flux, "cost", "gen", "--from", "prompts.txt", "-y"]])
        runs[size] = work.run(environ, cwd=folder)
    smallest = runs[sizes[0]]
    rows: dict[str, dict[str, Figure]] = {}
    before = 0.0
    for size, run in runs.items():
        row = {"peak": Figure(run.peak / MIB, "MiB"), "CPU": Figure(run.cpu, "s")}
        if size != sizes[0]:
            each = (run.cpu - smallest.cpu) / (size - sizes[0])
            row["x the smallest's peak"] = Figure(run.peak / smallest.peak, target=PEAK)
            row["a prompt"] = Figure(1e6 * each, "µs")
            if before:
                row["x the size before"] = Figure(each / before, target=LINEAR)
            before = each
        rows[f"{size:,} prompts"] = row
    return Section("memory", "Memory and time against the number of prompts", ABOUT, rows)
