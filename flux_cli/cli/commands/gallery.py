"""`flux gallery`: the images of a directory, or of a batch, on one page or contact sheet."""

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from ...config.paths import display_path
from ...errors import DiskError, ExitCode, UsageError
from ...gallery.contact_sheet import FORMATS, write_sheet
from ...gallery.grid import Section, make_sections
from ...gallery.images import GalleryImage, find_images, total_cost
from ...gallery.page import Page
from ...images.output_names import absolute_path
from ...json_value import JsonObject, object_at, strings_in
from ...operations.parameters import Argument, Option
from ...system.atomic_files import replacing
from ...text import clean, counted, join_or
from ..common_options import OpenOptions
from ..options import Overwrite
from ..output.output import Images, Items, Note, Record, WarningLine
from ..registry import help_page
from ..session import Session
from .cost import moment_of

Directory = Annotated[Path | None, Argument("DIR", help="Directory with images.", default="the output directory")]
PageFile = Annotated[
    Path | None, Option("-o, --output", metavar="FILE", help="File for the page.", default="gallery.html in DIR")
]
SheetFile = Annotated[
    Path | None,
    Option(
        "--sheet",
        metavar="FILE",
        short="Write a contact sheet instead of a page.",
        help="Write a contact sheet instead of a page: .png, .jpg or .webp.",
    ),
]
BatchOption = Annotated[
    Path | None,
    Option(
        "--batch",
        metavar="REPORT",
        short="Show the images of a batch, from its report.",
        help="Show the images of a batch; REPORT is its --report FILE.json.",
    ),
]
SinceOption = Annotated[
    str | None,
    Option(
        "--since",
        metavar="DATE|Nd",
        short="Only images since DATE, or of the last N days (7d).",
        help="Only images saved on or after DATE (2026-11-01), or in the last N days (7d).",
    ),
]
PAGE = "gallery.html"
PAGES = (".html", ".htm")


@help_page(
    ("Open a page of a directory", "flux gallery shots --open"),
    ("Make a contact sheet of the last week", "flux gallery --sheet sheet.png --since 7d"),
    ("Show the images of a batch", "flux gallery --batch shots.json -o shots.html"),
)
def gallery(
    session: Session,
    opening: OpenOptions,
    directory: Directory = None,
    batch: BatchOption = None,
    output: PageFile = None,
    sheet: SheetFile = None,
    since: SinceOption = None,
    overwrite: Overwrite = False,
) -> Items:
    """Show the images of a directory, or of a batch, on one page.

    Images from a sweep are shown as a grid, each sweep in a section. The page works offline and links to the full-size
    images beside it.
    """
    if output and sheet:
        raise UsageError("-o and --sheet cannot be used together")
    if batch and directory:
        raise UsageError("DIR and --batch cannot be used together")
    report = _make_absolute(batch) if batch else None
    place = report.parent if report else _make_absolute(directory) if directory else session.directory
    target = _check_target(
        _make_absolute(sheet or output or place / PAGE), FORMATS if sheet else PAGES, overwrite=overwrite
    )
    if os.path.splitdrive(place)[0] != os.path.splitdrive(target)[0]:  # Windows has no relative path between drives
        raise UsageError("the page must be on the same drive as the images")
    after = moment_of(since) if since else 0.0
    images = _find_in_report(report, after) if report else _find_in_directory(place, after, target)
    sections = make_sections(images)
    grid = sections[0].grid if len(sections) == 1 else None
    for problem in _write(target, place.name or str(place), images, sections):
        yield WarningLine(f"skipped {clean(problem)}")
    axes = [axis.title for axis in (grid.rows, grid.columns) if axis] if grid else []
    about: JsonObject = {"file": str(target), "images": len(images), "axes": list(axes), "sections": len(sections)}
    yield Record("gallery", {**about, "cost_usd": str(total_cost(images))}, paths=(target,))
    order = (
        f" in {len(sections)} sections" if len(sections) > 1 else f", arranged by {' and '.join(axes)}" if axes else ""
    )
    yield Note(f"{counted(len(images), 'image')}{order}")
    yield Images([target])
    return ExitCode.OK


def _write(target: Path, title: str, images: Sequence[GalleryImage], sections: list[Section]) -> list[str]:
    """Write a page, or a contact sheet if the target is an image file. Return a message per damaged image."""
    broken: list[str] = []
    try:
        with replacing(target) as file:
            if target.suffix.lower() in PAGES:
                Page(target.parent, broken.append).write(file, title, sections)
            else:
                grid = sections[0].grid if len(sections) == 1 else None
                write_sheet(file, target.suffix.lower(), images, grid, broken.append)
    except OSError as error:
        raise DiskError(f"cannot write {display_path(target)}: {error.strerror or error}") from error
    return broken


def _make_absolute(path: Path) -> Path:
    return absolute_path(str(path))


def _check_target(target: Path, suffixes: Collection[str], *, overwrite: bool) -> Path:
    if target.suffix.lower() not in suffixes:  # this also keeps a page from replacing an image
        hint = "For a page, use -o FILE.html; for a contact sheet, --sheet FILE.png"
        raise UsageError(f"{clean(target.name, 80)} must end in {join_or(sorted(suffixes))}", hint=hint)
    if target.is_dir():
        raise UsageError(f"{display_path(target)} is a directory: name a file in it")
    if os.path.lexists(target) and not overwrite:
        hint = "Replace it with --overwrite, or use another name"
        raise DiskError(f"{display_path(target)} exists", hint=hint, code="exists")
    return target


def _find_in_directory(place: Path, since: float, target: Path) -> list[GalleryImage]:
    if not place.is_dir():
        raise UsageError(f"directory not found: {clean(display_path(place), 120)}")
    try:
        return _require_images(find_images((path for path in place.iterdir() if path != target), since), since, place)
    except OSError as error:
        raise DiskError(f"cannot read {clean(str(error.filename), 120)}: {error.strerror}") from error


def _find_in_report(report: Path, since: float) -> list[GalleryImage]:
    """Return the existing images of a JSON report."""
    try:
        rows = object_at(json.loads(report.read_bytes())).get("rows")
        if not isinstance(rows, list):
            raise ValueError
        names = [name for row in rows for name in strings_in(object_at(row).get("files"))]
        return _require_images(find_images(map(Path, names), since), since, report)
    except OSError as error:
        raise DiskError(f"cannot read {clean(str(error.filename), 120)}: {error.strerror}") from error
    except (ValueError, RecursionError):
        hint = "Write one with flux batch FILE --report FILE.json"
        raise UsageError(f"{clean(display_path(report), 120)} is not a JSON report", hint=hint) from None


def _require_images(images: list[GalleryImage], since: float, place: Path) -> list[GalleryImage]:
    if not images:
        newer = " newer than --since" if since else ""
        raise UsageError(f"no images{newer} in {clean(display_path(place), 120)}")
    return images
