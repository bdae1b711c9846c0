"""Remove the metadata of an image file without encoding its pixels again.

A photo may contain the place where it was taken, its owner's name, and an earlier version of itself as a thumbnail or
after the end of the image. Only parts that a decoder needs or that define colors are kept, so that unknown kinds of
metadata are removed too.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import replace

from ..frozen import frozen
from .formats import PNG_SIGNATURE, BrokenImageError, extension_of, png_chunks

MAX_PARTS = 100_000
"""Segments of a JPEG or chunks of a WebP."""

MAX_SCANS = 500
"""Scans of a JPEG. Even an empty one costs a decoder a pass over all pixels. Encoders write up to about 60."""

PNG_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs".split())
WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"))

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))  # TEM, RST0 to RST7, SOI
_COMMENT = 0xFE
_EXIF = b"Exif\0\0"


@frozen
class Stripped:
    """An image file without metadata.

    content: the file's own bytes object if there was nothing to remove.
    orientation: 1 to 8, how to turn the stored image for viewing (EXIF 2.3, section 4.6.4); 1 is not at all.
    animated: whether the file contains several frames.
    """

    content: bytes
    orientation: int = 1
    animated: bool = False


def strip_metadata(content: bytes) -> Stripped:
    """Return a PNG, JPEG or WebP file without metadata and without data after the image; other content unchanged.

    Raise BrokenImageError if its structure is damaged or truncated. Nothing is decompressed.
    """
    strippers = {"png": _strip_png, "jpg": _strip_jpeg, "webp": _strip_webp}
    extension = extension_of(content)
    if extension is None:
        return Stripped(content)
    stripped = strippers[extension](content)
    return stripped if len(stripped.content) < len(content) else replace(stripped, content=content)


def _strip_png(content: bytes) -> Stripped:
    """Keep the chunks in PNG_KEPT, up to IEND (PNG, third edition, section 11)."""
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    orientation, animated = 1, False
    for chunk in png_chunks(content):
        if chunk.kind in PNG_KEPT:
            kept.append(chunk.raw)
        elif chunk.kind == b"eXIf":
            orientation = _orientation(bytes(chunk.data))
        elif chunk.kind == b"acTL":
            animated = int.from_bytes(chunk.data[:4], "big") > 1
    return Stripped(b"".join(kept), orientation, animated)


def _strip_jpeg(content: bytes) -> Stripped:
    """Remove comments, and application segments other than JFIF, Adobe and ICC (ITU T.81, annex B)."""
    kept = [_SOI]
    orientation = scans = 0
    for number, (marker, segment, scan) in enumerate(_jpeg_segments(content)):
        if number > MAX_PARTS:
            raise BrokenImageError("the JPEG has too many segments")
        scans += marker == _SOS
        if scans > MAX_SCANS:
            raise BrokenImageError("the JPEG has too many scans")
        payload = segment[4:]
        if marker == 0xE1 and payload.startswith(_EXIF):
            orientation = orientation or _orientation(payload)
        elif marker == 0xE0 and payload.startswith(b"JFIF\0") and len(payload) > 14:
            kept.append(b"\xff\xe0\0\x10" + payload[:12] + b"\0\0")  # without the thumbnail
        elif _is_needed(marker, payload):
            kept += (segment, scan)
        if marker == _EOI:
            return Stripped(b"".join(kept), orientation or 1)
    raise BrokenImageError("the JPEG is truncated")


def _is_needed(marker: int, payload: bytes) -> bool:
    if marker == _COMMENT:
        return False
    identifier = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}.get(marker)
    return payload.startswith(identifier) if identifier else not 0xE0 <= marker <= 0xEF


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each marker, the segment that begins with it, and the entropy-coded data after that.

    Stray bytes between segments are skipped, as in decoders. Raise BrokenImageError if a segment is shorter than its
    own length field.
    """
    position = len(_SOI)
    while found := _MARKER.search(content, position):
        marker, start = content[found.start() + 1], found.start()
        if marker == _EOI:
            yield marker, content[start : start + 2], b""
            return
        if marker in _WITHOUT_LENGTH:  # invalid between segments
            position = found.end()
            yield marker, b"", b""
            continue
        length = int.from_bytes(content[found.end() : found.end() + 2], "big")
        if length < 2:
            raise BrokenImageError("the JPEG is damaged")
        position = end = found.end() + length
        if marker == _SOS:
            after = _SCAN_END.search(content, end)
            position = after.start() if after else len(content)
        yield marker, content[start:end], content[end:position]


def _strip_webp(content: bytes) -> Stripped:
    """Keep the chunks in WEBP_KEPT, up to the length in the RIFF header (WebP Container Specification)."""
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        raise BrokenImageError("the WebP is truncated")
    kept: list[bytes] = []
    orientation, frames = 1, 0
    for number, (kind, chunk) in enumerate(_riff_chunks(content, end)):
        if number > MAX_PARTS:
            raise BrokenImageError("the WebP has too many chunks")
        if kind == b"EXIF":
            orientation = _orientation(chunk[8:])
        elif kind == b"VP8X" and len(chunk) > 8:
            kept.append(chunk[:8] + bytes((chunk[8] & ~0x0C,)) + chunk[9:])  # clear the EXIF and XMP flags
        elif kind in WEBP_KEPT:
            kept.append(chunk)
            frames += kind == b"ANMF"
    body = b"".join(kept)
    return Stripped(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body, orientation, frames > 1)


def _riff_chunks(content: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the bytes of each chunk of a WebP. Raise BrokenImageError if one extends beyond `end`."""
    position = 12
    while position + 8 <= end:
        kind, length = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        start, position = position, position + 8 + length
        if position > end:
            raise BrokenImageError("the WebP is truncated")
        position += length % 2  # padding, which some encoders omit at the end
        yield kind, content[start : min(position, end)]


def _orientation(exif: bytes) -> int:
    """Return the orientation in EXIF data, 1 to 8; 1 if it is missing or unreadable (TIFF 6.0, section 2).

    Pillow is not used: its warnings about other tags can be silenced only for the whole process.
    """
    tiff = exif.removeprefix(_EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == 0x0112 and kind in (3, 4):  # SHORT, LONG
                (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", tiff, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
