"""The operations: a new one is a module beside this one, and its line in each of the two tables."""

from .base import Operation, Parameters
from .controlnet import ControlNet, ControlNetParameters
from .image_to_image import ImageToImage, ImageToImageParameters
from .inpaint import Inpaint, InpaintParameters
from .kontext import Kontext
from .lora import LoRAGeneration, LoRAParameters
from .outpaint import Outpaint, OutpaintParameters
from .redux import Redux, ReduxParameters
from .text_to_image import TextToImage, TextToImageParameters

_PARAMETERS: tuple[type[Parameters], ...] = (
    TextToImageParameters,
    LoRAParameters,
    ControlNetParameters,
    ImageToImageParameters,
    InpaintParameters,
    OutpaintParameters,
    ReduxParameters,
)
_OPERATIONS: tuple[type[Operation], ...] = (
    TextToImage,
    ImageToImage,
    Kontext,
    LoRAGeneration,
    ControlNet,
    Redux,
    Inpaint,
    Outpaint,
)

COMMANDS: dict[str, type[Parameters]] = {parameters.name: parameters for parameters in _PARAMETERS}
"""The parameters of each command that makes images, by the command's name: the `op` of a row in a batch file."""
OPERATIONS: dict[str, type[Operation]] = {operation.name: operation for operation in _OPERATIONS}
"""What can be requested, by the name in stored requests and in the catalog; `edit` is two of them."""
