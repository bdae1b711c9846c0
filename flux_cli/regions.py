"""The region that `inpaint` paints: from a mask, a box, a colour or transparency, checked before any money is spent."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DiskError, UsageError
from .files import write_atomic
from .images import InputImage
from .inputs import Input, add_local, checked_address, read_picture, read_stdin
from .options import MaskOptions
from .output import shown
from .session import Session

if TYPE_CHECKING:
    from PIL.Image import Image

COLOR_TOLERANCE = 24
"""Steps of a colour channel that still count as the colour: enough for a JPEG's noise."""


@dataclass(frozen=True, slots=True)
class Region:
    """References for a request: the mask, and the picture with a hole where it is white (when both are local)."""

    mask: str
    cut_out: str | None


def find_region(session: Session, source: Input, options: MaskOptions) -> Region | None:
    """The region that the options tell; None when it was only to be shown, and has been.

    Raises UsageError, DiskError.
    """
    ways = {"--mask": options.mask, "--mask-box": options.box, "--mask-color": options.color}
    given = [name for name, value in ways.items() if value is not None] + ["--mask-alpha"] * options.alpha
    if len(given) != 1:
        which = f"give only one of {', '.join(given)}" if given else "where to paint is not told"
        raise UsageError(which, hint="one of --mask, --mask-box, --mask-color, --mask-alpha")
    if options.mask and options.mask.startswith(("http://", "https://")):
        return Region(checked_address(options.mask), None)
    if source.image is None:
        return _for_an_address(session, source, options)
    return _drawn(session, source, source.image, options)


def _for_an_address(session: Session, source: Input, options: MaskOptions) -> Region:
    """A mask for a picture of which only the address is known."""
    if options.mask is None:
        raise UsageError("a box, a colour or transparency needs a local picture", hint="download it, or give a --mask")
    session.output.warn("the mask's size cannot be checked: the picture is an address")
    mask = _opened(_mask_content(session, options.mask), options.mask)
    return Region(_added(session, mask), None)


def _drawn(session: Session, source: Input, image: InputImage, options: MaskOptions) -> Region | None:
    from . import masks

    picture = _opened(image.content, source.name)
    size = (image.width, image.height)
    if options.mask is not None:
        mask = _given_mask(session, source, size, options.mask)
    elif options.box is not None:
        mask = masks.from_box(masks.parse_box(options.box, *size), size)
    elif options.color is not None:
        mask = masks.from_color(picture, options.color, COLOR_TOLERANCE)
    else:
        mask = masks.from_alpha(picture)
    mask = masks.finished(mask, feather=options.feather, invert=options.invert)
    if remark := masks.remark(mask):
        session.output.warn(remark)
    if options.show_mask is not None:
        _show(session, masks.overlay(picture, mask), options.show_mask)
        return None
    # The picture with a hole is what the live service reads; the specification's own words do without it.
    hole = None if session.settings.text("dialect") == "sop" else masks.cut_out(picture, mask)
    return Region(_added(session, mask), None if hole is None else _png(session, hole, size))


def _given_mask(session: Session, source: Input, size: tuple[int, int], text: str) -> "Image":
    """The mask in a file; one that fits the picture as it was is scaled along with it."""
    from . import masks

    content = _mask_content(session, text)
    mask, original = _opened(content, text), _opened(source.original, source.name)
    if mask.size == original.size != size:
        return masks.from_picture(content, original.size, text).resize(size)
    return masks.from_picture(content, size, text)


def _mask_content(session: Session, text: str) -> bytes:
    return read_stdin(session) if text == "-" else read_picture(Path(text).expanduser())


def _opened(content: bytes, name: str) -> "Image":
    from .decoding import opened, upright

    return upright(opened(content, name).image)


def _added(session: Session, mask: "Image") -> str:
    from . import masks

    return _png(session, masks.to_png(mask.convert("L")), mask.size)


def _png(session: Session, content: bytes, size: tuple[int, int]) -> str:
    return add_local(session, InputImage(content, "png", *size, hashlib.sha256(content).hexdigest(), ()))


def _show(session: Session, overlay: "Image", path: Path) -> None:
    import io

    buffer = io.BytesIO()
    overlay.save(buffer, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise DiskError(f"cannot write {shown(path)}: {error.strerror}") from error
    session.output.result(shown(path))
    session.output.note("the tinted region would be painted; nothing was sent")
