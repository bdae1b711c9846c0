"""The input images of requests, and the regions that `inpaint` regenerates.

An image is a path, a URL, `-` for stdin, `@ID` or `@last` for an earlier result. A local one is checked and fitted
here, before any charge, and uploaded only when the request is sent. The region comes from a mask, a box, a color or
transparency.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import DiskError, UsageError
from ..frozen import frozen
from ..images.fit import InputImage, prepare_image
from ..images.load import MAX_SOURCE_BYTES, encode, load_image, read_image_file
from ..images.output_names import check_format, check_regular, expand_path
from ..journal.entries import REUSE_SECONDS, Entry, State
from ..operations.base import LOCAL, MaskedImage, SourceImage, is_request_url
from ..operations.options import MaskOptions
from ..system.atomic_files import create, make_directory, move_into_place, temporary_beside
from ..text import file_name, quoted
from .prompts import StandardInput

if TYPE_CHECKING:
    from PIL.Image import Image

COLOR_TOLERANCE = 24
"""The largest difference per color channel, of 255, that counts as the same color: JPEG adds noise."""
DOWNLOAD = "Download it first"


@frozen
class _Stored:
    start: int
    length: int
    extension: str


class ImageStore:
    """The local images of a command's requests: each row of a batch may have its own.

    Each content is stored once, in a private file that is deleted when the process ends. Thread-safe.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._stored: dict[str, _Stored] = {}
        self._lock = threading.Lock()

    def add(self, image: InputImage) -> str:
        """Store an image, and return the reference for requests, `sha256:HEX`."""
        reference = f"{LOCAL}{image.sha256}"
        with self._lock:
            if reference not in self._stored:
                if self._file is None:
                    self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the store
                start = self._file.seek(0, 2)
                self._file.write(image.content)
                self._stored[reference] = _Stored(start, len(image.content), image.extension)
        return reference

    def size(self, reference: str) -> int:
        """Return the size of an image in bytes."""
        return self._stored[reference].length

    def file_name(self, reference: str) -> str:
        """Return a name for the upload: a part of its hash and the extension."""
        return f"{reference.removeprefix(LOCAL)[:16]}.{self._stored[reference].extension}"

    def content(self, reference: str) -> bytes:
        """Return the content of an image."""
        stored = self._stored[reference]
        assert self._file is not None
        with self._lock:
            self._file.seek(stored.start)
            return self._file.read(stored.length)

    def __contains__(self, reference: str) -> bool:
        return reference in self._stored

    def __len__(self) -> int:
        return len(self._stored)

    def close(self) -> None:
        """Delete the file."""
        if self._file:
            self._file.close()


@frozen
class FoundImage:
    """An input image of a request.

    reference: its URL, or the reference to a local image.
    name: its name in messages.
    image: the image as it is sent; None if only its URL is known.
    """

    reference: str
    name: str
    image: InputImage | None = None


@frozen
class ImageFinder:
    """The lookup of a command's input images.

    store: stores local images. note: shows a message. find_entry: returns the entry for an ID or `last`.
    """

    store: ImageStore
    stdin: StandardInput
    note: Callable[[str], None]
    find_entry: Callable[[str], Entry | None]

    def find(self, text: str, *, fit: bool) -> FoundImage:
        """Return the image that an argument refers to. Raise UsageError."""
        if is_url(text):
            return FoundImage(check_request_url(text), text)
        if text.startswith("@"):
            return self._find_made(text, fit=fit)
        return self._prepare(self.read(text), "stdin" if text == "-" else file_name(Path(text).name, 80), fit=fit)

    def read(self, text: str) -> bytes:
        """Return the content of a file, or of stdin for `-`. Raise UsageError."""
        if text != "-":
            return read_image_file(expand_path(text))
        content = self.stdin.take("an image").read(MAX_SOURCE_BYTES + 1)
        if not content:
            raise UsageError("stdin is empty", hint="Did the command before the pipe fail?")
        return content

    def _prepare(self, content: bytes, name: str, *, fit: bool) -> FoundImage:
        image = prepare_image(content, name, fit=fit)
        for note in image.notes:
            self.note(note)
        return FoundImage(self.store.add(image), name, image)

    def _find_made(self, text: str, *, fit: bool) -> FoundImage:
        entry = self.find_entry(text.removeprefix("@"))
        if entry is None or entry.state not in (State.SAVED, State.READY):
            raise UsageError(
                f"no image {quoted(text, 60)} in the history", hint="List your tasks", command=("history",)
            )
        if entry.files and entry.files[0].is_whole():
            return self._prepare(read_image_file(entry.files[0].path), text, fit=fit)
        if entry.urls and entry.ended and entry.ended > time.time() - REUSE_SECONDS:
            return FoundImage(entry.urls[0], text)
        raise UsageError(f"the image {quoted(text, 60)} is no longer on disk or at PiAPI")


def is_url(text: str) -> bool:
    """Return whether an argument is an http(s) URL. Raise UsageError for other kinds of URLs."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme.casefold() in ("http", "https"):
        return True
    if separator and scheme.isalnum():
        hint = f"Pass its path: {rest}" if scheme.casefold() == "file" else "Pass a path, or an http(s) URL"
        raise UsageError(f"not an http(s) URL: {quoted(text, 80)}", hint=hint)
    if text.startswith("data:"):
        raise UsageError("a data URL is not accepted as an image", hint="Save the image to a file, and pass its path")
    return False


def check_request_url(text: str) -> str:
    """Return a URL unchanged. Raise UsageError if a request must not contain it, for example for a user name."""
    if is_request_url(text):
        return text
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise UsageError("the URL of an image must not contain a user name or password")
    raise UsageError(f"not a URL: {quoted(text, 80)}")


# --- regions ----------------------------------------------------------------------------------------------------------


def _find_masked(finder: ImageFinder, source: FoundImage, options: MaskOptions, dialect: str) -> MaskedImage:
    """Return references to an image and to the mask that the options describe. Raise UsageError."""
    from ..images import masks

    _check_exactly_one(options)
    if options.mask is not None and is_url(options.mask):
        if options.invert or options.feather:
            raise UsageError("--invert and --feather need a local mask", hint=DOWNLOAD)
        _note_url(finder, dialect)
        return MaskedImage(source.reference, check_request_url(options.mask), None)
    if source.image is None:
        mask = _mask_for_url(finder, options)
        _note_url(finder, dialect)
        return MaskedImage(source.reference, _add_png(finder, encode(mask, "PNG"), mask.size), None)
    pixels, mask = _open_masked(finder, source, source.image, options)
    # The live API reads the image with a hole; the fields of the specification do not need it.
    hole = None if dialect == "spec" else _add_png(finder, masks.cut_out(pixels, mask), pixels.size)
    return MaskedImage(source.reference, _add_png(finder, encode(mask, "PNG"), mask.size), hole)


def preview_region(finder: ImageFinder, source: FoundImage, options: MaskOptions) -> bytes:
    """Return a PNG of the image with the region marked. Raise UsageError."""
    from ..images import masks

    _check_exactly_one(options)
    if source.image is None or (options.mask is not None and is_url(options.mask)):
        raise UsageError("--show-mask needs a local image and a local mask", hint=DOWNLOAD)
    return encode(masks.overlay(*_open_masked(finder, source, source.image, options)), "PNG")


def preview_path(options: MaskOptions, *, overwrite: bool) -> Path:
    """Return the path of `--show-mask`. Raise UsageError, or DiskError if it is a directory or exists already."""
    path = expand_path(str(options.show_mask))
    check_format(path.name)
    check_regular(path, "--show-mask")
    if os.path.isdir(path):
        raise DiskError(f"{file_name(path)} is a directory")
    if os.path.lexists(path) and not overwrite:
        raise DiskError(f"{file_name(path)} exists", hint="Replace it with --overwrite")
    return path


def write_preview(path: Path, png: bytes, *, overwrite: bool) -> None:
    """Write an image atomically. Raise DiskError."""
    temporary = temporary_beside(path)
    try:
        make_directory(path.parent)
        try:
            with open(create(temporary), "wb") as file:
                file.write(png)
            move_into_place(temporary, path, overwrite=overwrite)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"cannot write {file_name(path)}: {error.strerror}") from error


def _check_exactly_one(options: MaskOptions) -> None:
    ways = {"--mask": options.mask, "--mask-box": options.box, "--mask-color": options.color}
    given = [name for name, value in ways.items() if value is not None] + ["--mask-alpha"] * options.alpha
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be used together")
    if not given:
        raise UsageError(
            "no mask",
            hint="Pass a region, for example --mask-box 25%,25%,50%,50%, or --mask, --mask-color or --mask-alpha",
        )


def _note_url(finder: ImageFinder, dialect: str) -> None:
    if dialect == "both":
        finder.note("PiAPI may ignore the mask if the image or the mask is a URL; with local files it does not")


def _mask_for_url(finder: ImageFinder, options: MaskOptions) -> "Image":
    """Return the mask for an image of which only the URL is known."""
    from ..images import masks

    if options.mask is None:
        raise UsageError("a box, a color or transparency needs a local image", hint=DOWNLOAD)
    name = _name(options.mask)
    image = load_image(finder.read(options.mask), name).image
    mask = _read_mask(finder, image, image.size, name, options)
    finder.note("the size of the mask cannot be checked: the image is a URL")
    return masks.finish(mask, feather=options.feather, invert=options.invert)


def _open_masked(
    finder: ImageFinder, source: FoundImage, image: InputImage, options: MaskOptions
) -> tuple["Image", "Image"]:
    """Return the pixels of the image as it is sent, and the finished mask."""
    from ..images import masks

    pixels = load_image(image.content, source.name).image
    region = _region_of(finder, image, pixels, options)
    return pixels, masks.finish(region, feather=options.feather, invert=options.invert)


def _region_of(finder: ImageFinder, image: InputImage, pixels: "Image", options: MaskOptions) -> "Image":
    """Return the region, not inverted, at the size of the image as it is sent.

    Boxes and mask files refer to the user's own image, and are scaled with it.
    """
    from ..images import masks

    size, original = pixels.size, image.original
    if options.mask is not None:
        name = _name(options.mask)
        found = load_image(finder.read(options.mask), name).image
        expected = original if found.size == original else size
        return _read_mask(finder, found, expected, name, options).resize(size)
    if options.box is not None:
        return masks.from_box(masks.parse_box(options.box, *original), original).resize(size)
    if options.color is not None:
        return masks.from_color(pixels, options.color, COLOR_TOLERANCE)
    return masks.from_alpha(pixels)


def _read_mask(finder: ImageFinder, image: "Image", size: tuple[int, int], name: str, options: MaskOptions) -> "Image":
    from ..images import masks

    mask, transparent = masks.from_image(image, size, name, invert=options.invert)
    if transparent:
        kept = "its transparent part is kept" if options.invert else "its transparent part is the region"
        finder.note(f"mask {name}: {kept}")
    return mask


def _name(text: str) -> str:
    return "from stdin" if text == "-" else file_name(Path(text).name, 80)


def _add_png(finder: ImageFinder, content: bytes, size: tuple[int, int]) -> str:
    return finder.store.add(InputImage.of(content, "png", size))


@frozen
class RequestImages:
    """The lookup of the images and masks of a command or a row.

    dialect: the setting of that name. fit: scale down an image that is too large, instead of refusing it.
    """

    finder: ImageFinder
    dialect: str
    fit: bool

    def find(self, text: str) -> SourceImage:
        """Return the input image that an argument refers to. Raise UsageError."""
        found = self.finder.find(text, fit=self.fit)
        sizes = (found.image.size, found.image.original) if found.image else (None, None)
        return SourceImage(found.reference, *sizes)

    def find_masked(self, text: str, mask: MaskOptions) -> MaskedImage:
        """Return an input image with its mask. Raise UsageError."""
        return _find_masked(self.finder, self.finder.find(text, fit=self.fit), mask, self.dialect)
