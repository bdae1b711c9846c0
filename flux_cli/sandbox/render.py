"""The picture of a task: each operation done for real, in miniature."""

import io
from collections.abc import Callable

from PIL import Image

from ..frozen import frozen
from ..json_value import Json, JsonObject, number_at, object_at, text_at
from . import editing
from .drawing.poster import draw
from .rules import lists, side

Load = Callable[[str], Image.Image]
"""Fetches the picture at an address."""


@frozen
class Renderer:
    """Renders one picture of a task. `body` is the create request, `number` the picture's number from 1."""

    body: JsonObject
    number: int
    load: Load

    @property
    def fields(self) -> JsonObject:
        """The request's input."""
        return object_at(self.body, "input")

    @property
    def seed(self) -> int:
        """Each picture of a task has a seed of its own."""
        return (number_at(self.fields, "seed") or 0) + self.number - 1

    @property
    def model(self) -> str:
        """The model's name without its maker."""
        return text_at(self.body, "model").rpartition("/")[2]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return side(self.fields, "width"), side(self.fields, "height")

    def render(self) -> Image.Image:
        """The picture, RGB."""
        task_type = text_at(self.body, "task_type")
        painted = self._operations().get(task_type, self._text)()
        loras = [_lora(item) for item in lists(self.fields, "lora_settings")]
        return editing.apply_loras(painted, loras) if loras else painted

    def _operations(self) -> dict[str, Callable[[], Image.Image]]:
        return {
            "img2img": self._edited,
            "img2img-lora": self._edited,
            "kontext": self._instructed,
            "controlnet-lora": self._controlled,
            "redux-variation": self._varied,
            "fill-inpaint": self._inpainted,
            "fill-outpaint": self._outpainted,
        }

    @property
    def _prompt(self) -> str:
        return str(self.fields.get("prompt"))

    def _source(self) -> Image.Image:
        return self.load(text_at(self.fields, "image"))

    def _text(self) -> Image.Image:
        width, height = self.size
        return draw(self._prompt, seed=self.seed, width=width, height=height, model=self.model)

    def _edited(self) -> Image.Image:
        denoise = _share(self.fields.get("denoise"), 0.7)
        return editing.image_to_image(self._source(), self._prompt, seed=self.seed, denoise=denoise, model=self.model)

    def _instructed(self) -> Image.Image:
        width, height = self.size
        return editing.kontext(
            self._source(), self._prompt, seed=self.seed, width=width, height=height, model=self.model
        )

    def _controlled(self) -> Image.Image:
        controls = [
            (*_control(item), _share(_strength(item), 1.0)) for item in lists(self.fields, "control_net_settings")
        ]
        pictures = [(kind, self.load(address), strength) for kind, address, strength in controls]
        width, height = self.size
        return editing.control(self._prompt, pictures, seed=self.seed, width=width, height=height, model=self.model)

    def _varied(self) -> Image.Image:
        width, height = self.size
        strength = _share(self.fields.get("variation_strength"), 0.5)
        # The service speaks of how much to vary; the drawing of how much to resemble.
        return editing.redux(
            self._source(),
            self._prompt,
            seed=self.seed,
            strength=1 - strength,
            width=width,
            height=height,
            model=self.model,
        )

    def _inpainted(self) -> Image.Image:
        source, mask = self._source(), text_at(self.fields, "mask")
        region = self.load(mask).convert("L") if mask else Image.eval(source.convert("RGBA").getchannel("A"), _inverse)
        fitted = region if region.size == source.size else region.resize(source.size)
        return editing.inpaint(source, fitted, self._prompt, seed=self.seed, model=self.model)

    def _outpainted(self) -> Image.Image:
        settings = lists(self.fields, "custom_settings")[0]
        left, right, top, bottom = (
            max(0, min(number_at(settings, f"outpaint_{name}") or 0, 4096))
            for name in ("left", "right", "top", "bottom")
        )
        return editing.outpaint(
            self._source(),
            self._prompt,
            seed=self.seed,
            left=left,
            right=right,
            top=top,
            bottom=bottom,
            model=self.model,
        )


def preprocessed(body: JsonObject, load: Load) -> list[Image.Image]:
    """What was read from the control pictures whose setting asks for it."""
    found = []
    for item in lists(object_at(body, "input"), "control_net_settings"):
        if item.get("return_preprocessed_image") is True:
            kind, address = _control(item)
            found.append(editing.preprocess(kind, load(address)))
    return found


def png(image: Image.Image) -> bytes:
    """An image as PNG."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _inverse(value: int) -> int:
    return 255 - value


def _lora(item: JsonObject) -> tuple[str, float]:
    return text_at(item, "lora_type") or text_at(item, "path"), _share(
        item.get("lora_strength", item.get("scale")), 1.0
    )


def _control(item: JsonObject) -> tuple[str, str]:
    kind = text_at(item, "control_type") or text_at(item, "path").removeprefix("controlnet-")
    names = {"pose": "openpose", "soft-edge": "soft_edge"}
    return names.get(kind, kind), text_at(item, "control_image") or text_at(item, "control_image_url")


def _strength(item: JsonObject) -> Json:
    return item.get("control_strength", item.get("conditioning_scale"))


def _share(value: Json, default: float) -> float:
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else default
    )
