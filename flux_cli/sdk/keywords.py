"""Keyword arguments of the Python interface: the options of the command line by their long names, and the same checks.

What has a type there may have it here: `steps=8` and `steps="8"` are the same.
"""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any, TypedDict

from ..batch.rows import Value
from ..cli.buying.making import KINDS
from ..cli.context import Session
from ..cli.options.columns import columns, filled
from ..cli.options.compose import Wanted, single_choice
from ..cli.options.options import SaveOptions
from ..cli.options.request_options import Given
from ..errors import UsageError
from ..frozen import frozen
from ..operations.request import TaskRequest
from ..text import clean, with_guess

Image = str | PathLike[str]
"""A path, an address, `@ID` or `@last`."""
Many = str | Sequence[str]
OF_SAVING = ("output", "overwrite", "no-metadata")


class TaskKeywords(TypedDict, total=False):
    """What every call that makes pictures takes.

    wait: False returns as soon as the task is accepted; its pictures come with `wait(task_id)`.
    no_cache: generate and pay again, even if an identical image exists. max_cost: USD; yes: go above `confirm_above`.
    """

    model: str | None
    commercial: bool
    negative: str | None
    guidance: float | None
    denoise: float | None
    steps: int | None
    seed: int | None
    batch_size: int | None
    service_mode: str | None
    webhook: str | None
    webhook_secret_file: Image | None
    set: Many | None
    input: Image | None
    output: Image | None
    overwrite: bool
    no_metadata: bool
    wait: bool
    no_cache: bool
    max_cost: float | str | None
    yes: bool


class SizedKeywords(TaskKeywords, total=False):
    """Of calls whose pictures can be given a size."""

    size: str | None
    aspect: str | None
    width: int | None
    height: int | None
    preset: str | None


class LoraKeywords(SizedKeywords, total=False):
    """Of `lora`."""

    image: Image | None
    no_fit: bool


class ControlnetKeywords(SizedKeywords, total=False):
    """Of `controlnet`."""

    lora: Many | None
    keep_control: bool
    no_fit: bool


class EditKeywords(SizedKeywords, total=False):
    """Of `edit`."""

    kontext: bool
    no_fit: bool


class ReduxKeywords(SizedKeywords, total=False):
    """Of `redux`."""

    strength: float | None
    no_fit: bool


class InpaintKeywords(TaskKeywords, total=False):
    """Of `inpaint`: one way to say where."""

    mask: Image | None
    mask_box: str | None
    mask_color: str | None
    mask_alpha: bool
    feather: int
    invert: bool
    no_fit: bool


class OutpaintKeywords(TaskKeywords, total=False):
    """Of `outpaint`: how far, in pixels or `"25%"` of the side."""

    left: int | str
    right: int | str
    top: int | str
    bottom: int | str
    no_fit: bool


@frozen
class Order:
    """A request, and what is to be done with it. random_seed: the caller asked for no seed."""

    request: TaskRequest
    random_seed: bool
    save: SaveOptions
    wait: bool
    no_cache: bool
    yes: bool
    max_cost: str | None


def ordered(session: Session, op: str, keywords: Mapping[str, object]) -> Order:
    """What a call asks for. Raises UsageError with every problem in it."""
    given = {name: value for name, value in keywords.items() if value is not None}
    flags = {
        name: bool(given.pop(name, usual)) for name, usual in (("wait", True), ("no_cache", False), ("yes", False))
    }
    max_cost = given.pop("max_cost", None)
    values = {name.replace("_", "-"): _value(name, value) for name, value in given.items()}
    request, save = _request(session, op, values)
    return Order(
        request,
        "seed" not in given and "set" not in given,
        save,
        max_cost=None if max_cost is None else str(max_cost),
        **flags,
    )


def saving(keywords: Mapping[str, object]) -> SaveOptions:
    """Where pictures go. Raises UsageError."""
    given = {name.replace("_", "-"): _value(name, value) for name, value in keywords.items() if value is not None}
    problems: list[str] = []
    save = SaveOptions(**filled(SaveOptions, given, problems))
    if save.to_stdout:
        problems.append("output '-' is for the command line")
    if problems:
        raise UsageError.of(problems)
    return save


def _request(session: Session, op: str, values: Mapping[str, Value]) -> tuple[TaskRequest, SaveOptions]:
    kind = KINDS[op]
    groups = {name: type(getattr(Given(), name)) for name in kind.groups}
    known = [name for group in (kind.arguments, *groups.values()) for name in columns(group) if name != "show-mask"]
    problems = [_unknown(name, known) for name in values if name not in (*known, *OF_SAVING)]
    # A picture is read from a pipe by one command line, not by a program with pipes of its own.
    problems += [f"{name} '-' is for the command line" for name in ("image", "mask") if values.get(name) == "-"]
    own = filled(kind.arguments, values, problems)
    given = Given(**{name: group(**filled(group, values, problems)) for name, group in groups.items()})
    save = saving({name.replace("-", "_"): values[name] for name in OF_SAVING if name in values})
    if problems:
        raise UsageError.of(problems)
    prompt = own.get("prompt", kind.prompt)
    if prompt is None:
        raise UsageError("a prompt is missing")
    make = kind.make(session, kind.arguments(**own), given)
    return make(Wanted(prompt, single_choice(given.task))), save


def _unknown(name: str, known: Sequence[str]) -> str:
    words = [word.replace("-", "_") for word in known]
    word = name.replace("-", "_")
    return with_guess(f"no keyword here is called {clean(word, 40)!r}", word, words)


def _value(name: str, value: Any) -> Value:
    """A keyword's value as a batch file would have it."""
    if isinstance(value, PathLike):
        return str(fspath(value))
    if name in ("lora", "control", "set"):
        return [value] if isinstance(value, str) else [str(item) for item in value]
    if isinstance(value, str | int | float):
        return value
    raise UsageError(f"{name} takes a text, a number, or true or false, not {type(value).__name__}")
