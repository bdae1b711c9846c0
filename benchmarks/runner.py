"""Run programs and functions in separate processes, and measure them."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

LAUNCHER = Path(__file__).with_name("launcher.py")
START_SECONDS = 2.0
"""The time that new processes have to start and import before all of them begin."""
T = TypeVar("T")
Commands = Sequence[Sequence[str]]
"""Commands that run one after the other, each as its arguments."""


class FailedRunError(Exception):
    """A measured program failed, so there is no figure."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The resource usage of a run: wall time and CPU time in seconds, peak resident memory in bytes."""

    seconds: float
    cpu: float
    peak: int

    def __add__(self, later: "Usage") -> "Usage":
        return Usage(self.seconds + later.seconds, self.cpu + later.cpu, max(self.peak, later.peak))


def show_progress(message: str) -> None:
    """Print a message to stderr."""
    print(message, file=sys.stderr, flush=True)


def run(commands: Commands, variables: Mapping[str, str], directory: Path) -> Usage:
    """Run commands with their stdout discarded and return their total usage.

    Raise FailedRunError if a command fails.
    """
    total = Usage(0.0, 0.0, 0)
    for command in commands:
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), *command]
        completed = subprocess.run(launcher, env=variables, cwd=directory, capture_output=True, text=True, check=False)
        if completed.returncode:
            error = completed.stderr.strip()[-2000:]
            raise FailedRunError(f"{' '.join(command)}: exit code {completed.returncode}: {error}")
        seconds, cpu, peak = completed.stdout.split()
        total += Usage(float(seconds), float(cpu), int(peak))
    return total


def run_interleaved(
    items: Mapping[str, Commands], baseline: Commands, variables: Mapping[str, str], directory: Path, rounds: int
) -> tuple[dict[str, list[Usage]], list[Usage]]:
    """Return the usage of each item in each round, and the usage of all runs of the baseline.

    The baseline runs before each item, so that other load on the machine affects both. The first round writes
    bytecode and fills caches, and is not counted.
    """
    usages: dict[str, list[Usage]] = {name: [] for name in items}
    baselines: list[Usage] = []
    for number in range(rounds + 1):
        show_progress(f"  round {number} of {rounds}")
        for name, commands in items.items():
            before, usage = run(baseline, variables, directory), run(commands, variables, directory)
            if number:
                baselines.append(before)
                usages[name].append(usage)
    return usages, baselines


def run_in_processes(count: int, function: Callable[[], T]) -> list[T]:
    """Call `function` in `count` new processes at the same time, and return the results."""
    begin = time.time() + START_SECONDS
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_call_at, begin, function) for _ in range(count)]
        return [future.result() for future in futures]


def _call_at(begin: float, function: Callable[[], T]) -> T:
    time.sleep(max(0.0, begin - time.time()))
    return function()
