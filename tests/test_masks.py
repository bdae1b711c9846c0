"""The region to inpaint: exactly the intended pixels, and never an empty region."""

import io
import os
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from flux_cli.errors import UsageError
from flux_cli.images.load import encode, load_image
from flux_cli.images.masks import (
    cut_out,
    finish,
    from_alpha,
    from_box,
    from_color,
    from_image,
    overlay,
    parse_box,
)

from .conftest import Flux


def encode_image(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode_image(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def make_mask(*values: int) -> Image.Image:
    """Return a mask of one row."""
    return Image.frombytes("L", (len(values), 1), bytes(values))


def make_row(mode: str, *pixels: object) -> Image.Image:
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)  # type: ignore[arg-type]
    return image


def make_box_mask(size: int, box: tuple[int, int, int, int]) -> Image.Image:
    """Return a black mask with a white rectangle. The right and bottom edges are exclusive."""
    mask = Image.new("L", (size, size))
    mask.paste(255, box)
    return mask


def get_message(caught: pytest.ExceptionInfo[UsageError]) -> str:
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("10,20,30,40", (10, 20, 30, 40)),
        (" 10 , 20 , 30 , 40 ", (10, 20, 30, 40)),
        ("0,0,200,100", (0, 0, 200, 100)),
        ("0%,0%,100%,100%", (0, 0, 200, 100)),
        ("10%,10%,25%,50%", (20, 10, 50, 50)),
        ("50%,0,50%,50", (100, 0, 100, 50)),
        ("33.3%,0,33.4%,1", (67, 0, 66, 1)),  # 66.6 to 133.4
        ("199,99,1,1", (199, 99, 1, 1)),
        ("50%,0,50.2%,1", (100, 0, 100, 1)),  # beyond by less than half a pixel
        ("0,0,0.3%,1", (0, 0, 1, 1)),  # 0.6 of a pixel
    ],
)
def test_a_box_is_parsed_in_pixels_or_percent(text: str, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = parse_box(text, 200, 100)
    assert (left, top, right - left, bottom - top) == box


BOX = ": expected X,Y,W,H in pixels or percent, for example 10%,20%,300,50%"
COLOR = ": expected #rrggbb, #rgb or a CSS name, for example #ff8800 or teal"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"invalid --mask-box ''{BOX}"),
        ("1,2,3", f"invalid --mask-box '1,2,3'{BOX}"),
        ("1,2,3,4,5", f"invalid --mask-box '1,2,3,4,5'{BOX}"),
        ("1,2,3,", f"invalid --mask-box '1,2,3,'{BOX}"),
        ("a,b,c,d", f"invalid --mask-box 'a,b,c,d'{BOX}"),
        ("1.5,2,3,4", f"invalid --mask-box '1.5,2,3,4'{BOX}"),
        ("1,2,3 %,4", f"invalid --mask-box '1,2,3 %,4'{BOX}"),
        ("1,2,3%%,4", f"invalid --mask-box '1,2,3%%,4'{BOX}"),
        ("1,2,1e3,4", f"invalid --mask-box '1,2,1e3,4'{BOX}"),
        ("1,2,0x9,4", f"invalid --mask-box '1,2,0x9,4'{BOX}"),
        ("1,2,nan,4", f"invalid --mask-box '1,2,nan,4'{BOX}"),
        ("1,2,٣,4", f"invalid --mask-box '1,2,٣,4'{BOX}"),
        ("1,2,3/0%,4", f"invalid --mask-box '1,2,3/0%,4'{BOX}"),
        ("1,2,9999999999,4", f"invalid --mask-box '1,2,9999999999,4'{BOX}"),
        ("1,2,3\x1b,4", f"invalid --mask-box '1,2,3\\x1b,4'{BOX}"),
        ("1,2,0,4", "the box '1,2,0,4' is empty"),
        ("1,2,3,-4", "the box '1,2,3,-4' is empty"),
        ("0,0,0.2%,4", "the box '0,0,0.2%,4' is empty"),
        ("200,0,5,5", "the box '200,0,5,5' reaches beyond the image (200x100): from 200,0 to 205,5"),
        ("10%,10%,200%,10%", "the box '10%,10%,200%,10%' reaches beyond the image (200x100): from 20,10 to 420,20"),
        ("0,95,5,6", "the box '0,95,5,6' reaches beyond the image (200x100): from 0,95 to 5,101"),
        ("-5,0,9,5", "the box '-5,0,9,5' reaches beyond the image (200x100): from -5,0 to 4,5"),
        ("0,-9,5,10%", "the box '0,-9,5,10%' reaches beyond the image (200x100): from 0,-9 to 5,1"),
    ],
)
def test_an_invalid_box_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_box(text, 200, 100)
    assert get_message(caught) == message


SIDES = st.integers(1, 5000)


@given(st.text(max_size=20) | st.from_regex(r"(-?\d{1,4}%?,){3}-?\d{1,4}%?", fullmatch=True), SIDES, SIDES)
def test_a_parsed_box_lies_inside_the_image_and_is_not_empty(text: str, width: int, height: int) -> None:
    try:
        left, top, right, bottom = parse_box(text, width, height)
    except UsageError:
        return
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(st.integers(1, 99), st.integers(100, 5000))
@example(50, 101)
def test_adjacent_boxes_in_percent_are_adjacent_in_pixels(percent: int, side: int) -> None:
    _, _, end, _ = parse_box(f"0,0,{percent}%,1", side, 1)
    start, _, last, _ = parse_box(f"{percent}%,0,{100 - percent}%,1", side, 1)
    assert (end, last) == (start, side)


def test_a_box_mask_is_white_only_inside_the_box() -> None:
    mask = from_box((2, 1, 5, 3), (6, 4))
    assert mask.mode == "L"
    white = {(x, y) for x in range(6) for y in range(4) if mask.getpixel((x, y)) == 255}
    assert white == {(x, y) for x in (2, 3, 4) for y in (1, 2)}
    assert mask.histogram()[0] == 24 - 6


@pytest.mark.parametrize(
    ("color", "tolerance", "white"),
    [
        ("#ff0000", 0, [255, 0, 0, 0, 0]),
        ("#F00", 0, [255, 0, 0, 0, 0]),
        (" Red ", 0, [255, 0, 0, 0, 0]),
        ("red", 4, [255, 0, 0, 0, 0]),
        ("red", 5, [255, 255, 0, 0, 0]),
        ("red", 9, [255, 255, 0, 0, 0]),
        ("red", 10, [255, 255, 255, 0, 0]),
        ("#ffffff", 0, [0, 0, 0, 255, 0]),
        ("rebeccapurple", 0, [0, 0, 0, 0, 255]),
        ("white", 255, [255, 255, 255, 255, 255]),
    ],
)
def test_a_color_selects_pixels_within_a_tolerance(color: str, tolerance: int, white: list[int]) -> None:
    image = make_row("RGB", (255, 0, 0), (250, 5, 5), (255, 10, 0), (255, 255, 255), (0x66, 0x33, 0x99))
    mask = from_color(image, color, tolerance)
    assert (mask.mode, list(mask.tobytes())) == ("L", white)


@pytest.mark.parametrize(
    "image",
    [
        make_row("RGBA", (0, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 1), (9, 9, 9, 255)),
        make_row("LA", (0, 255), (0, 0), (0, 1), (9, 255)),
    ],
    ids=lambda image: image.mode,
)
def test_a_color_does_not_select_transparent_pixels(image: Image.Image) -> None:
    assert list(from_color(image, "black", 0).tobytes()) == [255, 0, 255, 0]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_a_color_is_found_in_every_image_mode(mode: str) -> None:
    assert list(from_color(make_row("L", 0, 255).convert(mode), "white", 0).tobytes()) == [0, 255]


@pytest.mark.parametrize(
    ("color", "tolerance", "message"),
    [
        ("", 0, f"invalid --mask-color ''{COLOR}"),
        ("#ff", 0, f"invalid --mask-color '#ff'{COLOR}"),
        ("#ff00000", 0, f"invalid --mask-color '#ff00000'{COLOR}"),
        ("#ff0000ff", 0, f"invalid --mask-color '#ff0000ff'{COLOR}"),
        ("ff0000", 0, f"invalid --mask-color 'ff0000'{COLOR}"),
        ("#gg0000", 0, f"invalid --mask-color '#gg0000'{COLOR}"),
        ("rgb(255,0,0)", 0, f"invalid --mask-color 'rgb(255,0,0)'{COLOR}"),
        ("reddish\x1b[m", 0, f"invalid --mask-color 'reddish\\x1b[m'{COLOR}"),
        ("lime", 254, "no pixel of the image is close to lime"),
    ],
)
def test_an_invalid_or_missing_color_is_refused(color: str, tolerance: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_color(make_row("RGB", (255, 0, 0), (255, 255, 255)), color, tolerance)
    assert get_message(caught) == message


PALETTE = Image.frombytes("P", (2, 1), b"\0\1")
PALETTE.putpalette([1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("image", "white"),
    [
        (make_row("RGBA", (9, 9, 9, 255), (9, 9, 9, 0), (9, 9, 9, 200)), [0, 255, 55]),
        (make_row("LA", (9, 255), (9, 0)), [0, 255]),
        (decode_image(encode_image(PALETTE, transparency=1)), [0, 255]),
        (decode_image(encode_image(make_row("RGB", (1, 2, 3), (4, 5, 6)), transparency=(4, 5, 6))), [0, 255]),
    ],
    ids=["RGBA", "LA", "P", "RGB"],
)
def test_transparent_pixels_are_repainted(image: Image.Image, white: list[int]) -> None:
    mask = from_alpha(image)
    assert (mask.mode, list(mask.tobytes())) == ("L", white)


@pytest.mark.parametrize(
    "image",
    [
        make_row("RGB", (0, 0, 0)),
        make_row("L", 0),
        make_row("RGBA", (0, 0, 0, 255)),
        make_row("RGBA", (0, 0, 0, 128)),
        PALETTE,
    ],
    ids=["RGB", "L", "opaque", "half", "P"],
)
def test_an_image_without_transparency_is_refused(image: Image.Image) -> None:
    with pytest.raises(UsageError, match="no transparent part"):
        from_alpha(image)


GRAY16 = Image.frombytes("I;16", (8, 1), struct.pack("<8H", 0, 65535, 0, 65535, 0, 65535, 0x8000, 255))


def read_mask(image: Image.Image, *, invert: bool = False, kind: str = "PNG", **options: object) -> Image.Image:
    """Write this image to a file, and return the mask that is read from it."""
    stored = load_image(encode_image(image, kind, **options), "m.png").image
    mask, _ = from_image(stored, stored.size, "m.png", invert=invert)
    return finish(mask, feather=0, invert=invert)


@pytest.mark.parametrize(
    ("image", "white"),
    [
        (make_mask(0, 255, 128, 3), [0, 255, 128, 3]),
        (make_mask(0, 255, 0, 255).convert("1"), [0, 255, 0, 255]),
        (make_mask(0, 255, 128, 3).convert("RGB"), [0, 255, 128, 3]),
        (make_mask(0, 255, 128, 3).convert("P"), [0, 255, 128, 3]),
        (GRAY16, [0, 255, 0, 255, 0, 255, 128, 0]),
        (make_row("RGBA", (255, 255, 255, 200), (0, 0, 0, 255)), [255, 0]),
    ],
    ids=["L", "1", "RGB", "P", "I;16", "RGBA without transparency"],
)
def test_white_is_the_region_of_an_opaque_mask(image: Image.Image, white: list[int]) -> None:
    mask = read_mask(image)
    assert (mask.mode, list(mask.tobytes())) == ("L", white)
    assert list(read_mask(image, invert=True).tobytes()) == [255 - value for value in white]


SIZE = (200, 100)
DISC = Image.new("L", SIZE)
ImageDraw.Draw(DISC).ellipse((40, 20, 100, 80), fill=255)
SOFT_DISC = DISC.filter(ImageFilter.GaussianBlur(6))


def make_photo(mode: str = "RGB") -> Image.Image:
    """Return a gradient with many colors, like a photo."""
    slope = Image.linear_gradient("L")
    return Image.merge("RGB", (slope, slope.rotate(90), slope.rotate(180))).resize(SIZE).convert(mode)


def erase(image: Image.Image, hole: Image.Image) -> Image.Image:
    """Return the image, transparent where the hole is white."""
    image = image.copy()
    image.putalpha(ImageChops.invert(hole))
    return image


def make_layer(color: tuple[int, int, int]) -> Image.Image:
    """Return a disc on a transparent layer."""
    return erase(Image.new("RGB", SIZE, color), ImageChops.invert(DISC))


def make_palette_image() -> Image.Image:
    image = DISC.point(lambda value: 1 if value else 0).convert("P")
    image.putpalette([20, 60, 200, 0, 255, 0])
    return image


ERASED = [
    (erase(make_photo(), DISC), {}, DISC),
    (erase(make_photo("L"), DISC), {}, DISC),
    (erase(make_photo(), SOFT_DISC), {}, SOFT_DISC),
    (erase(make_photo(), SOFT_DISC), {"kind": "WEBP", "lossless": True}, SOFT_DISC),
    (make_palette_image(), {"transparency": 1}, DISC),
    (erase(Image.new("RGB", SIZE, "black"), DISC), {}, DISC),
    (make_layer((0, 0, 0)), {}, ImageChops.invert(DISC)),
    (make_layer((255, 0, 0)), {}, ImageChops.invert(DISC)),
    (Image.merge("LA", (Image.new("L", SIZE), ImageChops.invert(DISC))), {}, DISC),
]
"""Files as image editors export them, and their transparent parts."""


@pytest.mark.parametrize(("image", "options", "hole"), ERASED)
def test_the_transparent_part_of_a_mask_is_the_region(
    image: Image.Image, options: dict[str, object], hole: Image.Image
) -> None:
    assert read_mask(image, **options).tobytes() == hole.tobytes()  # type: ignore[arg-type]
    inverted = read_mask(image, invert=True, **options)  # type: ignore[arg-type]
    assert inverted.tobytes() == ImageChops.invert(hole).tobytes()


def test_white_on_a_transparent_layer_is_ambiguous() -> None:
    """Some people paint the region white; other tools select the transparent part."""
    painted = make_layer((255, 255, 255))
    with pytest.raises(UsageError, match="either could be the region") as caught:
        read_mask(painted)
    assert caught.value.hint
    assert caught.value.hint.startswith("Add --invert to select the white part")
    assert read_mask(painted, invert=True).tobytes() == DISC.tobytes()

    partly = erase(DISC.convert("RGB"), from_box((0, 0, 20, 20), SIZE))
    for invert in (False, True):
        with pytest.raises(UsageError, match="either could be the region") as caught:
            read_mask(partly, invert=invert)
        assert caught.value.hint == "Save it without transparency, the region white and the rest black"


@pytest.mark.parametrize("quality", [30, 90])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_mask_is_read(mode: str, quality: int) -> None:
    mask = read_mask(DISC.convert("RGB").convert(mode), kind="JPEG", quality=quality)
    off = ImageChops.difference(mask.point(lambda value: 255 if value >= 128 else 0), DISC)
    assert sum(off.histogram()[1:]) < 60  # of 20,000 pixels, at the edge


@pytest.mark.parametrize("radius", [1, 10, 20])
def test_a_mask_with_a_wide_soft_edge_is_used_unchanged(radius: int) -> None:
    soft = DISC.filter(ImageFilter.GaussianBlur(radius))
    assert read_mask(soft).tobytes() == soft.tobytes()


def test_the_exif_orientation_of_a_mask_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert list(read_mask(make_mask(0, 255), exif=exif).tobytes()) == [0, 255]


COLORS = "m.png is not a mask: it has colors"
BLACK = "the mask m.png is entirely black, so it selects nothing"
WHITE = "the mask m.png is entirely white, so it selects the whole image"
HINT = "Draw a mask with the region white and the rest black, or erase the region from a copy of the image"


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (make_photo(), COLORS),
        (make_photo("RGBA"), COLORS),
        (make_photo("CMYK").convert("RGB"), COLORS),
        (ImageChops.multiply(DISC.convert("RGB"), Image.new("RGB", SIZE, "red")), COLORS),
        (make_photo("L"), "m.png is not a mask: it is mostly gray"),
        (Image.linear_gradient("L"), "m.png is not a mask: it is mostly gray"),
        (Image.new("L", SIZE), BLACK),
        (from_box((0, 0, 1, 1), SIZE), BLACK),  # a speck
        (Image.new("L", SIZE, 255), WHITE),
        (ImageChops.invert(from_box((0, 0, 1, 1), SIZE)), WHITE),
    ],
)
def test_an_image_that_is_not_a_mask_is_refused(image: Image.Image, message: str, invert: bool) -> None:
    with pytest.raises(UsageError) as caught:
        read_mask(image, invert=invert)
    inverted = {
        BLACK: "the mask m.png is entirely black, so it selects the whole image with --invert",
        WHITE: "the mask m.png is entirely white, so it selects nothing with --invert",
    }
    assert (get_message(caught), caught.value.hint) == (inverted.get(message, message) if invert else message, HINT)


@pytest.mark.parametrize(("invert", "message"), [(False, "the mask selects the whole image"), (True, "the mask selects nothing")])  # fmt: skip
def test_a_fully_transparent_mask_is_refused(invert: bool, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_mask(Image.new("RGBA", SIZE), invert=invert)
    assert get_message(caught) == message


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        from_image(DISC, (200, 99), "m.png", invert=False)
    assert get_message(caught) == "the mask m.png is 200x100, but the image is 200x99"


def test_a_region_of_two_pixels_is_accepted() -> None:
    mask = from_box((0, 0, 2, 1), SIZE)
    assert read_mask(mask).tobytes() == mask.tobytes()


@pytest.mark.parametrize(("invert", "values"), [(False, [0, 255, 100]), (True, [255, 0, 155])])
def test_a_mask_without_a_feather_is_exact(invert: bool, values: list[int]) -> None:
    mask = make_mask(0, 255, 100)
    assert list(finish(mask, feather=0, invert=invert).tobytes()) == values
    assert list(mask.tobytes()) == [0, 255, 100], "the caller's own mask was changed"


@pytest.mark.parametrize("feather", [1, 5, 20])
def test_a_feather_softens_the_edge_outward(feather: int) -> None:
    mask = make_box_mask(200, (0, 0, 100, 200))
    soft = finish(mask, feather=feather, invert=False)
    row = [soft.getpixel((x, 100)) for x in range(200)]
    assert row[:100] == [255] * 100
    outside: list[int] = row[100:]  # type: ignore[assignment]
    assert outside == sorted(outside, reverse=True)
    assert outside[0] > 255 - 250 // feather, "a hard step at the edge"
    assert 25 < outside[feather] < 85  # twice what a Gaussian leaves beyond one deviation is 81, pixels are coarse
    assert outside[4 * feather] < 3


def test_a_mask_is_inverted_before_it_is_feathered() -> None:
    mask = make_box_mask(100, (0, 0, 50, 100))
    soft = finish(mask, feather=5, invert=True)
    assert soft.getpixel((50, 50)) == 255
    assert 0 < soft.getpixel((48, 50)) < 255  # type: ignore[operator]


@given(st.integers(0, 200), st.integers(0, 30), st.integers(1, 9), st.booleans())
def test_a_feather_only_adds_to_the_mask(feather: int, start: int, side: int, invert: bool) -> None:
    mask = make_box_mask(40, (start, start, start + side, start + side))
    hard = ImageChops.invert(mask) if invert else mask
    try:
        soft = finish(mask, feather=feather, invert=invert)
    except UsageError as error:
        assert "the whole image" in error.message  # noqa: PT017 - most examples are not refused
        return
    assert ImageChops.lighter(soft, hard).tobytes() == soft.tobytes()


@pytest.mark.parametrize(
    ("mask", "feather", "invert", "message"),
    [
        (make_mask(0, 0), 0, False, "the mask selects nothing"),
        (make_mask(127, 0), 0, False, "the mask selects nothing"),
        (make_mask(255, 255), 3, True, "the mask selects nothing"),
        (make_mask(255, 128), 0, False, "the mask selects the whole image"),
        (make_mask(0, 0), 0, True, "the mask selects the whole image"),
        (make_mask(255, 0), 200, False, "the mask selects the whole image"),
        (make_mask(255, 0), -1, False, "feather -1 is out of range (0 to 200)"),
        (make_mask(255, 0), 201, False, "feather 201 is out of range (0 to 200)"),
    ],
)
def test_an_unusable_mask_is_refused(mask: Image.Image, feather: int, invert: bool, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        finish(mask, feather=feather, invert=invert)
    assert get_message(caught) == message


def test_a_mask_is_encoded_as_a_grayscale_png() -> None:
    image = decode_image(encode(make_mask(0, 77, 255), "PNG"))
    assert (image.format, image.mode, list(image.tobytes())) == ("PNG", "L", [0, 77, 255])
    assert set(image.info) == set()


@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        (make_row("RGB", (1, 2, 3), (4, 5, 6), (7, 8, 9)), [(1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 155)]),
        (make_row("L", 1, 4, 7), [(1, 1, 1, 255), (4, 4, 4, 0), (7, 7, 7, 155)]),
        # Transparent pixels outside the region become opaque; otherwise, they would be inpainted.
        (
            make_row("RGBA", (1, 2, 3, 0), (4, 5, 6, 255), (7, 8, 9, 0)),
            [(1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 155)],
        ),
    ],
    ids=["RGB", "L", "RGBA"],
)
def test_the_region_is_cut_out(image: Image.Image, pixels: list[tuple[int, ...]]) -> None:
    cut = decode_image(cut_out(image, make_mask(0, 255, 100)))
    assert (cut.format, cut.mode) == ("PNG", "RGBA")
    assert [cut.getpixel((x, 0)) for x in range(3)] == pixels


def test_cutting_out_the_transparent_part_returns_the_same_image() -> None:
    image = make_row("RGBA", (1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 90))
    assert decode_image(cut_out(image, from_alpha(image))).tobytes() == image.tobytes()


def test_a_cut_out_image_has_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe's kitchen"
    image = decode_image(encode_image(Image.new("RGB", (2, 1)), "JPEG", exif=exif, comment=b"Jane Doe"))
    assert b"Jane" not in cut_out(image, make_mask(0, 255))


def test_an_overlay_tints_the_region_and_keeps_the_rest() -> None:
    image = Image.new("RGB", (100, 100), (0, 100, 200))
    result = overlay(image, make_box_mask(100, (30, 30, 70, 70)))
    assert (result.mode, result.size) == ("RGB", (100, 100))
    row = [result.getpixel((x, 50)) for x in range(100)]
    rest, black, white, tinted = (0, 100, 200), (0, 0, 0), (255, 255, 255), row[50]
    assert row == [rest] * 29 + [black, white] + [tinted] * 38 + [white, black] + [rest] * 29
    assert tinted == (114, 55, 154)  # 114 of 255 parts of the tint
    assert image.getpixel((50, 50)) == (0, 100, 200), "the caller's own image was changed"


def test_an_outline_is_visible_on_a_large_image() -> None:
    blue, black, white = (0, 0, 255), (0, 0, 0), (255, 255, 255)
    result = overlay(Image.new("RGB", (1500, 300), blue), from_box((500, 100, 1000, 200), (1500, 300)))
    tinted = result.getpixel((700, 150))
    assert [result.getpixel((x, 150)) for x in range(494, 506)] == [blue, *[black] * 5, *[white] * 5, tinted]


def test_an_overlay_of_a_transparent_image_has_a_gray_background() -> None:
    image = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    assert overlay(image, make_box_mask(50, (0, 0, 9, 9))).getpixel((40, 40)) == (128, 128, 128)


def test_a_soft_mask_stays_soft_in_the_cut_out_image() -> None:
    mask = finish(read_mask(DISC), feather=4, invert=False)
    alpha = decode_image(cut_out(Image.new("RGB", SIZE, "green"), mask)).getchannel("A")
    assert alpha.getpixel((70, 50)) == 0
    assert alpha.getpixel((190, 90)) == 255
    assert 0 < alpha.getpixel((103, 50)) < 255  # type: ignore[operator]


def test_inpaint_accepts_an_erased_photo_as_its_mask(flux: Flux) -> None:
    image = make_photo().resize((400, 300))
    image.save("photo.png")
    erase(image, DISC.resize((400, 300))).save("erased.png")
    line = "inpaint photo.png 'a hat' --mask erased.png --show-mask preview.png"
    result = flux(line)

    assert (result.code, result.out) == (0, "preview.png\n")
    assert "mask erased.png: its transparent part is the region" in result.err
    with Image.open("preview.png") as preview:
        changed = ImageChops.difference(preview.convert("RGB"), image)
        assert preview.format == "PNG"
    assert changed.getpixel((140, 150)) != (0, 0, 0)
    assert changed.getpixel((300, 150)) == (0, 0, 0)

    refused = flux("inpaint photo.png 'a hat' --mask photo.png --show-mask again.png")
    assert (refused.code, refused.out) == (2, "")
    assert "photo.png is not a mask: it has colors" in refused.err
    assert not Path("again.png").exists()


def test_a_mask_preview_is_written_like_other_images(flux: Flux) -> None:
    make_photo().resize((400, 300)).save("photo.png")
    before = os.umask(0o022)
    try:
        assert flux("inpaint photo.png x --mask-box 0,0,99,99 --show-mask preview.png").code == 0
    finally:
        os.umask(before)
    assert Path("preview.png").stat().st_mode & 0o777 == 0o644
    refused = flux("inpaint photo.png x --mask-box 0,0,99,99 --show-mask preview.jpg")
    assert (refused.code, "saved as PNG, not as .jpg" in refused.err) == (2, True)
    directory = flux("inpaint photo.png x --mask-box 0,0,99,99 --show-mask . --overwrite")
    assert (directory.code, "'.' is a directory" in directory.err) == (11, True)
