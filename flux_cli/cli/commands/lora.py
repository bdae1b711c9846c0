"""`flux lora`: an image in LoRA styles."""

from ...errors import ExitCode
from ...operations.lora import LoRAParameters
from ...operations.options import SharedOptions
from ..options import RunOptions
from ..registry import help_page
from ..session import Session


@help_page(
    ("Generate in a style", 'flux lora "a lighthouse" --lora anime:0.8'),
    ("Restyle an image", 'flux lora "a lighthouse" --lora anime --image photo.jpg'),
    ("List all LoRA names", "flux models --loras"),
    texts=(("denoise", "With --image: denoising, {denoise}; lower keeps more."),),
    notes=(("Image size", "not with --image"),),
    hides=("batch_size", "commercial", "model"),
)
def lora(session: Session, own: LoRAParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Generate or edit an image with LoRA styles."""
    from ..generate import generate

    return generate(session, own, shared, run)
