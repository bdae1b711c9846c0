"""Fault injection: split each request of a process into points, and act on the process at one of them."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Point = tuple[str, str]
"""The kind of request: `create`, `poll`, `image`, `upload`. And how far it is: it has `arrived`; it is `done` (a task is
charged) without a response; `half` of the response is sent; it is `answered`."""


@dataclass
class Injection:
    """An action on a process, triggered once by its requests: at the first point of this kind, or at the n-th, from 1.

    pid: the process. triggered_at: on the monotonic clock. released: set by the test, to let held requests continue.
    """

    at: Point | int | None = None
    action: "Callable[[Injection], Awaitable[None]]" = field(default=lambda injection: asyncio.sleep(0))
    pid: int = 0
    triggered_at: float = 0.0
    released: bool = False
    points: list[Point] = field(default_factory=list)

    async def reach(self, *point: str) -> None:
        """Record a point, and run the action there if it is due."""
        self.points.append((point[0], point[1]))
        if not self.triggered_at and self.at in (point, len(self.points)):
            self.triggered_at = time.monotonic()
            await self.action(self)

    async def wait_for_pid(self) -> int:
        """Return the process ID, which the test may set only after the request has arrived."""
        while not self.pid:  # noqa: ASYNC110 - the test sets it in another thread
            await asyncio.sleep(0.001)
        return self.pid


async def kill_process(injection: Injection) -> None:
    """Kill the process, and let nothing that it does come after this."""
    if injection.points[-1] == ("image", "half"):
        await asyncio.sleep(0.15)  # until the process has received that half and written it to its file
    kill_and_wait(await injection.wait_for_pid())


async def hold_request(injection: Injection) -> None:
    """Hold the request until the test releases it."""
    while not injection.released:  # noqa: ASYNC110 - the test sets it in another thread
        await asyncio.sleep(0.005)


def send_signal(number: int, after: float = 0.0, hold: bool = True) -> Callable[[Injection], Awaitable[None]]:
    """Return an action that sends a signal after a delay, and holds the request or lets it continue a moment later."""

    async def send(injection: Injection) -> None:
        await asyncio.sleep(after)
        os.kill(await injection.wait_for_pid(), number)
        await (hold_request(injection) if hold else asyncio.sleep(0.2))

    return send


def suspend(seconds: float) -> Callable[[Injection], Awaitable[None]]:
    """Return an action that suspends the process; the response waits for it when it resumes."""

    async def stop(injection: Injection) -> None:
        pid = await injection.wait_for_pid()
        os.kill(pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(seconds, os.kill, pid, signal.SIGCONT)

    return stop


def kill_and_wait(pid: int) -> None:
    """Kill a process of a `Runner`, and wait until it no longer exists."""
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        os.kill(pid, signal.SIGKILL)
        while True:
            os.kill(pid, 0)
            time.sleep(0.0005)


def wrap_app(app: ASGIApp, current: Callable[[], Injection], on_arrival: Callable[[str, str, bytes], None]) -> ASGIApp:
    """Split the app's requests into points of the current injection. on_arrival: receives kind, path and body of each."""

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        kind, injection, response = get_kind(scope), current(), list[Message]()
        body = await read_body(receive)
        if body is None:
            return
        on_arrival(kind, scope["path"], body)
        await injection.reach(kind, "arrived")

        async def replay() -> Message:
            return {"type": "http.request", "body": body}

        async def collect(message: Message) -> None:
            response.append(message)

        await app(scope, replay, collect)
        await injection.reach(kind, "done")
        content = b"".join(message.get("body", b"") for message in response)
        half = len(content) // 2
        await send(response[0])
        await send({"type": "http.response.body", "body": content[:half], "more_body": True})
        await injection.reach(kind, "half")
        await send({"type": "http.response.body", "body": content[half:]})
        await injection.reach(kind, "answered")

    return split


def get_kind(scope: Scope) -> str:
    """Return the kind of a request."""
    if "ephemeral" in scope["path"]:
        return "upload"
    if scope["method"] == "POST":
        return "create"
    return "image" if scope["path"].startswith("/images") else "poll"


async def read_body(receive: Receive) -> bytes | None:
    """Return the body of a request, or None if its sender was killed before all of it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body, more = body + message["body"], message["more_body"]
    return body
