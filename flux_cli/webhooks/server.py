"""A TCP server for ASGI applications: uvicorn, in the running event loop."""

import asyncio
import contextlib
import errno
import json
import logging
import socket
from collections.abc import Callable, Iterator

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UsageError
from ..system.signals import DetachedExecutor, Stop
from ..text import clean
from .exchange import CUT

BACKLOG = 128
"""The most connections that wait. asyncio tries to accept as many in a row, even without descriptors."""
REPEAT_SECONDS = 10.0
"""The shortest time before the same message is shown again."""
HEAD_SECONDS = 20.0
"""The longest time for the head of a request to arrive."""
GOODBYE_SECONDS = 1
"""The longest time for requests in progress to finish when the server stops."""


class Protocol(H11Protocol):
    """uvicorn's protocol, with a way to cut the connection, and with a JSON response to invalid HTTP.

    A connection that stops within the head of a request is closed, because it occupies a file descriptor.
    """

    _head_ends: float | None = None
    """The time on the loop's clock at which the current head must be complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Extend uvicorn's method: add the function that cuts this connection to the application's scope."""
        super().connection_made(transport)
        # uvicorn starts its timer after the first response, so a silent connection would stay open indefinitely.
        seconds = self.timeout_keep_alive
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)
        app = self.app

        async def with_cut(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CUT] = transport.abort
            await app(scope, receive, send)

        self.app = with_cut

    def data_received(self, data: bytes) -> None:
        """Extend uvicorn's method, which stops its timer at the first byte: a head has one fixed deadline."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_ends = None
            return
        self._head_ends = self._head_ends or self.loop.time() + HEAD_SECONDS
        self.timeout_keep_alive_task = self.loop.call_at(self._head_ends, self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP with the same JSON as to any other refused request."""
        body = json.dumps({"code": 400, "message": "invalid HTTP request"}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        try:
            head = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (head, h11.Data(body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            self.transport.abort()  # partway through another response
        else:
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers. It stops when `stop` is requested."""

    def __init__(self, config: uvicorn.Config, stop: Stop) -> None:
        super().__init__(config)
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.requested


class _LogHandler(logging.Handler):
    """A handler that passes the log of uvicorn and asyncio to `note`, one line per record, without tracebacks."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note, self._last, self._at = note, "", 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record to `note`, unless it repeats the last one."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, asyncio.CancelledError):  # a request that was canceled by the shutdown
            return
        words = record.getMessage().partition("\n")[0] + (f": {type(error).__name__}: {error}" if error else "")
        if words != self._last or record.created > self._at + REPEAT_SECONDS:
            self._last, self._at = words, record.created
            self._note(f"server: {clean(words, 300)}")


def open_listening_socket(host: str, port: int, *, command: str) -> socket.socket:
    """Return a socket that listens on `host` and `port`; 0 picks a free port. Raise UsageError.

    command: the command that probably occupies a used port, for the hint.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        where = f"{clean(host, 60)}:{port}"
        if error.errno == errno.EADDRINUSE:
            hint = f"another {command} may be running; --port 0 picks a free port"
            raise UsageError(f"{where} is already in use", hint=hint) from None
        reason = str(error.strerror or error).partition(" (")[0]  # Python adds the address in parentheses
        raise UsageError(f"cannot listen on {where}: {reason}") from None


def origin_of(host: str, listener: socket.socket) -> str:
    """Return the origin at which this machine reaches a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a name, not bound
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: ASGIApp, listener: socket.socket, stop: Stop, note: Callable[[str], None]) -> None:
    """Serve the app on a listening socket until `stop` is requested. note: called with the server's errors."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(DetachedExecutor())  # a thread that renders an image must not delay the exit
    handler, loggers = _LogHandler(note), [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=60,  # longer than the interval between two polls
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        server = Server(config, stop)
        await server.serve([listener])
        if left := server.server_state.tasks:  # canceled, but still running
            await asyncio.wait(left, timeout=GOODBYE_SECONDS)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
