"""The format of an image file, and whether the image is complete.

Only the bytes count, not a name or a content type: an expired link returns a web page named `.png`, and Pillow opens a
PNG that lacks its last four bytes without an error. The work is bounded for any content.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from ..frozen import frozen

EXTENSIONS = ("png", "jpg", "webp")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_SIDE = 1048576
"""Pixels. PiAPI limits only width times height, so one side can be the whole product."""
MOST_CHUNKS = 2**15
"""Chunks of a PNG. Encoders write at least 4 KiB of pixels into each, so that a PNG of 64 MiB has up to 16,384."""
MOST_SEGMENTS = 4096
"""Segments of a JPEG before its first scan."""
_NOT_FILL = re.compile(rb"[^\xff]")


@frozen
class ImageInfo:
    """The format and size of a complete image.

    width, height: in pixels. length: in bytes, of the image itself; other data may follow it.
    """

    extension: str
    width: int
    height: int
    length: int = field(default=0, compare=False)


@frozen
class PngChunk:
    """A chunk of a PNG. raw: its length, kind, data and CRC, as in the file."""

    raw: memoryview

    @property
    def kind(self) -> bytes:
        """`IHDR`, `IDAT`, ..."""
        return bytes(self.raw[4:8])

    @property
    def data(self) -> memoryview:
        """The chunk's content."""
        return self.raw[8:-4]

    @property
    def intact(self) -> bool:
        """Whether the CRC matches the kind and the data."""
        return zlib.crc32(self.raw[4:-4]) == int.from_bytes(self.raw[-4:], "big")


class BrokenImageError(Exception):
    """The content is not a complete image. The message names the defect."""


def extension_of(content: bytes) -> str | None:
    """Return the extension for an image's format, from its first bytes; None for a format outside EXTENSIONS."""
    if content.startswith(PNG_SIGNATURE):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpg"
    return "webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


def inspect_image(content: bytes) -> ImageInfo:
    """Return the format and size of the image at the start of `content`. Raise BrokenImageError if it is incomplete."""
    inspectors = {"png": _png, "jpg": _jpeg, "webp": _webp}
    if extension := extension_of(content):
        return inspectors[extension](content)
    if not content:
        raise BrokenImageError("received nothing")
    start = content[:256].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise BrokenImageError("received a web page instead of an image")
    raise BrokenImageError("not a PNG, JPEG or WebP image")


def damage_of(content: bytes) -> str | None:
    """Return the defect of the image at the start of `content`; None if it is complete, or not an image at all."""
    try:
        inspect_image(content)
    except BrokenImageError as error:
        return str(error) if extension_of(content) else None
    return None


def _png(content: bytes) -> ImageInfo:
    """Check the length and CRC of every chunk, IHDR first, image data, IEND last (PNG, third edition, section 5)."""
    kinds, length = list[bytes](), len(PNG_SIGNATURE)
    for chunk in png_chunks(content):
        if not chunk.intact:
            raise BrokenImageError("the PNG is damaged")
        kinds.append(chunk.kind)
        length += len(chunk.raw)
    if kinds[:1] != [b"IHDR"] or b"IDAT" not in kinds:
        raise BrokenImageError("the PNG has no image data")
    if kinds[-1] != b"IEND":
        raise BrokenImageError("the PNG is truncated")
    width, height = struct.unpack_from(">II", content, len(PNG_SIGNATURE) + 8)
    return _image_info("png", width, height, length)


def png_chunks(content: bytes) -> Iterator[PngChunk]:
    """Yield the chunks after the signature, up to IEND.

    Raise BrokenImageError if the bytes end within a chunk, or after MOST_CHUNKS.
    """
    position, kind = len(PNG_SIGNATURE), b""
    for _ in range(MOST_CHUNKS):
        if position >= len(content) or kind == b"IEND":
            return
        if position + 12 > len(content):
            raise BrokenImageError("the PNG is truncated")
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 12 + length
        if end > len(content):
            raise BrokenImageError("the PNG is truncated")
        chunk = PngChunk(memoryview(content)[position:end])
        yield chunk
        position, kind = end, chunk.kind
    raise BrokenImageError(f"the PNG has more than {MOST_CHUNKS} chunks")


def _jpeg(content: bytes) -> ImageInfo:
    """Check the frame header's size, a scan, and an end marker after it (ITU T.81, annex B)."""
    position, size = 2, None
    for _ in range(MOST_SEGMENTS):
        if position + 4 > len(content):
            break
        if content[position] != 0xFF:
            raise BrokenImageError("the JPEG is damaged")
        code = _NOT_FILL.search(content, position)  # after any number of fill bytes (section B.1.1.2)
        if code is None or (position := code.start()) + 3 > len(content) or content[position] == 0xD9:
            break
        marker, (length,) = content[position], struct.unpack_from(">H", content, position + 1)
        # SOF0 to SOF15, except DHT (C4), JPG (C8) and DAC (CC), which share the range.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and position + 8 <= len(content):
            height, width = struct.unpack_from(">HH", content, position + 4)
            size = (width, height)
        position += 1 + length
        if marker == 0xDA:
            # In the data of a scan, 00 follows each FF that does not start a marker.
            end = content.find(b"\xff\xd9", position)
            if end < 0:
                break
            if size is None:
                raise BrokenImageError("the JPEG has no image data")
            return _image_info("jpg", *size, end + 2)
    else:
        raise BrokenImageError(f"the JPEG has more than {MOST_SEGMENTS} segments before its image data")
    raise BrokenImageError("the JPEG is truncated")


def _webp(content: bytes) -> ImageInfo:
    """Check the RIFF length, and read the size from the first chunk (WebP container)."""
    if len(content) < 30:
        raise BrokenImageError("the WebP is truncated")
    (length,) = struct.unpack_from("<I", content, 4)
    if length + 8 > len(content):
        raise BrokenImageError("the WebP is truncated")
    kind = content[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(content[24:27], "little") + 1
        height = int.from_bytes(content[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    else:
        raise BrokenImageError("the WebP is damaged")
    return _image_info("webp", width, height, length + 8)


def _image_info(extension: str, width: int, height: int, length: int) -> ImageInfo:
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        raise BrokenImageError("the image size is invalid")
    return ImageInfo(extension, width, height, length)


def is_complete_image(path: Path) -> bool:
    """Return whether a file is a complete PNG, JPEG or WebP, whatever its name."""
    try:
        inspect_image(path.read_bytes())
    except (OSError, BrokenImageError):
        return False
    return True
