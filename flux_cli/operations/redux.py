"""Image variation: `flux redux`."""

from collections.abc import Iterator
from typing import Annotated

from ..frozen import frozen
from ..json_value import JsonObject
from .base import DEFAULT_SIZE, BuildContext, Parameters, Sized, Writer, range_problems
from .options import Given, ImageArgument, InputOptions, SizeOptions, TaskOptions
from .parameters import Argument, Limits, Option

DEFAULT_PROMPT = "a variation of this image"


@frozen
class ReduxParameters(Parameters):
    """Parameters of `flux redux`."""

    title = "Input image"
    name = "redux"
    groups = (TaskOptions, SizeOptions, InputOptions)
    default_prompt = DEFAULT_PROMPT

    image: ImageArgument
    prompt: Annotated[
        str | None, Argument("[PROMPT]", help=f"Text prompt for the variation. [default: {DEFAULT_PROMPT}]")
    ] = None
    strength: Annotated[
        float | None,
        Option(
            "--strength",
            metavar="X",
            short="Strength of the variation, 0 to 1.",
            help="Strength of the variation, 0 to 1. [default: chosen by PiAPI]",
        ),
    ] = None

    def build(self, given: Given, context: BuildContext) -> "Redux":
        """Return the operation. The variation has the size of its input unless another one is given."""
        source = context.images.find(self.image, fit=not given.inputs.no_fit)
        width, height = source.size or DEFAULT_SIZE
        return Redux(image=source.reference, strength=self.strength, width=width, height=height)


@frozen(kw_only=True)
class Redux(Sized):
    """Generate a variation of an image. `strength` is 0 to 1."""

    name = "redux"
    task_type = "redux-variation"
    image: str
    strength: float | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """The input image."""
        return (self.image,)

    def write(self, writer: Writer) -> JsonObject:
        """Return the image, the size and the strength."""
        strength = writer.pair({"variation_strength": self.strength}, {})
        return {"image": writer.image(self.image), **self.size_fields, **strength}

    def problems(self, limits: Limits) -> Iterator[str]:
        """Yield the problems of a sized operation, and those of the strength."""
        yield from Sized.problems(self, limits)
        yield from range_problems("strength", self.strength, *limits.strength)

    def dialect_problems(self, dialect: str) -> Iterator[str]:
        """Yield a strength, for which the live service has no field."""
        if dialect == "live" and self.strength is not None:
            yield "the live service knows no --strength for a variation"
