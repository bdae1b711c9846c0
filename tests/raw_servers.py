"""Servers without an HTTP framework: one that sends arbitrary bytes, and a public network on this machine."""

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
"""Returns the pieces of a response, head and body, as they are sent."""


class RawServer(socketserver.ThreadingTCPServer):
    """A server that responds to each request with bytes, and closes. The last response of a path is repeated.

    tls: the context of a server that uses TLS.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _RawConnection)
        self.responses: dict[str, list[Response]] = {}
        self.heads: list[bytes] = []
        """The heads of all requests."""
        self.port = int(self.server_address[1])
        self.tls = tls

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def next_response(self, path: str) -> Response:
        """Return the response to the next request for `path`."""
        responses = self.responses.get(path, [not_found])
        return responses.pop(0) if len(responses) > 1 else responses[0]


class _RawConnection(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client may close the connection early
            connection = self.request
            if self.server.tls:
                connection = self.server.tls.wrap_socket(connection, server_side=True)
            request, _ = read_request(connection)
            if request:
                self.server.heads.append(request)
                for piece in self.server.next_response(request.split(b" ")[1].decode())():
                    connection.sendall(piece)


def read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a request: its head, up to the empty line, and its body. Both are empty if there is none."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b"", b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]) and (piece := connection.recv(65536)):
        body += piece
    return head, body


def not_found() -> Iterable[bytes]:
    """Return a 404 response."""
    return plain_response(b"", status="404 Not Found")()


def plain_response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> Response:
    """Return a complete response. length: a wrong Content-Length."""
    stated = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", "Content-Type: image/png", f"Content-Length: {stated}", *headers]
    return lambda: [response_head(*lines), body]


def unframed_response(body: bytes, *headers: str) -> Response:
    """Return a response that ends when the connection does."""
    return lambda: [response_head("HTTP/1.1 200 OK", *headers), body]


def chunked_response(body: bytes, *headers: str, ends: bool = True) -> Response:
    """Return a response in one chunk. ends: whether the last chunk is sent."""
    end = b"\r\n0\r\n\r\n" if ends else b""
    return lambda: [
        response_head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers),
        b"%x\r\n" % len(body),
        body,
        end,
    ]


def redirect(location: str | None, status: str = "302 Found") -> Response:
    """Return a redirect, without a Location if `location` is None."""
    return plain_response(b"", *([f"Location: {location}"] if location is not None else []), status=status)


def endless_response(pause: Callable[[], None] = lambda: None) -> Response:
    """Return an image that never ends."""

    def pieces() -> Iterator[bytes]:
        yield response_head("HTTP/1.1 200 OK", "Content-Type: image/png")
        yield b"\x89PNG\r\n\x1a\n"
        for _ in itertools.count():
            pause()
            yield bytes(65536)

    return pieces


def response_head(*lines: str) -> bytes:
    """Return the head of a response."""
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


@contextmanager
def run_raw_server(tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Run a raw server on a free loopback port."""
    with RawServer(tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class PublicNetwork(socketserver.ThreadingTCPServer):
    """A proxy to public hosts: it ends TLS, and forwards the requests for a host to a port of this machine.

    hosts: host -> port. No other host can be reached.
    heads: the host and head of every request, in order.
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
        """Return the heads of the requests to a host."""
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
        """Forward one request and its response, and close the connection."""
        request, body = read_request(client)
        if not request:
            return
        self.server.heads.append((host, request))
        # The server must learn that it is reached over TLS, because its responses contain its own URL.
        request = request.replace(b"Connection: keep-alive", b"Connection: close\r\nX-Forwarded-Proto: https")
        with socket.create_connection(("127.0.0.1", self.server.hosts[host])) as upstream:
            upstream.sendall(request + b"\r\n\r\n" + body)
            while piece := upstream.recv(65536):
                client.sendall(piece)


@contextmanager
def run_public_network(certificate: Path) -> Iterator[PublicNetwork]:
    """Run a public network on a free loopback port."""
    with PublicNetwork(certificate) as network:
        thread = threading.Thread(target=network.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield network
        finally:
            network.shutdown()
            thread.join()
