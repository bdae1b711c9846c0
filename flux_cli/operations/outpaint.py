"""Outpainting: `flux outpaint`."""

import re
from collections.abc import Iterator
from typing import Annotated

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from ..text import quoted
from .base import BuildContext, Operation, Parameters, SourceImage, Writer
from .limits import ModelLimits
from .options import ImageArgument, InputOptions, SharedOptions, TaskOptions
from .parameters import Argument, Option

DEFAULT_PROMPT = "the image continued naturally"


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
    def label(self) -> str:
        return self.name if self.prompt == DEFAULT_PROMPT else self.prompt

    def write(self, writer: Writer) -> JsonObject:
        margins: JsonObject = {
            "setting_type": "outpaint",
            "outpaint_left": self.left,
            "outpaint_right": self.right,
            "outpaint_top": self.top,
            "outpaint_bottom": self.bottom,
        }
        return {"image": writer.image(self.image), "custom_settings": [margins]}

    def problems(self, limits: ModelLimits) -> Iterator[str | UsageError]:
        yield from Operation.problems(self, limits)
        margins = (self.left, self.right, self.top, self.bottom)
        if max(margins) > limits.margin:
            yield f"a margin of {max(margins):,} pixels is too wide; PiAPI accepts up to {limits.margin:,}"
        elif min(margins) < 0:
            yield f"a margin of {min(margins)} pixels is negative"
        elif not any(margins):
            yield UsageError("no margin", hint="Pass --left, --right, --top or --bottom, for example --right 25%")


def parse_margin(side: str, text: str, source: SourceImage) -> int:
    """Return a margin in pixels of the image as it is sent. text: a percentage, or pixels of the user's own image.

    Raise UsageError.
    """
    match = re.fullmatch(r"([0-9]{1,5})(\.[0-9]{1,3})?(%?)", text.strip(), re.ASCII)
    if not match or (match[2] and not match[3]):
        raise UsageError(
            f"invalid --{side} {quoted(text, 40)}: expected pixels or a percentage, for example 256 or 25%"
        )
    number, axis = float(match[1] + (match[2] or "")), side in ("top", "bottom")
    if match[3] and source.size is None:
        raise UsageError(f"--{side} {text}: a percentage needs a local image", hint="Use a margin in pixels")
    if source.size is None or source.original_size is None:
        return int(number)
    sent, original = source.size[axis], source.original_size[axis]
    return round(number / 100 * sent) if match[3] else round(number * sent / original)


def _margin_option(side: str, length: str, where: str) -> Option:
    return Option(
        f"--{side}",
        metavar="N|N%",
        short="Pixels or percent to add.",
        help=f"Pixels, or percent of the {length}, to add {where}.",
    )


@frozen
class OutpaintParameters(Parameters):
    title = "Margins"
    name = "outpaint"
    purpose = "extends an image"
    operations = (Outpaint,)
    groups = (TaskOptions, InputOptions)
    default_prompt = DEFAULT_PROMPT

    image: ImageArgument
    prompt: Annotated[str | None, Argument("PROMPT", help="Text prompt for the new area.", default=DEFAULT_PROMPT)] = (
        None
    )
    left: Annotated[str, _margin_option("left", "width", "on the left")] = "0"
    right: Annotated[str, _margin_option("right", "width", "on the right")] = "0"
    top: Annotated[str, _margin_option("top", "height", "at the top")] = "0"
    bottom: Annotated[str, _margin_option("bottom", "height", "at the bottom")] = "0"

    def build(self, shared: SharedOptions, context: BuildContext) -> Outpaint:
        source = context.find(self.image)
        return Outpaint(
            image=source.reference,
            left=parse_margin("left", self.left, source),
            right=parse_margin("right", self.right, source),
            top=parse_margin("top", self.top, source),
            bottom=parse_margin("bottom", self.bottom, source),
        )
