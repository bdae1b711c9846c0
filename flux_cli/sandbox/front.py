"""What stands before the application when it is served to others: a line for each request, and a limit on its size."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from ..text import clean, masked
from ..webhooks.exchange import Exchange
from .app import TASK
from .breaking import FAULT
from .faults import Fault
from .rules import RefusalError

REQUEST_BYTES = 16 * 2**20
"""An upload of 10 MB is 13.4 MB in base64; nothing else is as large."""
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
        too_large = RefusalError(413, 413, "request too large", f"at most {REQUEST_BYTES // 2**20} MiB")
        exchange = Exchange(scope, receive, send, REQUEST_BYTES, too_large)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            if not scope["path"].startswith(QUIET):
                self.note(_line(exchange))


def _line(exchange: Exchange) -> str:
    """Method, path, status, task, key, fault."""
    scope, status = exchange.scope, exchange.status
    key = exchange.headers.get(b"x-api-key", b"").decode("latin-1")
    path, fault = scope["path"], scope.get(FAULT)
    if len(key) >= SECRET_LENGTH:
        path = path.replace(key, "[key]")
    words = [scope["method"], clean(path, 100)]
    words.append(status if exchange.ended or status == "cut" else f"{status}, then cut")
    words += [str(scope[TASK])] if TASK in scope else []
    words += [f"key {masked(key)}" if key else "no key"]
    words += [f"fault {fault.text}"] if isinstance(fault, Fault) else []
    return clean(" ".join(words), 300)
