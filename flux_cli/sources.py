"""Where many prompts come from: a file with one prompt a line.

Every picture costs money, so a source is never cut where its author did not cut it: lines end at "\\n" and nowhere
else, and what cannot be read for certain is a problem with a line number, never a guess.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .errors import UsageError
from .text import clean

LINE_LIMIT = 64 * 1024
"""Bytes of a line without its "\\n"."""
SHOWN = 50
"""Problems of one source that are told one by one."""

_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Row:
    """What is asked for on one line; lines count from 1."""

    line: int
    prompt: str


class Rows(Iterator[Row]):
    """The rows of a source, read as they are taken, each at most once.

    A row that is wrong is not among them. After the last row, UsageError tells everything that was wrong, also what
    the caller added with `problem` or `refuse` on the way; so nothing may be sent before the last row was taken.

    blank: the blank lines so far.
    """

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = clean(name, 80)
        self.blank = 0
        self._rows = self._read(stream)
        self._any = False
        self._problems: list[str] = []
        self._problem_count = 0

    def __next__(self) -> Row:
        row = next(self._rows, None)
        if row is None:
            self._settle()
            raise StopIteration
        self._any = True
        return row

    def problem(self, line: int, what: str) -> None:
        """Remember what is wrong on a line. Only the first ones keep their words: a source may be endless."""
        self._problem_count += 1
        if len(self._problems) < SHOWN:
            self._problems.append(f"{self.name}, line {line}: {what}")

    def refuse(self, row: Row, error: UsageError) -> None:
        """Remember why a row cannot be done."""
        for what in error.details or (error.message,):
            self.problem(row.line, what)

    def _read(self, stream: BinaryIO) -> Iterator[Row]:
        number = 0
        while raw := stream.readline(LINE_LIMIT + 1):
            number += 1
            if len(raw) > LINE_LIMIT and not raw.endswith(b"\n"):
                self.problem(number, f"longer than {LINE_LIMIT // 1024} KiB; what follows was not read")
                return
            if number == 1:
                if raw.startswith(_UTF_16_BOMS):  # what `>` of older PowerShells writes
                    self.problem(number, "UTF-16; save it as UTF-8")
                    return
                raw = raw.removeprefix(_BOM)
            text = self._decoded(number, raw)
            if text is None:
                continue
            if text.strip():
                yield Row(number, text.removesuffix("\n").removesuffix("\r"))
            else:
                self.blank += 1

    def _decoded(self, number: int, raw: bytes) -> str | None:
        """The text of a line, or None and what is wrong with it, which says nothing about the other lines."""
        if b"\0" in raw:
            self.problem(number, "a NUL character")
            return None
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.problem(number, f"not UTF-8 (byte {raw[error.start]:#04x})")
            return None

    def _settle(self) -> None:
        if self._problem_count:
            more = self._problem_count - len(self._problems)
            if not more:
                raise UsageError.of(self._problems)
            raise UsageError(f"{self._problem_count} things are wrong", details=[*self._problems, f"and {more} more"])
        if not self._any:
            raise UsageError(f"{self.name} is empty: it has no prompts or values")


def read_prompts(stream: BinaryIO, name: str) -> Rows:
    """The prompts of a stream, one a line, with `name` for messages. `#` begins a prompt like any other sign."""
    return Rows(name, stream)
