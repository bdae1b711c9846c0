"""Inpainting: `flux inpaint`."""

from collections.abc import Iterator
from typing import Annotated

from ..frozen import frozen
from ..json_value import JsonObject
from .base import BuildContext, Operation, Parameters, Writer
from .options import ImageArgument, InputOptions, MaskOptions, SharedOptions, TaskOptions
from .parameters import Argument


@frozen(kw_only=True)
class Inpaint(Operation):
    """Regenerate a region of an image.

    mask: an image, white where to inpaint.
    cut_out: the image made transparent there, which the live API uses instead of a mask.
    """

    name = "inpaint"
    task_type = "fill-inpaint"
    image: str
    mask: str
    cut_out: str | None = None

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image, self.mask, self.cut_out) if self.cut_out else (self.image, self.mask)

    def write(self, writer: Writer) -> JsonObject:
        """Return image and mask. The live API has no mask: it inpaints where the image is transparent."""
        image = self.image if writer.dialect == "spec" else self.cut_out or self.image
        return {"image": writer.image(image), **writer.pair({"mask": writer.image(self.mask)}, {})}

    def live_problems(self) -> Iterator[str]:
        if self.cut_out is None:
            yield "the live API reads the region as a hole in the image: image and mask must be local files"


@frozen
class InpaintParameters(Parameters):
    """Parameters of `flux inpaint`; the region is one of `MaskOptions`."""

    title = "Input image"
    name = "inpaint"
    purpose = "regenerates a region"
    operations = (Inpaint,)
    groups = (MaskOptions, TaskOptions, InputOptions)

    image: ImageArgument
    prompt: Annotated[
        str | None, Argument("PROMPT", help="Text prompt for the region, {prompt_characters} characters.")
    ] = None

    def build(self, shared: SharedOptions, context: BuildContext) -> Inpaint:
        found = context.find_masked(self.image, shared.mask)
        return Inpaint(image=found.image, mask=found.mask, cut_out=found.cut_out)
