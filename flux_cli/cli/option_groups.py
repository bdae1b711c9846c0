"""Groups of options for Typer: flat, with each option as a Typer option."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from typing import Annotated, Any, TypeGuard, get_args, get_origin

import typer

from ..operations.parameters import Argument, Group, Option


def flatten(
    function: Callable[..., Any], *extra: type[Group]
) -> tuple[inspect.Signature, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return the flat signature of a command that takes groups, and a function that gathers flat values into groups.

    The fields of a group are options, or groups again.
    extra: groups that the command line has in addition to the function's own.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, type[Group]] = {}
    own = [(parameter.name, parameter.annotation, parameter.default) for parameter in _parameters(function)]
    own.sort(key=lambda row: _is_group(row[1]))  # help shows what is special to a command first
    for name, annotation, default in own + [(group.__name__, group, inspect.Parameter.empty) for group in extra]:
        if _is_group(annotation):
            groups[name] = annotation
            flat += _options(annotation)
        else:
            flat.append(_flat(name, annotation, default))

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        gathered = dict(values)
        return {name: _gather(group, gathered) for name, group in groups.items()} | gathered

    return inspect.Signature(flat), gather


def groups_in(values: Iterable[object]) -> Iterator[Group]:
    """Yield the groups among these values, and those inside of them."""
    for value in values:
        if isinstance(value, Group):
            yield value
            yield from groups_in(getattr(value, field.name) for field in fields(value))


def _is_group(annotation: object) -> TypeGuard[type[Group]]:
    return isinstance(annotation, type) and issubclass(annotation, Group)


def _options(group: type[Group]) -> Iterator[inspect.Parameter]:
    for field in fields(group):
        if _is_group(field.type):
            yield from _options(field.type)
        else:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield _flat(field.name, field.type, default, title=group.title)


def _flat(name: str, annotation: object, default: object, *, title: str | None = None) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=_for_typer(annotation, title))


def _for_typer(annotation: object, title: str | None) -> object:
    """Return the annotation with a Typer option or argument; `title` is its heading in help."""
    assert get_origin(annotation) is Annotated, annotation
    kind, about = get_args(annotation)
    if isinstance(about, Argument):
        return Annotated[kind, typer.Argument(metavar=about.metavar, help=about.help, show_default=False)]
    assert isinstance(about, Option)
    option = typer.Option(
        *about.names.split(", "),
        metavar=about.metavar,
        help=about.help,
        hidden=about.hidden,
        show_default=about.show_default,
        min=about.min,
        max=about.max,
        rich_help_panel=title,
    )
    return Annotated[kind, option]


def _gather(group: type[Group], values: dict[str, Any]) -> Group:
    """Return a group of its values, which are removed from `values`."""
    given: dict[str, Any] = {}
    for field in fields(group):
        given[field.name] = _gather(field.type, values) if _is_group(field.type) else values.pop(field.name)
    return group(**given)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the function's parameters but the first, which is the session."""
    return list(inspect.signature(function, eval_str=True).parameters.values())[1:]
