"""A mock of PiAPI that costs little CPU time, so that the benchmarks measure the client.

It is a separate process on localhost and stores no tasks: a task's ID contains the time of its completion.
"""

import asyncio
import json
import random
import re
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from .environment import ROOT
from .runner import FailedRunError

COMPLETED_ID = "0-0"
"""The ID of a task that is always completed."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Counts:
    """The requests that a mock has received. cpu: the CPU seconds that it has used."""

    creates: int
    polls: int
    images: int
    cpu: float

    @property
    def requests(self) -> int:
        """Return the total."""
        return self.creates + self.polls + self.images


@dataclass(frozen=True, slots=True)
class Mock:
    """A running mock. origin: its URL without a path."""

    origin: str

    def fetch_counts(self) -> Counts:
        """Return the counts since it started."""
        with urlopen(f"{self.origin}/counts") as response:
            return Counts(**json.load(response))


@contextmanager
def start_mock(*, task_seconds: float, image_bytes: int) -> Iterator[Mock]:
    """Run a mock whose tasks take `task_seconds` and whose images have about `image_bytes`."""
    command = [sys.executable, "-m", "benchmarks.mock_piapi", str(task_seconds), str(image_bytes)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            origin = process.stdout.readline().strip()
            if not origin:
                raise FailedRunError("the mock of PiAPI did not start")
            yield Mock(origin)
        finally:
            process.stdin.close()  # the mock exits when its stdin is closed, even if this process is killed


def make_png(size: int) -> bytes:
    """Return a valid PNG of about `size` bytes. It contains noise, which is incompressible, like a photograph."""
    side = max(1, round((size / 3) ** 0.5))
    noise = random.Random(0)
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


class _Service:
    """The responses to requests. task_seconds: duration of a task."""

    def __init__(self, task_seconds: float, image: bytes) -> None:
        self.origin = ""
        self._task_seconds, self._image = task_seconds, _make_response(b"image/png", image)
        self._counts: Counter[str] = Counter()

    def respond(self, method: bytes, path: str) -> bytes:
        """Return the complete response to a request."""
        if method == b"POST":
            self._counts["creates"] += 1
            completed = time.monotonic() + self._task_seconds
            return self._show_task(f"{completed * 1000:.0f}-{self._counts['creates']}", "pending")
        if path.startswith("/images/"):
            self._counts["images"] += 1
            return self._image
        if path == "/counts":
            counts = {name: self._counts[name] for name in ("creates", "polls", "images")}
            return _make_response(b"application/json", json.dumps({**counts, "cpu": time.process_time()}).encode())
        self._counts["polls"] += 1
        task_id = path.rpartition("/")[2]
        completed = time.monotonic() * 1000 >= float(task_id.partition("-")[0])
        return self._show_task(task_id, "completed" if completed else "processing")

    def _show_task(self, task_id: str, status: str) -> bytes:
        """Return a response as in PiAPI's published spec (Successful Task Creation, Completed Task Response)."""
        data: dict[str, Any] = {
            "task_id": task_id,
            "model": "Qubico/flux1-dev",
            "task_type": "txt2img",
            "status": status,
            "input": {"prompt": "a red fox in the snow", "width": 1024, "height": 1024, "guidance_scale": 3.5},
            "meta": {"created_at": "2026-01-01T00:00:00Z", "usage": {"type": "quota", "consume": 15000}},
            "error": {"code": 0, "message": ""},
        }
        if status == "completed":
            data["output"] = {"image_url": f"{self.origin}/images/{task_id}.png", "width": 1024, "height": 1024}
        body = json.dumps({"code": 200, "data": data, "message": "success"}).encode()
        return _make_response(b"application/json", body)


def _make_response(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


class _Connection(asyncio.Protocol):
    """A minimal HTTP/1.1 connection, sufficient for flux and curl."""

    def __init__(self, service: _Service) -> None:
        self._service, self._received = service, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < total:
                return
            self._received = self._received[total:]
            method, path, _ = head.split(b" ", 2)
            self._transport.write(self._service.respond(method, path.decode()))


async def _serve(task_seconds: float, image_bytes: int) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    service = _Service(task_seconds, make_png(image_bytes))
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=1024)
    service.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(service.origin, flush=True)
    loop.add_reader(sys.stdin, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), int(sys.argv[2])))
