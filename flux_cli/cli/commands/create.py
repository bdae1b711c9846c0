"""Commands that generate images from a text prompt, and from the rows of a file."""

from typing import Annotated

from ...errors import ExitCode
from ...operations.controlnet import ControlNetParameters
from ...operations.lora import LoRAParameters
from ...operations.options import Given, InputOptions, SizeOptions, TaskOptions
from ...operations.parameters import Argument
from ...operations.text_to_image import TextToImageParameters
from ..context import Session
from ..options.common import LookOptions
from ..options.options import ManyOptions, RunOptions, SaveOptions, SubmitOptions, WaitOptions

Rows = Annotated[str, Argument("FILE", help="Rows as JSON lines, CSV or TOML; - for stdin.")]


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


def batch(
    session: Session,
    file: Rows,
    task: TaskOptions,
    size: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    looking: LookOptions,
) -> ExitCode:
    """Run one task per row of a file.

    The file is JSON lines, CSV with a header, or TOML with [[row]] tables. A row has a prompt, an op (default: gen)
    and any option of that command by its long name. The field output names the image, and id is the {id} of file
    names. Options given here apply to rows that do not set their own.

    flux batch rows.csv -m schnell -d images --max-cost 10

    echo '{"op": "edit", "image": "cup.jpg", "prompt": "on marble", "output": "cup.png"}' | flux batch -
    """
    from ..generate import generate_rows

    return generate_rows(session, file, Given(task, size, inputs), many, save, submit)
