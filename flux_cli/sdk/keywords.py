"""Keyword arguments of the Python API: the options of the command line by their long names, with the same checks.

A value can have its own type or be a string: `steps=8` and `steps="8"` are the same.
"""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import TypedDict

from ..batch.request_builder import read_input_file, read_single_choice
from ..cli.drafts import make_request_builder
from ..cli.options import SaveOptions
from ..cli.session import Session
from ..errors import Problems, UsageError
from ..frozen import frozen
from ..operations.options import SharedOptions
from ..operations.parameters import Value, change_group, parameters, read_group
from ..operations.registry import PARAMETERS
from ..operations.request import TaskRequest
from ..text import guess, quoted

Image = str | PathLike[str]
"""A path, a URL, `@ID` or `@last`."""
Strings = str | Sequence[str]
SAVE_KEYWORDS = ("output", "overwrite", "no-metadata")


class TaskKeywords(TypedDict, total=False):
    """Keyword arguments of every call that generates images.

    wait: False returns as soon as the task is accepted; `wait(task_id)` saves its images.
    no_cache: generate and pay again, even if an identical image exists. max_cost: USD; yes: go above `confirm_above`.
    """

    model: str | None
    commercial: bool
    negative_prompt: str | None
    guidance: float | None
    denoise: float | None
    steps: int | None
    seed: int | None
    batch_size: int | None
    service_mode: str | None
    webhook: str | None
    webhook_secret_file: Image | None
    set: Strings | None
    input: Image | None
    output: Image | None
    overwrite: bool
    no_metadata: bool
    wait: bool
    no_cache: bool
    max_cost: float | str | None
    yes: bool


class SizedKeywords(TaskKeywords, total=False):
    """Keyword arguments of calls with an image size."""

    size: str | None
    aspect: str | None
    width: int | None
    height: int | None
    preset: str | None


class LoraKeywords(SizedKeywords, total=False):
    """Keyword arguments of `lora`."""

    image: Image | None
    any_name: bool
    no_fit: bool


class ControlnetKeywords(SizedKeywords, total=False):
    """Keyword arguments of `controlnet`."""

    lora: Strings | None
    keep_control: bool
    any_name: bool
    no_fit: bool


class EditKeywords(SizedKeywords, total=False):
    """Keyword arguments of `edit`."""

    kontext: bool
    no_fit: bool


class ReduxKeywords(SizedKeywords, total=False):
    """Keyword arguments of `redux`."""

    strength: float | None
    no_fit: bool


class InpaintKeywords(TaskKeywords, total=False):
    """Keyword arguments of `inpaint`; exactly one defines the region."""

    mask: Image | None
    mask_box: str | None
    mask_color: str | None
    mask_alpha: bool
    feather: int
    invert: bool
    no_fit: bool


class OutpaintKeywords(TaskKeywords, total=False):
    """Keyword arguments of `outpaint`; margins in pixels, or as `"25%"` of the side."""

    left: int | str
    right: int | str
    top: int | str
    bottom: int | str
    no_fit: bool


@frozen
class Order:
    """A request with the options of its call. random_seed: whether flux chose the seed."""

    request: TaskRequest
    random_seed: bool
    save: SaveOptions
    wait: bool
    no_cache: bool
    yes: bool
    max_cost: str | None


def read_order(session: Session, op: str, keywords: Mapping[str, object]) -> Order:
    """Return the order of a call. Raise UsageError with all problems."""
    keywords = {name: value for name, value in keywords.items() if value is not None}
    wait, no_cache = bool(keywords.pop("wait", True)), bool(keywords.pop("no_cache", False))
    yes, max_cost = bool(keywords.pop("yes", False)), keywords.pop("max_cost", None)
    command, values = PARAMETERS[op], _read_values(keywords)
    known = {name: it for group in (command, *command.groups) for name, it in parameters(group).items()}
    known.pop("show-mask", None)
    problems: Problems = [_unknown(name, [*known]) for name in values if name not in (*known, *SAVE_KEYWORDS)]
    for name, parameter in known.items():
        value = values.get(name)
        if value == "-" and parameter.about.metavar == "IMG":
            # Only a command line reads an image from stdin; a program uses stdin itself.
            problems.append(f"{name} '-' is for the command line")
        elif isinstance(value, str) and list in parameter.kinds:
            values[name] = [value]
    own = read_group(command, values, problems)
    none = SharedOptions()
    shared = none.with_groups(*(change_group(none.get(group), values, problems) for group in command.groups))
    save = _read_saving({name: value for name, value in values.items() if name in SAVE_KEYWORDS})
    if problems or own is None:
        raise UsageError.of(problems)
    prompt = own.required_prompt
    builder = make_request_builder(session, own, shared, read_input_file(shared.task.input_file))
    request = builder.build(prompt, read_single_choice(shared.task))
    return Order(request, builder.random_seed, save, wait, no_cache, yes, None if max_cost is None else str(max_cost))


def read_saving(keywords: Mapping[str, object]) -> SaveOptions:
    """Return the options for saving images. Raise UsageError."""
    return _read_saving(_read_values(keywords))


def _read_saving(values: Mapping[str, Value]) -> SaveOptions:
    problems: Problems = []
    save = change_group(SaveOptions(), values, problems)
    if save.to_stdout:
        problems.append("output '-' is for the command line")
    if problems:
        raise UsageError.of(problems)
    return save


def _read_values(keywords: Mapping[str, object]) -> dict[str, Value]:
    """Return the keywords that are not None, by the long names of options."""
    values = {name: value for name, value in keywords.items() if value is not None}
    return {name.replace("_", "-"): _read_value(name, value) for name, value in values.items()}


def _unknown(name: str, known: Sequence[str]) -> UsageError:
    words = [word.replace("-", "_") for word in known]
    word = name.replace("-", "_")
    return UsageError(f"unknown keyword {quoted(word, 40)}", hint=guess(word, words))


def _read_value(name: str, value: object) -> Value:
    """Return the value of a keyword as in a batch file. Raise UsageError for another type."""
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    if isinstance(value, str | int | float):
        return value
    raise UsageError(f"{name} must be a string, a number or a boolean, not {type(value).__name__}")
