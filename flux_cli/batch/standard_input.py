"""Stdin, which one thing per command may read: the prompts, or one image."""

from typing import BinaryIO, TextIO

from ..errors import UsageError


class StandardInput:
    """Gives stdin away once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._taken = False

    @property
    def can_answer(self) -> bool:
        """Return whether a person can be asked: stdin is a terminal that nothing else reads."""
        return not self._taken and self._stream.isatty()

    def read_answer(self) -> str:
        """Return a line that a person types."""
        return self._stream.readline()

    def take(self, what: str) -> BinaryIO:
        """Return the bytes of stdin, once, for `what` ("prompts"). Raises UsageError, also for a terminal."""
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
        """Return the stream itself, for task IDs that are read as they come."""
        return self._stream
