"""One HTTP/1.1 connection: h11 between httpx's requests and asyncio's bytes."""

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Sequence
from functools import partial
from socket import SOCK_STREAM
from typing import Any, TypeVar, cast

import h11
import httpx

_T = TypeVar("_T")
HEAD_BYTES = 100 * 2**10
"""How large the head of a response may be, as with httpx by itself: gateways add much. h11 says 16 KiB."""
AHEAD = 2**18
"""Bytes that may have come and not been read, before the server is made to wait."""
NEXT_ADDRESS = 0.25
"""Seconds after which a host's next address is tried beside one that does not answer (RFC 8305, section 5)."""
TIMEOUTS = {
    "pool": httpx.PoolTimeout,
    "connect": httpx.ConnectTimeout,
    "write": httpx.WriteTimeout,
    "read": httpx.ReadTimeout,
}


async def within(request: httpx.Request, step: str, doing: Awaitable[_T]) -> _T:
    """Do it within the request's time-out for this step. Raises httpx.TimeoutException."""
    try:
        async with asyncio.timeout(request.extensions.get("timeout", {}).get(step)):
            return await doing
    except TimeoutError as error:
        raise TIMEOUTS[step](f"{step} took too long") from error


async def tell(request: httpx.Request, event: str, info: dict[str, Any]) -> None:
    """Tell who traces the request what happens to it, in httpcore's words."""
    if trace := request.extensions.get("trace"):
        await trace(event, info)


class Connection(asyncio.Protocol):
    """A connection that is open. Unlike asyncio's streams it gives what had come before it broke.

    answered: whether a byte has come since the request.
    idle_since: the loop's time since when no request has been on its way; None while one is.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.answered = False
        self.idle_since: float | None = 0.0  # before its first request
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._news = asyncio.Event()
        self._ahead = 0
        self._full = self._ended = False
        self._error: Exception | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended or self._transport.is_closing()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Talk TLS from now on. Raises OSError, ssl.SSLCertVerificationError among them."""
        if self.closed:  # asyncio would wait for a handshake
            raise ConnectionResetError("the connection ended before TLS")
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self._transport, self, context, server_hostname=host)
        assert transport is not None
        self._transport = transport

    async def ask(self, request: httpx.Request) -> h11.Response:
        """Send the request; the head of its response. It is closed when that fails. Raises httpx.TransportError."""
        self.idle_since, self.answered = None, False
        try:
            await self._send(request, await request.aread())
            while type(head := await self.event(request)) is not h11.Response:
                pass  # 1xx: the response is still to come
            return head
        except BaseException:
            self.close()
            raise

    async def _send(self, request: httpx.Request, content: bytes) -> None:
        try:
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            data = b"".join(self._http.send(event) for event in (head, h11.Data(data=content), h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        if self.closed:
            raise httpx.ConnectError("the connection ended before the request")
        # Before the first byte: where this was not told, nothing has left.
        await tell(request, "http11.send_request_headers.started", {"request": request})
        self._transport.write(data)

    async def event(self, request: httpx.Request) -> h11.Event:
        """The next piece of the response. Raises httpx.WriteTimeout, ReadTimeout, ReadError, RemoteProtocolError."""
        try:
            while not isinstance(event := self._http.next_event(), h11.Event):
                if self._error is not None:
                    raise httpx.ReadError(str(self._error)) from self._error
                self._ahead = 0
                self._transport.resume_reading()
                # A server may answer, or hang up, before it has read everything: what it says is read meanwhile.
                await self._wait(request, "write" if self._full else "read")
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event

    async def _wait(self, request: httpx.Request, step: str) -> None:
        self._news.clear()
        await within(request, step, self._news.wait())

    def rest(self) -> bool:
        """Whether it is idle again: the response was read to its end, and nothing followed it."""
        over = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if self.closed or not over or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        self._transport.resume_reading()  # what comes now was not asked for, and has to be noticed
        self.idle_since = asyncio.get_running_loop().time()
        return True

    def close(self) -> None:
        """Close it at once: what is still unsent does not leave."""
        self._transport.abort()

    # --- as httpcore's streams, for who traces -------------------------------------------------------------------

    def get_extra_info(self, name: str) -> Any:
        """`server_addr`: the address at the other end, and its port."""
        return self._transport.get_extra_info({"server_addr": "peername"}.get(name, name))

    async def aclose(self) -> None:
        """Close it."""
        self.close()

    # --- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # what other event loops give only looks like one

    def data_received(self, data: bytes) -> None:
        if self.idle_since is not None:
            self.close()  # nobody asked: it would be taken for the answer to the next request
            return
        self.answered = True
        self._http.receive_data(data)
        self._ahead += len(data)
        if self._ahead > AHEAD:
            self._transport.pause_reading()
        self._news.set()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended, self._error = True, error
        if error is None:
            self._http.receive_data(b"")
        self._news.set()


async def opened(host: str, port: int) -> Connection:
    """A connection to the first of a host's addresses that answers. Raises OSError, UnicodeError.

    asyncio has this race too, but leaves open what it has opened in the moment when it is given up.
    """
    tries: list[asyncio.Task[Connection]] = []
    for number, address in enumerate(await _addresses(host, port)):
        tries.append(asyncio.create_task(_open(address, port, tries[-1:], number * NEXT_ADDRESS)))
    won, errors = None, []
    try:
        for ended in asyncio.as_completed(tries):
            try:
                won = await ended
                return won
            except OSError as error:
                errors.append(error)
        raise errors[0]
    finally:
        for task in tries:
            task.cancel()
            task.add_done_callback(partial(_close, but=won))


async def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def _open(address: str, port: int, before: Sequence[asyncio.Task[Connection]], seconds: float) -> Connection:
    """Wait for its turn: until the one before it has failed, or so many seconds."""
    if before:
        await asyncio.wait(before, timeout=seconds)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, address, port)
    return connection


def _close(task: asyncio.Task[Connection], *, but: Connection | None) -> None:
    if not task.cancelled() and task.exception() is None and task.result() is not but:
        task.result().close()
