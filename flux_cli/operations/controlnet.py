"""Text to image that follows the structure of other images: `flux controlnet`."""

from collections.abc import Iterator
from typing import Annotated, Self

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject
from ..text import clean, quoted
from .base import BuildContext, Parameters, Sized, Writer
from .limits import ModelLimits, range_problems
from .lora import AnyName, LoRA, LoRAOption, known_name, lora_problems, parse_loras, split_strength, url_problems
from .options import InputOptions, NewPrompt, SharedOptions, SizeOptions, TaskOptions
from .parameters import Option

EXAMPLE = "for example: --control depth=photo.jpg:0.8"
SPECIFIED_NAMES = {"openpose": "pose", "soft_edge": "soft-edge"}
"""The specification's names of control types whose names in the live API differ."""


@frozen
class Control:
    """An image whose structure is followed. `kind` is `openpose`, `depth`, `canny`, ...; `strength` is 0 to 1."""

    kind: str
    image: str
    strength: float | None = None

    @classmethod
    def parse(cls, text: str, context: BuildContext, *, any_name: bool) -> Self:
        """Return the control of `TYPE=IMG` or `TYPE=IMG:STRENGTH`. Raise UsageError.

        any_name: accept an unknown type.
        """
        kind, equals, image = text.partition("=")
        if not equals or not kind.isprintable() or not kind.strip() or not image:
            raise UsageError(f"invalid --control {quoted(text, 60)}: expected TYPE=IMG or TYPE=IMG:STRENGTH")
        path, strength = split_strength(image, f"--control {clean(text, 80)}", EXAMPLE)
        word = known_name("control type", kind, context.controls, any_name=any_name)
        try:
            reference = context.find(path).reference
        except UsageError as error:
            _, colon, tail = path.rpartition(":")
            if not colon or not tail.isalnum():
                raise
            message = f"{error.message} (and {quoted(tail, 40)} is not a strength from 0 to 1)"
            raise UsageError(message, hint=error.hint, command=error.command) from error
        return cls(context.controls.get(word, word), reference, strength)

    def write(self, writer: Writer, *, keep: bool) -> JsonObject:
        """Return an item of `control_net_settings`. keep: request the preprocessed image too."""
        image, name = writer.image(self.image), SPECIFIED_NAMES.get(self.kind, self.kind)
        return writer.pair(
            {"path": f"controlnet-{name}", "control_image_url": image, "conditioning_scale": self.strength},
            {
                "control_type": self.kind,
                "control_image": image,
                "control_strength": self.strength,
                "return_preprocessed_image": True if keep else None,
            },
        )


@frozen(kw_only=True)
class ControlNet(Sized):
    """Generate an image with the structure of others. keep_control: return the preprocessed control images too."""

    name = "controlnet"
    task_type = "controlnet-lora"
    controls: tuple[Control, ...]
    loras: tuple[LoRA, ...] = ()
    keep_control: bool = False

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(control.image for control in self.controls)

    def write(self, writer: Writer) -> JsonObject:
        """Return the size, the LoRAs and the controls. The live API requires the list of LoRAs even if empty."""
        loras: list[Json] = [lora.write(writer) for lora in self.loras]
        controls: list[Json] = [control.write(writer, keep=self.keep_control) for control in self.controls]
        return {**self.size_fields, "lora_settings": loras, "control_net_settings": controls}

    def problems(self, limits: ModelLimits) -> Iterator[str | UsageError]:
        yield from Sized.problems(self, limits)
        if not self.controls:
            hint = "Pass one, for example --control depth=photo.jpg. List the types: flux models --controls"
            yield UsageError("no control image", hint=hint)
        yield from lora_problems(self.loras, limits)
        for control in self.controls:
            after = f" of --control {control.kind} is out of range"
            yield from range_problems("the strength", control.strength, *limits.strength, after=after)

    def live_problems(self) -> Iterator[str]:
        yield from url_problems(self.loras)


@frozen
class ControlNetParameters(Parameters):
    title = "LoRA and control"
    name = "controlnet"
    purpose = "follows the pose, depth or edges of an image"
    operations = (ControlNet,)
    groups = (TaskOptions, SizeOptions, InputOptions)

    prompt: NewPrompt = None
    controls: Annotated[
        list[str] | None,
        Option(
            "--control",
            short="Follow an image: depth=photo.jpg; repeatable.",
            metavar="TYPE=IMG[:X]",
            help="Follow the pose, depth or edges of an image, for example depth=photo.jpg:0.5; X is the strength, "
            "{strength}. Repeatable.",
        ),
    ] = None
    loras: LoRAOption = None
    keep_control: Annotated[
        bool, Option("--keep-control", help="Also save the preprocessed control images (pose, depth map, edges).")
    ] = False
    any_name: AnyName = False

    def build(self, shared: SharedOptions, context: BuildContext) -> ControlNet:
        controls = [Control.parse(text, context, any_name=self.any_name) for text in self.controls or []]
        loras = parse_loras(self.loras, context.loras, any_name=self.any_name)
        return ControlNet(controls=tuple(controls), loras=loras, keep_control=self.keep_control)
