"""What can be asked of the service: the operations, and a request for one of them.

Frozen and plain: nothing here talks to anything. `problems` lists everything that is wrong
with a value, so that the user hears it all at once and before any money is spent.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import ClassVar, Self

from .errors import UsageError
from .json_value import JsonObject

SEED_LIMIT = 2**32
"""Seeds are 0 <= seed < 2^32: what every Flux runtime takes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model takes (specification: Parameter Reference; docs/service.md, section 1)."""

    prompt_characters: int
    pixels: int
    guidance: tuple[float, float]
    denoise: tuple[float, float]
    """Above the first, up to and with the second."""
    steps: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class TextToImage:
    """`txt2img`: a picture from words. None means: leave it to the service."""

    name: ClassVar[str] = "gen"
    task_type: ClassVar[str] = "txt2img"

    prompt: str
    width: int = 1024
    height: int = 1024
    negative_prompt: str | None = None
    guidance: float | None = None
    denoise: float | None = None
    steps: int | None = None
    batch_size: int = 1

    def problems(self, limits: Limits) -> Iterator[str]:
        """Everything about this operation that the service, or common sense, would refuse."""
        yield from text_problems("prompt", self.prompt, limits.prompt_characters)
        if self.negative_prompt is not None:
            yield from text_problems("negative prompt", self.negative_prompt, limits.prompt_characters)
        yield from size_problems(self.width, self.height, limits.pixels)
        yield from range_problems("guidance", self.guidance, *limits.guidance)
        yield from range_problems("denoise", self.denoise, *limits.denoise, above=True)
        yield from range_problems("steps", self.steps, 1, limits.steps)
        yield from batch_problems(self.batch_size, limits.batch_size)


Operation = TextToImage
"""Any of the operations."""

OPERATIONS: dict[str, type[Operation]] = {operation.name: operation for operation in (TextToImage,)}


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One paid task: an operation, the model that does it, and how it is to be run.

    model: the full id (`Qubico/flux1-dev`).
    seed: always chosen on this side and sent, so that any picture can be made again and a task
        whose answer was lost can be recognised.
    service_mode: `public` (pay as you go), `private` (host your account), None for the workspace's own.
    webhook: an endpoint the service calls when the task ends. Its secret is not part of the request:
        it is read when the request is sent and is stored nowhere.
    """

    operation: Operation
    model: str
    seed: int
    service_mode: str | None = None
    webhook: str | None = None

    def to_json(self) -> JsonObject:
        """The request as the journal stores it. `from_json` is its inverse."""
        about: JsonObject = {"op": self.operation.name, "model": self.model, "seed": self.seed}
        rest = {"service_mode": self.service_mode, "webhook": self.webhook, **asdict(self.operation)}
        return about | {name: value for name, value in rest.items() if value is not None}

    @classmethod
    def from_json(cls, stored: JsonObject) -> Self:
        """The request that `to_json` stored. Raises UsageError for what is not one."""
        try:
            kind = OPERATIONS[str(stored["op"])]
            known = {field.name for field in fields(kind)}
            operation = kind(**{name: value for name, value in stored.items() if name in known})  # type: ignore[arg-type]
            about = {name: stored.get(name) for name in ("model", "seed", "service_mode", "webhook")}
            return cls(operation, **about)  # type: ignore[arg-type]
        except (KeyError, TypeError) as error:
            raise UsageError(f"not a request that this version of flux knows: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of what is asked for, hex: equal requests have equal digests. The webhook does not count."""
        canonical = json.dumps(replace(self, webhook=None).to_json(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def text_problems(what: str, text: str, limit: int) -> Iterator[str]:
    """1 to `limit` characters, not blank, encodable as UTF-8, no NUL (specification: code 1100)."""
    if not text.strip():
        yield f"the {what} is empty"
    if len(text) > limit:
        yield f"the {what} has {len(text)} characters, the service takes 1 to {limit}"
    if "\0" in text:
        yield f"the {what} has a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        yield f"the {what} is not valid UTF-8"


def size_problems(width: int, height: int, pixels: int) -> Iterator[str]:
    """Positive, and not more than `pixels` in all (specification: code 1700)."""
    if width < 1 or height < 1:
        yield f"the size {width}x{height} is not positive"
    elif width * height > pixels:
        yield f"the size {width}x{height} has {width * height} pixels, the service takes up to {pixels} (1024x1024)"


def range_problems(what: str, value: float | None, low: float, high: float, *, above: bool = False) -> Iterator[str]:
    """`low` to `high`, both allowed; `above` leaves `low` itself out. None is always fine."""
    if value is None:
        return
    inside = math.isfinite(value) and (low < value if above else low <= value) and value <= high
    if not inside:
        allowed = f"above {low:g} and up to {high:g}" if above else f"{low:g} to {high:g}"
        yield f"{what} {value:g} is out of range: {allowed}"


def batch_problems(batch_size: int, limit: int) -> Iterator[str]:
    """1 to `limit` pictures a task; a limit of 1 means that the model makes one at a time."""
    if 1 <= batch_size <= limit:
        return
    if limit == 1 and batch_size > 1:
        yield f"batch size {batch_size}: this model makes one picture a task, only schnell makes up to 4"
    else:
        yield f"batch size {batch_size} is out of range: 1 to {limit}"
