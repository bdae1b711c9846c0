"""The images of the sandbox's tasks, which are rendered with Pillow when they are requested."""

import io
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from ..frozen import frozen
from ..images.load import encode
from ..json_value import Json, JsonObject, number_at, object_at, text_at
from ..operations.limits import Size
from .drawing import Color, add_caption, add_mark, draw, lightness, palette, scene
from .rules import count, lists, side
from .store import Store, StoredTask

Load = Callable[[str], Image.Image]
"""A function that returns the image at a URL."""
IMAGES_PATH = "/images"
"""The path below which the images of tasks are served."""
KEPT = 32
"""The number of rendered images in memory, for range requests, repeated downloads and edits of edits."""
THUMBNAIL = (480, 416)
"""The largest thumbnail in pixels: twice its size on the page, for high-resolution screens."""


class Images:
    """The images of the tasks in a store.

    content: returns an image as PNG. thumbnail: returns a small copy as JPEG. Both accept the ID of a task that has the
    image, and the number of the image.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self.content = lru_cache(KEPT)(self._render)
        self.thumbnail = lru_cache(4 * KEPT)(self._render_thumbnail)

    def names(self, task: StoredTask) -> list[str]:
        """Return the names of a task's images: the requested ones, then the preprocessed control images."""
        fields = object_at(task.body, "input")
        extra = sum(item.get("return_preprocessed_image") is True for item in lists(fields, "control_net_settings"))
        return [f"{task.id}/{number}.png" for number in range(1, count(fields) + extra + 1)]

    def has(self, task: StoredTask, number: int) -> bool:
        """Return whether a task currently has an image with this number (from 1)."""
        return task.status(self._clock()) == "completed" and 1 <= number <= len(self.names(task))

    def _render(self, task_id: str, number: int) -> bytes:
        task = self._store.find(task_id)
        assert task is not None
        ordered = count(object_at(task.body, "input"))
        if number > ordered:
            return encode(preprocessed(task.body, self._load)[number - ordered - 1], "PNG")
        return encode(Renderer(task.body, number, self._load).render(), "PNG")

    def _render_thumbnail(self, task_id: str, number: int) -> bytes:
        image = Image.open(io.BytesIO(self.content(task_id, number)))
        return encode(ImageOps.contain(image.convert("RGB"), THUMBNAIL), "JPEG")

    def _load(self, url: str) -> Image.Image:
        """Return an image of the sandbox itself. For any other URL, return a placeholder: nothing is downloaded."""
        path = urlsplit(url).path
        if match := re.fullmatch(rf"{IMAGES_PATH}/([A-Za-z0-9_-]+)/([0-9]{{1,4}})\.png", path, re.ASCII):
            task, number = self._store.find(match[1]), int(match[2])
            if task is not None and self.has(task, number):
                return Image.open(io.BytesIO(self.content(task.id, number)))
        if (match := re.fullmatch(r"/uploads/([0-9a-f]+\.[a-z]+)", path, re.ASCII)) and (
            content := self._store.upload(match[1])
        ):
            return Image.open(io.BytesIO(content))
        return draw(path.rpartition("/")[2] or url, seed=0, width=1024, height=1024, model="not fetched")


@frozen
class Renderer:
    """The rendering of an image of a task. body: the create request. number: of the image, from 1."""

    body: JsonObject
    number: int
    load: Load

    def render(self) -> Image.Image:
        """Return the image, RGB."""
        task_type = text_at(self.body, "task_type")
        if task_type == "fill-inpaint":
            return self._inpainted()
        if task_type == "fill-outpaint":
            return self._outpainted()
        operations = {
            "img2img": self._edited,
            "img2img-lora": self._edited,
            "kontext": self._instructed,
            "controlnet-lora": self._controlled,
            "redux-variation": self._varied,
        }
        image = operations[task_type]() if task_type in operations else self._scene(self._size)
        for item in lists(self._fields, "lora_settings"):
            name, strength = text_at(item, "lora_type") or text_at(item, "path"), item.get("lora_strength")
            image = styled(image, name, _share(item.get("scale") if strength is None else strength, 1.0))
        model = text_at(self.body, "model").rpartition("/")[2]
        note = [task_type] if task_type != "txt2img" else []
        add_caption(image, self._prompt, " · ".join([*note, model, str(self._seed)]))
        return image

    @property
    def _fields(self) -> JsonObject:
        return object_at(self.body, "input")

    @property
    def _prompt(self) -> str:
        return str(self._fields.get("prompt"))

    @property
    def _seed(self) -> int:
        """The seed of this image: each image of a task has its own."""
        return (number_at(self._fields, "seed") or 0) + self.number - 1

    @property
    def _size(self) -> Size:
        return side(self._fields, "width"), side(self._fields, "height")

    def _source(self) -> Image.Image:
        return as_rgb(self.load(text_at(self._fields, "image")))

    def _scene(self, size: Size) -> Image.Image:
        key = f"{self.body.get('model')} {self.body.get('task_type')}"
        return scene(self._prompt, seed=self._seed, size=size, key=key)

    def _edited(self) -> Image.Image:
        """Blend the source with the prompt's colors and scene. A higher `denoise` keeps less of the source."""
        source, denoise = self._source(), _share(self._fields.get("denoise"), 0.7)
        restyled = recolored(source, palette(self._prompt, self._seed))
        both = ImageChops.overlay(restyled, self._scene(source.size))
        return mixed(mixed(source, restyled, denoise), both, denoise**2)

    def _instructed(self) -> Image.Image:
        source = self._source().resize(self._size, Image.Resampling.BICUBIC)
        return mixed(source, recolored(source, palette(self._prompt, self._seed)), 0.6)

    def _varied(self) -> Image.Image:
        """Mirror and enlarge the source, and blend it with the prompt's scene by the strength of the variation."""
        strength, source = _share(self._fields.get("variation_strength"), 0.5), self._source()
        part = 0.04 + 0.02 * (self._seed % 5)
        wide, tall = source.width * part, source.height * part
        near = source.crop((round(wide), round(tall), round(source.width - wide), round(source.height - tall)))
        varied = ImageOps.mirror(near.resize(self._size, Image.Resampling.BICUBIC))
        return mixed(varied, ImageChops.overlay(varied, self._scene(self._size)), strength)

    def _inpainted(self) -> Image.Image:
        """Paint the prompt's scene where the mask is white. All other pixels of the source are unchanged."""
        loaded, mask = self.load(text_at(self._fields, "image")), text_at(self._fields, "mask")
        region = self.load(mask).convert("L") if mask else ImageOps.invert(loaded.convert("RGBA").getchannel("A"))
        region = region if region.size == loaded.size else region.resize(loaded.size)
        source = as_rgb(loaded)
        if box := region.getbbox():
            painted = self._scene((box[2] - box[0], box[3] - box[1]))
            add_mark(painted, (0, 0, *painted.size))
            source.paste(painted, box[:2], region.crop(box))
        return source

    def _outpainted(self) -> Image.Image:
        """Paint the prompt's scene around the source. All pixels of the source are unchanged."""
        settings, source = lists(self._fields, "custom_settings")[0], self._source()
        left, right, top, bottom = (
            number_at(settings, f"outpaint_{name}") or 0 for name in ("left", "right", "top", "bottom")
        )
        width, height = source.width + left + right, source.height + top + bottom
        wide = mixed(source.resize((width, height)).filter(ImageFilter.BoxBlur(24)), self._scene((width, height)), 0.6)
        margins = (
            (0, 0, left, height),
            (width - right, 0, width, height),
            (0, 0, width, top),
            (0, height - bottom, width, height),
        )
        add_mark(wide, max(margins, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])))
        wide.paste(source, (left, top))
        return wide

    def _controlled(self) -> Image.Image:
        """Blend the prompt's scene with the structure of the control images."""
        image, colors = self._scene(self._size), palette(self._prompt, self._seed)
        for item in lists(self._fields, "control_net_settings"):
            kind, url = _control(item)
            guide = preprocess(kind, as_rgb(self.load(url)).resize(self._size, Image.Resampling.BICUBIC))
            if kind == "depth":
                guided = mixed(recolored(guide, colors), image, 0.25)
            else:
                pale = mixed(image, Image.new("RGB", image.size, (255, 255, 255)), 0.45)
                lines = guide.convert("L").point(lambda value: min(255, value * 3))
                ink = guide if kind == "openpose" else Image.new("RGB", image.size, min(colors, key=lightness))
                guided = Image.composite(ink, pale, lines)
            strength = item.get("control_strength")
            image = mixed(image, guided, _share(item.get("conditioning_scale") if strength is None else strength, 1.0))
        return image


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a copy in RGB with 8 bits per channel. Transparency is ignored."""
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value * (1 / 256) + 0)
    return image.convert("L" if image.mode == "I" else image.mode).convert("RGB").copy()


def recolored(image: Image.Image, colors: Sequence[Color]) -> Image.Image:
    """Return the image mapped to these colors, from the darkest to the lightest."""
    dark, *_, middle, _, light = sorted(colors, key=lightness)
    return ImageOps.colorize(ImageOps.autocontrast(image.convert("L")), dark, light, middle)


def mixed(one: Image.Image, other: Image.Image, share: float) -> Image.Image:
    """Return a blend of `one` (exactly, at share 0) and `other` (exactly, at share 1)."""
    return Image.composite(other, one, Image.new("L", one.size, round(255 * share)))


STYLES: Sequence[Callable[[Image.Image], Image.Image]] = (
    lambda light: ImageOps.posterize(light, 2),
    lambda light: light.reduce(max(1, min(light.size) // 64)).resize(light.size, Image.Resampling.NEAREST),
    lambda light: ImageChops.multiply(light, ImageOps.invert(edges(light))),
)
"""The textures of LoRAs, for images in mode L: flat colors, a mosaic, outlines."""


def styled(image: Image.Image, name: str, strength: float) -> Image.Image:
    """Return the image in the style of a LoRA. The name determines the colors and the texture."""
    texture = STYLES[sum(name.encode()) % len(STYLES)]
    return mixed(image, recolored(texture(image.convert("L")), palette(name, 0)), 0.85 * strength)


def preprocessed(body: JsonObject, load: Load) -> list[Image.Image]:
    """Return the preprocessed control images that the request asks for."""
    items = lists(object_at(body, "input"), "control_net_settings")
    chosen = [_control(item) for item in items if item.get("return_preprocessed_image") is True]
    return [preprocess(kind, as_rgb(load(url))) for kind, url in chosen]


def preprocess(kind: str, image: Image.Image) -> Image.Image:
    """Return the map that a control type extracts from an RGB image, in the same size.

    depth gives smooth grays, openpose a figure of colored lines, hed and soft_edge soft lines, and any other type thin
    lines. An image that is mostly black is taken for such a map, and returned unchanged.
    """
    light = image.convert("L")
    if sum(light.histogram()[:16]) > 0.75 * image.width * image.height:
        return image
    unit = min(image.size)
    if kind == "depth":
        return ImageOps.autocontrast(light.filter(ImageFilter.BoxBlur(unit // 40))).convert("RGB")
    if kind == "openpose":
        return _pose(image)
    lines = edges(image)
    if kind in ("hed", "soft_edge"):
        return ImageOps.autocontrast(lines.filter(ImageFilter.BoxBlur(unit / 200))).convert("RGB")
    return lines.point(lambda value: 255 if value > 40 else 0).convert("RGB")


def edges(image: Image.Image) -> Image.Image:
    """Return the edges of an image, in mode L."""
    found = image.convert("L").filter(ImageFilter.FIND_EDGES)
    found.paste(0, mask=ImageOps.expand(Image.new("L", [max(0, length - 2) for length in image.size]), 1, 255))
    return ImageOps.autocontrast(found, cutoff=(0, 1))


LIMBS = {
    (0.5, 0.16, 0.5, 0.5): "#ff3c28", (0.5, 0.22, 0.32, 0.36): "#ffbe00", (0.32, 0.36, 0.24, 0.54): "#c8e600",
    (0.5, 0.22, 0.68, 0.36): "#5ae628", (0.68, 0.36, 0.76, 0.54): "#00dcc8", (0.5, 0.5, 0.42, 0.74): "#286eff",
    (0.42, 0.74, 0.4, 0.98): "#2828ff", (0.5, 0.5, 0.58, 0.74): "#8c3cff", (0.58, 0.74, 0.6, 0.98): "#ff3cff",
}  # fmt: skip
"""A standing figure: the ends of its limbs as shares of its box, with their colors in pose maps."""


def _pose(image: Image.Image) -> Image.Image:
    """Return a figure at the position of the image's contours. Pillow cannot detect a real body."""
    contours = edges(image).point(lambda value: 255 if value > 96 else 0)
    left, top, right, bottom = contours.getbbox() or (0, 0, *image.size)
    tall = bottom - top
    wide = tall * 0.8
    start = (left + right - wide) / 2
    drawn = Image.new("RGB", image.size)
    pen, thick = ImageDraw.Draw(drawn), max(1, tall // 50)
    for (x1, y1, x2, y2), color in LIMBS.items():
        pen.line((start + x1 * wide, top + y1 * tall, start + x2 * wide, top + y2 * tall), color, thick)
    pen.circle((start + wide / 2, top + tall * 0.08), tall * 0.06, outline="#ff3c78", width=thick)
    return drawn


def _control(item: JsonObject) -> tuple[str, str]:
    kind = text_at(item, "control_type") or text_at(item, "path").removeprefix("controlnet-")
    names = {"pose": "openpose", "soft-edge": "soft_edge"}
    return names.get(kind, kind), text_at(item, "control_image") or text_at(item, "control_image_url")


def _share(value: Json, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
