"""What an image argument means: a path, an address, `-` for stdin, `@ID` or `@last` for a picture made before.

A local picture is checked and fitted here, and uploaded only when the request is sent. A picture that this program
made, and that the service still has, is passed by its address, without an upload.
"""

import hashlib
import time
from pathlib import Path

from ...config.urls import is_picture_address
from ...errors import UsageError
from ...frozen import frozen
from ...images.load import MAX_SOURCE_BYTES, InputImage, prepared
from ...journal.entries import RESULT_SECONDS, Entry, State
from ...text import clean
from ..context import Session

MARGIN_SECONDS = 6 * 3600


@frozen
class Input:
    """A picture that goes into a request.

    reference: what stands for it in the request: an address, or a reference to a local picture.
    image: the picture itself, as it is sent; None when only its address is known.
    content: the bytes before they were fitted.
    """

    reference: str
    name: str
    image: InputImage | None = None
    content: bytes = b""

    @property
    def original_size(self) -> tuple[int, int] | None:
        """Width and height of the picture as the user has it: what boxes and margins in pixels mean."""
        return self.image.original if self.image else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, when they are known."""
        return (self.image.width, self.image.height) if self.image else None


def find_input(session: Session, text: str, *, fit: bool) -> Input:
    """The picture that an image argument means. Raises UsageError."""
    if text.startswith(("http://", "https://")):
        return Input(checked_address(text), text)
    if text.startswith("@"):
        return _made_before(session, text, fit=fit)
    if text == "-":
        return _local(session, read_stdin(session), "stdin", fit=fit)
    path = local_path(text)
    return _local(session, read_picture(path), path.name, fit=fit)


def checked_address(text: str) -> str:
    """An http(s) address without a user name in it. Raises UsageError."""
    if is_picture_address(text):
        return text
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise UsageError("an address of a picture must not have a user name or password in it")
    raise UsageError(f"not an address: {clean(text, 80)}")


def local_path(text: str) -> Path:
    """The path that a user wrote; `~` is the home folder, and `~name` a file when there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def read_picture(path: Path) -> bytes:
    """A file's content, up to what any picture may have. Raises UsageError."""
    try:
        if not path.exists():
            raise UsageError(f"no such picture: {clean(str(path), 120)}")
        if not path.is_file():
            raise UsageError(f"not a file: {clean(str(path), 120)}")
        with path.open("rb") as file:
            return file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {clean(str(path), 120)}: {getattr(error, 'strerror', error)}") from error


def read_stdin(session: Session) -> bytes:
    """Return an image from stdin. Raises UsageError."""
    content = session.stdin.take("an image").read(MAX_SOURCE_BYTES + 1)
    if not content:
        raise UsageError("no image came on stdin", hint="did the command before the pipe fail?")
    return content


def _local(session: Session, content: bytes, name: str, *, fit: bool) -> Input:
    image = prepared(content, clean(name, 80), fit=fit)
    for note in image.notes:
        session.output.note(note)
    return Input(session.images.add(image), name, image, content)


def _made_before(session: Session, text: str, *, fit: bool) -> Input:
    entry = _entry(session, text)
    if entry.files and entry.files[0].path.exists():
        content = read_picture(entry.files[0].path)
        if hashlib.sha256(content).hexdigest() == entry.files[0].sha256:  # not overwritten by another picture since
            return _local(session, content, text, fit=fit)
    if entry.urls and entry.ended and entry.ended > time.time() - RESULT_SECONDS + MARGIN_SECONDS:
        return Input(entry.urls[0], text)
    raise UsageError(f"{clean(text, 60)} has no picture any more, neither here nor at the service")


def _entry(session: Session, text: str) -> Entry:
    word = text.removeprefix("@")
    found = session.journal.last_saved() if word == "last" else session.journal.find(word)
    if found is None or found.state not in (State.SAVED, State.READY):
        raise UsageError(f"no picture is known as {clean(text, 60)}", hint="see: flux history")
    return found
