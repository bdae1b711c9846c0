"""Download of an image into a verified file.

Requests contain no key, no cookies and no netrc credentials. An image is verified by its bytes (see `images.formats`),
and only a complete one gets its final name.
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

import httpx

from ..config.urls import is_loopback
from ..frozen import frozen
from ..images.formats import BrokenImageError, ImageInfo, inspect_image
from ..system.atomic_files import create, temporary_beside
from .http_client import decoded_body, new_client
from .http_errors import plain_words

IMAGE_BYTES = 64 * 2**20
REDIRECTS = 5
DOWNLOADS = 8
"""The most downloads in parallel. More would only share the same bandwidth."""
TOTAL_SECONDS = 300.0
SLOWEST = 1024
"""Bytes per second that a download must average after its first SLOW_SECONDS."""
SLOW_SECONDS = 20.0
PRIVATE = "the image URL leads into a private network"
MALFORMED = "the image URL, or one that it redirects to, is malformed"
Trace = Callable[[str, dict[str, Any]], Coroutine[Any, Any, None]]
"""A callback for httpx's `trace` events."""


class DownloadError(Exception):
    """The image did not arrive complete. Another attempt may succeed."""


class GoneError(DownloadError):
    """The URL no longer works (403, 404, 410). PiAPI may have a new one for the task."""


class ForbiddenError(DownloadError):
    """The URL must not be fetched. Another attempt would not help."""


@frozen
class Download:
    """A complete image in a temporary file, in the directory of its final path."""

    path: Path
    image: ImageInfo
    sha256: str


class Downloader:
    """A client for images.

    private: whether connections to private networks and this machine are allowed, because the API itself is there.
    transport: the in-process sandbox; None for the network.
    trace: called with each line that `--debug` prints for a response.
    """

    def __init__(
        self,
        *,
        private: bool,
        transport: httpx.AsyncBaseTransport | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._private = private
        self._in_process = transport is not None
        self._trace = trace
        self._semaphore = asyncio.Semaphore(DOWNLOADS)
        # One connection per download: on a reused one, a late response could be mistaken for another task's image.
        timeout = httpx.Timeout(30.0, connect=10.0)
        self._http = new_client(transport, local=private, headers={"Accept": "image/*"}, timeout=timeout, keep=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def fetch(self, url: str, target: Path) -> Download:
        """Download the image at `url` into a temporary file beside `target`.

        Raise DownloadError, GoneError, ForbiddenError; OSError if it cannot be written.
        """
        temporary = temporary_beside(target)
        try:
            async with self._semaphore, asyncio.timeout(TOTAL_SECONDS):
                await self._stream(url, temporary)
            return await asyncio.to_thread(_verify, temporary)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, TimeoutError):
                raise DownloadError(f"the download took more than {TOTAL_SECONDS:.0f} s") from None
            if isinstance(error, httpx.HTTPError):
                raise DownloadError(f"the download failed: {plain_words(error, 'before its end')}") from error
            if isinstance(error, httpx.InvalidURL | UnicodeError):  # UnicodeError: a host such as `xn--`
                raise ForbiddenError(MALFORMED) from None
            raise

    async def _stream(self, url: str, temporary: Path) -> None:
        hop = httpx.URL(url)
        for _ in range(REDIRECTS + 1):
            await self._check(hop)
            self._http.cookies.clear()
            async with self._http.stream("GET", hop, extensions={"trace": self._guard(hop)}) as response:
                if self._trace:
                    self._trace(f"< {response.status_code} for GET {hop}")
                if response.is_redirect:
                    hop = _next_hop(hop, response.headers.get("location", ""))
                    continue
                if response.status_code in (403, 404, 410):
                    raise GoneError(f"the image URL returned HTTP {response.status_code}")
                if response.status_code != 200:
                    raise DownloadError(f"the image URL returned HTTP {response.status_code}")
                await _write(response, temporary)
                return
        raise ForbiddenError(f"more than {REDIRECTS} redirects")

    async def _check(self, url: httpx.URL) -> None:
        """Raise ForbiddenError for a URL that an image must not have (docs/explanation/guarantees.md)."""
        if url.scheme not in ("http", "https") or not url.host:
            raise ForbiddenError("the image URL is not http(s)")
        if url.port is not None and not 0 < url.port < 2**16:
            raise ForbiddenError(MALFORMED)
        if url.userinfo:
            raise ForbiddenError("the image URL contains a user name")
        if self._private:
            return
        host = _host(url)
        if is_loopback(host) or not (self._in_process or await is_public_host(host, url.port or 443)):
            raise ForbiddenError(PRIVATE)

    def _guard(self, url: httpx.URL) -> Trace:
        """Return a trace that refuses a connection to a private network before anything is sent over it.

        `_check` is not enough: a name may resolve to another address when the connection is made. A connection to a
        proxy is not checked.
        """
        host, direct = _host(url), False

        async def guard(event: str, info: dict[str, Any]) -> None:
            nonlocal direct
            if event == "connection.connect_tcp.started":
                direct = info["host"] == host
            elif event == "connection.connect_tcp.complete" and direct and not self._private:
                stream = info["return_value"]
                server = stream.get_extra_info("server_addr")  # None if the connection has been reset already
                if not server or not is_public_address(server[0]):
                    await stream.aclose()  # httpcore does not own it yet
                    raise ForbiddenError(PRIVATE)

        return guard


def _host(url: httpx.URL) -> str:
    """Return the host that httpx connects to, in ASCII, without the brackets of an IPv6 address."""
    return url.raw_host.decode("ascii")


def _next_hop(url: httpx.URL, location: str) -> httpx.URL:
    if not location:
        raise ForbiddenError("the image URL redirects to nowhere")
    target = url.join(location)
    if url.scheme == "https" and target.scheme != "https":
        raise ForbiddenError("the image URL redirects to a URL that is not https")
    return target


def _new_file(path: Path) -> BinaryIO:
    return open(create(path), "wb")


async def _write(response: httpx.Response, temporary: Path) -> None:
    """Write the body to a new file. Writes block the loop: a thread per piece takes longer than the disk."""
    loop = asyncio.get_running_loop()
    started, count = loop.time(), 0
    with _new_file(temporary) as file:
        async for piece in decoded_body(response):
            count += len(piece)
            if count > IMAGE_BYTES:
                raise ForbiddenError(f"the image is larger than {IMAGE_BYTES // 2**20} MiB")
            elapsed = loop.time() - started
            if elapsed > SLOW_SECONDS and count / elapsed < SLOWEST:
                raise DownloadError("the download is too slow")
            file.write(piece)


def _verify(temporary: Path) -> Download:
    """Return the download if the file is a complete image. Raise DownloadError. Slow (up to 1 s): call in a thread."""
    content = temporary.read_bytes()
    try:
        image = inspect_image(content)
    except BrokenImageError as broken:
        raise DownloadError(str(broken)) from broken
    return Download(temporary, image, hashlib.sha256(content).hexdigest())


async def save_inline(inline: str, target: Path) -> Download:
    """Save an inline image (base64, with or without `data:` prefix) in a temporary file beside `target`.

    Raise DownloadError, OSError.
    """
    temporary = temporary_beside(target)
    try:
        content = base64.b64decode(inline.partition(",")[2] if inline.startswith("data:") else inline, validate=True)
        with _new_file(temporary) as file:
            file.write(content)
        return await asyncio.to_thread(_verify, temporary)
    except (binascii.Error, ValueError, DownloadError) as error:
        temporary.unlink(missing_ok=True)
        raise DownloadError(f"the image in the response is unusable: {error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def rewrite(download: Download, content: bytes) -> Download:
    """Replace the bytes of a download, and return the new download. Raise OSError, after deleting the file."""
    try:
        download.path.unlink()
        with _new_file(download.path) as file:
            file.write(content)
    except BaseException:
        download.path.unlink(missing_ok=True)
        raise
    return replace(download, sha256=hashlib.sha256(content).hexdigest())


# --- hosts on the public internet -------------------------------------------------------------------------------------
#
# A URL from a response must not lead into a private network (SSRF).

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses that are assigned to hosts on the internet (RFC 4291, section 2.4)."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Prefix of an IPv4 address in the last 32 bits. Behind NAT64, public hosts have such addresses (RFC 6052)."""

NOT_PUBLIC = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")]
"""Networks that `ipaddress` takes for public in some Python versions. A cloud's metadata service is in the first."""


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an IP address from any notation that a connection accepts, such as `127.1`, `0x7f.1` and `2130706433`.

    Raise ValueError if `text` is a name.
    """
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, UnicodeError):
        raise ValueError("not an IP address") from None


def is_public_address(text: str) -> bool:
    """Return whether an IP address is on the public internet. Raise ValueError if `text` is a name.

    IPv6 addresses that contain an IPv4 address (6to4, Teredo, IPv4-compatible and the like) count as private, except
    those with the well-known NAT64 prefix.
    """
    address = parse_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address in NAT64:
        address = ipaddress.IPv4Address(address.packed[-4:])
    if not address.is_global or any(address in network for network in NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not address.is_multicast
    return address in GLOBAL_UNICAST and address.sixtofour is None and address.teredo is None


async def is_public_host(host: str, port: int) -> bool:
    """Return whether every address of a host is public.

    A name without addresses counts as public: a proxy may resolve it, and without one no connection is possible.
    """
    try:
        return is_public_address(host)
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True
    return all(is_public_address(str(item[4][0])) for item in found)
