"""The region that `inpaint` changes: from a mask, a box, a color or transparency, checked before any money is spent."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DiskError, UsageError
from ..frozen import frozen
from ..images.fit import InputImage
from ..images.output_names import check_format, check_regular, expand_path
from ..operations.base import MaskedImage
from ..operations.options import MaskOptions
from ..system.atomic_files import create, place, temporary_beside
from ..text import quoted
from .input_images import ImageFinder, Input, check_url, is_url

if TYPE_CHECKING:
    from PIL.Image import Image

COLOR_TOLERANCE = 24
"""Steps of a color channel that still count as the color: enough for a JPEG's noise."""
DOWNLOAD = "Download it first"


@frozen
class Region:
    """References for a request: the mask, and the image with a hole where it is white (if both are local)."""

    mask: str
    cut_out: str | None


def find_region(finder: ImageFinder, source: Input, options: MaskOptions, dialect: str) -> Region:
    """Return the region that the options describe. dialect: the setting. Raise UsageError."""
    from ..images import masks

    _check_one_way(options)
    if options.mask is not None and is_url(options.mask):
        if options.invert or options.feather:
            raise UsageError("--invert and --feather need a local mask", hint=DOWNLOAD)
        _note_url(finder, dialect)
        return Region(check_url(options.mask), None)
    if source.image is None:
        mask = _mask_for_url(finder, options)
        _note_url(finder, dialect)
        return Region(_add_png(finder, masks.to_png(mask), mask.size), None)
    pixels, mask = _draw(finder, source, source.image, options)
    # The image with a hole is what the live service reads; the specification's own fields do without it.
    hole = None if dialect == "spec" else _add_png(finder, masks.cut_out(pixels, mask), pixels.size)
    return Region(_add_png(finder, masks.to_png(mask), mask.size), hole)


def preview_region(finder: ImageFinder, source: Input, options: MaskOptions) -> bytes:
    """Return a PNG that shows the region on the image. Raise UsageError."""
    from ..images import masks

    _check_one_way(options)
    if source.image is None or (options.mask is not None and is_url(options.mask)):
        raise UsageError("--show-mask needs a local image and a local mask", hint=DOWNLOAD)
    return masks.encode_png(masks.overlay(*_draw(finder, source, source.image, options)))


def preview_path(options: MaskOptions, *, overwrite: bool) -> Path:
    """Return the file that `--show-mask` names. Raise UsageError, DiskError if nothing can be written there."""
    path = expand_path(str(options.show_mask))
    check_format(path.name)
    check_regular(path, "--show-mask")
    if os.path.isdir(path):
        raise DiskError(f"{quoted(str(path))} is a directory")
    if os.path.lexists(path) and not overwrite:
        raise DiskError(f"{quoted(str(path))} exists", hint="Replace it with --overwrite")
    return path


def write_preview(path: Path, png: bytes, *, overwrite: bool) -> None:
    """Write an image, complete or not at all. Raise DiskError."""
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(create(temporary), "wb") as file:
                file.write(png)
            place(temporary, path, overwrite=overwrite)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"cannot write {quoted(str(path))}: {error.strerror}") from error


def _check_one_way(options: MaskOptions) -> None:
    ways = {"--mask": options.mask, "--mask-box": options.box, "--mask-color": options.color}
    given = [name for name, value in ways.items() if value is not None] + ["--mask-alpha"] * options.alpha
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be used together")
    if not given:
        raise UsageError("no region is given", hint="Use --mask, --mask-box, --mask-color or --mask-alpha")


def _note_url(finder: ImageFinder, dialect: str) -> None:
    if dialect == "both":
        finder.note("PiAPI may ignore the mask if the image or the mask is a URL; with local files it does not")


def _mask_for_url(finder: ImageFinder, options: MaskOptions) -> "Image":
    """Return the mask for an image of which only the URL is known."""
    from ..images import masks

    if options.mask is None:
        raise UsageError("a box, a color or transparency needs a local image", hint=DOWNLOAD)
    name = _name(options.mask)
    image = _load(finder.read(options.mask), name)
    mask = _read_mask(finder, image, image.size, name, options)
    finder.note("the size of the mask cannot be checked: the image is a URL")
    return masks.finish(mask, feather=options.feather, invert=options.invert)


def _draw(finder: ImageFinder, source: Input, image: InputImage, options: MaskOptions) -> tuple["Image", "Image"]:
    """Return the image as it is sent, and the mask."""
    from ..images import masks

    pixels = _load(image.content, source.name)
    region = _region_of(finder, image, pixels, options)
    return pixels, masks.finish(region, feather=options.feather, invert=options.invert)


def _region_of(finder: ImageFinder, image: InputImage, pixels: "Image", options: MaskOptions) -> "Image":
    """Return the region, not inverted, in the size of the image that is sent.

    Boxes and mask files are about the image as the user has it, and are scaled along with it.
    """
    from ..images import masks

    size, original = pixels.size, image.original
    if options.mask is not None:
        name = _name(options.mask)
        found = _load(finder.read(options.mask), name)
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
    return "from stdin" if text == "-" else quoted(Path(text).name, 80)


def _load(content: bytes, name: str) -> "Image":
    from ..images.load import load_image

    return load_image(content, name).image


def _add_png(finder: ImageFinder, content: bytes, size: tuple[int, int]) -> str:
    return finder.store.add(InputImage.of(content, "png", size))


@frozen
class RequestImages:
    """Finds the images and masks of an invocation's requests. dialect: the setting."""

    finder: ImageFinder
    dialect: str

    def find(self, text: str, *, fit: bool) -> Input:
        """Return an input image. Raise UsageError."""
        return self.finder.find(text, fit=fit)

    def find_masked(self, text: str, mask: MaskOptions, *, fit: bool) -> MaskedImage:
        """Return an input image and its mask. Raise UsageError."""
        source = self.finder.find(text, fit=fit)
        region = find_region(self.finder, source, mask, self.dialect)
        return MaskedImage(source.reference, region.mask, region.cut_out)
