"""Sources that are read twice: a copy of a file or of stdin, so that both passes see the same."""

import shutil
import tempfile
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO, TextIO

from ...errors import UsageError
from ...images.output_names import expand_path
from ...text import clean
from ..context import Session


def copied(session: Session, name: str, what: str) -> BinaryIO:
    """A copy of the file `name`, or of stdin for `-`, for the caller to close. Raises UsageError that names `what`."""
    try:
        with _opened(session, name, what) as source:
            copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            shutil.copyfileobj(source, copy)
    except OSError as error:
        raise UsageError(f"cannot read {what} {clean(name, 120)}: {error.strerror}") from error
    return copy


def from_start(copy: BinaryIO) -> BinaryIO:
    """The copy, to be read once more."""
    copy.seek(0)
    return copy


def _opened(session: Session, name: str, what: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(_stdin(session, what).buffer) if name == "-" else expand_path(name).open("rb")


def _stdin(session: Session, what: str) -> TextIO:
    if session.stdin_read:
        raise UsageError("stdin can be read only once: the picture or the prompts can be -")
    if session.stdin.isatty():
        raise UsageError(f"{what} - reads stdin, and stdin is a terminal", hint="pipe something in")
    session.stdin_read = True
    return session.stdin
