"""Opening a picture file of the user's: PNG, JPEG or WebP, whole, still, and with every pixel readable.

Pillow is imported where it is used: most commands have no picture to read, and it is slow to load.
"""

import io
import warnings
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..frozen import frozen
from .formats import BrokenPictureError, whole_picture

if TYPE_CHECKING:
    from PIL.Image import Image

ALLOWED = "the service takes PNG, JPEG and WebP"
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
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
)
BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIF"}
"""What an ISO media file says that it is; the others are films."""


@frozen
class Opened:
    """A picture file that is whole. `content` ends where the picture does, in `cut` files before the file does."""

    content: bytes
    extension: str
    image: "Image"
    cut: bool


def opened(content: bytes, name: str) -> Opened:
    """The picture in `content`, as it is stored: not turned. `name` is how errors call it.

    Raises UsageError, and nothing else, for anything that is not a whole, still PNG, JPEG or WebP.
    """
    picture, extension = _whole(content, name)
    return Opened(picture, extension, _decoded(picture, name), cut=len(picture) < len(content))


def upright(image: "Image") -> "Image":
    """The picture as its EXIF says that it is looked at; the same object when that changes nothing."""
    from PIL.Image import Transpose

    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        with warnings.catch_warnings(action="ignore"):
            way = ways.get(image.getexif().get(0x0112, 1))  # Orientation (EXIF 2.3, section 4.6.4)
    except Exception:  # unreadable notes beside a good picture are no reason to refuse it
        return image
    return image if way is None else image.transpose(way)


def plain(image: "Image") -> tuple["Image", bool]:
    """The picture in mode L, LA, RGB or RGBA without any metadata, and whether its colours were converted to sRGB.

    An alpha channel that hides nothing goes. Only a profile that cannot be converted stays, in `info`.
    """
    alpha = None
    profile: bytes | None = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips, and takes many greys for the transparent one
        colours = image.point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode == "CMYK":
        colours = image.copy()
    else:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        colours = rgba.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    converted = _in_srgb(colours, profile) if profile else None
    changed = converted is not None and converted is not colours
    if converted is not None:
        colours, profile = converted, None
    if colours.mode == "CMYK":
        colours, profile = colours.convert("RGB"), None
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours.putalpha(alpha)
    colours.info = {"icc_profile": profile} if profile else {}
    return colours, changed


def _in_srgb(colours: "Image", profile: bytes) -> "Image | None":
    """The colours in sRGB: the same object when they already are, None when the profile does not tell how."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if colours.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return colours
        return ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return None


def _whole(content: bytes, name: str) -> tuple[bytes, str]:
    """Return the bytes of the image and its extension: phones append a film, or notes of their own, to a JPEG.

    Raise UsageError.
    """
    try:
        picture = whole_picture(content)
    except BrokenPictureError as error:
        other = _other_kind(content)
        raise UsageError(f"{name} is {other}, {ALLOWED}" if other else f"{name}: {error}, {ALLOWED}") from None
    ends = picture.extension != "jpg" or content.rstrip(b"\0").endswith(b"\xff\xd9")  # two images in one, for example
    return content if ends else content[: picture.length], picture.extension


def _other_kind(content: bytes) -> str | None:
    """What a file that is none of the three is, when its beginning tells."""
    if not content:
        return "an empty file"
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12], "a film")
    return next((kind for start, kind in OTHER_KINDS if content.startswith(start)), None)


def _decoded(content: bytes, name: str) -> "Image":
    """Every pixel of the picture, so that damage shows now. Raises UsageError."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=tuple(FORMATS.values()))
            # A phone's JPEG may hold a second picture (MPO), which is no animation.
            animated = image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False)
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UsageError(f"{name} has too many pixels to be opened safely", hint="scale it down first") from None
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise UsageError(f"{name}: the picture is damaged, {ALLOWED}") from error
    if animated:
        raise UsageError(f"{name} is animated, the service takes still pictures", hint="save one frame of it")
    return image
