"""The region to repaint: exactly the pixels that were meant, and never none of them."""

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


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def mask_of(*values: int) -> Image.Image:
    """A mask of one row."""
    return Image.frombytes("L", (len(values), 1), bytes(values))


def row_of(mode: str, *pixels: object) -> Image.Image:
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)  # type: ignore[arg-type]
    return image


def square(size: int, box: tuple[int, int, int, int]) -> Image.Image:
    """Black, with a white rectangle from a corner up to, not including, the other."""
    mask = Image.new("L", (size, size))
    mask.paste(255, box)
    return mask


def problem(caught: pytest.ExceptionInfo[UsageError]) -> str:
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
def test_a_box_in_pixels_or_percent(text: str, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = parse_box(text, 200, 100)
    assert (left, top, right - left, bottom - top) == box


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the box '' is not X,Y,W,H"),
        ("1,2,3", "the box '1,2,3' is not X,Y,W,H"),
        ("1,2,3,4,5", "the box '1,2,3,4,5' is not X,Y,W,H"),
        ("1,2,3,", "the box '1,2,3,' is not X,Y,W,H"),
        ("a,b,c,d", "the box 'a,b,c,d' is not X,Y,W,H"),
        ("1.5,2,3,4", "the box '1.5,2,3,4' is not X,Y,W,H"),
        ("1,2,3 %,4", "the box '1,2,3 %,4' is not X,Y,W,H"),
        ("1,2,3%%,4", "the box '1,2,3%%,4' is not X,Y,W,H"),
        ("1,2,1e3,4", "the box '1,2,1e3,4' is not X,Y,W,H"),
        ("1,2,0x9,4", "the box '1,2,0x9,4' is not X,Y,W,H"),
        ("1,2,nan,4", "the box '1,2,nan,4' is not X,Y,W,H"),
        ("1,2,٣,4", "the box '1,2,٣,4' is not X,Y,W,H"),
        ("1,2,3/0%,4", "the box '1,2,3/0%,4' is not X,Y,W,H"),
        ("1,2,9999999999,4", "the box '1,2,9999999999,4' is not X,Y,W,H"),
        ("1,2,3\x1b,4", "the box '1,2,3\\x1b,4' is not X,Y,W,H"),
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
def test_no_box_in_the_image(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_box(text, 200, 100)
    assert problem(caught) == message


SIDES = st.integers(1, 5000)


@given(st.text(max_size=20) | st.from_regex(r"(-?\d{1,4}%?,){3}-?\d{1,4}%?", fullmatch=True), SIDES, SIDES)
def test_a_parsed_box_is_inside_and_has_a_pixel(text: str, width: int, height: int) -> None:
    try:
        left, top, right, bottom = parse_box(text, width, height)
    except UsageError:
        return
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(st.integers(1, 99), st.integers(100, 5000))
@example(50, 101)
def test_boxes_that_meet_in_percent_meet_in_pixels(share: int, side: int) -> None:
    _, _, end, _ = parse_box(f"0,0,{share}%,1", side, 1)
    start, _, last, _ = parse_box(f"{share}%,0,{100 - share}%,1", side, 1)
    assert (end, last) == (start, side)


def test_a_box_is_white_and_nothing_else() -> None:
    mask = from_box((2, 1, 5, 3), (6, 4))
    assert mask.mode == "L"
    white = {(x, y) for x in range(6) for y in range(4) if mask.getpixel((x, y)) == 255}
    assert white == {(x, y) for x in (2, 3, 4) for y in (1, 2)}
    assert mask.histogram()[0] == 24 - 6


@pytest.mark.parametrize(
    ("colour", "tolerance", "white"),
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
def test_a_colour_within_a_tolerance(colour: str, tolerance: int, white: list[int]) -> None:
    image = row_of("RGB", (255, 0, 0), (250, 5, 5), (255, 10, 0), (255, 255, 255), (0x66, 0x33, 0x99))
    mask = from_color(image, colour, tolerance)
    assert (mask.mode, list(mask.tobytes())) == ("L", white)


@pytest.mark.parametrize(
    "image",
    [
        row_of("RGBA", (0, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 1), (9, 9, 9, 255)),
        row_of("LA", (0, 255), (0, 0), (0, 1), (9, 255)),
    ],
    ids=lambda image: image.mode,
)
def test_a_colour_that_nobody_sees_is_not_meant(image: Image.Image) -> None:
    assert list(from_color(image, "black", 0).tobytes()) == [255, 0, 255, 0]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_a_colour_in_a_picture_of_any_mode(mode: str) -> None:
    assert list(from_color(row_of("L", 0, 255).convert(mode), "white", 0).tobytes()) == [0, 255]


@pytest.mark.parametrize(
    ("colour", "tolerance", "message"),
    [
        ("", 0, "'' is not a color"),
        ("#ff", 0, "'#ff' is not a color"),
        ("#ff00000", 0, "'#ff00000' is not a color"),
        ("#ff0000ff", 0, "'#ff0000ff' is not a color"),
        ("ff0000", 0, "'ff0000' is not a color"),
        ("#gg0000", 0, "'#gg0000' is not a color"),
        ("rgb(255,0,0)", 0, "'rgb(255,0,0)' is not a color"),
        ("reddish\x1b[m", 0, "'reddish\\x1b[m' is not a color"),
        ("lime", 254, "no pixel of the image is lime (within 254 of 255 steps per channel)"),
    ],
)
def test_no_such_colour(colour: str, tolerance: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_color(row_of("RGB", (255, 0, 0), (255, 255, 255)), colour, tolerance)
    assert problem(caught) == message


PALETTE = Image.frombytes("P", (2, 1), b"\0\1")
PALETTE.putpalette([1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("image", "white"),
    [
        (row_of("RGBA", (9, 9, 9, 255), (9, 9, 9, 0), (9, 9, 9, 200)), [0, 255, 55]),
        (row_of("LA", (9, 255), (9, 0)), [0, 255]),
        (decoded(encoded(PALETTE, transparency=1)), [0, 255]),
        (decoded(encoded(row_of("RGB", (1, 2, 3), (4, 5, 6)), transparency=(4, 5, 6))), [0, 255]),
    ],
    ids=["RGBA", "LA", "P", "RGB"],
)
def test_what_is_transparent_is_repainted(image: Image.Image, white: list[int]) -> None:
    mask = from_alpha(image)
    assert (mask.mode, list(mask.tobytes())) == ("L", white)


@pytest.mark.parametrize(
    "image",
    [row_of("RGB", (0, 0, 0)), row_of("L", 0), row_of("RGBA", (0, 0, 0, 255)), row_of("RGBA", (0, 0, 0, 128)), PALETTE],
    ids=["RGB", "L", "opaque", "half", "P"],
)
def test_nothing_is_transparent(image: Image.Image) -> None:
    with pytest.raises(UsageError, match="no transparent part"):
        from_alpha(image)


GRAY16 = Image.frombytes("I;16", (8, 1), struct.pack("<8H", 0, 65535, 0, 65535, 0, 65535, 0x8000, 255))


def read_mask(image: Image.Image, *, invert: bool = False, kind: str = "PNG", **options: object) -> Image.Image:
    """The mask in a file with this image, as it is used."""
    stored = load_image(encoded(image, kind, **options), "m.png").image
    mask, _ = from_image(stored, stored.size, "m.png", invert=invert)
    return finish(mask, feather=0, invert=invert)


@pytest.mark.parametrize(
    ("image", "white"),
    [
        (mask_of(0, 255, 128, 3), [0, 255, 128, 3]),
        (mask_of(0, 255, 0, 255).convert("1"), [0, 255, 0, 255]),
        (mask_of(0, 255, 128, 3).convert("RGB"), [0, 255, 128, 3]),
        (mask_of(0, 255, 128, 3).convert("P"), [0, 255, 128, 3]),
        (GRAY16, [0, 255, 0, 255, 0, 255, 128, 0]),
        (row_of("RGBA", (255, 255, 255, 200), (0, 0, 0, 255)), [255, 0]),
    ],
    ids=["L", "1", "RGB", "P", "I;16", "RGBA without transparency"],
)
def test_without_transparency_what_is_white_is_the_region(image: Image.Image, white: list[int]) -> None:
    mask = read_mask(image)
    assert (mask.mode, list(mask.tobytes())) == ("L", white)
    assert list(read_mask(image, invert=True).tobytes()) == [255 - value for value in white]


SIZE = (200, 100)
DISC = Image.new("L", SIZE)
ImageDraw.Draw(DISC).ellipse((40, 20, 100, 80), fill=255)
SOFT_DISC = DISC.filter(ImageFilter.GaussianBlur(6))


def photo(mode: str = "RGB") -> Image.Image:
    """Many colors, in a gradient, as a photo has them."""
    slope = Image.linear_gradient("L")
    return Image.merge("RGB", (slope, slope.rotate(90), slope.rotate(180))).resize(SIZE).convert(mode)


def with_hole(image: Image.Image, hole: Image.Image) -> Image.Image:
    """The image, erased where the hole is white."""
    image = image.copy()
    image.putalpha(ImageChops.invert(hole))
    return image


def layer(color: tuple[int, int, int]) -> Image.Image:
    """A disc painted on a transparent layer."""
    return with_hole(Image.new("RGB", SIZE, color), ImageChops.invert(DISC))


def palette_with_hole() -> Image.Image:
    image = DISC.point(lambda value: 1 if value else 0).convert("P")
    image.putpalette([20, 60, 200, 0, 255, 0])
    return image


ERASED = [
    (with_hole(photo(), DISC), {}, DISC),
    (with_hole(photo("L"), DISC), {}, DISC),
    (with_hole(photo(), SOFT_DISC), {}, SOFT_DISC),
    (with_hole(photo(), SOFT_DISC), {"kind": "WEBP", "lossless": True}, SOFT_DISC),
    (palette_with_hole(), {"transparency": 1}, DISC),
    (with_hole(Image.new("RGB", SIZE, "black"), DISC), {}, DISC),
    (layer((0, 0, 0)), {}, ImageChops.invert(DISC)),
    (layer((255, 0, 0)), {}, ImageChops.invert(DISC)),
    (Image.merge("LA", (Image.new("L", SIZE), ImageChops.invert(DISC))), {}, DISC),
]
"""Files as editors export them, and what is transparent in them."""


@pytest.mark.parametrize(("image", "options", "hole"), ERASED)
def test_what_is_transparent_is_the_region_as_in_other_image_tools(
    image: Image.Image, options: dict[str, object], hole: Image.Image
) -> None:
    assert read_mask(image, **options).tobytes() == hole.tobytes()  # type: ignore[arg-type]
    inverted = read_mask(image, invert=True, **options)  # type: ignore[arg-type]
    assert inverted.tobytes() == ImageChops.invert(hole).tobytes()


def test_white_on_a_transparent_layer_is_not_guessed() -> None:
    """People draw the region in white; other tools select what is transparent."""
    painted = layer((255, 255, 255))
    with pytest.raises(UsageError, match="either could be the region") as caught:
        read_mask(painted)
    assert caught.value.hint
    assert caught.value.hint.startswith("Add --invert to select the white part")
    assert read_mask(painted, invert=True).tobytes() == DISC.tobytes()

    partly = with_hole(DISC.convert("RGB"), from_box((0, 0, 20, 20), SIZE))
    for invert in (False, True):
        with pytest.raises(UsageError, match="either could be the region") as caught:
            read_mask(partly, invert=invert)
        assert caught.value.hint == "Save it without transparency, the region white and the rest black"


@pytest.mark.parametrize("quality", [30, 90])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_mask_that_was_saved_as_a_jpeg(mode: str, quality: int) -> None:
    mask = read_mask(DISC.convert("RGB").convert(mode), kind="JPEG", quality=quality)
    off = ImageChops.difference(mask.point(lambda value: 255 if value >= 128 else 0), DISC)
    assert sum(off.histogram()[1:]) < 60  # of 20,000 pixels, at the edge


@pytest.mark.parametrize("radius", [1, 10, 20])
def test_a_mask_may_have_a_wide_soft_edge(radius: int) -> None:
    soft = DISC.filter(ImageFilter.GaussianBlur(radius))
    assert read_mask(soft).tobytes() == soft.tobytes()


def test_a_mask_file_is_turned_as_its_exif_says() -> None:
    about = Image.Exif()
    about[0x0112] = 6
    assert list(read_mask(mask_of(0, 255), exif=about).tobytes()) == [0, 255]


COLORS = "m.png is not a mask: it has colors"
BLACK = "the mask m.png is entirely black, so it selects nothing"
WHITE = "the mask m.png is entirely white, so it selects the whole image"
HOW = "Draw a mask with the region white and the rest black, or erase the region from a copy of the image"


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (photo(), COLORS),
        (photo("RGBA"), COLORS),
        (photo("CMYK").convert("RGB"), COLORS),
        (ImageChops.multiply(DISC.convert("RGB"), Image.new("RGB", SIZE, "red")), COLORS),
        (photo("L"), "m.png is not a mask: it is mostly gray"),
        (Image.linear_gradient("L"), "m.png is not a mask: it is mostly gray"),
        (Image.new("L", SIZE), BLACK),
        (from_box((0, 0, 1, 1), SIZE), BLACK),  # a speck
        (Image.new("L", SIZE, 255), WHITE),
        (ImageChops.invert(from_box((0, 0, 1, 1), SIZE)), WHITE),
    ],
)
def test_an_image_that_is_no_mask(image: Image.Image, message: str, invert: bool) -> None:
    with pytest.raises(UsageError) as caught:
        read_mask(image, invert=invert)
    inverted = {
        BLACK: "the mask m.png is entirely black, so it selects the whole image with --invert",
        WHITE: "the mask m.png is entirely white, so it selects nothing with --invert",
    }
    assert (problem(caught), caught.value.hint) == (inverted.get(message, message) if invert else message, HOW)


@pytest.mark.parametrize(("invert", "message"), [(False, "the mask selects the whole image"), (True, "the mask selects nothing")])  # fmt: skip
def test_a_mask_that_is_all_transparent(invert: bool, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_mask(Image.new("RGBA", SIZE), invert=invert)
    assert problem(caught) == message


def test_a_mask_of_another_size() -> None:
    with pytest.raises(UsageError) as caught:
        from_image(DISC, (200, 99), "m.png", invert=False)
    assert problem(caught) == "the mask m.png is 200x100, the image 200x99"


def test_two_pixels_of_twenty_thousand_are_a_region() -> None:
    mask = from_box((0, 0, 2, 1), SIZE)
    assert read_mask(mask).tobytes() == mask.tobytes()


@pytest.mark.parametrize(("invert", "values"), [(False, [0, 255, 100]), (True, [255, 0, 155])])
def test_a_mask_without_feather_is_exact(invert: bool, values: list[int]) -> None:
    given_mask = mask_of(0, 255, 100)
    assert list(finish(given_mask, feather=0, invert=invert).tobytes()) == values
    assert list(given_mask.tobytes()) == [0, 255, 100], "the caller's own mask was changed"


@pytest.mark.parametrize("feather", [1, 5, 20])
def test_a_feather_grows_outwards_softly(feather: int) -> None:
    mask = square(200, (0, 0, 100, 200))
    soft = finish(mask, feather=feather, invert=False)
    row = [soft.getpixel((x, 100)) for x in range(200)]
    assert row[:100] == [255] * 100
    outside: list[int] = row[100:]  # type: ignore[assignment]
    assert outside == sorted(outside, reverse=True)
    assert outside[0] > 255 - 250 // feather, "a hard step at the edge"
    assert 25 < outside[feather] < 85  # twice what a Gaussian leaves beyond one deviation is 81, pixels are coarse
    assert outside[4 * feather] < 3


def test_inverting_comes_before_the_feather() -> None:
    mask = square(100, (0, 0, 50, 100))
    soft = finish(mask, feather=5, invert=True)
    assert soft.getpixel((50, 50)) == 255
    assert 0 < soft.getpixel((48, 50)) < 255  # type: ignore[operator]


@given(st.integers(0, 200), st.integers(0, 30), st.integers(1, 9), st.booleans())
def test_a_feather_takes_nothing_away(feather: int, start: int, side: int, invert: bool) -> None:
    mask = square(40, (start, start, start + side, start + side))
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
        (mask_of(0, 0), 0, False, "the mask selects nothing"),
        (mask_of(127, 0), 0, False, "the mask selects nothing"),
        (mask_of(255, 255), 3, True, "the mask selects nothing"),
        (mask_of(255, 128), 0, False, "the mask selects the whole image"),
        (mask_of(0, 0), 0, True, "the mask selects the whole image"),
        (mask_of(255, 0), 200, False, "the mask selects the whole image"),
        (mask_of(255, 0), -1, False, "feather -1 is out of range (0 to 200)"),
        (mask_of(255, 0), 201, False, "feather 201 is out of range (0 to 200)"),
    ],
)
def test_what_cannot_be_used(mask: Image.Image, feather: int, invert: bool, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        finish(mask, feather=feather, invert=invert)
    assert problem(caught) == message


def test_a_mask_as_a_file() -> None:
    image = decoded(encode(mask_of(0, 77, 255), "PNG"))
    assert (image.format, image.mode, list(image.tobytes())) == ("PNG", "L", [0, 77, 255])
    assert set(image.info) == set()


@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        (row_of("RGB", (1, 2, 3), (4, 5, 6), (7, 8, 9)), [(1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 155)]),
        (row_of("L", 1, 4, 7), [(1, 1, 1, 255), (4, 4, 4, 0), (7, 7, 7, 155)]),
        # Transparent where the mask is black: it would be repainted without having been asked for.
        (
            row_of("RGBA", (1, 2, 3, 0), (4, 5, 6, 255), (7, 8, 9, 0)),
            [(1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 155)],
        ),
    ],
    ids=["RGB", "L", "RGBA"],
)
def test_the_region_is_cut_out(image: Image.Image, pixels: list[tuple[int, ...]]) -> None:
    cut = decoded(cut_out(image, mask_of(0, 255, 100)))
    assert (cut.format, cut.mode) == ("PNG", "RGBA")
    assert [cut.getpixel((x, 0)) for x in range(3)] == pixels


def test_what_is_cut_out_by_transparency_is_the_picture_again() -> None:
    image = row_of("RGBA", (1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 90))
    assert decoded(cut_out(image, from_alpha(image))).tobytes() == image.tobytes()


def test_a_cut_out_has_no_metadata() -> None:
    about = Image.Exif()
    about[0x010E] = "Jane Doe's kitchen"
    image = decoded(encoded(Image.new("RGB", (2, 1)), "JPEG", exif=about, comment=b"Jane Doe"))
    assert b"Jane" not in cut_out(image, mask_of(0, 255))


def test_an_overlay_shows_the_region_and_leaves_the_rest() -> None:
    image = Image.new("RGB", (100, 100), (0, 100, 200))
    seen = overlay(image, square(100, (30, 30, 70, 70)))
    assert (seen.mode, seen.size) == ("RGB", (100, 100))
    row = [seen.getpixel((x, 50)) for x in range(100)]
    rest, black, white, tinted = (0, 100, 200), (0, 0, 0), (255, 255, 255), row[50]
    assert row == [rest] * 29 + [black, white] + [tinted] * 38 + [white, black] + [rest] * 29
    assert tinted == (114, 55, 154)  # 114 of 255 parts of the tint
    assert image.getpixel((50, 50)) == (0, 100, 200), "the caller's own picture was changed"


def test_an_outline_is_seen_on_a_large_picture() -> None:
    blue, black, white = (0, 0, 255), (0, 0, 0), (255, 255, 255)
    seen = overlay(Image.new("RGB", (1500, 300), blue), from_box((500, 100, 1000, 200), (1500, 300)))
    tinted = seen.getpixel((700, 150))
    assert [seen.getpixel((x, 150)) for x in range(494, 506)] == [blue, *[black] * 5, *[white] * 5, tinted]


def test_an_overlay_of_a_transparent_picture_stands_on_grey() -> None:
    image = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    assert overlay(image, square(50, (0, 0, 9, 9))).getpixel((40, 40)) == (128, 128, 128)


def test_a_soft_mask_comes_out_of_the_cut_image_as_it_went_in() -> None:
    mask = finish(read_mask(DISC), feather=4, invert=False)
    alpha = decoded(cut_out(Image.new("RGB", SIZE, "green"), mask)).getchannel("A")
    assert alpha.getpixel((70, 50)) == 0
    assert alpha.getpixel((190, 90)) == 255
    assert 0 < alpha.getpixel((103, 50)) < 255  # type: ignore[operator]


def test_an_erased_photo_is_the_mask_of_the_command(flux: Flux) -> None:
    image = photo().resize((400, 300))
    image.save("photo.png")
    with_hole(image, DISC.resize((400, 300))).save("erased.png")
    line = "inpaint photo.png 'a hat' --mask erased.png --show-mask look.png"
    result = flux(line)

    assert (result.code, result.out) == (0, "look.png\n")
    assert "mask 'erased.png': its transparent part is the region" in result.err
    with Image.open("look.png") as look:
        changed = ImageChops.difference(look.convert("RGB"), image)
        assert look.format == "PNG"
    assert changed.getpixel((140, 150)) != (0, 0, 0)
    assert changed.getpixel((300, 150)) == (0, 0, 0)

    refused = flux("inpaint photo.png 'a hat' --mask photo.png --show-mask again.png")
    assert (refused.code, refused.out) == (2, "")
    assert "'photo.png' is not a mask: it has colors" in refused.err
    assert not Path("again.png").exists()


def test_a_preview_is_a_file_like_other_images(flux: Flux) -> None:
    photo().resize((400, 300)).save("photo.png")
    before = os.umask(0o022)
    try:
        assert flux("inpaint photo.png x --mask-box 0,0,99,99 --show-mask look.png").code == 0
    finally:
        os.umask(before)
    assert Path("look.png").stat().st_mode & 0o777 == 0o644
    refused = flux("inpaint photo.png x --mask-box 0,0,99,99 --show-mask look.jpg")
    assert (refused.code, "saved as PNG, not as .jpg" in refused.err) == (2, True)
    directory = flux("inpaint photo.png x --mask-box 0,0,99,99 --show-mask . --overwrite")
    assert (directory.code, "'.' is a directory" in directory.err) == (11, True)
