"""Small copies of images, to look at."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..frozen import frozen
from ..text import quoted
from .load import load_image, read_image_file, to_srgb

if TYPE_CHECKING:
    from PIL.Image import Image


@frozen
class Thumbnail:
    """A small copy of an image: RGB or RGBA pixels. width and height are those of the original."""

    image: "Image"
    width: int
    height: int


def thumbnail(path: Path, side: int) -> Thumbnail:
    """Return a copy that fits into a square of `side` pixels. Raise UsageError if the file is not a complete image."""
    from PIL.Image import Resampling

    image = load_image(read_image_file(path), quoted(path.name)).image
    width, height = image.size
    if image.mode in ("P", "1") or image.mode.startswith("I;16"):  # cannot be scaled well as they are
        image, _ = to_srgb(image)
    image.thumbnail((side, side), Resampling.LANCZOS)
    image, _ = to_srgb(image)
    return Thumbnail(image, width, height)
