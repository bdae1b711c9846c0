"""Image variation: `flux redux`."""

from collections.abc import Iterator
from typing import Annotated

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from .base import BuildContext, Parameters, Sized, Writer
from .limits import DEFAULT_SIZE, ModelLimits
from .options import BY_PIAPI, ImageArgument, InputOptions, SharedOptions, SizeOptions, TaskOptions
from .parameters import Argument, Option

DEFAULT_PROMPT = "a variation of this image"


@frozen(kw_only=True)
class Redux(Sized):
    """Generate a variation of an image. `strength` is 0 to 1."""

    name = "redux"
    task_type = "redux-variation"
    image: str
    strength: float | None = None

    @property
    def label(self) -> str:
        return self.name if self.prompt == DEFAULT_PROMPT else self.prompt

    def write(self, writer: Writer) -> JsonObject:
        strength = writer.pair({"variation_strength": self.strength}, {})
        return {"image": writer.image(self.image), **self.size_fields, **strength}

    def problems(self, limits: ModelLimits) -> Iterator[str | UsageError]:
        yield from Sized.problems(self, limits)
        yield from limits.range_problems("strength", self.strength, *limits.strength)

    def live_problems(self) -> Iterator[str]:
        if self.strength is not None:
            yield "--strength is not available: PiAPI's live API has no strength for a variation"


@frozen
class ReduxParameters(Parameters):
    title = "Input image"
    name = "redux"
    purpose = "makes a variation"
    operations = (Redux,)
    groups = (TaskOptions, SizeOptions, InputOptions)
    default_prompt = DEFAULT_PROMPT

    image: ImageArgument
    prompt: Annotated[str | None, Argument("PROMPT", help="Text prompt for the variation.", default=DEFAULT_PROMPT)] = (
        None
    )
    strength: Annotated[
        float | None,
        Option(
            "--strength",
            metavar="X",
            short="Strength of the variation, {strength}.",
            help="Strength of the variation, {strength}.",
            default=BY_PIAPI,
        ),
    ] = None

    def build(self, shared: SharedOptions, context: BuildContext) -> Redux:
        """Return the operation. The variation has the size of its input unless another one is given."""
        source = context.find(self.image)
        width, height = source.size or DEFAULT_SIZE
        return Redux(image=source.reference, strength=self.strength, width=width, height=height)
