"""The models and what they cost: facts, for which no journal is opened."""

from ...config.catalog import Model
from ...errors import ExitCode, UsageError
from ...json_value import JsonObject
from ...text import clean, suggestion, usd
from ..context import Session
from ..output.output import Mode


def show_models(session: Session, purpose: str | None) -> ExitCode:
    """The models, a line each, or the one for a purpose."""
    chosen = [_for_purpose(session, purpose)] if purpose else list(session.catalog.models.values())
    if session.output.mode is Mode.TEXT:
        session.output.note(f"{'model':<13} {'price':>7}  {'licence':<15} {'seconds':<8} operations")
    for model in chosen:
        if session.output.mode is Mode.JSON:
            session.output.record("model", _model_json(model))
        elif session.output.mode is Mode.QUIET:
            session.output.result(model.name)
        else:
            session.output.row(_model_line(model), 48)
    return ExitCode.OK


def _for_purpose(session: Session, purpose: str) -> Model:
    words = [word.strip().casefold() for word in purpose.split(",") if word.strip()]
    able = {name for model in session.catalog.models.values() for name in model.operations}
    known = {"commercial", "fast", "quality", *able}
    if unknown := [word for word in words if word not in known]:
        raise UsageError(f"no purpose is called {clean(unknown[0], 40)!r}", hint=suggestion(unknown[0], sorted(known)))
    if {"fast", "quality"} <= set(words):
        raise UsageError("give only one of fast, quality")
    operations = [word for word in words if word in able] or ["gen"]
    asked = {name: name in words for name in ("commercial", "quality", "fast")}
    return session.catalog.choose(*operations, **asked)


def _model_line(model: Model) -> str:
    licence = "commercial" if model.commercial else "non-commercial"
    seconds = f"{model.seconds[0]:g}-{model.seconds[1]:g}"
    return f"{model.name:<13} {usd(model.price):>7}  {licence:<15} {seconds:<8} {' '.join(model.operations)}"


def _model_json(model: Model) -> JsonObject:
    return {
        "name": model.name,
        "id": model.id,
        "price_usd": str(model.price),
        "commercial": model.commercial,
        "speed": model.speed,
        "seconds": [model.seconds[0], model.seconds[1]],
        "operations": list(model.operations),
        "max_batch_size": model.limits.batch_size,
        "max_steps": model.limits.steps,
    }
