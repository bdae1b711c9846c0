"""What a command yields to be printed. `Output.print` writes each in the format that the user chose."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

from ...errors import ExitCode, FluxError
from ...frozen import frozen
from ...json_value import Json, JsonObject

if TYPE_CHECKING:
    from ...engine.outcome import Outcome


@frozen
class Record:
    """One result, on stdout.

    kind, content: its type and fields in `--json`.
    text: the same for a person. quiet: with `-q`; None for `text`; empty for nothing.
    indent: the line may be folded on a narrow terminal, and its continuation is indented this far.
    paths: printed exactly, one per line, in place of `text`. document: printed as readable JSON in place of `text`.
    """

    kind: str
    content: JsonObject
    text: str = ""
    quiet: str | None = None
    indent: int | None = None
    paths: tuple[Path, ...] = ()
    document: Json = None


@frozen
class Note:
    """A line worth knowing, on stderr, and the words of the command to type next; silent with `-q`."""

    text: str
    command: Sequence[str] = ()


@frozen
class Warn:
    """A line on stderr that needs attention."""

    text: str


@frozen
class Failure:
    """An error that did not end the command."""

    error: FluxError


@frozen
class Images:
    """Image files or pages, for `--preview` and `--open`."""

    paths: Sequence[Path]


Item = Union[Record, Note, Warn, Failure, Images, "Outcome"]
Items = Generator[Item, None, ExitCode]
"""What a command prints, in order; it returns the exit code."""
