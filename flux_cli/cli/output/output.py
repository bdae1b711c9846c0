"""The items that a command yields to be printed, and the one writer to stdout and stderr.

stdout is for results only. Everything else is written to stderr.
"""

import codecs
import errno
import os
import shlex
import shutil
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, Union

from ...config.paths import display_path
from ...errors import DiskError, ExitCode, FluxError, KeyRefusedError, NetworkError
from ...frozen import frozen
from ...json_value import Json, JsonObject
from ...text import clean, counted, harmless, readable_json, redact
from .github_actions import annotation, inert, inert_json, inert_path, on_actions

if TYPE_CHECKING:
    from ...engine.outcome import Outcome
    from .image_preview import Viewer
    from .progress import Progress
    from .step_summary import StepSummary

SCHEMA = 1
ANNOTATIONS = 8
"""The most errors that are shown as annotations on GitHub Actions, which displays ten per step. The ninth is the number
of further errors, and the tenth is the runner's own, with the exit code."""
NARROWEST = 20
"""The least columns of a folded line, without its indent."""
GLUE = "\0"
"""Represents a space at which a line must not be folded."""


@frozen
class Record:
    """A result, for stdout.

    kind, content: its type and its fields for `--json`.
    text: the same facts as text. quiet: the text for `-q`; None for `text`; empty for none.
    indent: of continuation lines, if the text may be folded on a narrow terminal; None if it may not.
    paths: printed unchanged, one per line, in place of `text`. document: printed as readable JSON in place of `text`.
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
    """A message for stderr, with the command to type next, if there is one. `-q` omits it."""

    text: str
    command: Sequence[str] = ()


@frozen
class WarningLine:
    """A warning for stderr."""

    text: str


@frozen
class Failure:
    """An error that did not end the command."""

    error: FluxError


@frozen
class Images:
    """Image files or pages, for `--preview` and `--open`."""

    paths: Sequence[Path]


Item = Union[Record, Note, WarningLine, Failure, Images, "Outcome"]
Items = Generator[Item, None, ExitCode]
"""The items that a command prints, in order. The generator returns the exit code."""


class Mode(Enum):
    """The format of results."""

    TEXT = "text"
    JSON = "json"
    QUIET = "quiet"


def _encodable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters outside the terminal's encoding with visible escapes. Raw bytes of file names are kept."""
    assert isinstance(error, UnicodeEncodeError)
    wrong = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in wrong):
        return bytes(ord(character) - 0xDC00 for character in wrong), error.end
    return wrong.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("flux", _encodable)


class Output:
    """The writer of results and messages.

    secrets: texts that are redacted in everything it writes. More are added as they become known.
    account: the options that make a next command use the same profile and service.
    preview, opens: how saved images are shown.
    summary: the step summary on GitHub Actions.
    key_hint: the hint if PiAPI refuses the key, which depends on the source of the key and is followed by `flux login`.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        *,
        mode: Mode = Mode.TEXT,
        quiet: bool = False,
        verbose: bool = False,
        account: Sequence[str] = (),
        preview: bool = False,
        opens: bool = False,
    ) -> None:
        self.mode, self.verbose = mode, verbose
        self._quiet = quiet or mode is Mode.QUIET
        self._stdout, self._stderr = stdout, stderr
        self._account = tuple(account)
        self.secrets: set[str] = set()
        self.key_hint = "Store another key with"
        self._last_hint = ""
        self._on_actions, self._annotations = on_actions(os.environ), 0
        self._progress: Progress | None = None
        self.summary: StepSummary | None = None
        if self._on_actions:
            from . import step_summary  # slow to import

            self.summary = step_summary.StepSummary(os.environ.get("GITHUB_STEP_SUMMARY", ""), self.secrets)
        for stream in (stdout, stderr):
            if hasattr(stream, "reconfigure"):
                # The default encoding of a pipe on Windows cannot encode most names.
                piped = os.name == "nt" and not stream.isatty()
                stream.reconfigure(errors="flux", encoding="utf-8" if piped else None)
        self._viewer: Viewer | None = None
        if preview or opens:
            from . import image_preview  # slow to import

            self._viewer = image_preview.Viewer(self, preview=preview, opens=opens)

    def print(self, item: Item) -> None:
        """Print an item in the format that the user chose."""
        match item:
            case Record():
                self._print_record(item)
            case Note(text, command):
                self.note(text, command)
            case WarningLine(text):
                self.warn(text)
            case Failure(error):
                self.print_error(error)
            case Images(paths):
                self.show_images(paths)
            case outcome:
                from .render import show_outcome  # slow: imports the journal

                show_outcome(self, outcome)

    def print_all(self, items: Items) -> ExitCode:
        """Print the items of a command as they are yielded, and return its exit code."""
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                code: ExitCode = end.value
                return code
            self.print(item)

    def _print_record(self, record: Record) -> None:
        text = record.quiet if self.mode is Mode.QUIET and record.quiet is not None else record.text
        if self.mode is Mode.JSON:
            self.print_json(record.kind, record.content)
        elif record.document is not None:
            self.print_document(record.document)
        elif record.paths:
            for path in record.paths:
                self.print_path(display_path(path))
        elif text and record.indent is not None:
            for line in text.split("\n"):
                self.print_row(line, record.indent)
        elif text or record.quiet is None:
            self.print_lines(text)

    def show_images(self, paths: Sequence[Path]) -> None:
        """Show images if `--preview` or `--open` was given."""
        if self._viewer:
            self._viewer.show(paths)

    def close(self) -> None:
        """On GitHub Actions, print the number of errors that have no annotation, and write the step summary."""
        if (more := self._annotations - ANNOTATIONS) > 0:
            self._annotate("", f"{counted(more, 'more error')}: see the log of this step")
        if self.summary:
            try:
                self.summary.write()
            except OSError as error:
                self.warn(f"cannot write the step's summary: {error.strerror or error}")

    # --- stdout ----------------------------------------------------------------------------------------------

    def print_line(self, line: str) -> None:
        """Print a line of the result."""
        self._write(self._stdout, line)

    def print_row(self, line: str, indent: int) -> None:
        """Print a row of a table as the result. On a narrow terminal it is folded, and indented by `indent`."""
        self._fold(self._stdout, line, indent)

    def print_lines(self, text: str) -> None:
        """Print several lines of the result with one write."""
        self._write(self._stdout, "\n".join(map(harmless, text.split("\n"))), exact=True)

    def print_document(self, content: Json) -> None:
        """Print readable JSON, on several lines."""
        text = readable_json(content)
        self.print_lines(inert_json(text) if self._on_actions else text)

    def print_path(self, name: str) -> None:
        """Print a file name as the result. In a pipe it is unchanged, even if it has control characters."""
        self._write(self._stdout, inert_path(name) if self._on_actions else name, exact=not self.to_terminal)

    def print_json(self, kind: str, content: JsonObject) -> None:
        """Print a JSON object as the result, on one line."""
        import json

        line = json.dumps({"schema": SCHEMA, "type": kind, **content}, ensure_ascii=True)
        self._write(self._stdout, inert_json(line) if self._on_actions else line)

    def print_file(self, path: Path) -> None:
        """Write the bytes of a file to stdout."""
        with self._aside(), self._stream_errors(self._stdout), path.open("rb") as file:
            shutil.copyfileobj(file, self._stdout.buffer)
            self._stdout.buffer.flush()

    @property
    def columns(self) -> int:
        """The width of the terminal in columns; 80 if there is none."""
        return shutil.get_terminal_size().columns

    @property
    def to_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return self._stdout.isatty()

    # --- stderr ----------------------------------------------------------------------------------------------

    def note(self, line: str, command: Sequence[str] = ()) -> None:
        """Print a message, with the command to type next, if there is one. `-q` omits it."""
        if not self._quiet:
            self._fold(self._stderr, f"{line}: {self.command_line(command)}" if command else line, 2)

    def warn(self, line: str) -> None:
        """Print a warning."""
        self._fold(self._stderr, f"flux: warning: {line}", 6)

    def command_line(self, words: Sequence[str]) -> str:
        """Return a command to type next, for the same profile and service as this one."""
        return shlex.join(["flux", *words, *self._account])

    def debug(self, line: str) -> None:
        """Print a line of the HTTP trace."""
        self._write(self._stderr, f"debug: {self._clean(line, 2000)}")

    def draw(self, drawing: str) -> None:
        """Write an image to the terminal on stderr. It is not searched for secrets, because it cannot contain any."""
        with self._aside():
            self._write_error(drawing)

    @property
    def shows_all(self) -> bool:
        """Whether the output is text, and both streams are terminals."""
        return self.mode is Mode.TEXT and self._stdout.isatty() and self._stderr.isatty()

    @property
    def terminal(self) -> int | None:
        """The file descriptor of stderr if it is a terminal, else None."""
        return self._stderr.fileno() if self._stderr.isatty() else None

    @property
    def canvas(self) -> os.terminal_size | None:
        """The size of the terminal on stderr; None if stderr is not a terminal."""
        if self.terminal is None:
            return None
        size = os.get_terminal_size(self.terminal)
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def can_encode(self, text: str) -> bool:
        """Return whether the encoding of stderr supports these characters."""
        try:
            text.encode(self._stderr.encoding or "ascii")
        except UnicodeEncodeError:
            return False
        return True

    def print_entry_error(
        self,
        error: FluxError,
        money: str = "",
        hint: str = "",
        *,
        about: str = "",
        subject: str = "",
        brief: bool = False,
    ) -> None:
        """Print an error: what happened, whether it was charged, and the next step.

        money: a sentence. hint: the next step. about: the task that failed, for an annotation.
        subject: the beginning of the message, among several tasks. brief: the next step is printed later, for all.
        """
        sentence = _sentence(error, money)
        self._fold(self._stderr, f"flux: {self._clean(f'{subject}: {sentence}' if subject else sentence)}", 6)
        for detail in error.details:
            self._fold(self._stderr, f"      - {self._clean(detail)}", 8)
        if not brief and hint != self._last_hint:  # a failing batch would repeat it after each error
            for line in hint.splitlines():
                self._fold(self._stderr, f"      {self._clean(line)}", 6)
            self._last_hint = hint
        if self._on_actions:
            self._annotations += 1
            if self._annotations <= ANNOTATIONS:
                lines = (sentence, *error.details, hint)
                self._annotate(about, "\n".join(self._clean(line) for line in lines if line))

    def hint_for(self, error: FluxError, words: Sequence[str] = ()) -> str:
        """Return the next step after an error, a line per sentence. words: the next command, if it has none itself."""
        hint, words = error.hint, error.command or words
        if isinstance(error, KeyRefusedError) and not hint:
            hint = self.key_hint
        if isinstance(error, NetworkError) and not hint and not words:
            hint, words = "Check the connection with", ("doctor",)
        return self.join_hint(hint, words)

    def join_hint(self, hint: str | None, words: Sequence[str]) -> str:
        """Return a hint and its command, which is at the end of a line."""
        hint = hint and hint[0].upper() + hint[1:]
        if not words:
            return hint or ""
        lead = "Help" if words[-1] == "--help" else "Next"
        if hint:
            lead = f"{hint}\n{lead}" if hint[-1] in ".?" else hint
        return f"{lead}: {self.command_line(words)}"

    def error_json(
        self, error: FluxError, money: str = "", hint: str | None = None, command: Sequence[str] = ()
    ) -> JsonObject:
        """Return an error for `--json` and reports, with the same facts as in text."""
        words = error.command or command
        hint = self.hint_for(error, words) if hint is None else hint
        return {
            "code": error.code,
            "message": _sentence(error, money),
            "details": [*error.details],
            "hint": hint.replace("\n", " ") or None,
            "command": self.command_line(words) if words else None,
            "exit_code": int(error.exit_code),
        }

    def _annotate(self, about: str, text: str) -> None:
        title = f"flux: {clean(redact(about, self.secrets), 60)}" if about else "flux"
        self._write_error(harmless(annotation(title, text)) + "\n")

    def print_error(self, error: FluxError, money: str = "") -> None:
        """Print an error that does not belong to an entry."""
        if self.mode is Mode.JSON:
            with suppress(DiskError):  # the error may be about stdout itself
                self.print_json("error", {"error": self.error_json(error, money)})
        self.print_entry_error(error, money, self.hint_for(error))

    def log(self, text: str) -> None:
        """Print a note with the time, for the log of a server."""
        self.note(f"{time.strftime('%H:%M:%S')} {text}")

    def ask(self, question: str) -> None:
        """Print a question to stderr, without a line break."""
        self._write_error(question)

    # --- progress --------------------------------------------------------------------------------------------

    @contextmanager
    def show_progress(self, total: int, *, seeds: bool = False) -> "Iterator[Progress]":
        """Yield a listener that shows the engine's events while the block runs.

        total: the number of tasks. seeds: whether labels need the seed, because prompts repeat.
        """
        from .progress import LiveProgress, PlainProgress  # slow to import

        live = not self._quiet and not self.verbose and self._stderr.isatty() and not self._on_actions
        progress: Progress
        if live and os.environ.get("TERM") != "dumb" and _in_foreground(self._stderr):
            progress = LiveProgress(self._stderr, total=total, seeds=seeds)
        else:
            progress = PlainProgress(self.note, verbose=self.verbose, seeds=seeds)
        self._progress = progress
        progress.resume()
        try:
            yield progress
        finally:
            self._progress = None
            progress.pause()

    def _clean(self, text: str, limit: int = 1000) -> str:
        """Return `text` on one line, redacted. Redaction is first, because a truncated secret would not be found."""
        return clean(redact(text, self.secrets), limit)

    def _fold(self, stream: TextIO, line: str, indent: int) -> None:
        """Write a line, folded if it is wider than the terminal."""
        line = redact(line, self.secrets)  # before folding, which may split a secret
        try:
            columns = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
        except OSError:  # the terminal was closed
            columns = 0
        for part in fold(line, columns, indent) if len(line) > columns > 0 else [line]:
            self._write(stream, part)

    def _write(self, stream: TextIO, line: str, *, exact: bool = False) -> None:
        # Control characters are escaped here too, in case the caller forgot.
        text = redact(line, self.secrets) if exact else harmless(redact(line, self.secrets))
        if self._on_actions:
            text = inert(text)
        with self._aside(), self._stream_errors(stream):
            stream.write(text + "\n")
            stream.flush()

    def _write_error(self, text: str) -> None:
        with self._stream_errors(self._stderr):
            self._stderr.write(text)
            self._stderr.flush()

    @contextmanager
    def _stream_errors(self, stream: TextIO) -> Iterator[None]:
        """Raise DiskError for a failed write to stdout. Ignore one to stderr, which must not stop the run."""
        try:
            yield
        except BrokenPipeError:
            if stream is self._stdout:
                raise
        except (OSError, ValueError) as error:
            if stream is not self._stdout:
                return
            if getattr(error, "errno", None) == errno.EIO:  # the terminal was closed
                raise BrokenPipeError from error
            raise DiskError(
                f"cannot write to stdout: {error}", hint="See what is on disk", command=("history",)
            ) from error

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Hide the live view while the block runs."""
        progress, self._progress = self._progress, None
        if progress:
            progress.pause()
        try:
            yield
        finally:
            if progress:
                progress.resume()
                self._progress = progress


def _in_foreground(terminal: TextIO) -> bool:
    """Return whether this process is in the foreground. A background job would draw over the shell's prompt."""
    if sys.platform == "win32":
        return True
    else:  # noqa: RET505 - mypy would call what follows unreachable on Windows
        try:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
        except OSError:  # not the controlling terminal of this process
            return True


def fold(line: str, columns: int, indent: int) -> list[str]:
    """Return the line in pieces of at most `columns` columns, all but the first indented by `indent`.

    A command at its end (`...: flux resume`) stays on one line, so that it can be copied.
    """
    from textwrap import TextWrapper  # needed only for terminals

    if columns < indent + NARROWEST:
        return [line]
    words, colon, command = line.partition(": flux ")
    glued = words + colon.replace(" flux ", f" flux{GLUE}") + command.replace(" ", GLUE)
    wrapper = TextWrapper(columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return [part.replace(GLUE, " ") for part in wrapper.wrap(glued)]


def _sentence(error: FluxError, money: str) -> str:
    """Return the message of an error with the sentence about its charge."""
    return f"{error.message}. {money}" if money else error.message
