"""`flux controlnet`: an image with the structure of another."""

from ...errors import ExitCode
from ...operations.controlnet import ControlNetParameters
from ...operations.options import SharedOptions
from ..options import RunOptions
from ..registry import help_page
from ..session import Session


@help_page(
    ("Follow the pose of a photo", 'flux controlnet "a knight" --control openpose=photo.jpg'),
    (
        "Follow edges, half as strong, in a LoRA style",
        'flux controlnet "a house" --control canny=plan.png:0.5 --lora anime',
    ),
    ("List all control types", "flux models --controls"),
    hides=("batch_size", "commercial", "model", "denoise"),
)
def controlnet(session: Session, own: ControlNetParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Generate an image with the pose, depth or edges of another."""
    from ..generate import generate

    return generate(session, own, shared, run)
