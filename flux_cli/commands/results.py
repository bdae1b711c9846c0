"""Commands about pictures that were made before."""

from typing import Annotated

import typer

from ..errors import ExitCode
from ..options import SaveOptions, SubmitOptions, WaitOptions
from ..request_options import SizeOptions, TaskOptions
from ..session import Session

Picture = Annotated[
    str, typer.Argument(metavar="FILE|ID", help="A picture, a journal entry, a task id or @last.", show_default=False)
]
NewPrompt = Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="Another prompt.")]

BuyAgain = Annotated[bool, typer.Option("--new", help="Buy it also when nothing is changed.")]


def show(session: Session, picture: Picture) -> ExitCode:
    """Tell how a picture was made.

    flux show fox.png
    """
    from ..remaking import show_made

    return show_made(session, picture)


def again(
    session: Session,
    picture: Picture,
    task: TaskOptions,
    shape: SizeOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    prompt: NewPrompt = None,
    new: BuyAgain = False,
) -> ExitCode:
    """Make a picture once more, with what options change.

    flux again fox.png --guidance 4.5 -o fox-2.png

    flux again @last --seed 8
    """
    from ..buying import create_task
    from ..remaking import made_again

    return create_task(session, made_again(session, picture, prompt, task, shape), save, submit, new=new)
