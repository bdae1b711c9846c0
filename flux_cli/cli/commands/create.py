"""Commands that make pictures from words, and from files of rows."""

from typing import Annotated

import typer

from ...errors import ExitCode
from ..context import Session
from ..options.arguments import ControlnetArguments, GenArguments, LoraArguments
from ..options.common import LookOptions
from ..options.options import BuyOptions, ManyOptions, SaveOptions, SubmitOptions, WaitOptions
from ..options.request_options import Given, InputOptions, SizeOptions, TaskOptions

Rows = Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, CSV or TOML; - for stdin.", show_default=False)]


def gen(
    session: Session,
    own: GenArguments,
    task: TaskOptions,
    shape: SizeOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Make a picture from words.

    flux gen "a red fox in the snow"

    flux gen "a red fox in the snow" -m schnell -b 4 --aspect 16:9 -o 'fox-{n}.png'

    flux gen --from prompts.txt --max-cost 5

    flux gen "a {red|blue} car, {style}" --vary style=woodcut,watercolour --seed 1..4
    """
    from ..generate import generate

    return generate(session, "gen", own, Given(task, shape), buy)


def lora(
    session: Session,
    own: LoraArguments,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Make a picture in a style, from words or from a picture.

    flux lora "a cozy reading room" --lora ob3d-isometric-3d-room

    flux lora "a knight" --lora anime:0.8 --lora realism:0.3 --image knight.jpg
    """
    from ..generate import generate

    return generate(session, "lora", own, Given(task, shape, inputs), buy)


def controlnet(
    session: Session,
    own: ControlnetArguments,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    buy: BuyOptions,
) -> ExitCode:
    """Make a picture with the pose, depth or edges of another.

    flux controlnet "a knight in the same pose" --control pose=dancer.jpg

    flux controlnet "a snowy street" --control depth=street.png:0.6 --lora scenery
    """
    from ..generate import generate

    return generate(session, "controlnet", own, Given(task, shape, inputs), buy)


def batch(
    session: Session,
    file: Rows,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    looking: LookOptions,
) -> ExitCode:
    """Make what the rows of a file ask for.

    The file is JSON lines, CSV with a header, or TOML with [[row]] tables. A row has a prompt, an op (gen when it
    has none), and any option of that command by its long name; output names its picture, and id stands for {id}
    in names. Options given here hold for the rows that do not say otherwise.

    flux batch rows.csv -m schnell -d pictures --max-cost 10

    echo '{"op": "edit", "image": "cup.jpg", "prompt": "on marble", "output": "cup.png"}' | flux batch -
    """
    from ..generate import generate_rows

    return generate_rows(session, file, Given(task, shape, inputs), many, save, submit)
