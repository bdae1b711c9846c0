"""Groups of options by their long names, as a row of a batch file gives them.

A value may be text, as in CSV, or have a type, as in JSON and TOML: `steps: 8` and `steps: "8"` are the same.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ...batch.rows import Scalar, Value
from ...errors import UsageError
from ...text import clean, yes_or_no
from .compose import AXES


def columns(group: type[Any]) -> dict[str, tuple[str, Any]]:
    """The field and its type behind each long name of a group of options: `mask-box` is the field `box`, a text."""
    hints = get_type_hints(group, include_extras=True)
    found: dict[str, tuple[str, Any]] = {}
    for field in fields(group):
        hint = hints[field.name]
        assert get_origin(hint) is Annotated
        kind, about = get_args(hint)
        # Inside of Annotated, Typer takes the first name of an option for a default until it builds the command.
        names = (about.default, *(about.param_decls or ()))
        long = next((name[2:] for name in names if isinstance(name, str) and name.startswith("--")), field.name)
        found[long] = (field.name, kind)
    return found


def filled(group: type[Any], values: Mapping[str, Value], problems: list[str]) -> dict[str, Any]:
    """The fields of a group that `values` give, by long name; what cannot be goes to `problems`."""
    found: dict[str, Any] = {}
    for long, (name, kind) in columns(group).items():
        if long in values:
            try:
                found[name] = _converted(long, values[long], kind)
            except UsageError as error:
                problems.append(error.message)
    return found


def _converted(name: str, value: Value, kind: Any) -> Any:
    kinds = [get_origin(one) or one for one in get_args(kind) or (kind,)]
    if list in kinds:
        # A cell of CSV holds one text.
        return [_text(name, item) for item in value] if isinstance(value, list) else _text(name, value).split(";")
    if isinstance(value, list):
        if name not in AXES:
            raise UsageError(f"{name} takes one value, not a list")
        return ",".join(_text(name, item) for item in value)
    if bool in kinds:
        return _flag(name, value)
    for number in (int, float):
        if number in kinds:
            return _number(name, value, number)
    return next(one for one in kinds if one is not type(None))(_text(name, value))


def _text(name: str, value: Scalar) -> str:
    if isinstance(value, bool):
        raise UsageError(f"{name} takes a value, not {str(value).lower()}")
    return str(value)


def _flag(name: str, value: Scalar) -> bool:
    try:
        return yes_or_no(str(value)) == "true"
    except ValueError:
        raise UsageError(f"{name} is true or false, not {clean(str(value), 40)!r}") from None


def _number(name: str, value: Scalar, kind: type[int] | type[float]) -> int | float:
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise ValueError
        return kind(value)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name} takes {what}, not {clean(str(value), 40)!r}") from None
