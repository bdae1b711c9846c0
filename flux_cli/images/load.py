"""Pictures that go into a task: checked, and fitted to what the service takes, before any money is spent."""

import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from ..text import clean
from .decode import FORMATS, opened, plain, upright

if TYPE_CHECKING:
    from PIL.Image import Image

MEGABYTE = 1_000_000
"""Bytes. Neither limit below says which megabyte it means; the smaller one is inside both."""
MAX_SOURCE_BYTES = 25 * MEGABYTE
"""The largest file (specification: File Requirements)."""
MAX_UPLOAD_BYTES = 10 * MEGABYTE
"""The most that is sent: the upload endpoint takes 10 MB."""
MAX_PIXELS = 1048576
"""Width times height (specification: File Requirements)."""
MIN_SIDE = 256
"""Pixels, of either side (specification: File Requirements)."""
JPEG_QUALITY = 92
"""Of 100: no difference that a person sees, at a third of the weight of 100."""
NAME_LIMIT = 100

Size = tuple[int, int]
"""Width and height in pixels."""


@frozen
class InputImage:
    """A picture as it will be uploaded.

    extension: `png`, `jpg` or `webp`.
    width, height: pixels.
    original: the size of the picture as the user has it, upright; that of `content` when nothing was scaled.
    sha256: of `content`, hex.
    notes: what was changed, one sentence each; empty when `content` is the file, byte for byte.
    """

    content: bytes
    extension: str
    width: int
    height: int
    original: Size
    sha256: str
    notes: tuple[str, ...]


class LocalPictures(dict[str, InputImage]):
    """Pictures by their references. One that somebody kept is let go when nobody keeps it any more: the rows of a
    batch may each have a picture of their own, and a thousand of them do not fit into memory."""

    def __init__(self) -> None:
        super().__init__()
        self._keepers: Counter[str] = Counter()

    def keep(self, references: Iterable[str]) -> None:
        """Keep these until `drop` was called as often."""
        self._keepers.update(references)

    def drop(self, references: Iterable[str]) -> None:
        """Keep these once less."""
        for reference in references:
            self._keepers[reference] -= 1
            if self._keepers[reference] <= 0:
                del self._keepers[reference]
                self.pop(reference, None)


def prepared(content: bytes, name: str, *, fit: bool) -> InputImage:
    """The picture in `content`, ready to upload; `name` is what the user calls it.

    What the service takes as it is passes byte for byte. A picture that its EXIF says is turned is turned.
    With `fit`, one that is too large is made smaller; without, it is refused. Whatever is encoded again loses
    all its metadata.
    Raises UsageError, and nothing else, for anything that is no still picture of an allowed kind and size.
    """
    name = clean(name, NAME_LIMIT)
    if len(content) > MAX_SOURCE_BYTES:
        limit = f"the service takes files of up to {_megabytes(MAX_SOURCE_BYTES)}"
        raise UsageError(f"{name} has {_megabytes(len(content))}, {limit}")
    found = opened(content, name)
    image = upright(found.image)
    if min(image.size) < MIN_SIDE:
        raise UsageError(f"{name} is {_by(image.size)}, the service takes {MIN_SIDE}x{MIN_SIDE} and more")
    problems = list(_problems(len(found.content), image.size, name))
    if problems and not fit:
        raise UsageError.of(problems)
    notes = [f"{name}: what follows the picture in the file was left out"] if found.cut else []
    if image is found.image and not problems:
        return _input_image(found.content, found.extension, image.size, image.size, notes)
    if image is not found.image:
        notes.append(f"{name}: turned as its EXIF says")
    return _fitted(image, found.extension, name, notes)


def _problems(weight: int, size: Size, name: str) -> Iterator[str]:
    """Everything that fitting can mend."""
    if _within_pixels(size) != size:
        pixels = size[0] * size[1]
        yield f"{name}: {_by(size)} has {pixels} pixels, the service takes up to {MAX_PIXELS} (1024x1024)"
    if weight > MAX_UPLOAD_BYTES:
        yield f"{name} has {_megabytes(weight)}, an upload takes up to {_megabytes(MAX_UPLOAD_BYTES)}"


@frozen
class _Encoding:
    """One way to send a picture."""

    content: bytes
    extension: str
    size: Size


def _fitted(image: "Image", extension: str, name: str, notes: list[str]) -> InputImage:
    """The picture encoded again so that it fits, and what that took added to the notes. Raises UsageError."""
    most = _within_pixels(image.size)
    if min(most) < MIN_SIDE:
        takes = f"the service takes {MIN_SIDE}x{MIN_SIDE} and more, up to {MAX_PIXELS} pixels"
        raise UsageError(f"{name}: {_by(image.size)} would be fitted to {_by(most)}, {takes}", hint="crop it first")
    colours, converted = plain(image)
    upload = f"an upload takes up to {_megabytes(MAX_UPLOAD_BYTES)}"
    ways = _encodings(colours, extension, most)
    way = next((way for way in ways if len(way.content) <= MAX_UPLOAD_BYTES), None)
    if way is None:
        raise UsageError(f"{name} cannot be made small enough, {upload}")
    if converted:
        notes.append(f"{name}: colours converted to sRGB")
    if way.size != image.size:
        reason = f"the service takes up to {MAX_PIXELS} pixels" if way.size == most else upload
        notes.append(f"{name}: scaled from {_by(image.size)} to {_by(way.size)}, {reason}")
    if way.extension != extension:
        notes.append(f"{name}: made a JPEG, {upload}")
    if not notes:
        notes.append(f"{name}: saved again in {_megabytes(len(way.content))}, {upload}")
    return _input_image(way.content, way.extension, way.size, image.size, notes)


def _encodings(colours: "Image", extension: str, size: Size) -> Iterator[_Encoding]:
    """What can be sent, the best first: the same format, a PNG without alpha as JPEG, then four fifths of the size."""
    from PIL.Image import Resampling

    as_jpeg = extension == "png" and "A" not in colours.getbands()
    while min(size) >= MIN_SIDE:
        fitted = colours.resize(size, Resampling.LANCZOS)
        for kind in (extension, "jpg") if as_jpeg else (extension,):
            yield _Encoding(_encoded(fitted, kind), kind, size)
        size = (size[0] * 4 // 5, size[1] * 4 // 5)


def _encoded(image: "Image", extension: str) -> bytes:
    """The picture in a format, with its colour profile and nothing else beside it."""
    options: dict[str, dict[str, object]] = {
        "png": {},
        "jpg": {"quality": JPEG_QUALITY, "subsampling": "4:4:4"},
        # So few pixels are light enough without a loss, even the hidden ones, which an edit may uncover.
        "webp": {"lossless": True, "exact": True},
    }
    buffer = io.BytesIO()
    image.save(buffer, FORMATS[extension], icc_profile=image.info.get("icc_profile"), **options[extension])
    return buffer.getvalue()


def _within_pixels(size: Size) -> Size:
    """The largest size of the same ratio with at most MAX_PIXELS; never larger than `size`."""
    width, height = size
    if width * height <= MAX_PIXELS:
        return size
    return math.isqrt(MAX_PIXELS * width // height), math.isqrt(MAX_PIXELS * height // width)


def _input_image(content: bytes, extension: str, size: Size, original: Size, notes: list[str]) -> InputImage:
    return InputImage(content, extension, *size, original, hashlib.sha256(content).hexdigest(), tuple(notes))


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _megabytes(count: int) -> str:
    """Rounded up, so that a number over a limit never looks like the limit."""
    return f"{math.ceil(count * 10 / MEGABYTE) / 10:g} MB"
