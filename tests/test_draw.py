"""The sandbox's pictures: the same everywhere, different where they should be, captioned at every size."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from flux_cli.sandbox.drawing.caption import clean
from flux_cli.sandbox.drawing.colors import Palette, luminance, rgb
from flux_cli.sandbox.drawing.palettes import PALETTES, choose_paper
from flux_cli.sandbox.drawing.poster import draw
from flux_cli.sandbox.drawing.words import SCENES, SUBJECTS

ROOT = Path(__file__).resolve().parents[1]
FOX = "a red fox in the snow"


def digest(image: Image.Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures' channels, 0..255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def scene_of(image: Image.Image) -> Image.Image:
    """The part of a square picture that is above any caption."""
    return image.crop((0, 0, image.width, image.height // 2))


def contrast(region: Image.Image) -> float:
    """WCAG contrast between the lightest and the darkest pixel."""
    colors = [color for _, color in region.getcolors(region.width * region.height) or [] if isinstance(color, tuple)]
    lights = [luminance((color[0], color[1], color[2])) for color in colors]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_pixels_in_another_process(hash_seed: str) -> None:
    code = (
        "import hashlib; from flux_cli.sandbox.drawing.poster import draw; "
        f"print(*(hashlib.sha256(draw(p, seed=5, width=160, height=96, model='m').tobytes()).hexdigest()"
        f" for p in ({FOX!r}, 'cyberpunk city', 'qwxyz')))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = [digest(draw(p, seed=5, width=160, height=96, model="m")) for p in (FOX, "cyberpunk city", "qwxyz")]
    assert run.stdout.split() == here


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 500), (63, 64), (64, 64), (64, 1024), (2048, 128), (128, 2048), (333, 257), (512, 288)]
)
def test_size_is_exact(size: tuple[int, int]) -> None:
    image = draw(FOX, seed=1, width=size[0], height=size[1], model="flux-pro")
    assert (image.size, image.mode) == (size, "RGB")


def test_every_scene_and_subject_draws_its_own_picture() -> None:
    prompts = [text.split()[0] for text in (*SCENES.values(), *SUBJECTS.values())]
    pictures = [scene_of(draw(prompt, seed=3, width=96, height=96)) for prompt in prompts]
    for i, one in enumerate(pictures):
        for j, other in enumerate(pictures[:i]):
            assert prompts[i] == prompts[j] or difference(one, other) > 2, (prompts[i], prompts[j])


@pytest.mark.parametrize("prompt", [FOX, "city at night", "desert dunes", "abstract shapes", "something else entirely"])
def test_seeds_vary_the_composition_and_keep_the_colours(prompt: str) -> None:
    one, other = (scene_of(draw(prompt, seed=seed, width=192, height=192)) for seed in (1, 2))
    assert difference(one, other) > 3
    means = [ImageStat.Stat(image).mean for image in (one, other)]
    assert max(abs(a - b) for a, b in zip(*means, strict=True)) < 70


def test_model_changes_the_picture() -> None:
    one, other = (scene_of(draw(FOX, seed=1, width=128, height=128, model=model)) for model in ("a", "b"))
    assert difference(one, other) > 2


@pytest.mark.parametrize("prompt", [FOX, "city at night", "mountains", "forest", "planet", "sea", "abstract"])
def test_another_size_keeps_the_composition(prompt: str) -> None:
    small, large = (scene_of(draw(prompt, seed=4, width=side, height=side)) for side in (128, 256))
    another = scene_of(draw(prompt, seed=5, width=128, height=128))
    assert difference(small, large.reduce(2)) < 0.6 * difference(small, another)


HOSTILE = {
    "empty": "", "blank": " \n\t ", "nul": "a\0b", "emoji": "🦊" * 1500, "rtl": "\u202eשלם\u202c",
    "surrogate": "\ud800 lone \udfff", "long word": "x" * 1500, "long": "many words " * 136, "cjk": "雪の中の狐" * 300,
    "zalgo": "e" + "\u0301" * 1000, "controls": "".join(map(chr, range(32))) + "\x7f\x9b", "wide": "﷽" * 100,
    "hangul": "여우" * 40, "private": "\ue000\U0010ffff\ufffe", "case": "İıǅ" * 99, "format": "{prompt} %s \\x1b[31m",
}  # fmt: skip


@pytest.mark.parametrize("size", [(64, 64), (240, 64), (64, 240), (128, 128)])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_prompts(name: str, size: tuple[int, int]) -> None:
    model = HOSTILE[name][:64]  # the long ones still have to be cut; longer ones only take longer
    assert draw(HOSTILE[name], seed=-(2**70), width=size[0], height=size[1], model=model).size == size


def test_clean_drops_what_must_not_be_shown() -> None:
    assert clean("a\u202eb\u200d\x1b[31m c\n\n d\ud800\u2066") == "ab [31m c d"
    assert clean("Café naïve — cafe\u0301") == "Cafe naive - cafe"
    assert clean("雪 🦊 x\u0301\u0302\u0303") == "雪 🦊 x"


SHAPES = [(64, 64), (64, 128), (128, 64), (256, 256), (384, 512), (512, 512), (2048, 128), (128, 2048)]


@pytest.mark.parametrize("size", SHAPES)
def test_caption_is_legible_and_inside(size: tuple[int, int]) -> None:
    width, height = size
    # neither prompt has a word that the tables know; only the lettering's own area is compared
    for prompt in ("Wjgqy", "Wjgqy " * 250):
        image = draw(prompt, seed=1, width=width, height=height, model="flux-pro")
        margin = max(1, round(0.03 * min(size)))
        foot = round(min(0.1 * height, 0.2 * width))
        assert contrast(image.crop((margin, height - max(foot, 14), width - margin, height - margin))) > 4.5
        for edge in ((0, 0, 1, height), (width - 1, 0, width, height), (0, height - 1, width, height)):
            assert contrast(image.crop(edge)) < 1.4, "something reaches the edge"


def test_caption_says_the_prompt() -> None:
    foot = (0, 330, 400, 400)
    plain, said = (draw(p, seed=1, width=400, height=400).crop(foot) for p in ("", FOX))
    assert contrast(plain.crop((12, 10, 388, 30))) < 1.4
    assert contrast(said.crop((12, 0, 388, 40))) > 7


def test_caption_shows_model_seed_and_sandbox() -> None:
    pictures = [draw(FOX, seed=seed, width=400, height=400, model="flux-dev") for seed in (11111, 22222)]
    foot, right = (12, 372, 200, 396), (320, 372, 400, 396)
    assert difference(pictures[0].crop(foot), pictures[1].crop(foot)) > 0.5  # the seed's figures differ
    assert contrast(pictures[0].crop(right)) > 4.5  # SANDBOX


@pytest.mark.parametrize("name", PALETTES)
def test_lettering_stands_out_from_its_paper(name: str) -> None:
    paper, ink = choose_paper(Palette(*map(rgb, PALETTES[name].split())))
    light, dark = sorted(map(luminance, (paper, ink)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 7
