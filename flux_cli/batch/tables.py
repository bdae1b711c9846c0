"""Rows of options: JSON, CSV, TOML."""

import csv
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import Any, BinaryIO, Literal, TypeAlias

from ..errors import UsageError
from ..text import clean, lower_first, quoted, trimmed
from .prompts import BOM, TABLE, Row, Rows, UnreadableError, decoded, good_lines, numbered, without_bom

WHOLE_LIMIT = 16 * 1024 * 1024
"""Bytes of a source that is parsed as a whole: TOML, or a JSON array."""

Kind: TypeAlias = Literal["jsonl", "csv", "toml"]

_SUFFIXES: dict[str, Kind] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".toml": "toml",
}  # fmt: skip
_SPACE = re.compile(r"[ \t\r\n]*")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SEPARATOR = re.compile(r"sep=([,;\t])", re.IGNORECASE)
"""A line from which a spreadsheet reads how the cells of the file are separated."""
_ERROR_CELL = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|#+)")
"""A spreadsheet's text in place of a value that it could not compute or show."""
_ROW_TABLE = re.compile(rf"^[ \t]*{TABLE}", re.MULTILINE)


def read_rows(
    stream: BinaryIO, name: str, kind: Kind, check_column: Callable[[str], UsageError | None] = lambda _: None
) -> Rows:
    """Return the rows of a stream. The values of CSV are text; those of JSON and TOML keep their types.

    check_column: returns what is wrong with the name of a column of CSV, which is reported once and not for each row.
    """
    readers: dict[Kind, Callable[[Rows, BinaryIO], Iterator[Row]]] = {
        "jsonl": _json_rows, "csv": partial(_csv_rows, check_column=check_column), "toml": _toml_rows,
    }  # fmt: skip
    return Rows(name, stream, readers[kind])


def has_rows(name: str) -> bool:
    """Return whether a file's extension is that of a format of rows."""
    return PurePath(name).suffix.lower() in _SUFFIXES


def kind_of(name: str, first_bytes: bytes) -> Kind:
    """Return the format of a source of rows: by its extension, or else by how it begins."""
    if kind := _SUFFIXES.get(PurePath(name).suffix.lower()):
        return kind
    lines = first_bytes.removeprefix(BOM).decode("utf-8", "replace").split("\n")
    first = next((line for line in map(str.strip, lines) if line and not line.startswith("#")), "")
    if re.match(TABLE, first):
        return "toml"
    return "jsonl" if first.startswith(("{", "[")) else "csv"


def _json_rows(rows: Rows, stream: BinaryIO) -> Iterator[Row]:
    """Yield rows of JSON: an object on each line, or one array of objects."""
    first = True
    for number, text in good_lines(rows, stream):
        if text.lstrip().startswith("#"):
            rows.skipped["comment"] += 1
            continue
        if first and text.lstrip().startswith("["):
            yield from _json_array(rows, number, text + "".join(_rest(number, stream)))
            return
        first = False
        try:
            value = json.loads(text, object_pairs_hook=_object)
        except ValueError as error:
            rows.add_problem(number, _json_problem(error, len(text.rstrip())))
        except RecursionError:
            rows.add_problem(number, "nested too deeply")
        else:
            yield from _row(rows, number, value)


def _rest(number: int, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines after `number`. Raise UnreadableError when they are more than WHOLE_LIMIT."""
    left = WHOLE_LIMIT
    for offset, raw in numbered(stream):
        left -= len(raw)
        if left < 0:
            raise UnreadableError(number, f"an array of more than {WHOLE_LIMIT // 1024**2} MiB; write a row per line")
        yield decoded(number + offset, raw)


def _json_array(rows: Rows, line: int, text: str) -> Iterator[Row]:
    """Yield the rows of an array that begins on `line`, each with its own line."""
    decoder, counted = json.JSONDecoder(object_pairs_hook=_object), 0
    place = _skip_space(text, text.index("[") + 1)
    more = text[place : place + 1] != "]"
    try:
        while more:
            line, counted = line + text.count("\n", counted, place), place
            value, place = decoder.raw_decode(text, place)
            yield from _row(rows, line, value)
            place = _skip_space(text, place)
            if more := text[place : place + 1] == ",":
                place = _skip_space(text, place + 1)
        if text[place:].rstrip() != "]":
            rows.add_problem(
                line + text.count("\n", counted, place), "invalid JSON (expected , or ] and the end of the file)"
            )
    except ValueError as error:
        at = error.pos if isinstance(error, json.JSONDecodeError) else counted
        rows.add_problem(line + text.count("\n", counted, at), _json_problem(error, len(text)))
    except RecursionError:
        rows.add_problem(line, "nested too deeply")


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _json_problem(error: ValueError, end: int) -> str:
    """Return what is wrong and the character of its line; `end`: where the text ends, without white space."""
    if isinstance(error, json.JSONDecodeError):
        place = min(error.pos, end) - (error.doc.rfind("\n", 0, min(error.pos, end)) + 1)
        return f"invalid JSON ({lower_first(error.msg)}, character {place + 1})"
    return clean(str(error), 120)  # a repeated name, or an integer of thousands of digits


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{_shown(name)} is given twice")
        found[name] = value
    return found


def _row(rows: Rows, line: int, values: object) -> Iterator[Row]:
    """Yield the row, or record the problems with it."""
    if not isinstance(values, dict):
        rows.add_problem(line, 'not an object: a row is written as {"prompt": "..."}')
        return
    wrong = [what for name, value in values.items() for what in _value_problems(name, value)]
    for what in wrong:
        rows.add_problem(line, what)
    if not wrong:
        yield Row(line, {name: value for name, value in values.items() if value is not None})


def _value_problems(name: str, value: object) -> Iterator[str]:
    for item in [name, *value] if isinstance(value, list) else [name, value]:
        if isinstance(item, str):
            if "\0" in item or any("\ud800" <= character <= "\udfff" for character in item):
                yield f"{_shown(name)} has a NUL or half a character"
        elif isinstance(item, float) and not math.isfinite(item):
            yield f"{_shown(name)} is not a finite number"
        elif not isinstance(item, int | float) and (item is not None or isinstance(value, list)):
            yield f"{_shown(name)} is not text, a number, true, false, or a list of these"


def _csv_rows(rows: Rows, stream: BinaryIO, check_column: Callable[[str], UsageError | None]) -> Iterator[Row]:
    texts = (decoded(number, raw) for number, raw in numbered(stream))
    before, delimiter = 0, ""
    for header in texts:
        if separator := _SEPARATOR.fullmatch(header.strip(" \r\n")):
            delimiter = separator[1]
        elif header.strip() and not header.startswith("#"):
            break
        else:
            rows.skipped["comment" if header.strip() else "blank line"] += 1
        before += 1
    else:
        return
    # Only the header decides: prompts are full of commas, names of columns have none.
    records = _records(chain([header], texts), delimiter or max(",;\t", key=header.count), before)
    line, cells = next(records)
    names = _column_names(line, cells, rows.file)
    rows.has_header = True
    wrong = {name: error for name in names if name and (error := check_column(name))}
    for error in wrong.values():
        rows.refuse(line, error)
    for line, cells in records:
        trimmed_cells = [trimmed(cell) for cell in cells]
        if not any(trimmed_cells):
            rows.skipped["blank line"] += 1
        elif trimmed_cells[0].startswith("#") and not _ERROR_CELL.fullmatch(trimmed_cells[0]):
            rows.skipped["comment"] += 1
        elif trimmed_cells == names:  # of a second file: cat a.csv b.csv
            rows.skipped["repeated header"] += 1
        elif problem := _record_problem(cells, names):
            rows.add_problem(line, problem)
        else:
            if trimmed_cells[0].startswith("\\#"):
                trimmed_cells[0] = trimmed_cells[0][1:]
            pairs = zip(names, trimmed_cells, strict=True)
            yield Row(line, {name: cell for name, cell in pairs if cell and name not in wrong})


def _record_problem(cells: list[str], names: list[str]) -> str | None:
    """Return what is wrong with a record; None if nothing is."""
    if len(cells) != len(names):
        return f"{len(cells)} cells, but the header has {len(names)}"
    for place, (name, cell) in enumerate(zip(names, cells, strict=True), 1):
        if cell.strip() and not name:
            return f"column {place} has no name, and contains {quoted(cell, 40)}"
        if cell[:1].isspace() and cell.lstrip().startswith('"'):
            # CSV takes such a quote as text and cuts at the commas behind it.
            return "a space before an opening quote"
        if _ERROR_CELL.fullmatch(cell.strip()):
            return f"{name} is {quoted(cell, 40)}, an error of the spreadsheet"
    return None


def _records(texts: Iterator[str], delimiter: str, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the records, each with the line on which it begins.

    A record may begin with a byte order mark (files that begin with one may have been concatenated); inside a cell of
    several lines, it is text. Raise UnreadableError, which ends the source: after a wrong quote, no row is certain.
    """
    begins = True

    def lines() -> Iterator[str]:
        nonlocal begins
        for text in texts:
            first, begins = begins, False
            yield text.removeprefix("\ufeff") if first else text

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        line, begins = lines_before + reader.line_num + 1, True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error).partition(" - ")[0]  # the rest is advice to programmers
            raise UnreadableError(line, f"invalid CSV ({lower_first(clean(reason, 120))})") from None
        yield line, cells


def _column_names(line: int, cells: list[str], file: str) -> list[str]:
    """Return the names of the columns; an empty one for a column that a spreadsheet wrote without any content."""
    names = [trimmed(cell) for cell in cells]
    if not names[0]:
        hint = "Remove the first column; with pandas: to_csv(FILE, index=False)"
        raise UnreadableError(line, "the first column has no name", hint=hint)
    for name in filter(None, names):
        if not _COLUMN.fullmatch(name):  # most likely a row: a forgotten header would cost the first one
            what = f"expected a header with column names, not {_shown(name)}"
            if "prompt" in "".join(names).casefold():
                raise UnreadableError(line, what)
            raise UnreadableError(line, what, hint="For a list of prompts, use", command=("gen", "--from", file))
        if names.count(name) > 1:
            raise UnreadableError(line, f"two columns are called {_shown(name)}")
    return names


def _toml_rows(rows: Rows, stream: BinaryIO) -> Iterator[Row]:
    raw = stream.read(WHOLE_LIMIT + 1)
    if len(raw) > WHOLE_LIMIT:
        raise UnreadableError(1, f"longer than {WHOLE_LIMIT // 1024**2} MiB; JSON lines can be of any length")
    text = decoded(1, without_bom(raw))
    document = _toml(text)
    tables = document.pop("row", None) or document.pop("rows", [])
    if document:
        raise UnreadableError(1, f"{_shown(next(iter(document)))} does not belong here; rows begin with [[row]]")
    lines = _table_lines(text)
    if not isinstance(tables, list) or len(lines) != len(tables):
        raise UnreadableError(1, "write each row as a table that begins with [[row]]")
    for line, table in zip(lines, tables, strict=True):
        yield from _row(rows, line, table)


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = re.search(r" \(at line (\d+), column \d+\)", str(error))
        what = str(error).replace(place.group(), "") if place else str(error)
        line = int(place.group(1)) if place else text.count("\n") + 1
        raise UnreadableError(line, f"invalid TOML ({lower_first(clean(what, 120))})") from None


def _table_lines(text: str) -> list[int]:
    """Return the lines on which the rows begin, which tomllib does not report.

    Ignore `[[row]]` inside a multi-line string: the text before it is not complete TOML.
    """
    lines: list[int] = []
    start = seen = 0
    line = 1
    for match in _ROW_TABLE.finditer(text):
        line, seen = line + text.count("\n", seen, match.start()), match.start()
        try:
            tomllib.loads(text[start : match.start()])
        except tomllib.TOMLDecodeError:
            continue
        lines.append(line)
        start = match.start()
    return lines


def _shown(name: str) -> str:
    return quoted(name, 40)
