"""`flux controlnet`: an image with the structure of another."""

from ...errors import ExitCode
from ...operations.controlnet import ControlNetParameters
from ...operations.options import Given, InputOptions, SizeOptions, TaskOptions
from ..context import Session
from ..options import RunOptions


def controlnet(
    session: Session,
    own: ControlNetParameters,
    task: TaskOptions,
    size: SizeOptions,
    inputs: InputOptions,
    run: RunOptions,
) -> ExitCode:
    """Generate an image with the pose, depth or edges of another.

    flux controlnet "a knight in the same pose" --control pose=dancer.jpg

    flux controlnet "a snowy street" --control depth=street.png:0.6 --lora scenery
    """
    from ..generate import generate

    return generate(session, own, Given(task, size, inputs), run)
