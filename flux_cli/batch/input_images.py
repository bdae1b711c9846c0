"""Find the image that an argument means: a path, a URL, `-` for stdin, `@ID` or `@last` for an earlier result.

A local image is checked and fitted here, and uploaded only when the request is sent.
"""

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import UsageError
from ..frozen import frozen
from ..images.fit import InputImage, prepare_image
from ..images.load import MAX_SOURCE_BYTES, read_image_file
from ..images.output_names import expand_path
from ..journal.entries import RESULT_SECONDS, Entry, State
from ..operations.base import is_request_url
from ..text import quoted
from .image_store import ImageStore
from .standard_input import StandardInput

MARGIN_SECONDS = 6 * 3600
"""A result that PiAPI deletes sooner than this is not used: the new task may be queued that long."""


@frozen
class Input:
    """An image that goes into a request.

    reference: what stands for it in the request: a URL, or a reference to a local image.
    name: as messages show it.
    image: what is sent; None if only its URL is known.
    """

    reference: str
    name: str
    image: InputImage | None = None

    @property
    def original_size(self) -> tuple[int, int] | None:
        """Width and height of the image as the user has it: what boxes and margins in pixels mean."""
        return self.image.original if self.image else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels of what is sent, if they are known."""
        return (self.image.width, self.image.height) if self.image else None


@frozen
class ImageFinder:
    """Finds the images of one command.

    store: keeps the local ones. note: shows a remark. find_entry: returns the entry for an ID or `last`.
    """

    store: ImageStore
    stdin: StandardInput
    note: Callable[[str], None]
    find_entry: Callable[[str], Entry | None]

    def find(self, text: str, *, fit: bool) -> Input:
        """Return the image that an argument means. Raise UsageError."""
        if is_url(text):
            return Input(check_url(text), text)
        if text.startswith("@"):
            return self._find_made(text, fit=fit)
        return self._prepare(self.read(text), "stdin" if text == "-" else quoted(Path(text).name, 80), fit=fit)

    def read(self, text: str) -> bytes:
        """Return the content of the file that an argument means, or of stdin for `-`. Raise UsageError."""
        if text != "-":
            return read_image_file(expand_path(text))
        content = self.stdin.take("an image").read(MAX_SOURCE_BYTES + 1)
        if not content:
            raise UsageError("stdin is empty", hint="Did the command before the pipe fail?")
        return content

    def _prepare(self, content: bytes, name: str, *, fit: bool) -> Input:
        image = prepare_image(content, name, fit=fit)
        for note in image.notes:
            self.note(note)
        return Input(self.store.add(image), name, image)

    def _find_made(self, text: str, *, fit: bool) -> Input:
        entry = self.find_entry(text.removeprefix("@"))
        if entry is None or entry.state not in (State.SAVED, State.READY):
            raise UsageError(f"no image {quoted(text, 60)} in the history", hint="List yours", command=("history",))
        if entry.files and entry.files[0].is_whole():
            return self._prepare(read_image_file(entry.files[0].path), text, fit=fit)
        if entry.urls and entry.ended and entry.ended > time.time() - RESULT_SECONDS + MARGIN_SECONDS:
            return Input(entry.urls[0], text)
        raise UsageError(f"the image {quoted(text, 60)} is no longer on disk or at PiAPI")


def is_url(text: str) -> bool:
    """Return whether an argument is meant as a URL. Raise UsageError for one that PiAPI cannot read."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme.casefold() in ("http", "https"):
        return True
    if separator and scheme.isalnum():
        hint = f"Pass its path: {rest}" if scheme.casefold() == "file" else "Pass a path, or an http(s) URL"
        raise UsageError(f"not an http(s) URL: {quoted(text, 80)}", hint=hint)
    if text.startswith("data:"):
        raise UsageError("a data URL is not accepted as an image", hint="Save the image to a file, and pass its path")
    return False


def check_url(text: str) -> str:
    """Return an http(s) URL without a user name in it. Raise UsageError for others."""
    if is_request_url(text):
        return text
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise UsageError("the URL of an image must not contain a user name or password")
    raise UsageError(f"not a URL: {quoted(text, 80)}")
