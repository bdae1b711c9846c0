"""The options and arguments that operations share. They mean the same in every command."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Self

from ..frozen import frozen
from .limits import DEFAULT_SIZE, MAX_FEATHER
from .parameters import Argument, G, Group, Option

BY_PIAPI = "chosen by PiAPI"
"""The default, in help, of an option that is sent only if it is given."""
ImageArgument = Annotated[str, Argument("IMG", help="Input image: a path, a URL, - (stdin), @ID or @last.")]
NewPrompt = Annotated[str | None, Argument("PROMPT", help="Text prompt, {prompt_characters} characters.")]


@frozen
class TaskOptions(Group):
    """Options for the generation of the image."""

    title = "Generation"
    sets = ("model", "service_mode", "webhook", "webhook_secret_file")

    model: Annotated[
        str | None,
        Option(
            "-m, --model",
            metavar="MODEL",
            short="Model; see flux models.",
            help="Model: {models}, a full ID, or auto; see flux models.",
        ),
    ] = None
    commercial: Annotated[
        bool, Option("--commercial", help="Use only a model that is licensed for commercial use.")
    ] = False
    negative_prompt: Annotated[
        str | None, Option("--negative, --negative-prompt", metavar="TEXT", help="Content to keep out of the image.")
    ] = None
    guidance: Annotated[
        str | None,
        Option(
            "--guidance",
            metavar="X",
            help="Guidance scale, {guidance}: higher follows the prompt more closely.",
            default=BY_PIAPI,
            sweep=float,
        ),
    ] = None
    denoise: Annotated[
        str | None,
        Option(
            "--denoise",
            metavar="X",
            help="Denoising strength, {denoise}: lower keeps more of the input image.",
            short="Denoising strength, {denoise}: lower keeps more.",
            default="0.7",
            sweep=float,
        ),
    ] = None
    steps: Annotated[
        str | None,
        Option(
            "--steps",
            metavar="N",
            help="Sampling steps, {steps}.",
            default=BY_PIAPI,
            sweep=int,
        ),
    ] = None
    seed: Annotated[
        str | None,
        Option(
            "--seed",
            metavar="N",
            short="Seed, for reproducible images.",
            help="Seed: the same seed and options reproduce the image. A range (1..4) or a list (1,5) makes one image "
            "per seed.",
            default="random",
            sweep=int,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(
            "-b, --batch-size",
            metavar="N",
            help="Images per task: {batch_size}. Each image is charged.",
            default="1",
        ),
    ] = None
    service_mode: Annotated[
        str | None,
        Option(
            "--service-mode",
            metavar="public|private",
            help="Billing: public (pay-as-you-go) or private (host-your-account).",
            default="the setting of your workspace",
            title="API",
        ),
    ] = None
    webhook: Annotated[
        str | None, Option("--webhook", metavar="URL", title="Waiting", help="URL that PiAPI calls when the task ends.")
    ] = None
    webhook_secret_file: Annotated[
        Path | None,
        Option(
            "--webhook-secret-file",
            metavar="FILE",
            title="Waiting",
            help="File that contains the webhook secret; or set FLUX_WEBHOOK_SECRET.",
        ),
    ] = None
    overrides: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set a field of the request, for example input.steps=30. VALUE is JSON, or text. Repeatable; not "
            "validated.",
            title="API",
        ),
    ] = None
    input_file: Annotated[
        Path | None,
        Option("--input", metavar="FILE", title="API", help="Merge a JSON file into the request; not validated."),
    ] = None


@frozen
class SizeOptions(Group):
    """Options for the size of the image."""

    title = "Image size"

    size: Annotated[
        str | None,
        Option(
            "--size",
            metavar="WxH",
            short="Size in pixels.",
            help="Size in pixels, {pixels} in total.",
            default=f"{DEFAULT_SIZE[0]}x{DEFAULT_SIZE[1]}",
        ),
    ] = None
    aspect: Annotated[
        str | None,
        Option("--aspect", metavar="W:H", help="Aspect ratio, for example 16:9, at the largest size allowed."),
    ] = None
    width: Annotated[int | None, Option("--width", metavar="PX", min=1, help="Width in pixels.")] = None
    height: Annotated[int | None, Option("--height", metavar="PX", min=1, help="Height in pixels.")] = None
    preset: Annotated[
        str | None,
        Option("--preset", metavar="PRESET", help="Preset for size, guidance and denoise: {presets}."),
    ] = None


@frozen
class InputOptions(Group):
    """Options for the treatment of input images."""

    title = "Input image"

    no_fit: Annotated[bool, Option("--no-fit", help="Fail if an image is too large, instead of scaling it down.")] = (
        False
    )


@frozen
class MaskOptions(Group):
    """Options for the region to inpaint: a mask, a box, a color, or the image's own transparency."""

    title = "Mask"

    mask: Annotated[
        str | None,
        Option(
            "--mask",
            metavar="IMG",
            short="Mask of the same size; white areas are regenerated.",
            help="Mask image of the same size; white areas are regenerated.",
        ),
    ] = None
    box: Annotated[
        str | None,
        Option(
            "--mask-box",
            metavar="X,Y,W,H",
            short="A box, in pixels or percent: 10%,20%,300,50%.",
            help="Regenerate a box, in pixels or percent: 10%,20%,300,50%.",
        ),
    ] = None
    color: Annotated[str | None, Option("--mask-color", metavar="COLOR", help="Regenerate areas of this color.")] = None
    alpha: Annotated[bool, Option("--mask-alpha", help="Regenerate transparent areas.")] = False
    feather: Annotated[
        int,
        Option(
            "--feather",
            metavar="PX",
            min=0,
            max=MAX_FEATHER,
            help=f"Soften the edge of the region by PX pixels, 0 to {MAX_FEATHER}.",
        ),
    ] = 0
    invert: Annotated[bool, Option("--invert", help="Regenerate everything outside the region.")] = False
    show_mask: Annotated[
        Path | None,
        Option(
            "--show-mask",
            metavar="FILE",
            short="Write an image of the region; send nothing.",
            help="Write an image that shows the region; send nothing.",
        ),
    ] = None


@frozen
class SharedOptions(Group):
    """The shared options as the user set them. `Parameters.groups` lists those that a command accepts."""

    task: TaskOptions = TaskOptions()
    size: SizeOptions = SizeOptions()
    inputs: InputOptions = InputOptions()
    mask: MaskOptions = MaskOptions()

    def get(self, kind: type[G]) -> G:
        """Return the group of this type."""
        return next(group for group in self._groups().values() if isinstance(group, kind))

    def with_groups(self, *groups: Group) -> Self:
        """Return these options with `groups` in place of the groups of the same types."""
        names = {type(group): name for name, group in self._groups().items()}
        changes: dict[str, Any] = {names[type(group)]: group for group in groups}
        return replace(self, **changes)

    def _groups(self) -> dict[str, Group]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
