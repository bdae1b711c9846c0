"""Outpainting: `flux outpaint`."""

import re
from collections.abc import Iterator
from typing import Annotated

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from ..text import quoted
from .base import BuildContext, Operation, Parameters, SourceImage, Writer
from .options import Given, ImageArgument, InputOptions, TaskOptions
from .parameters import Argument, Limits, Option

DEFAULT_PROMPT = "the image continued naturally"


@frozen
class OutpaintParameters(Parameters):
    """Parameters of `flux outpaint`."""

    title = "Margins"
    name = "outpaint"
    groups = (TaskOptions, InputOptions)
    default_prompt = DEFAULT_PROMPT

    image: ImageArgument
    prompt: Annotated[
        str | None, Argument("[PROMPT]", help=f"Text prompt for the new area. [default: {DEFAULT_PROMPT}]")
    ] = None
    left: Annotated[
        str,
        Option(
            "--left",
            short="Pixels or percent to add. [default: 0]",
            metavar="N|N%",
            help="Pixels, or percent of the width, to add on the left.",
        ),
    ] = "0"
    right: Annotated[
        str,
        Option(
            "--right",
            short="Pixels or percent to add. [default: 0]",
            metavar="N|N%",
            help="Pixels, or percent of the width, to add on the right.",
        ),
    ] = "0"
    top: Annotated[
        str,
        Option(
            "--top",
            short="Pixels or percent to add. [default: 0]",
            metavar="N|N%",
            help="Pixels, or percent of the height, to add at the top.",
        ),
    ] = "0"
    bottom: Annotated[
        str,
        Option(
            "--bottom",
            short="Pixels or percent to add. [default: 0]",
            metavar="N|N%",
            help="Pixels, or percent of the height, to add at the bottom.",
        ),
    ] = "0"

    def build(self, given: Given, context: BuildContext) -> "Outpaint":
        """Return the operation."""
        source = context.images.find(self.image, fit=not given.inputs.no_fit)
        return Outpaint(
            image=source.reference,
            left=parse_margin("left", self.left, source),
            right=parse_margin("right", self.right, source),
            top=parse_margin("top", self.top, source),
            bottom=parse_margin("bottom", self.bottom, source),
        )


def parse_margin(side: str, text: str, source: SourceImage) -> int:
    """Return a margin in pixels of the image as it is sent. `text` is a percentage, or pixels of the user's image.

    Raise UsageError.
    """
    match = re.fullmatch(r"([0-9]{1,5})(\.[0-9]{1,3})?(%?)", text.strip(), re.ASCII)
    if not match or (match[2] and not match[3]):
        raise UsageError(
            f"--{side} {quoted(text, 40)} is not a number of pixels or a percentage, for example 256 or 25%"
        )
    number, axis = float(match[1] + (match[2] or "")), side in ("top", "bottom")
    if match[3] and source.size is None:
        raise UsageError(f"--{side} {text}: a percentage needs a local image", hint="Use a margin in pixels")
    if source.size is None or source.original_size is None:
        return int(number)
    sent, original = source.size[axis], source.original_size[axis]
    return round(number / 100 * sent) if match[3] else round(number * sent / original)


@frozen(kw_only=True)
class Outpaint(Operation):
    """Extend an image beyond its edges, by margins in pixels."""

    name = "outpaint"
    task_type = "fill-outpaint"
    image: str
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    @property
    def images(self) -> tuple[str, ...]:
        """The input image."""
        return (self.image,)

    def write(self, writer: Writer) -> JsonObject:
        """Return the image and the margins."""
        margins: JsonObject = {
            "setting_type": "outpaint",
            "outpaint_left": self.left,
            "outpaint_right": self.right,
            "outpaint_top": self.top,
            "outpaint_bottom": self.bottom,
        }
        return {"image": writer.image(self.image), "custom_settings": [margins]}

    def problems(self, limits: Limits) -> Iterator[str]:
        """Yield the problems of every operation, and those of the margins."""
        yield from Operation.problems(self, limits)
        margins = (self.left, self.right, self.top, self.bottom)
        if max(margins) > limits.margin:
            yield f"a margin of {max(margins)} pixels is too wide: up to {limits.margin}"
        elif min(margins) < 0:
            yield f"a margin of {min(margins)} pixels is negative"
        elif not any(margins):
            yield "no margin: pass --left, --right, --top or --bottom, for example --right 25%"
