"""The lines of a source, and prompts, one per line."""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from .rows import Row, Rows, UnreadableError

LINE_LIMIT = 64 * 1024
"""Bytes of a line without its "\\n"."""
BOM = b"\xef\xbb\xbf"
TABLE = re.compile(r"\[\[[ \t]*rows?[ \t]*\]\]")
"""How TOML that contains rows begins."""
_COMMENT, _ESCAPED = ("#", "//"), ("\\#", "\\//")
_OPTION = re.compile(r"--[a-z]")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*")
_NO_TEXT = (
    (re.compile(rb"PK\x03\x04|\xd0\xcf\x11\xe0"), "a document or spreadsheet; save it as plain text or CSV"),
    (re.compile(rb"\{\\rtf"), "a document in RTF; save it as plain text"),
    (re.compile(rb"%PDF"), "a PDF; save it as plain text"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "a web page; save it as plain text"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|GIF8"), "an image"),
    (re.compile(rb"\x1f\x8b"), "compressed; unpack it first"),
)
"""How files begin that contain no text."""


def read_prompts(stream: BinaryIO, name: str) -> Rows:
    """Return the prompts of a stream, one per line; `name` is for messages.

    A line that begins with `#` or `//` is a comment; `\\#` and `\\//` begin a prompt with these characters.
    """
    return Rows(name, stream, _prompts)


def _prompts(rows: Rows, stream: BinaryIO) -> Iterator[Row]:
    first = True
    for number, text in good_lines(rows, stream):
        prompt = text.removesuffix("\n").removesuffix("\r")
        begin = prompt.lstrip()
        if begin.startswith(_COMMENT):
            rows.skipped["comment"] += 1
            continue
        if first and (format := _format_of_rows(begin.rstrip())):
            what = f"rows in {format}, not prompts"
            raise UnreadableError(number, what, hint="Run them with", command=("batch", rows.file))
        first = False
        if _OPTION.match(begin):
            rows.problem(number, "an option, not a prompt; write options in the rows of a file for flux batch")
        else:
            yield Row(number, {"prompt": begin[1:] if begin.startswith(_ESCAPED) else prompt})


def _format_of_rows(line: str) -> str | None:
    """Return the format of rows with which a file begins whose first line this is; None for prompts."""
    if TABLE.match(line):
        return "TOML"
    if line == "[" or line.startswith(("[{", '["', "{")):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return "JSON" if line.startswith("[") else None
        # A prompt may be a JSON object itself, which describes a scene.
        return "JSON" if isinstance(value, list) or "prompt" in map(str.casefold, value) else None
    cells = re.split("[,;\t]", line)
    names = {cell.strip().strip('"').casefold() for cell in cells}
    return "CSV" if "prompt" in names and all(map(_COLUMN.fullmatch, names)) else None


def numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers and their ends. A line without an end is not read on.

    A byte order mark at the start of a line is dropped: files that begin with one may have been concatenated.
    """
    for number, raw in enumerate(_lines(stream), 1):
        if len(raw) > LINE_LIMIT and not raw.endswith((b"\n", b"\r")):
            raise UnreadableError(number, f"longer than {LINE_LIMIT // 1024} KiB; the rest was not read")
        yield number, without_bom(raw) if number == 1 else raw.removeprefix(BOM)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, which end at "\\n"; at "\\r" in a file whose first line ends so, as old spreadsheets write."""
    first = stream.readline(LINE_LIMIT + 1)
    if b"\r" not in first or first.endswith(b"\n"):
        while first:
            yield first
            first = stream.readline(LINE_LIMIT + 1)
        return
    while piece := stream.read(LINE_LIMIT):
        *lines, first = (first + piece).split(b"\r")
        yield from (line + b"\r" for line in lines)
        if len(first) > LINE_LIMIT:
            break
    yield from first.splitlines(keepends=True)


def good_lines(rows: Rows, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield the lines that are text and not blank; a bad one is a problem of its own."""
    for number, raw in numbered(stream):
        try:
            text = decoded(number, raw)
        except UnreadableError as bad:
            rows.problem(bad.line, bad.what)
            continue
        if text.strip():
            yield number, text
        else:
            rows.skipped["blank line"] += 1


def without_bom(raw: bytes) -> bytes:
    """Return the start of a source without a byte order mark. Raise UnreadableError if it is no text in UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # what `>` of older PowerShells writes
        raise UnreadableError(1, "UTF-16; save it as UTF-8")
    for start, what in _NO_TEXT:
        if start.match(raw):
            raise UnreadableError(1, f"not text, but {what}")
    return raw.removeprefix(BOM)


def decoded(number: int, raw: bytes) -> str:
    """Return the text of lines that begin with line `number`. Raises UnreadableError."""
    if (nul := raw.find(b"\0")) >= 0:
        raise UnreadableError(number + raw.count(b"\n", 0, nul), "a NUL character")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + raw.count(b"\n", 0, error.start)
        raise UnreadableError(line, f"not UTF-8 (byte {raw[error.start]:#04x})") from None
