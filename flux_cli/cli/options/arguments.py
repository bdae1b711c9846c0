"""What is special to a command: its arguments and its own options, one dataclass a command.

The options that commands share are in `options`.
"""

from pathlib import Path
from typing import Annotated

import typer

from ...frozen import frozen

VARIATION, BEYOND = "a variation of this picture", "the picture continued naturally"
_MARGIN = "pixels or N% of the side"

Image = Annotated[
    str, typer.Argument(metavar="IMG", help="A path, an address, - (stdin), @ID or @last.", show_default=False)
]
LoRAs = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="NAME[:STRENGTH]",
        help="A style, by name or address; repeatable.",
    ),
]


def _prompt(what: str, metavar: str = "PROMPT") -> object:
    return typer.Argument(metavar=metavar, help=what, show_default=False)


NewPrompt = Annotated[str | None, _prompt("What to paint, 1 to 1500 characters.")]


@frozen
class GenArguments:
    """Of `flux gen`."""

    prompt: NewPrompt = None


@frozen
class LoraArguments:
    """Of `flux lora`."""

    prompt: NewPrompt = None
    loras: LoRAs = None
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMG", help="Restyle this picture instead of painting a new one.")
    ] = None


@frozen
class ControlnetArguments:
    """Of `flux controlnet`."""

    prompt: NewPrompt = None
    controls: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            metavar="TYPE=IMG[:STRENGTH]",
            help="Follow a picture's structure; repeatable.",
        ),
    ] = None
    loras: LoRAs = None
    keep_control: Annotated[
        bool, typer.Option("--keep-control", help="Save also what the service read from the control pictures.")
    ] = False


@frozen
class EditArguments:
    """Of `flux edit`."""

    image: Image
    prompt: Annotated[str | None, _prompt("What it is to become, 1 to 1500 characters.")] = None
    kontext: Annotated[
        bool, typer.Option("--kontext", help="The instruction editor: 'make the car red'. dev-advanced only.")
    ] = False


@frozen
class ReduxArguments:
    """Of `flux redux`."""

    image: Image
    prompt: Annotated[str | None, _prompt(f"What is to be different. [{VARIATION}]", "[PROMPT]")] = None
    strength: Annotated[float | None, typer.Option("--strength", metavar="X", help="How much to vary, 0 to 1.")] = None


@frozen
class InpaintArguments:
    """Of `flux inpaint`."""

    image: Image
    prompt: Annotated[str | None, _prompt("What is to be there, 1 to 1500 characters.")] = None


@frozen
class OutpaintArguments:
    """Of `flux outpaint`."""

    image: Image
    prompt: Annotated[str | None, _prompt(f"What is beyond. [{BEYOND}]", "[PROMPT]")] = None
    left: Annotated[str, typer.Option("--left", metavar="N|N%", show_default=False, help=f"How far: {_MARGIN}.")] = "0"
    right: Annotated[
        str, typer.Option("--right", metavar="N|N%", show_default=False, help="The same to the right.")
    ] = "0"
    top: Annotated[str, typer.Option("--top", metavar="N|N%", show_default=False, help="The same at the top.")] = "0"
    bottom: Annotated[
        str, typer.Option("--bottom", metavar="N|N%", show_default=False, help="The same at the bottom.")
    ] = "0"


@frozen
class ListenArguments:
    """Of `flux listen`."""

    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 picks a free port.")
    ] = 8518
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    webhook_secret_file: Annotated[
        Path | None,
        typer.Option(
            "--webhook-secret-file",
            metavar="FILE",
            help="File with the secret that every webhook must carry. [env: FLUX_WEBHOOK_SECRET]",
        ),
    ] = None
    forward: Annotated[
        str | None, typer.Option("--forward", metavar="URL", help="Forward each webhook, unchanged, to URL.")
    ] = None
    command: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="CMD",
            help="Run CMD for each saved image, with the image's path as the last argument. No shell is used.",
        ),
    ] = None
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="Exit after N tasks are saved.")] = (
        None
    )

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        return {"webhook_secret_file": None if self.webhook_secret_file is None else str(self.webhook_secret_file)}
