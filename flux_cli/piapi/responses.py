"""Parsing of PiAPI's responses.

Parsing is tolerant, because the live API differs from the specification (docs/internals/service.md, section 2). An
unexpected value counts as absent.
"""

import json
import re
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from ..frozen import frozen
from ..json_value import Json, JsonObject, number_at, object_at, strings_in, text_at
from ..text import clean
from .task import Task, TaskError, TaskStatus, is_task_id

CODE_LIMIT = 10**9
"""A larger error code is ignored. PiAPI's have four digits."""


@frozen
class ParsedResponse:
    """The body of a response.

    well_formed: whether it is a JSON object.
    web_page: whether it is HTML or XML.
    code: PiAPI's error code (1100 to 1800 and others), else the envelope's `code`; None if there is neither.
    message: PiAPI's error text as one clean line; may be empty.
    task: the task in the response; None if there is none with a valid ID.
    """

    well_formed: bool
    web_page: bool
    code: int | None
    message: str
    task: Task | None
    data: JsonObject

    def error_words(self, status: int) -> str:
        """Return PiAPI's error text, for example `Invalid dimensions (code 1700)`, or else `words`."""
        return f"{self.message}{self._code(status)}" if self.well_formed and self.message else self.words(status)

    def words(self, status: int) -> str:
        """Return a description of the response: `HTTP 500`, `a web page instead of JSON (HTTP 200)`, ..."""
        if self.web_page:
            return f"a web page instead of JSON (HTTP {status})"
        text = "" if self.message.casefold() == _reason(status) else self.message
        if not self.well_formed and text.startswith("{"):
            text = "invalid JSON"
        return f"HTTP {status}{f': {text}' if text else ''}{self._code(status)}"

    def _code(self, status: int) -> str:
        return f" (code {self.code})" if self.code and self.code != status and self.code >= 1000 else ""


def _reason(status: int) -> str:
    """Return the standard phrase for a status, which is not shown, because it only repeats the number."""
    try:
        return HTTPStatus(status).phrase.casefold()
    except ValueError:
        return ""


def decode_text(content: bytes | bytearray) -> str:
    """Return a body as text, from UTF-8, UTF-16 or UTF-32 (RFC 4627, section 3). Invalid bytes become U+FFFD."""
    return content.decode(json.detect_encoding(content), "replace")


def parse_response(content: str | bytes) -> ParsedResponse:
    """Return the parsed body of a response. Any content is accepted."""
    text = content if isinstance(content, str) else decode_text(content)
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError):
        web_page = text.lstrip()[:1] == "<"
        return ParsedResponse(False, web_page, None, "" if web_page else clean(text[:2000]), None, {})
    data = object_at(parsed, "data")
    codes = (_code_at(parsed, "data", "error"), _code_at(parsed, "error"), _code_at(parsed))
    return ParsedResponse(
        well_formed=isinstance(parsed, dict),
        web_page=False,
        code=next((code for code in codes if code), None),
        message=clean(_refusal_text(parsed)),
        task=parse_task(data),
        data=data,
    )


def _refusal_text(parsed: Json) -> str:
    """Return message and detail of the innermost error that has a message."""
    for error in (object_at(parsed, "data", "error"), object_at(parsed, "error"), object_at(parsed)):
        message = _error_text(error) or text_at(error, "error")
        detail = ", ".join(text.strip() for text in strings_in(error.get("detail")))
        if message:
            return f"{message}: {detail}" if detail and detail not in message else message
    return detail


def _error_text(error: JsonObject) -> str:
    return text_at(error, "message") or text_at(error, "raw_message")


def parse_task(data: JsonObject) -> Task | None:
    """Return the task in the `data` of a response or a webhook delivery; None if it has no valid ID."""
    task_id = data.get("task_id")
    if not isinstance(task_id, str) or not is_task_id(task_id):
        return None
    status = TaskStatus.parse(clean(text_at(data, "status"), 40))  # cleaned here, because the journal stores it
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
        created=_parse_timestamp(text_at(data, "meta", "created_at")),
        started=_parse_timestamp(text_at(data, "meta", "started_at")),
        ended=_parse_timestamp(text_at(data, "meta", "ended_at")),
        prompt=text_at(data, "input", "prompt") or None,
        seed=_seed(data),
    )


def _seed(data: JsonObject) -> int | None:
    """Return the seed; None if it is absent, 0 or -1, which mean none (docs/internals/service.md, section 2)."""
    seeds = (number_at(data, "input", "seed"), number_at(data, "output", "seed"))
    return next((seed for seed in seeds if seed is not None and seed > 0), None)


def _task_error(data: JsonObject) -> TaskError:
    """Return the error with `message`, `raw_message` or the last of `logs` (docs/internals/service.md, section 3)."""
    error = object_at(data, "error")
    logs = strings_in(data.get("logs"))
    text = _error_text(error) or text_at(data, "error") or (logs[-1] if logs else "") or "no reason given"
    return TaskError(_code_at(error) or 0, clean(text))


def _code_at(value: Json, *path: str) -> int | None:
    """Return the error code of an object; None if it is absent or not below CODE_LIMIT."""
    code = number_at(value, *path, "code")
    return code if code is None or abs(code) < CODE_LIMIT else None


def _is_url(text: str) -> bool:
    """Return whether `text` is an http(s) URL. Other strings under `output` are not images."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.strip().isprintable()


def _parse_timestamp(text: str) -> datetime | None:
    """Return a timestamp in UTC; None for the year 1, which means not yet (docs/internals/service.md, section 2).

    Go writes up to nine decimals, of which `datetime` has six.
    """
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


_TASK_ID = re.compile(r'"task_id"\s*:\s*"([A-Za-z0-9_][A-Za-z0-9_-]{0,127})"')
_WEBHOOK_SECRET = re.compile(r'("secret"\s*:\s*")(?:[^"\\]|\\.)*')


def find_task_id(text: str) -> str | None:
    """Return a complete task ID from a body that cannot be parsed, for example because it is truncated.

    A prompt in the body cannot be mistaken for one, because quotes within a JSON string are escaped.
    """
    match = _TASK_ID.search(text)
    return match[1] if match else None


def summarize_body(text: str, limit: int = 300) -> str:
    """Return a body as one clean line without webhook secrets, for the journal and `--debug`."""
    try:
        summary = json.dumps(hide_webhook_secrets(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        summary = _WEBHOOK_SECRET.sub(r"\1[secret]", text[: limit * 8])
    return clean(summary, limit)


def hide_webhook_secrets(value: Json, depth: int = 32) -> Json:
    """Return a copy of a response without webhook secrets, which PiAPI repeats (docs/internals/service.md, section 2).

    Values nested deeper than `depth` are replaced by None.
    """
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [hide_webhook_secrets(inner, depth - 1) for inner in value]
    return {
        name: "[secret]" if name == "secret" else hide_webhook_secrets(inner, depth - 1)
        for name, inner in value.items()
    }
