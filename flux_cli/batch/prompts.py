"""The lines of a source, and prompts, one a line."""

from collections.abc import Iterator
from typing import BinaryIO

from .rows import Row, Rows, UnreadableError

LINE_LIMIT = 64 * 1024
"""Bytes of a line without its "\\n"."""
BOM = b"\xef\xbb\xbf"


def read_prompts(stream: BinaryIO, name: str) -> Rows:
    """The prompts of a stream, one a line, with `name` for messages. `#` begins a prompt like any other sign."""
    return Rows(name, stream, _prompts)


def _prompts(rows: Rows, stream: BinaryIO) -> Iterator[Row]:
    for number, text in good_lines(rows, stream):
        yield Row(number, {"prompt": text.removesuffix("\n").removesuffix("\r")})


def numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers and their "\\n". A line without end is not read on."""
    number = 0
    while raw := stream.readline(LINE_LIMIT + 1):
        number += 1
        if len(raw) > LINE_LIMIT and not raw.endswith(b"\n"):
            raise UnreadableError(number, f"longer than {LINE_LIMIT // 1024} KiB; what follows was not read")
        yield number, without_bom(raw) if number == 1 else raw


def good_lines(rows: Rows, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """The lines that are text and not blank, where a bad one says nothing about the others."""
    for number, raw in numbered(stream):
        try:
            text = decoded(number, raw)
        except UnreadableError as bad:
            rows.problem(bad.line, bad.what)
            continue
        if text.strip():
            yield number, text
        else:
            rows.blank += 1


def without_bom(raw: bytes) -> bytes:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # what `>` of older PowerShells writes
        raise UnreadableError(1, "UTF-16; save it as UTF-8")
    return raw.removeprefix(BOM)


def decoded(number: int, raw: bytes) -> str:
    """The text of what begins on line `number`."""
    if (nul := raw.find(b"\0")) >= 0:
        raise UnreadableError(number + raw.count(b"\n", 0, nul), "a NUL character")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + raw.count(b"\n", 0, error.start)
        raise UnreadableError(line, f"not UTF-8 (byte {raw[error.start]:#04x})") from None
