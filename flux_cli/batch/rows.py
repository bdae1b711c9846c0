"""A source of many prompts: a file of prompts, or rows of options as JSON, CSV or TOML.

Every image costs money, so what cannot be read for certain is a problem with a line number, never a guess.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO

from ..errors import UsageError
from ..frozen import frozen
from ..operations.parameters import Value
from ..text import clean

SHOWN = 50
"""Problems of one source that are listed."""


@frozen
class Row:
    """The fields of one row; `line` is where it begins, from 1."""

    line: int
    fields: Mapping[str, Value]


class Rows(Iterator[Row]):
    """The rows of a source, read as they are taken, each at most once.

    A row that is wrong is not among them. After the last row, a UsageError lists everything that was wrong, including
    what the caller added with `problem` or `refuse`; so nothing may be sent before the last row was taken.

    file: what a command calls the source.
    skipped: how many lines of each kind so far were no rows, such as `blank line`.
    """

    def __init__(self, name: str, stream: BinaryIO, read: Callable[["Rows", BinaryIO], Iterator[Row]]) -> None:
        self.name, self.file = clean(name, 80), "-" if name == "stdin" else name
        self.skipped: Counter[str] = Counter()
        self._rows = read(self, stream)
        self._any = False
        self._problems: list[UsageError] = []
        self._problem_count = 0

    def __next__(self) -> Row:
        try:
            row = next(self._rows)
        except StopIteration:
            self._settle()
            raise
        except UnreadableError as end:
            self.problem(end.line, end.what, hint=end.hint, command=end.command)
            raise self._error() from None
        self._any = True
        return row

    def problem(self, line: int, what: str, *, hint: str | None = None, command: Sequence[str] = ()) -> None:
        """Remember what is wrong on a line. Only the first ones keep their words: a source may be endless."""
        self._problem_count += 1
        if len(self._problems) < SHOWN:
            self._problems.append(UsageError(f"{self.name}, line {line}: {what}", hint=hint, command=command))

    def refuse(self, line: int, error: UsageError) -> None:
        """Remember why the row on a line cannot be done."""
        if not error.details:
            self.problem(line, error.message, hint=error.hint, command=error.command)
        for what in error.details:
            self.problem(line, what)

    def _settle(self) -> None:
        if self._problem_count:
            raise self._error() from None
        if not self._any:
            raise UsageError(f"{self.name} is empty") from None

    def _error(self) -> UsageError:
        more = self._problem_count - len(self._problems)
        if not more:
            return UsageError.of(self._problems)
        details = [*(problem.detail for problem in self._problems), f"and {more} more"]
        return UsageError(f"{self._problem_count} errors", details=details)


class OnePrompt(Iterator[Row]):
    """A prompt from the command line as a source of one row, on no line; what is wrong with it is raised at once."""

    def __init__(self, prompt: str) -> None:
        self.skipped: Counter[str] = Counter()
        self._rows = iter([Row(0, {"prompt": prompt})])

    def __next__(self) -> Row:
        return next(self._rows)

    def refuse(self, line: int, error: UsageError) -> None:
        """Raise it."""
        raise error


class UnreadableError(Exception):
    """A line that cannot be read. Where it is not caught, what comes after it cannot be read either.

    hint, command: as of UsageError.
    """

    def __init__(self, line: int, what: str, *, hint: str | None = None, command: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.line, self.what, self.hint, self.command = line, what, hint, command
