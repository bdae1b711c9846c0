"""Commands about pictures that were made before."""

from pathlib import Path
from typing import Annotated

import typer

from ...errors import ExitCode
from ..context import Session
from ..options.options import Overwrite

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

BuyAgain = Annotated[bool, typer.Option("--no-cache", help="Buy it also when nothing is changed.")]


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
