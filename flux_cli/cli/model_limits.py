"""The limits of models as text, for help and for errors: from the catalog, for the operations of a command."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields

from ..config.catalog import Catalog, Model
from ..operations.limits import ModelLimits
from ..operations.registry import OPERATIONS, PARAMETERS

ABOVE = ("denoise",)
"""Limits whose lower end is excluded."""
Span = tuple[float, float]


def describe_limits(command: str) -> Mapping[str, str]:
    """Return the texts for placeholders such as `{steps}` in the help of a command, by the name in braces.

    The names are the fields of `ModelLimits`, `models`, `presets`, and each operation, for the models that support it.
    """
    catalog = Catalog({})
    *first, last = catalog.presets
    models = _models(catalog, command)
    return {
        **{field.name: _describe(models, field.name) for field in fields(ModelLimits) if field.name != "model"},
        **{name: ", ".join(model.name for model in _able(catalog, [name])) for name in OPERATIONS},
        "models": ", ".join(catalog.models),
        "presets": f"{', '.join(first)} or {last}",
    }


def fill_limits(text: str, limits: Mapping[str, str]) -> str:
    """Return a text of help with its placeholders replaced by the limits of the models."""
    return re.sub(r"\{(\w+)\}", lambda name: limits.get(name[1], name[0]), text)


def find_span(command: str, limit: str) -> Span | None:
    """Return the lowest and the highest value that any model of a command accepts; None if `limit` is not a limit."""
    if limit not in {field.name for field in fields(ModelLimits) if field.name != "model"}:
        return None
    spans = [_span(model, limit) for model in _models(Catalog({}), command)]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _models(catalog: Catalog, command: str) -> list[Model]:
    """Return the models that a command can use. `batch` and others, which have every operation, can use all."""
    parameters = PARAMETERS.get(command)
    return _able(catalog, [one.name for one in parameters.operations] if parameters else OPERATIONS)


def _able(catalog: Catalog, operations: Collection[str]) -> list[Model]:
    """Return the models that support one of these operations."""
    return [model for model in catalog.models.values() if set(operations) & set(model.operations)]


def _span(model: Model, limit: str) -> Span:
    found: int | Span = getattr(model.limits, limit)
    return (1, found) if isinstance(found, int) else found


def _describe(models: Iterable[Model], limit: str) -> str:
    """Return the limit of most models, and the models that differ: `1 to 40 (schnell: 1 to 10)`."""
    spans = {model.name: _span(model, limit) for model in models}
    usual = Counter(spans.values()).most_common(1)[0][0]
    others = [f"{name}: {_words(limit, *span)}" for name, span in spans.items() if span != usual]
    return _words(limit, *usual) + (f" ({', '.join(others)})" if others else "")


def _words(limit: str, low: float, high: float) -> str:
    if limit == "pixels":
        return f"at most {high:,.10g}"
    if low == high:
        return f"{low:g}"
    return f"{'above ' if limit in ABOVE else ''}{low:g} to {high:.10g}"
