"""`flux gen`: an image from a text prompt."""

from ...errors import ExitCode
from ...operations.options import Given, SizeOptions, TaskOptions
from ...operations.text_to_image import TextToImageParameters
from ..context import Session
from ..options import RunOptions


def gen(
    session: Session,
    own: TextToImageParameters,
    task: TaskOptions,
    size: SizeOptions,
    run: RunOptions,
) -> ExitCode:
    """Generate an image from a text prompt.

    flux gen "a red fox in the snow"

    flux gen "a red fox in the snow" -m schnell -b 4 --aspect 16:9 -o 'fox-{n}.png'

    flux gen --from prompts.txt --max-cost 5

    flux gen "a {red|blue} car, {style}" --vary style=woodcut,watercolor --seed 1..4
    """
    from ..generate import generate

    return generate(session, own, Given(task, size), run)
