"""The type of a parsed JSON value, and tolerant functions that read one.

Responses come from outside: an unexpected value counts as absent, and never raises an error.
"""

from collections.abc import Callable
from typing import TypeAlias

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
JsonObject: TypeAlias = dict[str, Json]


def object_at(value: Json, *path: str) -> JsonObject:
    """Return the object at `path`; an empty one if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text_at(value: Json, *path: str) -> str:
    """Return the string at `path`, stripped; empty if there is none."""
    found = object_at(value, *path[:-1]).get(path[-1])
    return found.strip() if isinstance(found, str) else ""


def number_at(value: Json, *path: str) -> int | None:
    """Return the whole number at `path`, even if it is written as a string of digits."""
    found = object_at(value, *path[:-1]).get(path[-1])
    if isinstance(found, str) and found.strip().isascii() and found.strip().isdigit():
        return int(found) if len(found) < 19 else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def strings_in(value: Json, depth: int = 8) -> list[str]:
    """Return every string in `value`, in order, at most `depth` levels down."""
    if isinstance(value, str):
        return [value]
    if depth == 0 or not isinstance(value, list | dict):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [text for item in inner for text in strings_in(item, depth - 1)]


def change_strings(value: Json, change: Callable[[str], str]) -> Json:
    """Return `value` with `change` applied to every string in it, except the names in objects."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [change_strings(item, change) for item in value]
    return {name: change_strings(item, change) for name, item in value.items()} if isinstance(value, dict) else value
