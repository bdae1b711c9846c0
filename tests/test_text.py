"""Foreign text is made harmless, secrets are redacted, and numbers are readable."""

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.text import (
    byte_count,
    clean,
    counted,
    cut,
    format_seconds,
    is_word_character,
    masked,
    quoted,
    redact,
    slug,
    usd,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)  # lone surrogates too
HOSTILE = st.text(
    st.sampled_from("ab \t\r\n\0\x1b\x7f\x9b\u200d\u202e\u2066\u2028\ufeff\U000e0041\ud800\xad"), max_size=80
)
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
# Format characters that are drawn as signs, for example the Arabic number sign.
DRAWN = {"\u06dd", "\u070f", "\u0890", "\u0891", "\u08e2", "\U000110bd", "\U000110cd"}
DRAWN |= {chr(code) for code in (*range(0x600, 0x606), *range(0x13430, 0x13440))}


def is_harmless(character: str) -> bool:
    category = unicodedata.category(character)
    hidden = category == "Cf" and character not in DRAWN
    return category not in ("Cc", "Cs", "Zl", "Zp") and not hidden and unicodedata.bidirectional(character) not in BIDI


def test_clean_removes_every_control_hidden_or_reordering_character_of_unicode() -> None:
    all_characters = "".join(map(chr, range(0x110000)))
    kept = set(clean(all_characters, 10 * len(all_characters)))
    assert not [f"U+{ord(character):04X}" for character in kept if not is_harmless(character)]
    assert not kept & set(
        "\x00\x1b\x7f\x85\x9b\xad\u061c\u200b\u200d\u202e\u2028\u2060\u2066\u3164\ufeff\U000e0001\ud800\udfff"
    )
    assert kept > set("aé雪🦊\u0301\ufe0f")


@given(ANY_TEXT | HOSTILE, st.integers(1, 60))
@example("\x1b" * 30, 5)
@example(" " * 500, 4)
def test_clean_is_one_harmless_line_within_its_limit(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert all(map(is_harmless, cleaned))
    assert cleaned == cleaned.encode().decode()


@pytest.mark.parametrize(
    ("text", "limit", "cleaned"),
    [
        ("two\r\n  lines\t.", 20, "two lines ."),
        ("\x1b[2J\x9b1m", 20, "\\x1b[2J\\x9b1m"),
        ("\u202egnp.exe", 20, "\\u202egnp.exe"),
        ("twelve chars", 12, "twelve chars"),
        ("thirteen chars", 12, "thirteen ch…"),
        ("Naïve 雪 🦊 ❤️", 20, "Naïve 雪 🦊 ❤️"),
    ],
)
def test_clean_shows_the_codes_of_unsafe_characters(text: str, limit: int, cleaned: str) -> None:
    assert clean(text, limit) == cleaned


@given(st.lists(st.text("ab", min_size=4, max_size=9), min_size=1, max_size=4))
@example(["abab", "ababbb"])
def test_redact_leaves_no_part_of_secrets_with_a_common_beginning(keys: list[str]) -> None:
    assert redact("|".join(keys), keys) == "|".join(["[key]"] * len(keys))


def test_redact_ignores_words_that_are_too_short_for_a_secret() -> None:
    assert redact("key=sk-12345678 a cat", ["sk-12345678", "", "cat"]) == "key=[key] a cat"


@pytest.mark.parametrize("key", ["sk-1234567890abcdef", "x" * 16, "short-key", "1234", ""])
def test_masked_shows_at_most_a_quarter_of_a_key(key: str) -> None:
    shown = masked(key).removeprefix("…").removesuffix("(hidden)")
    assert key.endswith(shown)
    assert len(shown) <= len(key) / 4


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12, places=8) | st.just(Decimal(0))
)
@example(Decimal("1E+3"))
@example(Decimal("0." + "1" * 40))  # more digits than the decimal context keeps
def test_usd_is_exact_and_has_cents(amount: Decimal) -> None:
    shown = usd(amount)
    assert shown.startswith("$")
    assert Decimal(shown[1:]) == amount
    whole, _, decimals = shown[1:].partition(".")
    assert whole.isdigit()
    assert len(decimals) == 2 or (len(decimals) > 2 and not decimals.endswith("0"))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.015", "$0.015"), ("0.020", "$0.02"), ("12", "$12.00"), ("1E+1", "$10.00"), ("0", "$0.00"), ("0.5", "$0.50")],
)
def test_usd_is_written_like_a_price(amount: str, shown: str) -> None:
    assert usd(Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("duration", "shown"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (27.4, "27 s"), (119.4, "119 s"),
     (119.6, "2 min 00 s"), (185, "3 min 05 s"), (3600, "60 min 00 s")],
)  # fmt: skip
def test_seconds_never_round_to_sixty(duration: float, shown: str) -> None:
    assert format_seconds(duration) == shown


def test_counted_uses_singular_and_plural() -> None:
    assert (counted(1, "image"), counted(0, "image"), counted(3, "image")) == (
        "1 image",
        "0 images",
        "3 images",
    )


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox, in the SNOW!", "a-red-fox-in-the-snow"),
        ("雪の中の狐", "雪の中の狐"),
        ("лиса в снегу", "лиса-в-снегу"),
        ("हिन्दी में लोमड़ी", "हिन्दी-में-लोमड़ी".replace("\u095c", "\u0921\u093c")),  # vowel signs are marks
        ("สุนัขจิ้งจอก", "สุนัขจิ้งจอก"),
        ("שָׁלוֹם", unicodedata.normalize("NFC", "שָׁלוֹם")),
        ("cafe\u0301 Straße", "café-strasse"),
        ("❤️ a_b ../../etc {slug}", "a-b-etc-slug"),
        ("\u3164\u202e\u200b\ufe0f", ""),
        ("🦊", ""),
    ],
)
def test_slug_of_any_script_is_readable(prompt: str, name: str) -> None:
    assert slug(prompt, 80) == name


@given(ANY_TEXT | HOSTILE, st.integers(4, 60))
@example("\u3164abc", 20)
@example("x" * 5000, 48)
@example("雪" * 40, 48)
def test_slug_has_visible_word_characters_only_and_counts_bytes(prompt: str, limit: int) -> None:
    name = slug(prompt, limit)
    assert len(name.encode()) <= limit
    assert all(character == "-" or (is_word_character(character) and is_harmless(character)) for character in name)
    assert name == name.strip("-")
    assert "--" not in name


@given(ANY_TEXT, st.integers(0, 40))
def test_cut_keeps_the_longest_whole_beginning(text: str, limit: int) -> None:
    whole = text.encode("utf-8", "ignore").decode()
    kept = cut(text, limit)
    assert whole.startswith(kept)
    assert len(kept.encode()) <= limit
    assert kept == whole or len(whole[: len(kept) + 1].encode()) > limit


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1 kB"), (2949, "3 kB"), (100_001, "101 kB"),
        (2_750_000, "2.8 MB"), (10_000_000, "10 MB"), (10_000_001, "10.1 MB"), (28_821_891, "28.9 MB"),
    ],
)  # fmt: skip
def test_a_file_size_is_rounded_up(count: int, text: str) -> None:
    assert byte_count(count) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cup.jpg", "'cup.jpg'"), (" cup.jpg", "' cup.jpg'"), ("a  b ", "'a  b '"), ("a\xa0b", r"'a\xa0b'"), ("a\u3000b", r"'a\u3000b'"),
        ("a\tb\n", r"'a\tb\n'"), ("\ufeffa\u200b", r"'\ufeffa\u200b'"), ("\x1b[2J", r"'\x1b[2J'"), ("雪 é", "'雪 é'"), ("\udcff", r"'\udcff'"),
        ("x" * 9, "'xxxxxxx…'"),
    ],
)  # fmt: skip
def test_a_quoted_name_shows_its_hidden_characters(text: str, shown: str) -> None:
    assert quoted(text, 8) == shown
