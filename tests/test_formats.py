"""Incomplete and damaged images are rejected by their bytes."""

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
every_image = pytest.mark.parametrize("name", IMAGES)


def is_complete(content: bytes) -> bool:
    try:
        inspect_image(content)
    except BrokenImageError:
        return False
    return True


@every_image
def test_the_format_and_size_of_a_complete_image_are_read(name: str) -> None:
    assert inspect_image(IMAGES[name]) == ImageInfo(name.split("-")[0], 24, 13)


@every_image
def test_an_image_truncated_at_any_byte_is_rejected(name: str) -> None:
    content = IMAGES[name]
    assert [length for length in range(len(content)) if is_complete(content[:length])] == []


@pytest.mark.parametrize("name", [name for name in IMAGES if name.startswith("png")])
def test_a_png_with_any_flipped_bit_is_rejected(name: str) -> None:
    content = IMAGES[name]
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            assert not is_complete(bytes(damaged)), (position, bit)


@pytest.mark.parametrize("size", [(1, 1), (16, 65536), (1, 1048576), (1024, 1024)])
def test_every_size_that_can_be_requested_is_accepted(size: tuple[int, int]) -> None:
    assert inspect_image(encode(Image.new("L", size), "PNG")) == ImageInfo("png", *size)


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300), (16383, 2)])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"quality": 50, "exif": make_exif()}])
def test_webp_sizes_are_read(size: tuple[int, int], options: dict[str, object]) -> None:
    assert inspect_image(encode(Image.new("RGB", size, "teal"), "WEBP", **options)) == ImageInfo("webp", *size)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


DATA, END = chunk(b"IDAT", zlib.compress(b"\0\0")), chunk(b"IEND")
JPEG_START = b"\xff\xd8\xff\xe0\x00\x04ab"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "received nothing"),
        (b" \n<!DOCTYPE html><title>Expired</title>", "a web page"),
        (b"<html>", "a web page"),
        (b'{"code": 404}', "not a PNG, JPEG or WebP image"),
        (b"GIF89a" + bytes(99), "not a PNG, JPEG or WebP image"),
        (PNG_SIGNATURE, "no image data"),
        (PNG_SIGNATURE + header(1, 1) + END, "no image data"),
        (PNG_SIGNATURE + chunk(b"tEXt", b"a\0b") + header(1, 1) + DATA + END, "no image data"),
        (PNG_SIGNATURE + header(1, 1) + DATA, "truncated"),
        (PNG_SIGNATURE + header(1, 1) + DATA + END[:-4], "truncated"),  # Pillow opens this without an error
        (PNG_SIGNATURE + chunk(b"IHDR") + DATA + END, "size is invalid"),
        (PNG_SIGNATURE + header(0, 1) + DATA + END, "size is invalid"),
        (PNG_SIGNATURE + header(1, 2**31) + DATA + END, "size is invalid"),
        (JPEG_START + b"\xff\xd9", "truncated"),
        (JPEG_START + b"\xff\xda\x00\x02\xff\xd9", "no image data"),
        (JPEG_START + b"\xff\xc0\x00\x08\x08\x00\x00\x00\x10\x01\xff\xda\x00\x02\xff\xd9", "size is invalid"),
        (JPEG_START + b"no marker here\xff\xd9", "damaged"),
        (b"RIFF\x04\x00\x00\x00WEBP", "truncated"),
        (b"RIFF\x20\x00\x00\x00WEBPABCD" + bytes(24), "damaged"),
    ],
)  # fmt: skip
def test_incomplete_images_are_rejected_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BrokenImageError, match=reason):
        inspect_image(content)


@pytest.mark.parametrize("after", [b"\r\n", b"\0\0", b"\xff", b"\xff\xd9", b"a film, or notes", b"\xff\xd8\xff\xe0"])
@every_image
def test_bytes_after_an_image_are_ignored(name: str, after: bytes) -> None:
    found = inspect_image(IMAGES[name] + after)
    assert (found, found.length) == (inspect_image(IMAGES[name]), len(IMAGES[name]))


LARGE = 64 * 2**20
EXPENSIVE: dict[str, tuple[bytes, bytes, str]] = {
    "empty chunks": (PNG_SIGNATURE + header(1, 1), chunk(b"tEXt"), "more than 32768 chunks"),
    "empty segments": (JPEG_START, b"\xff\xe1\x00\x02", "more than 4096 segments"),
    "fill bytes": (JPEG_START, b"\xff", "truncated"),
    "fill bytes between segments": (JPEG_START, b"\xff" * 16 + b"\xe1\x00\x02", "more than 4096 segments"),
    "a scan without end": (JPEG_START + b"\xff\xda\x00\x02", b"\xff\x00", "truncated"),
}
"""The beginning of each, its filling, and the reason of its rejection."""


@pytest.mark.parametrize("name", EXPENSIVE)
def test_an_image_that_is_expensive_to_parse_is_rejected_quickly(name: str) -> None:
    start, filling, reason = EXPENSIVE[name]
    content = start + filling * (LARGE // len(filling))
    steps = itertools.count()
    sys.setprofile(lambda *_: next(steps))
    try:
        with pytest.raises(BrokenImageError, match=reason):
            inspect_image(content)
    finally:
        sys.setprofile(None)
    assert next(steps) < 2_000_000  # function calls of Python, which take less than a microsecond each


STARTS = [PNG_SIGNATURE, PNG_SIGNATURE + header(1, 1), JPEG_START, b"<html"]
STARTS += [
    b"RIFF" + length + b"WEBP" + kind for length in (b"\0\0\0\0", b"@\0\0\0") for kind in (b"VP8 ", b"VP8L", b"VP8X")
]
FRAGMENTS = [
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
SYNTHETIC = st.builds(
    lambda start, parts: start + b"".join(parts),
    st.sampled_from(STARTS),
    st.lists(st.binary(max_size=40) | st.sampled_from(FRAGMENTS), max_size=6),
)
DAMAGED = st.builds(
    lambda content, at, new, removed: content[:at] + new + content[at + removed :],
    st.sampled_from(list(IMAGES.values())),
    st.integers(0, 700),
    st.binary(max_size=6),
    st.integers(0, 6),
)


@given(st.binary(max_size=60) | SYNTHETIC | DAMAGED)
def test_arbitrary_bytes_raise_only_broken_image_errors(content: bytes) -> None:
    try:
        image = inspect_image(content)
    except BrokenImageError:
        return
    assert image.width > 0
    assert image.height > 0
