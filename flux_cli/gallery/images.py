"""The images of a directory or of a batch, and the settings embedded in each.

Embedded settings are untrusted JSON of any type and length: this module turns them into short texts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from ..errors import UsageError
from ..frozen import frozen
from ..images.load import MAX_SOURCE_BYTES
from ..images.metadata import read_provenance
from ..images.png import texts_in
from ..json_value import Json, JsonObject

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SHEET = "flux-sheet"
"""The keyword of a text chunk that marks a contact sheet, so that it is left out of the next one."""
LONGEST_FACT = 4000
FREE = ("prompt", "negative_prompt")
"""Fields of free text. Labels show only the words that differ."""


@frozen
class GalleryImage:
    """An image file. facts: the fields of its request; empty without embedded settings.

    saved: when the file was written, in seconds since the epoch. cost: USD for the whole task. note: the text that
    another tool embedded.
    """

    path: Path
    saved: float
    facts: Mapping[str, str]
    task_id: str = ""
    cost: Decimal | None = None
    note: str = ""

    @property
    def prompt(self) -> str:
        """The prompt; empty if it is unknown."""
        return self.facts.get("prompt", "")


def find_images(paths: Iterable[Path], since: float) -> list[GalleryImage]:
    """Return the images among these files that were written after `since`, oldest first. Raise OSError."""
    files = [path for path in paths if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()]
    saved = {path: path.stat().st_mtime for path in files}
    found = [image for path in files if saved[path] >= since and (image := _read_image(path, saved[path]))]
    return sorted(found, key=lambda image: (image.saved, image.path.name))


def _read_image(path: Path, saved: float) -> GalleryImage | None:
    try:
        with path.open("rb") as file:
            texts = texts_in(file.read(MAX_SOURCE_BYTES))
    except OSError:
        return GalleryImage(path, saved, {})
    if SHEET in texts:
        return None
    try:
        made = read_provenance(texts)
        facts = dict(_facts(made.request.to_json()))
    except (UsageError, RecursionError):
        return GalleryImage(path, saved, {}, note=texts.get("parameters", "")[:LONGEST_FACT])
    return GalleryImage(path, saved, facts, made.task_id, made.cost)


def _facts(request: JsonObject) -> Iterator[tuple[str, str]]:
    for name, value in request.items():
        if name == "width":
            yield "size", f"{_text(value)}x{_text(request.get('height'))}"
        elif name == "loras" and isinstance(value, list):
            yield name, ", ".join(map(_strength, value))
        elif name not in ("height", "webhook"):
            yield name, _text(value)


def _strength(lora: Json) -> str:
    """Return a LoRA in the form of the option: `anime:0.8`."""
    if not isinstance(lora, dict):
        return _text(lora)
    strength = lora.get("strength")
    return _text(lora.get("name")) + ("" if strength is None else f":{_text(strength)}")


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value[:LONGEST_FACT]
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False)[:LONGEST_FACT]


def total_cost(images: Iterable[GalleryImage]) -> Decimal:
    """Return the total cost of the tasks of these images, in USD. A task with several images counts once."""
    costs = {image.task_id or str(image.path): image.cost for image in images}
    return sum((cost for cost in costs.values() if cost is not None), Decimal(0))
