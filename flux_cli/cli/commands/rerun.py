"""`flux rerun`: generate an image again, with what options change."""

import time
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ...errors import ExitCode, UsageError
from ..context import Session
from ..options.common import LookOptions
from ..options.options import ManyOptions, SaveOptions, SubmitOptions, WaitOptions
from ..options.request_options import SizeOptions, TaskOptions
from .show import Image, find_made

if TYPE_CHECKING:
    from ...batch.plan import Draft
    from ...operations.request import TaskRequest
    from ..options.compose import Choices

T = TypeVar("T")
NewPrompt = Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="Another prompt.")]
OPTIONAL = ("negative_prompt", "guidance", "denoise", "steps", "batch_size", "width", "height")
"""Fields of an operation that options set; the rest is the operation's own."""


def rerun(
    session: Session,
    image: Image,
    task: TaskOptions,
    shape: SizeOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    looking: LookOptions,
    prompt: NewPrompt = None,
) -> ExitCode:
    """Generate an image again, with what options change.

    flux rerun fox.png --guidance 4.5 -o fox-2.png

    flux rerun @last --seed 1..4
    """
    from ..generate import generate_drafts

    before = find_made(session, image).request
    new_prompt = before.operation.prompt if prompt is None else prompt
    return generate_drafts(
        session, new_prompt, lambda: _drafts(session, before, new_prompt, task, shape, save), save, submit, many
    )


def _drafts(
    session: Session, before: "TaskRequest", prompt: str, task: TaskOptions, shape: SizeOptions, save: SaveOptions
) -> "Iterator[Draft]":
    from ...batch.plan import Draft
    from ..options.compose import Choices, axes_of

    axes = axes_of(task)
    for numbers in product(*axes.values()):
        choices = Choices(**dict(zip(axes, numbers, strict=True)))  # type: ignore[arg-type]  # `axes_of` gave the types
        yield Draft(_change(session, before, prompt, task, shape, choices), None if save.to_stdout else save.output)


def _change(
    session: Session,
    before: "TaskRequest",
    prompt: str,
    task: TaskOptions,
    shape: SizeOptions,
    asked: "Choices",
) -> "TaskRequest":
    """Return the request of an image with what the options change. Raises UsageError."""
    from ...operations.operations import Sized
    from ...piapi.requests import merged
    from ..options.compose import Choices, Composer
    from ..options.overrides import lift

    operation, natural = before.operation, None
    if isinstance(operation, Sized):
        natural = (operation.width, operation.height)
    elif shape != SizeOptions():
        raise UsageError(f"an image made by {operation.name} has no size of its own to change")
    options = replace(
        task,
        negative=_first(task.negative, operation.negative_prompt),
        batch_size=_first(task.batch_size, operation.batch_size),
        model=_first(task.model, before.model),
    )
    choices = Choices(
        guidance=_first(asked.guidance, operation.guidance),
        denoise=_first(asked.denoise, operation.denoise),
        steps=_first(asked.steps, operation.steps),
        seed=_first(asked.seed, before.seed),
    )
    own = {field.name: getattr(operation, field.name) for field in fields(operation) if field.name not in OPTIONAL}
    settings = {**session.settings.texts, "model": options.model}
    composer = Composer(session.catalog, settings, options, choices, shape if natural else None, natural)
    request = composer.request(type(operation), **(own | {"prompt": prompt}))
    _check_images(session, request)
    # An image comes from anywhere: fields set by hand in its request must not change price, model or webhook.
    _, kept = lift(before.overrides, [])
    return replace(
        request, overrides=merged({name: kept[name] for name in ("input",) if name in kept}, request.overrides)
    )


def _first(new: T | None, old: T) -> T:
    return old if new is None else new


def _check_images(session: Session, request: "TaskRequest") -> None:
    """Raise UsageError when PiAPI no longer has a local image that went into a request."""
    from ...engine.uploader import UPLOAD_MARGIN, known_url

    for image in request.local_images:
        until = time.time() + UPLOAD_MARGIN
        if not known_url(session.journal, image, until):
            raise UsageError(
                "PiAPI no longer has the input image", hint="Run the original command again with the local file"
            )
