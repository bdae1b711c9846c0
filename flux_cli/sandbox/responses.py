"""The sandbox's responses, in the form of the specification (`spec`) or of the live API (`live`).

Sources: the specification (Response Format, Error Response Example) and docs/internals/service.md, sections 2 to 4.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from starlette.responses import Response

from ..json_value import Json, JsonObject, number_at, object_at, text_at
from .rules import RefusalError, side
from .store import Failure, StoredTask

REPLIES = ("spec", "live")
SPEC_UNITS = 1_000_000
"""Units of `consume` per USD in the specification: 15000 for an image at $0.015."""
LIVE_UNITS = 10_000_000
"""Units of `consume` per USD in the live API: 20000 for an image at $0.002."""
NOT_YET = "0001-01-01T00:00:00Z"
LIVE_MESSAGES = {1300: "failed to freeze point", 1400: "too many requests"}
"""The live API's messages for error codes of the specification."""
LIVE_INPUT: JsonObject = {"prompt": "", "negative_prompt": "", "width": 0, "height": 0, "steps": 0}
"""Fields that the live API returns even if they were not sent."""


def json_response(content: JsonObject, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response in ASCII, because a prompt may contain lone surrogates, which UTF-8 cannot encode."""
    return Response(json.dumps(content), status, headers, media_type="application/json")


def success(data: JsonObject) -> Response:
    return json_response({"code": 200, "data": data, "message": "success"})


def refusal(error: RefusalError, replies: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response to a refused request."""
    if replies == "live":
        message = f"{error.message}: {error.detail}" if error.detail else error.message
        content: JsonObject = {"code": error.status, "message": LIVE_MESSAGES.get(error.code, message)}
    else:
        problem: JsonObject = {"code": error.code, "message": error.message, "detail": error.detail}
        content = {"code": error.status, "data": {"error": problem}, "message": "failed"}
    return json_response(content, error.status, headers)


def image_response(content: bytes, media_type: str, requested: str | None) -> Response:
    """Return an image, or the bytes of it that a `Range` header requests (RFC 9110, section 14).

    For an invalid header, or one with several ranges, return the whole image, as the standard allows.
    """
    headers, size = {"accept-ranges": "bytes"}, len(content)
    match = re.fullmatch(r"bytes=([0-9]{0,15})-([0-9]{0,15})", requested or "", re.ASCII)
    first, last = match.groups() if match else ("", "")
    if not first + last or (first and last and int(last) < int(first)):
        return Response(content, media_type=media_type, headers=headers)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {start}-{end}/{size}"
    return Response(content[start : end + 1], 206, headers, media_type)


def spec_task(task: StoredTask, now: float, images: Sequence[str]) -> JsonObject:
    """Return a task in the form of the specification.

    images: the URLs of its images, which are listed once it is completed.
    """
    status, fields = task.status(now), object_at(task.body, "input")
    meta: JsonObject = {
        "created_at": _timestamp(task.created),
        "usage": {"type": "quota", "consume": int(task.cost * SPEC_UNITS)},
    }
    view: JsonObject = {**_summary(task, status), "input": fields, "meta": meta}
    if task.begun(now):
        meta["started_at"] = _timestamp(task.started)
    if now >= task.ended:
        meta["ended_at"], meta["processing_time"] = _timestamp(task.ended), max(0, round(task.ended - task.started))
    if status == "completed":
        view["output"] = _spec_output(task, fields, images)
    elif now >= task.ended and task.failure:
        view["error"] = {"code": task.failure.code, "message": task.failure.message, "detail": ""}
    return view


def _summary(task: StoredTask, status: str) -> JsonObject:
    return {"task_id": task.id, "model": task.body["model"], "task_type": task.body["task_type"], "status": status}


def _spec_output(task: StoredTask, fields: JsonObject, images: Sequence[str]) -> JsonObject:
    urls: list[Json] = list(images)
    output: JsonObject = {
        "image_url": urls[0] if urls else "",
        "width": side(fields, "width"),
        "height": side(fields, "height"),
        "seed": number_at(fields, "seed"),
        "model_version": text_at(task.body, "model").rpartition("/")[2],
    }
    return output | ({"image_urls": urls} if len(urls) > 1 else {})


def live_task(task: StoredTask, now: float, images: Sequence[str], *, secret: str = "") -> JsonObject:
    """Return a task in the form of the live API, which includes empty fields.

    secret: the webhook secret, which the live API repeats.
    """
    status, ended, units = task.status(now), now >= task.ended, int(task.cost * LIVE_UNITS)
    failure = task.failure if ended and task.failure else Failure("", 0, "")
    many: list[Json] = list(images) if len(images) > 1 else []
    webhook: JsonObject = {"endpoint": text_at(task.body, "config", "webhook_config", "endpoint"), "secret": secret}
    view: JsonObject = {
        **_summary(task, status),
        "config": {"webhook_config": webhook},
        "input": LIVE_INPUT | object_at(task.body, "input"),
        "output": None,
        "meta": {
            "created_at": _timestamp(task.created, decimals=9),
            "started_at": _timestamp(task.started, decimals=9) if task.begun(now) else NOT_YET,
            "ended_at": _timestamp(task.ended, decimals=9) if ended else NOT_YET,
            "usage": {"type": "quota", "frozen": 0 if ended else units, "consume": units},
            "is_using_private_pool": False,
        },
        "detail": None,
        "logs": [failure.message] if failure.word else [],
        "error": {
            "code": failure.code,
            "raw_message": failure.message,
            "message": failure.message,
            "detail": None,
        },
    }
    if status == "completed":
        single = images[0] if len(images) == 1 else ""
        view["output"] = {"image_url": single, "image_urls": many or None, "image_base64": ""}
    return view


def account_info(plan: str, concurrency: int, balance: Decimal | None) -> JsonObject:
    """Return the data of `GET /account/info`. balance: USD; None for an unlimited one."""
    return {
        "id": 1,
        "name": "sandbox",
        "plan": plan,
        "is_enable": True,
        "max_concurrent_task_count": concurrency,
        "equivalent_in_usd": 1000.0 if balance is None else float(balance),
    }


def active_tasks(tasks: Sequence[StoredTask], now: float) -> JsonObject:
    """Return the data of `GET /account/active_tasks`: the unfinished tasks, and their number by status."""
    words = [task.status(now) for task in tasks]
    shown: list[Json] = [_summary(task, word) for task, word in zip(tasks, words, strict=True)]
    counts: JsonObject = {f"{word}_count": words.count(word) for word in ("staged", "pending", "processing")}
    return {"flux": {**counts, "active_tasks": shown}}


def _timestamp(seconds: float, decimals: int = 0) -> str:
    if not math.isfinite(seconds):
        return NOT_YET
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{int(seconds % 1 * 10**9):09d}Z" if decimals else f"{text}Z"
