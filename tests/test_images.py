"""Input images: rejected, sent unchanged, or changed with a note."""

import hashlib
import io
import random
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from urllib.request import urlopen

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

from flux_cli.errors import UsageError
from flux_cli.images import fit, load
from flux_cli.images.fit import MAX_PIXELS, MAX_UPLOAD_BYTES, InputImage, prepare_image
from flux_cli.images.load import to_srgb
from flux_cli.json_value import object_at
from flux_cli.text import byte_count

from .conftest import Flux
from .servers import Service

KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
every_kind = pytest.mark.parametrize("kind", KINDS)


def draw(size: tuple[int, int] = (300, 256), mode: str = "RGB") -> Image.Image:
    """Draw a gray gradient with a red upper left corner, which shows the orientation."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    ImageDraw.Draw(image).rectangle((0, 0, 63, 31), fill="red")
    return image.convert(mode)


def make_noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    count = size[0] * size[1] * len(mode)
    return Image.frombytes(mode, size, random.Random(1).randbytes(count))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, KINDS.get(kind, kind), **options)
    return buffer.getvalue()


def make_exif(orientation: object = 1) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    found[0x010F] = "A camera maker"
    found.get_ifd(0x8825)[1] = "N"  # GPS
    return found


def make_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decode(sent: InputImage) -> Image.Image:
    """Return the image, after checking that its metadata is correct."""
    image = Image.open(io.BytesIO(sent.content), formats=tuple(KINDS.values()))
    image.load()
    assert sent.size == image.size
    assert KINDS[sent.extension] == (image.format or "")
    if sent.notes:  # otherwise it is the hash of the file, including its metadata
        assert sent.sha256 == hashlib.sha256(sent.content).hexdigest()
    return image


def read_upload(service: Service) -> bytes:
    """Return the input image of the last task."""
    url = object_at(service.charges[-1].body, "input")["image"]
    with urlopen(str(url)) as response:
        content: bytes = response.read()
    return content


def is_close(pixel: object, color: tuple[int, int, int]) -> bool:
    """Return whether a pixel has a color, except for rounding by JPEG and color conversion."""
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= 6 for a, b in zip(pixel, color, strict=True))


def read_refusal(content: bytes, name: str = "a.png", *, fitting: bool = True) -> str:
    with pytest.raises(UsageError) as caught:
        prepare_image(content, name, fit=fitting)
    return "; ".join([caught.value.message, *caught.value.details])


ANIMATION = [draw(), draw().rotate(180)]
HTML = b"\n <!DOCTYPE html><title>Expired</title>"
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "a.png is an empty file"),
    "text": (b"a boat", "a.png: not a PNG, JPEG or WebP image"),
    "page": (HTML, "a.png: received a web page instead of an image"),
    "gif": (encode(draw(), "GIF"), "a.png is a GIF"),
    "bmp": (encode(draw(), "BMP"), "a.png is a BMP"),
    "tiff": (encode(draw(), "TIFF"), "a.png is a TIFF"),
    "icon": (encode(draw(), "ICO"), "a.png is an icon"),
    "pdf": (encode(draw(), "PDF"), "a.png is a PDF"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.png is an SVG"),
    "heic": (b"\0\0\0\x18ftypheic", "a.png is a HEIC"),
    "avif": (b"\0\0\0\x18ftypavif", "a.png is an AVIF"),
    "video": (b"\0\0\0\x18ftypisom", "a.png is a video"),
    "animated png": (
        encode(ANIMATION[0], "png", save_all=True, append_images=ANIMATION[1:]),
        "a.png is animated",
    ),
    "animated webp": (
        encode(ANIMATION[0], "webp", save_all=True, append_images=ANIMATION[1:]),
        "a.png is animated",
    ),
    "cut png": (encode(draw(), "png")[:-5], "a.png: the PNG is truncated"),
    "cut jpg": (encode(draw(), "jpg")[:-2], "a.png: the JPEG is truncated"),
    "cut webp": (encode(draw(), "webp")[:-2], "a.png: the WebP is truncated"),
    "png of too little data": (
        b"\x89PNG\r\n\x1a\n"
        + make_chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 300, 8, 2, 0, 0, 0))
        + make_chunk(b"IDAT", zlib.compress(make_noise((300, 300)).tobytes())[:-9])
        + make_chunk(b"IEND", b""),
        "a.png: the image is damaged",
    ),
    "too many markers": (b"\xff\xd8\xff" + b"\xff\xd9" * 5_000_000 + b"\0\1", "a.png: the JPEG is truncated"),
    "low": (encode(draw((300, 255)), "png"), "a.png is 300x255; PiAPI requires at least 256x256"),
    "narrow": (encode(draw((255, 300)), "webp"), "a.png is 255x300; PiAPI requires at least 256x256"),
    "turned and low": (
        encode(draw((300, 255)), "jpg", exif=make_exif(6)),
        "a.png is 255x300; PiAPI requires at least 256x256",
    ),
    "long": (
        encode(draw((8000, 300), "L"), "png"),
        "a.png: 8000x300 would be scaled to 5287x198; PiAPI requires at least 256x256, up to 1,048,576 pixels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_image_is_rejected_with_a_reason(name: str) -> None:
    content, message = REFUSED[name]
    assert read_refusal(content) == message


@pytest.mark.parametrize(
    "size",
    [(10_000, 10_000), (20_000, 10_000)],  # Pillow warns of the first and refuses the second
)
def test_a_decompression_bomb_is_refused_before_it_is_opened(size: tuple[int, int]) -> None:
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + make_chunk(b"IHDR", header)
        + make_chunk(b"IDAT", zlib.compress(b"\0"))
        + make_chunk(b"IEND", b"")
    )
    assert read_refusal(bomb) == f"a.png is {size[0]}x{size[1]}; the limit is 89,478,485 pixels"


UNCHANGED: dict[str, bytes] = {
    "smallest": encode(draw((256, 256)), "png"),
    "most pixels": encode(draw((4096, 256), "L"), "png"),
    "gray with alpha": encode(draw(mode="LA"), "png"),
    "palette": encode(draw(mode="P"), "png"),
    "black and white": encode(draw(mode="1"), "png"),
    "CMYK": encode(draw(mode="CMYK"), "jpg"),
    "progressive": encode(draw(), "jpg", progressive=True),
    "lossless": encode(draw(mode="RGBA"), "webp", lossless=True),
}


@pytest.mark.parametrize("fitting", [True, False])
@pytest.mark.parametrize("name", UNCHANGED)
def test_an_image_within_the_limits_is_sent_unchanged(name: str, fitting: bool) -> None:
    content = UNCHANGED[name]
    sent = prepare_image(content, "a.png", fit=fitting)
    extension = "jpg" if content.startswith(b"\xff\xd8") else "webp" if content.startswith(b"RIFF") else "png"
    size = {"smallest": (256, 256), "most pixels": (4096, 256)}.get(name, (300, 256))
    assert sent == InputImage(content, extension, size, size, hashlib.sha256(content).hexdigest(), ())
    decode(sent)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((6000, 4000), (1254, 836)),
        ((1025, 1024), (1024, 1023)),
        ((4097, 256), (4096, 255)),
        ((1024, 1024), (1024, 1024)),
    ],
)
def test_scaling_keeps_the_ratio_and_as_many_pixels_as_possible(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit._within_pixels(size) == fitted


@given(st.integers(1, 50_000), st.integers(1, 50_000))
def test_no_larger_size_of_the_same_ratio_fits(width: int, height: int) -> None:
    narrower, lower = fit._within_pixels((width, height))
    assert narrower * lower <= MAX_PIXELS
    if (narrower, lower) != (width, height):
        assert (narrower + 1) * (lower + 1) > MAX_PIXELS
        assert abs(narrower * height - lower * width) <= max(width, height)  # the ratio, to a pixel
    else:
        assert width * height <= MAX_PIXELS


@every_kind
def test_an_image_with_too_many_pixels_is_scaled_in_its_format(kind: str) -> None:
    content = encode(draw((1800, 1200)), kind)
    sent = prepare_image(content, "photo", fit=True)
    note = "photo: scaled from 1800x1200 to 1254x836; PiAPI accepts up to 1,048,576 pixels (1024x1024)"
    assert (sent.extension, sent.original, sent.notes) == (kind, (1800, 1200), (note,))
    image = decode(sent).convert("RGB")
    assert image.size == (1254, 836)
    for x, y, color in ((20, 10, (255, 0, 0)), (700, 0, (0, 0, 0)), (700, 835, (254, 254, 254))):
        assert is_close(image.getpixel((x, y)), color)
    assert read_refusal(content, "photo", fitting=False) == (
        "photo: 1800x1200 has 2,160,000 pixels; PiAPI accepts up to 1,048,576 pixels (1024x1024)"
    )


# The position of the red corner after the rotation.
CORNERS = {2: "right top", 3: "right bottom", 4: "left bottom", 5: "left top", 6: "right top", 7: "right bottom"}
CORNERS |= {8: "left bottom"}


@every_kind
@pytest.mark.parametrize("fitting", [True, False])
@pytest.mark.parametrize("orientation", CORNERS)
def test_an_image_is_rotated_as_its_exif_orientation_requires(orientation: int, fitting: bool, kind: str) -> None:
    stored = draw((400, 256))
    sent = prepare_image(encode(stored, kind, exif=make_exif(orientation)), "a", fit=fitting)
    assert sent.notes == ("a: turned upright as its EXIF data says",)
    image = decode(sent).convert("RGB")
    landscape = orientation < 5
    assert image.size == sent.original == ((400, 256) if landscape else (256, 400))
    corners = {
        f"{across} {down}"
        for across, x in (("left", 15), ("right", image.width - 16))
        for down, y in (("top", 15), ("bottom", image.height - 16))
        if is_close(image.getpixel((x, y)), (255, 0, 0))
    }
    assert corners == {CORNERS[orientation]}
    assert image.getexif().get(0x0112, 1) == 1, "the image would be rotated twice"


def test_the_original_size_of_a_rotated_and_scaled_image_is_upright() -> None:
    sent = prepare_image(encode(draw((1800, 1200)), "jpg", exif=make_exif(6)), "a", fit=True)
    assert (decode(sent).size, sent.original) == ((836, 1254), (1200, 1800))


def test_hidden_characters_in_a_file_name_are_shown(flux: Flux) -> None:
    Path(" a\u200b.png").write_bytes(b"")
    assert "' a\\u200b.png' is an empty file" in flux("edit ' a\u200b.png' x --sandbox").err
    assert "image not found: 'a\\xa0.png'" in flux("edit 'a\xa0.png' x --sandbox").err


def test_a_large_photo_is_scaled_and_its_sizes_are_reported(flux: Flux, service: Service) -> None:
    draw((3200, 3000)).save("big.png", compress_level=0)
    assert Path("big.png").stat().st_size > 28_000_000
    result = flux("edit big.png x -o out.png -v")

    assert result.code == 0
    assert "big.png: scaled from 3200x3000 to 1057x991; PiAPI accepts up to 1,048,576 pixels" in result.err
    content = read_upload(service)
    assert len(content) < MAX_UPLOAD_BYTES
    assert f"uploading an image of {byte_count(len(content))}" in result.err


def test_a_file_above_the_limit_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch, flux: Flux) -> None:
    monkeypatch.setattr(load, "MAX_SOURCE_BYTES", 3000)
    Path("huge.png").write_bytes(bytes(28_765_432))
    assert "huge.png has 28.8 MB; the limit is 3 kB" in flux("edit huge.png x --sandbox").err


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_large_file_with_few_pixels_is_only_compressed(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    image = draw((300, 300), mode)
    content = encode(image, "png", compress_level=0)
    monkeypatch.setattr(fit, "MAX_UPLOAD_BYTES", len(content))
    assert prepare_image(content, "a", fit=True).content == content
    monkeypatch.setattr(fit, "MAX_UPLOAD_BYTES", len(content) - 1)
    sent = prepare_image(content, "a", fit=True)
    assert decode(sent).tobytes() == image.tobytes()
    limit = byte_count(len(content) - 1)
    assert sent.notes == (f"a: compressed to {byte_count(len(sent.content))}; an upload is at most {limit}",)
    assert (
        read_refusal(content, "a", fitting=False) == f"a has {byte_count(len(content))}; an upload is at most {limit}"
    )


@pytest.mark.parametrize(
    ("mode", "kind", "limit", "extension", "size", "notes"),
    [
        ("RGB", "png", 490_000, "png", (400, 400), []),
        ("RGB", "png", 330_000, "jpg", (400, 400), ["a: converted to JPEG"]),
        ("RGB", "png", 190_000, "jpg", (320, 320), ["a: scaled from 400x400 to 320x320", "a: converted to JPEG"]),
        ("RGBA", "png", 450_000, "png", (320, 320), ["a: scaled from 400x400 to 320x320"]),
        ("RGB", "webp", 340_000, "webp", (320, 320), ["a: scaled from 400x400 to 320x320"]),
    ],
)
def test_a_large_file_is_reduced_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    kind: str,
    limit: int,
    extension: str,
    size: tuple[int, int],
    notes: list[str],
) -> None:
    content = encode(make_noise((400, 400), mode), kind, exif=make_exif(3), lossless=True)
    monkeypatch.setattr(fit, "MAX_UPLOAD_BYTES", limit)
    sent = prepare_image(content, "a", fit=True)
    assert (sent.extension, decode(sent).size, sent.original) == (extension, size, (400, 400))
    assert len(sent.content) <= limit
    reason = f"an upload is at most {byte_count(limit)}"
    assert sent.notes == ("a: turned upright as its EXIF data says", *(f"{note}; {reason}" for note in notes))


def test_an_image_that_cannot_be_made_small_enough_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_UPLOAD_BYTES", 100_000)
    content = encode(make_noise((300, 300), "RGBA"), "png")
    assert read_refusal(content) == "a.png cannot be made small enough; an upload is at most 100 kB"


def test_all_necessary_changes_are_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(draw((1100, 1001), "L"), "png", compress_level=0)
    monkeypatch.setattr(fit, "MAX_UPLOAD_BYTES", 1_000_000)
    assert read_refusal(content, fitting=False) == (
        "2 errors; "
        "a.png: 1100x1001 has 1,101,100 pixels; PiAPI accepts up to 1,048,576 pixels (1024x1024); "
        "a.png has 1.2 MB; an upload is at most 1 MB"
    )


@cache
def make_swapped_profile() -> bytes:
    """Return a profile that is not named sRGB, with red and green swapped."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "GRBs".encode("utf-16-be"))


@every_kind
def test_other_color_spaces_are_converted_to_srgb(kind: str) -> None:
    content = encode(
        Image.new("RGB", (300, 300), (255, 0, 0)), kind, exif=make_exif(3), icc_profile=make_swapped_profile()
    )
    sent = prepare_image(content, "a", fit=True)
    assert sent.notes == ("a: turned upright as its EXIF data says", "a: colors converted to sRGB")
    image = decode(sent)
    assert "icc_profile" not in image.info
    assert is_close(image.convert("RGB").getpixel((100, 100)), (0, 255, 0))


@pytest.mark.parametrize("profile", [b"no profile", make_swapped_profile()[:200]], ids=["none", "cut"])
@every_kind
def test_a_broken_color_profile_is_kept(kind: str, profile: bytes) -> None:
    sent = prepare_image(encode(draw(), kind, exif=make_exif(3), icc_profile=profile), "a", fit=True)
    assert sent.notes == ("a: turned upright as its EXIF data says",)
    assert decode(sent).info["icc_profile"] == profile


def test_an_srgb_profile_changes_no_colors() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = make_noise((300, 300))
    sent = prepare_image(encode(image, "png", exif=make_exif(3), icc_profile=srgb), "a", fit=True)
    assert decode(sent).tobytes() == image.rotate(180).tobytes()
    assert sent.notes == ("a: turned upright as its EXIF data says",)


def make_gray16(values: list[int]) -> Image.Image:
    return Image.frombytes("I;16", (len(values), 1), struct.pack(f"<{len(values)}H", *values))


PALETTE = Image.new("P", (2, 1))
PALETTE.putpalette([10, 20, 30, 40, 50, 60])
PALETTE.putpixel((1, 0), 1)


@pytest.mark.parametrize(
    ("image", "options", "mode", "pixels"),
    [
        (make_gray16([0, 255, 256, 32768, 65535]), {}, "L", [0, 0, 1, 128, 255]),
        (Image.frombytes("1", (2, 1), b"\x40"), {}, "L", [0, 255]),
        (Image.frombytes("L", (2, 1), bytes([7, 9])), {"transparency": 9}, "LA", [(7, 255), (9, 0)]),
        (Image.frombytes("LA", (2, 1), bytes([7, 255, 9, 255])), {}, "L", [7, 9]),
        (PALETTE, {}, "RGB", [(10, 20, 30), (40, 50, 60)]),
        (PALETTE, {"transparency": 1}, "RGBA", [(10, 20, 30, 255), (40, 50, 60, 0)]),
        (PALETTE, {"transparency": b"\x80\xff"}, "RGBA", [(10, 20, 30, 128), (40, 50, 60, 255)]),
        (Image.new("RGB", (1, 1), (1, 2, 3)), {"transparency": (1, 2, 3)}, "RGBA", [(1, 2, 3, 0)]),
        (Image.new("RGBA", (1, 1), (1, 2, 3, 255)), {}, "RGB", [(1, 2, 3)]),
        (Image.new("RGBA", (1, 1), (1, 2, 3, 0)), {}, "RGBA", [(1, 2, 3, 0)]),
    ],
)
def test_every_mode_is_converted_to_gray_or_rgb(
    image: Image.Image, options: dict[str, object], mode: str, pixels: list[object]
) -> None:
    stored = Image.open(io.BytesIO(encode(image, "png", **options)))
    colors, converted = to_srgb(stored)
    assert (colors.mode, colors.info, converted) == (mode, {}, False)
    assert [colors.getpixel((x, 0)) for x in range(colors.width)] == pixels


def test_cmyk_is_converted_to_rgb() -> None:
    image = Image.new("CMYK", (300, 300), (0, 255, 255, 0))
    sent = prepare_image(encode(image, "jpg", exif=make_exif(3)), "a", fit=True)
    assert is_close(decode(sent).getpixel((9, 9)), (255, 0, 0))


def test_transparent_pixels_do_not_affect_the_colors_of_a_scaled_image() -> None:
    image = Image.new("RGBA", (2048, 2048), (0, 0, 255, 0))
    image.paste((255, 0, 0, 255), (0, 0, 1001, 2048))
    scaled = decode(prepare_image(encode(image, "png"), "a", fit=True))
    alphas = scaled.crop((0, 500, 1024, 501)).getchannel("A").tobytes()
    colors = scaled.crop((0, 500, 1024, 501)).convert("RGB")
    assert {colors.getpixel((x, 0)) for x in range(1024) if alphas[x] > 20} == {(255, 0, 0)}
    assert (alphas[490], alphas[510]) == (255, 0)


FUZZED: dict[str, bytes] = {
    "png": encode(draw((256, 256), "RGBA").quantize(8), "png", exif=make_exif(6), icc_profile=make_swapped_profile()),
    "apng": encode(draw((256, 256)), "png", save_all=True, append_images=[draw((256, 256), "RGB").rotate(90)]),
    "jpg": encode(draw((256, 256)), "jpg", exif=make_exif(6), icc_profile=make_swapped_profile(), progressive=True),
    "mpo": encode(draw((256, 256)), "MPO", save_all=True, append_images=[draw((256, 256)).rotate(90)]),
    "webp": encode(draw((256, 256)), "webp", exif=make_exif(6), icc_profile=make_swapped_profile()),
    "animated webp": encode(draw((256, 256)), "webp", save_all=True, append_images=[draw((256, 256)).rotate(90)]),
}


def fix_checksums(content: bytes) -> bytes:
    """Return a damaged PNG with correct checksums, so that the damage reaches the decoder."""
    position, parts = 8, [content[:8]]
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind, data = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        parts.append(make_chunk(kind, data))
        position += 12 + length
    return b"".join(parts)


def is_refused(content: bytes) -> bool:
    try:
        decode(prepare_image(content, "a", fit=True))
    except UsageError:
        return True
    return False


@given(st.sampled_from(sorted(FUZZED)), st.data())
def test_damaged_images_never_crash(name: str, data: st.DataObject) -> None:
    content = bytearray(FUZZED[name])
    # Most failures are caused by the headers, in the first bytes.
    position = st.integers(0, 300) | st.integers(0, len(content) - 1)
    for offset, value in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), min_size=1, max_size=4)):
        content[min(offset, len(content) - 1)] = value
    is_refused(bytes(content))
    if name in ("png", "apng"):
        is_refused(fix_checksums(bytes(content)))


@given(st.sampled_from(sorted(FUZZED)), st.floats(0, 1, exclude_max=True))
def test_truncated_images_are_refused(name: str, part: float) -> None:
    content = FUZZED[name]
    start = content[: int(len(content) * part)]
    # The first of the two images of an MPO file may be complete.
    assert is_refused(start) or (name == "mpo" and len(start) > len(content) // 3)


@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBP", b"RIFF\x20\0\0\0WEBPVP8X"]),
    st.binary(max_size=80),
)
@example(b"\xff\xd8\xff", b"\xe1\0\2\xff\xd9")
def test_random_bytes_are_refused(start: bytes, rest: bytes) -> None:
    assert is_refused(start + rest)


def test_pillow_is_not_loaded_before_there_is_an_image() -> None:
    program = "import sys, flux_cli.images.fit, flux_cli.images.masks; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_limits_are_those_of_piapi() -> None:
    assert (MAX_UPLOAD_BYTES, MAX_PIXELS, fit.MIN_SIDE) == (10_000_000, 1024**2, 256)
