"""`flux batch`: a task per row of a file."""

from typing import Annotated

from ...errors import ExitCode
from ...operations.limits import DEFAULT_SIZE
from ...operations.options import InputOptions, SharedOptions, SizeOptions, TaskOptions
from ...operations.parameters import Argument
from ..common_options import ViewOptions
from ..options import ManyOptions, SaveOptions, SubmitOptions, WaitOptions
from ..registry import help_page
from ..session import Session

RowsFile = Annotated[str, Argument("FILE", help="Rows as JSON lines, CSV or TOML; - for stdin.")]


@help_page(
    ("Show the requests and their price", "flux batch rows.csv --dry-run"),
    ("Spend at most $10", "flux batch rows.csv -m schnell -d images --max-cost 10"),
    (
        "Pipe a row from another program",
        'echo \'{"op": "edit", "image": "cup.jpg", "prompt": "on marble"}\' \\\n  | flux batch -',
    ),
    defaults=(("size", f"{DEFAULT_SIZE[0]}x{DEFAULT_SIZE[1]}, or that of the input image"),),
    texts=(("output", "File name or template; see flux help templates."),),
)
def batch(
    session: Session,
    file: RowsFile,
    task: TaskOptions,
    size: SizeOptions,
    inputs: InputOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    many: ManyOptions,
    view: ViewOptions,
) -> ExitCode:
    """Run one task per row of a file.

    The file is JSON (one object per line, or an array), CSV with a header, or TOML with [[row]] tables. A row has a
    prompt, an op (default: gen) and any option of that command by its long name. The field output names the image, and
    id is the {id} of file names. Options given here apply to rows that do not set their own.
    """
    from ..generate import generate_rows

    return generate_rows(session, file, SharedOptions(task, size, inputs), many, save, submit)
