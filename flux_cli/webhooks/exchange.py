"""A request to one of flux's servers and its response, with a limit on the size of the request."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from starlette.types import Message, Receive, Scope, Send

CUT = "flux.cut"
"""The extension of the ASGI scope that closes the connection without a response, which ASGI itself cannot do."""
LINGER_SECONDS = 2.0
"""Seconds for which the rest of a too large request is read and dropped. If the socket were closed immediately, it
would be reset, and the response lost."""


@dataclass
class Exchange:
    """A request and its response, as they are received and sent.

    limit: the most bytes of the request. refusal: raised by `receive` for a larger one.
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
        """Return the next part of the request. Raise `refusal` as soon as the request is known to be too large."""
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
