"""The classes that all operations share. Each operation has a module of its own, which contains

- its `Parameters`: what a user passes to its command, and how they become the operation;
- the operation: a frozen value with its checks, and how it is written for PiAPI.

An operation is built once per command, from images that were found and checked. Its prompt, its size and its other
shared fields are filled in for each task: a sweep makes many tasks of one command.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field
from typing import ClassVar
from urllib.parse import urlsplit

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from .limits import DEFAULT_SIZE, ModelLimits, Size, prompt_problems, size_problems, text_problems
from .options import MaskOptions, SharedOptions, SizeOptions
from .parameters import Group, parameters

LOCAL = "sha256:"
"""The prefix of a reference to a local image, which is uploaded before the request is sent.

In an operation, an image is such a reference (`sha256:HEX`) or a URL.
"""


def is_request_url(text: str) -> bool:
    """Return whether `text` is an http(s) URL that a request may contain: printable ASCII without a user name."""
    try:
        parts = urlsplit(text)
        host, name, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    return parts.scheme in ("http", "https") and bool(host) and name is None and plain


# --- what a user passes ----------------------------------------------------------------------------------------------


@frozen
class SourceImage:
    """An input image that was found and checked.

    reference: its URL, or a reference to a local image (see `LOCAL`).
    size: the size of the image as it is sent; None if only its URL is known.
    original_size: the size of the user's own image, to which margins in pixels refer.
    """

    reference: str
    size: Size | None
    original_size: Size | None


@frozen
class MaskedImage:
    """References to an image, to its mask (white where to inpaint), and to the image made transparent there.

    cut_out: None if image and mask are not both local.
    """

    image: str
    mask: str
    cut_out: str | None


@frozen
class BuildContext:
    """The lookups that operations are built with.

    find: returns the image that an argument names: a path, a URL, `-`, `@ID` or `@last`. Raises UsageError.
    find_masked: returns an image and its mask. Raises UsageError.
    loras: the names of PiAPI's known LoRAs, in lower case.
    controls: PiAPI's spelling of a control type, by each accepted spelling in lower case.
    """

    find: Callable[[str], SourceImage]
    find_masked: Callable[[str, MaskOptions], MaskedImage]
    loras: Collection[str]
    controls: Mapping[str, str]


@frozen
class Parameters(Group):
    """The arguments and options that only one command has.

    name: of the command, and the `op` of a row in a batch file. purpose: what it does, for agents, after the name.
    operations: what it can be: the types that `build` returns.
    groups: the shared options that it accepts as well.
    default_prompt: the prompt if none is given; None if one is required.
    """

    name: ClassVar[str]
    purpose: ClassVar[str]
    operations: ClassVar[tuple[type["Operation"], ...]]
    groups: ClassVar[tuple[type[Group], ...]]
    default_prompt: ClassVar[str | None] = None

    @property
    def prompt(self) -> str | None:
        """The text prompt, if one was given."""
        raise NotImplementedError

    @property
    def required_prompt(self) -> str:
        """The text prompt, or else the command's default prompt. Raise UsageError if there is neither."""
        prompt = self.default_prompt if self.prompt is None else self.prompt
        if prompt is None:
            raise UsageError("a prompt is missing")
        return prompt

    @property
    def takes_size(self) -> bool:
        """Whether these parameters allow a size for the image."""
        return SizeOptions in self.groups

    def build(self, shared: SharedOptions, context: BuildContext) -> "Operation":
        """Return the operation, without its prompt and its other shared fields. Raise UsageError."""
        raise NotImplementedError


def refuse_size(size: SizeOptions, command: str, hint: str) -> None:
    """Raise UsageError if a size is given although the result of `command` has the size of its input image."""
    for name, parameter in parameters(SizeOptions).items():
        if getattr(size, parameter.field) is not None:
            message = f"--{name} is not available: the result of {command} has the size of the input image"
            raise UsageError(message, hint=hint)


# --- what is sent ----------------------------------------------------------------------------------------------------


@frozen
class Writer:
    """The form in which operations are written.

    dialect: whose field names are used: those of PiAPI's specification (`spec`), of the live API (`live`), or `both`.
    urls: the URLs of uploaded local images, by reference.
    """

    dialect: str = "both"
    urls: Mapping[str, str] = field(default_factory=dict)

    def image(self, reference: str) -> str:
        """Return the URL of an image."""
        return self.urls.get(reference, reference)

    def pair(self, spec: JsonObject, live: JsonObject) -> JsonObject:
        """Return the fields of the dialect, without those that are None. `spec` and `live` state the same facts."""
        return drop_none({"spec": spec, "live": live}.get(self.dialect, spec | live))


@frozen(kw_only=True)
class Operation:
    """The fields that all operations share. PiAPI chooses a value that is None."""

    name: ClassVar[str]

    prompt: str = ""
    negative_prompt: str | None = None
    guidance: float | None = None
    denoise: float | None = None
    steps: int | None = None
    batch_size: int = 1

    @property
    def task_type(self) -> str:
        """PiAPI's name for the operation."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name of a task for people: the prompt, or the operation in place of its default prompt."""
        return self.prompt

    @property
    def images(self) -> tuple[str, ...]:
        """The input images, as URLs and references. By default: the field `image`."""
        image: str | None = getattr(self, "image", None)
        return () if image is None else (image,)

    def write(self, writer: Writer) -> JsonObject:
        """Return the fields of `input` that are specific to the operation. Those that are None are not sent."""
        raise NotImplementedError

    def problems(self, limits: ModelLimits) -> Iterator[str | UsageError]:
        """Yield every problem of the operation, so that all are reported at once and before any charge.

        The catalog checks the number of images, because it lists the models that generate several.
        """
        yield from text_problems("prompt", self.prompt, limits.prompt_characters)
        yield from prompt_problems(self.prompt)
        if self.negative_prompt is not None:
            yield from text_problems("negative prompt", self.negative_prompt, limits.prompt_characters)
        yield from limits.range_problems("guidance", self.guidance, *limits.guidance)
        yield from limits.range_problems("denoise", self.denoise, *limits.denoise, above=True)
        yield from limits.range_problems("steps", self.steps, 1, limits.steps)

    def live_problems(self) -> Iterator[str]:
        """Yield the parts of the operation that the live API has no field for."""
        yield from ()


@frozen(kw_only=True)
class Sized(Operation):
    """An operation whose image can be given a size, in pixels."""

    width: int = DEFAULT_SIZE[0]
    height: int = DEFAULT_SIZE[1]

    @property
    def size_fields(self) -> JsonObject:
        """The fields of `input` for the size."""
        return {"width": self.width, "height": self.height}

    def problems(self, limits: ModelLimits) -> Iterator[str | UsageError]:
        yield from Operation.problems(self, limits)
        yield from size_problems(self.width, self.height, limits.pixels)


def drop_none(fields: JsonObject) -> JsonObject:
    """Return the fields that are not None: PiAPI expects no others (docs/internals/service.md, section 1)."""
    return {name: value for name, value in fields.items() if value is not None}
