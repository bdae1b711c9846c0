"""Servers below HTTP frameworks: one that answers with any bytes whatever, and the public network on this machine."""

import contextlib
import itertools
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

Response = Callable[[], Iterable[bytes]]
"""Makes the pieces of a whole answer, head and body, as they go out on the connection."""


class RawServer(socketserver.ThreadingTCPServer):
    """Answers requests with bytes, and closes. The last answer of a path is given again and again.

    tls: speaks TLS on the connection first.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _RawConnection)
        self.responses: dict[str, list[Response]] = {}
        self.heads: list[bytes] = []
        """What came, head by head."""
        self.port = int(self.server_address[1])
        self.tls = tls

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def next_response(self, path: str) -> Response:
        """What to say to a request for `path`."""
        answers = self.responses.get(path, [not_found])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _RawConnection(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client may hang up on what it does not like
            connection = self.request
            if self.server.tls:
                connection = self.server.tls.wrap_socket(connection, server_side=True)
            request, _ = read_request(connection)
            if request:
                self.server.heads.append(request)
                for piece in self.server.next_response(request.split(b" ")[1].decode())():
                    connection.sendall(piece)


def read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    """A request: its head, up to the empty line, and its body. Both are empty when none came."""
    came = b""
    while b"\r\n\r\n" not in came:
        piece = connection.recv(65536)
        if not piece:
            return b"", b""
        came += piece
    head, _, body = came.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]) and (piece := connection.recv(65536)):
        body += piece
    return head, body


def not_found() -> Iterable[bytes]:
    """No such address."""
    return plain_response(b"", status="404 Not Found")()


def plain_response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> Response:
    """An honest answer; `length` is what it says of its length, when that is not the truth."""
    told = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", "Content-Type: image/png", f"Content-Length: {told}", *headers]
    return lambda: [response_head(*lines), body]


def unframed_response(body: bytes, *headers: str) -> Response:
    """An answer that ends when the connection does."""
    return lambda: [response_head("HTTP/1.1 200 OK", *headers), body]


def chunked_response(body: bytes, *headers: str, ends: bool = True) -> Response:
    """An answer in one chunk; `ends` is whether the last chunk comes."""
    end = b"\r\n0\r\n\r\n" if ends else b""
    return lambda: [
        response_head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers),
        b"%x\r\n" % len(body),
        body,
        end,
    ]


def redirect(location: str | None, status: str = "302 Found") -> Response:
    """A redirect, to nowhere when `location` is None."""
    return plain_response(b"", *([f"Location: {location}"] if location is not None else []), status=status)


def endless_response(pause: Callable[[], None] = lambda: None) -> Response:
    """A picture that begins and never ends."""

    def pieces() -> Iterator[bytes]:
        yield response_head("HTTP/1.1 200 OK", "Content-Type: image/png")
        yield b"\x89PNG\r\n\x1a\n"
        for _ in itertools.count():
            pause()
            yield bytes(65536)

    return pieces


def response_head(*lines: str) -> bytes:
    """A response's head."""
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


@contextmanager
def run_raw_server(tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A raw server on a free loopback port."""
    with RawServer(tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class PublicNetwork(socketserver.ThreadingTCPServer):
    """A proxy behind which public hosts stand: what is asked of a host goes to a port of this machine, out of TLS.

    hosts: host -> port. A host that is not there cannot be reached.
    heads: every request, with its host, in the order they came.
    """

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.hosts: dict[str, int] = {}
        self.heads: list[tuple[str, bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def requests_to(self, host: str) -> list[bytes]:
        """The requests that a host got."""
        return [head for name, head in self.heads if name == host]


class _Tunnel(socketserver.BaseRequestHandler):
    server: PublicNetwork

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            method, target = read_request(self.request)[0].split(b" ")[:2]
            host = target.decode().rpartition(":")[0]
            if method != b"CONNECT" or host not in self.server.hosts:
                self.server.heads.append((target.decode(), method))
                self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            with self.server.tls.wrap_socket(self.request, server_side=True) as client:
                self.relay(host, client)

    def relay(self, host: str, client: ssl.SSLSocket) -> None:
        """One request there and its answer back; then the connection ends."""
        request, body = read_request(client)
        if not request:
            return
        self.server.heads.append((host, request))
        # The server must know that it is reached over TLS, for it gives its own address away.
        request = request.replace(b"Connection: keep-alive", b"Connection: close\r\nX-Forwarded-Proto: https")
        with socket.create_connection(("127.0.0.1", self.server.hosts[host])) as upstream:
            upstream.sendall(request + b"\r\n\r\n" + body)
            while piece := upstream.recv(65536):
                client.sendall(piece)


@contextmanager
def run_public_network(certificate: Path) -> Iterator[PublicNetwork]:
    """A public network on a free loopback port."""
    with PublicNetwork(certificate) as network:
        thread = threading.Thread(target=network.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield network
        finally:
            network.shutdown()
            thread.join()
