"""An image contains its request: every text can be read back, and the rest of the file does not change."""

import io
import re
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from flux_cli.images.formats import PNG_SIGNATURE, BrokenImageError, inspect_image, png_chunks
from flux_cli.images.metadata import texts_for
from flux_cli.images.png import CHUNK_LIMIT, DECOMPRESSED_LIMIT, TOTAL_LIMIT, texts_in, with_texts
from flux_cli.operations.base import Operation
from flux_cli.operations.image_to_image import ImageToImage
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")


def encode_image(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_interlaced() -> bytes:
    """Return an Adam7 image, which Pillow reads but does not write. Of 1 x 1, it has only one pass with one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)
    return (
        PNG_SIGNATURE
        + make_chunk(b"IHDR", header)
        + make_chunk(b"IDAT", zlib.compress(b"\0\1\2\3"))
        + make_chunk(b"IEND")
    )


def make_info(**texts: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for keyword, value in texts.items():
        info.add_text(keyword, value)
    return info


def make_many_idats() -> bytes:
    """Return an image with three IDAT chunks, one of them empty, a text after them, and bytes after the end."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0\7")
    parts = [
        make_chunk(b"IHDR", header),
        make_chunk(b"IDAT"),
        make_chunk(b"IDAT", body[:3]),
        make_chunk(b"IDAT", body[3:]),
    ]
    return PNG_SIGNATURE + b"".join(parts) + make_chunk(b"tEXt", b"late\0text") + make_chunk(b"IEND") + b"after IEND"


GRADIENT = Image.linear_gradient("L").resize((24, 13))
RGB = Image.merge("RGB", (GRADIENT, GRADIENT.rotate(180), GRADIENT))
IMAGES: dict[str, bytes] = {
    "rgb": encode_image(RGB),
    "rgba": encode_image(RGB.convert("RGBA")),
    "palette": encode_image(RGB.quantize(8), bits=4, transparency=2),
    "16-bit": encode_image(GRADIENT.convert("I;16")),
    "one-bit": encode_image(GRADIENT.convert("1")),
    "apng": encode_image(RGB, save_all=True, append_images=[RGB.rotate(90), RGB.rotate(180)], duration=50),
    "described": encode_image(
        RGB, dpi=(300, 300), icc_profile=b"profile", exif=b"Exif\0\0II*\0", pnginfo=make_info(Software="x")
    ),
    "interlaced": make_interlaced(),
    "many-idats": make_many_idats(),
}
PLAIN = IMAGES["rgb"]
every_image = pytest.mark.parametrize("name", IMAGES)


def open_image(content: bytes) -> PngImagePlugin.PngImageFile:
    image = Image.open(io.BytesIO(content))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    return image


def get_frames(content: bytes) -> list[bytes]:
    image = open_image(content)
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append(image.tobytes())
    return frames


def get_kinds(content: bytes) -> list[bytes]:
    return [item.kind for item in png_chunks(content)]


def get_added_chunk(value: str) -> tuple[bytes, bytes]:
    """Return the kind and the data of the chunk that contains `value`."""
    [found] = [item for item in png_chunks(with_texts(PLAIN, {"key": value})) if item.kind in TEXT_KINDS]
    return found.kind, bytes(found.data)


def insert_chunks(*chunks: bytes) -> bytes:
    """Return an image with these chunks after its header."""
    at = len(PNG_SIGNATURE) + 25
    return PLAIN[:at] + b"".join(chunks) + PLAIN[at:]


TEXTS = {"parameters": "a fox\nSteps: 4", "flux": '{"prompt": "🦊 狐"}', "Title": "Café"}


@every_image
def test_only_chunks_before_the_image_data_are_added(name: str) -> None:
    before = IMAGES[name]
    after = with_texts(before, TEXTS)
    at = sum(len(item.raw) for item in list(png_chunks(before))[: get_kinds(before).index(b"IDAT")]) + len(
        PNG_SIGNATURE
    )
    extra = len(after) - len(before)
    assert after[:at] == before[:at]
    assert after[at + extra :] == before[at:]
    assert get_kinds(after)[get_kinds(before).index(b"IDAT") :][:4] == [b"tEXt", b"iTXt", b"tEXt", b"IDAT"]
    assert inspect_image(after) == inspect_image(before)


@every_image
def test_pillow_reads_the_texts_and_the_same_pixels(name: str) -> None:
    before = IMAGES[name]
    after = with_texts(before, TEXTS)
    assert open_image(after).text == open_image(before).text | TEXTS
    assert get_frames(after) == get_frames(before)
    assert (open_image(after).mode, open_image(after).size) == (open_image(before).mode, open_image(before).size)


@every_image
def test_adding_the_same_texts_again_changes_nothing(name: str) -> None:
    once = with_texts(IMAGES[name], TEXTS)
    assert with_texts(once, TEXTS) == once
    assert with_texts(IMAGES[name], TEXTS) == once
    assert texts_in(once) == texts_in(IMAGES[name]) | TEXTS


@every_image
def test_adding_no_texts_changes_nothing(name: str) -> None:
    assert with_texts(IMAGES[name], {}) == IMAGES[name]


@pytest.mark.parametrize(
    "old",
    [
        make_chunk(b"tEXt", b"key\0old"),
        make_chunk(b"tEXt", b"key"),  # without NUL; Pillow and others read it as an empty text
        make_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"old")),
        make_chunk(b"iTXt", b"key\0\0\0de\0Wort\0alt"),
        make_chunk(b"tEXt", b"key\0one") + make_chunk(b"iTXt", b"key\0\0\0\0\0two"),
    ],
)
def test_an_old_text_is_replaced_wherever_it_is(old: bytes) -> None:
    clean = with_texts(PLAIN, {"key": "new"})
    assert with_texts(insert_chunks(old), {"key": "new"}) == clean
    assert with_texts(PLAIN[:-12] + old + PLAIN[-12:], {"key": "new"}) == clean


def test_texts_with_other_keywords_are_kept() -> None:
    others = [
        make_chunk(b"tEXt", b"Key\0a"),
        make_chunk(b"tEXt", b"key2\0b"),
        make_chunk(b"iTXt", b"ke\0\0\0\0\0c"),
        make_chunk(b"teXt", b"key\0d"),
    ]
    after = with_texts(insert_chunks(*others), {"key": "new"})
    assert b"".join(others) in after
    assert texts_in(after) == {"Key": "a", "key2": "b", "ke": "c", "key": "new"}


def test_a_text_after_the_image_data_is_replaced_and_bytes_after_the_end_are_kept() -> None:
    after = with_texts(IMAGES["many-idats"], {"late": "early"})
    assert texts_in(after) == {"late": "early"}
    assert get_kinds(after) == [b"IHDR", b"tEXt", b"IDAT", b"IDAT", b"IDAT", b"IEND"]
    assert after.endswith(b"after IEND")


@pytest.mark.parametrize(
    ("value", "kind", "start"),
    [
        ("", b"tEXt", b"key\0"),
        ("Café\n\xff", b"tEXt", b"key\0Caf\xe9\n\xff"),
        ("x" * 100_000, b"tEXt", b"key\0xxx"),
        ("a\0b", b"iTXt", b"key\0\0\0\0\0a\0b"),
        ("€", b"iTXt", b"key\0\0\0\0\0\xe2\x82\xac"),
        ("é" * 1022 + "🦊", b"iTXt", b"key\0\0\0\0\0\xc3\xa9"),  # 2048 bytes
        ("é" * 1022 + "🦊!", b"iTXt", b"key\0\1\0\0\0\x78"),  # 2049 bytes
        ("狐" * 33_000, b"iTXt", b"key\0\1\0\0\0\x78"),
    ],
)
def test_each_value_gets_the_chunk_that_fits(value: str, kind: bytes, start: bytes) -> None:
    found, data = get_added_chunk(value)
    assert found == kind
    assert data.startswith(start)
    assert open_image(with_texts(PLAIN, {"key": value})).text == {"key": value}


def test_a_long_text_is_compressed() -> None:
    assert len(with_texts(PLAIN, {"key": "狐" * 33_000})) < len(PLAIN) + 1000


@pytest.mark.parametrize("size", [DECOMPRESSED_LIMIT, DECOMPRESSED_LIMIT + 1])
def test_a_text_at_the_limit_of_readers_is_readable(size: int) -> None:
    value = "€" + "x" * (size - 3)
    content = with_texts(PLAIN, {"key": value})
    assert texts_in(content) == {"key": value}
    assert open_image(content).text == {"key": value}
    assert (len(content) < 10_000) is (size == DECOMPRESSED_LIMIT)


@pytest.mark.parametrize("keyword", ["a", "parameters", "x" * 79, "two words", "Ünï", "XML:com.adobe.xmp", "!~¡ÿ"])
def test_valid_keywords_are_accepted(keyword: str) -> None:
    content = with_texts(PLAIN, {keyword: "value"})
    assert texts_in(content) == {keyword: "value"}
    assert open_image(content).text == {keyword: "value"}


@pytest.mark.parametrize(
    "keyword",
    [
        "",
        "x" * 80,
        "狐",
        "a\0b",
        "a\n",
        " a",
        "a ",
        "a  b",
        "a\x7f",
        "a\x80",
        "a\xa0b",
        "a" * 79 + "\n",
    ],
)
def test_invalid_keywords_are_refused(keyword: str) -> None:
    with pytest.raises(ValueError, match="keyword"):
        with_texts(PLAIN, {"good": "value", keyword: "value"})


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        with_texts(PLAIN, {"key": "\ud800"})


@pytest.mark.parametrize("content", [b"", b"<html>", PNG_SIGNATURE, PLAIN[:-1], PLAIN[:60] + b"!" + PLAIN[61:]])
def test_texts_are_added_only_to_a_complete_png(content: bytes) -> None:
    with pytest.raises(BrokenImageError):
        with_texts(content, TEXTS)


KEYWORDS = st.from_regex(re.compile("[!-~\xa1-\xff]+( [!-~\xa1-\xff]+)*"), fullmatch=True).filter(
    lambda word: len(word) < 80
)
VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.characters(max_codepoint=255))
LONG = st.builds(lambda text, times: text * times, VALUES, st.sampled_from([1, 400]))


@given(st.dictionaries(KEYWORDS, LONG, max_size=4), st.sampled_from(sorted(IMAGES)))
@example({"key": "\r\n\u2028 \0 \x1b[31m\ufeff"}, "rgb")
def test_every_text_is_read_back(texts: dict[str, str], name: str) -> None:
    content = with_texts(IMAGES[name], texts)
    assert texts_in(content) == texts_in(IMAGES[name]) | texts
    assert open_image(content).text == open_image(IMAGES[name]).text | texts
    assert inspect_image(content) == inspect_image(IMAGES[name])
    assert with_texts(content, texts) == content


def test_texts_that_pillow_writes_are_read() -> None:
    info = make_info(plain="Café", emoji="🦊")
    info.add_text("packed", "long " * 99, zip=True)
    info.add_itxt("both", "狐 " * 99, "ja", "見出し", zip=True)
    info.add_itxt("described", "fox", "en", "Title")
    expected = {"plain": "Café", "emoji": "🦊", "packed": "long " * 99, "both": "狐 " * 99, "described": "fox"}
    assert texts_in(encode_image(RGB, pnginfo=info)) == expected


def test_the_later_of_two_texts_with_one_keyword_counts_as_in_pillow() -> None:
    content = insert_chunks(make_chunk(b"tEXt", b"key\0one"), make_chunk(b"tEXt", b"key\0two"))
    assert texts_in(content) == open_image(content).text == {"key": "two"}


GOOD = make_chunk(b"tEXt", b"good\0text")
PACKED = zlib.compress(b"some text, some text, some text")


@pytest.mark.parametrize(
    "bad",
    [
        make_chunk(b"tEXt"),
        make_chunk(b"tEXt", b"no NUL"),
        make_chunk(b"tEXt", b"\0no keyword"),
        make_chunk(b"tEXt", b"\x1b[31m\0a keyword that drives a terminal"),
        make_chunk(b"tEXt", b"x" * 80 + b"\0long keyword"),
        make_chunk(b"tEXt", b"bad\0CRC")[:-1] + b"!",
        make_chunk(b"teXt", b"other\0kind"),
        make_chunk(b"zTXt", b"bad\0"),
        make_chunk(b"zTXt", b"bad\0\0"),
        make_chunk(b"zTXt", b"bad\0\1" + PACKED),
        make_chunk(b"zTXt", b"bad\0\0" + PACKED[:-1]),
        make_chunk(b"zTXt", b"bad\0\0" + PACKED[:-1] + b"!"),
        make_chunk(b"zTXt", b"bad\0\0no zlib stream"),
        make_chunk(b"iTXt", b"bad\0"),
        make_chunk(b"iTXt", b"bad\0\0\0"),
        make_chunk(b"iTXt", b"bad\0\0\0de\0no text"),
        make_chunk(b"iTXt", b"bad\0\0\0\0\0\xff no UTF-8"),
        make_chunk(b"iTXt", b"bad\0\0\0\0\0\xed\xa0\x80"),
        make_chunk(b"iTXt", b"bad\0\1\1\0\0" + PACKED),
        make_chunk(b"iTXt", b"bad\0\1\0\0\0" + PACKED[:-1]),
        make_chunk(b"iTXt", b"bad\0\2\0\0\0text"),
        make_chunk(b"iTXt", b"bad\0\1\0\0\0" + zlib.compress(b"\xff")),
    ],
)
def test_a_bad_chunk_is_skipped_and_the_next_one_is_read(bad: bytes) -> None:
    assert texts_in(insert_chunks(bad, GOOD)) == {"good": "text"}


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG", PNG_SIGNATURE, b"8 bytes." + GOOD, encode_image(RGB, "JPEG"), encode_image(RGB, "WEBP")],
)
def test_other_formats_have_no_texts(content: bytes) -> None:
    assert texts_in(content) == {}


def test_a_cut_png_has_the_texts_before_the_cut() -> None:
    whole = insert_chunks(GOOD, make_chunk(b"tEXt", b"next\0text"))
    counts = [len(texts_in(whole[:length])) for length in range(len(whole))]
    assert counts == sorted(counts)
    first = len(PNG_SIGNATURE) + 25 + len(GOOD)
    assert counts[first - 1 : first + 1] == [0, 1]
    assert counts[-1] == 2


def test_damaged_image_data_does_not_hide_the_texts() -> None:
    content = bytearray(IMAGES["many-idats"])
    content[content.index(b"IDAT", 60) + 5] ^= 1
    assert texts_in(bytes(content)) == {"late": "text"}


def test_adding_texts_to_another_format_is_refused() -> None:
    with pytest.raises(BrokenImageError, match="not a PNG"):
        with_texts(encode_image(RGB, "WEBP"), TEXTS)


def test_a_text_after_the_end_is_ignored() -> None:
    assert texts_in(PLAIN + GOOD) == {}


def make_packed_chunks(keyword: bytes, size: int) -> list[bytes]:
    stream = zlib.compress(b"x" * size, 9)
    return [make_chunk(b"zTXt", keyword + b"z\0\0" + stream), make_chunk(b"iTXt", keyword + b"i\0\1\0\0\0" + stream)]


def test_only_texts_up_to_the_limit_are_unpacked() -> None:
    largest = texts_in(insert_chunks(*make_packed_chunks(b"k", DECOMPRESSED_LIMIT)))
    assert {keyword: len(text) for keyword, text in largest.items()} == {
        "kz": DECOMPRESSED_LIMIT,
        "ki": DECOMPRESSED_LIMIT,
    }
    assert texts_in(insert_chunks(*make_packed_chunks(b"k", DECOMPRESSED_LIMIT + 1), GOOD)) == {"good": "text"}


def measure_peak(content: bytes) -> int:
    tracemalloc.start()
    texts_in(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_a_zip_bomb_does_not_fill_the_memory() -> None:
    assert measure_peak(insert_chunks(*make_packed_chunks(b"k", 64 << 20))) < 8 * DECOMPRESSED_LIMIT


def test_many_small_zip_bombs_do_not_fill_the_memory() -> None:
    stream = zlib.compress(b"x" * DECOMPRESSED_LIMIT, 9)
    content = insert_chunks(*(make_chunk(b"zTXt", b"%d\0\0" % number + stream) for number in range(99)))
    assert measure_peak(content) < 2 * TOTAL_LIMIT
    assert len(texts_in(content)) == TOTAL_LIMIT // DECOMPRESSED_LIMIT


def test_the_number_of_chunks_is_limited_but_not_the_image_data() -> None:
    content = insert_chunks(*(make_chunk(b"tEXt", b"%d\0x" % number) for number in range(CHUNK_LIMIT + 9)))
    assert list(texts_in(content)) == [str(number) for number in range(CHUNK_LIMIT)]
    bad = insert_chunks(*[make_chunk(b"tEXt", b"bad")] * CHUNK_LIMIT, GOOD)
    assert texts_in(bad) == {}
    data = PLAIN[:-12] + make_chunk(b"IDAT") * 2 * CHUNK_LIMIT + GOOD + PLAIN[-12:]
    assert texts_in(data) == {"good": "text"}


def test_texts_are_added_to_an_image_that_has_too_many() -> None:
    chunks = [make_chunk(b"tEXt", b"%d\0x" % number) for number in range(CHUNK_LIMIT)]
    after = with_texts(insert_chunks(*chunks), {"0": "new"})
    assert len(texts_in(after)) == CHUNK_LIMIT
    assert texts_in(after)["0"] == "new"


FULL = with_texts(insert_chunks(GOOD, *make_packed_chunks(b"k", 3000)), TEXTS | {"long": "狐" * 2000})
PIECES = st.sampled_from(
    [b"", b"\0", b"k", b"k\0", b"\0\0", b"\1\0", b"\0\1", b"\1\0\0\0", PACKED, PACKED[:9], b"\xff"]
)
HOSTILE = st.builds(
    lambda kind, pieces: insert_chunks(make_chunk(kind, b"".join(pieces)), GOOD),
    st.sampled_from(TEXT_KINDS),
    st.lists(PIECES | st.binary(max_size=6), max_size=6),
)
DAMAGED = st.builds(
    lambda at, new, gone: FULL[:at] + new + FULL[at + gone :],
    st.integers(0, len(FULL)),
    st.binary(max_size=6),
    st.integers(0, 6),
)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda end: PNG_SIGNATURE + end) | DAMAGED)
def test_no_bytes_raise_an_error(content: bytes) -> None:
    for keyword, text in texts_in(content).items():
        assert texts_in(FULL)[keyword] == text  # the CRC protects against a wrong text


@given(HOSTILE)
def test_a_hostile_chunk_does_not_affect_other_chunks(content: bytes) -> None:
    assert texts_in(content)["good"] == "text"
    assert texts_in(with_texts(content, TEXTS)).items() >= TEXTS.items()


def parse_like_webui(text: str) -> tuple[str, str, dict[str, str]]:
    """Return the prompt, the negative prompt and the settings by the rules of the webui's `parse_generation_parameters`."""
    setting = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    assert len(setting.findall(last)) >= 3
    prompt, _, negative = "\n".join(lines).partition("Negative prompt: ")
    return prompt.removesuffix("\n"), negative, dict(setting.findall(last))


def make_parameters(operation: Operation, *, model: str = "Qubico/flux1-dev", seed: int = 7) -> str:
    return texts_for(TaskRequest(operation, model, seed), "task", None, sandbox=False)["parameters"]


def test_parameters_are_written_like_other_tools_write_them() -> None:
    text = make_parameters(
        TextToImage(prompt="a red fox,\nin the snow", negative_prompt="blur", steps=25, guidance=3.5, denoise=0.7, width=1024, height=768)
    )  # fmt: skip
    assert text == (
        "a red fox,\nin the snow\nNegative prompt: blur\n"
        "Steps: 25, CFG scale: 3.5, Seed: 7, Size: 1024x768, Model: flux1-dev, Denoising strength: 0.7"
    )
    assert parse_like_webui(text) == (
        "a red fox,\nin the snow",
        "blur",
        {
            "Steps": "25",
            "CFG scale": "3.5",
            "Seed": "7",
            "Size": "1024x768",
            "Model": "flux1-dev",
            "Denoising strength": "0.7",
        },
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "a fox\nSeed: 7, Model: flux1-dev"),
        ({"negative_prompt": ""}, "a fox\nSeed: 7, Model: flux1-dev"),
        ({"steps": 0}, "a fox\nSteps: 0, Seed: 7, Model: flux1-dev"),
        ({"guidance": 0.0, "denoise": 1.0}, "a fox\nCFG scale: 0, Seed: 7, Model: flux1-dev, Denoising strength: 1"),
        (
            {"guidance": 7, "denoise": 0.1 + 0.2},
            "a fox\nCFG scale: 7, Seed: 7, Model: flux1-dev, Denoising strength: 0.3",
        ),
        ({"prompt": ""}, "Seed: 7, Model: flux1-dev"),
    ],
)
def test_absent_parameters_are_omitted(fields: dict[str, Any], expected: str) -> None:
    assert (
        make_parameters(ImageToImage(image="https://example.com/a.png", **({"prompt": "a fox"} | fields))) == expected
    )


@pytest.mark.parametrize(
    ("model", "shown"),
    [("flux1-dev", "flux1-dev"), ("Qubico/flux1-dev", "flux1-dev"), ('a "b", c: 狐', '"a \\"b\\", c: 狐"')],
)
def test_the_parameters_contain_the_model(model: str, shown: str) -> None:
    text = make_parameters(TextToImage(prompt="a fox"), model=model, seed=0)
    assert text == f"a fox\nSeed: 0, Size: 1024x1024, Model: {shown}"


def test_commas_in_a_model_name_do_not_end_the_settings() -> None:
    text = make_parameters(ImageToImage(prompt="a fox", image="a", steps=4, denoise=0.5), model="one, Seed: 8")
    assert parse_like_webui(text)[2] == {
        "Steps": "4",
        "Seed": "7",
        "Model": '"one, Seed: 8"',
        "Denoising strength": "0.5",
    }


def test_parameters_are_read_back_from_an_image() -> None:
    text = make_parameters(TextToImage(prompt="🦊, a \u201cfox\u201d", negative_prompt="blur"))
    assert open_image(with_texts(PLAIN, {"parameters": text})).info["parameters"] == text
