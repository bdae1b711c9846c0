"""A contact sheet: the pictures of a folder small and labelled in one picture."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from ..errors import UsageError
from ..frozen import frozen
from ..images.thumbnails import thumbnail
from ..text import clean
from .exhibits import SHEET, Exhibit
from .grids import Grid

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

SIDES = (320, 240, 160, 112, 80)
"""Pixels of a small picture; the first with which the sheet is not too large."""
LARGEST = 40_000_000
"""Pixels of a sheet: 120 MB while it is drawn."""
WIDEST = 4000
GAP, FONT, LINE = 12, 14, 19
GROUND, INK, FAINT = "#ffffff", "#1d1d1b", "#8a8a85"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@frozen
class Cell:
    """A picture's place: column and row, and what is written below it."""

    column: int
    row: int
    exhibit: Exhibit
    label: str


@frozen
class Plan:
    """Where everything goes. left and top: what is written beside rows and above columns, in their order."""

    columns: int
    rows: int
    cells: list[Cell]
    left: tuple[str, ...] = ()
    top: tuple[str, ...] = ()
    corner: str = ""

    def size(self, side: int) -> tuple[int, int]:
        """Width and height of the sheet in pixels, with small pictures of `side`."""
        return self.corner_of(self.columns, self.rows, side)

    def corner_of(self, column: int, row: int, side: int) -> tuple[int, int]:
        """The upper left corner of a cell."""
        left = GAP + (side // 2 + GAP if self.left else 0)
        top = GAP + (LINE + GAP // 2 if self.top else 0)
        below = 0 if self.top else LINE
        return left + column * (side + GAP), top + row * (side + below + GAP)


def write_sheet(
    file: BinaryIO, suffix: str, exhibits: Sequence[Exhibit], grid: Grid | None, broken: Callable[[str], None]
) -> tuple[int, int]:
    """Draw the sheet into a file of the kind that `suffix` says (see FORMATS), and return its size in pixels.

    broken: hears of a file that is no whole picture. Raises UsageError when there are too many pictures for a sheet.
    """
    from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

    plan, side = _fitting(exhibits, grid)
    sheet = Image.new("RGB", plan.size(side), GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT)
    _write_axes(draw, font, plan, side)
    for cell in plan.cells:
        x, y = plan.corner_of(cell.column, cell.row, side)
        try:
            small = thumbnail(cell.exhibit.path, side).image.convert("RGBA")
        except UsageError as error:
            broken(error.message)
            draw.rectangle((x, y, x + side - 1, y + side - 1), outline=FAINT)
        else:
            below = 0 if plan.top else side - small.height  # beside a row's label, or right above its own
            sheet.paste(small, (x + (side - small.width) // 2, y + below), small)
        draw.text((x, y + side + 2), _cut(font, cell.label, side), INK, font)
    kind = FORMATS[suffix]
    about = PngImagePlugin.PngInfo()
    about.add_text(SHEET, "1")
    sheet.save(file, kind, **({"pnginfo": about} if kind == "PNG" else {"quality": 90}))
    return sheet.size


def _fitting(exhibits: Sequence[Exhibit], grid: Grid | None) -> tuple[Plan, int]:
    """The plan, and how large small pictures are in it. Raises UsageError."""
    for side in SIDES:
        across = max(1, (WIDEST - GAP) // (side + GAP))
        plan = _plan(exhibits, grid, across)
        width, height = plan.size(side)
        if width * height <= LARGEST:
            return plan, side
    raise UsageError(
        f"{len(exhibits)} pictures are too many for a contact sheet", hint="choose with --since, or leave --sheet out",
    )  # fmt: skip


def _plan(exhibits: Sequence[Exhibit], grid: Grid | None, across: int) -> Plan:
    if grid and grid.rows and all(len(cell) == 1 for cell in grid.cells.values()) and not grid.rest:
        columns, rows = grid.columns, grid.rows
        placed = [
            Cell(x, y, exhibit, "")
            for y, value in enumerate(rows.values)
            for x, cell in enumerate(grid.row(value))
            for exhibit in cell
        ]
        corner = f"{rows.title} / {columns.title}"
        return Plan(len(columns.values), len(rows.values), placed, rows.labels, columns.labels, corner)
    told = list(_labelled(exhibits, grid))
    columns_used = min(across, len(told), max(1, round((len(told) * 1.4) ** 0.5)))
    cells = [Cell(n % columns_used, n // columns_used, exhibit, label) for n, (exhibit, label) in enumerate(told)]
    return Plan(columns_used, -(-len(cells) // columns_used), cells)


def _labelled(exhibits: Sequence[Exhibit], grid: Grid | None) -> Iterator[tuple[Exhibit, str]]:
    """The pictures one after another, each with what tells it from the others."""
    if grid is None:
        yield from ((exhibit, exhibit.prompt or exhibit.path.name) for exhibit in reversed(exhibits))
        return
    rows = zip(grid.rows.values, grid.rows.labels, strict=True) if grid.rows else iter((("", ""),))
    for value, row in rows:
        for column, cell in zip(grid.columns.labels, grid.row(value), strict=True):
            label = f"{row}, {column}" if row else f"{grid.columns.title} {column}"
            yield from ((exhibit, label) for exhibit in cell)
    yield from ((exhibit, exhibit.path.name) for exhibit in grid.rest)


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
    """The text in lines of at most `width` pixels."""
    lines: list[str] = []
    for word in clean(text, 400).split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [_cut(font, line, width) for line in lines[:most]]


def _cut(font: "FreeTypeFont | ImageFont", text: str, width: int) -> str:
    """As much of the text as `width` pixels hold, on one line."""
    line = clean(text, 200)
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}...") > width:
        line = line[:-1]
    return f"{line.rstrip()}..."
