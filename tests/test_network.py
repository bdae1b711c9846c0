"""Connections, against servers that answer byte by byte: what is sent once, what may be sent again, what is left open."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flux_cli.piapi.client import PiAPIClient
from flux_cli.piapi.http_errors import is_untrusted, plain_words
from flux_cli.piapi.image_download import Downloader, DownloadError, ForbiddenError
from flux_cli.piapi.network import Connections, trusted
from flux_cli.piapi.submission import Fate

from .conftest import KEY, Flux
from .peers import HEAD, OK, Line, answering, looped, polite, serving
from .servers import miniature

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX: y\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\n\r\nhello"


@asynccontextmanager
async def http(*, most: int = 4, idle: float = 60.0, **seconds: float) -> AsyncIterator[httpx.AsyncClient]:
    """A client over connections of our own."""
    transport = Connections(most=most, idle_seconds=idle)
    async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5.0, **seconds)) as client:
        yield client


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "content", "reused"),
    [
        (OK, b"hello", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, b"hello", True),
        (CHUNKED, b"hello", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (OPEN, b"hello", False),
        (OK.replace(b"1.1", b"1.0"), b"hello", False),
        (OPEN.replace(b"1.1", b"1.0"), b"hello", False),
        (OK.replace(b"OK", b"OK\r\nConnection: close"), b"hello", False),
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"hello", False),
    ],
)
@looped
async def test_a_body_and_what_becomes_of_its_connection(answer: bytes, content: bytes, reused: bool) -> None:
    async def talk(line: Line) -> None:
        while await line.request():
            await line.say(answer)
            if not reused and b"Length" not in answer:
                return

    async with serving(talk) as peer, http() as client:
        for _ in range(2):
            assert (await client.get(peer.origin)).content == content
        assert [number for number, _ in peer.asked] == ([1, 1] if reused else [1, 2])


@pytest.mark.parametrize("end", ["closed", "reset"])
@pytest.mark.parametrize("answer", [OK, CHUNKED], ids=["length", "chunked"])
@looped
async def test_cut_at_any_byte_it_is_no_answer(answer: bytes, end: str) -> None:
    cuts = itertools.count()
    body = answer.index(b"\r\n\r\n") + 4

    async def talk(line: Line) -> None:
        await line.request()
        await line.say(answer[: next(cuts)])
        if end == "reset":
            line.reset()

    async with serving(talk) as peer, http() as client:
        for cut in range(len(answer)):
            read = None
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)) as caught:  # noqa: PT012
                async with client.stream("GET", peer.origin) as response:
                    read = b""
                    async for piece in response.aiter_raw():
                        read += piece
            assert (read is not None) == (cut >= body), cut
            assert b"hello".startswith(read or b"")
            assert plain_words(caught.value) == "the connection broke"
        assert (await client.get(peer.origin)).content == b"hello"
        assert len(peer.asked) == len(answer) + 1, "a new connection that fails is not replaced"


@looped
async def test_a_body_up_to_the_end_of_a_connection_that_breaks_is_cut() -> None:
    async def talk(line: Line) -> None:
        await line.request()
        await line.say(OPEN)
        line.reset()

    async with serving(talk) as peer, http() as client:
        with pytest.raises(httpx.ReadError):
            await client.get(peer.origin)


@looped
async def test_whoever_does_not_read_on_makes_the_server_wait() -> None:
    sent, size = 0, 64 * 2**20

    async def talk(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < size:
            await line.say(bytes(65536))
            sent += 65536

    async with serving(talk) as peer, http() as client, client.stream("GET", peer.origin) as response:
        pieces = response.aiter_raw()
        came, before = len(await anext(pieces)), -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < size / 2
        assert came + sum([len(piece) async for piece in pieces]) == size


# --- what may be sent again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["closed", "reset", "closed when asked", "reset when asked", "says something unasked"])
@looped
async def test_a_stale_connection_is_replaced(end: str) -> None:
    async def talk(line: Line) -> None:
        await line.request()
        await line.say(OK)
        if line.number > 1:
            await line.request()
        elif end == "says something unasked":
            await asyncio.sleep(0.01)
            await line.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            await line.reader.read()
        elif end.endswith("when asked"):
            await line.reader.readuntil(b"\r\n\r\n")
        if "reset" in end:
            line.reset()

    async with serving(talk) as peer, http() as client:
        assert (await client.get(peer.origin)).status_code == 200
        if not end.endswith("when asked"):
            await peer.empty()
        assert (await client.get(peer.origin)).status_code == 200
        assert [number for number, _ in peer.asked] == [1, 2]


@looped
async def test_what_nobody_asked_for_is_noticed_behind_a_body_that_came_too_fast() -> None:
    """Reading pauses then, and must go on at the body's end: what lies there would be the next request's answer."""
    body = bytes(400 * 1024)

    async def talk(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await read[line.number - 1].wait()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await line.reader.read()

    read = [asyncio.Event(), asyncio.Event()]
    async with serving(talk) as peer, http() as client:
        for over in read:
            async with client.stream("GET", peer.origin) as response:
                await asyncio.sleep(0.1)  # until all of it lies here
                assert await response.aread() == body
            over.set()
            await peer.empty()


@looped
async def test_a_response_that_outlives_its_client_leaves_no_connection() -> None:
    async with serving(polite) as peer:
        async with http() as client:
            response = await client.send(client.build_request("GET", peer.origin), stream=True)
        await response.aread()
        await peer.empty()


@looped
async def test_it_is_replaced_once_and_only_before_the_first_byte_of_the_answer() -> None:
    async def talk(line: Line) -> None:
        await line.request()
        if line.number == 1:
            await line.say(OK)
            await line.request()
            await line.say(b"H" * halves)

    for halves, connections in ((0, [1, 1, 2]), (1, [1, 1])):  # noqa: B007
        async with serving(talk) as peer, http() as client:
            await client.get(peer.origin)
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(peer.origin)
            assert [number for number, _ in peer.asked] == connections


@looped
async def test_a_connection_is_not_used_after_a_long_rest() -> None:
    async with serving(polite) as peer, http(idle=0.0) as client:
        for _ in range(2):
            await client.get(peer.origin)
        assert [number for number, _ in peer.asked] == [1, 2]


@looped
async def test_a_post_has_a_connection_of_its_own() -> None:
    async with serving(polite) as peer, http() as client:
        for method in ("GET", "POST", "GET", "POST", "GET"):
            assert (await client.request(method, f"{peer.origin}/x", content=b"{}")).content == b"hello"
        assert peer.asked == [(1, "GET /x"), (2, "POST /x"), (1, "GET /x"), (3, "POST /x"), (1, "GET /x")]


@pytest.mark.parametrize("end", ["closed", "reset"])
@looped
async def test_a_post_without_an_answer_is_sent_once(end: str) -> None:
    async def talk(line: Line) -> None:
        if "GET" in (await line.request()).decode():
            await line.say(OK)
            await line.request()
        if end == "reset":
            line.reset()

    async with serving(talk) as peer, PiAPIClient(peer.origin, KEY) as client:
        await client._free("GET", peer.origin, 5.0)
        assert (await client.create(b"{}")).fate is Fate.UNKNOWN
        assert [words.split()[0] for _, words in peer.asked] == ["GET", "POST"]


# --- evidence that nothing was sent ----------------------------------------------------------------------------------


@looped
async def test_sending_is_told_before_the_first_byte() -> None:
    order: list[str] = []

    async def talk(line: Line) -> None:
        order.append((await line.reader.readexactly(1)).decode())
        await line.request()
        await line.say(OK)

    async def trace(event: str, info: dict[str, Any]) -> None:
        await asyncio.sleep(0.01)  # time enough for a byte that should not have left
        order.append(event)

    async with serving(talk) as peer, http() as client:
        await client.post(peer.origin, content=b"{}", extensions={"trace": trace})
    connecting = ["connection.connect_tcp.started", "connection.connect_tcp.complete"]
    assert order == [*connecting, "http11.send_request_headers.started", "P"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1", "the connection was refused"),
        ("http://unheard-of.invalid", "the server's name could not be resolved"),
        (f"http://{'x' * 64}.example", "no connection"),
    ],
)
@looped
async def test_without_a_connection_nothing_is_sent(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolved(host: str, *rest: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    async with PiAPIClient(url, KEY) as client:
        answer = await client.create(b"{}")
    assert (answer.fate, answer.message) == (Fate.NOT_SENT, words)


@looped
async def test_a_header_that_cannot_be_sent_is_not_sent() -> None:
    told: list[str] = []

    async def trace(event: str, info: dict[str, Any]) -> None:
        told.append(event)

    async with serving(polite) as peer, http() as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.post(peer.origin, headers={"X": "a\nb"}, extensions={"trace": trace})
        assert not [event for event in told if "send" in event]
        assert peer.asked == []


@looped
async def test_a_server_that_hangs_up_or_speaks_before_the_request_was_sent_none() -> None:
    async def silent(line: Line) -> None:
        pass

    async def hasty(line: Line) -> None:
        await line.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await line.reader.read()

    async def wait(event: str, info: dict[str, Any]) -> None:
        sent.append(event) if "send" in event else await asyncio.sleep(0.01)

    for talk, scheme in itertools.product((silent, hasty), ("http:", "https:")):
        sent: list[str] = []
        async with serving(talk) as peer, http() as client:
            with pytest.raises(httpx.ConnectError):
                await client.post(peer.origin.replace("http:", scheme), extensions={"trace": wait})
        assert sent == []


@looped
async def test_whoever_traces_may_forbid_a_connection() -> None:
    async def forbid(event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            raise ZeroDivisionError

    async with serving(polite) as peer, http() as client:
        with pytest.raises(ZeroDivisionError):
            await client.get(peer.origin, extensions={"trace": forbid})
        await peer.empty()
        assert peer.asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loopback has one address")
@looped
async def test_an_address_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts nobody, one that is not there, and one that answers, under one name."""
    async with serving(polite) as peer, http() as client:
        port = int(peer.origin.rpartition(":")[2])
        with socket.socket() as full:
            full.bind(("127.0.0.2", port))
            full.listen(0)
            waiting = [socket.socket() for _ in range(3)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(("127.0.0.2", port))
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (3, 2, 1)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **options: found)
            before = len(asyncio.all_tasks())
            assert (await client.get(f"http://three.example:{port}")).content == b"hello"
            assert len(asyncio.all_tasks()) == before + 1, "more than the server's is left"
            for one in waiting:
                one.close()


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(certificate: Path, names: dict[str, list[str]]) -> ssl.SSLContext:
    """What a server needs to pass for a public host, which is on this machine."""
    names |= {"api.piapi.ai": ["127.0.0.1"], "unnamed.example.com": ["127.0.0.1"]}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def believing(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@looped
async def test_an_untrusted_server_is_told_nothing(tls: ssl.SSLContext) -> None:
    async with serving(polite, tls, "api.piapi.ai") as peer, PiAPIClient(peer.origin, KEY) as client:
        answer = await client.create(b"{}")
        assert (answer.fate, answer.message) == (Fate.UNTRUSTED, "the server's certificate is not trusted")
        assert peer.asked == []
        await peer.empty()


@looped
async def test_nor_is_one_with_another_name(tls: ssl.SSLContext, believing: None) -> None:
    async with serving(polite, tls, "unnamed.example.com") as peer, http() as client:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(peer.origin)
        assert is_untrusted(caught.value)


@pytest.mark.parametrize("answer", [OK, CHUNKED, OPEN], ids=["length", "chunked", "open"])
@looped
async def test_a_trusted_server(tls: ssl.SSLContext, believing: None, answer: bytes) -> None:
    hellos: list[str | None] = []
    tls.sni_callback = lambda connection, name, context: hellos.append(name)
    answers = [answer] if answer is OPEN else [answer, answer]
    async with serving(answering(*answers), tls, "api.piapi.ai") as peer, http() as client:
        for _ in range(2):
            assert (await client.get(peer.origin)).content == b"hello"
    assert set(hellos) == {"api.piapi.ai"}
    assert len(hellos) == 3 - len(answers)


@looped
async def test_a_server_that_does_not_speak_tls(tls: ssl.SSLContext) -> None:
    async def talk(line: Line) -> None:
        await line.reader.read(1)
        await line.say(OK)

    async with serving(talk) as peer, http() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(peer.origin.replace("http:", "https:"))


def test_the_program_over_tls(
    flux: Flux, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, believing: None
) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    with miniature(tmp_path / "service.db", certificate=certificate) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        assert flux('gen "a boat" --seed 1 --size 64x64').out == "a-boat-1.png\n"

        monkeypatch.delenv("SSL_CERT_FILE")
        trusted.cache_clear()
        result = flux('gen "a ship" --seed 1 --size 64x64')
        assert result.code == 13
        assert "certificate is not trusted. Not charged." in result.err
        assert "trying again" not in result.err
        assert len(service.charges) == 1


def test_certificates_that_cannot_be_read_are_told_at_once(
    flux: Flux, monkeypatch: pytest.MonkeyPatch, believing: None
) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    result = flux('gen "a boat"')

    assert result.code == 4
    assert "SSL_CERT_FILE" in result.err


# --- many at once, and given up --------------------------------------------------------------------------------------


@looped
async def test_many_share_few_connections() -> None:
    async with serving(polite) as peer, http(most=16) as client:
        answers = await asyncio.gather(*(client.get(f"{peer.origin}/{number}") for number in range(200)))
        assert {answer.content for answer in answers} == {b"hello"}
        assert peer.opened == 16


@looped
async def test_who_asks_first_is_served_first() -> None:
    async with serving(polite) as peer, http(most=1) as client:
        await asyncio.gather(*(client.get(f"{peer.origin}/{number}") for number in range(50)))
        assert [words for _, words in peer.asked] == [f"GET /{number}" for number in range(50)]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@looped
async def test_given_up_at_any_moment_nothing_stays_behind(
    tls: ssl.SSLContext, believing: None, secure: bool, kept: bool, method: str
) -> None:
    async def talk(line: Line) -> None:
        while await line.request():
            for byte in range(len(CHUNKED)):
                await line.say(CHUNKED[byte : byte + 1])
                await asyncio.sleep(0)

    place = (tls, "api.piapi.ai") if secure else (None, "127.0.0.1")
    async with serving(talk, *place) as peer:
        ended = False
        for moments in itertools.count():
            if ended:
                break
            async with http(most=1) as client:
                if kept:
                    await client.get(peer.origin)
                asking = asyncio.create_task(client.request(method, peer.origin, content=b"x"))
                for _ in range(moments):
                    await asyncio.sleep(0)
                ended = asking.done()
                asking.cancel()
                await asyncio.wait({asking})
                assert (await client.get(peer.origin)).content == b"hello"
                assert peer.open <= 2 if ended and method == "GET" else True
            await peer.empty()
        assert moments > 20


@looped
async def test_a_body_that_is_left_costs_its_connection() -> None:
    async with serving(answering(HEAD + b"he", OK)) as peer, http(most=1) as client:
        async with client.stream("GET", peer.origin) as response:
            assert await anext(response.aiter_raw()) == b"he"
        assert (await client.stream("GET", peer.origin).__aenter__()).status_code == 200
        assert [number for number, _ in peer.asked] == [1, 2]


# --- slow ones and hostile ones --------------------------------------------------------------------------------------


@looped
async def test_time_outs() -> None:
    async def silent(line: Line) -> None:
        await asyncio.sleep(60)

    async with serving(silent) as peer:
        for step, method, url, expected in (
            ("read", "GET", peer.origin, httpx.ReadTimeout),
            ("write", "POST", peer.origin, httpx.WriteTimeout),
            ("connect", "GET", peer.origin.replace("http:", "https:"), httpx.ConnectTimeout),
        ):
            async with http(**{step: 0.05}) as client:  # type: ignore[arg-type]
                with pytest.raises(expected):
                    await client.request(method, url, content=bytes(2**25) if method == "POST" else None)
        async with http(most=1, pool=0.05) as client:
            first = asyncio.create_task(client.get(peer.origin))
            await asyncio.sleep(0)
            with pytest.raises(httpx.PoolTimeout):
                await client.get(peer.origin)
            first.cancel()
            await asyncio.wait({first})


@looped
async def test_an_answer_that_never_ends_can_be_given_up() -> None:
    async def talk(line: Line) -> None:
        await line.request()
        while True:
            await line.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asyncio.sleep(0)

    async with serving(talk) as peer, http() as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get(peer.origin), 0.1)
        await peer.empty()


@pytest.mark.parametrize("end", ["stays", "reset"])
@looped
async def test_a_refusal_is_read_though_the_server_did_not_read_the_request(end: str) -> None:
    async def talk(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        if end == "reset":
            line.reset()
        await asyncio.sleep(60)

    async with serving(talk) as peer, http() as client:
        answer = await client.post(peer.origin, content=bytes(2**25))
        assert (answer.status_code, answer.content) == (413, b"big")


@looped
async def test_an_upload_has_its_own_time_though_the_server_says_continue_at_once() -> None:
    size = 2**25

    async def talk(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(1.0)
        await line.reader.readexactly(size)
        await line.say(OK)

    async with serving(talk) as peer, http(read=0.5) as client:
        assert (await client.post(peer.origin, content=bytes(size))).content == b"hello"


@looped
async def test_a_large_head_that_comes_in_pieces_is_read() -> None:
    """An answer to a paid POST is not lost for a gateway's long headers."""

    async def talk(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n")
        for number in range(60):
            await line.say(b"X-%d: %b\r\n" % (number, b"y" * 1000))
            await asyncio.sleep(0.001)
        await line.say(OK.partition(b"\r\n")[2])

    async with serving(talk) as peer, http() as client:
        assert (await client.post(peer.origin)).content == b"hello"


GARBAGE = [
    b"\r\n\r\n",
    b"\0\xff\xfe" * 100,
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"<html>what?</html>",
    b"HTTP/1.1 abc OK\r\n\r\n",
    b"HTTP/1.1 099 Low\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2**20 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2**16,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:60]))
@looped
async def test_garbage_is_no_answer(garbage: bytes) -> None:
    async with serving(answering(garbage)) as peer, http() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(peer.origin)
        await peer.empty()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from([b"HTTP/1.1 200 OK", b"\r\n", b"\r\n\r\n", b"Content-Length: 3", b"5", b"\xff", b"\0", OK]),
            st.sampled_from(
                [b"Transfer-Encoding: chunked", b"HTTP/1.0 ", b"HTTP/1.1 ", b" ", b":", b"Set-Cookie: a=b"]
            ),
        ),
        max_size=12,
    )
)
@example([CHUNKED, OK])
def test_whatever_comes_it_is_an_answer_or_an_error_of_httpx(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        async with serving(answering(b"".join(pieces))) as peer, http(most=1) as client:
            for _ in range(2):
                with contextlib.suppress(httpx.TransportError):
                    await client.get(peer.origin)

    asyncio.run(scenario())


# --- proxies and private networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("excluded", "asked"), [("", "GET http://img.invalid/x.png"), ("img.invalid", "")])
@looped
async def test_a_proxy_is_left_to_httpx(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, excluded: str, asked: str
) -> None:
    async with serving(answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as peer:
        monkeypatch.setenv("http_proxy", peer.origin)
        monkeypatch.setenv("no_proxy", excluded)
        async with Downloader(private=False) as downloader:
            with pytest.raises(DownloadError) as caught:
                await downloader.fetch("http://img.invalid/x.png", tmp_path / "x.png")
        assert str(caught.value).endswith("HTTP 404" if asked else "(ConnectError)")
        assert [words for _, words in peer.asked] == ([asked] if asked else [])


@looped
async def test_a_name_that_leads_into_a_private_network_is_left_before_a_byte_is_sent(
    tls: ssl.SSLContext, believing: None, names: dict[str, list[str]], tmp_path: Path
) -> None:
    came: list[bytes] = []

    async def talk(line: Line) -> None:
        came.append(await line.reader.read())

    async with serving(talk) as peer:
        port = peer.origin.rpartition(":")[2]
        for scheme in ("http", "https"):
            names["img.theapi.app"] = ["93.184.215.14", "127.0.0.1"]
            async with Downloader(private=False) as downloader:
                with pytest.raises(ForbiddenError):
                    await downloader.fetch(f"{scheme}://img.theapi.app:{port}/x.png", tmp_path / "x.png")
        await peer.empty()
    assert came == [b"", b""]
