"""`flux rerun`: generate an image again, with changes."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Annotated, TypeVar

from ...batch.input_images import check_request_url
from ...batch.plan import Draft
from ...batch.request_builder import Choices, Overrides, RequestBuilder, axes_of, read_input_file
from ...errors import ExitCode, UsageError
from ...operations.base import LOCAL, Operation, Sized
from ...operations.options import SizeOptions, TaskOptions
from ...operations.parameters import Option
from ...operations.request import TaskRequest, merge
from ...text import clean
from ..common_options import ViewOptions
from ..options import ManyOptions, SaveOptions, SubmitOptions, WaitOptions
from ..registry import help_page
from ..session import Session
from .show import Image, find_made

T = TypeVar("T")
NewPrompt = Annotated[str | None, Option("--prompt", metavar="TEXT", help="New prompt.", default="as in the image")]


@help_page(
    ("Change a setting", "flux rerun fox.png --guidance 4.5 -o fox-2.png"),
    ("Generate four more seeds", "flux rerun @last --seed 1..4"),
    default="as in the image",
)
def rerun(
    session: Session,
    image: Image,
    task: TaskOptions,
    size: SizeOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    view: ViewOptions,
    prompt: NewPrompt = None,
) -> ExitCode:
    """Generate an image again, with changed options.

    Without changes, an image of the last 24 hours is reused (no charge). --no-cache generates and pays again.
    """
    from ..generate import generate_drafts

    made = find_made(session, image)
    before = made.request
    for remark in made.unusual:
        session.output.note(f"{clean(image, 80)}: {remark}")
    new_prompt = before.operation.prompt if prompt is None else prompt
    return generate_drafts(session, _drafts(session, before, new_prompt, task, size, save), many, save, submit)


def _drafts(
    session: Session, before: TaskRequest, prompt: str, task: TaskOptions, size: SizeOptions, save: SaveOptions
) -> Iterator[Draft]:
    axes = axes_of(task)
    overrides = Overrides.parse(task.overrides, read_input_file(task.input_file))
    for numbers in product(*axes.values()):
        choices = Choices(**dict(zip(axes, numbers, strict=True)))  # type: ignore[arg-type]  # `axes_of` gave the types
        request = _change(session, before, prompt, task, size, overrides, choices)
        yield Draft(request, None if save.to_stdout else save.output, metadata=not save.no_metadata)


def _change(
    session: Session,
    before: TaskRequest,
    prompt: str,
    task: TaskOptions,
    size: SizeOptions,
    overrides: Overrides,
    chosen: Choices,
) -> TaskRequest:
    """Return the request of an image with the changes in the options. Raise UsageError."""
    operation = before.operation
    if size != SizeOptions() and not isinstance(operation, Sized):
        raise UsageError(f"an image made by {operation.name} has no size of its own to change")
    options = replace(
        task,
        negative_prompt=_first(task.negative_prompt, operation.negative_prompt),
        batch_size=_first(task.batch_size, operation.batch_size),
        model=_first(task.model, before.model),
    )
    choices = Choices(
        guidance=_first(chosen.guidance, operation.guidance),
        denoise=_first(chosen.denoise, operation.denoise),
        steps=_first(chosen.steps, operation.steps),
        seed=_first(chosen.seed, before.seed),
    )
    settings = {**session.settings.texts, "model": options.model}
    _check_urls(operation)
    request = RequestBuilder(session.catalog, settings, options, size, overrides, operation).build(prompt, choices)
    if session.run_context.lacks_inputs(request):
        hint = "Run the original command again with the local file"
        raise UsageError("PiAPI no longer has the input image", hint=hint)
    # Images are untrusted: overrides in their requests must not change price, model or webhook.
    kept = Overrides.split(before.overrides).rest.get("input")
    return replace(request, overrides=merge({} if kept is None else {"input": kept}, request.overrides))


def _first(new: T | None, old: T) -> T:
    return old if new is None else new


def _check_urls(operation: Operation) -> None:
    """Raise UsageError for a URL that commands do not accept, because the request in an image is untrusted."""
    urls = [image for image in operation.images if not image.startswith(LOCAL)]
    urls += [lora.name for lora in getattr(operation, "loras", ()) if lora.is_url]
    for url in urls:
        check_request_url(url)
