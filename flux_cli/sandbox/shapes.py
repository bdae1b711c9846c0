"""Replies in two shapes: the specification's (`sop`), and the live service's (docs/service.md, sections 2 and 3)."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from starlette.responses import Response

from ..json_value import Json, JsonObject, number_at, object_at, text_at
from .rules import RefusalError, side
from .store import StoredTask

SHAPES = ("sop", "live")
SOP_UNITS = 1_000_000
"""The specification's `consume` for a $0.015 picture is 15000."""
LIVE_UNITS = 10_000_000
"""The live service's for a $0.002 picture is 20000."""
NOT_YET = "0001-01-01T00:00:00Z"
LIVE_WORDS = {1300: "failed to freeze point", 1400: "too many requests"}
"""What the live service says where the specification has a code."""
LIVE_INPUT: JsonObject = {"prompt": "", "negative_prompt": "", "width": 0, "height": 0, "steps": 0}
"""The live service shows these also when they were not given."""


def reply(content: JsonObject, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON reply. All ASCII: a prompt may hold what UTF-8 cannot."""
    return Response(json.dumps(content), status, headers, media_type="application/json")


def success(data: JsonObject) -> Response:
    """A reply that holds `data`."""
    return reply({"code": 200, "data": data, "message": "success"})


def refusal(error: RefusalError, shape: str, headers: Mapping[str, str] | None = None) -> Response:
    """The reply for a request that was refused (specification: Error Response Example)."""
    if shape == "live":
        words = LIVE_WORDS.get(error.code, error.detail or error.message)
        return reply({"code": error.status, "message": words}, error.status, headers)
    told: JsonObject = {"code": error.code, "message": error.message, "detail": error.detail}
    return reply({"code": error.status, "data": {"error": told}, "message": "failed"}, error.status, headers)


def sop_task(task: StoredTask, now: float, pictures: list[str]) -> JsonObject:
    """A task as the specification shows it (Successful Task Creation, Completed Task Response).

    pictures: their addresses, for when it is completed.
    """
    status, fields = task.status(now), object_at(task.body, "input")
    meta: JsonObject = {
        "created_at": _moment(task.created),
        "usage": {"type": "quota", "consume": int(task.cost * SOP_UNITS)},
    }
    view: JsonObject = {
        "task_id": task.id,
        "model": task.body["model"],
        "task_type": task.body["task_type"],
        "status": status,
        "input": fields,
        "meta": meta,
    }
    if task.begun(now):
        meta["started_at"] = _moment(task.started)
    if now >= task.ended:
        meta["ended_at"], meta["processing_time"] = _moment(task.ended), max(0, round(task.ended - task.started))
    if status == "completed":
        view["output"] = _sop_output(task, fields, pictures)
    elif now >= task.ended and task.failure:
        view["error"] = {"code": task.failure.code, "message": task.failure.message, "detail": ""}
    return view


def _sop_output(task: StoredTask, fields: JsonObject, pictures: list[str]) -> JsonObject:
    urls: list[Json] = list(pictures)
    output: JsonObject = {
        "image_url": urls[0] if urls else "",
        "width": side(fields, "width"),
        "height": side(fields, "height"),
        "seed": number_at(fields, "seed"),
        "model_version": text_at(task.body, "model").rpartition("/")[2],
    }
    return output | ({"image_urls": urls} if len(urls) > 1 else {})


def live_task(task: StoredTask, now: float, pictures: list[str], *, secret: str = "") -> JsonObject:
    """A task as the live service shows it when it is created: every field there, empty or not.

    secret: the webhook's, which the live service echoes.
    """
    status, ended = task.status(now), now >= task.ended
    units = _units(task.cost)
    failure = task.failure if ended and task.failure else None
    many = len(pictures) > 1
    urls: list[Json] = list(pictures) if many else []
    view: JsonObject = {
        "task_id": task.id,
        "model": task.body["model"],
        "task_type": task.body["task_type"],
        "status": status,
        "config": _live_config(task, secret),
        "input": LIVE_INPUT | object_at(task.body, "input"),
        "output": None,
        "meta": {
            "created_at": _moment(task.created, decimals=9),
            "started_at": _moment(task.started, decimals=9) if task.begun(now) else NOT_YET,
            "ended_at": _moment(task.ended, decimals=9) if ended else NOT_YET,
            "usage": {"type": "quota", "frozen": 0 if ended else units, "consume": units},
            "is_using_private_pool": False,
        },
        "detail": None,
        "logs": [failure.message] if failure else [],
        "error": {
            "code": failure.code if failure else 0,
            "raw_message": failure.message if failure else "",
            "message": failure.message if failure else "",
            "detail": None,
        },
    }
    if status == "completed":
        single = pictures[0] if pictures and not many else ""
        view["output"] = {"image_url": single, "image_urls": urls or None, "image_base64": ""}
    return view


def capitalised(view: JsonObject) -> JsonObject:
    """A task with its status as the live service's documentation writes it, `Completed`; replies seen have none."""
    return {**view, "status": text_at(view, "status").capitalize()}


def _live_config(task: StoredTask, secret: str) -> JsonObject:
    webhook = object_at(task.body, "config", "webhook_config")
    return {"webhook_config": {"endpoint": text_at(webhook, "endpoint"), "secret": secret}}


def _units(cost: Decimal) -> int:
    return int(cost * LIVE_UNITS)


def _moment(seconds: float, decimals: int = 0) -> str:
    if not math.isfinite(seconds):
        return NOT_YET
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{int(seconds % 1 * 10**9):09d}Z" if decimals else f"{text}Z"
