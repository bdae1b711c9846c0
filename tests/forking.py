"""A `flux` for PATH that starts in a hundredth of a second: one process that has imported everything forks each run.

`flux` itself is a small program that hands its arguments, folder, environment and streams to that process, passes on
signals, and ends as the run ends.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from .warm import IMPORTED

CLIENT = """#!{python} -ISE
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
order = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
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


@contextmanager
def forking(program: Path, folder: Path) -> Iterator[None]:
    """Write `program`, whose runs are forked while this lasts. `folder`: a short path, for a socket."""
    address = str(folder / "flux.socket")
    program.write_text(CLIENT.format(python=sys.executable, address=address))
    program.chmod(0o755)
    command, root = [sys.executable, "-m", "tests.forking", address], Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as server:
        assert server.stdout
        server.stdout.readline()  # it listens
        yield
        server.terminate()


def serve(address: str) -> None:
    """Fork for each connection, until killed. The fork forks the run, and reports its ID and its end."""
    for module in IMPORTED:
        import_module(module)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"\n")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _report(connection)
                os._exit(0)
            connection.close()


def _report(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    order = b""
    while len(order) < int.from_bytes(size, "big"):
        order += connection.recv(65536)
    run = os.fork()
    if run == 0:
        connection.close()
        _be_flux(streams, *json.loads(order))
    for stream in streams:
        os.close(stream)
    connection.sendall(f"{run}\n".encode())
    connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])}\n".encode())


def _be_flux(streams: list[int], arguments: list[str], folder: str, environ: dict[str, str]) -> None:
    """Be the program, to the end."""
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for number, mode in enumerate("rww"):
            errors = "backslashreplace" if number == 2 else "surrogateescape"
            encoded = open(number, mode, 1, "utf-8", errors, closefd=False)  # noqa: SIM115
            setattr(sys, ("stdin", "stdout", "stderr")[number], encoded)
        from flux_cli.__main__ import run

        sys.argv = ["flux", *arguments]
        run()
    finally:
        os._exit(70)


if __name__ == "__main__":
    serve(sys.argv[1])
