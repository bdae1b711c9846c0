"""The requests of a process, taken apart into moments, and what happens to it at one of them."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Moment = tuple[str, str]
"""What of a request: `create`, `poll`, `image`, `upload`. And when: it has `arrived`; it is `done` (a task is charged)
and there is no response; `half` of the response is sent; it is `answered`."""


@dataclass
class Life:
    """What happens to a run, once, at a moment of its requests: the first one of this kind, or the n-th, from 1.

    process: of the run. happened: when, on the monotonic clock. over: the test says so, and what is held goes on.
    """

    at: Moment | int | None = None
    happens: "Callable[[Life], Awaitable[None]]" = field(default=lambda life: asyncio.sleep(0))
    process: int = 0
    happened: float = 0.0
    over: bool = False
    moments: list[Moment] = field(default_factory=list)

    async def moment(self, *moment: str) -> None:
        """A moment has come; it may be the last that the process sees."""
        self.moments.append((moment[0], moment[1]))
        if not self.happened and self.at in (moment, len(self.moments)):
            self.happened = time.monotonic()
            await self.happens(self)

    async def victim(self) -> int:
        """The process, of which the request may be faster than the news."""
        while not self.process:  # noqa: ASYNC110 - the test sets it in another thread
            await asyncio.sleep(0.001)
        return self.process


async def dies(life: Life) -> None:
    """It is killed, and nothing that it does comes after this."""
    if life.moments[-1] == ("image", "half"):
        await asyncio.sleep(0.15)  # until it has that half, and has written it wherever it does
    kill(await life.victim())


async def holds(life: Life) -> None:
    """The request is kept until the test calls it over."""
    while not life.over:  # noqa: ASYNC110 - the test sets it in another thread
        await asyncio.sleep(0.005)


def gets(number: int, after: float = 0.0, held: bool = True) -> Callable[[Life], Awaitable[None]]:
    """It gets a signal, after so many seconds; its request is held, or answered a moment later."""

    async def signalled(life: Life) -> None:
        await asyncio.sleep(after)
        os.kill(await life.victim(), number)
        await (holds(life) if held else asyncio.sleep(0.2))

    return signalled


def sleeps(seconds: float) -> Callable[[Life], Awaitable[None]]:
    """It is suspended for so many seconds, and finds the answer when it wakes up."""

    async def suspended(life: Life) -> None:
        process = await life.victim()
        os.kill(process, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(seconds, os.kill, process, signal.SIGCONT)

    return suspended


def kill(process: int) -> None:
    """Kill a process of a `Warm`, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):  # gone already
        os.kill(process, signal.SIGKILL)
        while True:
            os.kill(process, 0)
            time.sleep(0.0005)


def taken_apart(app: ASGIApp, life: Callable[[], Life], arrived: Callable[[str, str, bytes], None]) -> ASGIApp:
    """The app, with its requests in moments of the current life. arrived: is told kind, path and body of each."""

    async def moments(scope: Scope, receive: Receive, send: Send) -> None:
        kind, lives, answer = kind_of(scope), life(), list[Message]()
        body = await received(receive)
        if body is None:
            return
        arrived(kind, scope["path"], body)
        await lives.moment(kind, "arrived")

        async def once_more() -> Message:
            return {"type": "http.request", "body": body}

        async def kept(message: Message) -> None:
            answer.append(message)

        await app(scope, once_more, kept)
        await lives.moment(kind, "done")
        content = b"".join(message.get("body", b"") for message in answer)
        half = len(content) // 2
        await send(answer[0])
        await send({"type": "http.response.body", "body": content[:half], "more_body": True})
        await lives.moment(kind, "half")
        await send({"type": "http.response.body", "body": content[half:]})
        await lives.moment(kind, "answered")

    return moments


def kind_of(scope: Scope) -> str:
    """What a request is."""
    if "ephemeral" in scope["path"]:
        return "upload"
    if scope["method"] == "POST":
        return "create"
    return "image" if scope["path"].startswith("/images") else "poll"


async def received(receive: Receive) -> bytes | None:
    """The body of a request; None when its sender was killed before all of it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body, more = body + message["body"], message["more_body"]
    return body
