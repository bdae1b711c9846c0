"""Text to image: `flux gen`."""

from ..frozen import frozen
from ..json_value import JsonObject
from .base import BuildContext, Parameters, Sized, Writer
from .options import Given, NewPrompt, SizeOptions, TaskOptions


@frozen
class TextToImageParameters(Parameters):
    """Parameters of `flux gen`."""

    title = "Generation"
    name = "gen"
    groups = (TaskOptions, SizeOptions)

    prompt: NewPrompt = None

    def build(self, given: Given, context: BuildContext) -> "TextToImage":
        """Return the operation."""
        return TextToImage()


@frozen(kw_only=True)
class TextToImage(Sized):
    """Generate an image from a text prompt."""

    name = "gen"
    task_type = "txt2img"

    def write(self, writer: Writer) -> JsonObject:
        """Return the size."""
        return self.size_fields
