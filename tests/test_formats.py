"""A picture is whole or it is refused: the bytes decide."""

import io
import itertools
import struct
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from flux_cli.images.formats import PNG_SIGNATURE, BrokenImageError, ImageInfo, inspect_image


def draw(mode: str, width: int = 24, height: int = 13) -> Image.Image:
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    ImageDraw.Draw(image).ellipse((2, 2, width - 3, height - 3), outline=0)
    return image


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_exif() -> Image.Exif:
    found = Image.Exif()
    found[0x9286] = b"\xff\xd9 the end marker, inside a header \xff\xd9"
    return found


MORE = [draw("RGB").rotate(angle) for angle in (90, 180)]
IMAGES: dict[str, bytes] = {
    "png": encode(draw("RGB"), "PNG"),
    "png-alpha-palette": encode(draw("RGBA").quantize(8), "PNG", bits=4),
    "png-grey": encode(draw("L"), "PNG", compress_level=0),
    "jpg-baseline": encode(draw("RGB"), "JPEG"),
    "jpg-progressive": encode(draw("RGB"), "JPEG", progressive=True),
    "jpg-exif-restarts": encode(draw("RGB"), "JPEG", exif=make_exif(), restart_marker_blocks=1),
    "webp-lossy": encode(draw("RGB"), "WEBP"),
    "webp-lossless": encode(draw("RGB"), "WEBP", lossless=True),
    "webp-lossy-alpha": encode(draw("RGBA"), "WEBP"),
    "webp-animated": encode(draw("RGB"), "WEBP", save_all=True, append_images=MORE, duration=50),
}
every_picture = pytest.mark.parametrize("name", IMAGES)


def is_whole(content: bytes) -> bool:
    try:
        inspect_image(content)
    except BrokenImageError:
        return False
    return True


@every_picture
def test_a_whole_picture_tells_its_kind_and_size(name: str) -> None:
    assert inspect_image(IMAGES[name]) == ImageInfo(name.split("-")[0], 24, 13)


@every_picture
def test_a_picture_cut_at_any_byte_is_refused(name: str) -> None:
    content = IMAGES[name]
    assert [length for length in range(len(content)) if is_whole(content[:length])] == []


@pytest.mark.parametrize("name", [name for name in IMAGES if name.startswith("png")])
def test_a_png_with_any_bit_flipped_is_refused(name: str) -> None:
    content = IMAGES[name]
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            assert not is_whole(bytes(damaged)), (position, bit)


@pytest.mark.parametrize("size", [(1, 1), (16, 65536), (1, 1048576), (1024, 1024)])
def test_every_size_that_can_be_ordered_is_a_picture(size: tuple[int, int]) -> None:
    assert inspect_image(encode(Image.new("L", size), "PNG")) == ImageInfo("png", *size)


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300), (16383, 2)])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"quality": 50, "exif": make_exif()}])
def test_webp_sizes(size: tuple[int, int], options: dict[str, object]) -> None:
    assert inspect_image(encode(Image.new("RGB", size, "teal"), "WEBP", **options)) == ImageInfo("webp", *size)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


DATA, END = chunk(b"IDAT", zlib.compress(b"\0\0")), chunk(b"IEND")
JPEG_START = b"\xff\xd8\xff\xe0\x00\x04ab"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "nothing came"),
        (b" \n<!DOCTYPE html><title>Expired</title>", "a web page"),
        (b"<html>", "a web page"),
        (b'{"code": 404}', "not an image"),
        (b"GIF89a" + bytes(99), "not an image"),
        (PNG_SIGNATURE, "no image data"),
        (PNG_SIGNATURE + header(1, 1) + END, "no image data"),
        (PNG_SIGNATURE + chunk(b"tEXt", b"a\0b") + header(1, 1) + DATA + END, "no image data"),
        (PNG_SIGNATURE + header(1, 1) + DATA, "cut short"),
        (PNG_SIGNATURE + header(1, 1) + DATA + END[:-4], "cut short"),  # Pillow opens this one without a word
        (PNG_SIGNATURE + chunk(b"IHDR") + DATA + END, "size is invalid"),
        (PNG_SIGNATURE + header(0, 1) + DATA + END, "size is invalid"),
        (PNG_SIGNATURE + header(1, 2**31) + DATA + END, "size is invalid"),
        (JPEG_START + b"\xff\xd9", "cut short"),
        (JPEG_START + b"\xff\xda\x00\x02\xff\xd9", "no image data"),
        (JPEG_START + b"\xff\xc0\x00\x08\x08\x00\x00\x00\x10\x01\xff\xda\x00\x02\xff\xd9", "size is invalid"),
        (JPEG_START + b"no marker here\xff\xd9", "damaged"),
        (b"RIFF\x04\x00\x00\x00WEBP", "cut short"),
        (b"RIFF\x20\x00\x00\x00WEBPABCD" + bytes(24), "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_whole_picture_is_refused_with_a_reason(content: bytes, what: str) -> None:
    with pytest.raises(BrokenImageError, match=what):
        inspect_image(content)


@pytest.mark.parametrize("after", [b"\r\n", b"\0\0", b"\xff", b"\xff\xd9", b"a film, or notes", b"\xff\xd8\xff\xe0"])
@every_picture
def test_what_follows_an_image_is_harmless(name: str, after: bytes) -> None:
    found = inspect_image(IMAGES[name] + after)
    assert (found, found.length) == (inspect_image(IMAGES[name]), len(IMAGES[name]))


LARGE = 64 * 2**20
BUSY: dict[str, tuple[bytes, bytes, str]] = {
    "empty chunks": (PNG_SIGNATURE + header(1, 1), chunk(b"tEXt"), "more than 32768 chunks"),
    "empty segments": (JPEG_START, b"\xff\xe1\x00\x02", "more than 4096 segments"),
    "fill bytes": (JPEG_START, b"\xff", "cut short"),
    "fill bytes between segments": (JPEG_START, b"\xff" * 16 + b"\xe1\x00\x02", "more than 4096 segments"),
    "a scan without end": (JPEG_START + b"\xff\xda\x00\x02", b"\xff\x00", "cut short"),
}
"""How each begins, what it is filled with, and why it is refused."""


@pytest.mark.parametrize("name", BUSY)
def test_a_large_image_that_keeps_a_reader_busy_is_refused_after_few_steps(name: str) -> None:
    start, filling, reason = BUSY[name]
    content = start + filling * (LARGE // len(filling))
    steps = itertools.count()
    sys.setprofile(lambda *_: next(steps))
    try:
        with pytest.raises(BrokenImageError, match=reason):
            inspect_image(content)
    finally:
        sys.setprofile(None)
    assert next(steps) < 2_000_000  # of Python's, which last less than a microsecond each


STARTS = [PNG_SIGNATURE, PNG_SIGNATURE + header(1, 1), JPEG_START, b"<html"]
STARTS += [
    b"RIFF" + length + b"WEBP" + kind for length in (b"\0\0\0\0", b"@\0\0\0") for kind in (b"VP8 ", b"VP8L", b"VP8X")
]
PARTS = [
    header(0, 0),
    chunk(b"IHDR", b"ab"),
    DATA,
    END,
    b"\xff",
    b"\xff\xc0",
    b"\xff\xd9",
    b"\xff\xda\x00\x02",
    b"\0" * 9,
]
MADE_UP = st.builds(
    lambda start, parts: start + b"".join(parts),
    st.sampled_from(STARTS),
    st.lists(st.binary(max_size=40) | st.sampled_from(PARTS), max_size=6),
)
DAMAGED = st.builds(
    lambda content, at, new, gone: content[:at] + new + content[at + gone :],
    st.sampled_from(list(IMAGES.values())),
    st.integers(0, 700),
    st.binary(max_size=6),
    st.integers(0, 6),
)


@given(st.binary(max_size=60) | MADE_UP | DAMAGED)
def test_no_bytes_whatever_raise_anything_else(content: bytes) -> None:
    try:
        picture = inspect_image(content)
    except BrokenImageError:
        return
    assert picture.width > 0
    assert picture.height > 0
