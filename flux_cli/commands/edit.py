"""Commands that change pictures. IMG is a path, an address, - (stdin), @ID or @last."""

from typing import Annotated

import typer

from ..errors import ExitCode
from ..options import InputOptions, MaskOptions, SaveOptions, SizeOptions, SubmitOptions, TaskOptions, WaitOptions
from ..session import Session

Image = Annotated[
    str, typer.Argument(metavar="IMG", help="A path, an address, - (stdin), @ID or @last.", show_default=False)
]
Prompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="What it is to become, 1 to 1500 characters.", show_default=False)
]
RegionPrompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="What is to be there, 1 to 1500 characters.", show_default=False)
]
VariationPrompt = Annotated[str, typer.Argument(metavar="[PROMPT]", help="What is to be different.")]
BeyondPrompt = Annotated[str, typer.Argument(metavar="[PROMPT]", help="What is beyond the edges.")]
KontextOption = Annotated[
    bool, typer.Option("--kontext", help="The instruction editor: 'make the car red'. dev-advanced only.")
]
Strength = Annotated[float | None, typer.Option("--strength", help="How much to vary, 0 to 1.")]
Margin = "pixels or N% of the side"
Left = Annotated[str, typer.Option("--left", metavar="N|N%", show_default=False, help=f"How far: {Margin}.")]
Right = Annotated[str, typer.Option("--right", metavar="N|N%", show_default=False, help="The same to the right.")]
Top = Annotated[str, typer.Option("--top", metavar="N|N%", show_default=False, help="The same at the top.")]
Bottom = Annotated[str, typer.Option("--bottom", metavar="N|N%", show_default=False, help="The same at the bottom.")]


def edit(
    session: Session,
    image: Image,
    prompt: Prompt,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    kontext: KontextOption = False,
) -> ExitCode:
    """Redraw a picture after words; it keeps its composition, the more the lower --denoise is.

    flux edit photo.jpg "as a watercolour" --denoise 0.6

    flux gen "a house" -o - | flux edit - "at night" -o night.png

    flux edit @last "make the door red" --kontext
    """
    from ..making import edited
    from ..runs import create_task

    return create_task(session, edited(session, image, prompt, kontext, task, shape, inputs), save, submit)


def redux(
    session: Session,
    image: Image,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    prompt: VariationPrompt = "a variation of this picture",
    strength: Strength = None,
) -> ExitCode:
    """Make a variation of a picture.

    flux redux portrait.png "in evening light" --strength 0.7
    """
    from ..making import varied
    from ..runs import create_task

    return create_task(session, varied(session, image, prompt, strength, task, shape, inputs), save, submit)


def inpaint(
    session: Session,
    image: Image,
    prompt: RegionPrompt,
    region: MaskOptions,
    task: TaskOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
) -> ExitCode:
    """Paint a region of a picture anew, and leave the rest as it is.

    flux inpaint room.jpg "a window with a view of the sea" --mask-box 10%,20%,30%,40% --feather 8

    flux inpaint room.jpg "a plant" --mask mask.png --show-mask look.png
    """
    from ..making import inpainted
    from ..runs import create_task

    request = inpainted(session, image, prompt, region, task, inputs, overwrite=save.overwrite)
    return create_task(session, request, save, submit) if request else ExitCode.OK


def outpaint(
    session: Session,
    image: Image,
    task: TaskOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    prompt: BeyondPrompt = "the picture continued naturally",
    left: Left = "0",
    right: Right = "0",
    top: Top = "0",
    bottom: Bottom = "0",
) -> ExitCode:
    """Continue a picture beyond its edges.

    flux outpaint beach.jpg "more beach and sea" --left 256 --right 25%
    """
    from ..making import outpainted
    from ..runs import create_task

    margins = {"left": left, "right": right, "top": top, "bottom": bottom}
    return create_task(session, outpainted(session, image, prompt, margins, task, inputs), save, submit)
