"""Small copies of pictures that are to be looked at."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from .decode import ALLOWED, opened, plain, upright
from .load import MAX_SOURCE_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image


@frozen
class Thumbnail:
    """A small copy of a picture: RGB or RGBA pixels. width and height are those of the original."""

    image: "Image"
    width: int
    height: int


def thumbnail(path: Path, side: int) -> Thumbnail:
    """A copy that fits into a square of `side` pixels. Raises UsageError when there is no whole picture."""
    from PIL.Image import Resampling

    try:
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path.name}: {error.strerror}", money="") from error
    try:
        image = upright(opened(content, path.name).image)
    except UsageError as error:
        raise UsageError(error.message.removesuffix(f", {ALLOWED}"), money="") from error
    width, height = image.size
    if image.mode in ("P", "1") or image.mode.startswith("I;16"):  # cannot be scaled well as they are
        image, _ = plain(image)
    image.thumbnail((side, side), Resampling.LANCZOS)
    image, _ = plain(image)
    return Thumbnail(image, width, height)
