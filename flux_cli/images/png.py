"""Text chunks and the color profile of a PNG, which are added, read and removed without decoding the pixels.

Portable Network Graphics, third edition (https://www.w3.org/TR/png-3/), sections 11.3.2 and 11.3.3.
"""

import re
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice

from .formats import PNG_SIGNATURE, BrokenImageError, PngChunk, inspect_image, png_chunks

TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
COMPRESS_OVER = 2048
"""Bytes of UTF-8. A longer iTXt chunk is compressed."""
DECOMPRESSED_LIMIT = 1 << 20
"""Bytes of one text after decompression. Pillow refuses images above the same limit."""
CHUNK_LIMIT, TOTAL_LIMIT = 256, 16 << 20
"""The most text chunks that are read, and characters in all of them: many small decompression bombs add up too."""
PROFILE_LIMIT = 16 << 20
"""Bytes of a color profile after decompression. Those of printers have 1 to 3 MB."""

# 11.3.3.2: 1 to 79 printable Latin-1 characters, without leading, trailing or consecutive spaces.
_KEYWORD = re.compile("(?=.{1,79}$)[!-~\xa1-\xff]+(?: [!-~\xa1-\xff]+)*")


def with_texts(content: bytes, texts: Mapping[str, str]) -> bytes:
    """Return the PNG with a text chunk for each keyword directly before its image data, and otherwise unchanged.

    Chunks that already have one of the keywords are replaced. Raise ValueError for an invalid keyword or a value
    with lone surrogates, and BrokenImageError if `content` is not a complete PNG.
    """
    added = [_text_chunk(keyword, value) for keyword, value in texts.items()]
    if inspect_image(content).extension != "png":
        raise BrokenImageError("the image is not a PNG")
    replaced = {keyword.encode("latin-1") for keyword in texts}
    chunks = list(png_chunks(content))
    after_end = len(PNG_SIGNATURE) + sum(len(chunk.raw) for chunk in chunks)
    kept = [chunk for chunk in chunks if chunk.kind not in TEXT_KINDS or _keyword(chunk) not in replaced]
    position = [chunk.kind for chunk in kept].index(b"IDAT")
    raw = [chunk.raw for chunk in kept]
    return b"".join([PNG_SIGNATURE, *raw[:position], *added, *raw[position:], content[after_end:]])


def texts_in(content: bytes) -> dict[str, str]:
    """Return the texts of a PNG by keyword. Of two with the same keyword, the later one counts, as in Pillow.

    Images are untrusted: a chunk that is damaged or too large is skipped, and no content raises an error.
    """
    found: dict[str, str] = {}
    total = 0
    chunks = png_chunks(content) if content.startswith(PNG_SIGNATURE) else ()
    with suppress(BrokenImageError):  # truncated: the texts before that are valid
        for chunk in islice((chunk for chunk in chunks if chunk.kind in TEXT_KINDS), CHUNK_LIMIT):
            keyword, text = _keyword(chunk).decode("latin-1"), _text(chunk)
            if text is None or not _KEYWORD.fullmatch(keyword):
                continue
            total += len(text)
            if total > TOTAL_LIMIT:
                break
            found[keyword] = text
    return found


def take_profile(content: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG without its iCCP chunk (11.3.2.3), and the color profile from it.

    The profile is None if it is missing, damaged or larger than PROFILE_LIMIT. It is removed because Pillow refuses
    images with a profile above 1 MiB, and that limit can be changed only for the whole process.
    """
    if b"iCCP" not in content:
        return content, None
    chunks = list(png_chunks(content))
    kept = b"".join([PNG_SIGNATURE, *(chunk.raw for chunk in chunks if chunk.kind != b"iCCP")])
    profiles = [bytes(chunk.data).partition(b"\0")[2] for chunk in chunks if chunk.kind == b"iCCP"]
    try:
        return kept, _decompress(profiles[0][:1], profiles[0][1:], PROFILE_LIMIT) if profiles else None
    except (ValueError, zlib.error):
        return kept, None


def _text_chunk(keyword: str, value: str) -> bytes:
    """Return a tEXt chunk if the value is Latin-1, else an iTXt chunk without language and translated keyword.

    A value with NUL, which the standard allows in neither, becomes iTXt, where readers do not stop at it.
    """
    if not _KEYWORD.fullmatch(keyword):
        raise ValueError(f"{keyword!r} cannot be the keyword of a PNG text: 1 to 79 printable Latin-1 characters")
    start = keyword.encode("latin-1") + b"\0"
    if "\0" not in value:
        with suppress(UnicodeEncodeError):
            return _chunk(b"tEXt", start + value.encode("latin-1"))
    data = value.encode()
    # Readers refuse to decompress more.
    if COMPRESS_OVER < len(data) <= DECOMPRESSED_LIMIT:
        return _chunk(b"iTXt", start + b"\1\0\0\0" + zlib.compress(data, 9))
    return _chunk(b"iTXt", start + b"\0\0\0\0" + data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _keyword(chunk: PngChunk) -> bytes:
    """Return the bytes before the first NUL. They may not be a valid keyword."""
    return bytes(chunk.data).partition(b"\0")[0]


def _text(chunk: PngChunk) -> str | None:
    """Return the text of a tEXt (11.3.3.2), zTXt (11.3.3.3) or iTXt chunk (11.3.3.4); None if it is damaged."""
    _, nul, rest = bytes(chunk.data).partition(b"\0")
    if not nul or not chunk.intact:
        return None
    try:
        if chunk.kind == b"tEXt":
            return rest.decode("latin-1")
        if chunk.kind == b"zTXt":
            return _decompress(rest[:1], rest[1:]).decode("latin-1")
        _language, _translated, data = rest[2:].split(b"\0", 2)
        return (data if rest[:1] == b"\0" else _decompress(rest[1:2], data)).decode()
    except (ValueError, zlib.error):
        return None


def _decompress(method: bytes, data: bytes, limit: int = DECOMPRESSED_LIMIT) -> bytes:
    """Return the content of a zlib stream. Raise ValueError if it is truncated or has more than `limit` bytes."""
    stream = zlib.decompressobj()
    content = stream.decompress(data, limit + 1)
    if method != b"\0" or not stream.eof or len(content) > limit:
        raise ValueError
    return content
