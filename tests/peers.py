"""Servers in a test's own event loop that say on each connection, byte by byte, what the test has them say."""

import asyncio
import contextlib
import functools
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
OK = HEAD + b"hello"
Test = Callable[..., Coroutine[Any, Any, None]]


def looped(test: Test) -> Callable[..., None]:
    """Runs a test in an event loop of its own, for 20 s at most."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**fixtures), 20))

    return run


@dataclass
class Line:
    """A connection at the server, the first of which has the number 1."""

    peer: "Peer"
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """The next request's head; empty when the client has hung up."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
            await self.reader.readexactly(int(length[1]) if length else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.peer.asked.append((self.number, head.split(b" HTTP/1.1\r\n")[0].decode()))
        return head

    async def say(self, data: bytes) -> None:
        """Send it."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Talk = Callable[[Line], Coroutine[Any, Any, None]]


@dataclass
class Peer:
    """A server. asked: the connection and the first words of each request. open: how many connections there are."""

    talk: Talk
    asked: list[tuple[int, str]] = field(default_factory=list)
    opened: int = 0
    open: int = 0
    origin: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk on a connection, and close it."""
        self.opened += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError):
                await self.talk(Line(self, self.opened, reader, writer))
        finally:
            self.open -= 1
            writer.transport.close()

    async def empty(self) -> None:
        """Return when no connection is left."""
        while self.open:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """A server that talks so on each connection."""
    peer, tasks = Peer(talk), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(peer.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, backlog=1000)
    peer.origin = f"{'https' if tls else 'http'}://{host}:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(*answers: bytes) -> Talk:
    """Gives these answers on each connection, and closes it."""

    async def talk(line: Line) -> None:
        for answer in answers:
            if not await line.request():
                return
            await line.say(answer)

    return talk


async def polite(line: Line) -> None:
    """Says OK as long as it is asked."""
    while await line.request():
        await line.say(OK)
