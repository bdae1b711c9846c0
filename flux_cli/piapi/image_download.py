"""Pictures from an address to a verified file.

The connection carries no key, no cookies and no netrc. What arrives is judged by its bytes (`formats`) and gets
its final name only when it is whole.
"""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import urljoin, urlsplit

import httpx

from ..config.urls import is_loopback
from ..frozen import frozen
from ..images.formats import BrokenPictureError, Picture, whole_picture
from ..system.atomic_files import create, temporary_beside
from .network import USER_AGENT, reaching

PICTURE_BYTES = 64 * 2**20
REDIRECTS = 5
TOTAL_SECONDS = 300.0
SLOWEST = 1024
"""Bytes a second that a download must make on average, after its first SLOW_SECONDS."""
SLOW_SECONDS = 20.0
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Trace = Callable[[str, dict[str, Any]], Coroutine[Any, Any, None]]
"""Hears what httpx does with a connection, as its `trace` extension."""


class DownloadError(Exception):
    """The picture did not come whole; worth another try."""


class GoneError(DownloadError):
    """The address does not work any more (403, 404, 410); the task may have a fresh one."""


class ForbiddenError(DownloadError):
    """The address must not be fetched; another try would not help."""


@frozen
class Download:
    """A whole picture in a temporary file, synced, beside the place it is meant for."""

    path: Path
    picture: Picture
    sha256: str


class Downloader:
    """Fetches pictures.

    private: whether addresses of private networks and of this machine may be fetched (the API is itself there).
    transport: None for the network, or the in-process sandbox.
    """

    def __init__(
        self,
        *,
        private: bool,
        transport: httpx.AsyncBaseTransport | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._private = private
        self._resolve = transport is None
        self._trace = trace
        self._http = httpx.AsyncClient(
            headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(30.0, connect=10.0),
            follow_redirects=False,
            **reaching(transport, local=private, most=8, idle_seconds=30.0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fetch(self, url: str, target: Path) -> Download:
        """The picture at `url` in a temporary file beside `target`.

        Raises DownloadError, GoneError, ForbiddenError; OSError when the disk does not take it.
        """
        temporary = temporary_beside(target)
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                await self._stream(url, temporary)
            return _verified(temporary)
        except TimeoutError:
            temporary.unlink(missing_ok=True)
            raise DownloadError(f"the download took more than {TOTAL_SECONDS:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            temporary.unlink(missing_ok=True)
            raise DownloadError(f"the download broke ({type(error).__name__})") from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    async def _stream(self, url: str, temporary: Path) -> None:
        for _ in range(REDIRECTS + 1):
            await self._check(url)
            self._http.cookies.clear()
            async with self._http.stream("GET", url, extensions={"trace": self._watch(url)}) as response:
                if self._trace:
                    self._trace(f"< {response.status_code} for GET {url}")
                if response.is_redirect:
                    url = _next_hop(url, response.headers.get("location", ""))
                    continue
                if response.status_code in (403, 404, 410):
                    raise GoneError(f"the picture's address answers with HTTP {response.status_code}")
                if response.status_code != 200:
                    raise DownloadError(f"the picture's address answers with HTTP {response.status_code}")
                await _write(response, temporary)
                return
        raise ForbiddenError(f"more than {REDIRECTS} redirects")

    async def _check(self, url: str) -> None:
        """Refuse addresses that a picture cannot honestly have (docs/promises.md)."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ForbiddenError("the picture's address is malformed") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ForbiddenError("the picture's address is not http(s)")
        if parts.username is not None:
            raise ForbiddenError("the picture's address has a user name in it")
        if not self._private and (is_loopback(host) or await self._is_private(host, port or 443)):
            raise ForbiddenError("the picture's address is in a private network")

    def _watch(self, url: str) -> Trace:
        """Refuses a connection that leads into a private network before anything is sent over it.

        A name may mean something else by the time it is connected to. Through a proxy the connection is the proxy's.
        """
        host, direct = httpx.URL(url).raw_host.decode("ascii"), False

        async def watch(event: str, info: dict[str, Any]) -> None:
            nonlocal direct
            if event == "connection.connect_tcp.started":
                direct = info["host"] == host
            elif event == "connection.connect_tcp.complete" and direct and not self._private:
                stream = info["return_value"]
                there = stream.get_extra_info("server_addr")  # None when it has been reset already
                if not there or not _is_public(there[0]):
                    await stream.aclose()  # nobody else knows of it yet
                    raise ForbiddenError("the picture's address is in a private network")

        return watch

    async def _is_private(self, host: str, port: int) -> bool:
        try:
            return not _is_public(host)
        except ValueError:
            pass
        if not self._resolve:
            return False
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return False  # behind a proxy only the proxy can resolve; without one the connection will fail
        return not all(_is_public(str(item[4][0])) for item in found)


def _is_public(text: str) -> bool:
    """Whether an address, also one that an IPv6 address stands for, is of the public internet. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.is_global and (inner is None or inner.is_global)
    return address.is_global


def _next_hop(url: str, location: str) -> str:
    if not location:
        raise ForbiddenError("the picture's address redirects to nowhere")
    try:
        target = urljoin(url, location)
    except ValueError:
        raise ForbiddenError("the picture's address redirects to a malformed one") from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise ForbiddenError("the picture's address redirects to one that is not https")
    return target


def _new_file(path: Path) -> BinaryIO:
    return open(create(path), "wb")


async def _write(response: httpx.Response, temporary: Path) -> None:
    """The raw bytes to the file, written inline: a thread for each chunk costs more than the disk does."""
    loop = asyncio.get_running_loop()
    started, count = loop.time(), 0
    with _new_file(temporary) as file:
        # Raw: a compressed answer was not asked for, and its bomb is not unpacked. Piece by piece as it comes: httpx
        # would gather chunks of a given size, and a trickle would not be noticed before the first is full.
        async for chunk in response.aiter_raw():
            count += len(chunk)
            if count > PICTURE_BYTES:
                raise ForbiddenError(f"the picture is larger than {PICTURE_BYTES // 2**20} MiB")
            elapsed = loop.time() - started
            if elapsed > SLOW_SECONDS and count / elapsed < SLOWEST:
                raise DownloadError("the download is too slow")
            file.write(chunk)


def _verified(temporary: Path) -> Download:
    content = temporary.read_bytes()
    try:
        picture = whole_picture(content)
    except BrokenPictureError as broken:
        raise DownloadError(str(broken)) from broken
    return Download(temporary, picture, hashlib.sha256(content).hexdigest())


def unpack(inline: str, target: Path) -> Download:
    """A picture that came inside a reply, base64 with or without a `data:` prefix, as `Downloader.fetch` gives it.

    Raises DownloadError, OSError.
    """
    try:
        content = base64.b64decode(inline.partition(",")[2] if inline.startswith("data:") else inline, validate=True)
        whole_picture(content)
    except (binascii.Error, ValueError, BrokenPictureError) as error:
        raise DownloadError(f"the picture inside the reply is unusable: {error}") from error
    temporary = temporary_beside(target)
    with _new_file(temporary) as file:
        file.write(content)
    return _verified(temporary)


def rewritten(download: Download, content: bytes) -> Download:
    """The download with other bytes for the same picture. Raises OSError; then the old one is gone."""
    try:
        download.path.unlink()
        with _new_file(download.path) as file:
            file.write(content)
    except BaseException:
        download.path.unlink(missing_ok=True)
        raise
    return replace(download, sha256=hashlib.sha256(content).hexdigest())
