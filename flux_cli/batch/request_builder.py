"""Requests from options. All problems are reported as one error, before anything is sent."""

import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Self

from ..config.catalog import Catalog, Model, Preset
from ..errors import Problems, UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at
from ..operations.base import Operation, Sized
from ..operations.limits import Size
from ..operations.options import SizeOptions, TaskOptions
from ..operations.parameters import Option, parameters
from ..operations.request import SEED_LIMIT, TaskRequest, merge
from ..text import join_or, lower_first, quoted, suggestion, trimmed
from .sweeps import parse_numbers

SIDE_STEP = 16
"""Pixels. Sides that are computed from an aspect ratio are multiples of this, as the models' latents require."""
DEEPEST = 32
"""The most levels of nested objects and lists in a request."""


@frozen
class Choices:
    """The numeric options of a task. None leaves a value to PiAPI; a seed of None is chosen at random."""

    guidance: float | None = None
    denoise: float | None = None
    steps: int | None = None
    seed: int | None = None


def axes_of(task: TaskOptions) -> dict[str, list[int | float]]:
    """Return the values of each numeric option that was given as a number, a list or a range. Raise UsageError.

    Sweeps nest in this order, and the last option changes fastest.
    """
    found: dict[str, list[int | float]] = {}
    for name, parameter in parameters(TaskOptions).items():
        text = getattr(task, parameter.field)
        if isinstance(parameter.about, Option) and parameter.about.sweep and text is not None:
            try:
                found[name] = list(parse_numbers(text, parameter.about.sweep))
            except UsageError as error:
                raise UsageError(f"invalid --{name} {error.message}", hint=error.hint) from error
    return found


def read_single_choice(task: TaskOptions) -> Choices:
    """Return the numeric options of a single task. Raise UsageError for a list."""
    axes = axes_of(task)
    if several := [name for name, values in axes.items() if len(values) > 1]:
        raise UsageError(f"--{several[0]} accepts one value here")
    chosen: dict[str, Any] = {name: values[0] for name, values in axes.items()}
    return Choices(**chosen)


@frozen
class Overrides:
    """Request fields from `--set` and `--input`. `--set` has precedence.

    values: all of them. rest: the ones that are merged into the body.
    model, prompt, seed, batch_size: part of the request itself, because price and file names depend on them.
    problems: the problems with them.
    """

    values: JsonObject = field(default_factory=dict)
    rest: JsonObject = field(default_factory=dict)
    model: str | None = None
    prompt: str | None = None
    seed: int | None = None
    batch_size: int | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str] | None, input_fields: JsonObject) -> Self:
        """Return the overrides of `--set` (each `PATH=VALUE`) and of `--input` (`input_fields`). Raise UsageError."""
        values, problems = input_fields, list[str]()
        for text in texts or []:
            path, equals, value = text.partition("=")
            names = path.strip().split(".")
            if equals and all(names) and len(names) <= DEEPEST:
                values = merge(values, _nested(names, _json_or_text(value)))
            else:
                problems.append(f"invalid --set {quoted(text, 60)}: expected PATH=VALUE, for example input.steps=30")
        return cls.split(values, problems)

    @classmethod
    def split(cls, values: JsonObject, problems: Sequence[str] = ()) -> Self:
        """Return overrides in which the fields of the request itself are separate. Raise UsageError if too deep."""
        found, wrong = dict[str, Any](), list(problems)
        values = _as_spelled(values, "model", "input", "config")
        if object_at(values, "config", "webhook_config").get("secret") is not None:
            wrong.append("a webhook's secret does not go into --set or --input: use --webhook-secret-file")
        if _depth(values) > DEEPEST:
            raise UsageError(f"--set or --input is nested more than {DEEPEST} levels deep")
        fields = _as_spelled(object_at(values, "input"), "prompt", "seed", "batch_size")
        kinds = {"model": (values, str), "prompt": (fields, str), "seed": (fields, int), "batch_size": (fields, int)}
        for name, (place, kind) in kinds.items():
            value = place.get(name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                wrong.append(f"{name} in --set or --input is not {'text' if kind is str else 'a whole number'}")
            elif value is not None:
                found[name] = value
        inner = {name: value for name, value in fields.items() if name not in kinds}
        rest = {name: value for name, value in values.items() if name not in ("model", "input")}
        return cls(values, rest | ({"input": inner} if inner else {}), **found, problems=tuple(wrong))


def read_input_file(path: Path | None) -> JsonObject:
    """Return the JSON object in the file of `--input`; empty if `path` is None. Raise UsageError."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read --input {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--input {path} is not a text file") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--input {path}: invalid JSON ({lower_first(str(error))})") from error
    if not isinstance(content, dict):
        raise UsageError(f"--input {path} is not a JSON object")
    return content


@frozen
class RequestBuilder:
    """A builder for the requests of a command or a row.

    settings: the resolved settings, overridden by options.
    operation: the common operation. Its prompt and its other shared fields are set for each request. Its size is the
        default.
    """

    catalog: Catalog
    settings: Mapping[str, str | None]
    task: TaskOptions
    size: SizeOptions
    overrides: Overrides
    operation: Operation

    @property
    def random_seed(self) -> bool:
        """Whether flux chooses the seed of each request, because neither an option nor an override has one."""
        return self.task.seed is None and self.overrides.seed is None

    def build(self, prompt: str, choices: Choices) -> TaskRequest:
        """Return the request for a prompt and its numeric options. Raise UsageError with all problems."""
        problems: Problems = list(self.overrides.problems)
        model = self._model(problems)
        request = TaskRequest(
            self._complete(prompt, choices, model, problems),
            model=model.id,
            seed=_seed(choices.seed if self.overrides.seed is None else self.overrides.seed, problems),
            service_mode=self.settings["service_mode"],
            webhook=self.settings["webhook"],
            overrides=self.overrides.rest,
        )
        problems += self.catalog.problems(request)
        if self.settings["dialect"] == "live":
            problems += request.operation.live_problems()
        if problems:
            raise UsageError.of(problems)
        return request

    def _complete(self, prompt: str, choices: Choices, model: Model, problems: Problems) -> Operation:
        """Return the operation with its prompt and its other shared fields."""
        operation, preset = self.operation, None
        if isinstance(operation, Sized):
            preset = self._preset(problems)
            width, height = self._size((operation.width, operation.height), preset, model, problems)
            operation = replace(operation, width=width, height=height)
        sizes = (self.overrides.batch_size, self.task.batch_size, 1)
        return replace(
            operation,
            prompt=_normalize(prompt if self.overrides.prompt is None else self.overrides.prompt),
            negative_prompt=None if self.task.negative_prompt is None else _normalize(self.task.negative_prompt),
            guidance=choices.guidance if choices.guidance is not None or preset is None else preset.guidance,
            denoise=choices.denoise if choices.denoise is not None or preset is None else preset.denoise,
            steps=choices.steps,
            batch_size=next(size for size in sizes if size is not None),
        )

    def _model(self, problems: Problems) -> Model:
        """Return the requested model. Without `-m`: the default model, or the first that supports the operation."""
        operation, override, commercial = self.operation.name, self.overrides.model, self.task.commercial
        word = override or self.settings["model"] or self.catalog.default_model
        if word == "auto":
            return self.catalog.choose(operation, commercial=commercial)
        requested = override is not None or self.task.model is not None
        model = self.catalog.model(word) if requested else self.catalog.model_for(operation, word)
        if commercial and not model.commercial:
            able = [other.name for other in self.catalog.supporting(operation, commercial=True)]
            instead = f"use {join_or(able)}" if able else f"no model that supports {operation} is"
            problems.append(f"{model.name} is not licensed for commercial use; {instead}")
        return model

    def _preset(self, problems: Problems) -> Preset | None:
        name, known = self.size.preset, self.catalog.presets
        if name is not None and name not in known:
            problems.append(UsageError(f"unknown preset {quoted(name, 40)}", hint=suggestion(name, known)))
        return None if name is None else known.get(name)

    def _size(self, natural: Size, preset: Preset | None, model: Model, problems: Problems) -> Size:
        size = self.size
        sides = None if size.width is None and size.height is None else "--width/--height"
        ways = {"--size": size.size, "--aspect": size.aspect, "--preset": size.preset, "--width/--height": sides}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            problems.append(f"{' and '.join(given)} cannot be used together")
        elif size.size is not None:
            return parse_size(size.size, problems) or natural
        elif size.aspect is not None:
            return parse_aspect(size.aspect, model.limits.pixels, problems) or natural
        elif preset is not None:
            return preset.width, preset.height
        return (
            natural[0] if size.width is None else size.width,
            natural[1] if size.height is None else size.height,
        )


def _normalize(text: str) -> str:
    """Return a text as it is sent: without white space around it, and with "\\n" at the ends of lines."""
    return trimmed(text).replace("\r\n", "\n")


def parse_size(text: str, problems: Problems) -> Size | None:
    """Return the size that `768x1024` describes; None, with a problem, for an invalid one."""
    if match := re.fullmatch(r"(\d{1,6})\s*[xX*]\s*(\d{1,6})", text.strip(), re.ASCII):
        return int(match[1]), int(match[2])
    problems.append(f"invalid --size {quoted(text, 40)}: expected WIDTHxHEIGHT, for example 768x1024")
    return None


def parse_aspect(text: str, pixels: int, problems: Problems) -> Size | None:
    """Return the largest size with the ratio `text` (`16:9`), in multiples of SIDE_STEP and up to `pixels` in total.

    Return None, with a problem, for an invalid ratio.
    """
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*[:x/]\s*(\d{1,4}(?:\.\d{1,4})?)", text.strip(), re.ASCII)
    across, down = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not across or not down or not 1 / 16 <= across / down <= 16:
        problems.append(f"invalid --aspect {quoted(text, 40)}: expected a ratio from 1:16 to 16:1, for example 16:9")
        return None
    scale = math.sqrt(pixels / (across * down))
    return (int(across * scale) // SIDE_STEP * SIDE_STEP), (int(down * scale) // SIDE_STEP * SIDE_STEP)


def _seed(seed: int | None, problems: Problems) -> int:
    if seed is None:
        return secrets.randbelow(SEED_LIMIT)
    if not 0 <= seed < SEED_LIMIT:
        problems.append(f"seed {seed} is out of range (0 to {SEED_LIMIT - 1})")
    return seed


def _as_spelled(fields: JsonObject, *names: str) -> JsonObject:
    """Return the fields with `names` in lower case, because PiAPI ignores their case, as Go's `encoding/json` does."""
    return {name.casefold() if name.casefold() in names else name: value for name, value in fields.items()}


def _depth(value: Json) -> int:
    """Return the number of nested levels of objects and lists in a value. Stop counting beyond DEEPEST."""
    level, deep = [value], 0
    while deep <= DEEPEST and any(isinstance(item, dict | list) for item in level):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level, deep = [item for items in inner for item in items], deep + 1
    return deep


def _nested(names: list[str], value: Json) -> JsonObject:
    """Return `{"a": {"b": value}}` for the names a, b."""
    for name in reversed(names[1:]):
        value = {name: value}
    return {names[0]: value}


def _json_or_text(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
