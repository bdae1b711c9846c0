"""Sources of prompts: stdin, rows of any format, and files with one prompt per line.

Every image costs money, so an ambiguous line is reported with its number, and never guessed at.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, TextIO

from ..errors import UsageError
from ..frozen import frozen
from ..operations.parameters import Value
from ..text import clean

SHOWN = 50
"""The most problems of a source that are listed."""
LINE_LIMIT = 64 * 1024
"""The most bytes of a line, without its "\\n"."""
BOM = b"\xef\xbb\xbf"
TABLE = r"\[\[[ \t]*rows?[ \t]*\]\]"
"""The header of a TOML table that is a row."""
_COMMENT, _ESCAPED = ("#", "//"), ("\\#", "\\//")
_OPTION = r"--[a-z]"
_COLUMN = r"[A-Za-z_][A-Za-z0-9_ -]*"
_NO_TEXT = (
    (rb"PK\x03\x04|\xd0\xcf\x11\xe0", "a document or spreadsheet; save it as plain text or CSV"),
    (rb"\{\\rtf", "a document in RTF; save it as plain text"),
    (rb"%PDF", "a PDF; save it as plain text"),
    (rb"(?i)\s*<(!doctype|html|\?xml)", "a web page; save it as plain text"),
    (rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|GIF8", "an image"),
    (rb"\x1f\x8b", "compressed; unpack it first"),
)
"""The first bytes of files that are not text, and what these files are."""


class StandardInput:
    """The standard input, which can be read only once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._taken = False

    @property
    def can_answer(self) -> bool:
        """Whether the user can answer questions: stdin is a terminal and was not taken."""
        return not self._taken and self._stream.isatty()

    def read_answer(self) -> str:
        """Return a line that the user types."""
        return self._stream.readline()

    def take(self, what: str) -> BinaryIO:
        """Return stdin as bytes. Raise UsageError if it is a terminal or was taken. what: for messages, "prompts"."""
        if self._taken:
            raise UsageError("stdin can be read only once: either the image or the prompts can be -")
        if self._stream.isatty():
            raise UsageError(
                f"- reads {what} from stdin, and stdin is a terminal", hint="Pipe something in, or name a file"
            )
        self._taken = True
        return self._stream.buffer

    @property
    def text(self) -> TextIO:
        """The stream itself, for task IDs that are read as they arrive."""
        return self._stream


# --- rows -----------------------------------------------------------------------------------------------------------


@frozen
class Row:
    """The fields of a row. line: the number of its first line, from 1."""

    line: int
    fields: Mapping[str, Value]


class Rows(Iterator[Row]):
    """An iterator over the valid rows of a source, which is read lazily.

    A row that is wrong is not among them. After the last row, a UsageError lists everything that was wrong, including
    what the caller added with `add_problem` or `refuse`; so nothing may be sent before the last row was taken.

    file: the source as an argument of a command.
    skipped: the number of lines that are not rows, by kind, such as `blank line`. has_header: whether a CSV header was
    read.
    """

    def __init__(self, name: str, stream: BinaryIO, read: Callable[["Rows", BinaryIO], Iterator[Row]]) -> None:
        self.name, self.file = clean(name, 80), "-" if name == "stdin" else name
        self.skipped: Counter[str] = Counter()
        self.has_header = False
        self._rows = read(self, stream)
        self._any = False
        self._problems: list[UsageError] = []
        self._problem_count = 0

    def __next__(self) -> Row:
        try:
            row = next(self._rows)
        except StopIteration:
            self._finish()
            raise
        except UnreadableError as end:
            self.add_problem(end.line, end.what, hint=end.hint, command=end.command)
            raise self._error() from None
        self._any = True
        return row

    def add_problem(self, line: int, what: str, *, hint: str | None = None, command: Sequence[str] = ()) -> None:
        """Record a problem on a line. Only the first SHOWN texts are kept, because a source may be endless."""
        self._problem_count += 1
        if len(self._problems) < SHOWN:
            self._problems.append(UsageError(f"{self.name}, line {line}: {what}", hint=hint, command=command))

    def refuse(self, line: int, error: UsageError) -> None:
        """Record why the row on a line is invalid."""
        if not error.details:
            self.add_problem(line, error.message, hint=error.hint, command=error.command)
        for what in error.details:
            self.add_problem(line, what)

    def _finish(self) -> None:
        if self._problem_count:
            raise self._error() from None
        if not self._any:
            what = "has only comments" if self.skipped["comment"] else "is empty"
            raise UsageError(f"{self.name} {'has a header, but no rows' if self.has_header else what}") from None

    def _error(self) -> UsageError:
        more = self._problem_count - len(self._problems)
        if not more:
            return UsageError.of(self._problems)
        details = [*(problem.detail for problem in self._problems), f"and {more} more"]
        return UsageError(f"{self._problem_count} errors", details=details)


class OnePrompt(Iterator[Row]):
    """A prompt from the command line, as a source of one row without a line. Problems are raised immediately."""

    def __init__(self, prompt: str) -> None:
        self.skipped: Counter[str] = Counter()
        self._rows = iter([Row(0, {"prompt": prompt})])

    def __next__(self) -> Row:
        return next(self._rows)

    def refuse(self, line: int, error: UsageError) -> None:
        """Raise `error`."""
        raise error


class UnreadableError(Exception):
    """A line is unreadable. Reading ends there unless the caller catches this error.

    hint, command: as for UsageError.
    """

    def __init__(self, line: int, what: str, *, hint: str | None = None, command: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.line, self.what, self.hint, self.command = line, what, hint, command


# --- prompts, and the lines of any source -----------------------------------------------------------------------------


def read_prompts(stream: BinaryIO, name: str) -> Rows:
    """Return the prompts of a stream, one per line. name: the name of the source in messages.

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
        if re.match(_OPTION, begin):
            hint = "For options per prompt, use a file with rows"
            rows.add_problem(number, "looks like an option, not a prompt", hint=hint, command=("batch", "FILE"))
        else:
            yield Row(number, {"prompt": begin[1:] if begin.startswith(_ESCAPED) else prompt})


def _format_of_rows(line: str) -> str | None:
    """Return the format of rows that the first line of a file suggests; None for prompts."""
    if re.match(TABLE, line):
        return "TOML"
    if line == "[" or line.startswith(("[{", '["', "{")):
        import json  # needed only for such lines

        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return "JSON" if line.startswith("[") else None
        # A prompt itself may be a JSON object that describes a scene.
        return "JSON" if isinstance(value, list) or "prompt" in map(str.casefold, value) else None
    cells = re.split("[,;\t]", line)
    names = {cell.strip().strip('"').casefold() for cell in cells}
    return "CSV" if "prompt" in names and all(re.fullmatch(_COLUMN, name) for name in names) else None


def numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers and line ends. Raise UnreadableError for a line longer than LINE_LIMIT."""
    for number, raw in enumerate(_lines(stream), 1):
        if len(raw) > LINE_LIMIT and not raw.endswith((b"\n", b"\r")):
            raise UnreadableError(number, f"longer than {LINE_LIMIT // 1024} KiB; the rest was not read")
        yield number, without_bom(raw) if number == 1 else raw


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, which end with "\\n", or with "\\r" if the first line does, as in files of old spreadsheets."""
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
    """Yield the lines that are valid text and not blank. Record a problem for each invalid line.

    A line may begin with a byte order mark: files that begin with one may have been concatenated.
    """
    for number, raw in numbered(stream):
        try:
            text = decoded(number, raw.removeprefix(BOM))
        except UnreadableError as bad:
            rows.add_problem(bad.line, bad.what)
            continue
        if text.strip():
            yield number, text
        else:
            rows.skipped["blank line"] += 1


def without_bom(raw: bytes) -> bytes:
    """Return the start of a source without a byte order mark. Raise UnreadableError if it is not text in UTF-8."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # written by `>` in older PowerShells
        raise UnreadableError(1, "not UTF-8, but UTF-16; save it as UTF-8")
    for start, what in _NO_TEXT:
        if re.match(start, raw):
            raise UnreadableError(1, f"not text, but {what}")
    return raw.removeprefix(BOM)


def decoded(number: int, raw: bytes) -> str:
    """Return lines as text. number: of the first line. Raise UnreadableError for a NUL or invalid UTF-8."""
    if (nul := raw.find(b"\0")) >= 0:
        raise UnreadableError(number + raw.count(b"\n", 0, nul), "a NUL character")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + raw.count(b"\n", 0, error.start)
        raise UnreadableError(line, f"not UTF-8 (byte {raw[error.start]:#04x})") from None
