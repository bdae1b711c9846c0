"""The table of operations. A new one needs a module beside this one, and a line here."""

from .base import Operation, Parameters
from .controlnet import ControlNetParameters
from .image_to_image import ImageToImageParameters
from .inpaint import InpaintParameters
from .lora import LoRAParameters
from .outpaint import OutpaintParameters
from .redux import ReduxParameters
from .text_to_image import TextToImageParameters

PARAMETERS: dict[str, type[Parameters]] = {
    parameters.name: parameters
    for parameters in (
        TextToImageParameters,
        LoRAParameters,
        ControlNetParameters,
        ImageToImageParameters,
        InpaintParameters,
        OutpaintParameters,
        ReduxParameters,
    )
}
"""The parameters of each command that makes images, by its name, which is also the `op` of a row in a batch file."""
OPERATIONS: dict[str, type[Operation]] = {
    operation.name: operation for parameters in PARAMETERS.values() for operation in parameters.operations
}
"""The operations, by their names in stored requests and in the catalog. The command `edit` has two of them."""
