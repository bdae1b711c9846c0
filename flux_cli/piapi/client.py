"""PiAPI's endpoints, one method per endpoint.

Only this module can POST a task. It never repeats a POST, but returns its outcome (see `submission`), and the engine
decides.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from ..config.urls import is_local
from ..errors import NetworkError
from ..frozen import frozen
from ..json_value import JsonObject, number_at, object_at, text_at
from ..operations.base import is_request_url
from ..text import clean
from .http_client import Response, decoded_body, in_time, new_client
from .http_errors import environment_settings, plain_words, retry_after, server_clock
from .redaction import Redactor
from .refusals import UNAVAILABLE_HINT, TaskNotFoundError, TemporaryError, key_error, upload_error
from .responses import ParsedResponse, decode_text, find_task_id, parse_response, summarize_body
from .submission import PLAN, SubmissionResult, result_of_error, result_of_response
from .task import Task

RESPONSE_BYTES = 32 * 2**20
"""The largest response that is read. Inline images are base64."""
LARGE_RESPONSE_BYTES = 2**20
"""A larger response is decoded in a thread, so that other tasks do not wait."""
TRUNCATED = "truncated"
"""The fault of a response whose body ended early."""
POST_SECONDS = 120.0
GET_SECONDS = 60.0
POLLS, UPLOADS = 8, 4
"""The most requests in parallel. The time that httpcore takes per request grows with the number of connections."""
SLOWEST_UPLINK = 25_000.0
"""Bytes per second. A slower upload times out."""
JSON = {"Content-Type": "application/json"}
RETRIED_STATUSES = frozenset({408, 425, 429})


@frozen
class Account:
    """The account of the key, as PiAPI reports it. A value that is not reported is None.

    clock: the time of the response by PiAPI's clock, in seconds since the epoch.
    """

    plan: str | None
    balance: Decimal | None
    concurrency: int | None
    clock: float | None = None


class _Sending:
    """The progress of sending a request, from httpx's trace.

    begun: the first byte may have been sent. written: the last byte may have been sent.
    """

    def __init__(self, *, traced: bool) -> None:
        self.begun = self.written = not traced
        self._connecting = False

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Record an event of httpcore. A CONNECT to a proxy is ignored, because it contains no part of the request."""
        if request := info.get("request"):
            self._connecting = request.method == b"CONNECT"
        if not self._connecting:
            self.begun = self.begun or event.endswith("send_request_headers.started")
            self.written = self.written or event.endswith("send_request_body.complete")


class PiAPIClient:
    """A client for one base URL and one key.

    secrets: redacted in responses, like the key, because a server may echo them.
    transport: the in-process sandbox; None for the network.
    trace: called with each line that `--debug` prints for a request or a response.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        secrets: AbstractSet[str] = frozenset(),
        transport: httpx.AsyncBaseTransport | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._base = base_url
        self._redactor = Redactor({key, *secrets})
        parts = urlsplit(base_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._trace = trace
        self._transport = transport
        self._headers = {"X-API-Key": key}
        self._clients: dict[tuple[bool, bool], httpx.AsyncClient] = {}
        self._open = AsyncExitStack()
        self._polls, self._uploads = asyncio.Semaphore(POLLS), asyncio.Semaphore(UPLOADS)
        for keep in (True, False):  # invalid proxy or certificate settings raise here, before anything is sent
            self._client(base_url, keep=keep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def _client(self, url: str, *, keep: bool) -> httpx.AsyncClient:
        """Return the httpx client for requests to a URL. Requests to this machine do not use a proxy.

        keep: whether connections are reused, as for GET. Each POST has a new connection: if a reused one breaks, a
        request that did not arrive looks like a lost response.
        """
        local = is_local(url)
        if (local, keep) not in self._clients:
            timeout = httpx.Timeout(30.0, connect=10.0, read=30.0 if keep else None)  # a POST has a total timeout
            with environment_settings():
                client = new_client(self._transport, local=local, headers=self._headers, timeout=timeout, keep=keep)
            self._clients[local, keep] = client
            self._open.push_async_callback(client.aclose)
        return self._clients[local, keep]

    async def create(self, body: bytes) -> SubmissionResult:
        """Send `POST /task` once, and return its outcome (specification: Create Image Task).

        Errors of the server and the network are outcomes too, and raise nothing.
        """
        sending, arrived = _Sending(traced=self._transport is None), bytearray()
        options = {"content": body, "headers": JSON, "extensions": {"trace": sending.trace}}
        try:
            response = await in_time(self._exchange("POST", f"{self._base}/task", arrived, options), POST_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            seen_id = find_task_id(self._redactor.redact(decode_text(arrived)))
            return result_of_error(error, sent=sending.begun, seen_id=seen_id)
        return result_of_response(response, written=sending.written)

    async def poll(self, task_id: str) -> Task:
        """Return the current state of a task (`GET /task/{id}`).

        Raise TemporaryError, TaskNotFoundError, KeyRefusedError.
        """
        response, parsed = await self._get(f"{self._base}/task/{task_id}")
        if parsed.task is not None:
            if parsed.task.id == task_id:
                return parsed.task
            raise TemporaryError("PiAPI returned another task")
        missing = response.status in (400, 404, 410, 422) or (response.status < 300 and parsed.code in (400, 404))
        if missing and parsed.well_formed:  # an error page of a gateway proves nothing about the task
            raise TaskNotFoundError(parsed.message or "task not found")
        raise _temporary(response, parsed)

    async def fetch_account(self) -> Account:
        """Return the account (`GET /account/info` at the origin; docs/internals/service.md, section 4).

        Raise KeyRefusedError, and NetworkError if there is no usable response.
        """
        try:
            response, parsed = await self._get(f"{self._origin}/account/info")
        except TemporaryError as error:
            raise NetworkError(f"could not reach PiAPI: {error.message}", hint=error.hint) from error
        if response.status != 200 or not parsed.well_formed:
            raise NetworkError(f"PiAPI returned {parsed.words(response.status)}", hint=UNAVAILABLE_HINT)
        return Account(
            plan=clean(text_at(parsed.data, "plan"), 40).casefold() or None,
            balance=_amount(parsed.data),
            concurrency=number_at(parsed.data, "max_concurrent_task_count"),
            clock=server_clock(response.headers),
        )

    async def upload(self, service: str, name: str, content: bytes) -> str:
        """Upload an image, free of charge, and return its URL (docs/internals/service.md, section 4).

        service: the origin of the upload service. name: a file name with an extension.
        Raise TemporaryError, KeyRefusedError, CreditsError, RefusedError.
        """
        data = base64.b64encode(content).decode("ascii")
        body = json.dumps({"file_name": name[-128:], "file_data": data}).encode()
        seconds = GET_SECONDS + len(body) / SLOWEST_UPLINK
        timeout = httpx.Timeout(GET_SECONDS, connect=10.0, write=seconds)
        options = {"content": body, "headers": JSON, "timeout": timeout}
        url = f"{service}/api/ephemeral_resource"
        response = await self._request_free("POST", url, options, turns=self._uploads, seconds=seconds)
        parsed = parse_response(response.text)
        image_url = text_at(parsed.data, "url")
        if response.status == 200 and is_request_url(image_url):
            return image_url
        if 400 <= response.status < 500 and response.status not in RETRIED_STATUSES:
            raise upload_error(response.status, parsed)
        raise _temporary(response, parsed)

    async def _get(self, url: str) -> tuple[Response, ParsedResponse]:
        response = await self._request_free("GET", url, {}, turns=self._polls, seconds=GET_SECONDS)
        parsed = parse_response(response.text)
        forbidden = response.status == 403 and parsed.well_formed and not PLAN.search(parsed.message)
        if (response.status == 401 or parsed.code == 1200 or forbidden) and parsed.task is None:
            raise key_error(parsed.error_words(response.status))
        return response, parsed

    async def _request_free(
        self, method: str, url: str, options: dict[str, Any], *, turns: asyncio.Semaphore, seconds: float
    ) -> Response:
        """Send a free, repeatable request and return its response.

        turns: limits the requests in parallel. seconds: the timeout of the whole exchange, without the wait for a turn.
        Raise TemporaryError.
        """
        try:
            async with turns, asyncio.timeout(seconds):
                return await self._exchange(method, url, bytearray(), options)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise TemporaryError(plain_words(error)) from error

    async def _exchange(self, method: str, url: str, arrived: bytearray, options: dict[str, Any]) -> Response:
        """Send a request and return its response.

        arrived: filled with the body, so that the received part remains available if this is canceled.
        """
        started, fault = time.monotonic(), ""
        if self._trace:
            self._trace(f"> {method} {url}")
            if "content" in options:
                self._trace(f"> {summarize_body(decode_text(options['content']), 2000)}")
        client = self._client(url, keep=method == "GET")
        async with client.stream(method, url, **options) as response:
            try:
                async for piece in decoded_body(response):
                    arrived += piece
                    if len(arrived) > RESPONSE_BYTES:
                        fault = f"larger than {RESPONSE_BYTES // 2**20} MiB"
                        break
            except httpx.DecodingError:
                fault = "unusable content encoding"
            except httpx.HTTPError:  # the status counts even without a body, for example 429
                fault = TRUNCATED
        large = len(arrived) > LARGE_RESPONSE_BYTES
        text = await asyncio.to_thread(self._read, arrived) if large else self._read(arrived)
        if self._trace:
            seconds = time.monotonic() - started
            self._trace(f"< {response.status_code} after {seconds:.3f} s, {len(arrived)} bytes {fault}".rstrip())
            self._trace(f"< {summarize_body(text, 2000)}")
        return Response(response.status_code, response.headers, text, fault)

    def _read(self, content: bytearray) -> str:
        return self._redactor.redact(decode_text(content))


def _temporary(response: Response, parsed: ParsedResponse) -> TemporaryError:
    cut = response.fault == TRUNCATED or (response.text.lstrip().startswith("{") and not parsed.well_formed)
    words = "PiAPI's response was incomplete" if cut else f"PiAPI returned {parsed.words(response.status)}"
    return TemporaryError(words, retry_after(response.headers), UNAVAILABLE_HINT)


def _amount(data: JsonObject) -> Decimal | None:
    value = object_at(data).get("equivalent_in_usd")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
