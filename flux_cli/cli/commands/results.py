"""Commands about pictures that were made before."""

from pathlib import Path
from typing import Annotated

import typer

from ...errors import ExitCode
from ..context import Session
from ..options.common import LookOptions
from ..options.options import Overwrite, SaveOptions, SubmitOptions, WaitOptions
from ..options.request_options import SizeOptions, TaskOptions

Picture = Annotated[
    str, typer.Argument(metavar="FILE|ID", help="A picture, a journal entry, a task id or @last.", show_default=False)
]
NewPrompt = Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="Another prompt.")]

Folder = Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder. [where pictures go]", show_default=False)]
PageFile = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The page. [gallery.html in the folder]")
]
SheetFile = Annotated[
    Path | None, typer.Option("--sheet", metavar="FILE", help="A contact sheet instead: .png, .jpg or .webp.")
]
BatchOption = Annotated[
    Path | None, typer.Option("--batch", metavar="REPORT", help="The pictures of a batch: its --report FILE.json.")
]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="DAY", help="Only what is newer: 7d, 2026-11-01.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open it when it is written.")]

BuyAgain = Annotated[bool, typer.Option("--new", help="Buy it also when nothing is changed.")]


def show(session: Session, picture: Picture, looking: LookOptions) -> ExitCode:
    """Tell how a picture was made.

    flux show fox.png

    flux show @last --preview
    """
    from ..calls.remaking import show_made

    return show_made(session, picture)


def again(
    session: Session,
    picture: Picture,
    task: TaskOptions,
    shape: SizeOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
    looking: LookOptions,
    prompt: NewPrompt = None,
    new: BuyAgain = False,
) -> ExitCode:
    """Make a picture once more, with what options change.

    flux again fox.png --guidance 4.5 -o fox-2.png

    flux again @last --seed 8
    """
    from ..buying.purchase import create_task
    from ..calls.remaking import made_again

    return create_task(session, made_again(session, picture, prompt, task, shape), save, submit, new=new)


def gallery(
    session: Session,
    folder: Folder = None,
    batch: BatchOption = None,
    output: PageFile = None,
    sheet: SheetFile = None,
    since: SinceOption = None,
    overwrite: Overwrite = False,
    opened: OpenOption = False,
) -> ExitCode:
    """Show the pictures of a folder, or of a batch, in one page.

    Those of a sweep stand in a grid. The page works offline, and links to the full pictures beside it.

    flux gallery shots --open

    flux gallery --sheet sheet.png --since 7d

    flux gallery --batch shots.json -o shots.html
    """
    from ..calls.gallery import Choice, show_gallery

    session.output.opens = opened
    return show_gallery(session, Choice(folder, batch, since), output, sheet, overwrite=overwrite)
