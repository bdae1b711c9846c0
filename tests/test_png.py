"""A picture carries its request: any text comes back, and nothing else in the file moves by a bit."""

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


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced() -> bytes:
    """Adam7, which Pillow reads and does not write: a pass of one pixel is all that 1 x 1 has."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\1\2\3")) + chunk(b"IEND")


def info(**texts: str) -> PngImagePlugin.PngInfo:
    made = PngImagePlugin.PngInfo()
    for keyword, value in texts.items():
        made.add_text(keyword, value)
    return made


def many_idats() -> bytes:
    """Two IDAT chunks, one of them empty, a text after them, and bytes after the end."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0\7")
    parts = [chunk(b"IHDR", header), chunk(b"IDAT"), chunk(b"IDAT", body[:3]), chunk(b"IDAT", body[3:])]
    return PNG_SIGNATURE + b"".join(parts) + chunk(b"tEXt", b"late\0text") + chunk(b"IEND") + b"after IEND"


GRADIENT = Image.linear_gradient("L").resize((24, 13))
RGB = Image.merge("RGB", (GRADIENT, GRADIENT.rotate(180), GRADIENT))
PICTURES: dict[str, bytes] = {
    "rgb": encoded(RGB),
    "rgba": encoded(RGB.convert("RGBA")),
    "palette": encoded(RGB.quantize(8), bits=4, transparency=2),
    "16-bit": encoded(GRADIENT.convert("I;16")),
    "one-bit": encoded(GRADIENT.convert("1")),
    "apng": encoded(RGB, save_all=True, append_images=[RGB.rotate(90), RGB.rotate(180)], duration=50),
    "described": encoded(
        RGB, dpi=(300, 300), icc_profile=b"profile", exif=b"Exif\0\0II*\0", pnginfo=info(Software="x")
    ),
    "interlaced": interlaced(),
    "many-idats": many_idats(),
}
PLAIN = PICTURES["rgb"]
every_picture = pytest.mark.parametrize("name", PICTURES)


def opened(content: bytes) -> PngImagePlugin.PngImageFile:
    image = Image.open(io.BytesIO(content))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    return image


def frames(content: bytes) -> list[bytes]:
    image = opened(content)
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        found.append(image.tobytes())
    return found


def kinds(content: bytes) -> list[bytes]:
    return [chunk.kind for chunk in png_chunks(content)]


def added(value: str) -> tuple[bytes, bytes]:
    """The kind and the data of the chunk that holds `value`."""
    [found] = [item for item in png_chunks(with_texts(PLAIN, {"key": value})) if item.kind in TEXT_KINDS]
    return found.kind, bytes(found.data)


def holding(*chunks: bytes) -> bytes:
    """A picture with these chunks after its header."""
    at = len(PNG_SIGNATURE) + 25
    return PLAIN[:at] + b"".join(chunks) + PLAIN[at:]


TEXTS = {"parameters": "a fox\nSteps: 4", "flux": '{"prompt": "🦊 狐"}', "Title": "Café"}


@every_picture
def test_only_chunks_before_the_picture_data_are_added(name: str) -> None:
    before = PICTURES[name]
    after = with_texts(before, TEXTS)
    at = sum(len(item.raw) for item in list(png_chunks(before))[: kinds(before).index(b"IDAT")]) + len(PNG_SIGNATURE)
    extra = len(after) - len(before)
    assert after[:at] == before[:at]
    assert after[at + extra :] == before[at:]
    assert kinds(after)[kinds(before).index(b"IDAT") :][:4] == [b"tEXt", b"iTXt", b"tEXt", b"IDAT"]
    assert inspect_image(after) == inspect_image(before)


@every_picture
def test_pillow_sees_the_texts_and_the_same_pixels(name: str) -> None:
    before = PICTURES[name]
    after = with_texts(before, TEXTS)
    assert opened(after).text == opened(before).text | TEXTS
    assert frames(after) == frames(before)
    assert (opened(after).mode, opened(after).size) == (opened(before).mode, opened(before).size)


@every_picture
def test_adding_twice_is_adding_once(name: str) -> None:
    once = with_texts(PICTURES[name], TEXTS)
    assert with_texts(once, TEXTS) == once
    assert with_texts(PICTURES[name], TEXTS) == once
    assert texts_in(once) == texts_in(PICTURES[name]) | TEXTS


@every_picture
def test_no_texts_change_nothing(name: str) -> None:
    assert with_texts(PICTURES[name], {}) == PICTURES[name]


@pytest.mark.parametrize(
    "old",
    [
        chunk(b"tEXt", b"key\0old"),
        chunk(b"tEXt", b"key"),  # without NUL; Pillow and others take it for an empty text
        chunk(b"zTXt", b"key\0\0" + zlib.compress(b"old")),
        chunk(b"iTXt", b"key\0\0\0de\0Wort\0alt"),
        chunk(b"tEXt", b"key\0one") + chunk(b"iTXt", b"key\0\0\0\0\0two"),
    ],
)
def test_an_old_text_gives_way_wherever_it_is(old: bytes) -> None:
    clean = with_texts(PLAIN, {"key": "new"})
    assert with_texts(holding(old), {"key": "new"}) == clean
    assert with_texts(PLAIN[:-12] + old + PLAIN[-12:], {"key": "new"}) == clean


def test_other_keywords_stay() -> None:
    others = [
        chunk(b"tEXt", b"Key\0a"),
        chunk(b"tEXt", b"key2\0b"),
        chunk(b"iTXt", b"ke\0\0\0\0\0c"),
        chunk(b"teXt", b"key\0d"),
    ]
    after = with_texts(holding(*others), {"key": "new"})
    assert b"".join(others) in after
    assert texts_in(after) == {"Key": "a", "key2": "b", "ke": "c", "key": "new"}


def test_a_text_after_the_picture_data_is_replaced_and_bytes_after_the_end_stay() -> None:
    after = with_texts(PICTURES["many-idats"], {"late": "early"})
    assert texts_in(after) == {"late": "early"}
    assert kinds(after) == [b"IHDR", b"tEXt", b"IDAT", b"IDAT", b"IDAT", b"IEND"]
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
def test_the_chunk_that_fits_the_value(value: str, kind: bytes, start: bytes) -> None:
    found, data = added(value)
    assert found == kind
    assert data.startswith(start)
    assert opened(with_texts(PLAIN, {"key": value})).text == {"key": value}


def test_long_text_takes_little_room() -> None:
    assert len(with_texts(PLAIN, {"key": "狐" * 33_000})) < len(PLAIN) + 1000


@pytest.mark.parametrize("size", [DECOMPRESSED_LIMIT, DECOMPRESSED_LIMIT + 1])
def test_a_text_at_the_limit_of_readers_is_still_readable(size: int) -> None:
    value = "€" + "x" * (size - 3)
    content = with_texts(PLAIN, {"key": value})
    assert texts_in(content) == {"key": value}
    assert opened(content).text == {"key": value}
    assert (len(content) < 10_000) is (size == DECOMPRESSED_LIMIT)


@pytest.mark.parametrize("keyword", ["a", "parameters", "x" * 79, "two words", "Ünï", "XML:com.adobe.xmp", "!~¡ÿ"])
def test_keywords(keyword: str) -> None:
    content = with_texts(PLAIN, {keyword: "value"})
    assert texts_in(content) == {keyword: "value"}
    assert opened(content).text == {keyword: "value"}


@pytest.mark.parametrize(
    "keyword",
    [
        "",
        "x" * 80,
        "狐",
        "a\0b",
        "a\n",
        "\n",
        " a",
        "a ",
        "a  b",
        " ",
        "a\tb",
        "a\x7f",
        "a\x80",
        "a\xa0b",
        "a" * 79 + "\n",
    ],
)
def test_what_cannot_be_a_keyword(keyword: str) -> None:
    with pytest.raises(ValueError, match="keyword"):
        with_texts(PLAIN, {"good": "value", keyword: "value"})


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        with_texts(PLAIN, {"key": "\ud800"})


@pytest.mark.parametrize(
    "content", [b"", b"<html>", PNG_SIGNATURE, PLAIN[:-1], PLAIN[:60] + b"!" + PLAIN[61:], encoded(RGB, "JPEG")]
)
def test_only_a_whole_png_takes_texts(content: bytes) -> None:
    with pytest.raises(BrokenImageError):
        with_texts(content, TEXTS)


KEYWORDS = st.from_regex(re.compile("[!-~\xa1-\xff]+( [!-~\xa1-\xff]+)*"), fullmatch=True).filter(
    lambda word: len(word) < 80
)
VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.characters(max_codepoint=255))
LONG = st.builds(lambda text, times: text * times, VALUES, st.sampled_from([1, 400]))


@given(st.dictionaries(KEYWORDS, LONG, max_size=4), st.sampled_from(sorted(PICTURES)))
@example({"key": "\r\n\u2028 \0 \x1b[31m\ufeff"}, "rgb")
def test_every_text_comes_back(texts: dict[str, str], name: str) -> None:
    content = with_texts(PICTURES[name], texts)
    assert texts_in(content) == texts_in(PICTURES[name]) | texts
    assert opened(content).text == opened(PICTURES[name]).text | texts
    assert inspect_image(content) == inspect_image(PICTURES[name])
    assert with_texts(content, texts) == content


def test_what_pillow_writes_is_read() -> None:
    made = info(plain="Café", emoji="🦊")
    made.add_text("packed", "long " * 99, zip=True)
    made.add_itxt("both", "狐 " * 99, "ja", "見出し", zip=True)
    made.add_itxt("told", "fox", "en", "Title")
    expected = {"plain": "Café", "emoji": "🦊", "packed": "long " * 99, "both": "狐 " * 99, "told": "fox"}
    assert texts_in(encoded(RGB, pnginfo=made)) == expected


def test_of_two_texts_with_one_keyword_the_later_counts_as_in_pillow() -> None:
    content = holding(chunk(b"tEXt", b"key\0one"), chunk(b"tEXt", b"key\0two"))
    assert texts_in(content) == opened(content).text == {"key": "two"}


GOOD = chunk(b"tEXt", b"good\0text")
PACKED = zlib.compress(b"some text, some text, some text")


@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"tEXt"),
        chunk(b"tEXt", b"no NUL"),
        chunk(b"tEXt", b"\0no keyword"),
        chunk(b"tEXt", b"\x1b[31m\0a keyword that drives a terminal"),
        chunk(b"tEXt", b"x" * 80 + b"\0long keyword"),
        chunk(b"tEXt", b"bad\0CRC")[:-1] + b"!",
        chunk(b"teXt", b"other\0kind"),
        chunk(b"zTXt", b"bad\0"),
        chunk(b"zTXt", b"bad\0\0"),
        chunk(b"zTXt", b"bad\0\1" + PACKED),
        chunk(b"zTXt", b"bad\0\0" + PACKED[:-1]),
        chunk(b"zTXt", b"bad\0\0" + PACKED[:-1] + b"!"),
        chunk(b"zTXt", b"bad\0\0no zlib stream"),
        chunk(b"iTXt", b"bad\0"),
        chunk(b"iTXt", b"bad\0\0\0"),
        chunk(b"iTXt", b"bad\0\0\0de\0no text"),
        chunk(b"iTXt", b"bad\0\0\0\0\0\xff no UTF-8"),
        chunk(b"iTXt", b"bad\0\0\0\0\0\xed\xa0\x80"),
        chunk(b"iTXt", b"bad\0\1\1\0\0" + PACKED),
        chunk(b"iTXt", b"bad\0\1\0\0\0" + PACKED[:-1]),
        chunk(b"iTXt", b"bad\0\2\0\0\0text"),
        chunk(b"iTXt", b"bad\0\1\0\0\0" + zlib.compress(b"\xff")),
    ],
)
def test_a_bad_chunk_is_left_out_and_the_next_is_read(bad: bytes) -> None:
    assert texts_in(holding(bad, GOOD)) == {"good": "text"}


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG", PNG_SIGNATURE, b"8 bytes." + GOOD, encoded(RGB, "JPEG"), encoded(RGB, "WEBP")]
)
def test_no_texts_in_what_is_no_png(content: bytes) -> None:
    assert texts_in(content) == {}


def test_a_png_that_is_cut_has_the_texts_before_the_cut() -> None:
    whole = holding(GOOD, chunk(b"tEXt", b"next\0text"))
    found = [len(texts_in(whole[:length])) for length in range(len(whole))]
    assert found == sorted(found)
    first = len(PNG_SIGNATURE) + 25 + len(GOOD)
    assert found[first - 1 : first + 1] == [0, 1]
    assert found[-1] == 2


def test_damaged_picture_data_does_not_hide_the_texts() -> None:
    content = bytearray(PICTURES["many-idats"])
    content[content.index(b"IDAT", 60) + 5] ^= 1
    assert texts_in(bytes(content)) == {"late": "text"}


def test_a_whole_picture_of_another_format_is_told_what_is_wrong() -> None:
    with pytest.raises(BrokenImageError, match="not a PNG"):
        with_texts(encoded(RGB, "WEBP"), TEXTS)


def test_a_text_after_the_end_is_no_text_of_the_picture() -> None:
    assert texts_in(PLAIN + GOOD) == {}


def packed(keyword: bytes, size: int) -> list[bytes]:
    stream = zlib.compress(b"x" * size, 9)
    return [chunk(b"zTXt", keyword + b"z\0\0" + stream), chunk(b"iTXt", keyword + b"i\0\1\0\0\0" + stream)]


def test_the_largest_text_that_is_unpacked() -> None:
    largest = texts_in(holding(*packed(b"k", DECOMPRESSED_LIMIT)))
    assert {keyword: len(text) for keyword, text in largest.items()} == {
        "kz": DECOMPRESSED_LIMIT,
        "ki": DECOMPRESSED_LIMIT,
    }
    assert texts_in(holding(*packed(b"k", DECOMPRESSED_LIMIT + 1), GOOD)) == {"good": "text"}


def peak(content: bytes) -> int:
    tracemalloc.start()
    texts_in(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_a_zip_bomb_stays_small() -> None:
    assert peak(holding(*packed(b"k", 64 << 20))) < 8 * DECOMPRESSED_LIMIT


def test_many_small_bombs_stay_small() -> None:
    stream = zlib.compress(b"x" * DECOMPRESSED_LIMIT, 9)
    content = holding(*(chunk(b"zTXt", b"%d\0\0" % number + stream) for number in range(99)))
    assert peak(content) < 2 * TOTAL_LIMIT
    assert len(texts_in(content)) == TOTAL_LIMIT // DECOMPRESSED_LIMIT


def test_only_so_many_chunks_are_looked_at_and_pictures_data_does_not_count() -> None:
    content = holding(*(chunk(b"tEXt", b"%d\0x" % number) for number in range(CHUNK_LIMIT + 9)))
    assert list(texts_in(content)) == [str(number) for number in range(CHUNK_LIMIT)]
    bad = holding(*[chunk(b"tEXt", b"bad")] * CHUNK_LIMIT, GOOD)
    assert texts_in(bad) == {}
    data = PLAIN[:-12] + chunk(b"IDAT") * 2 * CHUNK_LIMIT + GOOD + PLAIN[-12:]
    assert texts_in(data) == {"good": "text"}


def test_a_picture_with_too_many_texts_still_takes_ours_and_keeps_them() -> None:
    crowd = [chunk(b"tEXt", b"%d\0x" % number) for number in range(CHUNK_LIMIT)]
    after = with_texts(holding(*crowd), {"0": "new"})
    assert len(texts_in(after)) == CHUNK_LIMIT
    assert texts_in(after)["0"] == "new"


FULL = with_texts(holding(GOOD, *packed(b"k", 3000)), TEXTS | {"long": "狐" * 2000})
PIECES = st.sampled_from(
    [b"", b"\0", b"k", b"k\0", b"\0\0", b"\1\0", b"\0\1", b"\1\0\0\0", PACKED, PACKED[:9], b"\xff"]
)
HOSTILE = st.builds(
    lambda kind, pieces: holding(chunk(kind, b"".join(pieces)), GOOD),
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
def test_no_bytes_whatever_raise_anything(content: bytes) -> None:
    for keyword, text in texts_in(content).items():
        assert texts_in(FULL)[keyword] == text  # the CRC stands between damage and a wrong text


@given(HOSTILE)
def test_a_hostile_chunk_harms_nobody_else(content: bytes) -> None:
    assert texts_in(content)["good"] == "text"
    assert texts_in(with_texts(content, TEXTS)).items() >= TEXTS.items()


def webui_reads(text: str) -> tuple[str, str, dict[str, str]]:
    """The prompt, the negative prompt and the settings, by the rules of the webui's `parse_generation_parameters`."""
    setting = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    assert len(setting.findall(last)) >= 3
    prompt, _, negative = "\n".join(lines).partition("Negative prompt: ")
    return prompt.removesuffix("\n"), negative, dict(setting.findall(last))


def parameters(operation: Operation, *, model: str = "Qubico/flux1-dev", seed: int = 7) -> str:
    return texts_for(TaskRequest(operation, model, seed), "task", None, sandbox=False)["parameters"]


def test_parameters_as_other_tools_write_them() -> None:
    text = parameters(
        TextToImage(prompt="a red fox,\nin the snow", negative_prompt="blur", steps=25, guidance=3.5, denoise=0.7, width=1024, height=768)
    )  # fmt: skip
    assert text == (
        "a red fox,\nin the snow\nNegative prompt: blur\n"
        "Steps: 25, CFG scale: 3.5, Seed: 7, Size: 1024x768, Model: flux1-dev, Denoising strength: 0.7"
    )
    assert webui_reads(text) == (
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
def test_absent_parameters_are_left_out(fields: dict[str, Any], expected: str) -> None:
    assert parameters(ImageToImage(image="https://example.com/a.png", **({"prompt": "a fox"} | fields))) == expected


@pytest.mark.parametrize(
    ("model", "shown"),
    [("flux1-dev", "flux1-dev"), ("Qubico/flux1-dev", "flux1-dev"), ('a "b", c: 狐', '"a \\"b\\", c: 狐"')],
)
def test_the_model_among_the_parameters(model: str, shown: str) -> None:
    text = parameters(TextToImage(prompt="a fox"), model=model, seed=0)
    assert text == f"a fox\nSeed: 0, Size: 1024x1024, Model: {shown}"


def test_a_model_with_commas_does_not_end_the_settings() -> None:
    text = parameters(ImageToImage(prompt="a fox", image="a", steps=4, denoise=0.5), model="one, Seed: 8")
    assert webui_reads(text)[2] == {"Steps": "4", "Seed": "7", "Model": '"one, Seed: 8"', "Denoising strength": "0.5"}


def test_parameters_go_through_a_picture() -> None:
    text = parameters(TextToImage(prompt="🦊, a \u201cfox\u201d", negative_prompt="blur"))
    assert opened(with_texts(PLAIN, {"parameters": text})).info["parameters"] == text
