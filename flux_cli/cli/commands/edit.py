"""`flux edit`: an image edited with a text prompt."""

from ...errors import ExitCode
from ...operations.image_to_image import ImageToImageParameters
from ...operations.options import SharedOptions
from ..options import RunOptions
from ..registry import help_page
from ..session import Session


@help_page(
    ("Keep more of the image", 'flux edit photo.jpg "as a watercolor" --denoise 0.6'),
    ("Follow an instruction", 'flux edit @last "make the door red" --kontext'),
    ("Pipe an image into the next command", 'flux gen "a house" -o - | flux edit - "at night" -o night.png'),
    notes=(("Image size", "only with --kontext"),),
    defaults=(("size", "the size of the input image"),),
)
def edit(session: Session, own: ImageToImageParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Edit an image with a text prompt.

    Lower values of --denoise keep more of the composition.
    """
    from ..generate import generate

    return generate(session, own, shared, run)
