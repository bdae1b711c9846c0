"""Commands that edit images. IMG is a path, a URL, - (stdin), @ID or @last."""

from ...errors import ExitCode
from ...operations.image_to_image import ImageToImageParameters
from ...operations.inpaint import InpaintParameters
from ...operations.options import Given, InputOptions, MaskOptions, SizeOptions, TaskOptions
from ...operations.outpaint import OutpaintParameters
from ...operations.redux import ReduxParameters
from ..context import Session
from ..options.options import RunOptions


def edit(
    session: Session,
    own: ImageToImageParameters,
    task: TaskOptions,
    size: SizeOptions,
    inputs: InputOptions,
    run: RunOptions,
) -> ExitCode:
    """Edit an image with a text prompt.

    Lower values of --denoise keep more of the composition.

    flux edit photo.jpg "as a watercolor" --denoise 0.6

    flux gen "a house" -o - | flux edit - "at night" -o night.png

    flux edit @last "make the door red" --kontext
    """
    from ..generate import generate

    return generate(session, own, Given(task, size, inputs), run)


def redux(
    session: Session,
    own: ReduxParameters,
    task: TaskOptions,
    size: SizeOptions,
    inputs: InputOptions,
    run: RunOptions,
) -> ExitCode:
    """Generate a variation of an image.

    flux redux portrait.png "in evening light" --strength 0.7
    """
    from ..generate import generate

    return generate(session, own, Given(task, size, inputs), run)


def inpaint(
    session: Session,
    own: InpaintParameters,
    mask: MaskOptions,
    task: TaskOptions,
    inputs: InputOptions,
    run: RunOptions,
) -> ExitCode:
    """Regenerate a region of an image.

    flux inpaint room.jpg "a window with a view of the sea" --mask-box 10%,20%,30%,40% --feather 8

    flux inpaint room.jpg "a plant" --mask mask.png --show-mask region.png
    """
    from ..buying.making import show_mask
    from ..generate import generate

    given = Given(task, inputs=inputs, mask=mask)
    if mask.show_mask is not None:
        return show_mask(session, own.image, given, overwrite=run.save.overwrite)
    return generate(session, own, given, run)


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
