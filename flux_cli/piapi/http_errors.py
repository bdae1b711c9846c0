"""What came over the connection, or what became of it, in plain words."""

import asyncio
import ssl
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from ..errors import ConfigError
from ..frozen import frozen

T = TypeVar("T")
LONGEST_RETRY_AFTER = 300.0
WAKING_SECONDS = 1.0
"""What a process that was suspended has to read what came meanwhile."""


@frozen
class Response:
    """A response that was read to its end; `complete` is False when its body was cut."""

    status: int
    headers: httpx.Headers
    content: bytes
    complete: bool


@contextmanager
def environment_settings() -> Iterator[None]:
    """A proxy or certificate setting of the environment that httpx cannot use raises ConfigError, without its value."""
    try:
        yield
    except (httpx.InvalidURL, ImportError, ValueError, OSError, UnicodeError) as error:
        raise ConfigError(
            f"the proxy or certificate settings of the environment cannot be used ({type(error).__name__})",
            hint="see HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE; SOCKS proxies are not supported",
        ) from None


async def in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work`; TimeoutError when it takes longer.

    Unlike `asyncio.timeout` it does not throw away what is there already: a process that was suspended (Ctrl-Z) until
    the time was over finds both, and the answer may be the id of a paid task.
    """
    task = asyncio.ensure_future(work)
    try:
        for patience in (seconds, WAKING_SECONDS):
            await asyncio.wait({task}, timeout=patience)
        if not task.done():
            raise TimeoutError
        return task.result()
    except asyncio.CancelledError:
        if task.done() and not task.cancelled():
            return task.result()
        raise
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def is_untrusted(error: Exception) -> bool:
    """Whether the server's certificate was not accepted."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def plain_words(error: Exception) -> str:
    """A transport error in plain words. httpx's own text is not shown: it may quote headers."""
    if is_untrusted(error):
        return "the server's certificate is not trusted"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within 10 s"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "no answer in time"
    if isinstance(error, httpx.ProxyError):
        return "the proxy refused the connection"
    if isinstance(error, httpx.ConnectError):
        return _connect_words(error)
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection broke"
    return f"the connection failed ({type(error).__name__})"


def _connect_words(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused"
        if type(cause).__name__ == "gaierror":
            return "the server's name could not be resolved"
    return "no connection"


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds to wait, from ASCII digits or an HTTP date (RFC 9110, section 10.2.3), clamped to 0-300."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER)
    moment = _moment(text)
    return None if moment is None else min(max(moment - time.time(), 0.0), LONGEST_RETRY_AFTER)


def server_clock(headers: httpx.Headers) -> float | None:
    """The server's time when it answered, seconds since the epoch; None when it does not tell."""
    return _moment(headers.get("date", ""))


def _moment(text: str) -> float | None:
    """An HTTP date in seconds since the epoch."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
