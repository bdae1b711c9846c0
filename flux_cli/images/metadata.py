"""What a saved PNG tells about itself: the request that made it, in text chunks.

`flux` holds JSON for this program, `parameters` the text that other image tools read.
"""

import json
from collections.abc import Mapping
from decimal import Decimal

from .. import __version__
from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, object_at, text_at
from ..operations.request import TaskRequest
from .png import parameters_text

KEYWORD = "flux"


@frozen
class Made:
    """How a picture was made. `cost` is USD for the whole task, which may have made several pictures."""

    request: TaskRequest
    task_id: str
    cost: Decimal | None
    version: str


def texts_for(request: TaskRequest, task_id: str, cost: Decimal | None) -> dict[str, str]:
    """The text chunks for the pictures of a task."""
    operation = request.operation
    about: dict[str, Json] = {
        "request": {name: value for name, value in request.to_json().items() if name != "webhook"},
        "task_id": task_id,
        "cost_usd": None if cost is None else str(cost),
        "version": __version__,
    }
    parameters = parameters_text(
        prompt=operation.prompt,
        negative_prompt=operation.negative_prompt,
        steps=operation.steps,
        seed=request.seed,
        guidance=operation.guidance,
        denoise=operation.denoise,
        width=getattr(operation, "width", None),
        height=getattr(operation, "height", None),
        model=request.model.rpartition("/")[2],
    )
    return {KEYWORD: json.dumps(about, ensure_ascii=False), "parameters": parameters}


def made_from(texts: Mapping[str, str]) -> Made:
    """What the text chunks of a picture tell. Raises UsageError when this program did not write them."""
    try:
        about: Json = json.loads(texts[KEYWORD])
        return Made(
            request=TaskRequest.from_json(object_at(about, "request")),
            task_id=text_at(about, "task_id"),
            cost=_cost(text_at(about, "cost_usd")),
            version=text_at(about, "version"),
        )
    except (KeyError, ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError("the picture does not tell how it was made, or was not made by flux") from error


def _cost(text: str) -> Decimal | None:
    """An amount that can be one: 1E+999999 would be written out with a million digits. Raises ArithmeticError."""
    amount = Decimal(text or "NaN")
    return amount if amount.is_finite() and 0 <= amount < 10**6 and amount == round(amount, 9) else None
