"""ASGI middleware of the sandbox: faults per endpoint; access log and size limit for the whole application."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import responses as phrases

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..frozen import frozen
from ..piapi.redaction import SHORTEST_KEY
from ..text import clean, masked
from ..webhooks.exchange import CUT, Exchange
from .faults import Fault, Faults
from .images import IMAGES_PATH
from .responses import refusal
from .rules import CODES, RefusalError

TASK = "flux.task"
"""The key in the ASGI scope for the ID of the task that the request created."""
FAULT = "flux.fault"
"""The key in the ASGI scope for the fault that applies to the request."""
GATEWAY = frozenset({502, 504, *range(520, 531)})
"""Statuses that a gateway returns, with HTML, if it cannot reach the service behind it."""
STATUS_CODES = {401: 1200, 402: 1300, 429: 1400, 503: 1500}
"""The specification's error code for a status."""
REQUEST_BYTES = 16 * 2**20
"""The largest request. An upload of 10 MB has 13.4 MB in base64."""
QUIET = ("/sandbox/cards", f"/sandbox{IMAGES_PATH}/", "/sandbox/page.", "/sandbox/tasks")
"""Paths that the page requests continually. They are not logged."""


class FaultInjection:
    """Middleware that applies faults to the requests and responses of an endpoint.

    target: the target of the faults. replies: the form of the errors, one of `responses.REPLIES`.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults, target: str, replies: str) -> None:
        self.app, self.faults, self.target, self.replies = app, faults, target, replies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self.faults.draw(self.target)
        if fault is None:
            await self.app(scope, receive, send)
            return
        scope[FAULT] = fault  # for the endpoint, and for the log
        held = HeldResponse()
        if fault.when == "after":
            await self.app(scope, receive, held.keep)
        await asyncio.sleep(fault.delay)
        if fault.when == "before" and fault.kind == "delay":
            await self.app(scope, receive, send)
        elif fault.kind == "drop":
            await _cut(scope, receive)
        elif fault.kind in ("status", "html"):
            await _error(fault, self.replies)(scope, receive, send)
        else:
            await held.send(fault, send)


@dataclass
class HeldResponse:
    """A response that is collected before it is sent."""

    head: Message = field(default_factory=dict)
    body: bytes = b""

    async def keep(self, message: Message) -> None:
        """Collect a part of the response."""
        if message["type"] == "http.response.start":
            self.head = message
        else:
            self.body += message.get("body", b"")

    async def send(self, fault: Fault, send: Send) -> None:
        """Send the response as the fault changes it."""
        kept = self.body[: int(len(self.body) * fault.keep)] if fault.kind in ("cut", "truncate") else self.body
        headers = [(name, value) for name, value in self.head["headers"] if name != b"content-length"]
        announced = len(kept if fault.kind == "truncate" else self.body)
        await send({**self.head, "headers": [*headers, (b"content-length", str(announced).encode())]})
        # After an incomplete response, the server closes the connection.
        await send({"type": "http.response.body", "body": kept, "more_body": fault.kind == "cut"})


async def _cut(scope: Scope, receive: Receive) -> None:
    """Close the connection without a response."""
    cut = scope.get("extensions", {}).get(CUT)
    if cut is None:
        raise ConnectionResetError("cut by a fault")  # in-process there is no connection
    cut()
    while (await receive())["type"] != "http.disconnect":
        pass


def _error(fault: Fault, replies: str) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    status = fault.status or 200
    phrase = "Welcome" if status == 200 else phrases.get(status, f"error {status}")
    if fault.kind == "html" or (status in GATEWAY and fault.code is None and not fault.message):
        return HTMLResponse(f"<!DOCTYPE html>\n<title>{phrase}</title>\n<h1>{phrase}</h1>\n", status, headers)
    code = STATUS_CODES.get(status, status) if fault.code is None else fault.code
    return refusal(RefusalError(status, code, fault.message or CODES.get(code, phrase)), replies, headers)


@frozen
class AccessLog:
    """Middleware that logs requests and limits their size. note: called with a line per request, without keys."""

    app: ASGIApp
    note: Callable[[str], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        too_large = RefusalError(413, 413, "request too large", f"at most {REQUEST_BYTES // 2**20} MiB")
        exchange = Exchange(scope, receive, send, REQUEST_BYTES, too_large)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            if not scope["path"].startswith(QUIET):
                self.note(_log_line(exchange))


def _log_line(exchange: Exchange) -> str:
    """Return the line for a request: method, path, status, task, masked key and fault."""
    scope, status = exchange.scope, exchange.status
    key = exchange.headers.get(b"x-api-key", b"").decode("latin-1")
    path, fault = scope["path"], scope.get(FAULT)
    if len(key) >= SHORTEST_KEY:
        path = path.replace(key, "[key]")
    words = [scope["method"], clean(path, 100)]
    words.append(status if exchange.ended or status == "cut" else f"{status}, then cut")
    words += [str(scope[TASK])] if TASK in scope else []
    words += [f"key {masked(key)}" if key else "no key"]
    words += [f"fault {fault.text}"] if isinstance(fault, Fault) else []
    return clean(" ".join(words), 300)
