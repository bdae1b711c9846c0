"""Commands that make pictures."""

from typing import Annotated

import typer

from ..errors import ExitCode
from ..options import PictureOptions, SaveOptions, SubmitOptions, WaitOptions
from ..session import Session

Prompt = Annotated[
    str, typer.Argument(metavar="PROMPT", help="What to paint, 1 to 1500 characters.", show_default=False)
]


def gen(
    session: Session,
    prompt: Prompt,
    picture: PictureOptions,
    save: SaveOptions,
    wait: WaitOptions,
    submit: SubmitOptions,
) -> ExitCode:
    """Make a picture from words.

    flux gen "a red fox in the snow"

    flux gen "a red fox in the snow" -m schnell -b 4 --aspect 16:9 -o 'fox-{n}.png'
    """
    from ..runs import create_task

    request = picture.text_to_image(prompt, session.catalog, session.settings.texts)
    return create_task(session, request, save, submit)
