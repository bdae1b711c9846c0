"""Operations that paint a part of a picture and leave the rest exactly as it was."""

from PIL import Image, ImageChops, ImageOps

from .pixels import Size, as_rgb, blur, levels, light_of, mixed
from .tones import scene


def inpaint(source: Image.Image, mask: Image.Image, prompt: str, *, seed: int, model: str) -> Image.Image:
    """The source (RGB, same size) with the prompt's scene where the mask is white.

    The mask is as large as the source: 255 is painted anew, 0 stays exactly as it is, between them both show. The
    scene is drawn for the masked area's bounding box, and takes on its surroundings' colours towards the mask's edge.
    """
    source, mask = as_rgb(source), light_of(mask)
    if mask.size != source.size:
        raise ValueError(f"The mask has {mask.size} pixels, the picture {source.size}.")
    box = mask.getbbox()
    if not box:
        return source.copy()
    part, hole = source.crop(box), mask.crop(box)
    painted = scene(prompt, seed=seed, size=part.size, model=model, use="inpaint")
    if mask.histogram()[0]:  # else there are no surroundings to go by
        around = filled_in(source, ImageOps.invert(mask)).crop(box)
        painted = Image.composite(mixed(painted, around, 0.08), around, inward(hole))
    result = source.copy()
    result.paste(painted, box[:2], hole)
    return result


def inward(hole: Image.Image) -> Image.Image:
    """An L mask which grows from the hole's edge inwards; where the hole is narrow it still lets half through."""
    area = sum(hole.point([0] * 128 + [1] * 128).histogram()[1:2])
    depth = max(1.0, area / (hole.width + hole.height) / 9)
    reach = round(2 * depth)
    sheet = ImageOps.expand(hole, reach, 0)  # the bounding box's border is an edge of the hole as well
    soft = levels(blur(sheet, depth), 128, 225).crop((reach, reach, reach + hole.width, reach + hole.height))
    return soft.point([128 + value // 2 for value in range(256)]) if soft.getextrema()[1] != 255 else soft


def filled_in(image: Image.Image, known: Image.Image) -> Image.Image:
    """The RGB picture, its unknown parts (known is 0) filled with the colours around them, the softer the farther.

    At least one pixel must be known (255).
    """
    sharp = image.copy()
    sharp.putalpha(known.point([0] * 255 + [255]))
    return pulled(sharp).convert("RGB")


def pulled(image: Image.Image) -> Image.Image:
    """An RGBA picture made opaque from ever coarser copies of itself."""
    alpha = image.getchannel("A")
    if alpha.getextrema()[0] == 255 or image.size == (1, 1):
        return image
    half = (image.width + 1) // 2, (image.height + 1) // 2
    coarse = image.resize(half, Image.Resampling.BOX)
    coarse.putalpha(coarse.getchannel("A").point([0] + [255] * 255))
    whole = pulled(coarse).resize(image.size, Image.Resampling.BILINEAR)
    whole.paste(image, (0, 0), alpha)
    return whole


def outpaint(
    source: Image.Image, prompt: str, *, seed: int, left: int, right: int, top: int, bottom: int, model: str
) -> Image.Image:
    """The source (RGB) with so many pixels more at each side, 0 or more; the source itself stays exactly as it is.

    Next to the source the margins continue its colours; farther out they show the prompt's scene.
    """
    source = as_rgb(source)
    size = source.width + left + right, source.height + top + bottom
    if size == source.size:
        return source.copy()
    sheet, known = Image.new("RGB", size), Image.new("L", size)
    sheet.paste(source, (left, top))
    known.paste(255, (left, top, left + source.width, top + source.height))
    near = filled_in(sheet, known)
    drawn = scene(prompt, seed=seed, size=size, model=model, use="outpaint")
    result = Image.composite(drawn, near, outward(source.size, left, right, top, bottom))
    result.paste(source, (left, top))
    return result


def outward(size: Size, left: int, right: int, top: int, bottom: int) -> Image.Image:
    """An L mask of the extended picture: 0 at the source, growing towards the outer borders."""
    ramps = [
        Image.frombytes("L", shape, bytes([*slope(before)[::-1], *bytes(middle), *slope(after)]))
        for shape, before, middle, after in (
            ((left + size[0] + right, 1), left, size[0], right),
            ((1, top + size[1] + bottom), top, size[1], bottom),
        )
    ]
    full = ramps[0].width, ramps[1].height
    return ImageChops.screen(*(ramp.resize(full, Image.Resampling.NEAREST) for ramp in ramps))


def slope(length: int) -> list[int]:
    """0..255 over a margin of so many pixels, slow at first, and full at half its way."""
    return [round(255 * min(1.0, 2 * (i + 1) / length) ** 1.5) for i in range(length)]
