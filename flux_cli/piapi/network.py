"""How httpx reaches the network: over connections of our own, or by itself through a proxy.

httpcore, which it uses by itself, walks through all its connections and waiting requests whenever a request begins or
ends. With 200 tasks at once, 1,000 looks took 2.7 s of CPU with it, and take 0.4 s with these.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.request import getproxies

import h11
import httpx

from .. import __version__
from .connection import Connection, opened, tell, within

USER_AGENT = f"piapi-flux/{__version__}"
PORTS = {"http": 80, "https": 443}


@cache
def trusted() -> ssl.SSLContext:
    """What certificates are trusted, read once a process. Raises OSError when SSL_CERT_FILE cannot be used."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def reaching(
    transport: httpx.AsyncBaseTransport | None, *, local: bool, most: int, idle_seconds: float
) -> dict[str, Any]:
    """The options of an httpx.AsyncClient that say how it reaches its servers.

    transport: the in-process sandbox; None for the network.
    local: the servers are on this machine: there is no proxy between. Proxies are left to httpx, with all its rules.
    most: requests to one origin at once. idle_seconds: for how long a connection is kept for the next GET.
    Raises httpx.InvalidURL, ImportError, ValueError, OSError where the environment's settings cannot be used.
    """
    if transport is not None:
        return {"transport": transport}
    if local:
        return {"transport": Connections(most=most, idle_seconds=idle_seconds)}
    context, proxies = trusted(), getproxies()
    if not any(proxies.get(scheme) for scheme in ("http", "https", "all")):
        return {"transport": Connections(most=most, idle_seconds=idle_seconds)}
    kept = most if idle_seconds else 0
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=kept, keepalive_expiry=idle_seconds)
    return {"verify": context, "limits": limits}


class Connections(httpx.AsyncBaseTransport):
    """Connections to any origins; at most `most` requests to each at once, and who asks first is served first.

    A GET may use one that has been idle for at most `idle_seconds`; if it proves stale, a new one takes its place.
    Every other request has a connection of its own: of a stale one it cannot be told whether the request arrived.
    """

    def __init__(self, *, most: int, idle_seconds: float) -> None:
        self._most, self._idle_seconds = most, idle_seconds
        self._origins: dict[tuple[str, str, int], _Origin] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, its body still to come. Raises httpx.TransportError."""
        origin = self._origin(request.url)
        await within(request, "pool", origin.seats.acquire())
        try:
            connection, head = await self._ask(origin, request)
        except BaseException:
            origin.seats.release()
            raise
        body = _Body(origin, connection, request)
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=body)

    def _origin(self, url: httpx.URL) -> "_Origin":
        if url.scheme not in PORTS:
            raise httpx.UnsupportedProtocol(f"{url.scheme} is not http(s)")
        key = (url.scheme, url.raw_host.decode("ascii"), url.port or PORTS[url.scheme])
        if key not in self._origins:
            self._origins[key] = _Origin(*key, asyncio.Semaphore(self._most))
        return self._origins[key]

    async def _ask(self, origin: "_Origin", request: httpx.Request) -> tuple[Connection, h11.Response]:
        if request.method == "GET" and (kept := origin.kept(self._idle_seconds)):
            try:
                return kept, await kept.ask(request)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if kept.answered:
                    raise
        connection = await origin.connect(request)
        return connection, await connection.ask(request)

    async def aclose(self) -> None:
        """Close what is idle. A connection in use is closed with its response."""
        for origin in self._origins.values():
            origin.over = True
            origin.kept(0.0)


@dataclass
class _Origin:
    """A server.

    seats: one for each request that may be on its way. idle: connections, the last used at the end. over: no
    connection is kept any more.
    """

    scheme: str
    host: str
    port: int
    seats: asyncio.Semaphore
    idle: list[Connection] = field(default_factory=list)
    over: bool = False

    def kept(self, idle_seconds: float) -> Connection | None:
        """An idle connection, taken out, if there is a usable one."""
        now = asyncio.get_running_loop().time()
        while self.idle:
            connection = self.idle.pop()
            assert connection.idle_since is not None
            if not connection.closed and now - connection.idle_since < idle_seconds:
                return connection
            connection.close()
        return None

    async def connect(self, request: httpx.Request) -> Connection:
        """A new connection. Raises httpx.ConnectTimeout, ConnectError."""
        try:
            return await within(request, "connect", self._open(request))
        except (OSError, ValueError) as error:  # a name that cannot be one is a ValueError
            raise httpx.ConnectError(str(error)) from error

    async def _open(self, request: httpx.Request) -> Connection:
        await tell(request, "connection.connect_tcp.started", {"host": self.host, "port": self.port})
        connection = await opened(self.host, self.port)
        try:
            # Before the first byte: who listens may not like where a name leads.
            await tell(request, "connection.connect_tcp.complete", {"return_value": connection})
            if self.scheme == "https":
                await connection.start_tls(trusted(), self.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def done(self, connection: Connection, *, keep: bool) -> None:
        """The response has been read, or given up."""
        if keep and not self.over and connection.rest():
            self.idle.append(connection)
        else:
            connection.close()
        self.seats.release()


class _Body(httpx.AsyncByteStream):
    """The body of a response as it comes. Whoever leaves it early gives its connection up."""

    def __init__(self, origin: _Origin, connection: Connection, request: httpx.Request) -> None:
        self._origin, self._connection, self._request = origin, connection, request
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._connection.event(self._request), h11.Data):
            yield bytes(event.data)

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._origin.done(self._connection, keep=self._request.method == "GET")
