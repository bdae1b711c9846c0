"""Text to image: `flux gen`."""

from ..frozen import frozen
from ..json_value import JsonObject
from .base import BuildContext, Parameters, Sized, Writer
from .options import NewPrompt, SharedOptions, SizeOptions, TaskOptions


@frozen(kw_only=True)
class TextToImage(Sized):
    """Generate an image from a text prompt."""

    name = "gen"
    task_type = "txt2img"

    def write(self, writer: Writer) -> JsonObject:
        return self.size_fields


@frozen
class TextToImageParameters(Parameters):
    title = "Generation"
    name = "gen"
    purpose = "makes an image from a prompt"
    operations = (TextToImage,)
    groups = (TaskOptions, SizeOptions)

    prompt: NewPrompt = None

    def build(self, shared: SharedOptions, context: BuildContext) -> TextToImage:
        return TextToImage()
