"""The request that made an image, embedded in the PNG as text chunks, and the mark of an image from the sandbox.

`flux` contains JSON for this program, `parameters` the text that other image tools read.
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
"""Fields of PiAPI's `input` that are part of the request itself: an override of one would change the price unseen."""
ABOUT_REQUEST = frozenset(("op", "model", "seed", "service_mode", "webhook", "overrides"))


@frozen
class Provenance:
    """How an image was made.

    cost: USD for the whole task, which may have made several images. simulated: a sandbox made it.
    unusual: what a request in a file contains beside the options of a command, a sentence each. To be shown before it
        is paid for: images come from anywhere.
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
    """Return the text for the keyword `parameters` that other image tools read; what is None is left out.

    The format is AUTOMATIC1111's (stable-diffusion-webui, `modules/infotext_utils.py`): the prompt, a line
    `Negative prompt: ...`, and last one line of settings. Its reader mistakes a line with fewer than three settings
    for a part of the prompt, and others recognize the line by `Steps: ` at its start.
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
    """Return the value in JSON's quotes if it would end early without, as the webui's `quote` does."""
    return json.dumps(value, ensure_ascii=False) if re.search("[,:\n]", value) else value


def sandbox_mark() -> dict[str, str]:
    """Return the text chunk for an image from a sandbox that must not contain its request."""
    return {KEYWORD: json.dumps({"sandbox": True})}


def is_sandbox_image(content: bytes) -> bool:
    """Return whether the content of a file is an image that flux saved from a sandbox."""
    try:
        about: Json = json.loads(texts_in(content).get(KEYWORD, "null"))
    except (ValueError, RecursionError):
        return False
    return object_at(about).get("sandbox") is True


def read_provenance(texts: Mapping[str, str]) -> Provenance:
    """Return what the text chunks of an image contain. Raise UsageError if they contain no request of flux.

    Every field of the request has its type. Its values are checked when it is sent, as for a command.
    """
    if KEYWORD not in texts:
        raise UsageError("no flux metadata: not made by flux, or saved with --no-metadata")
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
    """Return what may be sent of a file's overrides, and the names of the rest.

    Only fields of `input` are sent, and none that the request itself has. PiAPI compares names without case, as Go's
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
    """Return an amount if it can be one: 1E+999999 would be printed with a million digits. Raise ArithmeticError."""
    amount = Decimal(text or "NaN")
    return amount if amount.is_finite() and 0 <= amount < 10**6 and amount == round(amount, 9) else None
