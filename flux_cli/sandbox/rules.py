"""PiAPI's checks of requests: types, ranges, and the required fields of each operation.

Sources: the specification (Parameter Reference, Error Handling) and docs/internals/service.md, sections 1 and 3.
"""

from collections.abc import Iterator, Mapping
from math import inf

from ..config.catalog import Catalog, Model
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at, text_at
from ..operations.base import is_request_url

CODES = {
    1100: "Invalid prompt length",
    1200: "Authentication failed",
    1300: "Insufficient credits",
    1400: "Rate limit exceeded",
    1500: "Service temporarily unavailable",
    1600: "Invalid image URL",
    1700: "Invalid image dimensions",
    1800: "LoRA/ControlNet load failed",
}
"""PiAPI's error codes and their messages (specification: Common Error Codes)."""
NOT_LIVE = {"Qubico/flux1-pro"}
"""Models of the specification that the live API does not list (docs/internals/service.md, section 1)."""
STRENGTHS = ("variation_strength", "lora_strength", "scale", "control_strength", "conditioning_scale")
"""Fields for the strength of a variation, a LoRA or a control image."""
FREE_PLAN = ("gen", "edit")
"""Operations that the free plan includes."""

Schema = str | list["Schema"] | dict[str, "Schema"]
"""The name of a Go type, a list with the schema of its items, or an object. Unknown fields are accepted."""
BODY: Schema = {
    "model": "string",
    "task_type": "string",
    "input": {
        **dict.fromkeys(("prompt", "negative_prompt", "image", "mask"), "string"),
        **dict.fromkeys(("width", "height", "steps", "seed", "batch_size"), "int"),
        **dict.fromkeys(("guidance_scale", "denoise", "variation_strength"), "float64"),
        "lora_settings": [
            {
                **dict.fromkeys(("lora_type", "lora_image", "path"), "string"),
                **dict.fromkeys(("lora_strength", "scale"), "float64"),
            }
        ],
        "control_net_settings": [
            {
                **dict.fromkeys(("control_type", "control_image", "path", "control_image_url"), "string"),
                **dict.fromkeys(("control_strength", "conditioning_scale"), "float64"),
                "return_preprocessed_image": "bool",
            }
        ],
        "custom_settings": [
            {
                "setting_type": "string",
                **dict.fromkeys((f"outpaint_{name}" for name in ("left", "right", "top", "bottom")), "int"),
            }
        ],
    },
    "config": {"service_mode": "string", "webhook_config": {"endpoint": "string", "secret": "string"}},
}
"""The types of a create request's fields (docs/internals/service.md, section 1)."""


@frozen
class TaskType:
    """A task type. image: whether `input` needs an image. settings: the list in `input` that must not be empty."""

    operation: str
    image: bool = False
    settings: str | None = None


TASK_TYPES = {
    "txt2img": TaskType("gen"),
    "img2img": TaskType("edit", image=True),
    "txt2img-lora": TaskType("lora", settings="lora_settings"),
    "img2img-lora": TaskType("lora", image=True, settings="lora_settings"),
    "controlnet-lora": TaskType("controlnet", settings="control_net_settings"),
    "redux-variation": TaskType("redux", image=True),
    "fill-inpaint": TaskType("inpaint", image=True),
    "fill-outpaint": TaskType("outpaint", image=True, settings="custom_settings"),
    "kontext": TaskType("kontext", image=True),
}
GO_TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "bool": (bool,), "int": (int,), "float64": (int, float)}
JSON_NAMES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


class RefusalError(Exception):
    """A refused request: the HTTP status, PiAPI's error code, its message and the detail."""

    def __init__(self, status: int, code: int, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail


@frozen
class Range:
    """The valid values of a field: from `low` (excluded if `above`) to `high`."""

    low: float
    high: float
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == inf:
            return f"at least {self.low:g}"
        return f"above {self.low:g}, up to {self.high:g}" if self.above else f"{self.low:g}-{self.high:g}"


def check_request(body: Json, catalog: Catalog, plan: str, *, live: bool = False) -> Model:
    """Return the model of a create request. Raise RefusalError if PiAPI would refuse the request.

    live: whether to follow the live API where it differs from the specification.
    """
    if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
        raise RefusalError(400, 400, "invalid request", "the body is {model, task_type, input}")
    _check_types(body, BODY, "")
    fields, word = object_at(body, "input"), text_at(body, "task_type")
    model, task_type = _check_model(body, catalog, live=live), TASK_TYPES.get(word)
    if task_type is None or task_type.operation not in model.operations:
        raise RefusalError(400, 400, "unknown task_type", f"{word} for {model.id}")
    if plan == "free" and task_type.operation not in FREE_PLAN:
        raise RefusalError(403, 403, "Insufficient plan level")
    if (mode := text_at(body, "config", "service_mode")) not in ("", "public", "private"):
        raise RefusalError(400, 400, "invalid service_mode", f"public or private, got {mode}")
    _check_prompt(fields, model)
    _check_size(fields, model)
    for name, value, allowed in _ranged(fields, model, live=live):
        if value not in allowed:
            raise RefusalError(400, 400, f"Invalid {name}", f"{name} must be {allowed}, got {value}")
    _check_images(fields, task_type)
    _check_settings(fields, task_type)
    return model


def without_nulls(value: Json) -> Json:
    """Return a request without null fields, which Go reads as absent. The specification's client sends some."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return value


def lists(fields: JsonObject, name: str) -> list[JsonObject]:
    """Return the objects in the list `name`; an empty list if there is none."""
    value = fields.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def side(fields: JsonObject, name: str) -> int:
    """Return a side of the image in pixels; absent or 0 means 1024."""
    value = fields.get(name)
    return value if isinstance(value, int) and value else 1024


def count(fields: JsonObject) -> int:
    """Return the number of requested images."""
    value = fields.get("batch_size")
    return value if isinstance(value, int) else 1


def _check_types(value: Json, schema: Schema, path: str) -> None:
    """Raise RefusalError for a value of the wrong type, as the live API does (docs/internals/service.md, section 1)."""
    if isinstance(schema, dict) and isinstance(value, dict):
        for name, inner in schema.items():
            if name in value:
                _check_types(value[name], inner, f"{path}.{name}".lstrip("."))
    elif isinstance(schema, list) and isinstance(value, list):
        for item in value:
            _check_types(item, schema[0], path)
    else:
        kind = schema if isinstance(schema, str) else "array" if isinstance(schema, list) else "object"
        fits = isinstance(value, GO_TYPES.get(kind, ())) and (kind == "bool" or not isinstance(value, bool))
        if not fits or (isinstance(value, int) and abs(value) >= 2**63):
            found = JSON_NAMES[type(value)]
            raise RefusalError(400, 400, f"cannot unmarshal {found} into {path} of type {kind}")


def _check_model(body: JsonObject, catalog: Catalog, *, live: bool) -> Model:
    """Return the model with exactly this ID, because PiAPI has no short names. Raise RefusalError."""
    for model in catalog.models.values():
        if body.get("model") == model.id and not (live and model.id in NOT_LIVE):
            return model
    raise RefusalError(400, 400, "unknown model", str(body.get("model") or "none given"))


def _check_prompt(fields: JsonObject, model: Model) -> None:
    length, most = len(str(fields.get("prompt", ""))), model.limits.prompt_characters
    if not 1 <= length <= most:
        raise RefusalError(400, 1100, CODES[1100], f"Prompt must be 1-{most} characters, got {length}")


def _check_size(fields: JsonObject, model: Model) -> None:
    width, height = side(fields, "width"), side(fields, "height")
    if width < 1 or height < 1 or width * height > model.limits.pixels:
        raise RefusalError(400, 1700, CODES[1700], f"Width * height cannot exceed {model.limits.pixels} pixels")


def _ranged(fields: JsonObject, model: Model, *, live: bool) -> Iterator[tuple[str, float, Range]]:
    """Yield the name, the value and the range of each field that has a range."""
    limits = model.limits
    ranges = {
        "guidance_scale": Range(*limits.guidance),
        "denoise": Range(*limits.denoise, above=live),
        "steps": Range(0, limits.steps),
        "seed": Range(-1, inf),  # -1 requests a random seed
        "batch_size": Range(1, limits.batch_size),
        **dict.fromkeys(STRENGTHS, Range(*limits.strength)),
        **{f"outpaint_{name}": Range(0, limits.margin) for name in ("left", "right", "top", "bottom")},
    }
    settings = ("lora_settings", "control_net_settings", "custom_settings")
    for item in (fields, *(item for name in settings for item in lists(fields, name))):
        for name, allowed in ranges.items():
            value = item.get(name)
            if isinstance(value, int | float):
                yield name, value, allowed


def _check_images(fields: JsonObject, task_type: TaskType) -> None:
    """Raise RefusalError for an invalid image URL. Whether an image exists there is not checked."""
    urls = [("image", fields.get("image"))] if task_type.image else []
    if task_type.operation == "inpaint" and "mask" in fields:
        urls.append(("mask", fields["mask"]))
    if task_type.operation == "controlnet":
        controls = lists(fields, "control_net_settings")
        urls += [("control_image", item.get("control_image_url") or item.get("control_image")) for item in controls]
    for name, url in urls:
        if not isinstance(url, str) or not is_request_url(url):
            raise RefusalError(400, 1600, CODES[1600], f"{name} must be an accessible URL")


def _check_settings(fields: JsonObject, task_type: TaskType) -> None:
    if task_type.settings is None or lists(fields, task_type.settings):
        return
    if task_type.operation == "outpaint":
        raise RefusalError(400, 400, "invalid request", "custom_settings has no outpaint margins")
    raise RefusalError(400, 1800, CODES[1800], f"{task_type.settings} is empty")
