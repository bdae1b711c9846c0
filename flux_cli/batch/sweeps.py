"""Sweeps: the product of the choices in a prompt (`{red|blue} car`), of variables, and of lists of numeric options.

A prompt is parsed once. Alternatives and values are inserted as text and never parsed as templates, so that a value
cannot add tasks.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TypeAlias, TypeVar

from ..errors import Problems, UsageError
from ..frozen import frozen
from ..images.output_names import PLACEHOLDERS
from ..text import clean, describe_number, file_name, quoted
from .prompts import read_prompts

VALUES_LIMIT = 10_000
"""The most values of a numeric option."""

Number = TypeVar("Number", int, float)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The first alternative wins, as in str.format: "{{{a|b}}}" is a brace, a group, and a brace.
_BRACES = re.compile(r"\{\{|\}\}|\{(?P<group>[^{}]*)\}|[{}]")
_GROUP = re.compile(r"\{[^{}]*\|[^{}]*\}")
_OPEN_CHOICE = re.compile(r"(?<!\{)\{[^{}]*\|[^{}]*(?=\{|$)")
_BRACE = re.compile(r"\{\{|\}\}|[{}]")
_RANGE = re.compile(r"([+-]?[0-9]{1,20})\.\.([+-]?[0-9]{1,20})(?:\.\.([0-9]{1,20}))?")
_WHOLE = re.compile(r"([+-]?[0-9]{1,20})(?:\.0+)?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@frozen
class Variant:
    """A variant of a sweep: the finished prompt, and the values of its variables and numeric options."""

    prompt: str
    variables: Mapping[str, str]
    options: Mapping[str, int | float]


@frozen
class _Reference:
    name: str


_Piece: TypeAlias = tuple[str, ...] | _Reference
"""A part of a prompt: the alternatives of a group (plain text is a single one), or a variable."""


def expand(
    prompt: str, variables: Mapping[str, Sequence[str]], axes: Mapping[str, Sequence[int | float]]
) -> Iterator[Variant]:
    """Return an iterator over all variants. Choices change slowest, then variables, then numeric options.

    Raise UsageError immediately if prompt and variables do not match.
    """
    return _variants(_checked(prompt, variables, axes), variables, axes)


def count(prompt: str, variables: Mapping[str, Sequence[str]], axes: Mapping[str, Sequence[int | float]]) -> int:
    """Return the number of variants that `expand` yields, without generating them. Raise UsageError as it does."""
    groups = [piece for piece in _checked(prompt, variables, axes) if isinstance(piece, tuple)]
    return math.prod(map(len, [*groups, *variables.values(), *axes.values()]))


def escape_braces(prompt: str) -> str:
    """Return a prompt without variables as a template. If it has no choice, its single braces are escaped.

    Raise UsageError for a choice that is not closed.
    """
    if _is_json_object(prompt):
        return prompt.replace("{", "{{").replace("}", "}}")
    if _GROUP.search(prompt):
        return prompt
    if open_choice := _OPEN_CHOICE.search(prompt):
        raise UsageError(
            f"unclosed brace in {quoted(open_choice.group(), 40)}", hint="Write {a|b}, or {{ for a literal brace"
        )
    return _BRACE.sub(lambda brace: brace.group() if len(brace.group()) == 2 else brace.group() * 2, prompt)


def _is_json_object(prompt: str) -> bool:
    """Return whether a prompt is a JSON object, as Black Forest Labs recommends for Flux."""
    try:
        return prompt.lstrip().startswith("{") and isinstance(json.loads(prompt), dict)
    except (ValueError, RecursionError):
        return False


def parse_vary(text: str) -> tuple[str, list[str]]:
    """Return the name and the values of `name=a,"b, c"` or `name=@file` (one value per line). Raise UsageError."""
    name, equals, written = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise UsageError(f"invalid --vary {quoted(text, 80)}: expected NAME=A,B or NAME=@FILE")
    if name in PLACEHOLDERS:
        raise UsageError(f"a variable cannot be called {name}: in output names, {{{name}}} is {PLACEHOLDERS[name]}")
    if written.startswith("@"):
        return name, _values_of_file(name, written[1:])
    try:
        values = next(csv.reader([written], strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        raise UsageError(f"the values of {name} are not a list: {clean(reason)}") from None
    if not all(map(str.strip, values or [""])):
        raise UsageError(f"{name} has an empty value", hint=f'Write {name}=a,b,c, and "a, b" for a value with a comma')
    return name, values


def parse_numbers(text: str, kind: type[Number]) -> list[Number]:
    """Return the numbers of `3,3.5,4`, `1..4`, `4..1` or `0..10..5` in order, without duplicates.

    Raise UsageError, whose message begins with the value."""
    numbers: dict[Number, None] = {}
    for item in text.split(","):
        numbers.update(dict.fromkeys(_numbers_of(item.strip(), kind)))
        if len(numbers) > VALUES_LIMIT:
            raise _too_many(text)
    return list(numbers)


def _numbers_of(item: str, kind: type[Number]) -> list[Number]:
    if match := _RANGE.fullmatch(item):
        first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
        if step == 0:
            raise UsageError(f"{quoted(item, 40)}: the step is 0")
        if abs(last - first) // step >= VALUES_LIMIT:
            raise _too_many(item)
        steps = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
        return [kind(number) for number in steps]
    if kind is int and (whole := _WHOLE.fullmatch(item)):  # pandas writes 42.0 for 42
        return [kind(whole[1])]
    if kind is float and _DECIMAL.fullmatch(item) and math.isfinite(number := kind(item)):
        return [number]
    hint = "Or write a list (1,2,5), a range (1..4), or a range with a step (0..10..5)"
    if kind is int and _DECIMAL.fullmatch(item):
        hint = "A spreadsheet may have rounded it; format the column as text" if "e" in item.lower() else hint
    raise UsageError(f"{quoted(item, 40)}: expected {describe_number(kind)}", hint=hint)


def _too_many(text: str) -> UsageError:
    return UsageError(f"{quoted(text, 40)}: more than {VALUES_LIMIT:,} values")


def _values_of_file(name: str, path: str) -> list[str]:
    try:
        with open(path, "rb") as stream:
            return [str(row.fields["prompt"]) for row in read_prompts(stream, path)]
    except UsageError as error:  # its hint is for a command that reads the file itself
        raise UsageError(error.message, details=error.details) from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the values of {name}: {file_name(path, 80)} is not a text file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot read the values of {name} from {file_name(path, 80)}: {clean(reason)}") from None


def _pieces(prompt: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    end = 0
    for match in _BRACES.finditer(prompt):
        pieces.append((prompt[end : match.start()],))
        pieces.append(_piece(match))
        end = match.end()
    return [*pieces, (prompt[end:],)]


def _piece(match: re.Match[str]) -> _Piece:
    group, found = match["group"], match.group()
    if found in ("{{", "}}"):
        return (found[0],)
    if group is None:
        raise _stray(match)
    if "|" in group:
        if "$$" in group:  # the syntax of Dynamic Prompts for several alternatives
            raise UsageError(f"{quoted(found, 40)} is not a choice", hint="Write {a|b}, which takes one of them")
        return tuple(group.split("|"))
    if not _NAME.fullmatch(group):
        raise UsageError(
            f"{quoted(found, 40)} is neither a choice nor a variable",
            hint="Write {red|blue} for a choice, {name} for a variable, {{ and }} for braces",
        )
    return _Reference(group)


def _stray(match: re.Match[str]) -> UsageError:
    brace, following = match.group(), _BRACES.search(match.string, match.end())
    if brace == "{" and following and following.group().startswith("{"):
        what = "braces cannot be nested"
    else:
        what = f"unmatched {brace} in the prompt"
    around = match.string[max(0, match.start() - 20) : match.start() + 40]
    return UsageError(f"{what}: {quoted(around)}", hint="Write {{ and }} for literal braces")


def _checked(
    prompt: str, variables: Mapping[str, Sequence[str]], axes: Mapping[str, Sequence[int | float]]
) -> list[_Piece]:
    """Return the pieces of the prompt. Raise UsageError if prompt, variables and options do not match."""
    pieces = _pieces(prompt)
    used = {piece.name: None for piece in pieces if isinstance(piece, _Reference)}
    hint = "Add --vary NAME=A,B. For literal braces, write {{NAME}}"
    unknown = [name for name in used if name not in variables]
    problems: Problems = [UsageError(f"{{{name}}} in the prompt has no values", hint=hint) for name in unknown]
    # Each value of an unused variable would generate the same image again.
    problems += [
        f"--vary {name} has no effect: {{{name}}} is not in the prompt" for name in variables if name not in used
    ]
    problems += [f"{name} has no values" for name, values in {**variables, **axes}.items() if not values]
    if problems:
        raise UsageError.of(problems)
    return pieces


def _variants(
    pieces: list[_Piece], variables: Mapping[str, Sequence[str]], axes: Mapping[str, Sequence[int | float]]
) -> Iterator[Variant]:
    written: list[tuple[str | _Reference, ...]] = [
        (piece,) if isinstance(piece, _Reference) else piece for piece in pieces
    ]
    for parts in product(*written):
        for values in product(*variables.values()):
            chosen = dict(zip(variables, values, strict=True))
            finished = "".join(part if isinstance(part, str) else chosen[part.name] for part in parts)
            for numbers in product(*axes.values()):
                yield Variant(finished, chosen, dict(zip(axes, numbers, strict=True)))
