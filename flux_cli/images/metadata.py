"""Metadata of an image in PNG text chunks: the request that made it, and the mark of the sandbox.

The keyword `flux` has JSON for this program, and `parameters` the text that other image tools read.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal

from .. import __version__
from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at, text_at
from ..operations.base import Sized
from ..operations.registry import OPERATIONS
from ..operations.request import TaskRequest
from ..text import clean
from .png import texts_in

KEYWORD = "flux"
OWN_INPUT = ("prompt", "seed", "batch_size")
"""Fields of PiAPI's `input` that belong to the request itself: an override could change the price unnoticed."""
ABOUT_REQUEST = frozenset(("op", "model", "seed", "service_mode", "webhook", "overrides"))


@frozen
class Provenance:
    """The request that made an image, and its task.

    cost: USD for the whole task, which may have made several images. simulated: whether a sandbox made it.
    unusual: one sentence per part of the request that is not an option of a command. Images are untrusted, so callers
        show these before they send the request again.
    """

    request: TaskRequest
    task_id: str
    cost: Decimal | None
    version: str
    simulated: bool = False
    unusual: tuple[str, ...] = ()


def texts_for(request: TaskRequest, task_id: str, cost: Decimal | None, *, sandbox: bool) -> dict[str, str]:
    """Return the text chunks for the images of a task. sandbox: whether a sandbox made them."""
    about: dict[str, Json] = {
        "request": {name: value for name, value in request.to_json().items() if name != "webhook"},
        "task_id": task_id,
        "cost_usd": None if cost is None else str(cost),
        "version": __version__,
    }
    if sandbox:
        about["sandbox"] = True
    return {KEYWORD: json.dumps(about, ensure_ascii=False), "parameters": _parameters(request, sandbox=sandbox)}


def _parameters(request: TaskRequest, *, sandbox: bool) -> str:
    """Return the text for the keyword `parameters`, which other image tools read. Unset values are omitted.

    The format is AUTOMATIC1111's (stable-diffusion-webui, `modules/infotext_utils.py`): the prompt, a line
    `Negative prompt: ...`, and a last line with the settings. Its parser mistakes a line with fewer than three settings
    for a part of the prompt, and other parsers recognize the line by `Steps: ` at its start.
    """
    operation = request.operation
    settings = {
        "Steps": operation.steps,
        "CFG scale": None if operation.guidance is None else f"{operation.guidance:.10g}",
        "Seed": request.seed,
        "Size": f"{operation.width}x{operation.height}" if isinstance(operation, Sized) else None,
        "Model": _quoted(request.model.rpartition("/")[2]),
        "Denoising strength": None if operation.denoise is None else f"{operation.denoise:.10g}",
        "Sandbox": "true" if sandbox else None,
    }
    lines = [
        operation.prompt,
        f"Negative prompt: {operation.negative_prompt}" if operation.negative_prompt else "",
        ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None),
    ]
    return "\n".join(line for line in lines if line)


def _quoted(value: str) -> str:
    """Return the value as a JSON string if it contains a delimiter, as `quote` of stable-diffusion-webui does."""
    return json.dumps(value, ensure_ascii=False) if re.search("[,:\n]", value) else value


def sandbox_mark() -> dict[str, str]:
    """Return the text chunk for an image from a sandbox that must not contain its request."""
    return {KEYWORD: json.dumps({"sandbox": True})}


def is_sandbox_image(content: bytes) -> bool:
    """Return whether `content` is an image file that flux saved from a sandbox."""
    try:
        about: Json = json.loads(texts_in(content).get(KEYWORD, "null"))
    except (ValueError, RecursionError):
        return False
    return object_at(about).get("sandbox") is True


def read_provenance(texts: Mapping[str, str]) -> Provenance:
    """Return the request in an image's text chunks. Raise UsageError if they contain none that flux wrote.

    The types of its fields are checked here. Their values are checked before it is sent, as for a command.
    """
    if KEYWORD not in texts:
        raise UsageError("no flux metadata. It was not made by flux, or was saved with --no-metadata")
    try:
        about: Json = json.loads(texts[KEYWORD])
        stored = object_at(about, "request")
        if not isinstance(stored.get("overrides", {}), dict):
            raise ValueError("overrides")
        sent, ignored = _split_overrides(object_at(stored, "overrides"))
        request = TaskRequest.from_json({**stored, "overrides": sent})
        return Provenance(
            request=request,
            task_id=text_at(about, "task_id"),
            cost=_cost(text_at(about, "cost_usd")),
            version=text_at(about, "version"),
            simulated=object_at(about).get("sandbox") is True,
            unusual=tuple(_unusual(stored, sent, ignored)),
        )
    except (KeyError, ValueError, ArithmeticError, RecursionError, UsageError) as error:
        raise UsageError("a request that this version of flux cannot read") from error


def _split_overrides(overrides: JsonObject) -> tuple[JsonObject, list[str]]:
    """Return the overrides of an image's request that may be sent, and the names of the others.

    Only fields of `input` may be sent, and none that the request itself has. PiAPI ignores the case of names, as Go's
    `encoding/json` does.
    """
    fields_set = object_at(overrides, "input")
    own = [name for name in fields_set if name.casefold() in OWN_INPUT]
    sent = {name: value for name, value in fields_set.items() if name not in own}
    elsewhere = [name for name in overrides if name != "input" or not isinstance(overrides[name], dict)]
    return {"input": sent} if sent else {}, [*elsewhere, *(f"input.{name}" for name in own)]


def _unusual(stored: JsonObject, sent: JsonObject, ignored: list[str]) -> Iterator[str]:
    for name, value in object_at(sent, "input").items():
        yield clean(f"it sets input.{name} to {json.dumps(value, ensure_ascii=False)}")
    for name in ignored:
        yield clean(f"its override of {name} is ignored")
    known = ABOUT_REQUEST | {field.name for field in fields(OPERATIONS[str(stored["op"])])}
    for name in stored.keys() - known:
        yield clean(f"its unknown field {name} is ignored")


def _cost(text: str) -> Decimal | None:
    """Return an amount in USD; None if it is implausible (1E+999999 would print a million digits).

    Raise ArithmeticError if the text is not a number.
    """
    amount = Decimal(text or "NaN")
    return amount if amount.is_finite() and 0 <= amount < 10**6 and amount == round(amount, 9) else None
