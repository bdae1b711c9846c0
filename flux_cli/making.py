"""Command lines into requests, one function an operation."""

import re
from collections.abc import Mapping, Sequence

from .compose import Composer, Size, lora_remark, parse_lora, split_strength
from .errors import UsageError
from .inputs import Input, find_input
from .operations import (
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
from .options import InputOptions, MaskOptions, SizeOptions, TaskOptions
from .regions import find_region
from .request import TaskRequest
from .session import Session
from .text import clean


def _composer(
    session: Session, task: TaskOptions, shape: SizeOptions | None = None, natural_size: Size | None = None
) -> Composer:
    return Composer(session.catalog, session.settings.texts, task, shape, natural_size)


def text_to_image(session: Session, prompt: str, task: TaskOptions, shape: SizeOptions) -> TaskRequest:
    """The request of `flux gen`."""
    return _composer(session, task, shape).request(TextToImage, prompt=prompt)


def edited(
    session: Session,
    image: str,
    prompt: str,
    kontext: bool,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
) -> TaskRequest:
    """The request of `flux edit`. A picture that is redrawn keeps its size: only the instruction editor takes one."""
    source = _source(session, image, inputs)
    if kontext:
        composer = _composer(session, task, shape, source.size)
        return composer.request(Kontext, prompt=prompt, image=source.reference)
    if shape != SizeOptions():
        raise UsageError(
            "a picture that is redrawn keeps its size", hint="leave --size and its like out, or add --kontext"
        )
    return _composer(session, task).request(ImageToImage, prompt=prompt, image=source.reference)


def styled(
    session: Session,
    prompt: str,
    loras: Sequence[str] | None,
    image: str | None,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
) -> TaskRequest:
    """The request of `flux lora`."""
    source = _source(session, image, inputs) if image is not None else None
    if source and shape != SizeOptions():
        raise UsageError("a picture that is restyled keeps its size", hint="leave --size and its like out")
    reference = source.reference if source else None
    styles = _loras(session, loras)
    return _composer(session, task, shape).request(Styled, prompt=prompt, loras=styles, image=reference)


def controlled(
    session: Session,
    prompt: str,
    controls: Sequence[str] | None,
    loras: Sequence[str] | None,
    keep_control: bool,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
) -> TaskRequest:
    """The request of `flux controlnet`."""
    found = tuple(_control(session, text, inputs) for text in controls or [])
    styles = _loras(session, loras)
    composer = _composer(session, task, shape)
    return composer.request(Controlled, prompt=prompt, controls=found, loras=styles, keep_control=keep_control)


def varied(
    session: Session,
    image: str,
    prompt: str,
    strength: float | None,
    task: TaskOptions,
    shape: SizeOptions,
    inputs: InputOptions,
) -> TaskRequest:
    """The request of `flux redux`. Without a size the variation has the picture's own."""
    source = _source(session, image, inputs)
    composer = _composer(session, task, shape, source.size)
    return composer.request(Redux, prompt=prompt, image=source.reference, strength=strength)


def inpainted(
    session: Session,
    image: str,
    prompt: str,
    region: MaskOptions,
    task: TaskOptions,
    inputs: InputOptions,
    *,
    overwrite: bool,
) -> TaskRequest | None:
    """The request of `flux inpaint`; None when the region was only to be shown, which may `overwrite` a file."""
    source = _source(session, image, inputs)
    found = find_region(session, source, region, overwrite=overwrite)
    if found is None:
        return None
    fields = {"image": source.reference, "mask": found.mask, "cut_out": found.cut_out}
    return _composer(session, task).request(Inpaint, prompt=prompt, **fields)


def outpainted(
    session: Session, image: str, prompt: str, margins: Mapping[str, str], task: TaskOptions, inputs: InputOptions
) -> TaskRequest:
    """The request of `flux outpaint`."""
    source = _source(session, image, inputs)
    pixels = {side: _margin(side, text, source) for side, text in margins.items()}
    return _composer(session, task).request(Outpaint, prompt=prompt, image=source.reference, **pixels)


def _source(session: Session, image: str, inputs: InputOptions) -> Input:
    return find_input(session, image, fit=not inputs.no_fit)


def _loras(session: Session, texts: Sequence[str] | None) -> tuple[LoRA, ...]:
    found = tuple(parse_lora(text) for text in texts or [])
    for lora in found:
        if remark := lora_remark(lora, session.catalog):
            session.output.note(remark)
    return found


def _control(session: Session, text: str, inputs: InputOptions) -> Control:
    """`TYPE=IMG[:STRENGTH]`. An unknown type is passed on: the service knows more than we do."""
    kind, equals, image = text.partition("=")
    if not equals or not kind.isprintable() or not kind.strip() or not image:
        raise UsageError(f"--control {clean(text, 60)!r} is not TYPE=IMG or TYPE=IMG:STRENGTH")
    path, strength = split_strength(image, f"--control {clean(kind, 40)}")
    word = kind.casefold()
    return Control(session.catalog.controls.get(word, word), _source(session, path, inputs).reference, strength)


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
