"""Command lines into makers of requests, one function an operation."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ...errors import ExitCode, UsageError
from ...frozen import frozen
from ...operations.operations import (
    Control,
    Controlled,
    ImageToImage,
    Inpaint,
    Kontext,
    LoRA,
    Outpaint,
    Redux,
    Styled,
    TextToImage,
)
from ...operations.request import TaskRequest
from ...text import clean
from ..context import Session
from ..options.arguments import (
    BEYOND,
    VARIATION,
    ControlnetArguments,
    EditArguments,
    GenArguments,
    InpaintArguments,
    LoraArguments,
    OutpaintArguments,
    ReduxArguments,
)
from ..options.compose import Composer, Size, Wanted, parse_lora, split_strength, unseen_remark
from ..options.request_options import Given, InputOptions, SizeOptions, TaskOptions
from ..output.output import Mode, shown
from .inputs import Input
from .regions import find_region, preview_path, preview_region, write_preview

Maker = Callable[[Wanted], TaskRequest]
"""Makes the request for one of a command's pictures. What they have in common was settled when it was made."""


def text_to_image(session: Session, own: GenArguments, given: Given) -> Maker:
    """The requests of `flux gen`."""
    compose = _composer(session, given.task, given.shape)
    return lambda wanted: compose(wanted).request(TextToImage, prompt=wanted.prompt)


def edited(session: Session, own: EditArguments, given: Given) -> Maker:
    """The requests of `flux edit`. A picture that is redrawn keeps its size: only the instruction editor takes one."""
    source = _source(session, own.image, given.inputs)
    if own.kontext:
        compose = _composer(session, given.task, given.shape, source.size)
        return lambda wanted: compose(wanted).request(Kontext, prompt=wanted.prompt, image=source.reference)
    if given.shape != SizeOptions():
        hint = "leave --size and its like out, or add --kontext"
        raise UsageError("a picture that is redrawn keeps its size", hint=hint)
    compose = _composer(session, given.task)
    return lambda wanted: compose(wanted).request(ImageToImage, prompt=wanted.prompt, image=source.reference)


def styled(session: Session, own: LoraArguments, given: Given) -> Maker:
    """The requests of `flux lora`."""
    source = _source(session, own.image, given.inputs) if own.image is not None else None
    if source and given.shape != SizeOptions():
        raise UsageError("a picture that is restyled keeps its size", hint="leave --size and its like out")
    common = {"loras": _loras(session, own.loras), "image": source.reference if source else None}
    compose = _composer(session, given.task, given.shape)
    return lambda wanted: compose(wanted).request(Styled, prompt=wanted.prompt, **common)


def controlled(session: Session, own: ControlnetArguments, given: Given) -> Maker:
    """The requests of `flux controlnet`."""
    found = tuple(_control(session, text, given.inputs) for text in own.controls or [])
    common = {"controls": found, "loras": _loras(session, own.loras), "keep_control": own.keep_control}
    compose = _composer(session, given.task, given.shape)
    return lambda wanted: compose(wanted).request(Controlled, prompt=wanted.prompt, **common)


def varied(session: Session, own: ReduxArguments, given: Given) -> Maker:
    """The requests of `flux redux`. Without a size the variation has the picture's own."""
    source = _source(session, own.image, given.inputs)
    common = {"image": source.reference, "strength": own.strength}
    compose = _composer(session, given.task, given.shape, source.size)
    return lambda wanted: compose(wanted).request(Redux, prompt=wanted.prompt, **common)


def inpainted(session: Session, own: InpaintArguments, given: Given) -> Maker:
    """The requests of `flux inpaint`."""
    source = _source(session, own.image, given.inputs)
    found = find_region(session.inputs, source, given.region, session.settings.text("dialect"))
    common = {"image": source.reference, "mask": found.mask, "cut_out": found.cut_out}
    compose = _composer(session, given.task)
    return lambda wanted: compose(wanted).request(Inpaint, prompt=wanted.prompt, **common)


def shown_region(session: Session, image: str, given: Given, *, overwrite: bool) -> ExitCode:
    """Write an image that shows the region that `flux inpaint` would change, and send nothing."""
    path = preview_path(given.region, overwrite=overwrite)
    png = preview_region(session.inputs, _source(session, image, given.inputs), given.region)
    write_preview(path, png, overwrite=overwrite)
    if session.output.mode is Mode.JSON:
        session.output.record("mask", {"files": [str(path)]})
    else:
        session.output.path(shown(path))
    session.output.note("the tinted region would be changed; nothing was sent")
    return ExitCode.OK


def outpainted(session: Session, own: OutpaintArguments, given: Given) -> Maker:
    """The requests of `flux outpaint`."""
    source = _source(session, own.image, given.inputs)
    pixels = {side: _margin(side, getattr(own, side), source) for side in ("left", "right", "top", "bottom")}
    compose = _composer(session, given.task)
    return lambda wanted: compose(wanted).request(Outpaint, prompt=wanted.prompt, image=source.reference, **pixels)


@frozen
class Kind:
    """A command that makes pictures.

    arguments: its own arguments and options, a dataclass.
    groups: the fields of `Given` that it takes.
    make: the maker of its requests. Raises UsageError.
    prompt: what stands for a prompt when none is given; None when one is needed.
    sized: whether its picture can be given a size, with these arguments.
    """

    arguments: type[Any]
    groups: tuple[str, ...]
    make: Callable[[Session, Any, Given], Maker]
    prompt: str | None = None
    sized: Callable[[Any], bool] = lambda own: True


KINDS: dict[str, Kind] = {
    "gen": Kind(GenArguments, ("task", "shape"), text_to_image),
    "lora": Kind(LoraArguments, ("task", "shape", "inputs"), styled, sized=lambda own: own.image is None),
    "controlnet": Kind(ControlnetArguments, ("task", "shape", "inputs"), controlled),
    "edit": Kind(EditArguments, ("task", "shape", "inputs"), edited, sized=lambda own: own.kontext),
    "inpaint": Kind(InpaintArguments, ("task", "inputs", "region"), inpainted),
    "outpaint": Kind(OutpaintArguments, ("task", "inputs"), outpainted, prompt=BEYOND),
    "redux": Kind(ReduxArguments, ("task", "shape", "inputs"), varied, prompt=VARIATION),
}


def _composer(
    session: Session, task: TaskOptions, shape: SizeOptions | None = None, natural_size: Size | None = None
) -> Callable[[Wanted], Composer]:
    catalog, settings = session.catalog, session.settings.with_options(task.settings())
    return lambda wanted: Composer(catalog, settings, task, wanted.choices, shape, natural_size)


def _source(session: Session, image: str, inputs: InputOptions) -> Input:
    return session.inputs.find(image, fit=not inputs.no_fit)


def _loras(session: Session, texts: Sequence[str] | None) -> tuple[LoRA, ...]:
    found = tuple(parse_lora(text) for text in texts or [])
    for lora in found:
        if not lora.is_address:
            _remark(session, "LoRA", lora.name, session.catalog.loras)
    return found


def _control(session: Session, text: str, inputs: InputOptions) -> Control:
    """`TYPE=IMG[:STRENGTH]`. An unknown type is passed on: the service knows more than we do."""
    kind, equals, image = text.partition("=")
    if not equals or not kind.isprintable() or not kind.strip() or not image:
        raise UsageError(f"--control {clean(text, 60)!r} is not TYPE=IMG or TYPE=IMG:STRENGTH")
    path, strength = split_strength(image, f"--control {clean(kind, 40)}")
    word, known = kind.casefold(), session.catalog.controls
    _remark(session, "control type", word, known)
    return Control(known.get(word, word), _source(session, path, inputs).reference, strength)


def _remark(session: Session, what: str, name: str, seen: Collection[str]) -> None:
    if remark := unseen_remark(what, name, seen):
        session.output.note(remark)


def _margin(side: str, text: str, source: Input) -> int:
    """Pixels of the picture that is sent. Those that were asked for are pixels of the picture as the user has it."""
    match = re.fullmatch(r"([0-9]{1,5})(\.[0-9]{1,3})?(%?)", text.strip(), re.ASCII)
    if not match or (match[2] and not match[3]):
        raise UsageError(f"--{side} {clean(text, 40)!r} is not a number of pixels or a percentage, such as 256 or 25%")
    number, axis = float(match[1] + (match[2] or "")), side in ("top", "bottom")
    if match[3] and source.size is None:
        raise UsageError(f"--{side} {text}: a percentage needs a local picture", hint="give the margin in pixels")
    if source.size is None or source.original_size is None:
        return int(number)
    sent, original = source.size[axis], source.original_size[axis]
    return round(number / 100 * sent) if match[3] else round(number * sent / original)
