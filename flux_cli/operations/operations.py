"""What can be asked of the service: the operations, one frozen value each.

Nothing here talks to anything. `problems` tells everything that is wrong with a value, so that the user hears it
all at once and before any money is spent.

A picture in an operation is an address (`https://...`), or `sha256:HEX` for a local one that is uploaded before the
request is sent.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

from ..frozen import frozen
from .limits import Limits

LONGEST_MARGIN = 2048
"""Pixels: no picture of the service is larger (specification: Output Resolution)."""
LOCAL = "sha256:"
"""Begins a reference to a local picture."""


@frozen
class LoRA:
    """A style to apply: a name that the service knows, or the address of a file. strength is 0 to 1."""

    name: str
    strength: float | None = None

    @property
    def is_address(self) -> bool:
        """Whether `name` is the address of a LoRA file."""
        return self.name.startswith(("http://", "https://"))


@frozen
class Control:
    """A picture whose structure is followed. kind is `openpose`, `depth`, `canny`, ...; strength is 0 to 1."""

    kind: str
    image: str
    strength: float | None = None


@frozen(kw_only=True)
class Operation:
    """What all operations have. None means: leave it to the service."""

    name: ClassVar[str]

    prompt: str
    negative_prompt: str | None = None
    guidance: float | None = None
    denoise: float | None = None
    steps: int | None = None
    batch_size: int = 1

    @property
    def task_type(self) -> str:
        """The service's word for the operation."""
        raise NotImplementedError

    def problems(self, limits: Limits) -> Iterator[str]:
        """Everything about this operation that the service, or common sense, would refuse."""
        yield from text_problems("prompt", self.prompt, limits.prompt_characters)
        if self.negative_prompt is not None:
            yield from text_problems("negative prompt", self.negative_prompt, limits.prompt_characters)
        yield from range_problems("guidance", self.guidance, *limits.guidance)
        yield from range_problems("denoise", self.denoise, *limits.denoise, above=True)
        yield from range_problems("steps", self.steps, 1, limits.steps)
        yield from batch_problems(self.batch_size, limits.batch_size)


@frozen(kw_only=True)
class Sized(Operation):
    """An operation that makes a picture of a given size, in pixels."""

    width: int = 1024
    height: int = 1024

    def problems(self, limits: Limits) -> Iterator[str]:
        """As `Operation.problems`, and the size."""
        yield from Operation.problems(self, limits)
        yield from size_problems(self.width, self.height, limits.pixels)


@frozen(kw_only=True)
class TextToImage(Sized):
    """A picture from words."""

    name: ClassVar[str] = "gen"

    @property
    def task_type(self) -> str:
        """`txt2img`."""
        return "txt2img"


@frozen(kw_only=True)
class ImageToImage(Operation):
    """A picture redrawn after words; it keeps its size."""

    name: ClassVar[str] = "edit"
    image: str

    @property
    def task_type(self) -> str:
        """`img2img`."""
        return "img2img"


@frozen(kw_only=True)
class Kontext(Sized):
    """A picture changed as an instruction says."""

    name: ClassVar[str] = "kontext"
    image: str

    @property
    def task_type(self) -> str:
        """`kontext`."""
        return "kontext"


@frozen(kw_only=True)
class Styled(Sized):
    """A picture in one or more styles, from words or from a picture, which then gives the size."""

    name: ClassVar[str] = "lora"
    loras: tuple[LoRA, ...]
    image: str | None = None

    @property
    def task_type(self) -> str:
        """`txt2img-lora` or `img2img-lora`."""
        return "img2img-lora" if self.image else "txt2img-lora"

    def problems(self, limits: Limits) -> Iterator[str]:
        """As `Sized.problems`, and the styles."""
        yield from Sized.problems(self, limits)
        if not self.loras:
            yield "no --lora is given"
        yield from lora_problems(self.loras)


@frozen(kw_only=True)
class Controlled(Sized):
    """A picture that follows the structure of others. keep_control: also return what was read from them."""

    name: ClassVar[str] = "controlnet"
    controls: tuple[Control, ...]
    loras: tuple[LoRA, ...] = ()
    keep_control: bool = False

    @property
    def task_type(self) -> str:
        """`controlnet-lora`, with or without a LoRA."""
        return "controlnet-lora"

    def problems(self, limits: Limits) -> Iterator[str]:
        """As `Sized.problems`, and the controls."""
        yield from Sized.problems(self, limits)
        if not self.controls:
            yield "no --control is given"
        yield from lora_problems(self.loras)
        for control in self.controls:
            yield from range_problems(f"the strength of --control {control.kind}", control.strength, 0, 1)


@frozen(kw_only=True)
class Redux(Sized):
    """A variation of a picture. strength is 0 to 1."""

    name: ClassVar[str] = "redux"
    image: str
    strength: float | None = None

    @property
    def task_type(self) -> str:
        """`redux-variation`."""
        return "redux-variation"

    def problems(self, limits: Limits) -> Iterator[str]:
        """As `Sized.problems`, and the strength."""
        yield from Sized.problems(self, limits)
        yield from range_problems("strength", self.strength, 0, 1)


@frozen(kw_only=True)
class Inpaint(Operation):
    """A region of a picture painted anew. mask is white where; cut_out is the picture with a hole there, which the
    live service reads instead of a mask."""

    name: ClassVar[str] = "inpaint"
    image: str
    mask: str
    cut_out: str | None = None

    @property
    def task_type(self) -> str:
        """`fill-inpaint`."""
        return "fill-inpaint"


@frozen(kw_only=True)
class Outpaint(Operation):
    """A picture continued beyond its edges, by so many pixels."""

    name: ClassVar[str] = "outpaint"
    image: str
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    @property
    def task_type(self) -> str:
        """`fill-outpaint`."""
        return "fill-outpaint"

    def problems(self, limits: Limits) -> Iterator[str]:
        """As `Operation.problems`, and the margins."""
        yield from Operation.problems(self, limits)
        margins = (self.left, self.right, self.top, self.bottom)
        if max(margins) > LONGEST_MARGIN:
            yield f"a margin of {max(margins)} pixels is too wide: up to {LONGEST_MARGIN}"
        elif min(margins) < 0:
            yield f"a margin of {min(margins)} pixels is negative"
        elif not any(margins):
            yield "no margin is given: --left, --right, --top, --bottom"


KINDS = (TextToImage, ImageToImage, Kontext, Styled, Controlled, Redux, Inpaint, Outpaint)
OPERATIONS: dict[str, type[Operation]] = {kind.name: kind for kind in KINDS}


def text_problems(what: str, text: str, limit: int) -> Iterator[str]:
    """1 to `limit` characters, not blank, encodable as UTF-8, no NUL (specification: code 1100)."""
    if not text.strip():
        yield f"the {what} is empty"
    if len(text) > limit:
        yield f"the {what} has {len(text)} characters, the service takes 1 to {limit}"
    if "\0" in text:
        yield f"the {what} has a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        yield f"the {what} is not valid UTF-8"


def size_problems(width: int, height: int, pixels: int) -> Iterator[str]:
    """Positive, and not more than `pixels` in all (specification: code 1700)."""
    if width < 1 or height < 1:
        yield f"the size {width}x{height} is not positive"
    elif width * height > pixels:
        yield f"the size {width}x{height} has {width * height} pixels, the service takes up to {pixels} (1024x1024)"


def range_problems(what: str, value: float | None, low: float, high: float, *, above: bool = False) -> Iterator[str]:
    """`low` to `high`, both allowed; `above` leaves `low` itself out. None is always fine."""
    if value is None:
        return
    inside = math.isfinite(value) and (low < value if above else low <= value) and value <= high
    if not inside:
        allowed = f"above {low:g} and up to {high:g}" if above else f"{low:g} to {high:g}"
        yield f"{what} {value:g} is out of range: {allowed}"


def batch_problems(batch_size: int, limit: int) -> Iterator[str]:
    """1 to `limit` pictures a task; a limit of 1 means that the model makes one at a time."""
    if 1 <= batch_size <= limit:
        return
    if limit == 1 and batch_size > 1:
        yield f"batch size {batch_size}: this model makes one picture a task, only schnell makes up to 4"
    else:
        yield f"batch size {batch_size} is out of range: 1 to {limit}"


def lora_problems(loras: tuple[LoRA, ...]) -> Iterator[str]:
    """A name or an address, and a strength from 0 to 1."""
    for lora in loras:
        yield from range_problems(f"the strength of --lora {lora.name}", lora.strength, 0, 1)
