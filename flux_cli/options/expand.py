"""Lets a command take whole groups of options, so that no command repeats one; Typer sees the flat list."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from .common import CommonOptions


def expand(
    function: Callable[..., Any], *extra: type[CommonOptions]
) -> tuple[inspect.Signature, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The flat signature of a command that takes groups, and a function that gathers flat values into groups.

    extra: groups that the command line has beside the function's own.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    own = [(parameter.name, parameter.annotation, parameter.default) for parameter in _parameters(function)]
    own.sort(key=lambda row: is_dataclass(row[1]))  # help shows what is special to a command first
    for name, annotation, default in own + [(group.__name__, group, inspect.Parameter.empty) for group in extra]:
        if not is_dataclass(annotation):
            flat.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
            continue
        assert isinstance(annotation, type)
        groups[name] = annotation
        hints = get_type_hints(annotation, include_extras=True)
        for field in fields(annotation):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            kind = inspect.Parameter.KEYWORD_ONLY
            flat.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        gathered = dict(values)
        for name, group in groups.items():
            gathered[name] = group(**{field.name: gathered.pop(field.name) for field in fields(group)})
        return gathered

    return inspect.Signature(flat), gather


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The function's parameters but the first, which is the session."""
    return list(inspect.signature(function, eval_str=True).parameters.values())[1:]
