"""The miniature service as an ASGI application: used in-process through httpx, and over TCP by a server.

Shapes are the specification's (Response Format); a picture is drawn when it is fetched, for it follows from the
request alone.
"""

import base64
import hashlib
import io
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..catalog import Catalog
from ..formats import BrokenPictureError, whole_picture
from ..json_value import Json, JsonObject, number_at, object_at, text_at
from ..replies import redacted
from .drawing.poster import draw
from .render import Renderer, png, preprocessed
from .rules import RefusalError, checked_model, count, lists, side
from .store import CreditsEndedError, LimitReachedError, Store, StoredTask

RESULT_SECONDS = 7 * 86400
"""Links expire after seven days (specification: Output Images)."""
UPLOAD_BYTES = 10 * 10**6
MICRO_USD = 1_000_000
"""The specification's `consume` for a $0.015 picture is 15000."""


@dataclass(frozen=True)
class Service:
    """The rules of one running miniature.

    speed: how many times faster than documented tasks run.
    plan: decides how many may be unfinished at once.
    credit: USD that the account ever had; None for no end.
    keys: those that are accepted; None accepts any.
    """

    store: Store
    speed: float = 1.0
    plan: str = "pro"
    credit: Decimal | None = None
    keys: frozenset[str] | None = None
    catalog: Catalog = field(default_factory=lambda: Catalog({}))
    clock: Callable[[], float] = time.time

    def check_key(self, request: Request) -> None:
        """Raises RefusalError (1200) for a missing or unknown key."""
        key = request.headers.get("x-api-key", "")
        if not key or (self.keys is not None and key not in self.keys):
            raise RefusalError(401, 1200, "Authentication failed", "Verify API key is correct")

    async def create(self, request: Request) -> Response:
        """`POST /api/v1/task`."""
        self.check_key(request)
        body = _json(await request.body())
        model = checked_model(body, self.catalog, self.plan)
        stored = redacted(body)
        assert isinstance(stored, dict)
        cost = model.price * count(object_at(stored, "input"))
        duration = self._duration(model.seconds, stored)
        mode = text_at(stored, "config", "service_mode") or None
        try:
            task = self.store.add(
                stored,
                cost,
                self.clock(),
                duration,
                limit=self.catalog.concurrency(self.plan, mode),
                credit=self.credit,
            )
        except LimitReachedError:
            raise RefusalError(
                429, 1400, "Rate limit exceeded", "too many requests: your plan's tasks are all running"
            ) from None
        except CreditsEndedError:
            raise RefusalError(402, 1300, "Insufficient credits", "Top up account balance") from None
        return _success(self._view(task, request))

    def _duration(self, seconds: tuple[float, float], body: JsonObject) -> float:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        return random.Random(digest).uniform(*seconds) / self.speed

    async def look(self, request: Request) -> Response:
        """`GET /api/v1/task/{id}`."""
        self.check_key(request)
        return _success(self._view(self._task(request), request))

    def _task(self, request: Request) -> StoredTask:
        task = self.store.find(request.path_params["task_id"])
        if task is None:
            raise RefusalError(404, 404, "task not found")
        return task

    async def account(self, request: Request) -> Response:
        """`GET /account/info` (docs/service.md, section 4)."""
        self.check_key(request)
        left = None if self.credit is None else self.credit - self.store.spent()
        return _success(
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
        """`GET /pictures/{id}/{number}.png`: drawn now, the same at every look."""
        task, number = self._task(request), int(request.path_params["number"])
        if self.clock() < task.ended or not 1 <= number <= len(self._names(task)):
            return PlainTextResponse("not found", 404)
        if self.clock() > task.ended + RESULT_SECONDS:
            return PlainTextResponse("expired", 403)
        return Response(png(self._render(task, number)), media_type="image/png")

    def _render(self, task: StoredTask, number: int) -> Image.Image:
        ordered = count(object_at(task.body, "input"))
        if number > ordered:
            return preprocessed(task.body, self._load)[number - ordered - 1]
        return Renderer(task.body, number, self._load).render()

    def _names(self, task: StoredTask) -> list[str]:
        """The task's pictures: those that were ordered, then what was read from control pictures."""
        fields = object_at(task.body, "input")
        controls = lists(fields, "control_net_settings")
        extra = sum(item.get("return_preprocessed_image") is True for item in controls)
        return [f"{task.id}/{number}.png" for number in range(1, count(fields) + extra + 1)]

    def _load(self, address: str) -> Image.Image:
        """The picture at an address: one of ours, or a stand-in, for the miniature fetches nothing from anywhere."""
        path = urlsplit(address).path
        if match := re.fullmatch(r"/pictures/([A-Za-z0-9_-]+)/([0-9]+)\.png", path, re.ASCII):
            task = self.store.find(match[1])
            if task is not None and task.ended <= self.clock() and 1 <= int(match[2]) <= len(self._names(task)):
                return self._render(task, int(match[2]))
        if (match := re.fullmatch(r"/uploads/([0-9a-f]+\.[a-z]+)", path, re.ASCII)) and (
            content := self.store.upload(match[1])
        ):
            return Image.open(io.BytesIO(content))
        return draw(path.rpartition("/")[2] or address, seed=0, width=1024, height=1024, model="picture from elsewhere")

    async def upload(self, request: Request) -> Response:
        """`POST /api/ephemeral_resource` (docs/service.md, section 4)."""
        self.check_key(request)
        if self.plan == "free":
            return JSONResponse({"code": 403, "message": "Insufficient plan level"}, 403)
        body = _json(await request.body())
        name, data = text_at(body, "file_name"), text_at(body, "file_data")
        try:
            content = base64.b64decode(data, validate=True)
            whole_picture(content)
        except (ValueError, BrokenPictureError):
            return JSONResponse({"code": 400, "message": "invalid file_data"}, 400)
        extension = name.rpartition(".")[2].lower()
        if not 1 <= len(name) <= 128 or extension not in ("png", "jpg", "jpeg", "webp") or len(content) > UPLOAD_BYTES:
            return JSONResponse({"code": 400, "message": "invalid file"}, 400)
        stored = self.store.keep_upload(content, extension)
        root = str(request.base_url).rstrip("/")
        return _success({"url": f"{root}/uploads/{stored}"})

    async def uploaded(self, request: Request) -> Response:
        """`GET /uploads/{name}`."""
        name = str(request.path_params["name"])
        content = self.store.upload(name) if re.fullmatch(r"[0-9a-f]+\.[a-z]+", name, re.ASCII) else None
        return Response(content, media_type="image/*") if content else PlainTextResponse("not found", 404)

    def _view(self, task: StoredTask, request: Request) -> JsonObject:
        """A task as the specification shows it (Successful Task Creation, Completed Task Response)."""
        now, fields = self.clock(), object_at(task.body, "input")
        status = task.status(now)
        units = int(task.cost * MICRO_USD)
        meta: JsonObject = {"created_at": _moment(task.created), "usage": {"type": "quota", "consume": units}}
        view: JsonObject = {
            "task_id": task.id,
            "model": task.body["model"],
            "task_type": task.body["task_type"],
            "status": status,
            "input": fields,
            "meta": meta,
        }
        if status != "pending":
            meta["started_at"] = _moment(task.started)
        if status == "completed":
            meta["ended_at"], meta["processing_time"] = _moment(task.ended), round(task.ended - task.started)
            view["output"] = self._output(task, fields, request)
        return view

    def _output(self, task: StoredTask, fields: JsonObject, request: Request) -> JsonObject:
        root = str(request.base_url).rstrip("/")
        urls: list[Json] = [f"{root}/pictures/{name}" for name in self._names(task)]
        output: JsonObject = {
            "image_url": urls[0],
            "width": side(fields, "width"),
            "height": side(fields, "height"),
            "seed": number_at(fields, "seed"),
            "model_version": text_at(task.body, "model").rpartition("/")[2],
        }
        return output | ({"image_urls": urls} if len(urls) > 1 else {})


def create_app(service: Service) -> Starlette:
    """The application that serves `service`."""
    routes = [
        Route("/api/v1/task", service.create, methods=["POST"]),
        Route("/api/v1/task/{task_id}", service.look, methods=["GET"]),
        Route("/api/ephemeral_resource", service.upload, methods=["POST"]),
        Route("/uploads/{name}", service.uploaded, methods=["GET"]),
        Route("/account/info", service.account, methods=["GET"]),
        Route("/pictures/{task_id}/{number:int}.png", service.picture, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={RefusalError: _refused})


async def _refused(_: Request, error: Exception) -> Response:
    """A refusal in the specification's shape (Error Response Example)."""
    assert isinstance(error, RefusalError)
    told: JsonObject = {"code": error.code, "message": error.message, "detail": error.detail}
    return JSONResponse({"code": error.status, "data": {"error": told}, "message": "failed"}, error.status)


def _success(data: JsonObject) -> JSONResponse:
    return JSONResponse({"code": 200, "data": data, "message": "success"})


def _json(content: bytes) -> Json:
    try:
        parsed: Json = json.loads(content)
    except (ValueError, RecursionError):
        raise RefusalError(400, 400, "invalid JSON") from None
    return parsed


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
