"""Servers for tests: the sandbox on a real socket, and a proxy in front of it that breaks connections."""

import asyncio
import contextlib
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flux_cli.sandbox.app import Service as Sandbox
from flux_cli.sandbox.app import create_app
from flux_cli.sandbox.faults import Faults
from flux_cli.sandbox.store import Store, StoredTask
from flux_cli.webhooks.server import Protocol


class Server(uvicorn.Server):
    """A server that ends immediately, not at the next tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serves = threading.Event()

    def end(self) -> None:
        """End the server, from another thread."""
        self._loop.call_soon_threadsafe(self._end.set)

    async def main_loop(self) -> None:
        """Serve until `end` is called."""
        await self.on_tick(0)
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.serves.set()
        await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the current responses, and close all connections."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.tasks or self.server_state.connections:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.001)


@contextmanager
def serve_app(app: ASGIApp, certificate: Path | None = None) -> Iterator[str]:
    """Serve an app on a free loopback port, over TLS if there is a certificate, and yield its origin."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, http=Protocol, log_level="error", lifespan="off", timeout_keep_alive=1, ssl_certfile=certificate
        )
        server = Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        server.serves.wait()
        try:
            port = listener.getsockname()[1]
            yield f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
        finally:
            server.end()
            thread.join()


@dataclass
class ReceivedRequest:
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str]


Reply = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


@dataclass
class Service:
    """The sandbox under test: the requests that it received, the tasks that it charged, and its misbehavior.

    scripted: (method, path prefix) -> replies to send in this order instead of the real ones.
    """

    store: Store
    origin: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    scripted: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    hooks: dict[tuple[str, str], Callable[[], object]] = field(default_factory=dict)
    """(method, path prefix) -> a function to call once, when such a request has arrived and before it is handled."""
    hold_tasks: bool = False
    """Whether every poll shows that the task is processing."""
    faults: Faults = field(default_factory=Faults)
    """The failures that the sandbox simulates."""

    @property
    def charges(self) -> list[StoredTask]:
        """The tasks that were charged."""
        return self.store.tasks()

    def count_posts(self) -> int:
        """Return the number of POST requests."""
        return sum(request.method == "POST" for request in self.requests)

    def reply_with(self, method: str, prefix: str, *replies: Reply) -> None:
        """Send these replies to the next requests that match."""
        self.scripted.setdefault((method, prefix), []).extend(replies)

    def wrap(self, app: Starlette) -> ASGIApp:
        """Wrap the app: record every request, and send the scripted replies first."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            self.requests.append(ReceivedRequest(scope["method"], scope["path"], headers))
            for method, prefix in list(self.hooks):
                if scope["method"] == method and scope["path"].startswith(prefix):
                    self.hooks.pop((method, prefix))()
            if self.hold_tasks and scope["path"].startswith("/api/v1/task/"):
                data = {"task_id": scope["path"].rpartition("/")[2], "status": "processing"}
                await JSONResponse({"code": 200, "data": data})(scope, receive, send)
                return
            for (method, prefix), replies in self.scripted.items():
                if replies and scope["method"] == method and scope["path"].startswith(prefix):
                    status, extra, body = replies.pop(0)
                    raw = [(name.encode(), value.encode()) for name, value in extra.items()]
                    await send({"type": "http.response.start", "status": status, "headers": raw})
                    await send({"type": "http.response.body", "body": body})
                    return
            await app(scope, receive, send)

        return handle


@contextmanager
def run_sandbox(
    path: Path,
    *,
    speed: float = 200.0,
    plan: str = "pro",
    credit: Decimal | None = None,
    certificate: Path | None = None,
) -> Iterator[Service]:
    """Run the sandbox on loopback, with its database at `path`."""
    keys = frozenset({"test-key-0123456789abcdef"})
    # A connection each: the server's may be within a transaction when a test reads.
    with closing(Store(path)) as store, closing(Store(path)) as view:
        sandbox = Sandbox(store, speed=speed, plan=plan, credit=credit, keys=keys)
        app, service = create_app(sandbox), Service(view, faults=sandbox.faults)
        with serve_app(service.wrap(app), certificate) as origin:
            service.origin = origin
            yield service


@dataclass
class Breaker:
    """A rule of the proxy for the next `times` connections whose request starts with `prefix`."""

    prefix: bytes
    times: int = 1
    response_bytes: int = 0
    """The number of bytes of the response to forward before the connection is closed."""
    hold: bool = False
    """Hold back the response, and keep the connection open."""
    delay: float = 0.0
    """Seconds to delay the response, which is then forwarded."""


class BreakingProxy(socketserver.ThreadingTCPServer):
    """A TCP proxy that forwards every request, and drops the response: the task is charged, its response is lost."""

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream = upstream
        self.breakers: list[Breaker] = []
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"

    def rule(self, request: bytes) -> Breaker | None:
        """Return the breaker for a request, and count it as used."""
        for breaker in self.breakers:
            if breaker.times > 0 and request.startswith(breaker.prefix):
                breaker.times -= 1
                return breaker
        return None


class _Connection(socketserver.BaseRequestHandler):
    server: BreakingProxy

    def handle(self) -> None:
        with (
            socket.create_connection(("127.0.0.1", self.server.upstream)) as upstream,
            contextlib.suppress(ConnectionError),
        ):
            self.relay(self.request, upstream)

    def relay(self, client: socket.socket, upstream: socket.socket) -> None:
        """Forward bytes in both directions, until a breaker applies to a request and its response arrives."""
        rule: Breaker | None = None
        forwarded = 0
        while True:
            for side in select.select([client, upstream], [], [])[0]:
                chunk = side.recv(65536)
                if not chunk:
                    return
                if side is client:
                    rule = rule or self.server.rule(chunk)
                    upstream.sendall(chunk)
                elif rule is None or rule.delay:
                    time.sleep(rule.delay if rule else 0)
                    rule = None
                    client.sendall(chunk)
                else:
                    client.sendall(chunk[: rule.response_bytes - forwarded])
                    forwarded += len(chunk)
                    if forwarded < rule.response_bytes:
                        continue
                    if rule.hold:
                        client.recv(1)
                    return


@contextmanager
def run_breaking_proxy(service: Service) -> Iterator[BreakingProxy]:
    """Run a breaking proxy in front of a sandbox, on a free loopback port."""
    with BreakingProxy(int(service.origin.rpartition(":")[2])) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
