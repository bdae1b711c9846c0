"""What stands before the application when it is served to others: a line for each request, and a limit on its size."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..text import clean, masked
from .app import TASK
from .breaking import FAULT
from .faults import Fault
from .rules import RefusalError

REQUEST_BYTES = 16 * 2**20
"""An upload of 10 MB is 13.4 MB in base64; nothing else is as large."""
LINGER_SECONDS = 2.0
"""How long the rest of a request that is too large is thrown away: closed at once, the answer would be lost."""
SECRET_LENGTH = 12
"""A shorter one is no real key, and may be a part of an honest path."""
QUIET = ("/sandbox/tasks", "/sandbox/pictures/", "/sandbox/board.")
"""What the page asks for all the time is no news."""


@dataclass(frozen=True)
class Front:
    """Around the whole application. `note` hears a line for each request, in which no key can be recognised."""

    app: ASGIApp
    note: Callable[[str], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        exchange = _Exchange(scope, receive, send)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            if not scope["path"].startswith(QUIET):
                self.note(exchange.line())


@dataclass
class _Exchange:
    """One request and its answer, watched."""

    scope: Scope
    source: Receive
    sink: Send
    read: int = 0
    too_large: bool = False
    status: str = "cut"
    ended: bool = False
    headers: dict[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = dict(self.scope["headers"])

    async def receive(self) -> Message:
        """The next part of the request. Raises RefusalError (413) as soon as it is known to be too large."""
        announced = self.headers.get(b"content-length", b"0")
        if self.too_large or (announced.isdigit() and int(announced[:19]) > REQUEST_BYTES):
            self._refuse()
        message = await self.source()
        self.read += len(message.get("body", b""))
        if self.read > REQUEST_BYTES:
            self._refuse()
        return message

    def _refuse(self) -> None:
        self.too_large = True
        raise RefusalError(413, 413, "request too large", f"at most {REQUEST_BYTES // 2**20} MiB")

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start":
            self.status = str(message["status"])
            if self.too_large:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        elif not message.get("more_body"):
            self.ended = True
            if self.too_large:
                await self.sink({**message, "more_body": True})
                await self._linger()
                message = {"type": "http.response.body"}
        await self.sink(message)

    async def _linger(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await self.source()).get("more_body"):
                    pass

    def line(self) -> str:
        """Method, path, status, task, key, fault."""
        key = self.headers.get(b"x-api-key", b"").decode("latin-1")
        path, fault = self.scope["path"], self.scope.get(FAULT)
        if len(key) >= SECRET_LENGTH:
            path = path.replace(key, "[key]")
        words = [self.scope["method"], clean(path, 100)]
        words.append(self.status if self.ended or self.status == "cut" else f"{self.status}, then cut")
        words += [str(self.scope[TASK])] if TASK in self.scope else []
        words += [f"key {masked(key)}" if key else "no key"]
        words += [f"fault {fault.text}"] if isinstance(fault, Fault) else []
        return clean(" ".join(words), 300)
