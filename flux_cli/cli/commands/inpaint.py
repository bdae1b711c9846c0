"""`flux inpaint`: a region of an image, regenerated."""

from ...batch.input_images import ImageFinder, preview_path, preview_region, write_preview
from ...errors import ExitCode
from ...operations.inpaint import InpaintParameters
from ...operations.options import SharedOptions
from ..options import RunOptions
from ..output.output import Items, Note, Record
from ..registry import help_page
from ..session import Session


@help_page(
    ("Select a region in percent", 'flux inpaint room.jpg "a window" --mask-box 10%,20%,30%,40%'),
    ("Show the region, for free", 'flux inpaint room.jpg "a plant" --mask m.png --show-mask region.png'),
    ("Use a mask, with a soft edge", 'flux inpaint room.jpg "a plant" --mask m.png --feather 8'),
    hides=("batch_size", "commercial", "model"),
)
def inpaint(session: Session, own: InpaintParameters, shared: SharedOptions, run: RunOptions) -> ExitCode | Items:
    """Regenerate a region of an image."""
    from ..generate import generate

    if shared.mask.show_mask is not None:
        return _show_mask(session.inputs, own.image, shared, overwrite=run.save.overwrite)
    return generate(session, own, shared, run)


def _show_mask(inputs: ImageFinder, image: str, shared: SharedOptions, *, overwrite: bool) -> Items:
    """Write an image that shows the region that `flux inpaint` would regenerate. Send nothing."""
    path = preview_path(shared.mask, overwrite=overwrite)
    png = preview_region(inputs, inputs.find(image, fit=not shared.inputs.no_fit), shared.mask)
    write_preview(path, png, overwrite=overwrite)
    yield Record("mask", {"files": [str(path)]}, paths=(path,))
    yield Note("The tinted region would be regenerated. Nothing was sent.")
    return ExitCode.OK
