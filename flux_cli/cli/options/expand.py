"""Lets a command take whole groups of options, so that no command repeats one; Typer sees the flat list."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

from .common import CommonOptions


def expand(
    function: Callable[..., Any], *extra: type[CommonOptions]
) -> tuple[inspect.Signature, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The flat signature of a command that takes groups, and a function that gathers flat values into groups.

    A group is a dataclass; its fields are options, or groups again.
    extra: groups that the command line has beside the function's own.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    own = [(parameter.name, parameter.annotation, parameter.default) for parameter in _parameters(function)]
    own.sort(key=lambda row: is_dataclass(row[1]))  # help shows what is special to a command first
    for name, annotation, default in own + [(group.__name__, group, inspect.Parameter.empty) for group in extra]:
        if is_dataclass(annotation):
            assert isinstance(annotation, type)
            groups[name] = annotation
            flat += _options(annotation)
        else:
            flat.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        gathered = dict(values)
        return {name: _gathered(group, gathered) for name, group in groups.items()} | gathered

    return inspect.Signature(flat), gather


def groups_in(values: Iterable[object]) -> Iterator[Any]:
    """The groups among these values, and those inside of them."""
    for value in values:
        if is_dataclass(value):
            yield value
            yield from groups_in(getattr(value, field.name) for field in fields(value))


def _options(group: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        if inner := _inner(field):
            yield from _options(inner)
        else:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            kind = inspect.Parameter.KEYWORD_ONLY
            yield inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name])


def _gathered(group: type[Any], values: dict[str, Any]) -> Any:
    """A group of the values that belong to it, which are taken out."""
    given = {}
    for field in fields(group):
        inner = _inner(field)
        given[field.name] = _gathered(inner, values) if inner else values.pop(field.name)
    return group(**given)


def _inner(field: "Field[Any]") -> type[Any] | None:
    """The group that a field stands for, when it is no option."""
    return field.type if isinstance(field.type, type) and is_dataclass(field.type) else None


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The function's parameters but the first, which is the session."""
    return list(inspect.signature(function, eval_str=True).parameters.values())[1:]
