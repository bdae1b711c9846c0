"""A stand-in for the service that costs next to nothing: the client is measured, not the drawing of images.

A process of its own on loopback. It remembers no task: the id says when the task is done.
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

from .runner import ROOT, FailedRunError

DONE_ID = "0-0"
"""The id of a task that has always been completed."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a stand-in has answered so far, and the CPU seconds that it took."""

    creates: int
    polls: int
    images: int
    cpu: float

    @property
    def requests(self) -> int:
        """All of them."""
        return self.creates + self.polls + self.images


@dataclass(frozen=True, slots=True)
class Stub:
    """A running stand-in."""

    origin: str

    def counts(self) -> Counts:
        """What it has answered since it began."""
        with urlopen(f"{self.origin}/counts") as reply:  # its own loopback address
            return Counts(**json.load(reply))


@contextmanager
def serving(*, seconds: float, image_bytes: int) -> Iterator[Stub]:
    """A stand-in whose tasks take so many seconds and whose images have about so many bytes."""
    command = [sys.executable, "-m", "benchmarks.stub", str(seconds), str(image_bytes)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            origin = process.stdout.readline().strip()
            if not origin:
                raise FailedRunError("the stand-in for the service did not start")
            yield Stub(origin)
        finally:
            process.stdin.close()  # it ends with whoever started it, however that one ends


def png(size: int) -> bytes:
    """A whole PNG of about `size` bytes: noise, which does not compress, as little as a photograph does."""
    side = max(1, round((size / 3) ** 0.5))
    noise = random.Random(0)
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


class _Service:
    """The answers. `seconds` is how long a task takes."""

    def __init__(self, seconds: float, image: bytes) -> None:
        self.origin = ""
        self._seconds, self._image = seconds, _response(b"image/png", image)
        self._answered: Counter[str] = Counter()

    def answer(self, method: bytes, path: str) -> bytes:
        """The whole response to a request."""
        if method == b"POST":
            self._answered["creates"] += 1
            done = time.monotonic() + self._seconds
            return self._task(f"{done * 1000:.0f}-{self._answered['creates']}", "pending")
        if path.startswith("/images/"):
            self._answered["images"] += 1
            return self._image
        if path == "/counts":
            counts = {name: self._answered[name] for name in ("creates", "polls", "images")}
            return _response(b"application/json", json.dumps({**counts, "cpu": time.process_time()}).encode())
        self._answered["polls"] += 1
        task = path.rpartition("/")[2]
        done = time.monotonic() * 1000 >= float(task.partition("-")[0])
        return self._task(task, "completed" if done else "processing")

    def _task(self, task: str, status: str) -> bytes:
        """As the specification shows it (Successful Task Creation, Completed Task Response)."""
        data: dict[str, Any] = {
            "task_id": task,
            "model": "Qubico/flux1-dev",
            "task_type": "txt2img",
            "status": status,
            "input": {"prompt": "a red fox in the snow", "width": 1024, "height": 1024, "guidance_scale": 3.5},
            "meta": {"created_at": "2026-01-01T00:00:00Z", "usage": {"type": "quota", "consume": 15000}},
            "error": {"code": 0, "message": ""},
        }
        if status == "completed":
            data["output"] = {"image_url": f"{self.origin}/images/{task}.png", "width": 1024, "height": 1024}
        body = json.dumps({"code": 200, "data": data, "message": "success"}).encode()
        return _response(b"application/json", body)


def _response(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


class _Connection(asyncio.Protocol):
    """Just enough of HTTP/1.1 for clients that are known to be well-behaved."""

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
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            method, path, _ = head.split(b" ", 2)
            self._transport.write(self._service.answer(method, path.decode()))


async def _serve(seconds: float, image_bytes: int) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    service = _Service(seconds, png(image_bytes))
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=1024)
    service.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(service.origin, flush=True)
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), int(sys.argv[2])))
