"""`flux lora`: an image in LoRA styles."""

from ...errors import ExitCode
from ...operations.lora import LoRAParameters
from ...operations.options import Given, InputOptions, SizeOptions, TaskOptions
from ..context import Session
from ..options import RunOptions


def lora(
    session: Session,
    own: LoRAParameters,
    task: TaskOptions,
    size: SizeOptions,
    inputs: InputOptions,
    run: RunOptions,
) -> ExitCode:
    """Generate or edit an image with LoRA styles.

    flux lora "a cozy reading room" --lora ob3d-isometric-3d-room

    flux lora "a knight" --lora anime:0.8 --lora realism:0.3 --image knight.jpg
    """
    from ..generate import generate

    return generate(session, own, Given(task, size, inputs), run)
