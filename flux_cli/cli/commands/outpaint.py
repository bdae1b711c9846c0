"""`flux outpaint`: an image, extended beyond its edges."""

from ...errors import ExitCode
from ...operations.options import SharedOptions
from ...operations.outpaint import OutpaintParameters
from ..options import RunOptions
from ..registry import help_page
from ..session import Session


@help_page(
    ("Extend both sides", "flux outpaint photo.jpg --left 25% --right 25%"),
    ("Add sky at the top", 'flux outpaint photo.jpg "a clear sky" --top 300'),
    hides=("batch_size", "commercial", "model", "denoise"),
)
def outpaint(session: Session, own: OutpaintParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Extend an image beyond its edges."""
    from ..generate import generate

    return generate(session, own, shared, run)
