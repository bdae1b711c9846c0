"""Commands that change pictures. IMG is a path, an address, - (stdin), @ID or @last."""

from typing import Annotated

import typer

from ..errors import ExitCode
from ..options import (
    InputOptions,
    ManyOptions,
    MaskOptions,
    SaveOptions,
    SizeOptions,
    SubmitOptions,
    TaskOptions,
    WaitOptions,
)
from ..session import Session

Image = Annotated[
    str, typer.Argument(metavar="IMG", help="A path, an address, - (stdin), @ID or @last.", show_default=False)
]
Prompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="What it is to become, 1 to 1500 characters.", show_default=False)
]
RegionPrompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="What is to be there, 1 to 1500 characters.", show_default=False)
]
VARIATION, BEYOND = "a variation of this picture", "the picture continued naturally"
VariationPrompt = Annotated[
    str | None, typer.Argument(metavar="[PROMPT]", help=f"What is to be different. [{VARIATION}]", show_default=False)
]
BeyondPrompt = Annotated[
    str | None, typer.Argument(metavar="[PROMPT]", help=f"What is beyond. [{BEYOND}]", show_default=False)
]
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
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: Prompt = None,
    kontext: KontextOption = False,
) -> ExitCode:
    """Redraw a picture after words; it keeps its composition, the more the lower --denoise is.

    flux edit photo.jpg "as a watercolour" --denoise 0.6

    flux gen "a house" -o - | flux edit - "at night" -o night.png

    flux edit @last "make the door red" --kontext
    """
    from ..batches import create_tasks
    from ..making import edited

    make = edited(session, image, kontext, task, shape, inputs)
    return create_tasks(session, prompt, make, task, many, save, submit)


def redux(
    session: Session,
    image: Image,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: VariationPrompt = None,
    strength: Strength = None,
) -> ExitCode:
    """Make a variation of a picture.

    flux redux portrait.png "in evening light" --strength 0.7
    """
    from ..batches import create_tasks
    from ..making import varied

    make = varied(session, image, strength, task, shape, inputs)
    prompt = VARIATION if prompt is None and many.prompts is None else prompt
    return create_tasks(session, prompt, make, task, many, save, submit)


def inpaint(
    session: Session,
    image: Image,
    region: MaskOptions,
    task: TaskOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: RegionPrompt = None,
) -> ExitCode:
    """Paint a region of a picture anew, and leave the rest as it is.

    flux inpaint room.jpg "a window with a view of the sea" --mask-box 10%,20%,30%,40% --feather 8

    flux inpaint room.jpg "a plant" --mask mask.png --show-mask look.png
    """
    from ..batches import create_tasks
    from ..making import inpainted, shown_region

    if region.show_mask is not None:
        return shown_region(session, image, region, inputs, overwrite=save.overwrite)
    make = inpainted(session, image, region, task, inputs)
    return create_tasks(session, prompt, make, task, many, save, submit)


def outpaint(
    session: Session,
    image: Image,
    task: TaskOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: BeyondPrompt = None,
    left: Left = "0",
    right: Right = "0",
    top: Top = "0",
    bottom: Bottom = "0",
) -> ExitCode:
    """Continue a picture beyond its edges.

    flux outpaint beach.jpg "more beach and sea" --left 256 --right 25%
    """
    from ..batches import create_tasks
    from ..making import outpainted

    margins = {"left": left, "right": right, "top": top, "bottom": bottom}
    make = outpainted(session, image, margins, task, inputs)
    prompt = BEYOND if prompt is None and many.prompts is None else prompt
    return create_tasks(session, prompt, make, task, many, save, submit)
