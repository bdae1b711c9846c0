"""PiAPI's replies as values of ours.

Reading is tolerant: the specification and the live service differ (docs/service.md, section 2), and whatever is not
as expected reads as absent.
"""

import contextlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ..frozen import frozen
from ..json_value import Json, JsonObject, number_at, object_at, strings_in, text_at
from ..text import clean
from .task import Task, TaskError, TaskStatus, is_task_id


@frozen
class Reply:
    """What a reply of the API says.

    well_formed: it is a JSON object.
    code: PiAPI's error code (1100-1800 and others), else the envelope's `code`; None when there is neither.
    message: the service's own words, one clean line; may be empty.
    task: the task that the reply holds, if it holds one with a usable id.
    """

    well_formed: bool
    code: int | None
    message: str
    task: Task | None
    data: JsonObject


def read_reply(content: bytes) -> Reply:
    """The reply in a response's body, whatever the body is."""
    try:
        parsed: Json = json.loads(content)
    except (ValueError, RecursionError):
        text = "" if content.lstrip()[:1] == b"<" else content[:2000].decode("utf-8", "replace")
        return Reply(False, None, clean(text), None, {})
    data = object_at(parsed, "data")
    codes = (number_at(parsed, "data", "error", "code"), number_at(parsed, "error", "code"), number_at(parsed, "code"))
    return Reply(
        well_formed=isinstance(parsed, dict),
        code=next((code for code in codes if code), None),
        message=clean(_refusal_text(parsed)),
        task=read_task(data),
        data=data,
    )


def _refusal_text(parsed: Json) -> str:
    for error in (object_at(parsed, "data", "error"), object_at(parsed, "error")):
        message, detail = _error_text(error), text_at(error, "detail")
        if message:
            return f"{message}: {detail}" if detail and detail not in message else message
    return text_at(parsed, "error") or text_at(parsed, "message") or text_at(parsed, "detail")


def _error_text(error: JsonObject) -> str:
    return text_at(error, "message") or text_at(error, "raw_message")


def read_task(data: JsonObject) -> Task | None:
    """The task that a reply's or a webhook's `data` describes; None when it has no usable id."""
    task_id = data.get("task_id")
    if not isinstance(task_id, str) or not is_task_id(task_id):
        return None
    status = TaskStatus.parse(clean(text_at(data, "status"), 40))  # it is stored before anything else happens
    output = data.get("output")
    urls = tuple(dict.fromkeys(text.strip() for text in strings_in(output) if _is_url(text)))
    inline = [text for name in ("image_base64", "images_base64") for text in strings_in(object_at(output).get(name))]
    return Task(
        id=task_id,
        status=status,
        urls=urls,
        inline=tuple(text for text in inline if text) if not urls else (),
        error=_task_error(data) if status.word and status.phase.value == "failed" else None,
        model=text_at(data, "model") or None,
        task_type=text_at(data, "task_type") or None,
        created=_moment(text_at(data, "meta", "created_at")),
        started=_moment(text_at(data, "meta", "started_at")),
        ended=_moment(text_at(data, "meta", "ended_at")),
        prompt=text_at(data, "input", "prompt") or None,
        seed=_seed(data),
    )


def _seed(data: JsonObject) -> int | None:
    """The seed, where it is told: what was not given is repeated as 0 or -1 (docs/service.md, section 2)."""
    seeds = (number_at(data, "input", "seed"), number_at(data, "output", "seed"))
    return next((seed for seed in seeds if seed is not None and seed > 0), None)


def _task_error(data: JsonObject) -> TaskError:
    """`message`, else `raw_message`, else the last entry of `logs` (docs/service.md, section 3)."""
    error = object_at(data, "error")
    logs = strings_in(data.get("logs"))
    text = _error_text(error) or text_at(data, "error") or (logs[-1] if logs else "") or "no reason given"
    return TaskError(number_at(error, "code") or 0, clean(text))


def _is_url(text: str) -> bool:
    """An http(s) address; anything else under `output` is no picture."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.strip().isprintable()


def _moment(text: str) -> datetime | None:
    """A timestamp with up to nine decimals; the year 1 means not yet (docs/service.md, section 2)."""
    whole, dot, rest = text.partition(".")
    digits = rest.rstrip("Zz")
    if dot and digits.isdigit():
        text = f"{whole}.{digits[:6]}Z"
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC) if moment.year > 1 else None
    except (ValueError, OverflowError):
        return None


_SEEN_ID = re.compile(rb'"task_id"\s*:\s*"([A-Za-z0-9_-]{1,128})"')


def seen_task_id(content: bytes) -> str | None:
    """A task id that stands whole in an answer, although the answer as such cannot be read.

    A prompt that the answer repeats cannot pretend to be one: within a JSON string every quote has a backslash.
    """
    match = _SEEN_ID.search(content)
    return match[1].decode("ascii") if match else None


def without_secrets(content: bytes | bytearray, secrets: Iterable[str]) -> bytes:
    """A reply's body without secrets, which a server may repeat, in whatever way JSON may spell them."""
    content = bytes(content)
    if b"\\" in content:
        with contextlib.suppress(ValueError, RecursionError):
            plain = json.dumps(json.loads(content), ensure_ascii=False)  # nothing is escaped that need not be
            content = plain.encode("utf-8", "surrogatepass")
    for secret in secrets:
        for spelling in (secret, json.dumps(secret)[1:-1]):
            content = content.replace(spelling.encode(), b"[secret]")
    return content


def told(content: bytes, limit: int = 300) -> str:
    """What a reply's body says, one clean line without webhook secrets, for the journal's evidence."""
    try:
        text = json.dumps(redacted(json.loads(content)), ensure_ascii=False)
    except (ValueError, RecursionError):
        text = re.sub(r'("secret"\s*:\s*")[^"]*', r"\1[secret]", content[: limit * 8].decode("utf-8", "replace"))
    return clean(text, limit)


def redacted(value: Json, depth: int = 32) -> Json:
    """A copy of a reply without webhook secrets, which the service echoes (docs/service.md, section 2).

    What is nested deeper than `depth` is left out.
    """
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [redacted(inner, depth - 1) for inner in value]
    return {name: "[secret]" if name == "secret" else redacted(inner, depth - 1) for name, inner in value.items()}
