"""What operations and requests are built with, taken from one invocation."""

from ...batch.request_builder import Overrides, RequestBuilder
from ...errors import ExitCode
from ...frozen import frozen
from ...json_value import JsonObject
from ...operations.base import BuildContext, MaskedImage, Parameters
from ...operations.options import Given, MaskOptions
from ..context import Session
from .inputs import Input, find_input
from .regions import find_region, show_region


@frozen
class SessionImages:
    """Finds the images of an invocation's requests: `Images`."""

    session: Session

    def find(self, text: str, *, fit: bool) -> Input:
        """Return an input image. Raises UsageError."""
        return find_input(self.session, text, fit=fit)

    def find_masked(self, text: str, mask: MaskOptions, *, fit: bool) -> MaskedImage:
        """Return an input image and its mask. Raises UsageError."""
        source = self.find(text, fit=fit)
        region = find_region(self.session, source, mask)
        return MaskedImage(source.reference, region.mask, region.cut_out)


def request_builder(session: Session, own: Parameters, given: Given, body: JsonObject) -> RequestBuilder:
    """Return what makes the requests of a command or a row. `body` is the content of `--input`. Raises UsageError."""
    catalog = session.catalog
    context = BuildContext(SessionImages(session), catalog.loras, catalog.controls, session.output.note)
    return RequestBuilder(
        catalog,
        session.settings.with_options(given.task.settings()),
        given.task,
        given.size,
        Overrides.parse(given.task.overrides, body),
        own.build(given, context),
    )


def show_mask(session: Session, image: str, given: Given, *, overwrite: bool) -> ExitCode:
    """Write an image of the region that `flux inpaint` would regenerate, and send nothing."""
    source = find_input(session, image, fit=not given.inputs.no_fit)
    return show_region(session, source, given.mask, overwrite=overwrite)
