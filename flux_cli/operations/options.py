"""The options of a request that operations share, and their arguments: the same meaning in every command."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Self

from ..frozen import frozen
from .parameters import Argument, G, Group, Option

ImageArgument = Annotated[str, Argument("IMG", help="A path, an address, - (stdin), @ID or @last.")]
NewPrompt = Annotated[str | None, Argument("PROMPT", help="What to paint, 1 to 1500 characters.")]


@frozen
class TaskOptions(Group):
    """How the image is generated."""

    title = "Generation"

    model: Annotated[
        str | None,
        Option("-m, --model", metavar="MODEL", help="schnell, dev, pro, dev-advanced, a full id, or auto."),
    ] = None
    commercial: Annotated[bool, Option("--commercial", help="Refuse a model without commercial licence.")] = False
    negative: Annotated[str | None, Option("--negative", metavar="TEXT", help="What to avoid.")] = None
    guidance: Annotated[
        str | None, Option("--guidance", metavar="X", help="How closely to follow the prompt, 1.5 to 5.", sweep=float)
    ] = None
    denoise: Annotated[
        str | None, Option("--denoise", metavar="X", help="How much to change, above 0, up to 1.", sweep=float)
    ] = None
    steps: Annotated[str | None, Option("--steps", metavar="N", help="schnell 1 to 10, others 1 to 40.", sweep=int)] = (
        None
    )
    seed: Annotated[
        str | None,
        Option("--seed", metavar="N", help="Makes the same picture again; 1..4 makes four. [random]", sweep=int),
    ] = None
    batch_size: Annotated[
        int | None, Option("-b, --batch-size", metavar="N", help="Pictures a task, 1 to 4, schnell only. [1]")
    ] = None
    service_mode: Annotated[
        str | None,
        Option("--service-mode", metavar="public|private", help="Pay as you go, or on your own account."),
    ] = None
    webhook: Annotated[str | None, Option("--webhook", metavar="URL", help="PiAPI calls it when the task ends.")] = None
    webhook_secret_file: Annotated[
        Path | None, Option("--webhook-secret-file", metavar="FILE", help="Its secret; or FLUX_WEBHOOK_SECRET.")
    ] = None
    overrides: Annotated[
        list[str] | None,
        Option("--set", metavar="PATH=JSON", help="Set a field of the request: input.steps=30; repeatable."),
    ] = None
    body: Annotated[Path | None, Option("--input", metavar="FILE", help="JSON laid over the request, unchecked.")] = (
        None
    )

    def settings(self) -> dict[str, str | None]:
        """Return the settings that these options give."""
        secret_file = None if self.webhook_secret_file is None else str(self.webhook_secret_file)
        return {
            "model": self.model,
            "service_mode": self.service_mode,
            "webhook": self.webhook,
            "webhook_secret_file": secret_file,
        }


@frozen
class SizeOptions(Group):
    """How large the image is."""

    title = "Image size"

    size: Annotated[str | None, Option("--size", metavar="WxH", help="Pixels; at most 1048576 in all.")] = None
    aspect: Annotated[str | None, Option("--aspect", metavar="W:H", help="The largest size of this shape.")] = None
    width: Annotated[int | None, Option("--width", metavar="PX", help="Width.")] = None
    height: Annotated[int | None, Option("--height", metavar="PX", help="Height.")] = None
    preset: Annotated[
        str | None,
        Option("--preset", metavar="PRESET", help="portrait, landscape, square; with what suits them."),
    ] = None


@frozen
class InputOptions(Group):
    """How input images are treated."""

    title = "Input image"

    no_fit: Annotated[bool, Option("--no-fit", help="Refuse a picture that is too large; do not scale it.")] = False


@frozen
class MaskOptions(Group):
    """The region to inpaint: one of a mask, a box, a color, or the image's own transparency."""

    title = "Mask"

    mask: Annotated[
        str | None, Option("--mask", metavar="IMG", help="Picture of the same size, white where to paint.")
    ] = None
    box: Annotated[
        str | None, Option("--mask-box", metavar="X,Y,W,H", help="A box, in pixels or percent: 10%,20%,300,50%.")
    ] = None
    color: Annotated[str | None, Option("--mask-color", metavar="COLOR", help="Where it has this colour.")] = None
    alpha: Annotated[bool, Option("--mask-alpha", help="Where the picture is transparent.")] = False
    feather: Annotated[
        int, Option("--feather", metavar="PX", show_default=False, help="Soften the edge by so many pixels.")
    ] = 0
    invert: Annotated[bool, Option("--invert", help="Paint everything else.")] = False
    show_mask: Annotated[
        Path | None, Option("--show-mask", metavar="FILE", help="Write a picture of the region; send nothing.")
    ] = None


@frozen
class Given:
    """The shared options of a request; `Parameters.groups` lists those that a command accepts."""

    task: TaskOptions = TaskOptions()
    size: SizeOptions = SizeOptions()
    inputs: InputOptions = InputOptions()
    mask: MaskOptions = MaskOptions()

    def get(self, kind: type[G]) -> G:
        """Return the group of this type."""
        return next(group for group in self._groups().values() if isinstance(group, kind))

    def with_groups(self, *groups: Group) -> Self:
        """Return these options with `groups` in place of those of the same types."""
        names = {type(group): name for name, group in self._groups().items()}
        changes: dict[str, Any] = {names[type(group)]: group for group in groups}
        return replace(self, **changes)

    def _groups(self) -> dict[str, Group]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
