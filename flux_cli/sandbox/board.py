"""The miniature's own endpoints: a page that shows the tasks, and the faults to be looked at and changed.

They ask for no key, stand aside of faults and expiry, and take no change from another web site.
"""

import asyncio
import math
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import UsageError
from ..json_value import Json, JsonObject, object_at, text_at
from .app import Service, whole
from .rules import RefusalError
from .shapes import success
from .store import StoredTask

SHOWN = 60
"""Tasks on the page."""
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
SAFE = {"content-security-policy": "default-src 'self'; img-src 'self' data:", "x-content-type-options": "nosniff"}


@dataclass(frozen=True)
class Board:
    """Shows and steers one service."""

    service: Service

    def routes(self) -> list[BaseRoute]:
        """The endpoints."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/sandbox/board.{kind}", self.page, methods=["GET"]),
            Route("/sandbox/tasks", self.tasks, methods=["GET"]),
            Route("/sandbox/pictures/{task_id}/{number}.png", self.picture, methods=["GET"]),
            Route("/sandbox/faults", self.faults, methods=["GET", "POST", "DELETE"]),
        ]

    async def page(self, request: Request) -> Response:
        """`GET /`, and its style and script."""
        kind = request.path_params.get("kind", "html")
        if kind not in TYPES:
            raise RefusalError(404, 404, "not found")
        content = resources.files(__package__).joinpath(f"board.{kind}").read_bytes()
        return Response(content, media_type=TYPES[kind], headers=SAFE)

    async def tasks(self, _: Request) -> Response:
        """`GET /sandbox/tasks`: the newest tasks, what all cost, and the faults."""
        tasks, total = self.service.store.newest(SHOWN)
        shown: list[Json] = [self._shown(task) for task in tasks]
        faults: list[Json] = list(self.service.faults.told())
        spent = f"{self.service.store.spent():f}"
        return success({"tasks": shown, "total": total, "cost_usd": spent, "faults": faults})

    def _shown(self, task: StoredTask) -> JsonObject:
        now = self.service.clock()
        status = task.status(now)
        pictures: list[Json] = [f"/sandbox/pictures/{name}" for name in self.service.pictures.names(task)]
        return {
            "id": task.id,
            "status": status,
            "model": text_at(task.body, "model"),
            "task_type": text_at(task.body, "task_type"),
            "prompt": text_at(object_at(task.body, "input"), "prompt"),
            "cost_usd": f"{task.cost:f}",
            "seconds": round(min(now, task.ended) - task.created, 1),
            "over": now >= task.ended,
            "ends_in": round(task.ended - now, 1) if now < task.ended < math.inf else None,
            "error": task.failure.message if task.failure and now >= task.ended else None,
            "pictures": pictures if status == "completed" else [],
        }

    async def picture(self, request: Request) -> Response:
        """`GET /sandbox/pictures/{id}/{number}.png`: also when its link has expired."""
        task, number = self.service.store.find(request.path_params["task_id"]), whole(request.path_params["number"])
        if task is None or not self.service.pictures.has(task, number):
            return PlainTextResponse("not found", 404)
        content = await asyncio.to_thread(self.service.pictures.content, task, number)
        return Response(content, media_type="image/png", headers={**SAFE, "cache-control": "max-age=86400, immutable"})

    async def faults(self, request: Request) -> Response:
        """`GET` tells the faults, `POST` adds those in the body, one a line, `DELETE` switches all of them off."""
        if request.method != "GET":
            _check_origin(request)
        try:
            if request.method == "POST":
                lines = (await request.body()).decode("utf-8", "replace").split("\n")
                self.service.faults.add(line for line in lines if line.strip())
            elif request.method == "DELETE":
                self.service.faults.clear()
        except UsageError as error:
            raise RefusalError(400, 400, error.message, error.hint or "") from None
        told: list[Json] = list(self.service.faults.told())
        return success({"faults": told})


def _check_origin(request: Request) -> None:
    """A page of another site can send a request here; a browser says from where it comes. Raises RefusalError."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise RefusalError(403, 403, "not from another site")
