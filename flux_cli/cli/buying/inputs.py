"""Find the image that an argument means: a path, a URL, `-` for stdin, `@ID` or `@last` for an earlier result.

A local image is checked and fitted here, and uploaded only when the request is sent. One that flux made, and that
PiAPI still hosts, is passed by its URL instead.
"""

import hashlib
import time
from collections.abc import Callable, MutableMapping
from typing import TextIO

from ...config.urls import is_picture_address
from ...errors import UsageError
from ...frozen import frozen
from ...images.fit import InputImage, prepare_image
from ...images.load import MAX_SOURCE_BYTES, read_image_file
from ...images.output_names import expand_path
from ...journal.entries import RESULT_SECONDS, Entry, State
from ...operations.operations import LOCAL
from ...text import quoted

MARGIN_SECONDS = 6 * 3600
"""A result that PiAPI deletes sooner than this is uploaded again: the task may have to wait."""


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

    local: the local images by reference, filled as they are found.
    passed: URLs that stand for local images, and the references of these; filled likewise.
    read_stdin: returns an image from stdin. note: shows a remark.
    find_entry: returns the journal's entry for an ID or `last`. find_url: returns the URL at which PiAPI hosts a
        file that flux saved, by the SHA-256 of the file, if it does so for MARGIN_SECONDS more.
    """

    local: MutableMapping[str, InputImage]
    passed: MutableMapping[str, str]
    read_stdin: Callable[[], bytes]
    note: Callable[[str], None]
    find_entry: Callable[[str], Entry | None]
    find_url: Callable[[str], str | None]

    def find(self, text: str, *, fit: bool) -> Input:
        """Return the image that an argument means. Raise UsageError."""
        if text.startswith(("http://", "https://")):
            return Input(check_url(text), text)
        if text.startswith("@"):
            return self._find_made(text, fit=fit)
        if text == "-":
            return self._prepare(self.read_stdin(), "stdin", fit=fit)
        path = expand_path(text)
        return self._prepare(read_image_file(path), quoted(path.name, 80), fit=fit)

    def read(self, text: str) -> bytes:
        """Return the content of the file that an argument means, or of stdin for `-`. Raise UsageError."""
        return self.read_stdin() if text == "-" else read_image_file(expand_path(text))

    def add(self, image: InputImage) -> str:
        """Return the reference to a local image, which is uploaded when a request with it is sent."""
        reference = f"{LOCAL}{image.sha256}"
        self.local[reference] = image
        return reference

    def _prepare(self, content: bytes, name: str, *, fit: bool) -> Input:
        image = prepare_image(content, name, fit=fit)
        for note in image.notes:
            self.note(note)
        # Results are known by the hash of the whole file, with the metadata that is not sent.
        url = None if image.notes else self.find_url(hashlib.sha256(content).hexdigest())
        if url is None:
            return Input(self.add(image), name, image)
        self.passed[url] = f"{LOCAL}{image.sha256}"
        return Input(url, name, image)

    def _find_made(self, text: str, *, fit: bool) -> Input:
        entry = self.find_entry(text.removeprefix("@"))
        if entry is None or entry.state not in (State.SAVED, State.READY):
            raise UsageError(f"no image {quoted(text, 60)} in the history", hint="list what there is: flux history")
        if entry.files and entry.files[0].is_whole():
            return self._prepare(read_image_file(entry.files[0].path), text, fit=fit)
        if entry.urls and entry.ended and entry.ended > time.time() - RESULT_SECONDS + MARGIN_SECONDS:
            return Input(entry.urls[0], text)
        raise UsageError(f"the image {quoted(text, 60)} is neither on disk nor at PiAPI any more")


def check_url(text: str) -> str:
    """Return an http(s) URL without a user name in it. Raise UsageError for others."""
    if is_picture_address(text):
        return text
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise UsageError("the URL of an image must not contain a user name or password")
    raise UsageError(f"not a URL: {quoted(text, 80)}")


def read_image_from(stdin: TextIO) -> bytes:
    """Return an image from stdin. Raise UsageError if nothing is piped in."""
    if stdin.isatty():
        raise UsageError("- reads an image from stdin, and stdin is a terminal", hint="pipe one in, or name a file")
    content = stdin.buffer.read(MAX_SOURCE_BYTES + 1)
    if not content:
        raise UsageError("stdin is empty", hint="did the command before the pipe fail?")
    return content
