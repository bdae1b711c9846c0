"""The sender of webhooks for tasks that have ended (docs/internals/service.md, section 4).

The sandbox must not be usable to send requests to arbitrary hosts, so it sends to allowed hosts only, follows no
redirects, and reads no response bodies.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from ..json_value import JsonObject
from ..text import clean
from .faults import Faults

TRIES = 3
PATIENCE = 10.0
"""The timeout for the receiver, in seconds."""


@dataclass(frozen=True)
class Delivery:
    """A webhook to send when a task ends. task: returns the task at that time."""

    task_id: str
    endpoint: str
    secret: str = field(repr=False)
    task: Callable[[], JsonObject]


@dataclass
class WebhookSender:
    """A sender of deliveries in the background of the running event loop.

    allowed: returns whether deliveries to a host are allowed. pause: seconds between attempts. note: called with a line
    per attempt.
    """

    allowed: Callable[[str], bool]
    faults: Faults
    note: Callable[[str], None]
    pause: float = 1.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def send_after(self, seconds: float, delivery: Delivery) -> None:
        """Send a delivery after `seconds`."""
        task = asyncio.get_running_loop().create_task(self._send(seconds, delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, seconds: float, delivery: Delivery) -> None:
        await asyncio.sleep(seconds)
        try:
            parts = urlsplit(delivery.endpoint)
            host, where = parts.hostname or "", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        except ValueError:
            host, where = "", delivery.endpoint
        about = f"webhook {delivery.task_id} {clean(where, 120)}"
        if not self.allowed(host):
            self.note(f"{about} not delivered: the host is not allowed; allow it with --webhook-host")
            return
        fault = self.faults.draw("webhook")
        if fault:
            about = f"{about} (fault {clean(fault.text, 80)})"
            await asyncio.sleep(fault.delay)
            if fault.kind == "lose":
                self.note(f"{about} lost")
                return
        for _ in range(2 if fault and fault.kind == "duplicate" else 1):
            await self._try(delivery, about)

    async def _try(self, delivery: Delivery, about: str) -> None:
        for attempt in range(1, TRIES + 1):
            outcome = await self._post(delivery)
            self.note(f"{about} {outcome}")
            if outcome.startswith("2"):
                return
            if attempt < TRIES:
                await asyncio.sleep(self.pause)

    async def _post(self, delivery: Delivery) -> str:
        """Send the delivery once. Return the status or the failure."""
        body: JsonObject = {"timestamp": int(time.time()), "data": delivery.task()}
        headers = {"x-webhook-secret": delivery.secret} if delivery.secret else {}
        try:
            async with (
                httpx.AsyncClient(trust_env=False, timeout=PATIENCE, follow_redirects=False) as client,
                client.stream("POST", delivery.endpoint, json=body, headers=headers) as response,
            ):
                return str(response.status_code)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            OSError,
            ValueError,
        ) as error:  # invalid secrets
            return f"failed ({type(error).__name__})"
