"""Input images: checked, and fitted to the limits of PiAPI, before any charge."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from ..operations.limits import Size
from ..text import byte_count
from .load import FORMATS, MAX_SOURCE_BYTES, encode, load_image, to_srgb, too_large

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_UPLOAD_BYTES = 10_000_000
"""Limit of the upload endpoint, which is below that of the specification, 25 MB (File Requirements)."""
MAX_PIXELS = 1048576
"""Width times height (specification: File Requirements)."""
MIN_SIDE = 256
"""Pixels, of either side (specification: File Requirements)."""
JPEG_QUALITY = 92
"""Of 100. The image looks the same as at 100, at a third of the size."""

MINIMUM = f"PiAPI requires at least {MIN_SIDE}x{MIN_SIDE}"
MAXIMUM = f"PiAPI accepts up to {MAX_PIXELS:,} pixels (1024x1024)"


@frozen
class InputImage:
    """An image as it will be uploaded.

    extension: `png`, `jpg` or `webp`.
    size: width and height of `content` in pixels.
    original: width and height of the user's own image, upright.
    sha256: identifies the image, in hex: the hash of the user's file, or of `content` if the image was encoded again.
    notes: one sentence per visible change to the image. The removal of metadata is not one.
    """

    content: bytes
    extension: str
    size: Size
    original: Size
    sha256: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, content: bytes, extension: str, size: Size, *, original: Size | None = None, notes: Iterable[str] = ()
    ) -> "InputImage":
        """Return an image that was encoded here, identified by the hash of `content`. original: default `size`."""
        return cls(content, extension, size, original or size, hashlib.sha256(content).hexdigest(), tuple(notes))


def prepare_image(content: bytes, name: str, *, fit: bool) -> InputImage:
    """Return the image in a file, ready to upload. name: the name of the file in messages.

    Metadata is removed. An image that PiAPI accepts is encoded again only if its EXIF orientation turns it.
    fit: scale down an image that is too large, instead of refusing it.
    Raise UsageError, and no other error, for anything but a still image of an accepted format and size.
    """
    if len(content) > MAX_SOURCE_BYTES:
        raise too_large(f"{name} has more than {byte_count(MAX_SOURCE_BYTES)}")
    loaded = load_image(content, name)
    size = loaded.image.size
    if min(size) < MIN_SIDE:
        raise UsageError(f"{name} is {_by(size)}; {MINIMUM}")
    problems = list(_problems(len(loaded.content), size, name))
    if problems and not fit:
        raise UsageError.of(problems)
    if not problems and not loaded.turned:
        digest = hashlib.sha256(content).hexdigest()  # with metadata, as in the journal's hashes of flux's own images
        return InputImage(loaded.content, loaded.extension, size, size, digest)
    return _encode_fitting(loaded.image, loaded.extension, name, turned=loaded.turned)


def _problems(byte_size: int, size: Size, name: str) -> Iterator[str]:
    """Yield each reason why an image must be made smaller."""
    if _within_pixels(size) != size:
        yield f"{name}: {_by(size)} has {size[0] * size[1]:,} pixels; {MAXIMUM}"
    if byte_size > MAX_UPLOAD_BYTES:
        yield f"{name} has {byte_count(byte_size)}; {_upload_limit()}"


def _encode_fitting(image: "Image", extension: str, name: str, *, turned: bool) -> InputImage:
    """Return the image, encoded so that it fits. Raise UsageError if no encoding does."""
    most = _within_pixels(image.size)
    if min(most) < MIN_SIDE:
        fitted = f"{name}: {_by(image.size)} would be scaled to {_by(most)}"
        raise UsageError(f"{fitted}; {MINIMUM}, up to {MAX_PIXELS:,} pixels", hint="Crop it first")
    colors, converted = to_srgb(image)
    encoded = _encode_below_limit(colors, extension, most)
    if encoded is None:
        raise UsageError(f"{name} cannot be made small enough; {_upload_limit()}")
    content, kind, size = encoded
    notes = [f"{name}: turned upright as its EXIF data says"] if turned else []
    if converted:
        notes.append(f"{name}: colors converted to sRGB")
    if size != image.size:
        reason = MAXIMUM if size == most else _upload_limit()
        notes.append(f"{name}: scaled from {_by(image.size)} to {_by(size)}; {reason}")
    if kind != extension:
        notes.append(f"{name}: converted to JPEG; {_upload_limit()}")
    if not notes:
        notes.append(f"{name}: compressed to {byte_count(len(content))}; {_upload_limit()}")
    return InputImage.of(content, kind, size, original=image.size, notes=notes)


def _encode_below_limit(colors: "Image", extension: str, size: Size) -> tuple[bytes, str, Size] | None:
    """Return the best encoding that is small enough for an upload, its extension and its size; None if none is.

    The same format is tried first, then JPEG for an opaque PNG, then both at 4/5 of width and height, and so on.
    """
    from PIL.Image import Resampling

    as_jpeg = extension == "png" and "A" not in colors.getbands()
    while min(size) >= MIN_SIDE:
        scaled = colors.resize(size, Resampling.LANCZOS)
        for kind in (extension, "jpg") if as_jpeg else (extension,):
            content = _encode(scaled, kind)
            if len(content) <= MAX_UPLOAD_BYTES:
                return content, kind, size
        size = (size[0] * 4 // 5, size[1] * 4 // 5)
    return None


def _encode(image: "Image", extension: str) -> bytes:
    """Return the image as a file of this format, with its color profile and no other metadata."""
    options: dict[str, dict[str, object]] = {
        "png": {},
        "jpg": {"quality": JPEG_QUALITY, "subsampling": "4:4:4"},
        # So few pixels fit without loss. "exact" keeps the color of transparent ones, which an edit may uncover.
        "webp": {"lossless": True, "exact": True},
    }
    return encode(image, FORMATS[extension], icc_profile=image.info.get("icc_profile"), **options[extension])


def _within_pixels(size: Size) -> Size:
    """Return the largest size of the same ratio with at most MAX_PIXELS, not larger than `size`."""
    width, height = size
    if width * height <= MAX_PIXELS:
        return size
    return math.isqrt(MAX_PIXELS * width // height), math.isqrt(MAX_PIXELS * height // width)


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _upload_limit() -> str:
    return f"an upload is at most {byte_count(MAX_UPLOAD_BYTES)}"
