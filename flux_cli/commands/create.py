"""Commands that make pictures from words."""

from typing import Annotated

import typer

from ..completion import controls, loras
from ..errors import ExitCode
from ..options import InputOptions, ManyOptions, SaveOptions, SizeOptions, SubmitOptions, TaskOptions, WaitOptions
from ..session import Session

Prompt = Annotated[
    str | None, typer.Argument(metavar="PROMPT", help="What to paint, 1 to 1500 characters.", show_default=False)
]
LoRAs = Annotated[
    list[str] | None,
    typer.Option(
        "--lora", metavar="NAME[:STRENGTH]", autocompletion=loras, help="A style, by name or address; repeatable."
    ),
]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        metavar="TYPE=IMG[:STRENGTH]",
        autocompletion=controls,
        help="Follow a picture's structure; repeatable.",
    ),
]
StartImage = Annotated[
    str | None, typer.Option("--image", metavar="IMG", help="Restyle this picture instead of painting a new one.")
]
KeepControl = Annotated[
    bool, typer.Option("--keep-control", help="Save also what the service read from the control pictures.")
]


def gen(
    session: Session,
    task: TaskOptions,
    shape: SizeOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: Prompt = None,
) -> ExitCode:
    """Make a picture from words.

    flux gen "a red fox in the snow"

    flux gen "a red fox in the snow" -m schnell -b 4 --aspect 16:9 -o 'fox-{n}.png'

    flux gen --from prompts.txt --max-cost 5

    flux gen "a {red|blue} car, {style}" --vary style=woodcut,watercolour --seed 1..4
    """
    from ..batches import create_tasks
    from ..making import text_to_image

    make = text_to_image(session, task, shape)
    return create_tasks(session, prompt, make, task, many, save, submit)


def lora(
    session: Session,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: Prompt = None,
    loras: LoRAs = None,
    image: StartImage = None,
) -> ExitCode:
    """Make a picture in a style, from words or from a picture.

    flux lora "a cozy reading room" --lora ob3d-isometric-3d-room

    flux lora "a knight" --lora anime:0.8 --lora realism:0.3 --image knight.jpg
    """
    from ..batches import create_tasks
    from ..making import styled

    make = styled(session, loras, image, task, shape, inputs)
    return create_tasks(session, prompt, make, task, many, save, submit)


def controlnet(
    session: Session,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    prompt: Prompt = None,
    controls: Controls = None,
    loras: LoRAs = None,
    keep_control: KeepControl = False,
) -> ExitCode:
    """Make a picture that follows the structure of another: its pose, depth or edges.

    flux controlnet "a knight in the same pose" --control pose=dancer.jpg

    flux controlnet "a snowy street" --control depth=street.png:0.6 --lora scenery
    """
    from ..batches import create_tasks
    from ..making import controlled

    make = controlled(session, controls, loras, keep_control, task, shape, inputs)
    return create_tasks(session, prompt, make, task, many, save, submit)
