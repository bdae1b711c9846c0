"""Text for people: external text made safe, secrets removed, numbers and amounts formatted."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import PurePath

from .errors import UsageError
from .json_value import Json

MESSAGE_LIMIT = 500
"""Characters. The most that is shown of a message from another program."""
HIDDEN_KEY = "(hidden)"
"""Shown in place of a key that is too short for a part of it to be shown."""
SHORTEST_REDACTED = 4
"""Characters. A shorter text is not redacted: it would match parts of ordinary words."""

# Besides the control characters (C0, DEL, C1): bidi overrides and isolates, the line and paragraph separators,
# zero-width characters, blank letters and the tag block can hide or reorder what a person reads.
# Text, because `re` compiles it on first use, and most commands never use it.
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff]"
)
_HIDDEN = "[key]"


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return `text` on one line, at most `limit` characters, without anything that could control a terminal.

    White space collapses to single spaces; other unsafe characters become visible escapes (`\\x1b`).
    """
    one_line = re.sub(r"[ \t\r\n]+", " ", text[: limit * 4]).strip()
    safe = harmless(one_line)
    return safe if len(safe) <= limit and len(text) <= limit * 4 else safe[: limit - 1].rstrip() + "…"


def harmless(text: str) -> str:
    """Return `text` with its unsafe characters, line breaks included, as visible escapes (`\\x1b`)."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNSAFE, lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def quoted(text: str, limit: int = 120) -> str:
    """Return `'text'` in quotes, with escapes for unsafe characters and for every white space but the usual one.

    For names that users wrote: a space at either end, or a no-break space, is often the reason why one is not found.
    """
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    visible = re.sub(r"[^\S ]", lambda space: space[0].encode("unicode_escape").decode("ascii"), harmless(short))
    return f"'{visible}'"


def file_name(name: str | PurePath, limit: int = 120) -> str:
    """Return a file name for a message: as it is, or in quotes if a character of it could be misread."""
    text = str(name)
    plain = len(text) <= limit and re.fullmatch(r"[\w./\\~+@%:=,-]*\w", text)
    return text if plain else quoted(text, limit)


def readable_json(value: Json) -> str:
    """Return indented JSON for people: letters of every script unescaped, unsafe characters as JSON escapes."""
    import json

    lines = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(re.sub(_UNSAFE, lambda match: json.dumps(match.group())[1:-1], line) for line in lines)


def has_hidden(text: str) -> bool:
    """Return whether `text` has a character that could hide or reorder what a person reads.

    Lone surrogates do not count: in a file name they represent bytes that are not UTF-8.
    """
    if text.isascii() and text.isprintable():
        return False
    return any(not "\ud800" <= match.group() <= "\udfff" for match in re.finditer(_UNSAFE, text))


def trimmed(text: str) -> str:
    """Return text without the white space and the zero-width characters around it, which copying leaves there."""
    return re.sub(r"^[\s\u200b\u2060\ufeff]+|[\s\u200b\u2060\ufeff]+$", "", text)


def argument_text(argument: str) -> str:
    """Return an argument decoded as UTF-8, which terminals send, even in a locale with another encoding."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        return argument


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with every secret redacted, plain or escaped as in JSON (see `SHORTEST_REDACTED`)."""
    for secret in sorted(secrets, key=len, reverse=True):  # longest first: one may be the beginning of another
        if len(secret) >= SHORTEST_REDACTED:
            text = text.replace(secret, _HIDDEN).replace(_in_json(secret), _HIDDEN)
    return text


def _in_json(text: str) -> str:
    if text.isascii() and text.isprintable() and not {'"', "\\"} & set(text):
        return text  # as keys are; importing `json` takes a tenth of the time that Python takes to start
    import json

    return json.dumps(text)[1:-1]


def describe_number(kind: type[int] | type[float], low: float | None = None, high: float | None = None) -> str:
    """Return the requirement for a number: `a whole number from 0 to 200`, `a whole number, 1 or more`, `a number`."""
    noun = "a whole number" if kind is int else "a number"
    if low is None:
        return noun
    if low == high:
        return f"{low:.10g}"
    return f"{noun}, {low:.10g} or more" if high is None else f"{noun} from {low:.10g} to {high:.10g}"


def masked(key: str) -> str:
    """Return a key's last four characters, enough to distinguish two keys; `HIDDEN_KEY` if it has fewer than 16."""
    return f"…{clean(key[-4:])}" if len(key) >= 16 else HIDDEN_KEY


def usd(amount: Decimal) -> str:
    """Return an amount in USD as text: `$0.015`, `$0.02`, `$12.00`, with at least two decimals."""
    whole, _, decimals = f"{amount:f}".partition(".")
    return f"${whole}.{decimals.rstrip('0').ljust(2, '0')}"


def parse_usd(text: str, name: str) -> Decimal:
    """Return an amount in USD that a user wrote for the option or setting `name`. Raise UsageError."""
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise UsageError(f"invalid {name} {quoted(text, 40)}: expected an amount in USD, for example 2.50")
    return amount


def format_seconds(duration: float) -> str:
    """Return a duration in seconds as text: `0.4 s`, `27 s`, `3 min 05 s`."""
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def byte_count(size: int) -> str:
    """Return a size in bytes as people write it: `812 bytes`, `3 kB`, `2.8 MB` (of 1,000,000 bytes).

    Rounded up, so that a size above a limit never looks like the limit.
    """
    if size < 1000:
        return counted(size, "byte")
    return f"{-(-size // 1000)} kB" if size < 1_000_000 else f"{-(-size // 100_000) / 10:g} MB"


def guess(word: str, known: Iterable[str]) -> str | None:
    """Return `Did you mean fox?` if one of the known words is similar, else None."""
    import difflib  # needed for mistakes only

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown word: a similar one of the known words, or all of them."""
    words = list(known)
    return guess(word.casefold(), words) or f"Use one of: {', '.join(words)}"


def yes_or_no(text: str) -> str:
    """Return `true` or `false` for a word that means it: `1`, `yes`, `on`, ... Raise ValueError for any other."""
    word = text.strip().casefold()
    if word in ("1", "true", "yes", "on"):
        return "true"
    if word in ("0", "false", "no", "off", ""):
        return "false"
    raise ValueError("true or false")


def lower_first(text: str) -> str:
    """Return a sentence with a lower-case first letter, for the middle of a message."""
    return text[:1].lower() + text[1:]


def join_or(words: Sequence[str]) -> str:
    """Return the words as alternatives: `free, creator or pro`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 image`, `3 images`; `3 entries` if `plural` is `entries`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def slug(text: str, limit: int = 48) -> str:
    """Return a readable part of a file name from any script: letters and digits, joined by `-`; may be empty.

    `limit` is in bytes of UTF-8, which is what file systems count.
    """
    folded = unicodedata.normalize("NFC", text[:1500].casefold())
    kept = "".join(character if is_word_character(character) else " " for character in folded)
    words = [word for word in kept.split() if word[0].isalnum()]
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word
        if len(longer.encode()) > limit:
            break
        name = longer
    return name or cut(words[0], limit) if words else ""


def is_word_character(character: str) -> bool:
    """Return whether a character is a visible letter or digit, or a mark that belongs to one, such as a vowel sign."""
    if character.isascii():
        return character.isalnum()
    if character.isalnum():
        return not re.match(_UNSAFE, character)
    selector = "\ufe00" <= character <= "\ufe0f"
    return unicodedata.category(character) in ("Mn", "Mc") and not selector and not re.match(_UNSAFE, character)


def cut(text: str, limit: int) -> str:
    """Return the longest beginning of `text` with at most `limit` bytes of UTF-8 (lone surrogates are dropped)."""
    return text.encode("utf-8", "ignore")[:limit].decode("utf-8", "ignore")
