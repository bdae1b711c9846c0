"""Pictures made before: how they were made, and making them anew."""

import json
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ... import __version__
from ...errors import ExitCode, UsageError
from ...images.load import read_image_file
from ...images.metadata import Provenance, read_provenance
from ...images.output_names import absolute_path, expand_path
from ...images.png import texts_in
from ...json_value import JsonObject
from ...operations.operations import LOCAL, Control, LoRA, Sized
from ...operations.request import TaskRequest
from ...piapi.requests import merged
from ...text import clean, usd
from ..buying.inputs import MARGIN_SECONDS, check_url
from ..context import Session
from ..options.compose import Choices, Composer, single_choice
from ..options.overrides import lift
from ..options.request_options import SizeOptions, TaskOptions
from ..output.output import Mode
from ..output.viewer import look

T = TypeVar("T")
OPTIONAL = ("negative_prompt", "guidance", "denoise", "steps", "batch_size", "width", "height")
"""Fields of an operation that options set; the rest is the operation's own."""


def how_made(session: Session, word: str) -> Provenance:
    """How the picture in a file, or of a journal entry or task id, was made. Raises UsageError."""
    path = expand_path(word.removeprefix("@"))
    if not word.startswith("@") and path.exists():
        return read_provenance(texts_in(read_image_file(path)))
    last = word == "@last"
    entry = session.last_saved() if last else session.find(word.removeprefix("@"))
    if entry is None:
        raise UsageError(f"no file, entry or task is called {clean(word, 80)}", hint="see: flux history")
    if entry.request is None:
        raise UsageError(f"{clean(word, 80)} was made elsewhere: how is not known here")
    return Provenance(entry.request, entry.task_id or "", entry.price, __version__)


def show_made(session: Session, word: str) -> ExitCode:
    """Show a picture if that is asked for, and print how it was made."""
    look(session.output, _files(session, word))  # first: a picture that tells nothing can be looked at all the same
    return _tell_made(session, word)


def _files(session: Session, word: str) -> list[Path]:
    """The files of the picture that a word means."""
    path = expand_path(word)
    if not word.startswith("@") and path.exists():
        return [absolute_path(word)]
    entry = session.last_saved() if word == "@last" else session.find(word.removeprefix("@"))
    return [file.path for file in entry.files] if entry else []


def _tell_made(session: Session, word: str) -> ExitCode:
    path = expand_path(word)
    if path.is_file() and session.output.mode is not Mode.JSON:
        texts = texts_in(read_image_file(path))
        if "flux" not in texts and texts:  # another tool's picture: what it tells, as it tells it
            _show_foreign(session, path, texts)
            return ExitCode.OK
    made = how_made(session, word)
    request = made.request.to_json()
    cost = None if made.cost is None else str(made.cost)
    if session.output.mode is Mode.JSON:
        content: JsonObject = {"request": request, "task_id": made.task_id, "cost_usd": cost, "version": made.version}
        session.output.record("made", content)
        return ExitCode.OK
    rows = {**request, "task": made.task_id, "cost": None if made.cost is None else usd(made.cost)}
    for name, value in rows.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            session.output.row(f"{name.replace('_', ' '):<16} {clean(text, 1600)}", 17)
    return ExitCode.OK


def _show_foreign(session: Session, path: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        session.output.row(f"{clean(name, 79):<16} {clean(text, 2000)}", 17)
    session.output.note(f"{path.name} was not made by flux")


def made_again(session: Session, word: str, prompt: str | None, task: TaskOptions, shape: SizeOptions) -> TaskRequest:
    """The request of a picture once more, with what the options change. Raises UsageError."""
    made = how_made(session, word)
    for remark in made.unusual:
        session.output.note(f"{clean(word, 80)}: {remark}")
    before = made.request
    operation, natural = before.operation, None
    if isinstance(operation, Sized):
        natural = (operation.width, operation.height)
    elif shape != SizeOptions():
        raise UsageError(f"a picture made by {operation.name} has no size of its own to change")
    options = replace(
        task,
        negative=_first(task.negative, operation.negative_prompt),
        batch_size=_first(task.batch_size, operation.batch_size),
        model=_first(task.model, before.model),
    )
    asked = single_choice(task)
    choices = Choices(
        guidance=_first(asked.guidance, operation.guidance),
        denoise=_first(asked.denoise, operation.denoise),
        steps=_first(asked.steps, operation.steps),
        seed=_first(asked.seed, before.seed),
    )
    own = {field.name: getattr(operation, field.name) for field in fields(operation)}
    own = {name: _alive(session, value) for name, value in own.items() if name not in (*OPTIONAL, "prompt")}
    own["prompt"] = _first(prompt, operation.prompt)
    settings = {**session.settings.texts, "model": options.model}
    composer = Composer(session.catalog, settings, options, choices, shape if natural else None, natural)
    request = composer.request(type(operation), **own)
    # A picture comes from anywhere: what its request set by hand must not change the price, the model or who is told.
    _, kept = lift(before.overrides, [])
    return replace(
        request, overrides=merged({name: kept[name] for name in ("input",) if name in kept}, request.overrides)
    )


def _first(new: T | None, old: T) -> T:
    return old if new is None else new


def _alive(session: Session, value: Any) -> Any:
    """Return a field of an operation, its local images replaced by the URLs at which they were uploaded."""
    if isinstance(value, tuple):
        return tuple(_alive(session, item) for item in value)
    if isinstance(value, Control):
        return replace(value, image=_alive(session, value.image))
    if isinstance(value, LoRA) and value.is_address:
        check_url(value.name)
    if not isinstance(value, str) or not value.startswith(LOCAL):
        return check_url(value) if isinstance(value, str) else value
    url = session.journal.upload_of(
        value.removeprefix(LOCAL),
        service=session.upload_service,
        profile=session.settings.profile,
        alive_until=time.time() + MARGIN_SECONDS / 3,
    )
    if url is None:
        raise UsageError(
            "the picture that went in is not at the service any more", hint="run the command again with the local file"
        )
    return url
