"""Commands about existing images."""

from pathlib import Path
from typing import Annotated

from ...errors import ExitCode
from ...operations.parameters import Argument, Option
from ..context import Session
from ..options.options import Overwrite

Folder = Annotated[Path | None, Argument("DIR", help="Directory with images. [default: the output directory]")]
PageFile = Annotated[
    Path | None, Option("-o, --output", metavar="FILE", help="File for the page. [default: gallery.html in DIR]")
]
SheetFile = Annotated[
    Path | None, Option("--sheet", metavar="FILE", help="Write a contact sheet instead of a page: .png, .jpg or .webp.")
]
BatchOption = Annotated[
    Path | None,
    Option("--batch", metavar="REPORT", help="Show the images of a batch; REPORT is its --report FILE.json."),
]
SinceOption = Annotated[
    str | None,
    Option("--since", metavar="DAY", help="Only images saved since a day (2026-11-01), or in the last N days (7d)."),
]
OpenOption = Annotated[bool, Option("--open", help="Open the file in the default viewer.")]


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
    """Show the images of a directory, or of a batch, on one page.

    Images from a sweep are shown as a grid. The page works offline and links to the full-size images beside it.

    flux gallery shots --open

    flux gallery --sheet sheet.png --since 7d

    flux gallery --batch shots.json -o shots.html
    """
    from ..calls.gallery import Choice, show_gallery

    session.output.opens = opened
    return show_gallery(session, Choice(folder, batch, since), output, sheet, overwrite=overwrite)
