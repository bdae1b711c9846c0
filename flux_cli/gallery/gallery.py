"""`flux gallery`: the pictures of a folder in one page, or on one contact sheet."""

import os
from collections.abc import Collection
from pathlib import Path

from ..buying.inputs import local_path
from ..calls.money import moment_of
from ..domain.errors import DiskError, ExitCode, UsageError
from ..domain.json_value import JsonObject
from ..domain.text import clean, counted
from ..session import Session
from ..system.files import replacing
from ..terminal.output import Mode, shown
from ..terminal.viewing import look
from .contact_sheet import FORMATS, write_sheet
from .exhibits import Exhibit, exhibits_in, total_cost
from .grids import Grid, grid_of
from .page import Page

PAGE = "gallery.html"
PAGES = (".html", ".htm")


def show_gallery(
    session: Session, folder: Path | None, output: Path | None, sheet: Path | None, since: str | None, overwrite: bool
) -> ExitCode:
    """Write a page, or a contact sheet, of the pictures in a folder. Raises UsageError, DiskError."""
    if output and sheet:
        raise UsageError("give only one of -o, --sheet", money="")
    place = _absolute(folder) if folder else session.folder
    target = _target(_absolute(sheet or output or place / PAGE), FORMATS if sheet else PAGES, overwrite=overwrite)
    exhibits = _exhibits(place, moment_of(since) if since else 0.0, target)
    grid = grid_of(exhibits)
    broken: list[str] = []
    try:
        with replacing(target) as file:
            if sheet:
                write_sheet(file, target.suffix.lower(), exhibits, grid, broken.append)
            else:
                Page(target.parent, broken.append).write(file, place.name or str(place), exhibits, grid)
    except OSError as error:
        raise DiskError(f"cannot write {shown(target)}: {error.strerror or error}") from error
    for problem in broken:
        session.output.warn(clean(problem))
    _tell(session, target, exhibits, grid)
    return ExitCode.OK


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(local_path(str(path))))


def _target(target: Path, suffixes: Collection[str], *, overwrite: bool) -> Path:
    if target.suffix.lower() not in suffixes:  # also so that a page never takes the place of a picture
        hint = "a page is written with -o, a contact sheet with --sheet"
        raise UsageError(f"{clean(target.name, 80)} does not end in {' or '.join(suffixes)}", hint=hint, money="")
    if target.is_dir():
        raise UsageError(f"{shown(target)} is a folder: name a file in it", money="")
    if os.path.lexists(target) and not overwrite:
        hint = "replace it with --overwrite, or give another name"
        raise DiskError(f"{shown(target)} exists", hint=hint, code="exists")
    return target


def _exhibits(place: Path, since: float, target: Path) -> list[Exhibit]:
    if os.path.splitdrive(place)[0] != os.path.splitdrive(target)[0]:  # no path leads from one to the other
        raise UsageError("the page must be on the drive of the pictures", money="")
    if not place.is_dir():
        raise UsageError(f"no such folder: {clean(shown(place), 120)}", money="")
    try:
        exhibits = [exhibit for exhibit in exhibits_in(place, since) if exhibit.path != target]
    except OSError as error:
        raise DiskError(f"cannot read {clean(str(error.filename), 120)}: {error.strerror}") from error
    if not exhibits:
        newer = " of that time" if since else ""
        raise UsageError(f"there is no picture{newer} in {clean(shown(place), 120)}", money="")
    return exhibits


def _tell(session: Session, target: Path, exhibits: list[Exhibit], grid: Grid | None) -> None:
    axes = [axis.title for axis in (grid.rows, grid.columns) if axis] if grid else []
    if session.output.mode is Mode.JSON:
        about: JsonObject = {"file": str(target), "pictures": len(exhibits), "axes": list(axes)}
        session.output.record("gallery", {**about, "cost_usd": str(total_cost(exhibits))})
    else:
        session.output.path(shown(target))
        by = " by ".join(axes) or "time"
        session.output.note(f"{counted(len(exhibits), 'picture')}, by {by}")
    look(session.output, [target])
