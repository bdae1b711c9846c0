"""Faults that strike: which one when, and what it does to an answer, as ASGI middleware around one endpoint."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..json_value import JsonObject
from ..webhooks.exchange import CUT
from .faults import Fault, parse
from .rules import CODES, RefusalError
from .shapes import refusal

FAULT = "flux.fault"
"""Where the scope of a request holds the fault that struck it."""
GATEWAY = frozenset({502, 504, *range(520, 531)})
"""Statuses that a gateway answers with, in HTML, when it knows nothing of the service behind it."""
STATUS_CODES = {401: 1200, 402: 1300, 429: 1400, 503: 1500}
"""The code that the specification has for what a status says."""


@dataclass
class _Active:
    """A fault, how often it could have struck, and how often it did."""

    fault: Fault
    chance: random.Random
    met: int = 0
    struck: int = 0

    def meets(self) -> bool:
        """Whether it could strike this time."""
        self.met += 1
        lucky = self.chance.random() < self.fault.rate
        over = self.fault.times is not None and self.struck >= self.fault.times
        return lucky and not over and self.met > self.fault.skip


@dataclass
class Faults:
    """The faults that are on. With the same seed and the same requests, the same goes wrong."""

    seed: int = 0
    _active: list[_Active] = field(default_factory=list)

    def add(self, texts: Iterable[str]) -> None:
        """Switch faults on, all or none. Raises UsageError."""
        faults = [parse(text) for text in texts]
        # A chance of its own for each: what is asked at one place changes nothing at another.
        first = len(self._active)
        self._active += [
            _Active(fault, random.Random(f"{self.seed}/{number}/{fault.text}"))
            for number, fault in enumerate(faults, first)
        ]

    def clear(self) -> None:
        """Switch all of them off."""
        self._active.clear()

    def draw(self, target: str) -> Fault | None:
        """What goes wrong this time: the first fault that strikes, later by what delays came before it."""
        # All of them meet it, also those that then are too late: none changes when another is due.
        ready = [active for active in self._active if active.fault.target == target and active.meets()]
        struck: Fault | None = None
        delay = 0.0
        for active in ready:
            active.struck += 1
            delay += active.fault.delay
            struck = replace(active.fault, delay=delay)
            if struck.kind != "delay":
                break
        return struck

    def told(self) -> list[JsonObject]:
        """Each fault, how often it could have struck and how often it did."""
        return [{"fault": active.fault.text, "met": active.met, "struck": active.struck} for active in self._active]


class Breaking:
    """Around an endpoint: what reaches it, and what its answer becomes.

    target: where a fault must aim to strike here; shape: of the errors, one of `shapes.SHAPES`.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults, target: str, shape: str) -> None:
        self.app, self.faults, self.target, self.shape = app, faults, target, shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        fault = self.faults.draw(self.target)
        if fault is None:
            await self.app(scope, receive, send)
            return
        scope[FAULT] = fault  # for the endpoint, and for the log
        answer = Answer()
        if fault.when == "after":
            await self.app(scope, receive, answer.keep)
        await asyncio.sleep(fault.delay)
        if fault.when == "before" and fault.kind == "delay":
            await self.app(scope, receive, send)
        elif fault.kind == "drop":
            await _cut(scope, receive)
        elif fault.kind in ("status", "html"):
            await _error(fault, self.shape)(scope, receive, send)
        else:
            await answer.pass_on(fault, send)


@dataclass
class Answer:
    """An answer that was kept back."""

    head: Message = field(default_factory=dict)
    body: bytes = b""

    async def keep(self, message: Message) -> None:
        """Take a part of it."""
        if message["type"] == "http.response.start":
            self.head = message
        else:
            self.body += message.get("body", b"")

    async def pass_on(self, fault: Fault, send: Send) -> None:
        """Let through what the fault leaves of it."""
        kept = self.body[: int(len(self.body) * fault.keep)] if fault.kind in ("cut", "truncate") else self.body
        headers = [(name, value) for name, value in self.head["headers"] if name != b"content-length"]
        announced = len(kept if fault.kind == "truncate" else self.body)
        await send({**self.head, "headers": [*headers, (b"content-length", str(announced).encode())]})
        # An answer that stays incomplete makes the server close the connection.
        await send({"type": "http.response.body", "body": kept, "more_body": fault.kind == "cut"})


async def _cut(scope: Scope, receive: Receive) -> None:
    """End the connection without a word."""
    cut = scope.get("extensions", {}).get(CUT)
    if cut is None:
        raise ConnectionResetError("cut by a fault")  # in-process there is no connection
    cut()
    while (await receive())["type"] != "http.disconnect":
        pass


def _error(fault: Fault, shape: str) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    status = fault.status or 200
    words = "Welcome" if status == 200 else _phrase(status)
    if fault.kind == "html" or (status in GATEWAY and fault.code is None and not fault.message):
        return HTMLResponse(f"<!DOCTYPE html>\n<title>{words}</title>\n<h1>{words}</h1>\n", status, headers)
    code = STATUS_CODES.get(status, status) if fault.code is None else fault.code
    return refusal(RefusalError(status, code, fault.message or CODES.get(code, words)), shape, headers)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"error {status}"
