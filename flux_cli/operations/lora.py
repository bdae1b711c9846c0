"""Text to image and image to image with LoRAs: `flux lora`."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Self

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from ..text import clean, guess, quoted
from .base import BuildContext, Parameters, Sized, Writer, drop_none, is_request_url, refuse_size
from .limits import ModelLimits, range_problems
from .options import InputOptions, NewPrompt, SharedOptions, SizeOptions, TaskOptions
from .parameters import Option

EXAMPLE = "for example: --lora anime:0.8"
AnyName = Annotated[bool, Option("--any-name", help="Do not check the names of LoRAs and control types.")]
LoRAOption = Annotated[
    list[str] | None,
    Option(
        "--lora",
        short="LoRA, for example anime:0.8; repeatable.",
        metavar="NAME[:X]",
        help="LoRA by name or URL, for example anime:0.8; X is the strength, {strength}. Repeatable.",
    ),
]


@frozen
class LoRA:
    """A LoRA: a name of PiAPI's, or the URL of a file. `strength` is 0 to 1."""

    name: str
    strength: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the LoRA of `NAME`, `NAME:STRENGTH`, or a URL with or without `:STRENGTH`. Raise UsageError."""
        if re.match(r"https?://", text, re.IGNORECASE):
            url, strength = split_strength(text, f"--lora {clean(text, 80)}", EXAMPLE)
            if not is_request_url(url):
                raise UsageError(f"invalid --lora: {clean(url, 80)} is not a valid URL")
            return cls(url, strength)
        name, colon, strength_text = text.partition(":")
        if not name.strip() or re.search(r"\s", name) or not name.isprintable():
            raise UsageError(f"invalid --lora {quoted(text, 60)}: expected NAME, NAME:STRENGTH or a URL")
        return cls(name, parse_strength(strength_text, f"--lora {clean(text, 80)}", EXAMPLE) if colon else None)

    @property
    def is_url(self) -> bool:
        """Whether `name` is the URL of a file."""
        return self.name.startswith(("http://", "https://"))

    def write(self, writer: Writer) -> JsonObject:
        """Return an item of `lora_settings`."""
        spec: JsonObject = {"path": self.name, "scale": self.strength}
        live: JsonObject = {"lora_type": self.name, "lora_strength": self.strength}
        return drop_none(spec) if self.is_url else writer.pair(spec, live)


def parse_loras(texts: Sequence[str] | None, known: Collection[str], *, any_name: bool) -> tuple[LoRA, ...]:
    """Return the LoRAs of `--lora`. Raise UsageError, for an unknown name too unless `any_name`."""
    found = [LoRA.parse(text) for text in texts or []]
    return tuple(
        lora if lora.is_url else replace(lora, name=known_name("LoRA", lora.name, known, any_name=any_name))
        for lora in found
    )


def lora_problems(loras: Sequence[LoRA], limits: ModelLimits) -> Iterator[str]:
    """Yield a problem for each strength that is out of range."""
    for lora in loras:
        after = f" of --lora {lora.name} is out of range"
        yield from range_problems("the strength", lora.strength, *limits.strength, after=after)


def url_problems(loras: Sequence[LoRA]) -> Iterator[str]:
    """Yield a problem for each LoRA that is a URL: the live API requires a name."""
    for lora in loras:
        if lora.is_url:
            yield f"--lora {lora.name}: the live API accepts names only, not URLs"


def split_strength(text: str, what: str, example: str) -> tuple[str, float | None]:
    """Return a path or URL without the strength at its end, and the strength, which must be a number.

    what, example: the option, and how it is written, for messages.
    """
    path, colon, tail = text.rpartition(":")
    if not colon or not path or not re.fullmatch(r"[-+]?[0-9.]+(e-?[0-9]+)?|nan|inf", tail, re.IGNORECASE):
        return text, None
    return path, parse_strength(tail, what, example)


def parse_strength(text: str, what: str, example: str) -> float:
    """Return a strength as a number. Its range is checked with the rest of the request. Raise UsageError."""
    try:
        return float(text)
    except ValueError:
        message = f"invalid strength {quoted(text, 40)} in {what}: expected a number from 0 to 1"
        raise UsageError(message, hint=example) from None


def known_name(what: str, name: str, known: Collection[str], *, any_name: bool) -> str:
    """Return a name in PiAPI's spelling. Raise UsageError for an unknown one, unless `any_name`.

    PiAPI may accept names that flux does not list, but most unknown names are mistyped, and the task would be charged.
    """
    if name.casefold() in known:
        return name.casefold()
    if any_name:
        return name
    meant = guess(name.casefold(), known)
    hint = f"{meant} " if meant else ""
    raise UsageError(f"unknown {what} {quoted(name, 60)}", hint=f"{hint}To send it as it is, add: --any-name")


@frozen(kw_only=True)
class LoRAGeneration(Sized):
    """Generate an image with LoRAs, from a text prompt or from an image, whose size is then kept."""

    name = "lora"
    loras: tuple[LoRA, ...]
    image: str | None = None

    @property
    def task_type(self) -> str:
        return "img2img-lora" if self.image else "txt2img-lora"

    def write(self, writer: Writer) -> JsonObject:
        base = {"image": writer.image(self.image)} if self.image else self.size_fields
        return {**base, "lora_settings": [lora.write(writer) for lora in self.loras]}

    def problems(self, limits: ModelLimits) -> Iterator[str | UsageError]:
        yield from Sized.problems(self, limits)
        if not self.loras:
            yield UsageError(
                "no LoRA", hint="Pass one, for example --lora anime:0.8. List the names: flux models --loras"
            )
        yield from lora_problems(self.loras, limits)

    def live_problems(self) -> Iterator[str]:
        yield from url_problems(self.loras)


@frozen
class LoRAParameters(Parameters):
    title = "LoRA and control"
    name = "lora"
    purpose = "adds LoRA styles"
    operations = (LoRAGeneration,)
    groups = (TaskOptions, SizeOptions, InputOptions)

    prompt: NewPrompt = None
    loras: LoRAOption = None
    image: Annotated[
        str | None,
        Option(
            "--image",
            metavar="IMG",
            title="Input image",
            short="Restyle this image.",
            help="Restyle this image instead of generating a new one.",
        ),
    ] = None
    any_name: AnyName = False

    @property
    def takes_size(self) -> bool:
        """Whether the image is generated from the prompt alone. An input image keeps its size."""
        return self.image is None

    def build(self, shared: SharedOptions, context: BuildContext) -> LoRAGeneration:
        loras = parse_loras(self.loras, context.loras, any_name=self.any_name)
        if self.image is None:
            return LoRAGeneration(loras=loras)
        source = context.find(self.image)
        refuse_size(shared.size, "flux lora --image", "Omit it")
        return LoRAGeneration(loras=loras, image=source.reference)
