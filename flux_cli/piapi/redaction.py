"""Redaction of secrets that a server repeats in its responses, in any common encoding."""

import base64
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from ..frozen import frozen

SHORTEST_KEY = 12
"""Characters. A shorter secret is not a real key, and may be part of an ordinary word.

Any sequence of this many characters of a secret is redacted."""
SHORTEST_CUT = SHORTEST_KEY // 2
"""Characters. This many, from the beginning of a secret, are redacted where the text ends within the secret."""
LEVELS = 3
"""The number of nested escapes that are decoded, for example percent-encoding within JSON within JSON."""
REDACTED = "[secret]"

_ESCAPE = re.compile(
    r"""
    \\{1,8} (?: u00([0-7][0-9a-fA-F]) | ([/"\\]) )                     # JSON, also inside a JSON string
    | % (?:25)* ([0-7][0-9a-fA-F])                                     # percent-encoding
    | &\# (?: 0{0,8}([0-9]{1,3}) | [xX]0{0,8}([0-7]?[0-9a-fA-F]) ) (?:;|(?=[\0\ufffd]*\Z))  # HTML
    | \0+                                                              # UTF-16 or UTF-32 within other text
    """,
    re.VERBOSE,
)
_SEPARATOR = re.compile(r"(?: \\{1,8}[nrtx] | 0x | [\s:,-] )+", re.VERBOSE)
"""Text between the characters of a secret, also within JSON: hexadecimal digits in pairs, base64 in lines."""
_CUT_ESCAPE = re.compile(
    r"""
    [\0-\x1f]?                                                         # the remaining digits of an HTML escape
    (?: \\{0,8}(?:u[0-9a-fA-F]{0,3})? | %(?:25)*[0-9a-fA-F]? | &\#?[xX]?[0-9a-fA-F]{0,8} )
    [\0\ufffd]* \Z
    """,
    re.VERBOSE,
)
"""The end of a text that ends within a secret: at most the beginning of an escape."""


@frozen
class _Spelling:
    """An encoding of a secret, in lower case. cut: characters from its beginning that are redacted at a text's end."""

    text: str
    cut: int

    @property
    def whole(self) -> int:
        """The number of consecutive characters that are redacted anywhere."""
        return min(2 * self.cut, len(self.text))

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of `text`, which is in lower case, that contain enough of the spelling.

        Each such span contains at least one of the spelling's consecutive pieces of `cut` characters. For `abcdefghij`
        and a cut of 3, the pieces are `abc`, `def` and `ghi`, and six characters are enough: in `-bcdefgh-`, the piece
        `def` is found, and extended to `bcdefgh`. At the end of a text, `abc` is enough.
        """
        ends = dict[int, int]()  # ends of spans, by the start of the whole spelling: a span may have several pieces
        for first in range(0, len(self.text) - self.cut + 1, self.cut):
            piece, found = self.text[first : first + self.cut], 0
            while (found := text.find(piece, found)) >= 0:
                origin = found - first
                if found >= ends.get(origin, 0):
                    start, stop = self._extend(text, origin, found)
                    if stop - start >= self.whole or (start == origin and _CUT_ESCAPE.match(text, stop)):
                        ends[origin] = stop
                        yield start, stop
                found = max(found + 1, ends.get(origin, 0))

    def _extend(self, text: str, origin: int, found: int) -> tuple[int, int]:
        """Return the span around the piece at `found` that matches the spelling, whose start would be at `origin`."""
        own, start, stop = self.text, found, found + self.cut
        while start > max(origin, 0) and text[start - 1] == own[start - 1 - origin]:
            start -= 1
        while stop < min(origin + len(own), len(text)) and text[stop] == own[stop - origin]:
            stop += 1
        return start, stop


class Redactor:
    """Redacts secrets and parts of them: plain, escaped as in JSON, URLs or HTML, in base64, or in hexadecimal."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long = sorted({secret for secret in secrets if len(secret) >= SHORTEST_KEY})
        self._spellings = {spelling for secret in long for spelling in _spellings(secret)}
        joined = (_Spelling(_SEPARATOR.sub("", spelling.text), spelling.cut) for spelling in self._spellings)
        self._joined = {spelling for spelling in joined if len(spelling.text) >= SHORTEST_KEY}

    def redact(self, text: str) -> str:
        """Return `text` with every secret redacted, even if only its beginning is at the end of the text."""
        end, kept = 0, list[str]()
        for start, stop in sorted(self._spans(text, LEVELS)):
            if start >= end:
                kept += [text[end:start], REDACTED]
            end = max(end, stop)
        return "".join([*kept, text[end:]])

    def _spans(self, text: str, levels: int) -> Iterator[tuple[int, int]]:
        lower = _lower(text)
        for spelling in self._spellings:
            yield from spelling.find(lower)
        joined, original_position = _replaced(_SEPARATOR, lower, lambda _: "")
        for spelling in self._joined:
            for start, stop in spelling.find(joined):
                yield original_position(start + 1) - 1, original_position(stop)  # without the separators around it
        if levels and _ESCAPE.search(text):
            plain, original_position = _replaced(_ESCAPE, text, _meaning)
            for start, stop in self._spans(plain, levels - 1):
                yield original_position(start), original_position(stop)


def _spellings(secret: str) -> Iterator[_Spelling]:
    yield _Spelling(_lower(secret), SHORTEST_CUT)
    raw = secret.encode()
    yield _Spelling(raw.hex(), SHORTEST_CUT * 2)
    for offset in range(3):  # bytes before the secret, modulo 3
        encoded = base64.b64encode(bytes(offset) + raw).decode("ascii").lower()
        # Only characters whose 6 bits are all within the secret do not depend on its neighbors.
        core = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        for text in (core, core.replace("+", "-").replace("/", "_")):
            yield _Spelling(text, SHORTEST_CUT * 4 // 3)


def _lower(text: str) -> str:
    """Return `text` in lower case, with the same length."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(map(_lower_one, text))


def _lower_one(character: str) -> str:
    return character.lower() if character.isascii() else character


def _replaced(
    pattern: re.Pattern[str], text: str, meaning: Callable[[re.Match[str]], str]
) -> tuple[str, Callable[[int], int]]:
    """Return `text` with each match replaced by its meaning, at most one character.

    Also return a function from positions in it to positions in `text`.
    """
    pieces, positions, shifts, end = list[str](), list[int](), [0], 0
    for match in pattern.finditer(text):
        pieces += [text[end : match.start()], meaning(match)]
        positions.append(match.start() - shifts[-1])
        shifts.append(shifts[-1] + len(match[0]) - len(pieces[-1]))
        end = match.end()
    pieces.append(text[end:])
    return "".join(pieces), lambda position: position + shifts[bisect_left(positions, position)]


def _meaning(match: re.Match[str]) -> str:
    """Return the character that an escape represents; an empty string for NUL."""
    json_hex, json_plain, percent, decimal, html_hex = match.groups()
    if digits := json_hex or percent or html_hex:
        return chr(int(digits, 16))
    return json_plain or (chr(int(decimal)) if decimal else "")
