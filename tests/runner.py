"""Real processes that start in a hundredth of a second: one that has imported everything forks off each run.

The forked process is the program as `python -m flux_cli` starts it; before that it can be given a death to die
(`Order.dies`) or a fault to have (`Order.broken`, see `broken.py`). Run as a script this file is the one that forks.
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
"""Files beside the home: what a run wrote, and the durable steps that it took."""

IMPORTED = (
    *(f"flux_cli.{name}" for name in ("batch.runner", "engine.slots", "cli.fast_path", "cli.main")),
    *(f"flux_cli.cli.{name}" for name in ("generate", "found_tasks")),
    *(f"flux_cli.cli.output.{name}" for name in ("progress", "reporter")),
    *(f"flux_cli.cli.commands.{name}" for name in ("gen", "edit", "batch", "wait", "resume", "resolve", "history")),
    *("certifi", "typer._click.decorators", "flux_cli.webhooks.secret"),
    *("httpcore", "h11", "sniffio", "anyio._backends._asyncio", "anyio.streams.tls"),
)
"""What a run imports, some of it in the midst of a request."""


@dataclass(frozen=True)
class RunSpec:
    """A run.

    words: the command line; folder: where out, err and steps are written.
    dies: the durable step, from 1, at which the process kills itself; after: the seconds after which it dies anyway;
    0: never. broken: the name of a fault that it is to have.
    """

    arguments: list[str]
    folder: str
    die_at_step: int = 0
    die_after: float = 0.0
    fault: str | None = None
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: str = field(default_factory=os.getcwd)


class Runner:
    """Runs of the program, one at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._child: int | None = None

    def start(self, order: RunSpec) -> int:
        """Start a run; gives the id of its process."""
        if self._child is not None:  # a test that failed has left it
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            self.wait()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        self._child = self._read_number()
        return self._child

    def wait(self) -> int:
        """The end of the run: its exit code, or minus the signal that killed it."""
        code, self._child = self._read_number(), None
        return code

    def _read_number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def start_runner() -> Iterator[Runner]:
    """A process that has imported everything."""
    command, root = [sys.executable, "-m", "tests.runner"], Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Runner(process)
        assert process.stdin is not None
        process.stdin.close()


# --- the process that forks ------------------------------------------------------------------------------------------


def serve_runs() -> None:
    """Fork once for each order on stdin, and tell the child's id and its end."""
    for module in IMPORTED:
        import_module(module)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and would be in every run
    for line in sys.stdin:
        order = RunSpec(**json.loads(line))
        child = os.fork()
        if child == 0:
            _run_flux(order)
        os.write(1, f"{child}\n".encode())
        os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


def _run_flux(order: RunSpec) -> None:
    """Be the program, to the end."""
    try:
        os.chdir(order.cwd)
        os.environ.clear()
        os.environ.update(order.environ)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, OUT), (2, ERR)):
            os.dup2(os.open(f"{order.folder}/{name}", flags), descriptor)
        _count_steps(order)
        signal.setitimer(
            signal.ITIMER_REAL, order.die_after
        )  # SIGALRM, which kills as SIGKILL does: nothing handles it
        if order.fault:
            from .engine_faults import FAULTS

            FAULTS[order.fault]()
        from flux_cli.__main__ import run

        sys.argv = ["flux", *order.arguments]
        run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def _count_steps(order: RunSpec) -> None:
    """Note every step that outlives the process, before and after it is taken, and die at one of them."""
    steps = os.open(f"{order.folder}/{STEPS}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    number = itertools.count(1)

    def step(point: str, what: str) -> None:
        os.write(steps, f"{point} {what}\n".encode())
        if next(number) == order.die_at_step:
            os.kill(os.getpid(), signal.SIGKILL)

    class Steps(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            what = " ".join(sql.split()[:3])
            if what.startswith(("SELECT", "PRAGMA", "BEGIN")):
                return super().execute(sql, *values)
            step("before", what)
            cursor = super().execute(sql, *values)
            step("after", what)
            return cursor

        def __exit__(self, *error: Any) -> Any:
            step("before", "commit")
            result = super().__exit__(*error)
            step("after", "commit")
            return result

    connect = sqlite3.connect

    def journal(path: str | Path, **options: Any) -> sqlite3.Connection:
        return connect(path, factory=Steps if path else sqlite3.Connection, **options)  # "": no file that outlives it

    sqlite3.connect = journal  # type: ignore[assignment]

    def noted(name: str) -> Callable[..., Any]:
        function = getattr(os, name)

        def call(*values: Any, **options: Any) -> Any:
            step("before", name)
            result = function(*values, **options)
            step("after", name)
            return result

        return call

    for name in ("link", "rename", "replace", "unlink", "fsync"):
        setattr(os, name, noted(name))


if __name__ == "__main__":
    serve_runs()
