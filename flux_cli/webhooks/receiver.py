"""The receiver of webhooks: an ASGI application that checks the sender, and records a delivery before it returns 200.

Only the secret and the task ID of a delivery are trusted. The task itself is polled at PiAPI.
"""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..errors import FluxError
from ..frozen import frozen
from ..piapi.responses import parse_response
from ..text import clean
from .exchange import Exchange

DELIVERY_BYTES = 2**20
"""The most bytes of a delivery. A task has a few kilobytes."""
DELIVERY_SECONDS = 20.0
"""Seconds that a delivery may take to arrive."""
MOST = 200
"""The most deliveries in progress. PiAPI repeats those that are refused."""
REASONS = {
    200: "accepted",
    400: "not a task's webhook",
    401: "wrong secret",
    405: "use POST",
    408: "too slow",
    413: "too large",
    503: "cannot be recorded now",
}


@frozen
class Delivery:
    """A delivery, unchanged, and the ID of its task."""

    task_id: str
    body: bytes = field(repr=False)


@dataclass
class Receiver:
    """The ASGI application that receives deliveries.

    secret: what a delivery must carry; None accepts all.
    record: writes down durably that a task with this ID was delivered, or raises FluxError.
    note: gets a line per refused delivery. closed: returns whether deliveries are refused from now on.
    arrived: deliveries to work on. in_progress: tasks whose deliveries are not done yet.
    """

    secret: str | None = field(repr=False)
    record: Callable[[str], None]
    note: Callable[[str], None]
    closed: Callable[[], bool] = lambda: False
    arrived: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    in_progress: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._app = Starlette(routes=[Route("/{path:path}", self._receive, methods=["POST"])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, DELIVERY_BYTES, HTTPException(413, REASONS[413]))
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.status != "200":  # the path is not logged: it may be the user's secret
            reason = REASONS.get(int(exchange.status), "") if exchange.status.isdigit() else ""
            self.note(f"{clean(scope['method'], 20)} refused: {exchange.status} {reason}".rstrip())

    def mark_done(self, delivery: Delivery) -> None:
        """Mark a delivery as processed."""
        self.in_progress.discard(delivery.task_id)

    async def _receive(self, request: Request) -> Response:
        status = await self._status(request)
        return PlainTextResponse(f"{REASONS[status]}\n", status)

    async def _status(self, request: Request) -> int:
        """Return the status of the response. 200 guarantees that the delivery is on disk."""
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                body = await request.body()
        except TimeoutError:
            return 408
        except ClientDisconnect:
            return 400
        if not self._is_genuine(request):
            return 401
        task = parse_response(body).task
        if task is None:
            return 400
        if task.id in self.in_progress:
            return 200
        if self.closed() or len(self.in_progress) >= MOST:
            return 503
        try:
            self.record(task.id)
        except FluxError as error:
            self.note(f"task {task.id}: {error.message}")
            return 503
        self.in_progress.add(task.id)
        self.arrived.put_nowait(Delivery(task.id, body))
        return 200

    def _is_genuine(self, request: Request) -> bool:
        """Return whether the request has the secret. The comparison takes constant time."""
        if self.secret is None:
            return True
        sent = dict(request.scope["headers"]).get(b"x-webhook-secret", b"")
        return hmac.compare_digest(sent.strip(), self.secret.encode())
