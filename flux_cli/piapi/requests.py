"""A request as the JSON that PiAPI takes: the only module that knows that there are two vocabularies.

The specification and the live service name some fields differently (docs/service.md, section 1). What either does not
know it tolerates, so that both can be told.
"""

import json
from collections.abc import Mapping
from dataclasses import field
from functools import singledispatch

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject
from ..operations.operations import (
    Control,
    Controlled,
    ImageToImage,
    Inpaint,
    Kontext,
    LoRA,
    Operation,
    Outpaint,
    Redux,
    Sized,
    Styled,
    TextToImage,
)
from ..operations.request import TaskRequest
from ..text import clean

DIALECTS = ("both", "sop", "live")
"""Whose field names a request uses where the specification (SOP) and the live service differ; `both`: both."""
POSES = {"openpose": "pose", "soft_edge": "soft-edge"}
"""What the specification calls a control type that the live service calls otherwise."""


@frozen
class Writer:
    """Writes operations in a dialect. `addresses` are those of the local pictures, by reference."""

    dialect: str = "both"
    addresses: Mapping[str, str] = field(default_factory=dict)

    def image(self, reference: str) -> str:
        """The address that stands for a picture."""
        return self.addresses.get(reference, reference)

    def pair(self, sop: JsonObject, live: JsonObject) -> JsonObject:
        """The same facts in the specification's words, in the live service's, or in both."""
        chosen = {"sop": sop, "live": live}.get(self.dialect, sop | live)
        return _present(chosen)


BOTH = Writer()
"""Every fact in the specification's words and in the live service's."""


def create_body(
    request: TaskRequest, *, writer: Writer = BOTH, webhook_secret: str | None = None, debug: bool = False
) -> JsonObject:
    """The body of `POST /task`. What the user did not give is omitted, never null (docs/service.md, section 1)."""
    operation = request.operation
    fields = _common_fields(operation) | operation_fields(operation, writer) | {"seed": request.seed}
    if debug:
        fields["debug"] = True
    body: JsonObject = {
        "model": request.model,
        "task_type": operation.task_type,
        "input": _present(fields),
    }
    webhook = _present({"endpoint": request.webhook, "secret": webhook_secret}) if request.webhook else None
    if config := _present({"service_mode": request.service_mode, "webhook_config": webhook}):
        body["config"] = config
    return merged(body, request.overrides)


def _common_fields(operation: Operation) -> JsonObject:
    return {
        "prompt": operation.prompt,
        "negative_prompt": operation.negative_prompt,
        "guidance_scale": operation.guidance,
        "denoise": operation.denoise,
        "steps": operation.steps,
        "batch_size": operation.batch_size if operation.batch_size > 1 else None,
    }


@singledispatch
def operation_fields(operation: Operation, writer: Writer) -> JsonObject:
    """What an operation's `input` has beside the common fields; None where the service is to choose."""
    raise TypeError(f"no wire format for {operation!r}")


def _size(operation: Sized) -> JsonObject:
    return {"width": operation.width, "height": operation.height}


@operation_fields.register
def _(operation: TextToImage, writer: Writer) -> JsonObject:
    return _size(operation)


@operation_fields.register
def _(operation: ImageToImage, writer: Writer) -> JsonObject:
    return {"image": writer.image(operation.image)}


@operation_fields.register
def _(operation: Kontext, writer: Writer) -> JsonObject:
    return {"image": writer.image(operation.image), **_size(operation)}


@operation_fields.register
def _(operation: Styled, writer: Writer) -> JsonObject:
    base = {"image": writer.image(operation.image)} if operation.image else _size(operation)
    return {**base, "lora_settings": [_lora(lora, writer) for lora in operation.loras]}


@operation_fields.register
def _(operation: Controlled, writer: Writer) -> JsonObject:
    controls: list[Json] = [_control(control, operation.keep_control, writer) for control in operation.controls]
    # The live service wants the list of styles also when it is empty.
    loras: list[Json] = [_lora(lora, writer) for lora in operation.loras]
    return {**_size(operation), "lora_settings": loras, "control_net_settings": controls}


@operation_fields.register
def _(operation: Redux, writer: Writer) -> JsonObject:
    strength = writer.pair({"variation_strength": operation.strength}, {})
    return {"image": writer.image(operation.image), **_size(operation), **strength}


@operation_fields.register
def _(operation: Inpaint, writer: Writer) -> JsonObject:
    # The live service has no mask: it paints where the picture itself is transparent.
    shown = operation.image if writer.dialect == "sop" else operation.cut_out or operation.image
    return {"image": writer.image(shown), **writer.pair({"mask": writer.image(operation.mask)}, {})}


@operation_fields.register
def _(operation: Outpaint, writer: Writer) -> JsonObject:
    margins = {f"outpaint_{side}": getattr(operation, side) for side in ("left", "right", "top", "bottom")}
    return {"image": writer.image(operation.image), "custom_settings": [{"setting_type": "outpaint", **margins}]}


def _lora(lora: LoRA, writer: Writer) -> Json:
    sop: JsonObject = {"path": lora.name, "scale": lora.strength}
    live: JsonObject = {"lora_type": lora.name, "lora_strength": lora.strength}
    return _present(sop) if lora.is_address else writer.pair(sop, live)


def _control(control: Control, keep: bool, writer: Writer) -> Json:
    image = writer.image(control.image)
    name = f"controlnet-{POSES.get(control.kind, control.kind)}"
    sop: JsonObject = {"path": name, "control_image_url": image, "conditioning_scale": control.strength}
    live: JsonObject = {"control_type": control.kind, "control_image": image, "control_strength": control.strength}
    return writer.pair(sop, live | {"return_preprocessed_image": True if keep else None})


def encoded(body: JsonObject) -> bytes:
    """A body as it is sent. Raises UsageError for what JSON or UTF-8 cannot hold, which `--set` may bring in."""
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request cannot be written as JSON: {clean(str(error), 120)}") from error


def dialect_problems(request: TaskRequest, dialect: str) -> list[str]:
    """What a dialect cannot say."""
    operation = request.operation
    if dialect != "live":
        return []
    loras: tuple[LoRA, ...] = getattr(operation, "loras", ())
    found = [
        f"--lora {lora.name}: the live service takes names only, not addresses" for lora in loras if lora.is_address
    ]
    if isinstance(operation, Inpaint) and operation.cut_out is None:
        found.append("the live service reads the region as a hole in the picture: picture and mask must be local files")
    if isinstance(operation, Redux) and operation.strength is not None:
        found.append("the live service knows no --strength for a variation")
    return found


def merged(body: JsonObject, overrides: JsonObject) -> JsonObject:
    """`body` with `overrides` laid over it, object by object; null removes a field (RFC 7396)."""
    result = dict(body)
    for name, value in overrides.items():
        below = result.get(name)
        if isinstance(value, dict):
            result[name] = merged(below if isinstance(below, dict) else {}, value)
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def _present(fields: JsonObject) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}
