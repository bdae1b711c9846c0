"""Runs programs and tells what they took; the same for every measure."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAUNCH = Path(__file__).with_name("launch.py")
MIB = 2**20

Say = Callable[[str], None]
"""Told how far a measure is, a line at a time."""


class FailedRunError(Exception):
    """A program that was to be measured did not do its work: there is no figure to tell."""


@dataclass(frozen=True, slots=True)
class Run:
    """What it took: wall and CPU seconds, peak resident bytes."""

    seconds: float
    cpu: float
    peak: int

    def __add__(self, after: "Run") -> "Run":
        return Run(self.seconds + after.seconds, self.cpu + after.cpu, max(self.peak, after.peak))


@dataclass(frozen=True, slots=True)
class Work:
    """Commands that run one after the other, with these settings in their environment."""

    commands: Sequence[Sequence[str]]
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, environ: Mapping[str, str], *, cwd: Path) -> Run:
        """Do it, stdout thrown away. Raises FailedRunError when a command fails."""
        done = Run(0.0, 0.0, 0)
        for command in self.commands:
            done += self._run(command, {**environ, **self.environ}, cwd)
        return done

    def _run(self, command: Sequence[str], environ: dict[str, str], cwd: Path) -> Run:
        launcher = [sys.executable, "-I", "-S", str(LAUNCH), *command]
        done = subprocess.run(launcher, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode:
            told = done.stderr.strip()[-2000:]
            raise FailedRunError(f"{' '.join(command)}: exit code {done.returncode}: {told}")
        seconds, cpu, peak = done.stdout.split()
        return Run(float(seconds), float(cpu), int(peak))


def interleaved(
    items: Mapping[str, Work], baseline: Work, environ: Mapping[str, str], *, cwd: Path, rounds: int, say: Say
) -> tuple[dict[str, list[Run]], list[Run]]:
    """The runs of each item, one a round, and those of the baseline.

    The baseline runs before each of them, so that what else the machine does falls on all alike. A first round, which
    writes bytecode and fills caches, is not counted.
    """
    done: dict[str, list[Run]] = {name: [] for name in items}
    base: list[Run] = []
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}")
        for name, work in items.items():
            before, run = baseline.run(environ, cwd=cwd), work.run(environ, cwd=cwd)
            if number:
                base.append(before)
                done[name].append(run)
    return done, base


def clean_environ(home: Path, **settings: str) -> dict[str, str]:
    """The environment without what steers flux or Python, with a home for flux that is nobody's.

    PYTHONDONTWRITEBYTECODE, for one, has every start compile every module.
    """
    steering = ("FLUX_", "PIAPI_", "_FLUX_", "PYTHON", "SSL_CERT_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(steering) and not name.lower().endswith("_proxy")
    }
    return {**kept, "FLUX_HOME": str(home), **settings}
