"""Memory and time against the number of prompts, of which a command keeps a list."""

from pathlib import Path

from .figures import Figure, Section
from .installed import Installed
from .runner import MIB, Run, Say, Work, clean_environ

ABOUT = """
`flux cost gen --from FILE -y` reads, checks and prices every prompt of a file and sends nothing. Peak memory of the
process, and its CPU time per prompt beyond what the smallest file takes: 1 from one size to the next means linear.
""".strip()
SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
TARGETS = {100_000: (200.0, 10.0)}
"""Peak memory in MiB and CPU time in seconds, by the number of prompts."""
LINEAR = 1.3
"""Target for the time per prompt, times that of the size before."""


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
        peak, cpu = TARGETS.get(size, (None, None))
        row = {"peak": Figure(run.peak / MIB, "MiB", target=peak), "CPU": Figure(run.cpu, "s", target=cpu)}
        if size != sizes[0]:
            each = (run.cpu - smallest.cpu) / (size - sizes[0])
            row["a prompt"] = Figure(1e6 * each, "µs")
            if before:
                row["x the size before"] = Figure(each / before, target=LINEAR)
            before = each
        rows[f"{size:,} prompts"] = row
    return Section("memory", "Memory and time against the number of prompts", ABOUT, rows)
