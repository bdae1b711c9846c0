"""Connections, against servers that respond byte by byte: retries, evidence, size limits, TLS, proxies."""

import asyncio
import contextlib
import gzip
import io
import itertools
import json
import os
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from flux_cli.errors import NetworkError
from flux_cli.piapi import client as client_module
from flux_cli.piapi import http_client
from flux_cli.piapi.client import PiAPIClient
from flux_cli.piapi.http_client import decoded_body, tls_context
from flux_cli.piapi.image_download import Downloader, DownloadError, ForbiddenError, is_public_address
from flux_cli.piapi.refusals import TemporaryError
from flux_cli.piapi.submission import SubmissionOutcome as Outcome
from flux_cli.piapi.submission import SubmissionResult

from .conftest import KEY, Flux
from .peers import OK, Connection, in_event_loop, respond_ok, respond_with, serve
from .servers import run_sandbox

ID = "1631d053-2352-4add-95cc-360fc52d5f89"
TASK = json.dumps({"code": 200, "data": {"task_id": ID, "status": "pending"}}).encode()
CLOSED = "the connection closed before a response arrived"


def make_response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a complete response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


ACCEPTED = make_response(TASK)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(TASK), TASK)


async def submit(origin: str, body: bytes = b"{}") -> SubmissionResult:
    """POST one task."""
    async with PiAPIClient(origin, KEY) as client:
        return await client.create(body)


# --- requests that are sent once --------------------------------------------------------------------------------------


@in_event_loop
async def test_each_post_has_its_own_connection_and_polls_share_one() -> None:
    async def handler(connection: Connection) -> None:
        while await connection.request():
            await connection.send(ACCEPTED)

    async with serve(handler) as peer, PiAPIClient(peer.origin, KEY) as client:
        for _ in range(3):
            await client.poll(ID)
            assert (await client.create(b"{}")).outcome is Outcome.ACCEPTED
        await asyncio.gather(*(client.create(b"{}") for _ in range(20)))
        posts = [number for number, request in peer.requests if request.startswith("POST")]
        assert len(posts) == len(set(posts)) == 23
        polls = {number for number, request in peer.requests if request.startswith("GET")}
        assert len(polls) == 1
        assert not polls & set(posts)
        while peer.open > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@in_event_loop
async def test_a_download_never_receives_the_image_of_another(tmp_path: Path) -> None:
    """The host repeats a response late. On a reused connection, it would be taken for the next response."""
    images = {color: io.BytesIO() for color in ("red", "blue")}
    for color, content in images.items():
        Image.new("RGB", (8, 8), color).save(content, "PNG")

    async def handler(connection: Connection) -> None:
        while head := await connection.request():
            image = make_response(images["red" if b"/red" in head else "blue"].getvalue())
            await connection.send(image)
            await connection.send(image)

    async with serve(handler) as peer, Downloader(private=True) as downloader:
        for color, content in images.items():
            download = await downloader.fetch(f"{peer.origin}/{color}", tmp_path / color)
            assert download.path.read_bytes() == content.getvalue()
        assert peer.opened == 2


@in_event_loop
async def test_many_polls_share_few_connections() -> None:
    async def handler(connection: Connection) -> None:
        while await connection.request():
            await asyncio.sleep(0.001)
            await connection.send(ACCEPTED)

    async with serve(handler) as peer, PiAPIClient(peer.origin, KEY) as client:
        tasks = await asyncio.gather(*(client.poll(ID) for _ in range(200)))
        assert {task.id for task in tasks} == {ID}
        assert peer.opened == client_module.POLLS
        assert http_client.KEEPALIVE_SECONDS >= 60


@pytest.mark.parametrize("end", ["closed", "reset"])
@in_event_loop
async def test_a_post_without_a_response_is_sent_once(end: str) -> None:
    async def handler(connection: Connection) -> None:
        if "GET" in (await connection.request()).decode():
            await connection.send(ACCEPTED)
            await connection.request()
        if end == "reset":
            connection.reset()

    async with serve(handler) as peer, PiAPIClient(peer.origin, KEY) as client:
        await client.poll(ID)
        result = await client.create(b"{}")
        assert (result.outcome, result.message) == (Outcome.UNKNOWN, CLOSED)
        assert [request.split()[0] for _, request in peer.requests] == ["GET", "POST"]


@pytest.mark.parametrize("end", ["closed", "reset"])
@pytest.mark.parametrize("response", [ACCEPTED, CHUNKED], ids=["length", "chunked"])
@in_event_loop
async def test_a_response_cut_at_any_byte_is_not_a_refusal(response: bytes, end: str) -> None:
    cuts = itertools.count()

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.send(response[: next(cuts)])
        if end == "reset":
            connection.reset()

    async with serve(handler) as peer, PiAPIClient(peer.origin, KEY) as client:
        for cut in range(len(response)):
            result = await client.create(b"{}")
            assert result.outcome in (Outcome.UNKNOWN, Outcome.ACCEPTED), cut
            assert (result.outcome is Outcome.ACCEPTED) <= (TASK in response[:cut]), cut
        assert len(peer.requests) == len(response)


@in_event_loop
async def test_a_large_head_in_pieces_is_read() -> None:
    """The response to a paid POST is not lost because a gateway adds long headers."""

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.send(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n"
        )
        for number in range(60):
            await connection.send(b"X-%d: %b\r\n" % (number, b"y" * 1000))
            await asyncio.sleep(0.001)
        await connection.send(ACCEPTED.partition(b"\r\n")[2])

    async with serve(handler) as peer:
        assert (await submit(peer.origin)).outcome is Outcome.ACCEPTED


# --- evidence of what was sent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1", "connection refused"),
        ("http://unheard-of.invalid", "DNS lookup failed"),
        (f"http://{'x' * 64}.example", "DNS lookup failed"),
    ],
)
@in_event_loop
async def test_without_a_connection_nothing_is_sent(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    result = await submit(url)
    assert (result.outcome, result.message) == (Outcome.NOT_SENT, message)


@in_event_loop
async def test_a_request_that_a_proxy_refuses_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(respond_with(make_response(b"no", status="502 Bad Gateway"))) as peer:
        monkeypatch.setenv("HTTPS_PROXY", peer.origin)
        result = await submit("https://api.piapi.ai")
    assert (result.outcome, result.message) == (Outcome.NOT_SENT, "the proxy refused the connection")
    assert peer.requests == [(1, "CONNECT api.piapi.ai:443")]


@pytest.mark.parametrize("written", [False, True])
@in_event_loop
async def test_408_is_not_a_refusal_after_the_whole_request_was_written(written: bool) -> None:
    late = make_response(b'{"code": 408, "message": "Request Timeout"}', status="408 Request Timeout")

    async def handler(connection: Connection) -> None:
        if written:
            await connection.request()
            await connection.send(late)
        else:
            await connection.reader.readuntil(b"\r\n\r\n")
            await connection.send(late)  # and close with unread bytes: the client cannot finish writing its request

    body = b"{}" if written else bytes(2**25)
    async with serve(handler) as peer:
        outcomes = {(await submit(peer.origin, body)).outcome for _ in range(1 if written else 5)}
    # If the reset overtakes the response, there is no response.
    assert outcomes <= ({Outcome.UNKNOWN} if written else {Outcome.NOT_APPLIED, Outcome.UNKNOWN})


@pytest.mark.parametrize(
    ("method", "events", "sent", "written"),
    [
        ("CONNECT", ["send_request_headers.started", "send_request_body.complete"], False, False),
        ("POST", ["send_request_headers.started"], True, False),
        (
            "POST",
            ["send_request_headers.started", "send_request_body.started", "send_request_body.failed"],
            True,
            False,
        ),
        (
            "POST",
            ["send_request_headers.started", "send_request_body.started", "send_request_body.complete"],
            True,
            True,
        ),
    ],
)
@in_event_loop
async def test_the_trace_shows_how_much_of_a_request_was_sent(
    method: str, events: list[str], sent: bool, written: bool
) -> None:
    """Use httpcore's events. Only `started` contains the request."""
    sending = client_module._Sending(traced=True)
    for event in events:
        request = httpx.Request(method, "https://x.example")
        request.method = method.encode()  # type: ignore[assignment]  # httpcore's is bytes
        await sending.trace(f"http11.{event}", {"request": request} if event.endswith("started") else {})
    assert (sending.begun, sending.written) == (sent, written)


# --- responses --------------------------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><title>Just a moment...</title>"
RESPONSES: dict[str, tuple[bytes, Outcome, str]] = {
    "a page": (make_response(PAGE), Outcome.UNKNOWN, "PiAPI returned a web page instead of JSON (HTTP 200)"),
    "a bad gateway": (
        make_response(PAGE, status="502 Bad Gateway"), Outcome.UNKNOWN, "PiAPI returned a web page instead of JSON (HTTP 502)",
    ),
    "a bare 500": (make_response(b"", status="500 Oops"), Outcome.UNKNOWN, "PiAPI returned HTTP 500"),
    "a 500 in words": (make_response(b"Internal Server Error", status="500 X"), Outcome.UNKNOWN, "PiAPI returned HTTP 500"),
    "a 500 in JSON": (
        make_response(b'{"code": 10000, "message": "no worker"}', status="500 X"), Outcome.UNKNOWN,
        "PiAPI returned HTTP 500: no worker (code 10000)",
    ),
    "JSON without a task": (
        make_response(b'{"code": 200, "data": {}, "message": "success"}'), Outcome.UNKNOWN,
        "PiAPI returned no task ID (HTTP 200: success)",
    ),
    "no body": (make_response(b""), Outcome.UNKNOWN, "PiAPI returned HTTP 200"),
    "a redirect": (make_response(b"", "Location: /x", status="302 Found"), Outcome.UNKNOWN, "PiAPI returned HTTP 302"),
    "a cut body": (ACCEPTED[:60], Outcome.UNKNOWN, "PiAPI's response is unusable (HTTP 200, truncated)"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Outcome.UNKNOWN, "the response is not valid HTTP"),
    "nothing": (b"", Outcome.UNKNOWN, CLOSED),
    "half a head": (b"HTTP/1.1 200 O", Outcome.UNKNOWN, CLOSED),
    "a refusal": (
        make_response(
            b'{"code": 400, "data": {"error": {"code": 1700, "message": "Invalid image dimensions", "detail":'
            b' "Width * height cannot exceed 1048576 pixels"}}, "message": "failed"}', status="400 Bad Request",
        ),
        Outcome.REFUSED, "Invalid image dimensions: Width * height cannot exceed 1048576 pixels (code 1700)",
    ),
    "a list of details": (
        make_response(b'{"detail": [{"loc": ["body", "input"], "msg": "field required"}]}', status="422 X"), Outcome.REFUSED,
        "body, input, field required",
    ),
    "a refusal in words": (make_response(b"no such page", status="404 X"), Outcome.REFUSED, "HTTP 404: no such page"),
    "gzip": (make_response(gzip.compress(TASK), "Content-Encoding: gzip"), Outcome.ACCEPTED, "success"),
    "x-gzip": (make_response(gzip.compress(TASK), "Content-Encoding: identity, X-GZIP"), Outcome.ACCEPTED, "success"),
    "deflate": (make_response(zlib.compress(TASK), "Content-Encoding: deflate"), Outcome.ACCEPTED, "success"),
    "UTF-16": (make_response(TASK.decode().encode("utf-16")), Outcome.ACCEPTED, "success"),
    "UTF-8 with a mark": (make_response(b"\xef\xbb\xbf" + TASK), Outcome.ACCEPTED, "success"),
}  # fmt: skip


@pytest.mark.parametrize("name", RESPONSES)
@in_event_loop
async def test_each_response_has_its_outcome_and_message(name: str) -> None:
    response, outcome, message = RESPONSES[name]
    async with serve(respond_with(response)) as peer:
        result = await submit(peer.origin)
    assert result.outcome is outcome
    assert outcome is Outcome.ACCEPTED or result.message == message


UNUSABLE = "PiAPI's response is unusable (HTTP 200, unusable content encoding)"
BOMB = gzip.compress(gzip.compress(bytes(2**24), 9), 9)
"""A few kilobytes for 16 MiB, in two layers."""


BODIES = {
    "two layers": (BOMB, "gzip, gzip", UNUSABLE),
    "two layers, by other names": (BOMB, "gzip, identity, x-gzip", UNUSABLE),
    "brotli": (TASK, "br", UNUSABLE),
    "zstd": (TASK, "zstd", UNUSABLE),
    "no gzip": (TASK, "gzip", UNUSABLE),
    "cut": (gzip.compress(TASK)[:30], "gzip", UNUSABLE),
    "large": (
        gzip.compress(bytes(33 * 2**20), 1),
        "gzip",
        "PiAPI's response is unusable (HTTP 200, larger than 32 MiB)",
    ),
}
"""The body, the encoding in its header, and the message."""


@pytest.mark.parametrize("name", BODIES)
@in_event_loop
async def test_a_body_is_limited_after_decoding(name: str) -> None:
    body, encoding, message = BODIES[name]
    async with serve(respond_with(make_response(body, f"Content-Encoding: {encoding}"))) as peer:
        tracemalloc.start()
        result = await submit(peer.origin)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (result.outcome, result.message) == (Outcome.UNKNOWN, message)
        assert peak < (200 if name == "large" else 8) * 2**20
        async with PiAPIClient(peer.origin, KEY) as client:
            with pytest.raises(TemporaryError):
                await client.poll(ID)


@given(st.binary(max_size=2000) | st.integers(0, 2**21).map(bytes), st.integers(1, 5000), st.booleans())
def test_a_body_is_decoded_whatever_its_content_and_pieces_are(content: bytes, size: int, zlib_format: bool) -> None:
    encoded = zlib.compress(content) if zlib_format else gzip.compress(content)
    name = "deflate" if zlib_format else "gzip"

    async def pieces() -> Any:
        for start in range(0, len(encoded), size):
            yield encoded[start : start + size]

    async def decode() -> list[bytes]:
        return [
            piece
            async for piece in decoded_body(httpx.Response(200, headers={"content-encoding": name}, content=pieces()))
        ]

    found = asyncio.run(decode())
    assert b"".join(found) == content
    assert max(map(len, found), default=0) <= http_client.PIECE_BYTES


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from([b"HTTP/1.1 200 OK", b"\r\n", b"\r\n\r\n", b"Content-Length: 3", b"5", b"\xff", b"\0", OK]),
            st.sampled_from(
                [b"Transfer-Encoding: chunked", b"HTTP/1.0 ", b"HTTP/1.1 ", b" ", b":", b"Content-Encoding: gzip\r\n"]
            ),
        ),
        max_size=12,
    )
)
@example([b"HTTP/1.1 429 Busy\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\n"])
def test_any_response_has_an_outcome(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        async with serve(respond_with(b"".join(pieces))) as peer, PiAPIClient(peer.origin, KEY) as client:
            result = await client.create(b"{}")
            assert result.outcome not in (Outcome.NOT_SENT, Outcome.UNTRUSTED)
            assert result.message
            with contextlib.suppress(TemporaryError):
                await client.poll(ID)

    asyncio.run(scenario())


# --- slow servers -----------------------------------------------------------------------------------------------------


@in_event_loop
async def test_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stay_silent(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.reader.read()

    for name in ("POST_SECONDS", "GET_SECONDS"):
        monkeypatch.setattr(client_module, name, 0.05)
    async with serve(stay_silent) as peer, PiAPIClient(peer.origin, KEY) as client:
        result = await client.create(b"{}")
        assert (result.outcome, result.message) == (Outcome.UNKNOWN, "no response in time")
        with pytest.raises(TemporaryError, match="no response in time"):
            await client.poll(ID)
        with pytest.raises(NetworkError, match="could not reach PiAPI: no response in time"):
            await client.fetch_account()
    await peer.wait_until_closed()


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(certificate: Path, dns: dict[str, list[str]]) -> ssl.SSLContext:
    """Return the TLS context of a server that poses as a public host on this machine."""
    dns |= {"api.piapi.ai": ["127.0.0.1"], "unnamed.example.com": ["127.0.0.1"]}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trust_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the certificate of the tests."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


UNTRUSTED = (Outcome.UNTRUSTED, "the server's certificate is not trusted")


@in_event_loop
async def test_an_untrusted_server_receives_nothing(tls: ssl.SSLContext) -> None:
    async with serve(respond_ok, tls, "api.piapi.ai") as peer:
        result = await submit(peer.origin)
        assert (result.outcome, result.message) == UNTRUSTED
        assert peer.requests == []
        await peer.wait_until_closed()


@in_event_loop
async def test_a_server_with_another_name_is_not_trusted(tls: ssl.SSLContext, trust_certificate: None) -> None:
    async with serve(respond_ok, tls, "unnamed.example.com") as peer:
        result = await submit(peer.origin)
    assert (result.outcome, result.message) == UNTRUSTED


@in_event_loop
async def test_a_server_without_tls_receives_nothing(tls: ssl.SSLContext) -> None:
    async def handler(connection: Connection) -> None:
        await connection.reader.read(1)
        await connection.send(OK)

    async with serve(handler) as peer:
        result = await submit(peer.origin.replace("http:", "https:"))
    assert (result.outcome, result.message) == (Outcome.NOT_SENT, "no connection")


def make_certificate_directory(directory: Path, certificate: Path, name: str) -> Path:
    """Create a directory like `openssl rehash` does, with one certificate."""
    directory.mkdir()
    (directory / name).write_bytes(certificate.read_bytes())
    return directory


def get_certificate_hash(certificate: Path) -> str:
    """Return the name by which OpenSSL looks up a certificate, derived from its subject."""
    import subprocess

    command = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("source", ["system", "SSL_CERT_DIR", "SSL_CERT_FILE", "certifi"])
@in_event_loop
async def test_certificates_are_found_in_every_source(
    tls: ssl.SSLContext, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    directory = make_certificate_directory(
        tmp_path / "certificates", certificate, f"{get_certificate_hash(certificate)}.0"
    )
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    paths = ssl.get_default_verify_paths()._replace(capath=str(directory if source == "system" else empty))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    if source.startswith("SSL_"):
        monkeypatch.setenv(source, str(directory if source.endswith("DIR") else certificate))
    async with serve(respond_with(ACCEPTED), tls, "api.piapi.ai") as peer:
        trusted = (await submit(peer.origin)).outcome is Outcome.ACCEPTED
    assert trusted == (source != "certifi")
    assert (tls_context().cert_store_stats()["x509_ca"] > 50) == (source == "certifi")


def test_the_program_works_over_tls(
    flux: Flux, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust_certificate: None
) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    with run_sandbox(tmp_path / "service.db", certificate=certificate) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        assert flux('gen "a boat" --seed 1 --size 64x64').out == "a-boat-1.png\n"

        monkeypatch.delenv("SSL_CERT_FILE")
        tls_context.cache_clear()
        result = flux('gen "a ship" --seed 1 --size 64x64')
        assert result.code == 13
        assert "certificate is not trusted. Not charged." in result.err
        assert "trying again" not in result.err
        assert len(service.charges) == 1


def test_unreadable_certificates_are_a_configuration_error(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    result = flux('gen "a boat"')

    assert result.code == 4
    assert "SSL_CERT_FILE" in result.err


# --- proxies and private networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("excluded", "expected"), [("", "GET http://img.invalid/x.png"), ("img.invalid", "")])
@in_event_loop
async def test_proxies_of_the_environment_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, excluded: str, expected: str
) -> None:
    async with serve(respond_with(make_response(b"", status="404 Not Found"))) as peer:
        monkeypatch.setenv("http_proxy", peer.origin)
        monkeypatch.setenv("no_proxy", excluded)
        async with Downloader(private=False) as downloader:
            with pytest.raises(DownloadError) as caught:
                await downloader.fetch("http://img.invalid/x.png", tmp_path / "x.png")
        assert str(caught.value).endswith("HTTP 404" if expected else "DNS lookup failed")
        assert [request for _, request in peer.requests] == ([expected] if expected else [])


@in_event_loop
async def test_a_name_that_resolves_to_a_private_address_receives_no_byte(
    tls: ssl.SSLContext, trust_certificate: None, dns: dict[str, list[str]], tmp_path: Path
) -> None:
    received: list[bytes] = []

    async def handler(connection: Connection) -> None:
        received.append(await connection.reader.read())

    async with serve(handler) as peer:
        port = peer.origin.rpartition(":")[2]
        for scheme in ("http", "https"):
            dns["img.theapi.app"] = ["93.184.215.14", "127.0.0.1"]
            async with Downloader(private=False) as downloader:
                with pytest.raises(ForbiddenError):
                    await downloader.fetch(f"{scheme}://img.theapi.app:{port}/x.png", tmp_path / "x.png")
        await peer.wait_until_closed()
    assert received == [b"", b""]
    assert os.listdir(tmp_path) == ["work"] or not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


PUBLIC = ["8.8.8.8", "93.184.215.14", "134744072", "0x08080808", "2606:4700::6810:84e5", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1", "10.0.0.1", "192.168.0.1", "172.31.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255",
    "224.0.0.1", "198.18.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "017700000001", "::", "::1", "::7f00:1",
    "::127.0.0.1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::7f00:1",
    "2002:7f00:1::", "2002:808:808::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1", "fe80::1%eth0", "fd00::1",
    "ff02::1", "100::1", "2001:db8::1", "4000::1", "192.0.0.192", "192.88.99.1", "3fff::1", "64:ff9b::192.0.0.192",
]  # fmt: skip


@pytest.mark.parametrize(("addresses", "public"), [(PUBLIC, True), (PRIVATE, False)])
def test_public_and_private_addresses_are_distinguished(addresses: list[str], public: bool) -> None:
    assert [text for text in addresses if is_public_address(text) is not public] == []


@given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_a_private_address_is_private_in_every_notation(address: Any) -> None:
    number = int(address)
    first, rest = number >> 24, number & 0xFFFFFF
    notations: list[Callable[[], str]] = [
        lambda: str(address), lambda: str(number), lambda: hex(number), lambda: f"0{number:o}",
        lambda: f"{first}.{rest}", lambda: f"{first:#x}.{rest}", lambda: f"::{address}", lambda: f"::ffff:{address}",
        lambda: f"64:ff9b::{address}", lambda: f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
    ]  # fmt: skip
    assert [text() for text in notations if is_public_address(text())] == []
