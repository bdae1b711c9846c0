"""Servers for tests: the miniature service over a real socket, and a proxy in front of it that breaks on purpose."""

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
from flux_cli.sandbox.store import Store, StoredTask


class Server(uvicorn.Server):
    """A server that ends when it is told to, and not at the next tenth of a second."""

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
        """Finish the responses that have begun, and close all connections."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.tasks or self.server_state.connections:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)


@contextmanager
def serve_app(app: ASGIApp, certificate: Path | None = None) -> Iterator[str]:
    """The app on a free loopback port, over TLS if it has a certificate; gives its origin."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=1, ssl_certfile=certificate)
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
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]


Reply = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


@dataclass
class Service:
    """The miniature service under test: what it saw, what it charged, and how it is to misbehave.

    scripted: (method, path prefix) -> replies to give, first to last, before the real ones resume.
    """

    store: Store
    origin: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    scripted: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    hooks: dict[tuple[str, str], Callable[[], object]] = field(default_factory=dict)
    """(method, path prefix) -> what happens, once, when such a request has come and before it is worked on."""
    hold_tasks: bool = False
    """Whether every task is being processed, whenever it is polled."""

    @property
    def charges(self) -> list[StoredTask]:
        """What was paid for."""
        return self.store.tasks()

    def count_posts(self) -> int:
        """How many paid requests came in."""
        return sum(request.method == "POST" for request in self.requests)

    def reply_with(self, method: str, prefix: str, *replies: Reply) -> None:
        """Give these replies to the next requests that fit."""
        self.scripted.setdefault((method, prefix), []).extend(replies)

    def wrap(self, app: Starlette) -> ASGIApp:
        """The app with every request noted and the scripted replies given first."""

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
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

        return noting


@contextmanager
def run_sandbox(
    path: Path,
    *,
    speed: float = 200.0,
    plan: str = "pro",
    credit: Decimal | None = None,
    certificate: Path | None = None,
) -> Iterator[Service]:
    """The miniature service on loopback, with its memory at `path`."""
    keys = frozenset({"test-key-0123456789abcdef"})
    # A connection each: the server's is in the midst of a transaction when a test looks.
    with closing(Store(path)) as store, closing(Store(path)) as view:
        app = create_app(Sandbox(store, speed=speed, plan=plan, credit=credit, keys=keys))
        service = Service(view)
        with serve_app(service.wrap(app), certificate) as origin:
            service.origin = origin
            yield service


@dataclass
class Breaker:
    """How the proxy treats a connection whose request begins with `begins`, as often as `times`."""

    prefix: bytes
    times: int = 1
    response_bytes: int = 0
    """How much of the answer gets through before the connection is cut."""
    hold: bool = False
    """Keep the answer back, and the connection open, instead of cutting it."""
    delay: float = 0.0
    """Seconds to keep the answer back before it all goes through."""


class BreakingProxy(socketserver.ThreadingTCPServer):
    """A TCP proxy in front of a server. The request always reaches the server: money moves, the answer is lost."""

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream = upstream
        self.breakers: list[Breaker] = []
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"

    def rule(self, request: bytes) -> Breaker | None:
        """The breaker for a request, used up once."""
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
        """Pass bytes on in both directions, until a request meets a breaker and its answer comes."""
        rule: Breaker | None = None
        passed = 0
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
                    client.sendall(chunk[: rule.response_bytes - passed])
                    passed += len(chunk)
                    if passed < rule.response_bytes:
                        continue
                    if rule.hold:
                        client.recv(1)
                    return


@contextmanager
def run_breaking_proxy(service: Service) -> Iterator[BreakingProxy]:
    """A breaking proxy in front of a service, on a free loopback port."""
    with BreakingProxy(int(service.origin.rpartition(":")[2])) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
