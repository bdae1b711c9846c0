"""Commands that change pictures. IMG is a path, an address, - (stdin), @ID or @last."""

from ...errors import ExitCode
from ..context import Session
from ..options.arguments import EditArguments, InpaintArguments, OutpaintArguments, ReduxArguments
from ..options.options import BuyOptions
from ..options.request_options import Given, InputOptions, MaskOptions, SizeOptions, TaskOptions


def edit(
    session: Session,
    own: EditArguments,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Redraw a picture after words.

    It keeps its composition, the more the lower --denoise is.

    flux edit photo.jpg "as a watercolour" --denoise 0.6

    flux gen "a house" -o - | flux edit - "at night" -o night.png

    flux edit @last "make the door red" --kontext
    """
    from ..generate import generate

    return generate(session, "edit", own, Given(task, shape, inputs), buy)


def redux(
    session: Session,
    own: ReduxArguments,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Make a variation of a picture.

    flux redux portrait.png "in evening light" --strength 0.7
    """
    from ..generate import generate

    return generate(session, "redux", own, Given(task, shape, inputs), buy)


def inpaint(
    session: Session,
    own: InpaintArguments,
    region: MaskOptions,
    task: TaskOptions,
    inputs: InputOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Paint a region of a picture anew.

    flux inpaint room.jpg "a window with a view of the sea" --mask-box 10%,20%,30%,40% --feather 8

    flux inpaint room.jpg "a plant" --mask mask.png --show-mask look.png
    """
    from ..buying.making import shown_region
    from ..generate import generate

    given = Given(task, inputs=inputs, region=region)
    if region.show_mask is not None:
        return shown_region(session, own.image, given, overwrite=buy.save.overwrite)
    return generate(session, "inpaint", own, given, buy)


def outpaint(
    session: Session,
    own: OutpaintArguments,
    task: TaskOptions,
    inputs: InputOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Continue a picture beyond its edges.

    flux outpaint beach.jpg "more beach and sea" --left 256 --right 25%
    """
    from ..generate import generate

    return generate(session, "outpaint", own, Given(task, inputs=inputs), buy)
