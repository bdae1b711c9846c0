"""Fields of a request that are set by hand: `--set PATH=VALUE` and `--input FILE`."""

import json
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...frozen import frozen
from ...json_value import Json, JsonObject, object_at
from ...piapi.requests import merged
from ...text import clean
from .request_options import TaskOptions

DEEPEST = 32
"""Levels of objects and lists in a request."""


def overrides_of(task: TaskOptions, problems: list[str]) -> JsonObject:
    """`--input`, and `--set` laid over it."""
    found: JsonObject = {}
    if task.body is not None:
        found = read_body(task.body)
    for text in task.overrides or []:
        path, equals, value = text.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names) or len(names) > DEEPEST:
            problems.append(f"--set {clean(text, 60)!r} is not PATH=VALUE, such as input.steps=30")
            continue
        found = merged(found, nested(names, parsed(value)))
    return found


@frozen
class Lifted:
    """What `--set` and `--input` say of things that flux itself must know: they decide the price and the name."""

    model: str | None = None
    prompt: str | None = None
    seed: int | None = None
    batch_size: int | None = None


def lift(overrides: JsonObject, problems: list[str]) -> tuple[Lifted, JsonObject]:
    """Take out of the overrides what belongs in the request itself; the rest is left."""
    overrides = _as_spelled(overrides, "model", "input", "config")
    if object_at(overrides, "config", "webhook_config").get("secret") is not None:
        problems.append("a webhook's secret does not go into --set or --input: use --webhook-secret-file")
    if depth(overrides) > DEEPEST:
        raise UsageError(f"--set or --input is nested more than {DEEPEST} levels deep")
    fields = _as_spelled(object_at(overrides, "input"), *Lifted.__annotations__)
    found: dict[str, Any] = {}
    kinds = {"model": (overrides, str), "prompt": (fields, str), "seed": (fields, int), "batch_size": (fields, int)}
    for name, (place, kind) in kinds.items():
        value = place.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            problems.append(f"{name} in --set or --input is not {'text' if kind is str else 'a whole number'}")
        elif value is not None:
            found[name] = value
    rest = {name: value for name, value in fields.items() if name not in kinds}
    left = {name: value for name, value in overrides.items() if name not in ("model", "input")}
    return Lifted(**found), left | ({"input": rest} if rest else {})


def _as_spelled(fields: JsonObject, *names: str) -> JsonObject:
    """Return the fields, these names in lower case: PiAPI compares names without case, as Go's `encoding/json` does."""
    return {name.casefold() if name.casefold() in names else name: value for name, value in fields.items()}


def depth(value: Json) -> int:
    """How many levels of objects and lists a value has; stops counting a little beyond DEEPEST."""
    level, deep = [value], 0
    while deep <= DEEPEST and any(isinstance(item, dict | list) for item in level):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level, deep = [item for items in inner for item in items], deep + 1
    return deep


def read_body(path: Path) -> JsonObject:
    """The JSON object in a file. Raises UsageError."""
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read --input {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--input {path} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UsageError(f"--input {path} is not a JSON object")
    return body


def nested(names: list[str], value: Json) -> JsonObject:
    """`{"a": {"b": value}}` for the names a, b."""
    for name in reversed(names[1:]):
        value = {name: value}
    return {names[0]: value}


def parsed(text: str) -> Json:
    """A JSON value, or the text itself when it is none."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
