"""The sandbox's editing operations, on pixels: what must stay stays exactly, and what must change does, by degrees."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

from flux_cli.sandbox.drawing.poster import draw
from flux_cli.sandbox.editing import apply_loras, control, image_to_image, inpaint, kontext, outpaint, preprocess, redux
from flux_cli.sandbox.editing.loras import KNOWN
from flux_cli.sandbox.editing.pixels import as_rgb, edges, mixed

ROOT = Path(__file__).resolve().parents[1]
SIDE = 96
FOX = "a red fox in the snow"
KINDS = ("canny", "hed", "soft_edge", "depth", "openpose", "something new")
STEPS = (0.0, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0)


def shapes() -> Image.Image:
    """A picture that no prompt draws: flat shapes of many colours on a slope of light."""
    image = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.ellipse((10, 12, 48, 50), fill=(230, 60, 40))
    pen.rectangle((55, 20, 85, 75), fill=(30, 80, 200))
    pen.polygon([(15, 90), (35, 58), (60, 90)], fill=(250, 220, 70))
    return image


def noise() -> Image.Image:
    """A picture that is all detail."""
    return Image.frombytes("RGB", (SIDE, SIDE), hashlib.shake_256(b"noise").digest(3 * SIDE * SIDE))


SOURCES: dict[str, Callable[[], Image.Image]] = {
    "shapes": shapes,
    "noise": noise,
    "poster": lambda: draw(FOX, seed=1, width=SIDE, height=SIDE, model="m"),
    "dark": lambda: draw("city at night", seed=2, width=SIDE, height=SIDE),
    "smooth": lambda: Image.radial_gradient("L").resize((SIDE, SIDE)),
}
sources = pytest.mark.parametrize("name", SOURCES)


def source_named(name: str) -> Image.Image:
    return as_rgb(SOURCES[name]())


def disc() -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).ellipse((20, 30, 70, 80), fill=255)
    return mask


def pose() -> Image.Image:
    """A figure of coloured lines on black, as the pose maps that people have at hand."""
    image = Image.new("RGB", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for (start, end), color in {
        ((48, 15), (48, 55)): "red",
        ((48, 28), (25, 45)): "lime",
        ((48, 55), (64, 88)): "blue",
    }.items():
        pen.line((*start, *end), fill=color, width=2)
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures' channels, 0..255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def likeness(one: Image.Image, other: Image.Image) -> float:
    """Correlation of two pictures' light, -1..1, a little softened so that single pixels do not decide."""
    small = [image.convert("L").resize((32, 32), Image.Resampling.BOX).tobytes() for image in (one, other)]
    return statistics.correlation(*small)


def edge_likeness(one: Image.Image, other: Image.Image) -> float:
    """Correlation of where two pictures have edges, -1..1."""
    maps = [edges(image.convert("L")).reduce(2).tobytes() for image in (one, other)]
    return statistics.correlation(*maps)


def same(one: Image.Image, other: Image.Image) -> bool:
    return (one.size, one.mode, one.tobytes()) == (other.size, other.mode, other.tobytes())


def i2i(source: Image.Image, prompt: str = FOX, seed: int = 1, denoise: float = 0.5, model: str = "m") -> Image.Image:
    return image_to_image(source, prompt, seed=seed, denoise=denoise, model=model)


def vary(source: Image.Image, prompt: str = "", seed: int = 1, strength: float = 0.5) -> Image.Image:
    return redux(source, prompt, seed=seed, strength=strength, width=SIDE, height=SIDE, model="m")


def instruct(source: Image.Image, prompt: str = FOX, seed: int = 1) -> Image.Image:
    return kontext(source, prompt, seed=seed, width=SIDE, height=SIDE, model="m")


def guided(kind: str, image: Image.Image, strength: float, prompt: str = FOX, seed: int = 1) -> Image.Image:
    return control(prompt, [(kind, image, strength)], seed=seed, width=SIDE, height=SIDE, model="m")


def extend(
    source: Image.Image, prompt: str = FOX, seed: int = 1, sides: tuple[int, ...] = (20, 0, 9, 31)
) -> Image.Image:
    left, right, top, bottom = sides
    return outpaint(source, prompt, seed=seed, left=left, right=right, top=top, bottom=bottom, model="m")


# every operation on any picture; those with a mask or a size take the picture's own
OPERATIONS: dict[str, Callable[[Image.Image, str, int], Image.Image]] = {
    "image_to_image": lambda image, prompt, seed: i2i(image, prompt, seed),
    "kontext": instruct,
    "inpaint": lambda image, prompt, seed: inpaint(
        image, Image.linear_gradient("L").resize(image.size), prompt, seed=seed, model="m"
    ),
    "outpaint": lambda image, prompt, seed: extend(image, prompt, seed),
    "canny": lambda image, prompt, seed: guided("canny", image, 0.6, prompt, seed),
    "depth": lambda image, prompt, seed: guided("depth", image, 0.6, prompt, seed),
    "openpose": lambda image, prompt, seed: guided("openpose", image, 0.6, prompt, seed),
    "redux": vary,
    "loras": lambda image, prompt, seed: apply_loras(image, [(name, 0.7) for name in ("anime", "some-name", prompt)]),
}
operations = pytest.mark.parametrize("operation", OPERATIONS)
drawing = pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "loras"])


# what all of them promise


@pytest.fixture(scope="module")
def fresh_process() -> list[str]:
    code = (
        "import hashlib; from tests.test_editing import OPERATIONS, shapes; "
        "print(*(hashlib.sha256(run(shapes(), 'a dragon', 5).tobytes()).hexdigest() for run in OPERATIONS.values()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return run.stdout.split()


@operations
def test_same_pixels_in_another_process(operation: str, fresh_process: list[str]) -> None:
    image = OPERATIONS[operation](shapes(), "a dragon", 5)
    assert fresh_process[list(OPERATIONS).index(operation)] == hashlib.sha256(image.tobytes()).hexdigest()


@drawing
def test_prompt_and_seed_matter(operation: str) -> None:
    run = OPERATIONS[operation]
    plain = run(shapes(), FOX, 1)
    assert difference(plain, run(shapes(), "cyberpunk city at night", 1)) > 4
    assert difference(plain, run(shapes(), FOX, 2)) > 0.3


def test_model_matters() -> None:
    assert difference(i2i(shapes(), model="a"), i2i(shapes(), model="b")) > 0.3


@operations
def test_input_is_left_alone(operation: str) -> None:
    image = shapes()
    OPERATIONS[operation](image, FOX, 1)
    assert same(image, shapes())


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "F")


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return image.convert("L").convert("I").point(lambda value: value * 257 + 0).convert("I;16")
    return (image.convert("RGBA") if mode in ("RGBa", "PA") else image).convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(mode: str) -> None:
    result = as_rgb(in_mode(shapes(), mode))
    assert result.mode == "RGB"
    assert likeness(result, shapes()) > 0.8


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
@operations
def test_any_mode(operation: str, mode: str) -> None:
    image = in_mode(shapes().resize((24, 16)), mode)
    assert same(OPERATIONS[operation](image, FOX, 1), OPERATIONS[operation](as_rgb(image), FOX, 1))


def test_sixteen_bits_keep_their_light() -> None:
    light = shapes().convert("L")
    deep = light.convert("I").point(lambda value: value * 257 + 0)
    big_endian = Image.frombytes("I;16B", light.size, b"".join(bytes([value, value]) for value in light.tobytes()))
    for image in (deep, deep.convert("I;16"), big_endian):
        assert same(as_rgb(image), light.convert("RGB"))


def test_transparency_is_ignored() -> None:
    clear = shapes().convert("RGBA")
    clear.putalpha(0)
    assert same(i2i(clear), i2i(shapes()))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (80, 1), (1, 80), (3, 50)])
@operations
def test_tiny_and_thin_pictures(operation: str, size: tuple[int, int]) -> None:
    result = OPERATIONS[operation](shapes().resize(size), FOX, 1)
    assert result.mode == "RGB"
    assert result.size == {
        "outpaint": (size[0] + 20, size[1] + 40),
        **dict.fromkeys(("image_to_image", "inpaint", "loras"), size),
    }.get(operation, (SIDE, SIDE))


@pytest.mark.parametrize("size", [(1, 1), (70, 1), (1, 70), (64, 200)])
def test_asked_sizes_are_exact(size: tuple[int, int]) -> None:
    wanted = {"seed": 1, "width": size[0], "height": size[1]}
    for image in (
        kontext(shapes(), FOX, **wanted, model=""),
        redux(shapes(), "", strength=0.5, **wanted, model=""),
        *(control(FOX, [(kind, shapes(), 1.0)], **wanted, model="") for kind in KINDS),
    ):
        assert (image.size, image.mode) == (size, "RGB")


@pytest.mark.parametrize("color", ["black", "white", "#777777"])
@operations
def test_flat_pictures(operation: str, color: str) -> None:
    assert OPERATIONS[operation](Image.new("RGB", (20, 20), color), "", 1).mode == "RGB"


@pytest.mark.parametrize("prompt", ["", " \n", "\ud800\u202e\0", "🦊" * 300, "x" * 1500])
@drawing
def test_hostile_prompts(operation: str, prompt: str) -> None:
    assert OPERATIONS[operation](shapes().resize((64, 64)), prompt, -(2**70)).mode == "RGB"


def test_mixed_is_exact_at_its_ends() -> None:
    assert same(mixed(shapes(), noise(), 0), shapes())
    assert same(mixed(shapes(), noise(), 1), noise())


# image to image


@sources
def test_image_to_image_leaves_its_input_by_degrees(name: str) -> None:
    source = source_named(name)
    results = [i2i(source, "cyberpunk city", denoise=step) for step in STEPS]
    changes = [difference(source, result) for result in results]
    likes = [likeness(source, result) for result in results]
    assert all(a < b for a, b in pairwise(changes)), changes
    assert all(a >= b - 0.005 for a, b in pairwise(likes)), likes
    assert same(results[0], source)


@sources
def test_image_to_image_at_its_ends(name: str) -> None:
    source = source_named(name)
    assert difference(source, i2i(source, denoise=0.02)) < 4
    assert likeness(source, i2i(source, denoise=0.3)) > 0.85
    blank = Image.new("RGB", source.size, (128, 128, 128))
    # at 1 it hardly matters what the source was
    assert difference(i2i(source, denoise=1.0), i2i(blank, denoise=1.0)) < 5


def test_image_to_image_does_not_give_its_own_poster_back() -> None:
    poster = draw(FOX, seed=1, width=SIDE, height=SIDE, model="m")
    assert difference(poster, i2i(poster, FOX, denoise=1.0)) > 12


# kontext


@sources
def test_kontext_keeps_the_composition_and_changes_the_colours(name: str) -> None:
    source = source_named(name)
    pictures = [instruct(source, prompt) for prompt in ("make it pink", "make it a green forest")]
    for picture in pictures:
        above = (0, 0, SIDE, SIDE * 8 // 9)
        assert likeness(source.crop(above), picture.crop(above)) > 0.8
        assert difference(source, picture) > 8
    assert difference(*pictures) > 8


def test_kontext_notes_the_instruction_at_the_foot() -> None:
    one, other = (
        kontext(shapes(), words, seed=1, width=256, height=256, model="m") for words in ("make it brighter", "sharper")
    )
    foot = (0, 240, 256, 256)
    assert difference(one.crop(foot), other.crop(foot)) > 5
    darkest, lightest = ImageStat.Stat(one.crop(foot).convert("L")).extrema[0]
    assert lightest - darkest > 120


def test_kontext_adds_what_it_is_told_to_add() -> None:
    plain, added = (instruct(shapes(), f"{verb} a castle") for verb in ("admire", "add"))
    changed = ImageChops.difference(plain, added).convert("L").crop((0, 0, SIDE, 80)).point([0] * 90 + [255] * 166)
    assert changed.getbbox()


# inpaint


@sources
def test_inpaint_changes_only_the_masked_pixels(name: str) -> None:
    source, mask = source_named(name), disc()
    result = inpaint(source, mask, "a dragon at dusk", seed=1, model="m")
    outside = mask.point([255] + [0] * 255)
    black = Image.new("RGB", source.size)
    assert same(Image.composite(result, black, outside), Image.composite(source, black, outside))
    assert difference(result.crop((30, 40, 60, 70)), source.crop((30, 40, 60, 70))) > 15


def test_inpaint_blends_where_the_mask_is_grey() -> None:
    source = shapes()
    masks = [Image.new("L", source.size, level) for level in (0, 60, 128, 200, 255)]
    changes = [difference(source, inpaint(source, mask, FOX, seed=1, model="m")) for mask in masks]
    assert changes[0] == 0
    assert changes == sorted(changes)
    assert changes[2] == pytest.approx(changes[4] / 2, rel=0.05)


def test_inpaint_of_nothing_and_of_everything() -> None:
    source = shapes()
    assert same(inpaint(source, Image.new("L", source.size), FOX, seed=1, model="m"), source)
    full = Image.new("L", source.size, 255)
    assert same(inpaint(source, full, FOX, seed=1, model="m"), inpaint(noise(), full, FOX, seed=1, model="m"))


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (95, 0, 96, 96), (0, 40, 96, 41), (10, 10, 14, 80), (5, 5, 95, 95)])
def test_inpaint_of_small_and_thin_parts(box: tuple[int, int, int, int]) -> None:
    source, mask = shapes(), Image.new("L", (SIDE, SIDE))
    mask.paste(255, box)
    one, other = (inpaint(source, mask, p, seed=1, model="m") for p in ("neon city", "snow"))
    changed = ImageChops.difference(one, other).getbbox()
    assert changed
    assert box[0] <= changed[0] <= changed[2] <= box[2]
    assert box[1] <= changed[1] <= changed[3] <= box[3]


def test_inpaint_takes_on_the_colours_around_it() -> None:
    source = Image.new("RGB", (SIDE, SIDE), "#102040")
    change = ImageChops.difference(source, inpaint(source, disc(), FOX, seed=1, model="m"))
    rim, middle = (sum(ImageStat.Stat(change.crop(box)).mean) for box in ((43, 30, 48, 32), (35, 40, 55, 70)))
    assert rim < 0.6 * middle


def test_inpaint_wants_a_mask_of_the_same_size() -> None:
    with pytest.raises(ValueError, match="mask"):
        inpaint(shapes(), Image.new("L", (5, 5), 255), FOX, seed=1, model="m")


# outpaint


@pytest.mark.parametrize("sides", [(20, 30, 10, 40), (50, 0, 0, 0), (0, 0, 0, 1), (0, 7, 300, 0), (1, 1, 1, 1)])
def test_outpaint_extends_and_leaves_the_source(sides: tuple[int, int, int, int]) -> None:
    source, (left, right, top, bottom) = shapes(), sides
    one, other = (extend(source, prompt, sides=sides) for prompt in ("neon city", "snow"))
    for result in (one, other):
        assert result.size == (SIDE + left + right, SIDE + top + bottom)
        assert same(result.crop((left, top, left + SIDE, top + SIDE)), source)
    assert difference(one, other) > 0


def test_outpaint_of_no_margins_is_the_source() -> None:
    assert same(extend(shapes(), sides=(0, 0, 0, 0)), shapes())


def test_outpaint_starts_from_the_border_and_ends_in_the_prompt() -> None:
    green, purple = (extend(Image.new("RGB", (SIDE, SIDE), c), sides=(80, 0, 0, 0)) for c in ("#20a040", "#a02090"))
    apart = [difference(green.crop((x, 0, x + 4, SIDE)), purple.crop((x, 0, x + 4, SIDE))) for x in (0, 50, 64, 76)]
    assert apart == sorted(apart)
    assert apart[0] < 1
    assert apart[-1] > 0.9 * difference(green.crop((80, 0, 176, SIDE)), purple.crop((80, 0, 176, SIDE)))


# control


@pytest.mark.parametrize("prompt", [FOX, "neon city"])
@pytest.mark.parametrize("kind", KINDS)
def test_control_is_followed_by_degrees(kind: str, prompt: str) -> None:
    image = pose() if kind == "openpose" else shapes()
    guide = preprocess(kind, image)
    results = [guided(kind, image, strength, prompt) for strength in (0, 0.25, 0.5, 0.75, 1)]
    follows = [edge_likeness(result, guide if kind == "openpose" else image) for result in results]
    assert all(a < b + 0.003 for a, b in pairwise(follows)), follows
    assert follows[-1] > follows[0] + 0.15, follows
    assert follows[-1] > 0.2, follows


def test_control_without_strength_or_without_controls_is_the_same() -> None:
    none = control(FOX, [], seed=1, width=SIDE, height=SIDE, model="m")
    assert same(guided("canny", shapes(), 0), none)
    assert not same(guided("canny", shapes(), 1), none)


def test_controls_add_up() -> None:
    both = control(
        FOX, [("depth", shapes(), 0.5), ("canny", shapes(), 0.8)], seed=1, width=SIDE, height=SIDE, model="m"
    )
    assert edge_likeness(both, shapes()) > edge_likeness(guided("depth", shapes(), 0.5), shapes())


@pytest.mark.parametrize("kind", KINDS)
def test_preprocess_keeps_the_size(kind: str) -> None:
    for size in ((SIDE, SIDE), (1, 1), (90, 1), (33, 70)):
        result = preprocess(kind, shapes().resize(size))
        assert (result.size, result.mode) == (size, "RGB")


@pytest.mark.parametrize("kind", ["canny", "hed", "soft_edge"])
def test_preprocess_shows_edges_on_black(kind: str) -> None:
    light = preprocess(kind, shapes()).convert("L")
    counts = light.histogram()
    assert sum(counts[:16]) > 0.5 * SIDE * SIDE
    assert sum(counts[128:]) > 0.02 * SIDE * SIDE
    maps = [image.reduce(2).tobytes() for image in (light, edges(shapes().convert("L")))]
    assert statistics.correlation(*maps) > 0.5


def test_preprocess_of_depth_is_smooth_and_follows_the_light() -> None:
    depth = preprocess("depth", noise())
    assert ImageStat.Stat(edges(depth.convert("L"))).mean[0] < ImageStat.Stat(edges(noise().convert("L"))).mean[0] / 2
    assert likeness(preprocess("depth", shapes()), shapes()) > 0.9


def test_preprocess_of_a_pose_is_few_bright_lines() -> None:
    result = preprocess("openpose", draw("portrait of a woman", seed=1, width=256, height=256))
    counts = result.convert("HSV").getchannel("V").histogram()
    assert sum(counts[:16]) > 0.6 * 256 * 256
    assert sum(counts[200:]) > 0.02 * 256 * 256


@pytest.mark.parametrize("kind", ["canny", "hed", "openpose"])
def test_preprocess_keeps_what_is_a_control_image_already(kind: str) -> None:
    assert same(preprocess(kind, pose()), pose())


# redux


@sources
def test_redux_resembles_its_input_by_degrees(name: str) -> None:
    source = source_named(name)
    results = [vary(source, "snowy mountains", strength=step) for step in STEPS]
    assert difference(source, results[-1]) < difference(source, results[0])
    if name == "noise":  # of which even the slightest crop is another one
        return
    likes = [likeness(source, result) for result in results]
    assert all(a < b + 0.01 for a, b in pairwise(likes)), likes
    assert likes[-1] > max(0.85, likes[0] + 0.1)


def test_redux_of_another_seed_is_another_variation() -> None:
    source = shapes()
    for strength in (0.0, 0.5, 1.0):
        one, other = (vary(source, seed=seed, strength=strength) for seed in (1, 2))
        assert difference(one, other) > 0.5


def test_redux_without_a_prompt_keeps_the_colours() -> None:
    warm = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")
    warm = ImageChops.multiply(warm, Image.new("RGB", warm.size, (255, 120, 40)))
    red, _, blue = ImageStat.Stat(vary(warm, strength=0)).mean
    assert red > 1.5 * blue


# loras


@pytest.mark.parametrize("name", [*KNOWN, "never-heard-of", "", "ünï✨"])
def test_lora_by_degrees(name: str) -> None:
    source = shapes()
    changes = [difference(source, apply_loras(source, [(name, strength)])) for strength in (0, 0.25, 0.5, 0.75, 1)]
    assert changes[0] == 0
    assert changes[-1] > 4
    for i, change in enumerate(changes):
        assert change == pytest.approx(changes[-1] * i / 4, abs=0.6)


def test_no_lora_changes_nothing() -> None:
    assert same(apply_loras(shapes(), []), shapes())
    assert same(apply_loras(shapes(), [("anime", 0), ("x", 0.0)]), shapes())


def test_each_lora_has_its_own_look() -> None:
    names = [*KNOWN, *(f"style-{i}" for i in range(8))]
    results = [apply_loras(shapes(), [(name, 1)]) for name in names]
    for i, one in enumerate(results):
        for j, other in enumerate(results[:i]):
            assert difference(one, other) > 1.5, (names[i], names[j])


def test_loras_add_up_and_names_ignore_case() -> None:
    both = apply_loras(shapes(), [("anime", 0.6), ("art", 0.5)])
    assert same(both, apply_loras(apply_loras(shapes(), [("anime", 0.6)]), [("art", 0.5)]))
    assert same(apply_loras(shapes(), [("Anime ", 1)]), apply_loras(shapes(), [("anime", 1)]))
