"""The sandbox's images: the same everywhere, different where they should be, and true to what an operation does."""

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

from flux_cli.sandbox.drawing import SCENE_WORDS, draw
from flux_cli.sandbox.images import Renderer, as_rgb, preprocess

ROOT = Path(__file__).resolve().parents[1]
SIDE = 128
FOX = "a red fox in the snow"
MASK_BOX = (40, 30, 90, 80)


def source() -> Image.Image:
    """A photo to work on: shapes on a gradient."""
    image = Image.merge("RGB", [Image.linear_gradient("L").resize((SIDE, SIDE))] * 3)
    pen = ImageDraw.Draw(image)
    pen.rectangle((20, 60, 70, 120), fill="#3050a0")
    pen.ellipse((60, 15, 110, 65), fill="#e0c040")
    return image


def mask() -> Image.Image:
    image = Image.new("L", (SIDE, SIDE))
    image.paste(255, MASK_BOX)
    return image


def render(task_type: str, prompt: str = FOX, seed: int = 1, image: Image.Image | None = None, **fields: Any) -> Image.Image:  # fmt: skip
    """The image of a task, for a source of SIDE x SIDE pixels unless another is given."""
    size: dict[str, Any] = {"width": SIDE, "height": SIDE, "image": "photo", "prompt": prompt, "seed": seed}
    body: dict[str, Any] = {"model": "Qubico/flux1-dev-advanced", "task_type": task_type, "input": size | fields}
    given = source() if image is None else image
    return Renderer(body, 1, lambda url: mask() if url == "mask" else given.copy()).render()


def controlled(kind: str, strength: float = 1.0) -> dict[str, Any]:
    settings: dict[str, Any] = {"control_type": kind, "control_image": "photo", "control_strength": strength}
    return {"control_net_settings": [settings]}


def margins(left: int = 0, right: int = 0, top: int = 0, bottom: int = 0) -> dict[str, Any]:
    settings: dict[str, Any] = {"outpaint_left": left, "outpaint_right": right, "outpaint_top": top, "outpaint_bottom": bottom}  # fmt: skip
    return {"custom_settings": [settings]}


OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "txt2img": ("txt2img", {}),
    "img2img": ("img2img", {"denoise": 0.6}),
    "kontext": ("kontext", {}),
    "redux": ("redux-variation", {}),
    "inpaint": ("fill-inpaint", {"mask": "mask"}),
    "outpaint": ("fill-outpaint", margins(64, 0, 9, 31)),
    **{kind: ("controlnet-lora", controlled(kind)) for kind in ("depth", "canny", "hed", "openpose", "new-type")},
    "lora": ("txt2img-lora", {"lora_settings": [{"lora_type": "anime"}]}),
    "lora by address": (
        "img2img-lora",
        {"lora_settings": [{"path": "https://example.com/x.safetensors", "scale": 0.5}]},
    ),
}
operations = pytest.mark.parametrize("name", OPERATIONS)


def run(name: str, prompt: str = FOX, seed: int = 1, image: Image.Image | None = None) -> Image.Image:
    task_type, fields = OPERATIONS[name]
    return render(task_type, prompt, seed, image, **fields)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two images' channels, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def above_caption(image: Image.Image) -> Image.Image:
    """The part of an image that is above any caption."""
    return image.crop((0, 0, image.width, image.height * 3 // 4))


@pytest.fixture(scope="module")
def elsewhere() -> list[str]:
    """The hashes of all operations' images, made by another process."""
    code = (
        "import hashlib; from tests.test_sandbox_images import OPERATIONS, run; "
        "print(*(hashlib.sha256(run(name).tobytes()).hexdigest() for name in OPERATIONS))"
    )
    environ = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    return done.stdout.split()


@operations
def test_another_process_makes_the_same_pixels(name: str, elsewhere: list[str]) -> None:
    assert hashlib.sha256(run(name).tobytes()).hexdigest() == elsewhere[list(OPERATIONS).index(name)]


@operations
def test_prompt_and_seed_change_the_image(name: str) -> None:
    plain = above_caption(run(name))
    assert difference(plain, above_caption(run(name, "cyberpunk city at night"))) > 1.5
    assert difference(plain, above_caption(run(name, seed=2))) > 0.1


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("txt2img", "lora")])
def test_the_input_image_changes_the_image(name: str) -> None:
    assert difference(run(name), run(name, image=source().rotate(90))) > 1


def test_every_scene_and_every_color_looks_different() -> None:
    prompts = [words.split()[0] for words in SCENE_WORDS] + ["a red thing", "a blue thing", "a green thing"]
    images = [above_caption(draw(prompt, seed=3, width=96, height=96)) for prompt in prompts]
    for i, one in enumerate(images):
        assert all(difference(one, other) > 3 for other in images[:i]), prompts[i]
    red = ImageStat.Stat(images[-3]).mean
    assert red[0] > red[2]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (63, 64), (1024, 64), (64, 1024), (333, 257)])
def test_the_size_is_exact(size: tuple[int, int]) -> None:
    width, height = size
    images = [draw(FOX, seed=1, width=width, height=height)]
    images += [render(kind, width=width, height=height) for kind in ("kontext", "redux-variation", "txt2img")]
    images += [render("controlnet-lora", width=width, height=height, **controlled("canny"))]
    assert [(image.size, image.mode) for image in images] == [(size, "RGB")] * 5


@operations
def test_every_image_says_that_it_is_the_sandboxs(name: str) -> None:
    """The word stands at the right of the caption, or in the middle of what was painted."""
    image = run(name)
    boxes = {"inpaint": (50, 45, 80, 65), "outpaint": (12, 70, 52, 98)}
    box = boxes.get(name, (SIDE * 2 // 3, SIDE - 14, SIDE - 2, SIDE - 2))
    darkest, lightest = ImageStat.Stat(image.crop(box).convert("L")).extrema[0]
    assert darkest < 130
    assert lightest > 215


def test_a_caption_shows_prompt_model_and_seed() -> None:
    foot = (0, 430, 512, 512)
    plain = draw("", seed=1, width=512, height=512, model="flux1-dev").crop(foot)
    assert difference(plain, draw("x" * 40, seed=1, width=512, height=512, model="flux1-dev").crop(foot)) > 5
    assert 0 < difference(plain, draw("", seed=2, width=512, height=512, model="flux1-dev").crop(foot)) < 1


@pytest.mark.parametrize(
    "prompt", ["", " \n", "\ud800\u202e\0", "🦊" * 300, "x" * 1500, "many words " * 136, "雪" * 400]
)
@pytest.mark.parametrize("name", ["txt2img", "img2img", "inpaint", "outpaint"])
def test_hostile_prompts(name: str, prompt: str) -> None:
    assert run(name, prompt, -(2**63)).mode == "RGB"


def test_an_edit_leaves_its_input_by_degrees() -> None:
    changes = [
        difference(above_caption(source()), above_caption(render("img2img", denoise=share)))
        for share in (0, 0.3, 0.7, 1)
    ]
    assert changes[0] == 0
    assert changes == sorted(set(changes))
    assert difference(above_caption(source()), above_caption(render("kontext"))) > 8


def test_inpaint_changes_the_masked_pixels_and_no_others() -> None:
    changed = ImageChops.difference(source(), render("fill-inpaint", mask="mask"))
    assert changed.getbbox() == MASK_BOX
    assert sum(ImageStat.Stat(changed.crop(MASK_BOX)).mean) > 30
    hole = source().convert("RGBA")
    hole.putalpha(ImageChops.invert(mask()))
    assert render("fill-inpaint", image=hole).tobytes() == render("fill-inpaint", mask="mask").tobytes()
    assert render("fill-inpaint").tobytes() == source().tobytes(), "nothing is transparent: nothing is painted"


@pytest.mark.parametrize("sides", [(20, 30, 10, 40), (64, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0)])
def test_outpaint_adds_margins_and_keeps_the_source(sides: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = sides
    one, other = (render("fill-outpaint", prompt, **margins(*sides)) for prompt in (FOX, "neon city"))
    assert one.size == (SIDE + left + right, SIDE + top + bottom)
    assert one.crop((left, top, left + SIDE, top + SIDE)).tobytes() == source().tobytes()
    assert (difference(one, other) > 0) is any(sides)


@pytest.mark.parametrize("kind", ["depth", "canny", "hed", "soft_edge", "openpose", "new-type"])
def test_a_control_shows_its_map_in_the_image(kind: str) -> None:
    found = preprocess(kind, source())
    assert (found.size, found.mode) == ((SIDE, SIDE), "RGB")
    assert len(found.getcolors(2**24) or []) > 1
    assert preprocess(kind, Image.new("RGB", (9, 9), "white")).size == (9, 9)
    steps = [above_caption(render("controlnet-lora", **controlled(kind, strength))) for strength in (0, 0.5, 1)]
    assert steps[0].tobytes() == above_caption(render("controlnet-lora")).tobytes()
    assert 0 < difference(steps[0], steps[1]) < difference(steps[0], steps[2])


def test_a_control_map_is_taken_as_it_is() -> None:
    lines = Image.new("RGB", (64, 64))
    ImageDraw.Draw(lines).line((5, 5, 60, 40), "lime", 2)
    assert preprocess("canny", lines).tobytes() == lines.tobytes()


def test_a_lora_has_a_style_of_its_own_by_degrees() -> None:
    def styled(name: str, strength: float) -> Image.Image:
        return above_caption(render("txt2img-lora", lora_settings=[{"lora_type": name, "lora_strength": strength}]))

    plain = styled("anime", 0)
    assert plain.tobytes() == above_caption(render("txt2img-lora")).tobytes()
    assert 0 < difference(plain, styled("anime", 0.4)) < difference(plain, styled("anime", 1))
    assert difference(styled("anime", 1), styled("disney", 1)) > 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "HSV", "F", "I;16"])
def test_every_mode_of_an_upload_is_read(mode: str) -> None:
    image = source()
    if mode == "I;16":
        image = image.convert("L").convert("I").point(lambda value: value * 257 + 0)
    image = image.convert(mode)
    assert difference(as_rgb(image).convert("L").convert("RGB"), source().convert("L").convert("RGB")) < 30
    assert run("img2img", image=image).size == (SIDE, SIDE)


def test_a_large_image_is_quick_and_small() -> None:
    content = io.BytesIO()
    draw(FOX, seed=1, width=1024, height=1024).save(content, "PNG")
    assert len(content.getvalue()) < 300_000


@pytest.mark.parametrize("size", [(2**20, 1), (1, 2**20)])
@pytest.mark.parametrize("scenery", ["tower", "forest", "pattern"])
def test_an_extreme_shape_is_quick(scenery: str, size: tuple[int, int]) -> None:
    width, height = size
    begun = time.process_time()
    images = [draw(scenery, seed=1, width=width, height=height)]
    images += [render(kind, width=width, height=height) for kind in ("kontext", "redux-variation")]
    images += [render("controlnet-lora", width=width, height=height, **controlled("openpose"))]
    assert time.process_time() - begun < 6
    assert [image.size for image in images] == [size] * 4
