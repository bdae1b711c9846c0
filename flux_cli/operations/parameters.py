"""Options and arguments as plain data, for Typer, the rows of a batch file, help and the Python interface.

A group is a frozen class whose fields are `Annotated` with an `Option` or an `Argument`. In a row and as a keyword,
the name of a field is the long name of its option: `mask-box` is the field `box` of `MaskOptions`. A value may be text,
as in CSV, or typed, as in JSON and TOML: `steps: 8` and `steps: "8"` are the same.
"""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, MISSING, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, TypeAlias, TypeVar, get_args, get_origin

from ..errors import Problems, UsageError
from ..frozen import frozen
from ..text import clean, describe_number, quoted, yes_or_no

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Scalar | list[Scalar]
"""A value of a row of a batch file, or of a keyword argument."""


@frozen
class Option:
    """An option of a command.

    names: the names as in help, the long one last: `-m, --model`.
    metavar: the placeholder of the value in help; None for a switch.
    help: the text for `--help`. `{steps}`, or another field of `ModelLimits`, is replaced by the models' limits.
    short: the text for `-h`, which lists only the common options; None for an option that it omits.
    default: the default in help, if it differs from the field's value: `random`.
    title: the heading in help, if it differs from that of the group.
    min, max: the range of a number; None for no limit.
    sweep: the type of the numbers, if a list or a range of them makes one task per number.
    """

    names: str
    _: KW_ONLY
    metavar: str | None = None
    help: str | None = None
    short: str | None = None
    default: str | None = None
    title: str | None = None
    hidden: bool = False
    min: int | None = None
    max: int | None = None
    sweep: type[int] | type[float] | None = None


@frozen
class Argument:
    """A positional argument of a command. metavar: its name in help. help, default: as for an option."""

    metavar: str
    _: KW_ONLY
    help: str
    default: str | None = None


@frozen
class Group:
    """A group of options. title: their heading in help. sets: the fields that override the setting of the same name."""

    title: ClassVar[str]
    sets: ClassVar[tuple[str, ...]] = ()

    def settings(self) -> dict[str, str | None]:
        """Return the value of each field in `sets`, as text; None for an option that was not given."""
        return {name: _setting(getattr(self, name)) for name in self.sets}


def _setting(value: object) -> str | None:
    if value is None or value is False:
        return None
    return "true" if value is True else str(value)


G = TypeVar("G", bound=Group)


@frozen
class Parameter:
    """A field of a group: its name and type in Python, and the option or argument that sets it."""

    field: str
    type: object
    about: Option | Argument
    required: bool

    @property
    def kinds(self) -> list[object]:
        """The types of its values, without type arguments: `list` and `NoneType` for `list[str] | None`."""
        types = get_args(self.type) if isinstance(self.type, UnionType) else (self.type,)
        return [get_origin(one) or one for one in types]


_PARAMETERS: dict[type[Group], dict[str, Parameter]] = {}
"""The parameters of each group, cached because a batch file needs them for every row."""


def parameters(group: type[Group]) -> Mapping[str, Parameter]:
    """Return the fields of a group by their long names."""
    if group not in _PARAMETERS:
        found: dict[str, Parameter] = {}
        for field in fields(group):
            kind, about = get_args(field.type)
            long = about.names.rpartition("--")[2] if isinstance(about, Option) else field.name
            found[long] = Parameter(field.name, kind, about, field.default is MISSING)
        _PARAMETERS[group] = found
    return _PARAMETERS[group]


def read_group(group: type[G], values: Mapping[str, Value], problems: Problems) -> G | None:
    """Return the group with these values, by long name.

    Return None if a field without a default has no value. Every error is added to `problems`.
    """
    found = _read(group, values, problems)
    required = {long: parameter.field for long, parameter in parameters(group).items() if parameter.required}
    problems += [f"{'an' if long[0] in 'aeiou' else 'a'} {long} is missing" for long in required if long not in values]
    return group(**found) if found.keys() >= set(required.values()) else None


def change_group(group: G, values: Mapping[str, Value], problems: Problems) -> G:
    """Return the group with `values`, by long name, in place of its own. Every error is added to `problems`."""
    return replace(group, **_read(type(group), values, problems))


def _read(group: type[Group], values: Mapping[str, Value], problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for long, parameter in parameters(group).items():
        if long in values:
            try:
                found[parameter.field] = _convert(long, values[long], parameter)
            except UsageError as error:
                problems.append(error)
    return found


def _convert(name: str, value: Value, parameter: Parameter) -> object:
    kinds, about = parameter.kinds, parameter.about
    sweep = about.sweep if isinstance(about, Option) else None
    if list in kinds:
        # A CSV cell cannot contain a list.
        return [_text(name, item) for item in value] if isinstance(value, list) else _text(name, value).split(";")
    if isinstance(value, list):
        if not sweep:
            raise UsageError(f"{name} accepts one value, not a list")
        return ",".join(_text(name, item) for item in value)
    if sweep and "," in str(value):
        # In half of Europe a spreadsheet writes 3.5 as 3,5, which must not become two images.
        text = str(value)
        decimal = sweep is float and text.count(",") == 1
        hint = f"Write {clean(text.replace(',', '.'), 40)}" if decimal else None
        expected = "expected a number or a range, for example 1..4"
        raise UsageError(f"invalid {name} {quoted(text, 40)}: {expected}", hint=hint)
    if bool in kinds:
        return _flag(name, value)
    for number in (int, float):
        if number in kinds:
            assert isinstance(about, Option)
            return read_number(name, value, number, about.min, about.max)
    return Path(_text(name, value)) if Path in kinds else _text(name, value)


def _text(name: str, value: Scalar) -> str:
    if isinstance(value, bool):
        raise UsageError(f"{name} requires a value, not {str(value).lower()}")
    if isinstance(value, float) and value.is_integer():  # pandas writes the whole numbers of a column as 42.0
        return str(int(value))
    return str(value)


def _flag(name: str, value: Scalar) -> bool:
    try:
        return yes_or_no(str(value)) == "true"
    except ValueError:
        raise UsageError(f"invalid {name} {quoted(str(value), 40)}: expected true or false") from None


def read_number(
    name: str, value: Scalar, kind: type[int] | type[float], low: float | None = None, high: float | None = None
) -> int | float:
    """Return a value as a number from `low` to `high`. Raise UsageError. name: the name of the value in the error."""
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float) and not value.is_integer()):
            raise ValueError
        number = kind(re.sub(r"\.0+$", "", value.strip()) if isinstance(value, str) else value)
        if (low is not None and number < low) or (high is not None and number > high):
            raise ValueError
    except ValueError:
        expected = describe_number(kind, low, high)
        raise UsageError(f"invalid {name} {quoted(str(value), 40)}: expected {expected}") from None
    return number
