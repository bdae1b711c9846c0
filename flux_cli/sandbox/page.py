"""The sandbox's own endpoints: a page that shows the tasks and their images, and an API for tasks and faults.

They need no key, ignore faults and expiry, and refuse changes from other web sites. The page contains thumbnails of the
newest images, so that the first response is complete.
"""

import asyncio
import base64
import math
from collections.abc import Sequence
from html import escape
from importlib import resources

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at, text_at
from ..text import counted, usd
from .app import Service, whole_number
from .images import IMAGES_PATH
from .responses import success
from .rules import RefusalError
from .store import StoredTask

SHOWN = 60
"""The most tasks on the page."""
INLINE = 12
"""The number of tasks whose images are embedded in the page, enough for a screen. Browsers load the others later."""
TYPES = {"css": "text/css", "js": "text/javascript"}
SAFE = {"content-security-policy": "default-src 'self'; img-src 'self' data:", "x-content-type-options": "nosniff"}


@frozen
class Page:
    """The page and the control endpoints of a sandbox."""

    service: Service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/sandbox/cards", self.page, methods=["GET"]),
            Route("/sandbox/page.{kind}", self.asset, methods=["GET"]),
            Route("/sandbox/tasks", self.tasks, methods=["GET"]),
            Route(f"/sandbox{IMAGES_PATH}/{{task_id}}/{{number}}.png", self.image, methods=["GET"]),
            Route("/sandbox/faults", self.faults, methods=["GET", "POST", "DELETE"]),
        ]

    async def page(self, request: Request) -> Response:
        """Respond to `GET /`, and to `GET /sandbox/cards` (for the page's script) without embedded images."""
        tasks, total = self.service.store.newest(SHOWN)
        inline = INLINE if request.url.path == "/" else 0
        cards = await asyncio.to_thread(
            lambda: [self._card(task, inline=number < inline) for number, task in enumerate(tasks)]
        )
        faults = [
            f"<li>{escape(str(item['fault']))} &times;{item['struck']}</li>" for item in self.service.faults.counts()
        ]
        parts = {"totals": self._totals(tasks, total), "faults": "".join(faults), "tasks": "".join(cards)}
        content = _asset("html").decode()
        for name, part in parts.items():
            content = content.replace(f"<!-- {name} -->", part)  # no part contains such a comment: all text is escaped
        # A prompt may contain a lone surrogate, which UTF-8 cannot encode.
        return HTMLResponse(content.encode("utf-8", "replace"), headers=SAFE)

    def _totals(self, tasks: Sequence[StoredTask], total: int) -> str:
        if not total:
            return "no tasks yet"
        running = sum(self.service.clock() < task.ended for task in tasks)
        return f"{counted(total, 'task')}, {running} running · {usd(self.service.store.spent())} simulated"

    def _card(self, task: StoredTask, *, inline: bool) -> str:
        facts = self._facts(task)
        prompt, status = escape(str(facts["prompt"])), escape(str(facts["status"]))
        state = f"{status} {facts['ends_in']}"
        shown = [facts["model"], facts["task_type"], f"${facts['cost_usd']}"]
        shown += [f"{facts['seconds']} s"] if facts["over"] else []
        images = "".join(
            f'<a href="/sandbox{IMAGES_PATH}/{name}"><img alt="{prompt}" src="{self._source(task, name, inline)}"></a>'
            for name in (self.service.images.names(task) if status == "completed" else [])
        )
        left = facts["ends_in"]
        waiting = facts["error"] or ("" if facts["over"] else "never ends" if left is None else f"{left} s left")
        return (
            f'<article id="task-{task.id}" class="{status}" data-state="{state}"><div class="images">'
            + (images or f'<p class="waiting">{escape(str(waiting))}</p>')
            + f'</div><div class="about"><p class="prompt">{prompt}</p><p class="facts"><span class="status">{status}'
            f'</span> · {escape(" · ".join(map(str, shown)))}</p><p class="id">{task.id}</p></div></article>'
        )

    def _source(self, task: StoredTask, name: str, inline: bool) -> str:
        """Return the URL of an image; a data URI of its thumbnail if `inline`."""
        if not inline:
            return f"/sandbox{IMAGES_PATH}/{name}"
        number = int(name.rpartition("/")[2].removesuffix(".png"))
        return f"data:image/jpeg;base64,{base64.b64encode(self.service.images.thumbnail(task.id, number)).decode()}"

    async def asset(self, request: Request) -> Response:
        """Respond to `GET` of the page's style or script."""
        kind = request.path_params["kind"]
        if kind not in TYPES:
            raise RefusalError(404, 404, "not found")
        return Response(_asset(kind), media_type=TYPES[kind], headers=SAFE)

    async def tasks(self, _: Request) -> Response:
        """Respond to `GET /sandbox/tasks` with the newest tasks, the cost of all tasks, and the faults."""
        tasks, total = self.service.store.newest(SHOWN)
        shown: list[Json] = [self._facts(task) for task in tasks]
        faults: list[Json] = list(self.service.faults.counts())
        spent = f"{self.service.store.spent():f}"
        return success({"tasks": shown, "total": total, "cost_usd": spent, "faults": faults})

    def _facts(self, task: StoredTask) -> JsonObject:
        now = self.service.clock()
        status = task.status(now)
        images: list[Json] = [f"/sandbox{IMAGES_PATH}/{name}" for name in self.service.images.names(task)]
        return {
            "id": task.id,
            "status": status,
            "model": text_at(task.body, "model"),
            "task_type": text_at(task.body, "task_type"),
            "prompt": text_at(object_at(task.body, "input"), "prompt"),
            "cost_usd": f"{task.cost:f}",
            "seconds": round(min(now, task.ended) - task.created, 1),
            "over": now >= task.ended,
            "ends_in": math.ceil(task.ended - now) if now < task.ended < math.inf else None,
            "error": task.failure.message if task.failure and now >= task.ended else None,
            "images": images if status == "completed" else [],
        }

    async def image(self, request: Request) -> Response:
        """Respond to `GET` of an image, even if its URL in the API has expired."""
        task = self.service.store.find(request.path_params["task_id"])
        number = whole_number(request.path_params["number"])
        if task is None or not self.service.images.has(task, number):
            return PlainTextResponse("not found", 404)
        content = await asyncio.to_thread(self.service.images.content, task.id, number)
        return Response(content, media_type="image/png", headers={**SAFE, "cache-control": "max-age=86400, immutable"})

    async def faults(self, request: Request) -> Response:
        """List the faults (`GET`), add those in the body, one per line (`POST`), or remove all of them (`DELETE`)."""
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
        active: list[Json] = list(self.service.faults.counts())
        return success({"faults": active})


def _asset(kind: str) -> bytes:
    return resources.files(__package__).joinpath(f"page.{kind}").read_bytes()


def _check_origin(request: Request) -> None:
    """Raise RefusalError for a request from a page of another site, by the `Origin` header that browsers send."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise RefusalError(403, 403, "request from another site")
