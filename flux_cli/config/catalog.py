"""What the service offers: models, prices, limits, presets. The facts are in `catalog.toml`."""

from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at
from ..operations.limits import Limits
from ..text import clean, suggestion

if TYPE_CHECKING:
    from ..operations.request import TaskRequest


@frozen
class Model:
    """One model. `price` is USD a picture; `seconds` the documented range of a task's duration."""

    name: str
    id: str
    price: Decimal
    commercial: bool
    speed: str
    seconds: tuple[float, float]
    operations: tuple[str, ...]
    limits: Limits


@frozen
class Preset:
    """A picture shape with the settings that suit it. width and height are in pixels."""

    width: int
    height: int
    guidance: float
    denoise: float


class Catalog:
    """The catalog file's content, read when it is first asked for.

    prices: overrides from the config: a model's name or id, and USD a picture.
    """

    def __init__(self, prices: JsonObject) -> None:
        self._prices = prices

    @cached_property
    def _data(self) -> dict[str, Any]:
        import tomllib

        return tomllib.loads(Path(__file__).with_name("catalog.toml").read_text("utf-8"))

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every model, by its short name. Raises ConfigError for a price in the config that is none."""
        if unknown := set(self._prices) - {
            word for name, row in self._data["models"].items() for word in (name, row["id"])
        }:
            raise ConfigError(f"[prices] in the config: no model is called {min(unknown)}")
        return {name: self._model(name, row) for name, row in self._data["models"].items()}

    def _model(self, name: str, row: dict[str, Any]) -> Model:
        shared = self._data["limits"]
        limits = Limits(
            prompt_characters=shared["prompt_characters"],
            pixels=shared["pixels"],
            guidance=(shared["guidance"][0], shared["guidance"][1]),
            denoise=(shared["denoise"][0], shared["denoise"][1]),
            strength=(shared["strength"][0], shared["strength"][1]),
            margin=shared["margin"],
            steps=row["steps"],
            batch_size=row["batch_size"],
        )
        override = self._prices.get(name, self._prices.get(row["id"]))
        return Model(
            name=name,
            id=row["id"],
            price=Decimal(row["price"]) if override is None else _price(name, override),
            commercial=row["commercial"],
            speed=row["speed"],
            seconds=(row["seconds"][0], row["seconds"][1]),
            operations=tuple(row["operations"]),
            limits=limits,
        )

    @cached_property
    def presets(self) -> dict[str, Preset]:
        """Every preset, by name."""
        return {name: Preset(**row) for name, row in self._data["presets"].items()}

    def model(self, word: str) -> Model:
        """The model that `word`, a short name or a full id in any case, means. Raises UsageError."""
        wanted = word.strip().casefold()
        for model in self.models.values():
            if wanted in (model.name, model.id.casefold()):
                return model
        raise UsageError(f"no model is called {clean(word, 60)!r}", hint=suggestion(wanted, self.models))

    def concurrency(self, plan: str, service_mode: str | None) -> int:
        """How many tasks a plan runs at once."""
        limit: int = self._data["plans"][plan]["private" if service_mode == "private" else "public"]
        return limit

    def able(self, operation: str, wanted: str) -> Model:
        """The model `wanted`, or the first that can do the operation when that one cannot."""
        model = self.model(wanted)
        if operation in model.operations:
            return model
        return next(other for other in self.models.values() if operation in other.operations)

    def choose(self, *operations: str, commercial: bool = False, quality: bool = False, fast: bool = False) -> Model:
        """The model for a purpose (specification: Model Selection Strategy). Raises UsageError when none fits."""
        fitting = [
            model
            for model in self.models.values()
            if set(operations) <= set(model.operations) and (model.commercial or not commercial)
        ]
        if not fitting:
            licence = " with pictures for commercial use" if commercial else ""
            raise UsageError(f"no model can do {' and '.join(operations)}{licence}")
        if fast or (commercial and not quality):
            return min(fitting, key=lambda model: model.seconds)
        preferred = ["pro", "dev"] if quality else ["dev"]
        return next((model for name in preferred for model in fitting if model.name == name), fitting[-1])

    @cached_property
    def controls(self) -> dict[str, str]:
        """Spellings of control types, and the live service's own."""
        found: dict[str, str] = self._data["controls"]
        return found

    @cached_property
    def loras(self) -> list[str]:
        """Names of LoRAs that were seen; the service may know others."""
        names: list[str] = self._data["loras"]["names"]
        return names

    def problems(self, request: "TaskRequest") -> list[str]:
        """Everything about a request that its model cannot do."""
        model, operation = self.model(request.model), request.operation
        found = list(operation.problems(model.limits))
        if operation.name not in model.operations:
            able = ", ".join(other.name for other in self.models.values() if operation.name in other.operations)
            found.insert(0, f"{model.name} cannot do {operation.name}; {able} can")
        return found + self._batch_problems(model, operation.name, operation.batch_size)

    def _batch_problems(self, model: Model, operation: str, images: int) -> list[str]:
        """Return what is wrong with the number of images per task."""
        if 1 <= images <= model.limits.batch_size:
            return []
        limit = model.limits.batch_size
        able = [other for other in self.models.values() if operation in other.operations]
        several = [
            f"{other.name} makes up to {other.limits.batch_size}" for other in able if other.limits.batch_size > 1
        ]
        if limit == 1 and images > 1 and several:
            return [f"batch size {images}: this model makes one picture a task, only {', '.join(several)}"]
        return [f"batch size {images} is out of range: 1 to {limit}"]

    def price(self, request: "TaskRequest") -> Decimal:
        """What a task is expected to cost, USD: the model's price for each picture (docs/service.md, section 1)."""
        return self.model(request.model).price * request.operation.batch_size


def _price(name: str, override: Json) -> Decimal:
    try:
        price = Decimal(str(override))
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise ConfigError(f"[prices] in the config: the price of {name} is not an amount in USD, such as 0.015")
    return price


def prices_in(config: JsonObject) -> JsonObject:
    """The price overrides of a config file."""
    return object_at(config, "prices")
