"""`flux outpaint`: an image, extended beyond its edges."""

from ...errors import ExitCode
from ...operations.options import Given, InputOptions, TaskOptions
from ...operations.outpaint import OutpaintParameters
from ..context import Session
from ..options import RunOptions


def outpaint(
    session: Session,
    own: OutpaintParameters,
    task: TaskOptions,
    inputs: InputOptions,
    run: RunOptions,
) -> ExitCode:
    """Extend an image beyond its edges.

    flux outpaint beach.jpg "more beach and sea" --left 256 --right 25%
    """
    from ..generate import generate

    return generate(session, own, Given(task, inputs=inputs), run)
