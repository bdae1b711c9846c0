"""Deliveries to a webhook as they arrive: an application that judges their sender and takes the ids of their tasks.

Anybody can write a delivery, so it is a hint only: nothing in it is believed, and nothing but the id is used.
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

from ..frozen import frozen
from ..piapi.responses import parse_response
from ..text import clean
from .exchange import Exchange

DELIVERY_BYTES = 2**20
"""A task is told in a few kilobytes."""
DELIVERY_SECONDS = 20.0
"""How long a delivery may take to arrive."""
ROOM = 200
"""Deliveries that may be in work. What comes on top is refused, and PiAPI delivers it again."""
ANSWERS = {
    200: "taken",
    400: "no task's delivery",
    401: "wrong secret",
    405: "deliveries are POSTed",
    408: "too slow",
    413: "too large",
    503: "too many at once",
}


@frozen
class Delivery:
    """What came, unchanged, and the id of the task that it is about."""

    task_id: str
    body: bytes = field(repr=False)


@dataclass
class Receiver:
    """Takes deliveries, as ASGI has it.

    secret: what a delivery must bring along; None takes all.
    note: hears of what is refused. closed: whether nothing is taken any more.
    arrived: what nobody has looked at yet. in_work: the tasks whose deliveries are not `done` with.
    """

    secret: str | None = field(repr=False)
    note: Callable[[str], None]
    closed: Callable[[], bool] = lambda: False
    arrived: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    in_work: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        exchange = Exchange(scope, receive, send, DELIVERY_BYTES, HTTPException(413, ANSWERS[413]))
        await self._app(scope, exchange.receive, exchange.send)
        if exchange.status != "200":  # the path stays untold: it may be what the user has for a secret
            why = ANSWERS.get(int(exchange.status), "") if exchange.status.isdigit() else ""
            self.note(f"{clean(scope['method'], 20)} refused: {exchange.status} {why}".rstrip())

    def done(self, delivery: Delivery) -> None:
        """Forget a delivery that was dealt with."""
        self.in_work.discard(delivery.task_id)

    async def _take(self, request: Request) -> Response:
        status = await self._judged(request)
        return PlainTextResponse(f"{ANSWERS[status]}\n", status)

    async def _judged(self, request: Request) -> int:
        """The status to answer with, at once: whoever waits for an answer delivers again."""
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                body = await request.body()
        except TimeoutError:
            return 408
        except ClientDisconnect:
            return 400
        if not self._genuine(request):
            return 401
        task = parse_response(body).task
        if task is None:
            return 400
        if task.id in self.in_work:
            return 200
        if self.closed() or len(self.in_work) >= ROOM:
            return 503
        self.in_work.add(task.id)
        self.arrived.put_nowait(Delivery(task.id, body))
        return 200

    def _genuine(self, request: Request) -> bool:
        """Whether it has the secret: compared byte for byte, in a time that tells nothing about it."""
        if self.secret is None:
            return True
        brought = dict(request.scope["headers"]).get(b"x-webhook-secret", b"")
        return hmac.compare_digest(brought.strip(), self.secret.strip().encode())
