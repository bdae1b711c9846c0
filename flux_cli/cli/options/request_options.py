"""The options that say what a request is to be: written once, meaning the same in every command that makes pictures."""

from pathlib import Path
from typing import Annotated

import typer

from ...frozen import frozen


@frozen
class TaskOptions:
    """How the task is to be done."""

    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="MODEL", help="schnell, dev, pro, dev-advanced, a full id, or auto."),
    ] = None
    commercial: Annotated[bool, typer.Option("--commercial", help="Refuse a model without commercial licence.")] = False
    negative: Annotated[str | None, typer.Option("--negative", metavar="TEXT", help="What to avoid.")] = None
    guidance: Annotated[
        str | None, typer.Option("--guidance", metavar="X", help="How closely to follow the prompt, 1.5 to 5.")
    ] = None
    denoise: Annotated[
        str | None, typer.Option("--denoise", metavar="X", help="How much to change, above 0, up to 1.")
    ] = None
    steps: Annotated[str | None, typer.Option("--steps", metavar="N", help="schnell 1 to 10, others 1 to 40.")] = None
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="N", help="Makes the same picture again; 1..4 makes four. [random]")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("-b", "--batch-size", metavar="N", help="Pictures a task, 1 to 4, schnell only. [1]")
    ] = None
    service_mode: Annotated[
        str | None,
        typer.Option("--service-mode", metavar="public|private", help="Pay as you go, or on your own account."),
    ] = None
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="PiAPI calls it when the task ends.")
    ] = None
    webhook_secret_file: Annotated[
        Path | None,
        typer.Option("--webhook-secret-file", metavar="FILE", help="Its secret; or FLUX_WEBHOOK_SECRET."),
    ] = None
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=JSON", help="Set a field of the request: input.steps=30; repeatable."),
    ] = None
    body: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="JSON laid over the request, unchecked.")
    ] = None

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        secret_file = None if self.webhook_secret_file is None else str(self.webhook_secret_file)
        return {
            "model": self.model,
            "service_mode": self.service_mode,
            "webhook": self.webhook,
            "webhook_secret_file": secret_file,
        }


@frozen
class SizeOptions:
    """How large the picture is to be."""

    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Pixels; at most 1048576 in all.")] = None
    aspect: Annotated[str | None, typer.Option("--aspect", metavar="W:H", help="The largest size of this shape.")] = (
        None
    )
    width: Annotated[int | None, typer.Option("--width", metavar="PX", help="Width.")] = None
    height: Annotated[int | None, typer.Option("--height", metavar="PX", help="Height.")] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="PRESET",
            help="portrait, landscape, square; with what suits them.",
        ),
    ] = None


@frozen
class InputOptions:
    """How pictures that go in are treated."""

    no_fit: Annotated[bool, typer.Option("--no-fit", help="Refuse a picture that is too large; do not scale it.")] = (
        False
    )


@frozen
class MaskOptions:
    """Where to paint: one of a mask, a box, a colour, or the picture's own transparency."""

    mask: Annotated[
        str | None, typer.Option("--mask", metavar="IMG", help="Picture of the same size, white where to paint.")
    ] = None
    box: Annotated[
        str | None, typer.Option("--mask-box", metavar="X,Y,W,H", help="A box, in pixels or percent: 10%,20%,300,50%.")
    ] = None
    color: Annotated[str | None, typer.Option("--mask-color", metavar="COLOR", help="Where it has this colour.")] = None
    alpha: Annotated[bool, typer.Option("--mask-alpha", help="Where the picture is transparent.")] = False
    feather: Annotated[
        int, typer.Option("--feather", metavar="PX", show_default=False, help="Soften the edge by so many pixels.")
    ] = 0
    invert: Annotated[bool, typer.Option("--invert", help="Paint everything else.")] = False
    show_mask: Annotated[
        Path | None, typer.Option("--show-mask", metavar="FILE", help="Write a picture of the region; send nothing.")
    ] = None


@frozen
class Given:
    """The groups of options that a request is made from; which of them a command takes is up to its operation."""

    task: TaskOptions = TaskOptions()
    shape: SizeOptions = SizeOptions()
    inputs: InputOptions = InputOptions()
    region: MaskOptions = MaskOptions()
