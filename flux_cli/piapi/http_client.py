"""httpx clients: which certificates they trust, which connections they keep, and how they read a body."""

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
"""Longer than the time between two polls."""
PIECE_BYTES = 256 * 1024
"""The most that one step of decoding may yield."""
RESUME_SECONDS = 1.0
"""The time that a process which was suspended gets to read what came meanwhile."""
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@frozen
class Response:
    """A response.

    text: the body, decoded and without secrets.
    fault: why the body is not complete, for example `truncated`; empty if it is.
    """

    status: int
    headers: httpx.Headers
    text: str
    fault: str = ""

    @property
    def complete(self) -> bool:
        """Whether the body came to its end."""
        return not self.fault


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context that verifies servers, made once per process.

    SSL_CERT_FILE and SSL_CERT_DIR come first, then the system's hashed directory, which OpenSSL reads one certificate
    at a time, then certifi's bundle, which takes 20 ms to load. Raise OSError if SSL_CERT_FILE cannot be read.
    """
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not directory:
        directory = _hashed_directory()
    if file or directory:
        return ssl.create_default_context(cafile=file or None, capath=directory or None)
    return httpx.create_ssl_context(trust_env=False)


def _hashed_directory() -> str | None:
    """Return the system's directory of certificates if it has hashed names (see `openssl rehash`)."""
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
    """Return a client that follows no redirects and asks for bodies without encoding.

    transport: None for the network, or the in-process sandbox.
    local: the servers are on this machine, so no proxy is used.
    keep: whether connections are kept for the next request.
    Raise httpx.InvalidURL, ImportError, ValueError or OSError if the environment's settings cannot be used.
    """
    return httpx.AsyncClient(
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
        timeout=timeout,
        transport=transport,
        verify=True if transport else tls_context(),
        trust_env=not local,
        follow_redirects=False,
        limits=httpx.Limits(
            # The callers' semaphores bound the number: a request that waits in httpcore's pool may lose its turn.
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS if keep else 0,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
    )


async def decoded_body(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body of a streamed response in bounded pieces, without its content encoding.

    A server may encode a body although it was asked not to. One layer of gzip or deflate is decoded; raise
    httpx.DecodingError for any other encoding, since a few kilobytes of nested ones expand to gigabytes.
    """
    header = response.headers.get("content-encoding", "").casefold()
    encodings = [name for name in map(str.strip, header.split(",")) if name not in ("", "identity")]
    if not encodings:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encodings not in (["gzip"], ["x-gzip"], ["deflate"]):
        raise httpx.DecodingError("unsupported content encoding")
    decoder = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # gzip and zlib, whichever it is
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

    Unlike `asyncio.timeout` this keeps a result that is there already: a process that was suspended (Ctrl-Z) until the
    time was over finds both, and the result may be the ID of a paid task.
    """
    task = asyncio.ensure_future(work)
    try:
        for patience in (seconds, RESUME_SECONDS):
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
