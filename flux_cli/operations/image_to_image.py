"""Image to image and instruction editing: `flux edit`, without and with `--kontext`."""

from typing import Annotated

from ..frozen import frozen
from ..json_value import JsonObject
from .base import BuildContext, Operation, Parameters, Sized, Writer, refuse_size
from .limits import DEFAULT_SIZE
from .options import ImageArgument, InputOptions, SharedOptions, SizeOptions, TaskOptions
from .parameters import Argument, Option


@frozen(kw_only=True)
class ImageToImage(Operation):
    """Edit an image with a text prompt; it keeps its size."""

    name = "edit"
    task_type = "img2img"
    image: str

    def write(self, writer: Writer) -> JsonObject:
        return {"image": writer.image(self.image)}


@frozen(kw_only=True)
class Kontext(Sized):
    """Edit an image by an instruction, with FLUX.1 Kontext."""

    name = "kontext"
    task_type = "kontext"
    image: str

    def write(self, writer: Writer) -> JsonObject:
        return {"image": writer.image(self.image), **self.size_fields}


@frozen
class ImageToImageParameters(Parameters):
    title = "Input image"
    name = "edit"
    purpose = "changes an image"
    operations = (ImageToImage, Kontext)
    groups = (TaskOptions, SizeOptions, InputOptions)

    image: ImageArgument
    prompt: Annotated[
        str | None, Argument("PROMPT", help="Text prompt for the result, {prompt_characters} characters.")
    ] = None
    kontext: Annotated[
        bool,
        Option(
            "--kontext",
            short="Follow an instruction: 'make the car red'.",
            help="Follow an instruction: 'make the car red'; {kontext} only.",
        ),
    ] = False

    @property
    def takes_size(self) -> bool:
        """Whether Kontext is used. Image to image keeps the size of its input."""
        return self.kontext

    def build(self, shared: SharedOptions, context: BuildContext) -> Operation:
        """Return the operation. Kontext has the size of its input unless another one is given."""
        source = context.find(self.image)
        if self.kontext:
            width, height = source.size or DEFAULT_SIZE
            return Kontext(image=source.reference, width=width, height=height)
        refuse_size(shared.size, "flux edit", "Omit it, or add --kontext, which uses dev-advanced")
        return ImageToImage(image=source.reference)
