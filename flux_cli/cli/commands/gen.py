"""`flux gen`: an image from a text prompt."""

from ...errors import ExitCode
from ...operations.options import SharedOptions
from ...operations.text_to_image import TextToImageParameters
from ..options import RunOptions
from ..registry import help_page
from ..session import Session


@help_page(
    ("Try it: free, offline, no key", 'flux gen "a red fox in the snow" --sandbox'),
    ("Generate four images in one task, 16:9", "flux gen \"a red fox\" -m schnell -b 4 --aspect 16:9 -o 'fox-{n}.png'"),
    ("Generate one image per line, for at most $5", "flux gen --from prompts.txt --max-cost 5"),
    (
        "Generate 2 colors x 2 styles x 4 seeds = 16 images",
        'flux gen "a {red|blue} car, {style}" \\\n  --vary style=woodcut,watercolor --seed 1..4',
    ),
    hides=("denoise",),
)
def gen(session: Session, own: TextToImageParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Generate an image from a text prompt."""
    from ..generate import generate

    return generate(session, own, shared, run)
