"""The region that `inpaint` paints: from a mask, a box, a colour or transparency, checked before any money is spent."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DiskError, ExitCode, UsageError
from ...frozen import frozen
from ...images.load import InputImage
from ...operations.options import MaskOptions
from ...system.atomic_files import write_atomic
from ..context import Session
from ..output.output import Mode, shown
from .inputs import Input, checked_address, local_path, read_picture, read_stdin

if TYPE_CHECKING:
    from PIL.Image import Image

COLOR_TOLERANCE = 24
"""Steps of a colour channel that still count as the colour: enough for a JPEG's noise."""


@frozen
class Region:
    """References for a request: the mask, and the picture with a hole where it is white (when both are local)."""

    mask: str
    cut_out: str | None


def find_region(session: Session, source: Input, options: MaskOptions) -> Region:
    """The region that the options tell. Raises UsageError."""
    from ...images import masks

    _check_ways(options)
    if options.mask and options.mask.startswith(("http://", "https://")):
        return _of_an_address(session, options, options.mask)
    if source.image is None:
        return _for_an_address(session, source, options)
    picture, mask = _drawn(session, source, source.image, options)
    # The picture with a hole is what the live service reads; the specification's own words do without it.
    hole = None if session.settings.text("dialect") == "sop" else masks.cut_out(picture, mask)
    return Region(_added(session, mask), None if hole is None else _png(session, hole, picture.size))


def show_region(session: Session, source: Input, options: MaskOptions, *, overwrite: bool) -> ExitCode:
    """Write a picture of the region, `--show-mask`. Raises UsageError, DiskError."""
    from ...images import masks

    _check_ways(options)
    path = options.show_mask
    assert path is not None
    if path.exists() and not overwrite:
        raise DiskError(f"{shown(path)} exists; nothing was sent", hint="replace it with --overwrite")
    if source.image is None or (options.mask or "").startswith(("http://", "https://")):
        raise UsageError("--show-mask needs a local picture and a local mask", hint="download it first")
    _show(session, masks.overlay(*_drawn(session, source, source.image, options)), path)
    return ExitCode.OK


def _check_ways(options: MaskOptions) -> None:
    ways = {"--mask": options.mask, "--mask-box": options.box, "--mask-color": options.color}
    given = [name for name, value in ways.items() if value is not None] + ["--mask-alpha"] * options.alpha
    if len(given) != 1:
        which = f"give only one of {', '.join(given)}" if given else "where to paint is not told"
        raise UsageError(which, hint="one of --mask, --mask-box, --mask-color, --mask-alpha")


def _of_an_address(session: Session, options: MaskOptions, mask: str) -> Region:
    """A mask of which only the address is known: it is passed on as it is."""
    if options.invert or options.feather:
        raise UsageError("--invert and --feather need a local mask", hint="download it first")
    _remark_on_addresses(session)
    return Region(checked_address(mask), None)


def _for_an_address(session: Session, source: Input, options: MaskOptions) -> Region:
    """A mask for a picture of which only the address is known."""
    from ...images import masks

    if options.mask is None:
        raise UsageError("a box, a colour or transparency needs a local picture", hint="download it first")
    content = _mask_content(session, options.mask)
    mask = masks.from_picture(content, _opened(content, options.mask).size, options.mask)
    session.output.note("the mask's size cannot be checked: the picture is an address")
    _remark_on_addresses(session)
    return Region(_added(session, masks.finished(mask, feather=options.feather, invert=options.invert)), None)


def _remark_on_addresses(session: Session) -> None:
    if session.settings.text("dialect") == "both":
        session.output.note("the live service may read no mask beside an address; it does with local files")


def _drawn(session: Session, source: Input, image: InputImage, options: MaskOptions) -> tuple["Image", "Image"]:
    """The picture as it is sent, and the finished mask."""
    from ...images import masks

    mask = masks.finished(_region_of(session, source, image, options), feather=options.feather, invert=options.invert)
    if remark := masks.remark(mask):
        session.output.warn(remark)
    return _opened(image.content, source.name), mask


def _region_of(session: Session, source: Input, image: InputImage, options: MaskOptions) -> "Image":
    """The mask as it was told, in the size of the picture that is sent.

    Boxes and mask files mean the picture as the user has it, and are scaled along with it.
    """
    from ...images import masks

    size, original = (image.width, image.height), image.original
    if options.mask is not None:
        content = _mask_content(session, options.mask)
        scaled_along = original != size and _opened(content, options.mask).size == original
        return masks.from_picture(content, original if scaled_along else size, options.mask).resize(size)
    if options.box is not None:
        return masks.from_box(masks.parse_box(options.box, *original), original).resize(size)
    picture = _opened(image.content, source.name)
    if options.color is not None:
        return masks.from_color(picture, options.color, COLOR_TOLERANCE)
    return masks.from_alpha(picture)


def _mask_content(session: Session, text: str) -> bytes:
    return read_stdin(session) if text == "-" else read_picture(local_path(text))


def _opened(content: bytes, name: str) -> "Image":
    from ...images.decode import opened, upright

    return upright(opened(content, name).image)


def _added(session: Session, mask: "Image") -> str:
    from ...images import masks

    return _png(session, masks.to_png(mask.convert("L")), mask.size)


def _png(session: Session, content: bytes, size: tuple[int, int]) -> str:
    return session.images.add(InputImage(content, "png", *size, size, hashlib.sha256(content).hexdigest(), ()))


def _show(session: Session, overlay: "Image", path: Path) -> None:
    import io

    buffer = io.BytesIO()
    overlay.save(buffer, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise DiskError(f"cannot write {shown(path)}: {error.strerror}") from error
    if session.output.mode is Mode.JSON:
        session.output.record("mask", {"files": [str(path)]})
    else:
        session.output.path(shown(path))
    session.output.note("the tinted region would be painted; nothing was sent")
