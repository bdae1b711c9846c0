"""Models, prices, limits, presets and plans. They are listed in `catalog.toml`. The config file can add models.

    [models.turbo]                      # the name for -m: lower-case letters, digits, - and _
    id = "Qubico/flux2-turbo"           # required: the model's ID at PiAPI
    price = 0.01                        # required: USD per image
    operations = ["gen", "edit"]        # required: see the columns of `flux models`

    [models.dev]                        # a name that exists already: changes only the fields given here
    seconds = [10, 20]

    [prices]                            # prices alone: by name or ID, in USD per image
    schnell = 0.0015

Optional fields: `commercial` (licensed for commercial use), `speed` (a word for `flux models`), `quality` (a rank for
`--for quality`), `seconds` (usual duration of a task, `[shortest, longest]`), and the limits `steps`, `batch_size`,
`prompt_characters`, `pixels` (width * height), `margin` (pixels per side), `guidance`, `denoise` and `strength`
(`[lowest, highest]`).
"""

import re
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, Problems, UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at
from ..operations.limits import ModelLimits
from ..text import clean, counted, join_or, quoted, suggestion
from .config_file import place_of

if TYPE_CHECKING:
    from ..operations.request import TaskRequest

_MODEL_NAME = r"(?!auto$)[a-z0-9][a-z0-9_-]{0,63}"


@frozen
class Model:
    """A model.

    id: the model's ID at PiAPI. price: USD per image. commercial: whether its images are licensed for commercial use.
    quality: higher is better. seconds: the documented range of a task's duration.
    """

    name: str
    id: str
    price: Decimal
    commercial: bool
    speed: str
    quality: int
    seconds: tuple[float, float]
    operations: tuple[str, ...]
    limits: ModelLimits


@frozen
class Preset:
    """An image size in pixels, with suitable guidance and denoise."""

    width: int
    height: int
    guidance: float
    denoise: float


class Catalog:
    """PiAPI's models, prices and limits, read on first use.

    config: the content of the config file at `path`, of which `[models]` and `[prices]` are used.
    """

    def __init__(self, config: JsonObject, path: Path = Path("config.toml")) -> None:
        self._config, self._path = config, path

    @cached_property
    def _data(self) -> dict[str, Any]:
        import tomllib

        return tomllib.loads(Path(__file__).with_name("catalog.toml").read_text("utf-8"))

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every model, by its short name. Raise ConfigError for an invalid model or price in the config file."""
        rows: dict[str, JsonObject] = {name: dict(row) for name, row in self._data["models"].items()}
        for name in object_at(self._config, "models"):
            rows[name] = rows.get(name, {}) | object_at(self._config, "models", name)
        for word, price in object_at(self._config, "prices").items():
            named = [row for name, row in rows.items() if word in (name, row.get("id"))]
            if not named:
                raise ConfigError(f"unknown model '{clean(word, 40)}' ({place_of(self._path, 'prices', word)})")
            named[0]["price"] = price
        found = {name: self._model(name, self._data["defaults"]["fields"] | row) for name, row in rows.items()}
        by_id = {model.id.casefold(): model.name for model in found.values()}
        for model in found.values():
            if by_id[model.id.casefold()] != model.name:
                raise self._error(model.name, "id", f"{model.id} is the model {by_id[model.id.casefold()]}")
        return found

    def _model(self, name: str, row: JsonObject) -> Model:
        if not re.fullmatch(_MODEL_NAME, name):
            raise self._error(name, None, "expected a name of lower-case letters, digits, - and _")
        if unknown := sorted(set(row) - set(_FIELDS)):
            raise self._error(name, unknown[0], "unknown field", suggestion(unknown[0], _FIELDS))
        values: dict[str, Any] = {}
        for field, (parse, expected) in _FIELDS.items():
            if field not in row:
                raise self._error(name, None, f"{field} is missing")
            try:
                values[field] = parse(row[field])
            except (ValueError, TypeError, ArithmeticError):
                raise self._error(name, field, f"expected {expected}") from None
        if not values["operations"] or not set(values["operations"]) <= self._operations:
            raise self._error(name, "operations", f"expected some of {', '.join(sorted(self._operations))}")
        own = [field.name for field in fields(ModelLimits) if field.name in values]
        limits = ModelLimits(model=name, **{field: values.pop(field) for field in own})
        return Model(name=name, limits=limits, **values)

    @property
    def _operations(self) -> set[str]:
        return {operation for row in self._data["models"].values() for operation in row["operations"]}

    def _error(self, model: str, field: str | None, problem: str, hint: str | None = None) -> ConfigError:
        names = ["models", model, *([field] if field else [])]
        if field == "price" and field not in object_at(self._config, *names[:-1]):
            names = ["prices", model]
        shown = ".".join(clean(name, 60) for name in names)
        return ConfigError(f"invalid {shown} ({place_of(self._path, *names)}): {problem}", hint=hint)

    @cached_property
    def default_model(self) -> str:
        """The name of the model that is used if none is chosen."""
        return str(self._data["defaults"]["model"])

    @cached_property
    def presets(self) -> dict[str, Preset]:
        return {name: Preset(**row) for name, row in self._data["presets"].items()}

    def find(self, word: str) -> Model | None:
        """Return the model with this short name or ID, ignoring case; None if there is none."""
        wanted = word.strip().casefold()
        return next((model for model in self.models.values() if wanted in (model.name, model.id.casefold())), None)

    def model(self, word: str) -> Model:
        """Return the model with this short name or ID, ignoring case. Raise UsageError if there is none."""
        if model := self.find(word):
            return model
        raise UsageError(f"unknown model {quoted(word, 60)}", hint=suggestion(word.strip(), self.models))

    def name_of(self, model_id: str) -> str:
        """Return the short name of a model; the end of its ID if it is no longer in the catalog."""
        model = self.find(model_id)
        return model.name if model else model_id.rpartition("/")[2]

    def seconds_of(self, model_id: str | None) -> tuple[float, float]:
        """Return the documented range of a task's duration in seconds; for an unknown model, that of all models."""
        if model_id and (model := self.find(model_id)):
            return model.seconds
        spans = [model.seconds for model in self.models.values()]
        return min(low for low, _ in spans), max(high for _, high in spans)

    def concurrency(self, plan: str, service_mode: str | None) -> int:
        """Return how many tasks a plan allows in parallel; for an unknown plan, the lowest number of all plans."""
        column = "private" if service_mode == "private" else "public"
        limits: dict[str, int] = {name: row[column] for name, row in self._data["plans"].items()}
        return limits.get(plan, min(limits.values()))

    def model_for(self, operation: str, wanted: str) -> Model:
        """Return the model `wanted` if it supports the operation, else the first model that does.

        wanted: the setting `model`, or the default model. Raise UsageError if `wanted` is not a model.
        """
        model = self.model(wanted)
        if operation in model.operations:
            return model
        return self.supporting(operation)[0]

    def supporting(self, *operations: str, commercial: bool = False) -> list[Model]:
        """Return the models that support all these operations. commercial: only those licensed for commercial use."""
        models = [model for model in self.models.values() if set(operations) <= set(model.operations)]
        return [model for model in models if model.commercial or not commercial]

    def choose(self, *operations: str, commercial: bool = False, quality: bool = False, fast: bool = False) -> Model:
        """Return the model for a purpose (specification: Model Selection Strategy). Raise UsageError if none fits."""
        fitting = self.supporting(*operations, commercial=commercial)
        if not fitting:
            license = " that is licensed for commercial use" if commercial else ""
            raise UsageError(f"no model{license} supports {' and '.join(operations)}")
        if fast:
            return min(fitting, key=lambda model: model.seconds)
        if quality:
            return max(fitting, key=lambda model: model.quality)
        return next((model for model in fitting if model.name == self.default_model), fitting[0])

    @cached_property
    def controls(self) -> dict[str, str]:
        """The live API's spelling of a control type, by each accepted spelling."""
        return dict(self._data["controls"])

    @cached_property
    def loras(self) -> list[str]:
        """The names of known LoRAs. PiAPI accepts others."""
        return list(self._data["loras"]["names"])

    def problems(self, request: "TaskRequest") -> Problems:
        """Return the problems of a request: everything that its model does not support."""
        model, operation = self.model(request.model), request.operation
        found: Problems = []
        if operation.name not in model.operations:
            others = [other.name for other in self.supporting(operation.name)]
            message = f"{model.name} does not support {operation.name}"
            found.append(UsageError(message, hint=f"Use -m {join_or(others)}"))
        found += operation.problems(model.limits)
        if not 1 <= operation.batch_size <= model.limits.batch_size:
            found.append(self._batch_problem(model, operation.name, operation.batch_size))
        return found

    def _batch_problem(self, model: Model, operation: str, size: int) -> str | UsageError:
        most = counted(model.limits.batch_size, "image")
        most = most if model.limits.batch_size == 1 else f"up to {most}"
        if size < 1:
            return f"batch size {size} is out of range for {model.name} (1 to {model.limits.batch_size})"
        able = self.supporting(operation)
        if larger := [other.name for other in able if size <= other.limits.batch_size]:
            hint = f"Add -m {larger[0]}, or make {size} tasks, for example with --seed 1..{size}"
            return UsageError(
                f"batch size {size} needs {join_or(larger)}: {model.name} makes {most} per task", hint=hint
            )
        others = [other for other in able if other.limits.batch_size > model.limits.batch_size]
        more = "".join(f", {other.name} up to {other.limits.batch_size}" for other in others)
        problem = f"batch size {size} is too large: {model.name} makes {most} per task{more}"
        return UsageError(problem, hint=f"For more images, write --seed 1..{size}")

    def price(self, request: "TaskRequest") -> Decimal:
        """Return the expected cost of a task in USD: the price per image (docs/internals/service.md, section 1)."""
        return self.model(request.model).price * request.operation.batch_size


# --- the fields of a model: each function raises ValueError, TypeError or ArithmeticError for an invalid value ------


def _word(value: Json) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,100}", value):
        raise ValueError
    return value


def _words(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_word, value))


def _amount(value: Json) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError
    return amount


def _flag(value: Json) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _count(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError
    return value


def _range(value: Json) -> tuple[float, float]:
    low, high = map(_amount, value if isinstance(value, list) else [])
    if low > high:
        raise ValueError
    return float(low), float(high)


_FIELDS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "id": (_word, "the model's ID at PiAPI, without spaces"),
    "price": (_amount, "an amount in USD, for example 0.015"),
    "operations": (_words, "a list of operations"),
    "commercial": (_flag, "true or false"),
    "speed": (_word, "one word"),
    "quality": (_count, "a whole number above 0"),
    "seconds": (_range, "[shortest, longest] in seconds"),
    "steps": (_count, "a whole number above 0"),
    "batch_size": (_count, "a whole number above 0"),
    "prompt_characters": (_count, "a whole number above 0"),
    "pixels": (_count, "a whole number above 0"),
    "margin": (_count, "a whole number above 0"),
    "guidance": (_range, "[lowest, highest]"),
    "denoise": (_range, "[lowest, highest]"),
    "strength": (_range, "[lowest, highest]"),
}
