"""The miniature service as an ASGI application: used in-process through httpx, and over TCP by a server."""

import asyncio
import base64
import hashlib
import json
import random
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from math import inf

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ..config.catalog import Catalog
from ..images.formats import BrokenPictureError, whole_picture
from ..json_value import Json, JsonObject, object_at, text_at
from ..piapi.responses import hide_webhook_secrets
from .breaking import FAULT, Breaking, Faults
from .faults import Fault
from .pictures import Pictures
from .rules import CODES, RefusalError, checked_model, count, without_nulls
from .shapes import capitalised, live_task, refusal, reply, sop_task, success
from .store import CreditsEndedError, Failure, LimitReachedError, Store, StoredTask
from .webhooks import Delivery, Webhooks

RESULT_SECONDS = 7 * 86400.0
"""Links expire after seven days (specification: Output Images)."""
UPLOAD_BYTES = 10 * 10**6
TASK = "flux.task"
"""Where the scope of a request holds the id of the task that it made."""
HISTORY_PAGE = 100


@dataclass(frozen=True)
class Service:
    """The rules of one running miniature.

    speed: how many times faster than documented tasks run.
    plan: decides how many may be unfinished at once.
    credit: USD that the account ever had; None for no end.
    keys: those that are accepted; None accepts any.
    shape: of the replies, one of `shapes.SHAPES`.
    result_seconds: how long the links of a finished task live.
    webhooks: None delivers nothing.
    """

    store: Store
    speed: float = 1.0
    plan: str = "pro"
    credit: Decimal | None = None
    keys: frozenset[str] | None = None
    catalog: Catalog = field(default_factory=lambda: Catalog({}))
    clock: Callable[[], float] = time.time
    shape: str = "sop"
    result_seconds: float = RESULT_SECONDS
    faults: Faults = field(default_factory=Faults)
    webhooks: Webhooks | None = None
    _secrets: dict[str, str] = field(
        default_factory=dict, init=False, repr=False
    )  # of webhooks, by task; in memory only

    @cached_property
    def pictures(self) -> Pictures:
        """The pictures of the tasks."""
        return Pictures(self.store, self.clock)

    def check_key(self, request: Request) -> None:
        """Raises RefusalError (1200) for a missing or unknown key."""
        key = request.headers.get("x-api-key", "")
        if not key or (self.keys is not None and key not in self.keys):
            raise RefusalError(401, 1200, "Authentication failed", "Verify API key is correct")

    # --- tasks -----------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """`POST /api/v1/task`."""
        self.check_key(request)
        body = without_nulls(_json(await request.body()))
        model = checked_model(body, self.catalog, self.plan)
        stored = hide_webhook_secrets(body)
        assert isinstance(stored, dict)
        cost = model.price * count(object_at(stored, "input"))
        task = self._fated(self._planned(stored, cost, model.seconds))
        mode = text_at(stored, "config", "service_mode") or None
        try:
            self.store.add(task, limit=self.catalog.concurrency(self.plan, mode), credit=self.credit)
        except LimitReachedError:
            raise RefusalError(429, 1400, CODES[1400], "too many requests: your plan's tasks are all running") from None
        except CreditsEndedError:
            raise RefusalError(402, 1300, CODES[1300], "Top up account balance") from None
        request.scope[TASK] = task.id
        self._promise_delivery(task, object_at(body, "config", "webhook_config"), request)
        return success(self.view(task, task.created, request))

    def _planned(self, body: JsonObject, cost: Decimal, seconds: tuple[float, float]) -> StoredTask:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        duration = random.Random(digest).uniform(*seconds) / self.speed
        now, name = self.clock(), str(uuid.uuid4())
        return StoredTask(
            name if self.shape == "live" else f"flux_{name}", body, cost, now, now + duration * 0.15, now + duration
        )

    def _fated(self, task: StoredTask) -> StoredTask:
        """The task with what a fault has in store for it."""
        fault = self.faults.draw("task")
        if fault is None:
            return task
        ended = inf if fault.kind == "stuck" else task.ended + fault.delay
        code = 1500 if fault.code is None else fault.code
        failure = Failure("failed", code, fault.message or CODES.get(code, "task failed"))
        return replace(task, ended=ended, failure=failure if fault.kind == "fail" else None)

    def _promise_delivery(self, task: StoredTask, webhook: JsonObject, request: Request) -> None:
        endpoint, secret = text_at(webhook, "endpoint"), text_at(webhook, "secret")
        if not endpoint or self.webhooks is None:
            return
        self._secrets[task.id] = secret
        if task.ended < inf:
            delivery = Delivery(
                task.id, endpoint, secret, lambda: self.view(self.store.find(task.id) or task, self.clock(), request)
            )
            self.webhooks.after(task.ended - self.clock(), delivery)

    async def look(self, request: Request) -> Response:
        """`GET /api/v1/task/{id}`."""
        self.check_key(request)
        task, fault = self._task(request), request.scope.get(FAULT)
        now = self.clock()
        if isinstance(fault, Fault) and fault.kind == "stuck":
            now = min(now, task.started)
        kind = fault.kind if isinstance(fault, Fault) else ""
        view = self.view(task, now, request, pictures=kind != "empty")
        return success(capitalised(view) if kind == "capitals" else view)

    async def cancel(self, request: Request) -> Response:
        """`DELETE /api/v1/task/{id}`: for tasks that are pending (docs/service.md, section 4)."""
        self.check_key(request)
        task = self._task(request)
        if not self.store.cancel(task.id, self.clock()):
            status = task.status(self.clock())
            raise RefusalError(400, 400, f"task is {status}", f"only a pending task can be cancelled; it is {status}")
        return reply({"code": 200, "message": f"task {task.id} canceled"})

    async def history(self, request: Request) -> Response:
        """`GET /api/open/tasks/histories`, newest first; the shape of its reply is documented nowhere."""
        self.check_key(request)
        asked = request.query_params
        page, size = whole(asked.get("page", "1")), whole(asked.get("page_size", "10"))
        if not 1 <= size <= HISTORY_PAGE or page < 1:
            raise RefusalError(400, 400, "invalid page", f"page from 1, page_size 1-{HISTORY_PAGE}")
        since, until = _moment(asked.get("start_time") or "0"), _moment(asked.get("end_time") or "9999-12-31")
        tasks, total = self.store.newest(size, skip=(page - 1) * size, since=since, until=until)
        now = self.clock()
        told: list[Json] = [self.view(task, now, request) for task in tasks]
        return success({"tasks": told, "total": total, "page": page, "page_size": size})

    def _task(self, request: Request) -> StoredTask:
        task = self.store.find(request.path_params["task_id"])
        if task is None:
            raise RefusalError(404, 404, "task not found")
        return task

    def view(self, task: StoredTask, now: float, request: Request, *, pictures: bool = True) -> JsonObject:
        """A task as a reply shows it at `now`; without its pictures when they are not to be listed yet."""
        root = str(request.base_url).rstrip("/")
        urls = [f"{root}/pictures/{name}" for name in self.pictures.names(task)] if pictures else []
        if self.shape == "live":
            return live_task(task, now, urls, secret=self._secrets.get(task.id, ""))
        return sop_task(task, now, urls)

    # --- account and files -----------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        """`GET /account/info` (docs/service.md, section 4)."""
        self.check_key(request)
        left = None if self.credit is None else self.credit - self.store.spent()
        return success(
            {
                "id": 1,
                "name": "sandbox",
                "plan": self.plan,
                "is_enable": True,
                "max_concurrent_task_count": self.catalog.concurrency(self.plan, None),
                "equivalent_in_usd": 1000.0 if left is None else float(left),
            }
        )

    async def picture(self, request: Request) -> Response:
        """`GET /pictures/{id}/{number}.png`."""
        task, number = self._task(request), whole(request.path_params["number"])
        if not self.pictures.has(task, number):
            return PlainTextResponse("not found", 404)
        if self.clock() >= task.ended + self.result_seconds:
            return PlainTextResponse("expired", 403)
        # In a thread: a large one takes seconds, in which others must be answered.
        content = await asyncio.to_thread(self.pictures.content, task, number)
        return Response(content, media_type="image/png")

    async def upload(self, request: Request) -> Response:
        """`POST /api/ephemeral_resource` (docs/service.md, section 4)."""
        self.check_key(request)
        if self.plan == "free":
            return reply({"code": 403, "message": "Insufficient plan level"}, 403)
        body = _json(await request.body())
        name, data = text_at(body, "file_name"), text_at(body, "file_data")
        try:
            content = base64.b64decode(data, validate=True)
            whole_picture(content)
        except (ValueError, BrokenPictureError):
            return reply({"code": 400, "message": "invalid file_data"}, 400)
        extension = name.rpartition(".")[2].lower()
        if not 1 <= len(name) <= 128 or extension not in ("png", "jpg", "jpeg", "webp") or len(content) > UPLOAD_BYTES:
            return reply({"code": 400, "message": "invalid file"}, 400)
        stored = self.store.keep_upload(content, extension)
        root = str(request.base_url).rstrip("/")
        return success({"url": f"{root}/uploads/{stored}"})

    async def uploaded(self, request: Request) -> Response:
        """`GET /uploads/{name}`."""
        name = str(request.path_params["name"])
        content = self.store.upload(name) if re.fullmatch(r"[0-9a-f]+\.[a-z]+", name, re.ASCII) else None
        return Response(content, media_type="image/*") if content else PlainTextResponse("not found", 404)


def create_app(service: Service, more: Sequence[BaseRoute] = ()) -> Starlette:
    """The application that serves `service`, with `more` beside PiAPI's own endpoints."""

    def route(path: str, method: str, target: str, endpoint: Callable[[Request], object]) -> Route:
        breaking = Middleware(Breaking, faults=service.faults, target=target, shape=service.shape)
        return Route(path, endpoint, methods=[method], middleware=[breaking])

    async def refused(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            words = error.detail.lower()
            return refusal(RefusalError(error.status_code, error.status_code, words), service.shape, error.headers)
        if isinstance(error, ClientDisconnect):
            error = RefusalError(400, 400, "request cut short")
        if not isinstance(error, RefusalError):
            error = RefusalError(500, 500, "internal error", "a bug in the sandbox")
        return refusal(error, service.shape)

    routes: list[BaseRoute] = [
        route("/api/v1/task", "POST", "create", service.create),
        route("/api/v1/task/{task_id}", "GET", "get", service.look),
        route("/api/v1/task/{task_id}", "DELETE", "cancel", service.cancel),
        route("/api/open/tasks/histories", "GET", "history", service.history),
        route("/api/ephemeral_resource", "POST", "upload", service.upload),
        route("/account/info", "GET", "account", service.account),
        route("/pictures/{task_id}/{number}.png", "GET", "picture", service.picture),
        Route("/uploads/{name}", service.uploaded, methods=["GET"]),
    ]
    known = (RefusalError, HTTPException, ClientDisconnect, Exception)
    return Starlette(routes=[*routes, *more], exception_handlers=dict.fromkeys(known, refused))


def _json(content: bytes) -> Json:
    try:
        parsed: Json = json.loads(content)
        json.dumps(parsed, allow_nan=False)  # 1e999 and NaN are read, but are no JSON
    except (ValueError, RecursionError):
        raise RefusalError(400, 400, "invalid JSON") from None
    return parsed


def whole(text: str) -> int:
    """A number from 0; -1 for what is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else -1


def _moment(text: str) -> float:
    """Seconds since the epoch, from a number of them or a date. Raises RefusalError."""
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise RefusalError(400, 400, "invalid time", "seconds since the epoch, or 2025-01-31T12:00:00Z") from None
