"""Redaction of secrets that a server repeats in its responses, whichever way the text spells them."""

import base64
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from ..frozen import frozen

SHORTEST_SECRET = 12
"""Characters. A shorter one is no real key, and may be part of a word in an honest response."""
SHORTEST_CUT = 6
"""The number of a secret's characters that are redacted where the text ends within the secret."""
LEVELS = 3
"""How many times text may be escaped, for example percent-encoded within JSON within JSON."""
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
_CUT_ESCAPE = re.compile(
    r"""
    [\0-\x1f]?                                                         # the digits of an HTML escape that are left
    (?: \\{0,8}(?:u[0-9a-fA-F]{0,3})? | %(?:25)*[0-9a-fA-F]? | &\#?[xX]?[0-9a-fA-F]{0,8} )
    [\0\ufffd]* \Z
    """,
    re.VERBOSE,
)
"""What may follow a secret that is cut by the end of the text: at most the beginning of an escape."""


@frozen
class _Spelling:
    """One way to write a secret; its first `whole` characters are redacted anywhere, `cut` at the end of a text."""

    text: str
    whole: int
    cut: int


class Redactor:
    """Redacts secrets: plain, escaped as in JSON, URLs or HTML, in base64, or in hexadecimal."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._spellings = [spelling for secret in sorted(long) for spelling in _spellings(secret)]

    def redact(self, text: str) -> str:
        """Return `text` without the secrets, and without the beginning of a secret at its end."""
        end, kept = 0, list[str]()
        for start, stop in sorted(self._spans(text, LEVELS)):
            if start >= end:
                kept += [text[end:start], REDACTED]
            end = max(end, stop)
        return "".join([*kept, text[end:]])

    def _spans(self, text: str, levels: int) -> Iterator[tuple[int, int]]:
        for spelling in self._spellings:
            yield from _find(spelling, text)
        if levels and _ESCAPE.search(text):
            plain, original_position = _unescape(text)
            for start, stop in self._spans(plain, levels - 1):
                yield original_position(start), original_position(stop)


def _spellings(secret: str) -> Iterator[_Spelling]:
    yield _Spelling(secret, SHORTEST_SECRET, SHORTEST_CUT)
    raw = secret.encode()
    for digits in (raw.hex(), raw.hex().upper()):
        yield _Spelling(digits, SHORTEST_SECRET * 2, SHORTEST_CUT * 2)
    for offset in range(3):  # bytes before the secret, modulo 3
        encoded = base64.b64encode(bytes(offset) + raw).decode("ascii")
        # Of 6 bits per character, only those between the secret's first and last bit do not depend on its neighbors.
        core = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        for text in {core, core.replace("+", "-").replace("/", "_")}:
            yield _Spelling(text, min(SHORTEST_SECRET * 4 // 3, len(text)), SHORTEST_CUT * 4 // 3)


def _find(spelling: _Spelling, text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of `text` in which the spelling stands, whole or cut."""
    head, start = spelling.text[: spelling.cut], -1
    while (start := text.find(head, start + 1)) >= 0:
        count = len(head)
        while count < len(spelling.text) and text[start + count : start + count + 1] == spelling.text[count]:
            count += 1
        if count >= spelling.whole or _CUT_ESCAPE.match(text, start + count):
            yield start, start + count


def _unescape(text: str) -> tuple[str, Callable[[int], int]]:
    """Return `text` with one level of escapes resolved, and a function from positions in it to positions in `text`."""
    pieces, positions, shifts, end = list[str](), list[int](), [0], 0
    for match in _ESCAPE.finditer(text):
        pieces += [text[end : match.start()], _meaning(match)]
        positions.append(match.start() - shifts[-1])
        shifts.append(shifts[-1] + len(match[0]) - len(pieces[-1]))
        end = match.end()
    pieces.append(text[end:])
    return "".join(pieces), lambda position: position + shifts[bisect_left(positions, position)]


def _meaning(match: re.Match[str]) -> str:
    """Return the character that an escape stands for; empty for NUL."""
    json_hex, json_plain, percent, decimal, html_hex = match.groups()
    if digits := json_hex or percent or html_hex:
        return chr(int(digits, 16))
    return json_plain or (chr(int(decimal)) if decimal else "")
