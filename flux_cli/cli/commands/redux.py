"""`flux redux`: a variation of an image."""

from ...errors import ExitCode
from ...operations.options import SharedOptions
from ...operations.redux import ReduxParameters
from ..options import RunOptions
from ..registry import help_page
from ..session import Session


@help_page(
    ("Add a prompt", 'flux redux portrait.png "in evening light" --strength 0.7'),
    ("Generate four variations", "flux redux portrait.png --seed 1..4"),
    defaults=(("size", "the size of the input image"),),
    hides=("batch_size", "commercial", "model", "denoise"),
)
def redux(session: Session, own: ReduxParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Generate a variation of an image."""
    from ..generate import generate

    return generate(session, own, shared, run)
