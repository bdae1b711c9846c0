"""The context in which an invocation builds its operations and requests."""

from ...batch.request_builder import Overrides, RequestBuilder
from ...errors import ExitCode
from ...frozen import frozen
from ...json_value import JsonObject
from ...operations.base import BuildContext, MaskedImage, Parameters
from ...operations.options import Given, MaskOptions
from ..context import Session
from ..output.output import Mode, shown
from .inputs import ImageFinder, Input
from .regions import find_region, preview_path, preview_region, write_preview


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


def request_builder(session: Session, own: Parameters, given: Given, body: JsonObject) -> RequestBuilder:
    """Return the builder of a command's or row's requests. `body` is the content of `--input`. Raise UsageError."""
    catalog, images = session.catalog, RequestImages(session.inputs, session.settings.text("dialect"))
    context = BuildContext(images, catalog.loras, catalog.controls, session.output.note)
    return RequestBuilder(
        catalog,
        session.settings.with_options(given.task.settings()),
        given.task,
        given.size,
        Overrides.parse(given.task.overrides, body),
        own.build(given, context),
    )


def show_mask(session: Session, image: str, given: Given, *, overwrite: bool) -> ExitCode:
    """Write an image that shows the region that `flux inpaint` would change, and send nothing."""
    path = preview_path(given.mask, overwrite=overwrite)
    png = preview_region(session.inputs, session.inputs.find(image, fit=not given.inputs.no_fit), given.mask)
    write_preview(path, png, overwrite=overwrite)
    if session.output.mode is Mode.JSON:
        session.output.record("mask", {"files": [str(path)]})
    else:
        session.output.path(shown(path))
    session.output.note("The tinted region would be changed. Nothing was sent.")
    return ExitCode.OK
