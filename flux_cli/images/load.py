"""Read and decode a user's image file: a complete, still PNG, JPEG or WebP. Metadata is removed.

Pillow is slow to import, so it is imported where it is used: most commands read no image. The functions are
thread-safe.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from ..text import byte_count, file_name
from .formats import BrokenImageError, ImageInfo, inspect_image
from .png import take_profile
from .strip import strip_metadata

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SOURCE_BYTES = 200_000_000
"""The largest file that is read. Uploads are much smaller (see `fit`)."""
MAX_DECODED_PIXELS = 89_478_485
"""Width times height: 256 MiB of RGB, which is Pillow's own limit for untrusted images."""
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
"""Pillow's name for each extension."""

OTHER_KINDS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"gimp xcf", "a GIMP file"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
)
BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIF"}
"""Image formats by the brand of an ISO media file. Other brands are videos."""


@frozen
class LoadedImage:
    """A decoded image file.

    content: the file without metadata. image: its pixels, upright. turned: whether the stored pixels were not upright.
    """

    content: bytes
    extension: str
    image: "Image"
    turned: bool


def read_image_file(path: Path) -> bytes:
    """Return the content of a file. Raise UsageError if the file is missing, too large or unreadable."""
    name = file_name(path)
    try:
        if not path.exists():
            raise UsageError(f"image not found: {name}")
        if not path.is_file():
            hint = "Pipe it into stdin, and pass - as the image" if not path.is_dir() else None
            raise UsageError(f"not a file: {name}", hint=hint)
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
            if len(content) > MAX_SOURCE_BYTES:
                raise too_large(f"{name} has {byte_count(path.stat().st_size)}")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {name}: {getattr(error, 'strerror', error)}") from error
    return content


def too_large(what: str) -> UsageError:
    """Return the error for a file above MAX_SOURCE_BYTES."""
    return UsageError(f"{what}; the limit is {byte_count(MAX_SOURCE_BYTES)}", hint="Scale the image down first")


def load_image(content: bytes, name: str) -> LoadedImage:
    """Return an image file with all its pixels decoded. name: the name of the file in messages.

    Raise UsageError, and no other error, for anything but a complete, still PNG, JPEG or WebP.
    """
    try:
        stripped = strip_metadata(content)
        kind = inspect_image(stripped.content)
    except BrokenImageError as error:
        if other := _other_kind(content):
            raise UsageError(f"{name} is {other}", hint="Use a PNG, JPEG or WebP image") from error
        raise UsageError(f"{name}: {error}") from error
    if stripped.animated:
        raise UsageError(f"{name} is animated", hint="Save one frame of it as a PNG")
    if kind.width * kind.height > MAX_DECODED_PIXELS:
        size = f"{name} is {kind.width}x{kind.height}"
        raise UsageError(f"{size}; the limit is {MAX_DECODED_PIXELS:,} pixels", hint="Scale it down first")
    image = _decode(stripped.content, kind, name)
    upright = _turn(image, stripped.orientation)
    return LoadedImage(stripped.content, kind.extension, upright, upright is not image)


def _decode(content: bytes, kind: ImageInfo, name: str) -> "Image":
    """Return the image with all pixels decoded, so that damage is found now. Raise UsageError."""
    from PIL import Image

    profile = None
    if kind.extension == "png":
        content, profile = take_profile(content)
    try:
        image = Image.open(io.BytesIO(content), formats=(FORMATS[kind.extension],))
        image.load()
    except MemoryError:
        raise UsageError(f"there is not enough memory to open {name}", hint="Scale it down first") from None
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise UsageError(f"{name}: the image is damaged") from error
    if profile:
        image.info["icc_profile"] = profile
    return image


def _turn(image: "Image", orientation: int) -> "Image":
    """Return the image upright; the same object for orientation 1 (EXIF 2.3, section 4.6.4)."""
    from PIL.Image import Transpose

    methods = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    method = methods.get(orientation)
    return image if method is None else image.transpose(method)


def to_srgb(image: "Image") -> tuple["Image", bool]:
    """Return the image in mode L, LA, RGB or RGBA, and whether its colors were converted to sRGB.

    An opaque alpha channel is dropped. A color profile remains, in `info`, only if it cannot be converted.
    """
    alpha = None
    profile: bytes | None = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):  # Pillow's conversion clips 16 bits, and makes several grays transparent
        colors = image.point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode == "CMYK":
        colors = image.copy()
    else:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        colors = rgba.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    converted = _convert_colors(colors, profile) if profile else None
    changed = converted is not None and converted is not colors
    if converted is not None:
        colors, profile = converted, None
    if colors.mode == "CMYK":
        colors, profile = colors.convert("RGB"), None
    if alpha is not None and alpha.getextrema() != (255, 255):
        colors.putalpha(alpha)
    colors.info = {"icc_profile": profile} if profile else {}
    return colors, changed


def _convert_colors(colors: "Image", profile: bytes) -> "Image | None":
    """Return the image in sRGB; the same object if it is already, None if the profile cannot be applied."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if colors.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return colors
        return ImageCms.profileToProfile(colors, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return None


def _other_kind(content: bytes) -> str | None:
    """Return the format of a file that is not PNG, JPEG or WebP, from its first bytes; None if unknown."""
    if not content:
        return "an empty file"
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12], "a video")
    return next((kind for start, kind in OTHER_KINDS if content.startswith(start)), None)


def encode(image: "Image", kind: str, **options: object) -> bytes:
    """Return the image as a file. kind, options: Pillow's name of the format, and its options for that format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@frozen
class Thumbnail:
    """A small copy of an image, in RGB or RGBA. width, height: in pixels, of the original."""

    image: "Image"
    width: int
    height: int


def thumbnail(path: Path, side: int) -> Thumbnail:
    """Return a copy that fits in a square of `side` pixels. Raise UsageError if the file is not a complete image."""
    from PIL.Image import Resampling

    image = load_image(read_image_file(path), file_name(path.name)).image
    width, height = image.size
    if image.mode in ("P", "1") or image.mode.startswith("I;16"):  # these modes scale badly
        image, _ = to_srgb(image)
    image.thumbnail((side, side), Resampling.LANCZOS)
    image, _ = to_srgb(image)
    return Thumbnail(image, width, height)
