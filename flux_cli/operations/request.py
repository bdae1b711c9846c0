"""A request: a paid task that has no ID yet, as the journal stores it and as PiAPI receives it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Self, TypeVar, get_args, get_origin

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject
from ..text import clean, quoted
from .base import LOCAL, Operation, Writer, drop_none
from .registry import OPERATIONS

T = TypeVar("T")
SEED_LIMIT = 2**32
"""Seeds are below this and not negative, the range that every Flux runtime accepts."""
EXACT = 2**53
BOTH = Writer()
"""Writes every fact twice: with the field name of the specification, and with that of the live API."""
_ABOUT = ("model", "seed", "service_mode", "webhook")


@frozen
class TaskRequest:
    """An operation with its model, its seed, and the way it is run.

    model: the full ID (`Qubico/flux1-dev`).
    seed: always sent, so that any image can be reproduced, and a task whose response was lost can be recognized.
    service_mode: `public` (pay-as-you-go) or `private` (host-your-account); None for the setting of the workspace.
    webhook: the URL that PiAPI calls when the task ends. Its secret is not part of the request: it is read when the
        request is sent, and is not stored.
    overrides: fields from `--set` and `--input`, which are merged into the body unchecked.
    """

    operation: Operation
    model: str
    seed: int
    service_mode: str | None = None
    webhook: str | None = None
    overrides: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return the request as the journal stores it. `from_json` is the inverse."""
        about: JsonObject = {"op": self.operation.name, **{name: getattr(self, name) for name in _ABOUT}}
        rest: JsonObject = {**asdict(self.operation), "overrides": self.overrides or None}
        return {name: _listed(value) for name, value in (about | rest).items() if value is not None}

    @classmethod
    def from_json(cls, stored: JsonObject) -> Self:
        """Return the request that `to_json` stored.

        Raise UsageError for anything else: the metadata of an image is untrusted.
        """
        try:
            if not {"prompt", "model", "seed"} <= stored.keys():
                raise TypeError("prompt, model or seed is missing")
            kind = OPERATIONS[str(stored["op"])]
            about = _typed_fields(cls, {name: stored[name] for name in (*_ABOUT, "overrides") if name in stored})
            return cls(kind(**_typed_fields(kind, stored)), **about)
        except (KeyError, TypeError) as error:
            raise UsageError(f"not a request that this version of flux knows: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of the request without its webhook, in hex. Equal requests have equal digests."""
        return _sha256(replace(self, webhook=None).to_json())

    @property
    def digest_without_seed(self) -> str:
        """SHA-256 of the request without its webhook and its seed, in hex."""
        return _sha256({**replace(self, webhook=None).to_json(), "seed": None})

    @property
    def local_images(self) -> list[str]:
        """The references to local images in the request, without duplicates."""
        return list(dict.fromkeys(image for image in self.operation.images if image.startswith(LOCAL)))


def create_body(request: TaskRequest, *, writer: Writer = BOTH, debug: bool = False) -> JsonObject:
    """Return the body of `POST /task`, without a webhook's secret.

    Unset fields are omitted (docs/internals/service.md, section 1).
    """
    operation = request.operation
    fields: JsonObject = {
        "prompt": operation.prompt,
        "negative_prompt": operation.negative_prompt,
        "guidance_scale": operation.guidance,
        "denoise": operation.denoise,
        "steps": operation.steps,
        "batch_size": operation.batch_size if operation.batch_size > 1 else None,
        **operation.write(writer),
        "seed": request.seed,
        "debug": True if debug else None,
    }
    body: JsonObject = {"model": request.model, "task_type": operation.task_type, "input": drop_none(fields)}
    webhook: JsonObject | None = {"endpoint": request.webhook} if request.webhook else None
    if config := drop_none({"service_mode": request.service_mode, "webhook_config": webhook}):
        body["config"] = config
    return merge(body, request.overrides)


def encode_body(body: JsonObject) -> bytes:
    """Return a body as bytes. Raise UsageError if JSON or UTF-8 cannot express it, which is possible with `--set`."""
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request cannot be written as JSON: {clean(str(error), 120)}") from error


def merge(body: JsonObject, overrides: JsonObject) -> JsonObject:
    """Return `body` with `overrides` merged into it, object by object; null removes a field (RFC 7396)."""
    result = dict(body)
    for name, value in overrides.items():
        below = result.get(name)
        if isinstance(value, dict):
            result[name] = merge(below if isinstance(below, dict) else {}, value)
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def _listed(value: Json) -> Json:
    """Return a value with lists in place of tuples, so that a stored request equals itself when it is read back."""
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value


def _typed_fields(kind: type[Any], stored: Mapping[str, Json]) -> dict[str, Any]:
    """Return the fields of a frozen class that `stored` has. Raise TypeError for a value of another type."""
    return {own.name: _typed(own.name, own.type, stored[own.name]) for own in fields(kind) if own.name in stored}


def _typed(name: str, kind: Any, value: Json) -> object:
    if isinstance(kind, UnionType):  # X | None
        if value is None:
            return None
        kind = next(one for one in get_args(kind) if one is not type(None))
    wanted = get_origin(kind) or kind
    if wanted is tuple and isinstance(value, list):
        return tuple(_typed(name, get_args(kind)[0], item) for item in value)
    if is_dataclass(wanted) and isinstance(value, dict):
        if unknown := value.keys() - {own.name for own in fields(kind)}:  # it may change what is paid for
            raise TypeError(f"{name} has the unknown field {quoted(min(unknown), 40)}")
        return kind(**_typed_fields(kind, value))
    numbers = (int, float) if wanted is float else wanted
    if isinstance(value, bool) is (wanted is bool) and isinstance(value, numbers) and _is_exact(value):
        return value
    raise TypeError(f"{name} has another type")


def _is_exact(value: Json) -> bool:
    """Return whether every JSON parser reads the same number: finite, up to 2^53 (RFC 8259, section 6)."""
    return not isinstance(value, int | float) or -EXACT <= value <= EXACT


def _sha256(value: JsonObject) -> str:
    import hashlib  # slow to import, and not needed to list entries

    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
