"""Servers in the event loop of a test, which send exactly the bytes that the test chooses."""

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
AsyncTest = Callable[..., Coroutine[Any, Any, None]]


def in_event_loop(test: AsyncTest) -> Callable[..., None]:
    """Run a test in its own event loop, for 20 s at most."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**fixtures), 20))

    return run


@dataclass
class Connection:
    """A connection at the server. number: from 1."""

    peer: "Peer"
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """Return the head of the next request, or an empty one if the client has closed the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
            await self.reader.readexactly(int(length[1]) if length else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.peer.requests.append((self.number, head.split(b" HTTP/1.1\r\n")[0].decode()))
        return head

    async def send(self, data: bytes) -> None:
        """Send data."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Reset the connection."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Connection], Coroutine[Any, Any, None]]


@dataclass
class Peer:
    """A server. requests: the connection and the first words of each. open: the number of open connections."""

    handler: Handler
    requests: list[tuple[int, str]] = field(default_factory=list)
    opened: int = 0
    open: int = 0
    origin: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a connection, and close it."""
        self.opened += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError):
                await self.handler(Connection(self, self.opened, reader, writer))
        finally:
            self.open -= 1
            writer.transport.close()

    async def wait_until_closed(self) -> None:
        """Wait until no connection is open."""
        while self.open:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def serve(handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """Run a server with a handler for each connection."""
    peer, tasks = Peer(handler), set[asyncio.Task[None]]()

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


def respond_with(*responses: bytes) -> Handler:
    """Return a handler that sends these responses on each connection, and closes it."""

    async def handler(connection: Connection) -> None:
        for response in responses:
            if not await connection.request():
                return
            await connection.send(response)

    return handler


async def respond_ok(connection: Connection) -> None:
    """Respond OK to every request."""
    while await connection.request():
        await connection.send(OK)
