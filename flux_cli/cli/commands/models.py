"""`flux models`: the models, their prices and limits, and the measured durations of their tasks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated

from ...config.catalog import Catalog, Model
from ...errors import ExitCode, JournalError, UsageError
from ...json_value import JsonObject
from ...operations.parameters import Option
from ...text import quoted, suggestion, usd
from ..output.output import Items, Mode, Note, Record
from ..registry import help_page
from ..session import Session

Purpose = Annotated[
    str | None,
    Option(
        "--for",
        metavar="PURPOSE",
        help="Only the model for PURPOSE: commercial, fast, quality or an operation; combine with commas.",
    ),
]
LorasOption = Annotated[bool, Option("--loras", help="List the names of LoRAs for --lora.")]
ControlsOption = Annotated[bool, Option("--controls", help="List the types of control images for --control.")]
PresetsOption = Annotated[bool, Option("--presets", help="List the presets and what they set.")]
NEWEST = 1000
"""The number of newest tasks in the journal whose durations are used."""


@help_page(
    ("List all models", "flux models"),
    ("Find the fastest for commercial use", "flux models --for commercial,fast"),
    ("List LoRAs, controls and presets", "flux models --loras --controls --presets"),
)
def models(
    session: Session,
    purpose: Purpose = None,
    loras: LorasOption = False,
    controls: ControlsOption = False,
    presets: PresetsOption = False,
) -> Items:
    """List the models: price, license, speed and operations.

    With --loras, --controls or --presets, list these instead.
    """
    if loras or controls or presets:
        for listed, heading, records in (
            (loras, "LoRAs (--lora)", _loras),
            (controls, "Control types (--control)", _controls),
            (presets, "Presets (--preset)", _presets),
        ):
            if listed and session.output.mode is Mode.TEXT:
                yield Note(heading)
            if listed:
                yield from records(session.catalog)
        for used, example in (
            (loras, ("lora", "a fox", "--lora", "anime:0.8")),
            (controls, ("controlnet", "a fox", "--control", "depth=photo.jpg")),
            (presets, ("gen", "a fox", "--preset", "portrait")),
        ):
            if used:
                yield Note("For example", example)
        return ExitCode.OK
    catalog = session.catalog
    chosen = [_for_purpose(catalog, purpose)] if purpose else list(catalog.models.values())
    measured = _measured_seconds(session)
    if session.output.mode is Mode.TEXT:
        measure = "MEASURED (S)" if measured else None
        yield Note(_columns("MODEL", "PRICE", "LICENSE", "SECONDS", measure) + "OPERATIONS")
    for model in chosen:
        seconds = measured.get(model.id, ())
        columns = _model_columns(model, seconds if measured else None)
        text = columns + " ".join(model.operations)
        yield Record("model", _model_json(model, seconds), text, quiet=model.name, indent=len(columns))
    return ExitCode.OK


def _loras(catalog: Catalog) -> Iterator[Record]:
    for name in catalog.loras:
        yield Record("lora", {"name": name}, name)


def _controls(catalog: Catalog) -> Iterator[Record]:
    for name, sent in catalog.controls.items():
        yield Record(
            "control",
            {"name": name, "sent_as": sent},
            name if name == sent else f"{name:<12} same as {sent}",
            quiet=name,
        )


def _presets(catalog: Catalog) -> Iterator[Record]:
    for name, preset in catalog.presets.items():
        text = f"{name:<12} {preset.width}x{preset.height}, guidance {preset.guidance}, denoise {preset.denoise}"
        size: JsonObject = {"width": preset.width, "height": preset.height}
        settings: JsonObject = {"guidance": preset.guidance, "denoise": preset.denoise}
        yield Record("preset", {"name": name, **size, **settings}, text, quiet=name)


def _for_purpose(catalog: Catalog, purpose: str) -> Model:
    words = [word.strip().casefold() for word in purpose.split(",") if word.strip()]
    able = {name for model in catalog.models.values() for name in model.operations}
    known = {"commercial", "fast", "quality", *able}
    if unknown := [word for word in words if word not in known]:
        raise UsageError(f"unknown purpose {quoted(unknown[0], 40)}", hint=suggestion(unknown[0], sorted(known)))
    if {"fast", "quality"} <= set(words):
        raise UsageError("fast and quality cannot be used together")
    operations = [word for word in words if word in able] or ["gen"]
    wishes = {name: name in words for name in ("commercial", "quality", "fast")}
    return catalog.choose(*operations, **wishes)


def _measured_seconds(session: Session) -> Mapping[str, Sequence[float]]:
    """Return the durations of each model's newest tasks on this machine, in seconds, by model ID."""
    if session.paths.journal.exists():
        with suppress(JournalError):
            return session.journal.task_durations.find_all(NEWEST)
    return {}


def _median(seconds: Sequence[float]) -> float | None:
    return sorted(seconds)[len(seconds) // 2] if seconds else None  # without `statistics`, which is slow to import


def _model_columns(model: Model, measured: Sequence[float] | None) -> str:
    license_ = "commercial" if model.commercial else "non-commercial"
    documented = f"{model.seconds[0]:g}-{model.seconds[1]:g}"
    median = _median(measured or ())
    here = None if measured is None else "-" if median is None else f"{median:.0f}"
    return _columns(model.name, usd(model.price), license_, documented, here)


def _columns(name: str, price: str, license_: str, seconds: str, measured: str | None) -> str:
    """Return the columns before the operations. measured: None to omit this column."""
    last = "" if measured is None else f"{measured:<13}"
    return f"{name:<13} {price:>7}  {license_:<15} {seconds:<8} {last}"


def _model_json(model: Model, seconds: Sequence[float]) -> JsonObject:
    return {
        "name": model.name,
        "id": model.id,
        "price_usd": str(model.price),
        "commercial": model.commercial,
        "speed": model.speed,
        "seconds": [model.seconds[0], model.seconds[1]],
        "measured_seconds": _median(seconds),
        "measured_tasks": len(seconds),
        "operations": list(model.operations),
        "max_batch_size": model.limits.batch_size,
        "max_steps": model.limits.steps,
    }
