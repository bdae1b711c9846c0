"""PiAPI's endpoints as an ASGI application. `--sandbox` calls it in-process, `flux sandbox` serves it over TCP."""

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
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from math import inf

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ..config.catalog import Catalog
from ..images.formats import BrokenImageError, inspect_image
from ..json_value import Json, JsonObject, object_at, text_at
from ..piapi.responses import hide_webhook_secrets
from . import responses
from .faults import Fault, Faults
from .images import IMAGES_PATH, Images
from .middleware import FAULT, TASK, FaultInjection
from .responses import image_response, json_response, refusal, success
from .rules import CODES, RefusalError, check_request, count, without_nulls
from .store import Failure, Store, StoredTask
from .webhook_sender import Delivery, WebhookSender

RESULT_SECONDS = 7 * 86400.0
"""URLs expire after seven days (specification: Output Images)."""
UPLOAD_BYTES = 10 * 10**6
UPLOAD_PIXELS = 64 * 10**6
"""Pixels. A larger image would take too much memory to decode."""
EXTENSIONS = ("png", "jpg", "jpeg", "webp")
HISTORY_PAGE = 100
LOCAL_PAGES = r"https?://(localhost|([a-z0-9-]+\.)+localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?"
"""Origins on this machine. Only their pages may call the API from a browser."""


@dataclass(frozen=True)
class Service:
    """A running sandbox: its state, its rules, and one method per endpoint.

    speed: the factor by which tasks run faster than documented.
    plan: determines the limit of unfinished tasks and the allowed operations.
    credit: all USD that were ever paid into the account; None for an unlimited balance.
    keys: the accepted keys; None for any.
    replies: the form of the responses, one of `responses.REPLIES`.
    result_seconds: how long the URLs of a finished task are valid.
    webhooks: the sender; None to send none.
    _secrets: the webhook secrets by task, which are not stored.
    """

    store: Store
    speed: float = 1.0
    plan: str = "pro"
    credit: Decimal | None = None
    keys: frozenset[str] | None = None
    catalog: Catalog = field(default_factory=lambda: Catalog({}))
    clock: Callable[[], float] = time.time
    replies: str = "spec"
    result_seconds: float = RESULT_SECONDS
    faults: Faults = field(default_factory=Faults)
    webhooks: WebhookSender | None = None
    _secrets: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def images(self) -> Images:
        return Images(self.store, self.clock)

    def check_key(self, request: Request) -> None:
        """Raise RefusalError (1200) for a missing or unknown key."""
        key = request.headers.get("x-api-key", "")
        if not key or (self.keys is not None and key not in self.keys):
            raise RefusalError(401, 1200, CODES[1200], "Verify API key is correct")

    # --- tasks -----------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """Respond to `POST /api/v1/task`."""
        self.check_key(request)
        body = without_nulls(_json(await request.body()))
        model = check_request(body, self.catalog, self.plan, live=self.replies == "live")
        stored = hide_webhook_secrets(body)
        assert isinstance(stored, dict)
        cost = model.price * count(object_at(stored, "input"))
        task = self._with_fault(self._planned(stored, cost, model.seconds))
        mode = text_at(stored, "config", "service_mode") or None
        self.store.add(task, limit=self.catalog.concurrency(self.plan, mode), credit=self.credit)
        request.scope[TASK] = task.id
        self._plan_delivery(task, object_at(body, "config", "webhook_config"), request)
        return success(self.view(task, task.created, request))

    def _planned(self, body: JsonObject, cost: Decimal, seconds: tuple[float, float]) -> StoredTask:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        duration = random.Random(digest).uniform(*seconds) / self.speed
        now, name = self.clock(), str(uuid.uuid4())
        task_id = name if self.replies == "live" else f"flux_{name}"
        return StoredTask(task_id, body, cost, now, now + duration * 0.15, now + duration)

    def _with_fault(self, task: StoredTask) -> StoredTask:
        """Return the task with the end that a fault specifies, if one applies."""
        fault = self.faults.draw("task")
        if fault is None:
            return task
        ended = inf if fault.kind == "stuck" else task.ended + fault.delay
        code = 1500 if fault.code is None else fault.code
        failure = Failure("failed", code, fault.message or CODES.get(code, "task failed"))
        return replace(task, ended=ended, failure=failure if fault.kind == "fail" else None)

    def _plan_delivery(self, task: StoredTask, webhook: JsonObject, request: Request) -> None:
        endpoint, secret = text_at(webhook, "endpoint"), text_at(webhook, "secret")
        if not endpoint or self.webhooks is None:
            return
        self._secrets[task.id] = secret
        if task.ended < inf:
            delivery = Delivery(
                task.id, endpoint, secret, lambda: self.view(self.store.find(task.id) or task, self.clock(), request)
            )
            self.webhooks.send_after(task.ended - self.clock(), delivery)

    async def get(self, request: Request) -> Response:
        """Respond to `GET /api/v1/task/{id}`."""
        self.check_key(request)
        task, fault, now = self._task(request), request.scope.get(FAULT), self.clock()
        kind = fault.kind if isinstance(fault, Fault) else ""
        view = self.view(task, min(now, task.started) if kind == "stuck" else now, request, images=kind != "empty")
        if kind == "capitals":  # as in the specification; the live API uses lower case
            view["status"] = text_at(view, "status").capitalize()
        return success(view)

    async def cancel(self, request: Request) -> Response:
        """Respond to `DELETE /api/v1/task/{id}`, for tasks that are pending (docs/internals/service.md, section 4)."""
        self.check_key(request)
        task = self._task(request)
        if not self.store.cancel(task.id, self.clock()):
            status = task.status(self.clock())
            raise RefusalError(400, 400, f"task is {status}", "only a pending task can be canceled")
        return json_response({"code": 200, "message": f"task {task.id} canceled"})

    async def history(self, request: Request) -> Response:
        """Respond to `GET /api/open/tasks/histories`, newest first; the form of PiAPI's response is not documented."""
        self.check_key(request)
        query = request.query_params
        page, size = whole_number(query.get("page", "1")), whole_number(query.get("page_size", "10"))
        if not 1 <= size <= HISTORY_PAGE or page < 1:
            raise RefusalError(400, 400, "invalid page", f"page from 1, page_size 1-{HISTORY_PAGE}")
        since, until = _time(query.get("start_time"), -inf), _time(query.get("end_time"), inf)
        tasks, total = self.store.newest(size, skip=(page - 1) * size, since=since, until=until)
        now = self.clock()
        views: list[Json] = [self.view(task, now, request) for task in tasks]
        return success({"tasks": views, "total": total, "page": page, "page_size": size})

    def _task(self, request: Request) -> StoredTask:
        task = self.store.find(request.path_params["task_id"])
        if task is None:
            raise RefusalError(404, 404, "task not found")
        return task

    def view(self, task: StoredTask, now: float, request: Request, *, images: bool = True) -> JsonObject:
        """Return a task as a response shows it at `now`. images: whether its images are listed."""
        root = str(request.base_url).rstrip("/")
        urls = [f"{root}{IMAGES_PATH}/{name}" for name in self.images.names(task)] if images else []
        if self.replies == "live":
            return responses.live_task(task, now, urls, secret=self._secrets.get(task.id, ""))
        return responses.spec_task(task, now, urls)

    # --- account and files -----------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        """Respond to `GET /account/info`."""
        self.check_key(request)
        balance = None if self.credit is None else self.credit - self.store.spent()
        return success(responses.account_info(self.plan, self.catalog.concurrency(self.plan, None), balance))

    async def active(self, request: Request) -> Response:
        """Respond to `GET /account/active_tasks`."""
        self.check_key(request)
        now = self.clock()
        return success(responses.active_tasks(self.store.active(now), now))

    async def image(self, request: Request) -> Response:
        """Respond to `GET` of an image of a task."""
        task, number = self._task(request), whole_number(request.path_params["number"])
        if not self.images.has(task, number):
            return PlainTextResponse("not found", 404)
        if self.clock() >= task.ended + self.result_seconds:
            return PlainTextResponse("expired", 403)
        # In a thread, because a large one takes a second, and other requests must not wait.
        content = await asyncio.to_thread(self.images.content, task.id, number)
        return image_response(content, "image/png", request.headers.get("range"))

    async def upload(self, request: Request) -> Response:
        """Respond to `POST /api/ephemeral_resource` (docs/internals/service.md, section 4)."""
        self.check_key(request)
        if self.plan == "free":
            return json_response({"code": 403, "message": "Insufficient plan level"}, 403)
        body = _json(await request.body())
        name, data = text_at(body, "file_name"), text_at(body, "file_data")
        extension = name.rpartition(".")[2].lower()
        try:
            # Data URIs and base64 with line breaks are accepted too.
            content = base64.b64decode("".join(re.sub(r"^data:[^,]*;base64,", "", data).split()), validate=True)
            image = inspect_image(content)
        except (ValueError, BrokenImageError):
            return json_response({"code": 400, "message": "invalid file_data"}, 400)
        too_large = len(content) > UPLOAD_BYTES or image.width * image.height > UPLOAD_PIXELS
        if not 1 <= len(name) <= 128 or extension not in EXTENSIONS or too_large:
            return json_response({"code": 400, "message": "invalid file"}, 400)
        root = str(request.base_url).rstrip("/")
        return success({"url": f"{root}/uploads/{self.store.keep_upload(content, extension)}"})

    async def uploaded(self, request: Request) -> Response:
        """Respond to `GET` of an uploaded image."""
        name = str(request.path_params["name"])
        content = self.store.upload(name) if re.fullmatch(r"[0-9a-f]+\.[a-z]+", name, re.ASCII) else None
        if content is None:
            return PlainTextResponse("not found", 404)
        kind = name.rpartition(".")[2].replace("jpg", "jpeg")
        return image_response(content, f"image/{kind}", request.headers.get("range"))


def create_app(service: Service, more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the application that serves `service`. more: endpoints besides PiAPI's own."""

    def route(path: str, method: str, target: str, endpoint: Callable[[Request], object]) -> Route:
        injection = Middleware(FaultInjection, faults=service.faults, target=target, replies=service.replies)
        return Route(path, endpoint, methods=[method], middleware=[injection])

    async def refuse(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            message = error.detail.lower()
            return refusal(RefusalError(error.status_code, error.status_code, message), service.replies, error.headers)
        if isinstance(error, ClientDisconnect):
            error = RefusalError(400, 400, "the request was truncated")
        if not isinstance(error, RefusalError):
            error = RefusalError(500, 500, "internal error", "a bug in the sandbox")
        return refusal(error, service.replies)

    routes: list[BaseRoute] = [
        route("/api/v1/task", "POST", "create", service.create),
        route("/api/v1/task/{task_id}", "GET", "get", service.get),
        route("/api/v1/task/{task_id}", "DELETE", "cancel", service.cancel),
        route("/api/open/tasks/histories", "GET", "history", service.history),
        route("/api/ephemeral_resource", "POST", "upload", service.upload),
        route("/account/info", "GET", "account", service.account),
        route("/account/active_tasks", "GET", "account", service.active),
        route(f"{IMAGES_PATH}/{{task_id}}/{{number}}.png", "GET", "image", service.image),
        Route("/uploads/{name}", service.uploaded, methods=["GET"]),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origin_regex=LOCAL_PAGES,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["*"],
    )
    known = (RefusalError, HTTPException, ClientDisconnect, Exception)
    return Starlette(routes=[*routes, *more], middleware=[cors], exception_handlers=dict.fromkeys(known, refuse))


def _json(content: bytes) -> Json:
    try:
        parsed: Json = json.loads(content)
        json.dumps(parsed, allow_nan=False)  # raises for NaN and 1e999, which Python accepts although they are not JSON
    except (ValueError, RecursionError):
        raise RefusalError(400, 400, "invalid JSON") from None
    return parsed


def whole_number(text: str) -> int:
    """Return a text as a whole number, 0 or more; -1 if it is not one."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else -1


def _time(text: str | None, default: float) -> float:
    """Return seconds since the epoch from such a number or from a date (UTC without a zone). Raise RefusalError."""
    if not text:
        return default
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        # A zone is added because without one Python asks the operating system, whose calendar may end before the date.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise RefusalError(400, 400, "invalid time", "seconds since the epoch, or 2025-01-31T12:00:00Z") from None
