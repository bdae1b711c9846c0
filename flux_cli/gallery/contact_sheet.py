"""A contact sheet: one image with labeled thumbnails of all images of a directory."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from ..errors import UsageError
from ..frozen import frozen
from ..images.load import thumbnail
from ..text import clean
from .grid import Grid
from .images import SHEET, GalleryImage

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

SIDES = (320, 240, 160, 112, 80)
"""Sides of a thumbnail in pixels. The first one with which the sheet is small enough is used."""
LARGEST = 40_000_000
"""The most pixels of a sheet, which takes 120 MB of memory."""
WIDEST = 4000
GAP, FONT, LINE = 12, 14, 19
GROUND, INK, FAINT = "#ffffff", "#1d1d1b", "#8a8a85"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@frozen
class Cell:
    """An image's column and row, and the label below it."""

    column: int
    row: int
    image: GalleryImage
    label: str


@frozen
class Plan:
    """The layout of a sheet. left and top: the labels of rows and columns, in order."""

    columns: int
    rows: int
    cells: list[Cell]
    left: tuple[str, ...] = ()
    top: tuple[str, ...] = ()
    corner: str = ""

    def size(self, side: int) -> tuple[int, int]:
        """Return width and height of the sheet in pixels, with thumbnails of `side` pixels."""
        return self.corner_of(self.columns, self.rows, side)

    def corner_of(self, column: int, row: int, side: int) -> tuple[int, int]:
        """Return the upper left corner of a cell in pixels."""
        left = GAP + (side // 2 + GAP if self.left else 0)
        top = GAP + (LINE + GAP // 2 if self.top else 0)
        below = 0 if self.top else LINE
        return left + column * (side + GAP), top + row * (side + below + GAP)


def write_sheet(
    file: BinaryIO, suffix: str, images: Sequence[GalleryImage], grid: Grid | None, broken: Callable[[str], None]
) -> None:
    """Write the sheet to a file in the format of `suffix` (see FORMATS).

    broken: called with a message for each damaged image. Raise UsageError if there are too many images for a sheet.
    """
    from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

    plan, side = _choose_side(images, grid)
    sheet = Image.new("RGB", plan.size(side), GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT)
    _write_axes(draw, font, plan, side)
    for cell in plan.cells:
        x, y = plan.corner_of(cell.column, cell.row, side)
        try:
            small = thumbnail(cell.image.path, side).image.convert("RGBA")
        except UsageError as error:
            broken(error.message)
            draw.rectangle((x, y, x + side - 1, y + side - 1), outline=FAINT)
        else:
            below = 0 if plan.top else side - small.height  # beside its row label, or above its own
            sheet.paste(small, (x + (side - small.width) // 2, y + below), small)
        draw.text((x, y + side + 2), _cut(font, cell.label, side), INK, font)
    about = PngImagePlugin.PngInfo()
    about.add_text(SHEET, "1")
    sheet.save(file, FORMATS[suffix], pnginfo=about, quality=90)  # each format ignores the other's option


def _choose_side(images: Sequence[GalleryImage], grid: Grid | None) -> tuple[Plan, int]:
    """Return the layout and the side of its thumbnails in pixels. Raise UsageError."""
    for side in SIDES:
        across = max(1, (WIDEST - GAP) // (side + GAP))
        plan = _plan(images, grid, across)
        width, height = plan.size(side)
        if width * height <= LARGEST:
            return plan, side
    raise UsageError(f"{len(images)} images are too many for a contact sheet", hint="Use --since, or omit --sheet")


def _plan(images: Sequence[GalleryImage], grid: Grid | None, across: int) -> Plan:
    if grid and grid.rows and all(len(cell) == 1 for cell in grid.cells.values()) and not grid.rest:
        columns, rows = grid.columns, grid.rows
        placed = [
            Cell(x, y, image, "")
            for y, value in enumerate(rows.values)
            for x, cell in enumerate(grid.row(value))
            for image in cell
        ]
        corner = f"{rows.title} / {columns.title}"
        return Plan(len(columns.values), len(rows.values), placed, rows.labels, columns.labels, corner)
    labeled = list(_with_labels(images, grid))
    columns_used = min(across, len(labeled), max(1, round((len(labeled) * 1.4) ** 0.5)))
    cells = [Cell(n % columns_used, n // columns_used, image, label) for n, (image, label) in enumerate(labeled)]
    return Plan(columns_used, -(-len(cells) // columns_used), cells)


def _with_labels(images: Sequence[GalleryImage], grid: Grid | None) -> Iterator[tuple[GalleryImage, str]]:
    """Yield the images in order, each with the label that distinguishes it."""
    if grid is None:
        yield from ((image, image.prompt or image.path.name) for image in reversed(images))
        return
    rows = zip(grid.rows.values, grid.rows.labels, strict=True) if grid.rows else iter((("", ""),))
    for value, row in rows:
        for column, cell in zip(grid.columns.labels, grid.row(value), strict=True):
            label = f"{row}, {column}" if row else f"{grid.columns.title} {column}"
            yield from ((image, label) for image in cell)
    yield from ((image, image.path.name) for image in grid.rest)


def _write_axes(draw: "ImageDraw", font: "FreeTypeFont | ImageFont", plan: Plan, side: int) -> None:
    room = side // 2
    for column, label in enumerate(plan.top):
        x, y = plan.corner_of(column, 0, side)
        draw.text((x, y - LINE - GAP // 2), _cut(font, label, side), INK, font)
    if plan.left:
        draw.text((GAP, GAP), _cut(font, plan.corner, room), FAINT, font)
    for row, label in enumerate(plan.left):
        _, y = plan.corner_of(0, row, side)
        for number, line in enumerate(_lines(font, label, room, side // LINE)):
            draw.text((GAP, y + number * LINE), line, INK, font)


def _lines(font: "FreeTypeFont | ImageFont", text: str, width: int, most: int) -> list[str]:
    """Return the text as up to `most` lines of at most `width` pixels."""
    lines: list[str] = []
    for word in clean(text, 400).split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [_cut(font, line, width) for line in lines[:most]]


def _cut(font: "FreeTypeFont | ImageFont", text: str, width: int) -> str:
    """Return the text on one line, shortened to `width` pixels."""
    line = clean(text, 200)
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}...") > width:
        line = line[:-1]
    return f"{line.rstrip()}..."
