"""Fork runs of the program from a process that has imported everything, so that they start within 10 ms.

`ForkedProcess` is such a run as a child of this process. `ForkServer.program` is a `flux` for PATH: a small program
that sends its arguments, directory, environment and streams to that process, passes on signals, and exits as the run
exits.
"""

import ctypes
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from typing import Any

from .runner import IMPORTED

CLIENT = """#!{python} -ISE
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
order = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), False, False]).encode()
socket.send_fds(server, [len(order).to_bytes(4, "big")], [0, 1, 2])
server.sendall(order)
answers = server.makefile()
run = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(run, number))
code = int(answers.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
SERVERS = ("uvicorn.protocols.http.h11_impl", "uvicorn.lifespan.off", "flux_cli.webhooks.server")
EXTRA_IMPORTS = {
    "mcp": ("flux_cli.mcp.server", "flux_cli.cli.commands.mcp", "mcp.server.lowlevel.server", "jsonschema"),
    "listen": (*SERVERS, "flux_cli.cli.commands.listen", "flux_cli.webhooks.receiver"),
    "sandbox": (*SERVERS, "flux_cli.cli.commands.sandbox", "flux_cli.sandbox.app"),
}
"""Additional modules that a command imports."""
PR_SET_CHILD_SUBREAPER = 36


class ForkServer:
    """A process that forks runs until this one ends. The test side."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="flux")  # a short path, for a socket
        self._address = f"{self._directory.name}/socket"
        self.program = Path(self._directory.name, "flux")
        self.program.write_text(CLIENT.format(python=sys.executable, address=self._address))
        self.program.chmod(0o755)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # a run becomes a child of this process
        command, root = [sys.executable, "-m", "tests.forking", self._address], Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        self._process.stdout.readline()  # the server is listening

    def fork(self, arguments: Sequence[str], directory: str, streams: Sequence[int], *, session: bool) -> int:
        """Start a run, optionally as a session leader, and return its process ID."""
        order = json.dumps([arguments, directory, dict(os.environ), True, session]).encode()
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self._address)
            socket.send_fds(server, [len(order).to_bytes(4, "big")], [*streams])
            server.sendall(order)
            return int(server.makefile().read())

    def end(self) -> None:
        """End the fork server."""
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()
        self._directory.cleanup()


@cache
def fork_server() -> ForkServer:
    """Return the fork server of this process."""
    return ForkServer()


class ForkedProcess(subprocess.Popen[str]):
    """A forked run: `args` are the arguments after `flux`."""

    def _execute_child(self, *arguments: Any) -> None:
        words, directory, pipes, session = arguments[0], arguments[5], arguments[10:16], arguments[21]
        streams = [pipe if pipe >= 0 else number for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid = fork_server().fork(words, directory or os.getcwd(), streams, session=bool(session))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


# --- the fork server -------------------------------------------------------------------------------------------------


def serve(address: str) -> None:
    """Fork for each connection, until stdin ends. The fork forks the run, and reports its process ID and exit code."""
    for module in IMPORTED:
        import_module(module)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"\n")
        while select([listener.fileno(), 0], [], [])[0] != [0]:
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    continue  # a fork that has reported
            connection, _ = listener.accept()
            size, streams, _, _ = socket.recv_fds(connection, 4, 3)
            order = b""
            while len(order) < int.from_bytes(size, "big"):
                order += connection.recv(65536)
            words, directory, environ, adopted, session = json.loads(order)
            for module in EXTRA_IMPORTS.get(words[0] if words else "", ()):
                import_module(module)
            gc.freeze()
            fork = os.fork()
            if fork == 0:
                listener.close()
                run = os.fork()
                if run == 0:
                    connection.close()
                    if session:
                        os.setsid()
                    _run_flux(streams, words, directory, environ)
                _report(connection, streams, run, adopted)
            for stream in streams:
                os.close(stream)
            if adopted:
                os.waitpid(fork, 0)  # from now on the run is a child of the requesting process
            connection.close()


def _report(connection: socket.socket, streams: list[int], run: int, adopted: bool) -> None:
    for stream in streams:
        os.close(stream)
    with suppress(BrokenPipeError):  # the requesting process was killed
        connection.sendall(f"{run}\n".encode())
        if not adopted:
            connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])}\n".encode())
    os._exit(0)


def _run_flux(streams: list[int], arguments: list[str], directory: str, environ: dict[str, str]) -> None:
    """Run the program, and exit."""
    try:
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environ)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for number, mode in enumerate("rww"):
            errors = "backslashreplace" if number == 2 else "surrogateescape"
            lines = 1 if number == 2 or os.isatty(number) else -1
            encoded = open(number, mode, lines, "utf-8", errors, closefd=False)  # noqa: SIM115
            setattr(sys, ("stdin", "stdout", "stderr")[number], encoded)
        from flux_cli.__main__ import run

        sys.argv = ["flux", *arguments]
        run()
    finally:
        os._exit(70)


if __name__ == "__main__":
    serve(sys.argv[1])
