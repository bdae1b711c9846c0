"""Groups of options as flat lists, for Typer and for help."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeGuard, get_args, get_origin

from ..errors import UsageError
from ..frozen import frozen
from ..operations.options import SharedOptions
from ..operations.parameters import Argument, Group, Option, read_number
from .common_options import CommonOptions


@frozen
class Flat:
    """An option or an argument of a command. title: its heading in help. default: MISSING if it is required."""

    name: str
    kind: object
    about: Option | Argument
    default: object
    title: str

    @property
    def required(self) -> bool:
        """Whether the command requires it."""
        return self.default is MISSING

    @property
    def takes_value(self) -> bool:
        """Whether it is an option with a value, not a switch or an argument."""
        return isinstance(self.about, Option) and self.kind is not bool

    @property
    def names(self) -> list[str]:
        """The names of an option; empty for an argument. Messages use the first one."""
        return self.about.names.split(", ") if isinstance(self.about, Option) else []

    @property
    def hidden(self) -> bool:
        """Whether help omits it."""
        return isinstance(self.about, Option) and self.about.hidden


def flat_options(function: Callable[..., Any]) -> list[Flat]:
    """Return all options and arguments of a command, including those of its groups and of `CommonOptions`."""
    found: list[Flat] = []
    for name, annotation, default in _parameters(function):
        if _is_group(annotation):
            found += _fields(annotation)
        else:
            found.append(_flat(name, annotation, MISSING if default is inspect.Parameter.empty else default, "Options"))
    return found


def flatten(function: Callable[..., Any]) -> tuple[inspect.Signature, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return the flat signature of a command for Typer, and a function that gathers flat values into groups.

    The fields of a group are options, or groups again. `CommonOptions` are gathered under their own name.
    The function raises UsageError for an invalid value.
    """
    options = flat_options(function)
    groups = {name: group for name, group, _ in _parameters(function) if _is_group(group)}
    own = inspect.signature(function, eval_str=True).parameters.values()
    shared = next((parameter.name for parameter in own if parameter.annotation is SharedOptions), None)

    switches = {name for flat in options for name in flat.names if name.startswith("--")}

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        gathered = dict(values)
        for flat in options:
            if flat.takes_value:
                texts = values[flat.name] or []
                if text := next((text for text in texts if text in switches), None):
                    raise value_error(flat.names[0], text)
                gathered[flat.name] = _read(flat, texts, function.__name__)
        gathered |= {name: _gather(group, gathered) for name, group in groups.items()}
        if shared:
            accepted = [gathered.pop(group.__name__) for group in _accepted(own)]
            gathered[shared] = SharedOptions().with_groups(*accepted)
        return gathered

    return inspect.Signature([_for_typer(flat) for flat in options]), gather


def walk_groups(values: Iterable[object]) -> Iterator[Group]:
    """Yield the groups among these values, and the groups inside them."""
    for value in values:
        if isinstance(value, Group):
            yield value
            yield from walk_groups(getattr(value, field.name) for field in fields(value))


def _parameters(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    """Return name, annotation and default of a command's parameters, except the session. Groups come last.

    In the place of `SharedOptions` stand those that the operation accepts (`Parameters.groups`), by the names of their
    classes, as do `CommonOptions`.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    rows: list[tuple[str, object, object]] = []
    for parameter in own:
        if parameter.annotation is SharedOptions:
            rows += _by_class(_accepted(own))
        else:
            rows.append((parameter.name, parameter.annotation, parameter.default))
    rows.sort(key=lambda row: _is_group(row[1]))
    return rows + _by_class([CommonOptions])


def _by_class(groups: Iterable[type[Group]]) -> list[tuple[str, object, object]]:
    return [(group.__name__, group, inspect.Parameter.empty) for group in groups]


def _accepted(own: Iterable[inspect.Parameter]) -> tuple[type[Group], ...]:
    return next(one.annotation.groups for one in own if hasattr(one.annotation, "groups"))


def _is_group(annotation: object) -> TypeGuard[type[Group]]:
    return isinstance(annotation, type) and issubclass(annotation, Group)


def _fields(group: type[Group]) -> Iterator[Flat]:
    for field in fields(group):
        if _is_group(field.type):
            yield from _fields(field.type)
        else:
            yield _flat(field.name, field.type, field.default, group.title)


def _flat(name: str, annotation: object, default: object, title: str) -> Flat:
    assert get_origin(annotation) is Annotated, annotation
    kind, about = get_args(annotation)
    own_title = about.title if isinstance(about, Option) else None
    return Flat(name, kind, about, default, own_title or title)


def _for_typer(flat: Flat) -> inspect.Parameter:
    import typer

    about = flat.about
    if isinstance(about, Argument):
        info: object = typer.Argument(metavar=about.metavar, help=about.help, show_default=False)
    else:
        info = typer.Option(*flat.names, metavar=about.metavar, hidden=about.hidden)
    default = inspect.Parameter.empty if flat.required else flat.default
    kind = flat.kind
    if flat.takes_value:  # a list of all values, for `_read`: Typer would use the last one
        kind, default = list[str] | None, None
    annotation = Annotated[kind, info]  # type: ignore[valid-type]  # the type is known only at run time
    return inspect.Parameter(flat.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def value_error(name: str, text: str) -> UsageError:
    """Return the error for an option whose value is the name of another option."""
    return UsageError(f"{name} requires a value, and {text} is an option")


def _read(flat: Flat, texts: list[str], command: str) -> object:
    """Return the value of an option from all values on the command line. Raise UsageError."""
    assert isinstance(flat.about, Option)
    name, kinds = flat.names[0], [get_origin(one) or one for one in (flat.kind, *get_args(flat.kind))]
    if not texts:
        return flat.default
    if not all(texts):
        raise UsageError(f"{name} is empty")
    if list in kinds:
        return texts
    if len(texts) > 1 and flat.about.sweep:  # of other options the last value counts, as scripts expect
        hint = f"Write a list or a range: {name} {','.join(texts)}"
        raise UsageError(f"{name} is given more than once", hint=hint)
    text = texts[-1]
    for kind in (int, float):
        if kind in kinds:
            return _read_number(name, text, kind, flat, command)
    return Path(text) if Path in kinds else text


def _read_number(name: str, text: str, kind: type[int] | type[float], flat: Flat, command: str) -> int | float:
    assert isinstance(flat.about, Option)
    low, high = flat.about.min, flat.about.max
    try:
        return read_number(name, text, kind, low, high)
    except UsageError:
        from .model_limits import find_span  # loads the catalog, which is needed for mistakes only

        if low is None and (span := find_span(command, flat.name)):
            return read_number(name, text, kind, *span)  # the same error, with the range
        raise


def _gather(group: type[Group], values: dict[str, Any]) -> Group:
    """Return a group with its values, which are removed from `values`."""
    gathered: dict[str, Any] = {}
    for field in fields(group):
        gathered[field.name] = _gather(field.type, values) if _is_group(field.type) else values.pop(field.name)
    return group(**gathered)
