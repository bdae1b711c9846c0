"""HTTP errors as text for users, and HTTP headers as numbers."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx

from ..errors import ConfigError

LONGEST_RETRY_AFTER = 300.0


@contextmanager
def environment_settings() -> Iterator[None]:
    """Raise ConfigError for an invalid proxy or certificate setting. It omits the value, which may contain a secret."""
    try:
        yield
    except (httpx.InvalidURL, ImportError, ValueError, OSError, UnicodeError) as error:
        raise ConfigError(
            f"the proxy or certificate settings of the environment cannot be used ({type(error).__name__})",
            hint="see HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE; SOCKS proxies are not supported",
        ) from None


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def is_untrusted(error: Exception) -> bool:
    """Return whether the server's certificate was rejected."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def plain_words(error: Exception, when: str = "before a response arrived") -> str:
    """Return the description of a connection error. httpx's own text is not used: it may quote headers.

    when: the phase for "the connection closed".
    """
    if is_untrusted(error):
        return "the server's certificate is not trusted"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within 10 s"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "no response in time"
    if isinstance(error, httpx.ProxyError):
        return "the proxy refused the connection"
    if isinstance(error, httpx.ConnectError):
        return _connect_words(error)
    if isinstance(error, httpx.DecodingError):
        return "unusable content encoding"
    if isinstance(error, httpx.RemoteProtocolError) and not _is_disconnect(error):
        return "the response is not valid HTTP"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return f"the connection closed {when}"
    return f"the connection failed ({type(error).__name__})"


def _is_disconnect(error: httpx.RemoteProtocolError) -> bool:
    """Return whether the server closed the connection. httpcore and h11 use the same type for an invalid response."""
    return any(words in str(error) for words in ("disconnected", "closed connection"))  # httpcore's and h11's texts


def _connect_words(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if type(cause).__name__ == "gaierror":
            return "DNS lookup failed"
    return "no connection"


def retry_after(headers: httpx.Headers) -> float | None:
    """Return the wait that Retry-After requests, in seconds, 0 to 300 (RFC 9110, section 10.2.3); None without one."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER)
    moment = _parse_date(text)
    return None if moment is None else min(max(moment - time.time(), 0.0), LONGEST_RETRY_AFTER)


def server_clock(headers: httpx.Headers) -> float | None:
    """Return the time of the response by the server's clock, in seconds since the epoch; None without a Date header."""
    return _parse_date(headers.get("date", ""))


def _parse_date(text: str) -> float | None:
    """Return an HTTP date in seconds since the epoch; None if it is invalid."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
