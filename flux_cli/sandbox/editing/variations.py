"""Operations that make a whole picture anew from another: image to image, and redux."""

from PIL import Image, ImageChops

from ..drawing.randomness import between, seeded
from .pixels import Size, as_rgb, blur, edges, levels, light_of, mixed, stretched, unit
from .tones import colors_of, prompt_colors, recolored, scene

KEPT = 0.04  # of the input's light and shade at denoise 1


def image_to_image(source: Image.Image, prompt: str, *, seed: int, denoise: float, model: str) -> Image.Image:
    """The source repainted for the prompt, RGB, in the source's size.

    `denoise` is 0 (the source itself) to 1 (hardly any of it). What the source shows is first put into the prompt's
    colours; then the prompt's own scene takes its place, at first where the source has little to see.
    """
    source, denoise = as_rgb(source), min(1.0, max(0.0, denoise))
    restyled = recolored(stretched(blur(light_of(source), unit(source.size) / 500)), prompt_colors(prompt, seed), 8)
    restyled = mixed(restyled, source, 0.12)
    drawn = scene(prompt, seed=seed, size=source.size, model=model, use="image-to-image")
    drawn = mixed(drawn, restyled, KEPT)
    kept = mixed(source, restyled, denoise * (1.8 - 0.8 * denoise))
    return Image.composite(drawn, kept, taken_over(source, denoise**1.4))


def taken_over(source: Image.Image, share: float) -> Image.Image:
    """Where a new picture replaces the source, as an L mask: nowhere at share 0, everywhere at 1, plain parts first.

    Each pixel of the mask only ever grows with the share.
    """
    reach = unit(source.size) / 50
    detail = levels(blur(edges(blur(light_of(source), reach / 10)), reach), 3, 27)  # 3: a print's grain is no detail
    # a power only moves between 0 and 1 as the share does, and the higher it is, the later it gets there
    return detail.point([round(255 * share ** (1 + 5 * value / 255)) for value in range(256)])


def redux(
    source: Image.Image, prompt: str, *, seed: int, strength: float, width: int, height: int, model: str
) -> Image.Image:
    """A variation of the source, RGB, width x height pixels; another seed gives another one.

    `strength` is 0 (a new scene in the source's colours) to 1 (close to the source). The prompt may be empty.
    """
    source, loose = as_rgb(source), 1 - min(1.0, max(0.0, strength))
    varied = reframed(source, (width, height), seed, loose)
    drawn = scene(prompt, seed=seed, size=(width, height), model=model, use="redux")
    own = recolored(stretched(light_of(drawn)), colors_of(source))
    drawn = mixed(drawn, own, 0.5 if prompt.strip() else 0.9)
    return Image.composite(drawn, varied, taken_over(varied, 0.97 * loose))


def reframed(source: Image.Image, size: Size, seed: int, loose: float) -> Image.Image:
    """The source seen from a little nearer and in slightly other colours, the more so the looser."""
    rng = seeded(seed, "redux")
    zoom = 1 - 0.015 - 0.06 * loose
    wide, tall = source.width * zoom, source.height * zoom
    left, top = (source.width - wide) * rng.random(), (source.height - tall) * rng.random()
    near = source.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + wide, top + tall))
    hue, strong, light = near.convert("HSV").split()
    turn = round(between(rng, -1, 1) * (4 + 8 * loose))
    hue = hue.point([(value + turn) % 256 for value in range(256)])
    veil = Image.new("L", size, round(between(rng, 116, 140)))
    return Image.merge("HSV", (hue, strong, ImageChops.add(light, veil, 1, -128))).convert("RGB")
