"""PiAPI's endpoints, one method each. The only module that can POST a task, and it never repeats one by itself:
it says what became of the one it sent (`fate`), and the engine decides.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
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
from .errors import Answer, NoSuchTaskError, PassingTroubleError, answered, key_refused, lost, upload_refused, words_of
from .http_errors import Response, environment_settings, in_time, plain_words, retry_after, server_clock
from .network import USER_AGENT, reaching
from .responses import Reply, read_reply, seen_task_id, told, without_secrets
from .task import Task

REPLY_BYTES = 32 * 2**20
"""No reply of the API is larger; inline pictures are base64."""
POST_SECONDS = 120.0
GET_SECONDS = 60.0
SECRET_LENGTH = 12
SLOWEST_UPLINK = 25_000.0
"""Bytes a second that an upload may be as slow as."""
JSON = {"Content-Type": "application/json"}
RETRIED_STATUSES = frozenset({408, 425, 429})


@frozen
class Account:
    """What the service says of the key's account; None where it says nothing.

    clock: the time it gave its answer by its own clock, seconds since the epoch.
    """

    plan: str | None
    balance: Decimal | None
    concurrency: int | None
    clock: float | None = None


class PiAPIClient:
    """Talks to one base URL with one key.

    secrets: what must not leave this object in a reply, the key among them: a server may echo it.
    transport: None for the network, or the in-process sandbox.
    trace: called with a line for every request and response (`--debug`).
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
        # A short one is no real key, and may be a part of a word in an honest reply.
        self._secrets = [secret for secret in {key, *secrets} if len(secret) >= SECRET_LENGTH]
        self._in_process = transport is not None
        parts = urlsplit(base_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._trace = trace
        self._transport = transport
        self._headers = {"X-API-Key": key, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        # `create` has a time-out of its own. One POST a connection: see `network.Connections`.
        self._posts = self._client(is_local(base_url), most=sys.maxsize, idle_seconds=0.0, read=None)
        self._gets: dict[bool, httpx.AsyncClient] = {}
        self._free_client(base_url)

    def _client(self, local: bool, *, most: int, idle_seconds: float, read: float | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(30.0, connect=10.0, read=read),
            follow_redirects=False,
            **reaching(self._transport, local=local, most=most, idle_seconds=idle_seconds),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._posts.aclose()
        for client in self._gets.values():
            await client.aclose()

    def _free_client(self, url: str) -> httpx.AsyncClient:
        """The client for requests that cost nothing: one for this machine, one for the rest of the world.

        A proxy cannot reach the loopback of this machine, and must not see what is said there.
        """
        local = is_local(url)
        if local not in self._gets:
            with environment_settings():
                # Keep-alive must outlive the time between two looks.
                self._gets[local] = self._client(local, most=16, idle_seconds=60.0, read=30.0)
        return self._gets[local]

    async def create(self, body: bytes) -> Answer:
        """`POST /task`, once (specification: Create Image Task). Never raises for what the server or network does."""
        departed, arrived = False, bytearray()

        async def watch(event: str, info: dict[str, Any]) -> None:
            nonlocal departed
            request = info.get("request")
            # A proxy's CONNECT passes the same trace, and carries nothing of ours.
            if event.endswith("send_request_headers.started") and getattr(request, "method", b"") != b"CONNECT":
                departed = True

        try:
            url, options = f"{self._base}/task", {"content": body, "headers": JSON, "extensions": {"trace": watch}}
            response = await in_time(self._exchange(self._posts, "POST", url, arrived, **options), POST_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            # In-process there is no trace to tell, and nothing that fails before it is sent.
            seen_id = seen_task_id(without_secrets(arrived, self._secrets))
            return lost(error, sent=departed or self._in_process, seen_id=seen_id)
        return answered(response)

    async def look(self, task_id: str) -> Task:
        """`GET /task/{id}`: the task now.

        Raises PassingTroubleError, NoSuchTaskError, KeyRefusedError.
        """
        response, reply = await self._get(f"{self._base}/task/{task_id}")
        if reply.task is not None:
            if reply.task.id == task_id:
                return reply.task
            raise PassingTroubleError("the service answered about another task")
        missing = response.status in (400, 404, 410, 422) or (response.status < 300 and reply.code in (400, 404))
        if missing and reply.well_formed:  # a gateway's page says nothing about the task
            raise NoSuchTaskError(reply.message or "task not found")
        raise PassingTroubleError(words_of(response.status, reply), retry_after(response.headers))

    async def account(self) -> Account:
        """`GET /account/info` at the origin (docs/service.md, section 4).

        Raises KeyRefusedError, and NetworkError when there is no usable answer.
        """
        try:
            response, reply = await self._get(f"{self._origin}/account/info")
        except PassingTroubleError as trouble:
            raise NetworkError(f"the service could not be asked: {trouble.message}") from trouble
        if response.status != 200 or not reply.well_formed:
            raise NetworkError(f"the service could not be asked: {words_of(response.status, reply)}")
        return Account(
            plan=clean(text_at(reply.data, "plan"), 40).casefold() or None,
            balance=_amount(reply.data),
            concurrency=number_at(reply.data, "max_concurrent_task_count"),
            clock=server_clock(response.headers),
        )

    async def upload(self, service: str, name: str, content: bytes) -> str:
        """The address of a picture that was uploaded (docs/service.md, section 4). It costs nothing.

        service: the upload service's origin; name: a file name with its extension.
        Raises PassingTroubleError, KeyRefusedError, RefusedError.
        """
        data = base64.b64encode(content).decode("ascii")
        body = json.dumps({"file_name": name[-128:], "file_data": data}).encode()
        seconds = GET_SECONDS + len(body) / SLOWEST_UPLINK
        patience = httpx.Timeout(GET_SECONDS, connect=10.0, write=seconds)
        url = f"{service}/api/ephemeral_resource"
        response = await self._free("POST", url, seconds, content=body, headers=JSON, timeout=patience)
        reply = read_reply(response.content)
        address = text_at(reply.data, "url")
        if response.status == 200 and is_request_url(address):
            return address
        if 400 <= response.status < 500 and response.status not in RETRIED_STATUSES:
            raise upload_refused(response.status, reply)
        raise PassingTroubleError(words_of(response.status, reply), retry_after(response.headers))

    async def _get(self, url: str) -> tuple[Response, Reply]:
        response = await self._free("GET", url, GET_SECONDS)
        reply = read_reply(response.content)
        refused = response.status == 401 or (response.status == 403 and reply.well_formed) or reply.code == 1200
        if refused and reply.task is None:
            raise key_refused(words_of(response.status, reply), money="")
        return response, reply

    async def _free(self, method: str, url: str, seconds: float, **options: Any) -> Response:
        """A request that costs nothing and may be repeated; it may take so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(self._free_client(url), method, url, bytearray(), **options)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise PassingTroubleError(plain_words(error)) from error

    async def _exchange(
        self, client: httpx.AsyncClient, method: str, url: str, arrived: bytearray, **options: Any
    ) -> Response:
        """A request and its response. `arrived` is filled with the body, and keeps what came when this is cut off."""
        started = time.monotonic()
        self._say(f"> {method} {url}")
        if self._trace and "content" in options:
            self._say(f"> {told(options['content'], 2000)}")
        async with client.stream(method, url, **options) as response:
            complete = True
            try:
                async for chunk in response.aiter_bytes():
                    arrived += chunk
                    if len(arrived) > REPLY_BYTES:
                        complete = False
                        break
            except httpx.HTTPError as error:
                # A head without its body still tells something: 429 is 429.
                self._say(f"< the body ended early: {plain_words(error)}")
                complete = False
        body = without_secrets(arrived, self._secrets)
        if self._trace:
            self._say(f"< {response.status_code} after {time.monotonic() - started:.3f} s, {len(arrived)} bytes")
            self._say(f"< {told(body, 2000)}")
        return Response(response.status_code, response.headers, body, complete)

    def _say(self, line: str) -> None:
        if self._trace:
            self._trace(line)


def _amount(data: JsonObject) -> Decimal | None:
    value = object_at(data).get("equivalent_in_usd")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
