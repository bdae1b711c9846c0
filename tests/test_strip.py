"""An uploaded image contains only the image: no location, no owner and no earlier version."""

import io
import random
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from flux_cli.errors import UsageError
from flux_cli.images.fit import prepare_image
from flux_cli.images.formats import PNG_SIGNATURE, BrokenImageError, png_chunks
from flux_cli.images.load import load_image
from flux_cli.images.strip import MAX_PARTS, strip_metadata

from .conftest import Flux
from .servers import Service
from .test_images import draw, encode, make_chunk, make_exif, make_noise, read_upload

SECRET = b"Jane Doe's kitchen, 52.5200 N"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IMAGE = make_noise((320, 256)).reduce(2).resize((320, 256))


def make_private_exif(orientation: int = 1) -> Image.Exif:
    metadata = make_exif(orientation)
    metadata[0x013B] = SECRET.decode()
    return metadata


def make_segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def insert_after_start(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def insert_after_header(png: bytes, *chunks: bytes) -> bytes:
    return png[:33] + b"".join(chunks) + png[33:]


def insert_before_end(png: bytes, *chunks: bytes) -> bytes:
    return png[:-12] + b"".join(chunks) + png[-12:]


def make_riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def make_texts(**values: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, value in values.items():
        info.add_text(name, value)
    return info


JPEG, PNG = encode(IMAGE, "jpg"), encode(IMAGE, "png")
WEBP = encode(IMAGE, "webp", lossless=True)
THUMBNAIL = b"JFIF\0\1\2\0\0\1\0\1" + bytes((2, 2)) + SECRET[:12]
PRIVATE: dict[str, tuple[bytes, bytes]] = {
    "jpg EXIF": (encode(IMAGE, "jpg", exif=make_private_exif()), JPEG),
    "jpg comment": (encode(IMAGE, "jpg", comment=SECRET), JPEG),
    "jpg XMP": (encode(IMAGE, "jpg", xmp=XMP), JPEG),
    "jpg IPTC": (insert_after_start(JPEG, make_segment(0xED, b"Photoshop 3.0\0" + SECRET)), JPEG),
    "jpg C2PA": (insert_after_start(JPEG, make_segment(0xEB, SECRET)), JPEG),
    "jpg other ICC": (insert_after_start(JPEG, make_segment(0xE2, b"MPF\0" + SECRET)), JPEG),
    "jpg thumbnail": (insert_after_start(encode(IMAGE, "jpg", icc_profile=SRGB), make_segment(0xE0, b"JFXX\0\x10" + SECRET)), encode(IMAGE, "jpg", icc_profile=SRGB)),
    "jpg thumbnail in JFIF": (JPEG[:2] + make_segment(0xE0, THUMBNAIL) + JPEG[20:], JPEG[:2] + make_segment(0xE0, THUMBNAIL[:12] + b"\0\0") + JPEG[20:]),
    "jpg video after the end": (JPEG + b"\0\0\0\x18ftypmp42" + SECRET + b"\xff\xd9", JPEG),
    "jpg junk between segments": (JPEG[:20] + b"\0\xff\0" + SECRET + JPEG[20:], JPEG),
    "jpg progressive": (insert_after_start(encode(IMAGE, "jpg", progressive=True), make_segment(0xFE, SECRET)), encode(IMAGE, "jpg", progressive=True)),
    "jpg restarts": (insert_after_start(encode(IMAGE, "jpg", restart_marker_blocks=2), make_segment(0xFE, SECRET)), encode(IMAGE, "jpg", restart_marker_blocks=2)),
    "png text": (encode(IMAGE, "png", pnginfo=make_texts(Comment=SECRET.decode(), parameters="狐 " + SECRET.decode())), PNG),
    "png EXIF": (encode(IMAGE, "png", exif=make_private_exif()), PNG),
    "png time": (insert_after_header(PNG, make_chunk(b"tIME", SECRET[:7])), PNG),
    "png C2PA": (insert_after_header(PNG, make_chunk(b"caBX", SECRET)), PNG),
    "png before the end": (insert_before_end(PNG, make_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(SECRET))), PNG),
    "png uncropped original after the end": (PNG + SECRET + PNG, PNG),
    "webp EXIF and XMP": (encode(IMAGE, "webp", lossless=True, exif=make_private_exif(), xmp=XMP), WEBP),
    "webp unknown chunk": (make_riff((b"VP8L", WEBP[20:]), (b"ABCD", SECRET)), make_riff((b"VP8L", WEBP[20:]))),
    "webp after the end": (WEBP + SECRET, WEBP),
}  # fmt: skip


def get_pixels(content: bytes) -> tuple[str, bytes]:
    image = load_image(content, "a").image
    return image.mode, image.tobytes()


@pytest.mark.parametrize("name", PRIVATE)
def test_metadata_is_removed_without_encoding_the_pixels_again(name: str) -> None:
    content, expected = PRIVATE[name]
    result = prepare_image(content, "a", fit=False)
    assert not [word for word in SECRET.split() if len(word) > 3 and word in result.content]
    assert get_pixels(result.content) == get_pixels(content)
    assert result.notes == ()
    if not name.startswith("webp EXIF"):  # its header stays an extended one
        assert result.content == expected


@pytest.mark.parametrize("flags", ["exif", "xmp", "both"])
def test_an_extended_webp_does_not_announce_removed_metadata(flags: str) -> None:
    options: dict[str, Any] = {"exif": make_private_exif()} if flags != "xmp" else {}
    options |= {"xmp": XMP} if flags != "exif" else {}
    content = encode(IMAGE.convert("RGBA"), "webp", icc_profile=SRGB, **options)
    result = strip_metadata(content).content
    assert content[12:16] == result[12:16] == b"VP8X"
    assert (content[20] & 0x0C, result[20] & 0x0C) == ({"exif": 8, "xmp": 4, "both": 12}[flags], 0)
    assert content[20] & ~0x0C == result[20]
    assert int.from_bytes(result[4:8], "little") + 8 == len(result)
    with Image.open(io.BytesIO(result)) as image:
        assert image.info["icc_profile"] == SRGB
        assert not {"exif", "xmp"} & set(image.info)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_color_profiles_are_kept(kind: str) -> None:
    content = encode(IMAGE, kind, icc_profile=SRGB)
    assert strip_metadata(content).content is content


def test_color_chunks_of_a_png_are_kept() -> None:
    kinds = (b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP", b"pHYs")
    content = insert_after_header(PNG, *(make_chunk(kind, b"1234") for kind in kinds))
    assert strip_metadata(content).content is content
    transparent = encode(IMAGE.quantize(8), "png", transparency=3)
    assert strip_metadata(transparent).content is transparent


def test_the_colors_of_a_cmyk_jpeg_are_kept() -> None:
    content = encode(IMAGE.convert("CMYK"), "jpg")
    stripped = strip_metadata(insert_after_start(content, make_segment(0xE1, b"Exif\0\0" + SECRET)))
    assert stripped.content == content
    assert b"Adobe" in content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize(("kind", "value"), [("H", 6), ("I", 6)])
def test_the_orientation_is_read_in_every_encoding(order: str, prefix: bytes, kind: str, value: int) -> None:
    entry = struct.pack(f"{order}HHI", 0x0112, 3 if kind == "H" else 4, 1) + struct.pack(f"{order}{kind}", value)
    other = struct.pack(f"{order}HHII", 0x010F, 2, 99_999, 99_999)
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 2) + other + entry.ljust(12, b"\0")
    assert strip_metadata(insert_after_header(PNG, make_chunk(b"eXIf", prefix + tiff))).orientation == value
    assert strip_metadata(insert_after_start(JPEG, make_segment(0xE1, b"Exif\0\0" + tiff))).orientation == value
    assert strip_metadata(make_riff((b"VP8L", WEBP[20:]), (b"EXIF", prefix + tiff))).orientation == value


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b"MM\0*\0\0\0\x08\0\3" + rest))
def test_damaged_exif_data_is_ignored(data: bytes) -> None:
    content = insert_after_header(PNG, make_chunk(b"eXIf", data))
    assert 1 <= strip_metadata(content).orientation <= 8
    assert strip_metadata(content).content == PNG


MANY = 4 * MAX_PARTS
OVERSIZED: dict[str, tuple[bytes, str]] = {
    "chunks": (PNG_SIGNATURE + make_chunk(b"tEXt", b"") * MANY, "the PNG has more than 32768 chunks"),
    "kept chunks": (PNG_SIGNATURE + make_chunk(b"IDAT", b"") * MANY, "the PNG has more than 32768 chunks"),
    "markers": (b"\xff\xd8\xff\xe0" + b"\xff\xd0" * MANY, "the JPEG has too many segments"),
    "comments": (b"\xff\xd8" + b"\xff\xfe\0\2" * MANY, "the JPEG has too many segments"),
    "scans": (b"\xff\xd8" + b"\xff\xda\0\2" * 600, "the JPEG has too many scans"),
    "WebP chunks": (make_riff(*[(b"VP8 ", b"")] * MANY), "the WebP has too many chunks"),
    "fill bytes": (b"\xff\xd8" + b"\xff" * MANY, "the JPEG is truncated"),
    "stuffed bytes": (b"\xff\xd8\xff\xda\0\2" + b"\xff\0" * MANY, "the JPEG is truncated"),
}


@pytest.mark.parametrize("name", OVERSIZED)
def test_a_file_with_too_many_parts_is_refused(name: str) -> None:
    content, message = OVERSIZED[name]
    with pytest.raises(UsageError) as caught:
        load_image(content, "a")
    assert caught.value.message == f"a: {message}"


def make_packed_text(keyword: bytes, size: int) -> bytes:
    return make_chunk(b"iTXt", keyword + b"\0\1\0\0\0" + zlib.compress(b"x" * size, 9))


def make_large_profile() -> bytes:
    """Return a color profile of 2 MB: sRGB, and a private tag that nothing reads."""
    count = int.from_bytes(SRGB[128:132], "big")
    table, rest = SRGB[132 : 132 + 12 * count], SRGB[132 + 12 * count :]
    moved = b"".join(
        table[at : at + 4] + struct.pack(">I", int.from_bytes(table[at + 4 : at + 8], "big") + 12) + table[at + 8 : at + 12]
        for at in range(0, len(table), 12)
    )  # fmt: skip
    private = struct.pack(">4sII", b"priv", len(SRGB) + 12, 2 << 20)
    data = SRGB[4:128] + struct.pack(">I", count + 1) + moved + private + rest + bytes(2 << 20)
    return struct.pack(">I", len(data) + 4) + data


@pytest.mark.parametrize(
    "content",
    [
        insert_after_header(PNG, make_packed_text(b"XML:com.adobe.xmp", 3 << 20)),
        insert_after_header(PNG, *(make_packed_text(b"k%d" % number, 1 << 20) for number in range(80))),
        insert_before_end(PNG, make_packed_text(b"XML:com.adobe.xmp", 3 << 20)),
        encode(IMAGE, "png", icc_profile=make_large_profile()),
    ],
    ids=["one large text", "many texts", "after the pixels", "profile"],
)
def test_an_intact_png_with_large_metadata_is_accepted(flux: Flux, content: bytes) -> None:
    result = prepare_image(content, "a", fit=True)
    assert get_pixels(result.content)[1] == IMAGE.tobytes()
    Path("a.png").write_bytes(content)
    assert flux("inpaint a.png x --mask-box 0,0,99,99 --dry-run --sandbox").code == 0
    gallery = flux("gallery --sheet sheet.jpg --sandbox")
    assert (gallery.code, "a.png" in gallery.err) == (0, False)


def test_a_large_profile_is_used() -> None:
    turned = encode(IMAGE, "png", icc_profile=make_large_profile(), exif=make_exif(3))
    result = prepare_image(turned, "a", fit=True)
    assert get_pixels(result.content)[1] == IMAGE.rotate(180).tobytes()
    assert b"iCCP" not in result.content, "sRGB needs no profile"


def test_the_location_of_a_photo_is_not_uploaded(flux: Flux, service: Service) -> None:
    content = encode(draw((320, 256)), "jpg", exif=make_private_exif(), xmp=XMP, comment=SECRET)
    Path("photo.jpg").write_bytes(content)
    assert flux("edit photo.jpg 'a boat' -o out.png").code == 0
    result = read_upload(service)
    assert result == encode(draw((320, 256)), "jpg")
    assert SECRET not in result


def test_an_image_by_flux_is_passed_by_its_url_and_not_uploaded(flux: Flux, service: Service) -> None:
    assert flux("gen 'a fox' -o fox.png --size 256x256").code == 0
    assert flux("edit fox.png 'a wolf' -o wolf.png").code == 0
    assert not any(request.path.startswith("/api/ephemeral_resource") for request in service.requests)


def test_images_are_opened_in_any_thread_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    contents = [content for content, _ in PRIVATE.values()] + [
        insert_after_header(PNG, make_chunk(b"acTL", b"\0\0\0\1\0\0\0\0"))
    ]
    contents += [encode(IMAGE, "jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"), encode(IMAGE, "MPO", save_all=True)]
    shuffled = random.Random(3).sample(contents * 4, len(contents) * 4)
    with ThreadPoolExecutor(8) as threads:
        sizes = set(threads.map(lambda content: load_image(content, "a").image.size, shuffled))
    assert sizes == {IMAGE.size}
    assert list(recwarn) == []


@given(st.sampled_from(sorted(PRIVATE)), st.data())
def test_damage_raises_only_broken_image_errors(name: str, data: st.DataObject) -> None:
    content = bytearray(PRIVATE[name][0])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5)):
        content[min(at, len(content) - 1)] = value
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        try:
            stripped = strip_metadata(damaged).content
        except BrokenImageError:
            continue
        assert len(stripped) <= len(damaged)
        assert strip_metadata(stripped).content == stripped


def test_animations_are_detected() -> None:
    frames = [IMAGE.rotate(90)]
    for kind in ("png", "webp"):
        assert strip_metadata(encode(IMAGE, kind, save_all=True, append_images=frames)).animated
        assert not strip_metadata(encode(IMAGE, kind)).animated
    assert [item.kind for item in png_chunks(strip_metadata(encode(IMAGE, "png", save_all=True)).content)] == [
        item.kind for item in png_chunks(PNG)
    ]
