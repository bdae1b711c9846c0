"""Fork runs of the program, and kill them at a chosen step.

The forked process is the program as `python -m flux_cli` starts it, with a step at which it dies
(`RunSpec.die_at_step`) or a fault (`RunSpec.fault`, see `engine_faults.py`). Run as a script, this file is the process
that forks.
"""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

OUT, ERR, STEPS = "out", "err", "steps"
"""Files beside the home: the output of a run, and its durable steps."""

IMPORTED = (
    *(f"flux_cli.{name}" for name in ("batch.batch", "engine.slots", "cli.fast_path", "cli.main")),
    *(f"flux_cli.cli.{name}" for name in ("generate", "found_tasks")),
    *(f"flux_cli.cli.output.{name}" for name in ("progress", "reporter")),
    *(f"flux_cli.cli.commands.{name}" for name in ("gen", "edit", "batch", "wait", "resume", "resolve", "history")),
    *("certifi", "typer._click.decorators", "flux_cli.webhooks.secret"),
    *("httpcore", "h11", "sniffio", "anyio._backends._asyncio", "anyio.streams.tls"),
)
"""Modules that a run imports, some of them during a request."""


@dataclass(frozen=True)
class RunSpec:
    """A run of the program.

    directory: the directory for out, err and steps. die_at_step: the durable step, from 1, at which the process kills
    itself, or 0. die_after: the seconds after which it is killed, or 0. fault: the name of an engine fault.
    """

    arguments: list[str]
    directory: str
    die_at_step: int = 0
    die_after: float = 0.0
    fault: str | None = None
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: str = field(default_factory=os.getcwd)


class Runner:
    """A process that forks runs of the program, one at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._child: int | None = None

    def start(self, spec: RunSpec) -> int:
        """Start a run, and return its process ID."""
        if self._child is not None:  # left by a failed test
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            self.wait()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(spec)) + "\n")
        self._process.stdin.flush()
        self._child = self._read_number()
        return self._child

    def wait(self) -> int:
        """Wait for the run; return its exit code, or the negative signal that killed it."""
        code, self._child = self._read_number(), None
        return code

    def _read_number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def start_runner() -> Iterator[Runner]:
    """Start a process that has imported everything."""
    command, root = [sys.executable, "-m", "tests.runner"], Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Runner(process)
        assert process.stdin is not None
        process.stdin.close()


# --- the process that forks ------------------------------------------------------------------------------------------


def serve_runs() -> None:
    """Fork once for each spec on stdin, and write the child's process ID and its exit code."""
    for module in IMPORTED:
        import_module(module)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup, and so in every run
    for line in sys.stdin:
        spec = RunSpec(**json.loads(line))
        child = os.fork()
        if child == 0:
            _run_flux(spec)
        os.write(1, f"{child}\n".encode())
        os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


def _run_flux(spec: RunSpec) -> None:
    """Run the program, and exit."""
    try:
        os.chdir(spec.cwd)
        os.environ.clear()
        os.environ.update(spec.environ)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, OUT), (2, ERR)):
            os.dup2(os.open(f"{spec.directory}/{name}", flags), descriptor)
        _count_steps(spec)
        signal.setitimer(signal.ITIMER_REAL, spec.die_after)  # SIGALRM kills as SIGKILL does: nothing handles it
        if spec.fault:
            from .engine_faults import FAULTS

            FAULTS[spec.fault]()
        from flux_cli.__main__ import run

        sys.argv = ["flux", *spec.arguments]
        run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def _count_steps(spec: RunSpec) -> None:
    """Record every durable step, before and after it, and die at one of them."""
    steps = os.open(f"{spec.directory}/{STEPS}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    number = itertools.count(1)

    def step(point: str, action: str) -> None:
        os.write(steps, f"{point} {action}\n".encode())
        if next(number) == spec.die_at_step:
            os.kill(os.getpid(), signal.SIGKILL)

    class Steps(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            action = " ".join(sql.split()[:3])
            if action.startswith(("SELECT", "PRAGMA", "BEGIN")):
                return super().execute(sql, *values)
            step("before", action)
            cursor = super().execute(sql, *values)
            step("after", action)
            return cursor

        def __exit__(self, *error: Any) -> Any:
            step("before", "commit")
            result = super().__exit__(*error)
            step("after", "commit")
            return result

    connect = sqlite3.connect

    def journal(path: str | Path, **options: Any) -> sqlite3.Connection:
        return connect(path, factory=Steps if path else sqlite3.Connection, **options)  # "": a temporary database

    sqlite3.connect = journal  # type: ignore[assignment]

    def record_calls(name: str) -> Callable[..., Any]:
        function = getattr(os, name)

        def call(*values: Any, **options: Any) -> Any:
            step("before", name)
            result = function(*values, **options)
            step("after", name)
            return result

        return call

    for name in ("link", "rename", "replace", "unlink", "fsync"):
        setattr(os, name, record_calls(name))


if __name__ == "__main__":
    serve_runs()
