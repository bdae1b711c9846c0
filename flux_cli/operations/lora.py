"""Text to image and image to image with LoRAs: `flux lora`."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Self

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from ..text import clean, with_guess
from .base import BuildContext, Parameters, Sized, Writer, is_request_url, present, range_problems
from .limits import Limits
from .options import Given, InputOptions, NewPrompt, SizeOptions, TaskOptions
from .parameters import Option

LoRAOption = Annotated[
    list[str] | None, Option("--lora", metavar="NAME[:STRENGTH]", help="LoRA, by name or URL; repeatable.")
]


@frozen
class LoRA:
    """A LoRA: a name that PiAPI has, or the URL of a file. `strength` is 0 to 1."""

    name: str
    strength: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the LoRA of `NAME`, `NAME:STRENGTH`, or a URL with or without `:STRENGTH`. Raise UsageError."""
        if re.match(r"https?://", text, re.IGNORECASE):
            url, strength = split_strength(text, f"--lora {clean(text, 80)}")
            if not is_request_url(url):
                raise UsageError(f"--lora {clean(url, 80)} is not a valid URL for a request")
            return cls(url, strength)
        name, colon, strength_text = text.partition(":")
        if not name.strip() or re.search(r"\s", name) or not name.isprintable():
            raise UsageError(f"--lora {clean(text, 60)!r} is not NAME, NAME:STRENGTH or a URL")
        return cls(name, parse_strength(strength_text, f"--lora {clean(text, 80)}") if colon else None)

    @property
    def is_url(self) -> bool:
        """Whether `name` is the URL of a file."""
        return self.name.startswith(("http://", "https://"))

    def write(self, writer: Writer) -> JsonObject:
        """Return an item of `lora_settings`."""
        sop: JsonObject = {"path": self.name, "scale": self.strength}
        live: JsonObject = {"lora_type": self.name, "lora_strength": self.strength}
        return present(sop) if self.is_url else writer.pair(sop, live)


def parse_loras(texts: Sequence[str] | None, context: BuildContext) -> tuple[LoRA, ...]:
    """Return the LoRAs of `--lora`, with a note about each name that PiAPI is not known to have. Raise UsageError."""
    found = tuple(LoRA.parse(text) for text in texts or [])
    for lora in found:
        if not lora.is_url:
            note_unknown("LoRA", lora.name, context.loras, context)
    return found


def lora_problems(loras: Sequence[LoRA], limits: Limits) -> Iterator[str]:
    """Yield the strengths that are out of range."""
    for lora in loras:
        yield from range_problems(f"the strength of --lora {lora.name}", lora.strength, *limits.strength)


def url_problems(loras: Sequence[LoRA], dialect: str) -> Iterator[str]:
    """Yield the LoRAs that have no name, which the live API requires."""
    for lora in loras:
        if dialect == "live" and lora.is_url:
            yield f"--lora {lora.name}: the live API accepts names only, not URLs"


def split_strength(text: str, what: str) -> tuple[str, float | None]:
    """Return a path or URL without the strength at its end, and the strength: only a number is one."""
    path, colon, tail = text.rpartition(":")
    if not colon or not path or not re.fullmatch(r"[-+]?[0-9.]+(e-?[0-9]+)?|nan|inf", tail, re.IGNORECASE):
        return text, None
    return path, parse_strength(tail, what)


def parse_strength(text: str, what: str) -> float:
    """Return the number; its range is checked with the rest of the request. Raise UsageError."""
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"the strength of {what} is not a number: {clean(text, 40)!r}", hint="such as anime:0.8, from 0 to 1"
        ) from None


def note_unknown(what: str, name: str, known: Collection[str], context: BuildContext) -> None:
    """Note that a name is unknown; it is sent anyway, since PiAPI may have more names than flux knows."""
    if name not in known:
        context.note(with_guess(f"unknown {what} {clean(name, 60)!r}; it is sent unchanged", name, known))


@frozen
class LoRAParameters(Parameters):
    """Parameters of `flux lora`."""

    title = "LoRA and control"
    name = "lora"
    groups = (TaskOptions, SizeOptions, InputOptions)

    prompt: NewPrompt = None
    loras: LoRAOption = None
    image: Annotated[
        str | None, Option("--image", metavar="IMG", help="Restyle this image instead of generating a new one.")
    ] = None

    @property
    def takes_size(self) -> bool:
        """Whether there is no input image, whose size would be kept."""
        return self.image is None

    def build(self, given: Given, context: BuildContext) -> "LoRAGeneration":
        """Return the operation."""
        if self.image is None:
            return LoRAGeneration(loras=parse_loras(self.loras, context))
        source = context.images.find(self.image, fit=not given.inputs.no_fit)
        if given.size != SizeOptions():
            raise UsageError("a restyled image keeps its size", hint="Omit --size and similar options")
        return LoRAGeneration(loras=parse_loras(self.loras, context), image=source.reference)


@frozen(kw_only=True)
class LoRAGeneration(Sized):
    """Generate an image with LoRAs, from a text prompt or from an image, whose size is then kept."""

    name = "lora"
    loras: tuple[LoRA, ...]
    image: str | None = None

    @property
    def task_type(self) -> str:
        """`txt2img-lora` or `img2img-lora`."""
        return "img2img-lora" if self.image else "txt2img-lora"

    @property
    def images(self) -> tuple[str, ...]:
        """The input image, if there is one."""
        return (self.image,) if self.image else ()

    def write(self, writer: Writer) -> JsonObject:
        """Return the image or the size, and the LoRAs."""
        base = {"image": writer.image(self.image)} if self.image else self.size_fields
        return {**base, "lora_settings": [lora.write(writer) for lora in self.loras]}

    def problems(self, limits: Limits) -> Iterator[str]:
        """Yield the problems of a sized operation, and those of the LoRAs."""
        yield from Sized.problems(self, limits)
        if not self.loras:
            yield "no --lora is given"
        yield from lora_problems(self.loras, limits)

    def dialect_problems(self, dialect: str) -> Iterator[str]:
        """Yield the LoRAs that the dialect cannot name."""
        yield from url_problems(self.loras, dialect)
