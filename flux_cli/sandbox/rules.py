"""What the miniature service refuses, with the specification's codes (Error Handling, Parameter Reference)."""

import math

from ..config.catalog import Catalog, Model
from ..errors import UsageError
from ..json_value import Json, JsonObject, object_at
from ..operations.base import is_request_url

BAD_REQUEST = 400
NUMBERS = {
    "width": int,
    "height": int,
    "steps": int,
    "seed": int,
    "batch_size": int,
    "guidance_scale": float,
    "denoise": float,
}
TEXTS = ("prompt", "negative_prompt")
TASK_TYPES = {
    "txt2img": "gen",
    "img2img": "edit",
    "txt2img-lora": "lora",
    "img2img-lora": "lora",
    "controlnet-lora": "controlnet",
    "redux-variation": "redux",
    "fill-inpaint": "inpaint",
    "fill-outpaint": "outpaint",
    "kontext": "kontext",
}
"""The service's task types, and the operation that each is."""
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
"""PiAPI's error codes, and the words that go with them."""


class RefusalError(Exception):
    """A refused request: the HTTP status, PiAPI's error code, and its words."""

    def __init__(self, status: int, code: int, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail


def checked_model(body: Json, catalog: Catalog, plan: str) -> Model:
    """The model that a create request names, when the whole request keeps the rules. Raises RefusalError."""
    if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
        raise RefusalError(400, BAD_REQUEST, "invalid request", "the body is {model, task_type, input}")
    try:
        model = catalog.model(str(body.get("model")))
    except UsageError:
        raise RefusalError(400, BAD_REQUEST, "unknown model", f"{body.get('model')}") from None
    operation = TASK_TYPES.get(str(body.get("task_type")))
    if operation is None or operation not in model.operations:
        raise RefusalError(400, BAD_REQUEST, "unknown task_type", f"{body.get('task_type')} for {body.get('model')}")
    if plan == "free" and operation not in ("gen", "edit"):
        raise RefusalError(403, 403, "Insufficient plan level", "this needs the Creator plan or higher")
    fields = object_at(body, "input")
    _check_types(fields)
    _check_prompt(fields, model)
    _check_size(fields, model)
    _check_ranges(fields, model)
    _check_pictures(fields, operation)
    return model


def without_nulls(body: Json) -> Json:
    """A request in which a field that is null is absent: the specification's own client sends `"seed": null`."""
    if not isinstance(body, dict):
        return body
    fields = body.get("input")
    kept: Json = (
        {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields
    )
    return {**body, "input": kept}


def _check_pictures(fields: JsonObject, operation: str) -> None:
    """What an operation cannot do without (specification: Advanced Features)."""
    needed = {"edit": ["image"], "kontext": ["image"], "redux": ["image"], "inpaint": ["image"], "outpaint": ["image"]}
    for name in needed.get(operation, []):
        if not is_address(fields.get(name)):
            raise RefusalError(400, 1600, "Invalid image URL", f"input.{name} must be an accessible address")
    if operation == "lora" and not lists(fields, "lora_settings"):
        raise RefusalError(400, 1800, "LoRA/ControlNet load failed", "lora_settings is empty")
    if operation == "controlnet":
        controls = lists(fields, "control_net_settings")
        if not controls:
            raise RefusalError(400, 1800, "LoRA/ControlNet load failed", "control_net_settings is empty")
        for control in controls:
            if not is_address(control.get("control_image_url") or control.get("control_image")):
                raise RefusalError(400, 1600, "Invalid image URL", "a control picture has no accessible address")
    if operation == "outpaint" and not lists(fields, "custom_settings"):
        raise RefusalError(400, BAD_REQUEST, "invalid request", "custom_settings has no outpaint margins")


def is_address(value: Json) -> bool:
    """Whether a value is an http(s) address."""
    return isinstance(value, str) and is_request_url(value)


def lists(fields: JsonObject, name: str) -> list[JsonObject]:
    """The objects in a list of objects."""
    value = fields.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _check_types(fields: JsonObject) -> None:
    """The live service is type-strict: a number sent as a string is refused (docs/service.md, section 1)."""
    for name, kind in NUMBERS.items():
        value = fields.get(name, 0)
        right = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        if not right or not math.isfinite(value):  # type: ignore[arg-type]  # a number, as just checked
            raise RefusalError(400, BAD_REQUEST, f"cannot unmarshal {type(value).__name__} into input.{name}")
    for name in TEXTS:
        if not isinstance(fields.get(name, ""), str):
            raise RefusalError(400, BAD_REQUEST, f"cannot unmarshal {type(fields[name]).__name__} into input.{name}")


def _check_prompt(fields: JsonObject, model: Model) -> None:
    prompt, limit = str(fields.get("prompt", "")), model.limits.prompt_characters
    if not 1 <= len(prompt) <= limit:
        raise RefusalError(
            400, 1100, "Invalid prompt length", f"Prompt must be 1-{limit} characters, got {len(prompt)}"
        )


def _check_size(fields: JsonObject, model: Model) -> None:
    width, height = side(fields, "width"), side(fields, "height")
    if width < 1 or height < 1 or width * height > model.limits.pixels:
        raise RefusalError(
            400, 1700, "Invalid image dimensions", f"Width * height cannot exceed {model.limits.pixels} pixels"
        )


def _check_ranges(fields: JsonObject, model: Model) -> None:
    limits = model.limits
    _in_range(fields, "guidance_scale", *limits.guidance)
    _in_range(fields, "denoise", *limits.denoise)
    _in_range(fields, "steps", 0, limits.steps)
    if "batch_size" in fields:
        _in_range(fields, "batch_size", 1, limits.batch_size)


def _in_range(fields: JsonObject, name: str, low: float, high: float) -> None:
    value = fields.get(name)
    if isinstance(value, int | float) and not low <= value <= high:
        raise RefusalError(400, BAD_REQUEST, f"Invalid {name}", f"{name} must be {low:g}-{high:g}, got {value:g}")


def side(fields: JsonObject, name: str) -> int:
    """A side of the picture in pixels; absent or 0 means 1024."""
    value = fields.get(name)
    return value if isinstance(value, int) and value else 1024


def count(fields: JsonObject) -> int:
    """How many pictures are ordered."""
    value = fields.get("batch_size")
    return value if isinstance(value, int) else 1
