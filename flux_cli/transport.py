"""What came over the connection, or what became of it, in plain words."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

LONGEST_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Response:
    """A response that was read to its end; `complete` is False when its body was cut."""

    status: int
    headers: httpx.Headers
    content: bytes
    complete: bool


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
    try:
        moment = parsedate_to_datetime(text)
        wait = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER)
