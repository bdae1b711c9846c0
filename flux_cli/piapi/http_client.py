"""httpx clients: trusted certificates, reused connections, and bounded reading of bodies."""

import asyncio
import os
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import cache
from typing import Any, TypeVar

import httpx

from .. import __version__
from ..frozen import frozen

T = TypeVar("T")
USER_AGENT = f"piapi-flux/{__version__}"
KEPT_CONNECTIONS = 8
KEEPALIVE_SECONDS = 60.0
"""Longer than the interval between two polls."""
PIECE_BYTES = 256 * 1024
"""The most bytes that one step of decompression may yield."""
RESUME_SECONDS = 1.0
"""Extra time for a process that was suspended to read a response that has arrived meanwhile."""
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@frozen
class Response:
    """An HTTP response.

    text: the body, decoded and redacted.
    fault: why the body is incomplete, for example `truncated`; empty if it is complete.
    """

    status: int
    headers: httpx.Headers
    text: str
    fault: str = ""

    @property
    def complete(self) -> bool:
        """Whether the whole body was received."""
        return not self.fault


@cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS context that verifies servers, created once per process.

    Certificates come from SSL_CERT_FILE and SSL_CERT_DIR; else from the system's hashed directory, of which OpenSSL
    reads only the needed ones; else from certifi's bundle, which takes 20 ms to load. Raise OSError if SSL_CERT_FILE
    cannot be read.
    """
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not directory:
        directory = _hashed_directory()
    if file or directory:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    return httpx.create_ssl_context(trust_env=False)


def _hashed_directory() -> str | None:
    """Return the system's directory of certificates if it has hashed names (see `openssl rehash`), else None."""
    directory = ssl.get_default_verify_paths().capath
    try:
        hashed = directory and any(map(_HASHED_NAME.fullmatch, os.listdir(directory)))
    except OSError:
        return None
    return directory if hashed else None


def new_client(
    transport: httpx.AsyncBaseTransport | None,
    *,
    local: bool,
    headers: Mapping[str, str],
    timeout: httpx.Timeout,
    keep: bool,
) -> httpx.AsyncClient:
    """Return a client that follows no redirects and requests uncompressed bodies.

    transport: the in-process sandbox; None for the network.
    local: whether the servers are on this machine, so that no proxy is used.
    keep: whether connections are reused.
    Raise httpx.InvalidURL, ImportError, ValueError or OSError for invalid settings in the environment.
    """
    return httpx.AsyncClient(
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
        timeout=timeout,
        transport=transport,
        verify=True if transport else tls_context(),
        trust_env=not local,
        follow_redirects=False,
        limits=httpx.Limits(
            # The callers' semaphores limit the number: a request that waits in httpcore's pool may lose its turn.
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS if keep else 0,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
    )


async def decoded_body(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body of a streamed response, decompressed, in pieces of bounded size.

    A server may compress a body although it was requested uncompressed. Only one layer of gzip or deflate is accepted,
    because a few kilobytes of nested layers expand to gigabytes. Raise httpx.DecodingError for any other encoding.
    """
    header = response.headers.get("content-encoding", "").casefold()
    encodings = [name for name in map(str.strip, header.split(",")) if name not in ("", "identity")]
    if not encodings:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encodings not in (["gzip"], ["x-gzip"], ["deflate"]):
        raise httpx.DecodingError("unsupported content encoding")
    decoder = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # detects gzip or zlib
    try:
        async for chunk in response.aiter_raw():
            while piece := decoder.decompress(chunk, PIECE_BYTES):
                yield piece
                chunk = decoder.unconsumed_tail
    except zlib.error as error:
        raise httpx.DecodingError("damaged content encoding") from error
    if not decoder.eof:
        raise httpx.DecodingError("truncated content encoding")


async def in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Return the result of `work`; raise TimeoutError if it takes longer.

    Unlike `asyncio.timeout`, a result that has arrived takes precedence over the timeout. A process that was suspended
    (Ctrl-Z) past the timeout finds both, and the result may be the ID of a paid task.
    """
    task = asyncio.ensure_future(work)
    try:
        for timeout in (seconds, RESUME_SECONDS):
            await asyncio.wait({task}, timeout=timeout)
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
