"""Options into a request: every problem in one error, before anything is sent."""

import math
import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from ...batch.sweeps import parse_numbers
from ...config.catalog import Catalog, Model, Preset
from ...config.urls import is_picture_address
from ...errors import UsageError
from ...frozen import frozen
from ...operations.operations import LoRA, Operation
from ...operations.request import SEED_LIMIT, TaskRequest
from ...piapi.requests import dialect_problems
from ...text import clean, suggestion, with_guess
from .overrides import lift, overrides_of
from .request_options import SizeOptions, TaskOptions

SIDE_STEP = 16
"""Sides worked out from an aspect ratio are multiples of this many pixels, as the model's latents are."""
Size = tuple[int, int]
"""Width and height in pixels."""


@frozen
class Choices:
    """The numeric options of one picture; None leaves it to the service, or, for the seed, to chance."""

    guidance: float | None = None
    denoise: float | None = None
    steps: int | None = None
    seed: int | None = None


AXES: dict[str, type[int] | type[float]] = {"guidance": float, "denoise": float, "steps": int, "seed": int}
"""The numeric options, which may be lists: in this order they are nested, the last fastest."""


@frozen
class Wanted:
    """What one picture is to be: a prompt, and the numbers chosen for it."""

    prompt: str
    choices: Choices = Choices()


def axes_of(task: TaskOptions) -> dict[str, list[int | float]]:
    """The values of each numeric option that was given. Raises UsageError."""
    found: dict[str, list[int | float]] = {}
    for name, kind in AXES.items():
        text = getattr(task, name)
        if text is not None:
            try:
                found[name] = list(parse_numbers(text, kind))
            except UsageError as error:
                raise UsageError(f"--{name}: {error.message}", hint=error.hint) from error
    return found


def single_choice(task: TaskOptions) -> Choices:
    """The numeric options of a command that makes one picture. Raises UsageError for a list."""
    axes = axes_of(task)
    if several := [name for name, values in axes.items() if len(values) > 1]:
        raise UsageError(f"--{several[0]} takes one value here")
    chosen: dict[str, Any] = {name: values[0] for name, values in axes.items()}
    return Choices(**chosen)


@frozen
class Composer:
    """Makes requests from options. `settings` are resolved, the options among them."""

    catalog: Catalog
    settings: Mapping[str, str | None]
    task: TaskOptions
    choices: Choices
    shape: SizeOptions | None = None
    natural_size: Size | None = None
    """The size when none is asked for; 1024x1024 when this is not given either."""

    def request(self, kind: type[Operation], **fields: Any) -> TaskRequest:
        """The request for an operation with these fields of its own.

        Raises UsageError with all problems in one message.
        """
        problems: list[str] = []
        fields["prompt"] = fields["prompt"].strip()
        lifted, overrides = lift(overrides_of(self.task, problems), problems)
        preset = self._preset(problems)
        if self.shape is not None:
            fields["width"], fields["height"] = self._size(self.shape, preset, problems)
        task, choices = self.task, self.choices
        operation = kind(
            negative_prompt=task.negative,
            guidance=choices.guidance if choices.guidance is not None or preset is None else preset.guidance,
            denoise=choices.denoise if choices.denoise is not None or preset is None else preset.denoise,
            steps=choices.steps,
            batch_size=next(size for size in (lifted.batch_size, task.batch_size, 1) if size is not None),
            **(fields | ({"prompt": lifted.prompt} if lifted.prompt is not None else {})),
        )
        request = TaskRequest(
            operation,
            model=self._model(kind.name, lifted.model, problems).id,
            seed=self._seed(choices.seed if lifted.seed is None else lifted.seed, problems),
            service_mode=self.settings["service_mode"],
            webhook=self.settings["webhook"],
            overrides=overrides,
        )
        problems += self.catalog.problems(request)
        problems += dialect_problems(request, self.settings["dialect"] or "both")
        if problems:
            raise UsageError.of(problems)
        return request

    def _model(self, operation: str, override: str | None, problems: list[str]) -> Model:
        """The one that was asked for; without `-m`, the usual one or the first that is able."""
        word, commercial = override or self.settings["model"] or "dev", self.task.commercial
        if word == "auto":
            return self.catalog.choose(operation, commercial=commercial)
        asked = override is not None or self.task.model is not None
        model = self.catalog.model(word) if asked else self.catalog.able(operation, word)
        if commercial and not model.commercial:
            able = [
                other.name
                for other in self.catalog.models.values()
                if other.commercial and operation in other.operations
            ]
            instead = f"; those of {', '.join(able)} may" if able else f", and no other model can do {operation}"
            problems.append(f"pictures of {model.name} may not be used commercially{instead}")
        return model

    def _preset(self, problems: list[str]) -> Preset | None:
        if self.shape is None or self.shape.preset is None:
            return None
        known = self.catalog.presets
        if self.shape.preset not in known:
            meant = suggestion(self.shape.preset, known)
            problems.append(f"no preset is called {clean(self.shape.preset, 40)!r}; {meant}")
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

    @staticmethod
    def _seed(seed: int | None, problems: list[str]) -> int:
        if seed is None:
            return secrets.randbelow(SEED_LIMIT)
        if not 0 <= seed < SEED_LIMIT:
            problems.append(f"seed {seed} is out of range: 0 to {SEED_LIMIT - 1}")
        return seed


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
    """`NAME[:STRENGTH]`, or an address with `:NUMBER` behind it. Raises UsageError."""
    if re.match(r"https?://", text, re.IGNORECASE):
        address, strength = split_strength(text, f"--lora {clean(text, 80)}")
        if not is_picture_address(address):
            raise UsageError(f"--lora {clean(address, 80)} is not an address that can be passed on")
        return LoRA(address, strength)
    name, colon, strength_text = text.partition(":")
    if not name.strip() or re.search(r"\s", name) or not name.isprintable():
        raise UsageError(f"--lora {clean(text, 60)!r} is not NAME, NAME:STRENGTH or an address")
    return LoRA(name, parse_strength(strength_text, f"--lora {clean(text, 80)}") if colon else None)


def split_strength(text: str, what: str) -> tuple[str, float | None]:
    """A trailing `:NUMBER` is a strength; any other colon belongs to the path or the address."""
    path, colon, tail = text.rpartition(":")
    if not colon or not path or not re.fullmatch(r"[-+]?[0-9.]+(e-?[0-9]+)?|nan|inf", tail, re.IGNORECASE):
        return text, None
    return path, parse_strength(tail, what)


def parse_strength(text: str, what: str) -> float:
    """A number. Its range is checked with the rest of the request. Raises UsageError."""
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"the strength of {what} is not a number: {clean(text, 40)!r}", hint="such as anime:0.8, from 0 to 1"
        ) from None


def unseen_remark(what: str, name: str, seen: Collection[str]) -> str | None:
    """What to say about a name that was never seen; it is sent all the same."""
    if name in seen:
        return None
    return with_guess(f"no {what} called {clean(name, 60)} is known here, it is sent as it is", name, seen)
