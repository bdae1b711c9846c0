"""A PNG's text chunks: what a picture says about how it was made, added and read without touching a pixel.

Portable Network Graphics, third edition, section 11.3.3 (https://www.w3.org/TR/png-3/#11textinfo).
"""

import json
import re
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice

from .formats import PNG_SIGNATURE, BrokenPictureError, PngChunk, png_chunks, whole_picture

TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
COMPRESS_OVER = 2048
"""Bytes of UTF-8 from which an iTXt chunk is compressed."""
DECOMPRESSED_LIMIT = 1 << 20
"""Bytes that one compressed chunk may grow to. Pillow has the same limit, and does not open a picture above it."""
CHUNK_LIMIT, TOTAL_LIMIT = 256, 16 << 20
"""Text chunks that are looked at, and characters that all of them may have: 256 small bombs are a bomb too."""

# 11.3.3.2: 1 to 79 printable Latin-1 characters; spaces only single and inside.
_KEYWORD = re.compile("(?=.{1,79}$)[!-~\xa1-\xff]+(?: [!-~\xa1-\xff]+)*")


def with_texts(content: bytes, texts: Mapping[str, str]) -> bytes:
    """The PNG with a text chunk for each entry right before its picture data; all else byte for byte as it was.

    Chunks that already have one of the keywords give way. Raises ValueError for an impossible keyword or a value
    with lone surrogates, and BrokenPictureError when `content` is not a whole PNG.
    """
    added = [_text_chunk(keyword, value) for keyword, value in texts.items()]
    if whole_picture(content).extension != "png":
        raise BrokenPictureError("the picture is not a PNG")
    replaced = {keyword.encode("latin-1") for keyword in texts}
    chunks = list(png_chunks(content))
    after_end = len(PNG_SIGNATURE) + sum(len(chunk.raw) for chunk in chunks)
    kept = [chunk for chunk in chunks if chunk.kind not in TEXT_KINDS or _keyword(chunk) not in replaced]
    place = [chunk.kind for chunk in kept].index(b"IDAT")
    raw = [chunk.raw for chunk in kept]
    return b"".join([PNG_SIGNATURE, *raw[:place], *added, *raw[place:], content[after_end:]])


def texts_in(content: bytes) -> dict[str, str]:
    """The texts of a PNG by keyword; of two with one keyword the later, as Pillow has it.

    Pictures come from anywhere: a chunk that is damaged or too large is left out, and no bytes raise anything.
    """
    found: dict[str, str] = {}
    total = 0
    chunks = png_chunks(content) if content.startswith(PNG_SIGNATURE) else ()
    with suppress(BrokenPictureError):  # cut short: what stands before the cut is still good
        for chunk in islice((chunk for chunk in chunks if chunk.kind in TEXT_KINDS), CHUNK_LIMIT):
            keyword, text = _keyword(chunk).decode("latin-1"), _text(chunk)
            if text is None or not _KEYWORD.fullmatch(keyword):
                continue
            total += len(text)
            if total > TOTAL_LIMIT:
                break
            found[keyword] = text
    return found


def parameters_text(
    *,
    prompt: str,
    negative_prompt: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    guidance: float | None = None,
    denoise: float | None = None,
    width: int | None = None,
    height: int | None = None,
    model: str | None = None,
) -> str:
    """The text under the keyword `parameters` that other image tools read; what is None is left out.

    The format is AUTOMATIC1111's (stable-diffusion-webui, `modules/infotext_utils.py`): the prompt, a line
    `Negative prompt: ...`, and last one line of settings. Its reader takes a line with fewer than three settings
    for a part of the prompt, and others know the line by `Steps: ` at its start.
    """
    settings = {
        "Steps": steps,
        "CFG scale": None if guidance is None else f"{guidance:.10g}",
        "Seed": seed,
        "Size": None if width is None or height is None else f"{width}x{height}",
        "Model": _quoted(model) if model else None,
        "Denoising strength": None if denoise is None else f"{denoise:.10g}",
    }
    lines = [
        prompt,
        f"Negative prompt: {negative_prompt}" if negative_prompt else "",
        ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None),
    ]
    return "\n".join(line for line in lines if line)


def _quoted(value: str) -> str:
    """In JSON's quotes when a bare value would end early, as the webui's `quote` does it."""
    return json.dumps(value, ensure_ascii=False) if re.search("[,:\n]", value) else value


def _text_chunk(keyword: str, value: str) -> bytes:
    """tEXt if Latin-1 can say it, else iTXt with no language and no translated keyword.

    A value with NUL, which the standard has in neither, goes into iTXt: there it does no harm to a reader's parsing.
    """
    if not _KEYWORD.fullmatch(keyword):
        raise ValueError(f"{keyword!r} cannot be the keyword of a PNG text: 1 to 79 printable Latin-1 characters")
    start = keyword.encode("latin-1") + b"\0"
    if "\0" not in value:
        with suppress(UnicodeEncodeError):
            return _chunk(b"tEXt", start + value.encode("latin-1"))
    data = value.encode()
    # What a reader would refuse to unpack is written as it is.
    if COMPRESS_OVER < len(data) <= DECOMPRESSED_LIMIT:
        return _chunk(b"iTXt", start + b"\1\0\0\0" + zlib.compress(data, 9))
    return _chunk(b"iTXt", start + b"\0\0\0\0" + data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _keyword(chunk: PngChunk) -> bytes:
    """What stands before the first NUL, of whatever length."""
    return bytes(chunk.data).partition(b"\0")[0]


def _text(chunk: PngChunk) -> str | None:
    """The text of a tEXt (11.3.3.2), zTXt (11.3.3.3) or iTXt chunk (11.3.3.4); None when it is damaged."""
    _, nul, rest = bytes(chunk.data).partition(b"\0")
    if not nul or not chunk.intact:
        return None
    try:
        if chunk.kind == b"tEXt":
            return rest.decode("latin-1")
        if chunk.kind == b"zTXt":
            return _decompressed(rest[:1], rest[1:]).decode("latin-1")
        _language, _translated, data = rest[2:].split(b"\0", 2)
        return (data if rest[:1] == b"\0" else _decompressed(rest[1:2], data)).decode()
    except (ValueError, zlib.error):
        return None


def _decompressed(method: bytes, data: bytes) -> bytes:
    """The whole zlib stream, never more than the limit; ValueError when it is larger or cut short."""
    stream = zlib.decompressobj()
    plain = stream.decompress(data, DECOMPRESSED_LIMIT + 1)
    if method != b"\0" or not stream.eof or len(plain) > DECOMPRESSED_LIMIT:
        raise ValueError
    return plain
