"""Options into a request: every problem in one error, before anything is sent."""

import difflib
import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .catalog import Catalog, Model, Preset
from .errors import UsageError
from .json_value import Json, JsonObject, number_at
from .names import prompt_slug
from .operations import LoRA, Operation
from .options import SizeOptions, TaskOptions
from .request import SEED_LIMIT, TaskRequest
from .text import clean
from .wire import dialect_problems, merged

SIDE_STEP = 16
"""Sides worked out from an aspect ratio are multiples of this many pixels, as the model's latents are."""
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Composer:
    """Makes requests from options. `settings` are resolved, the options among them."""

    catalog: Catalog
    settings: Mapping[str, str | None]
    task: TaskOptions
    shape: SizeOptions | None = None
    natural_size: Size | None = None
    """The size when none is asked for; 1024x1024 when this is not given either."""

    def request(self, kind: type[Operation], **fields: Any) -> TaskRequest:
        """The request for an operation with these fields of its own.

        Raises UsageError with all problems in one message.
        """
        problems: list[str] = []
        preset = self._preset(problems)
        overrides = self._overrides(problems)
        if self.shape is not None:
            fields["width"], fields["height"] = self._size(self.shape, preset, problems)
        task = self.task
        operation = kind(
            negative_prompt=task.negative,
            guidance=task.guidance if task.guidance is not None or preset is None else preset.guidance,
            denoise=task.denoise if task.denoise is not None or preset is None else preset.denoise,
            steps=task.steps,
            batch_size=task.batch_size,
            **fields,
        )
        seed = number_at(overrides, "input", "seed")
        request = TaskRequest(
            operation,
            model=self._model(kind.name, problems).id,
            seed=self._seed(problems) if seed is None else seed,
            service_mode=self.settings["service_mode"],
            webhook=self.settings["webhook"],
            overrides=overrides,
        )
        problems += self.catalog.problems(request)
        problems += dialect_problems(request, self.settings["dialect"] or "both")
        if problems:
            raise UsageError.of(problems)
        return request

    def _model(self, operation: str, problems: list[str]) -> Model:
        """The one that was asked for; without `-m`, the usual one or the first that is able."""
        word = self.settings["model"] or "dev"
        if word == "auto":
            return self.catalog.choose(operation, commercial=self.task.commercial)
        asked = self.task.model is not None
        model = self.catalog.model(word) if asked else self.catalog.able(operation, word)
        if self.task.commercial and not model.commercial:
            able = ", ".join(other.name for other in self.catalog.models.values() if other.commercial)
            problems.append(f"pictures of {model.name} may not be used commercially; those of {able} may")
        return model

    def _preset(self, problems: list[str]) -> Preset | None:
        if self.shape is None or self.shape.preset is None:
            return None
        known = self.catalog.presets
        if self.shape.preset not in known:
            problems.append(f"no preset is called {clean(self.shape.preset, 40)!r}: {', '.join(known)}")
        return known.get(self.shape.preset)

    def _size(self, shape: SizeOptions, preset: Preset | None, problems: list[str]) -> Size:
        natural = self.natural_size or (1024, 1024)
        sides = "--width and --height" if shape.width is not None or shape.height is not None else None
        ways = {"--size": shape.size, "--aspect": shape.aspect, "--preset": shape.preset, "sides": sides}
        given = [value if name == "sides" else name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            problems.append(f"give only one of {', '.join(map(str, given))}")
        elif shape.size is not None:
            return parse_size(shape.size, problems)
        elif shape.aspect is not None:
            return aspect_size(shape.aspect, self.catalog.model("dev").limits.pixels, problems)
        elif preset is not None:
            return preset.width, preset.height
        width, height = shape.width, shape.height
        return (natural[0] if width is None else width), (natural[1] if height is None else height)

    def _seed(self, problems: list[str]) -> int:
        seed = self.task.seed
        if seed is None:
            return secrets.randbelow(SEED_LIMIT)
        if not 0 <= seed < SEED_LIMIT:
            problems.append(f"seed {seed} is out of range: 0 to {SEED_LIMIT - 1}")
        return seed

    def _overrides(self, problems: list[str]) -> JsonObject:
        """`--input`, and `--set` laid over it."""
        found: JsonObject = {}
        if self.task.body is not None:
            found = read_body(self.task.body)
        for text in self.task.overrides or []:
            path, equals, value = text.partition("=")
            names = path.strip().split(".")
            if not equals or not all(names):
                problems.append(f"--set {clean(text, 60)!r} is not PATH=VALUE, such as input.steps=30")
                continue
            found = merged(found, nested(names, parsed(value)))
        return found


def read_body(path: Path) -> JsonObject:
    """The JSON object in a file. Raises UsageError."""
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read --input {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--input {path} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UsageError(f"--input {path} is not a JSON object")
    return body


def nested(names: list[str], value: Json) -> JsonObject:
    """`{"a": {"b": value}}` for the names a, b."""
    for name in reversed(names[1:]):
        value = {name: value}
    return {names[0]: value}


def parsed(text: str) -> Json:
    """A JSON value, or the text itself when it is none."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def parse_size(text: str, problems: list[str]) -> Size:
    """`768x1024`."""
    if match := re.fullmatch(r"(\d{1,6})\s*[xX*]\s*(\d{1,6})", text.strip(), re.ASCII):
        return int(match[1]), int(match[2])
    problems.append(f"--size {clean(text, 40)!r} is not WIDTHxHEIGHT, such as 768x1024")
    return 1024, 1024


def aspect_size(text: str, pixels: int, problems: list[str]) -> Size:
    """The largest size with the ratio `text` (`16:9`), in multiples of 16, within `pixels` in all."""
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*[:x/]\s*(\d{1,4}(?:\.\d{1,4})?)", text.strip(), re.ASCII)
    across, down = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not across or not down or not 1 / 16 <= across / down <= 16:
        problems.append(f"--aspect {clean(text, 40)!r} is not a ratio between 1:16 and 16:1, such as 16:9")
        return 1024, 1024
    scale = math.sqrt(pixels / (across * down))
    return (int(across * scale) // SIDE_STEP * SIDE_STEP), (int(down * scale) // SIDE_STEP * SIDE_STEP)


def parse_lora(text: str) -> LoRA:
    """`NAME[:STRENGTH]` or an address with `:STRENGTH` behind its path. Raises UsageError."""
    name, colon, strength = text.rpartition(":")
    if not colon or strength.startswith("//") or "/" in strength:
        return LoRA(_lora_name(text), None)
    return LoRA(_lora_name(name), parse_strength(strength, f"--lora {clean(text, 80)}"))


def _lora_name(name: str) -> str:
    if not name.strip() or any(character.isspace() for character in name):
        raise UsageError(f"--lora {clean(name, 60)!r} is not NAME, NAME:STRENGTH or an address")
    return name


def parse_strength(text: str, what: str) -> float:
    """A number. Its range is checked with the rest of the request. Raises UsageError."""
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"the strength of {what} is not a number: {clean(text, 40)!r}", hint="such as anime:0.8, from 0 to 1"
        ) from None


def lora_remark(lora: LoRA, catalog: Catalog) -> str | None:
    """What to say about a name that was never seen; it is sent all the same."""
    if lora.is_address or lora.name in catalog.loras:
        return None
    near = difflib.get_close_matches(lora.name, catalog.loras, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"no LoRA called {clean(lora.name, 60)} is known here, it is sent as it is{guess}"


def name_values(request: TaskRequest, model_name: str, now: datetime) -> dict[str, str]:
    """The values of the placeholders in an output name."""
    return {
        "slug": prompt_slug(request.operation.prompt),
        "seed": str(request.seed),
        "model": model_name,
        "op": request.operation.name,
        "date": f"{now:%Y-%m-%d}",
        "time": f"{now:%H%M%S}",
        "task": "",
        "n": "1",
    }
