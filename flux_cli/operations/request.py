"""A request: one paid task that has no id yet."""

import json
from dataclasses import asdict, field, fields, replace
from typing import Any, Self

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject
from .operations import LOCAL, OPERATIONS, Control, LoRA, Operation

SEED_LIMIT = 2**32
"""Seeds are 0 <= seed < 2^32: what every Flux runtime takes."""
_ABOUT = ("model", "seed", "service_mode", "webhook")


@frozen
class TaskRequest:
    """An operation, the model that does it, and how it is to be run.

    model: the full id (`Qubico/flux1-dev`).
    seed: always chosen on this side and sent, so that any picture can be made again and a task
        whose answer was lost can be recognised.
    service_mode: `public` (pay as you go), `private` (host your account), None for the workspace's own.
    webhook: an endpoint the service calls when the task ends. Its secret is not part of the request:
        it is read when the request is sent and is stored nowhere.
    overrides: merged into the body as it is, unchecked: `--set` and `--input`.
    """

    operation: Operation
    model: str
    seed: int
    service_mode: str | None = None
    webhook: str | None = None
    overrides: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """The request as the journal stores it. `from_json` is its inverse."""
        about: JsonObject = {"op": self.operation.name, **{name: getattr(self, name) for name in _ABOUT}}
        rest: JsonObject = {**asdict(self.operation), "overrides": self.overrides or None}
        return {name: _listed(value) for name, value in (about | rest).items() if value is not None}

    @classmethod
    def from_json(cls, stored: JsonObject) -> Self:
        """The request that `to_json` stored. Raises UsageError for what is not one."""
        try:
            kind = OPERATIONS[str(stored["op"])]
            known = {entry.name for entry in fields(kind)}
            values: dict[str, Any] = {name: value for name, value in stored.items() if name in known}
            if "loras" in values:
                values["loras"] = tuple(LoRA(**row) for row in values["loras"])
            if "controls" in values:
                values["controls"] = tuple(Control(**row) for row in values["controls"])
            about: dict[str, Any] = {name: stored.get(name) for name in _ABOUT}
            overrides: Any = stored.get("overrides") or {}
            return cls(kind(**values), **about, overrides=overrides)
        except (KeyError, TypeError) as error:
            raise UsageError(f"not a request that this version of flux knows: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of the request without its webhook, hex: equal requests have equal digests."""
        return _sha256(replace(self, webhook=None).to_json())

    @property
    def content(self) -> str:
        """SHA-256 of the request without its webhook and its seed, hex."""
        return _sha256({**replace(self, webhook=None).to_json(), "seed": None})

    @property
    def local_images(self) -> list[str]:
        """The references to local pictures in it, each once."""
        operation = self.operation
        images = [getattr(operation, name, None) for name in ("image", "mask", "cut_out")]
        images += [control.image for control in getattr(operation, "controls", ())]
        return list(dict.fromkeys(image for image in images if image and image.startswith(LOCAL)))


def _listed(value: Json) -> Json:
    """Tuples as JSON has them, so that a stored request equals itself when it is read back."""
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value


def _sha256(value: JsonObject) -> str:
    import hashlib  # a command that lists entries does without it

    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
