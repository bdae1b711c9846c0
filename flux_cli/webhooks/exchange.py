"""One request to a server of ours and its answer: how large the request may be, and how the connection can be cut."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from starlette.types import Message, Receive, Scope, Send

CUT = "flux.cut"
"""The extension of the scope that cuts the connection without an answer; ASGI itself has no way to do that."""
LINGER_SECONDS = 2.0
"""How long the rest of a request that is too large is thrown away: closed at once, the answer would be lost."""


@dataclass
class Exchange:
    """One request and its answer, watched.

    limit: bytes that the request may have; refusal: what is raised where it is read when it has more.
    """

    scope: Scope
    source: Receive
    sink: Send
    limit: int
    refusal: Exception
    read: int = 0
    too_large: bool = False
    status: str = "cut"
    ended: bool = False
    headers: dict[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = dict(self.scope["headers"])

    async def receive(self) -> Message:
        """The next part of the request. Raises the refusal as soon as it is known to be too large."""
        announced = self.headers.get(b"content-length", b"0")
        if self.too_large or (announced.isdigit() and int(announced[:19]) > self.limit):
            self._refuse()
        message = await self.source()
        self.read += len(message.get("body", b""))
        if self.read > self.limit:
            self._refuse()
        return message

    def _refuse(self) -> None:
        self.too_large = True
        raise self.refusal

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
