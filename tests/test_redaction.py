"""A server may repeat the key in any encoding, and cut it anywhere. No part of it is kept."""

import base64
import html
import json
import re
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.journal.entries import State
from flux_cli.piapi.redaction import REDACTED, SHORTEST_CUT, SHORTEST_KEY, Redactor
from flux_cli.piapi.responses import decode_text, find_task_id, parse_response

from .conftest import KEY, Flux
from .raw_servers import RawServer, plain_response
from .servers import Service
from .test_promises import GEN, POST, Entries

Encoding = Callable[[str], str]
ESCAPED: dict[str, Encoding] = {
    "plain": str,
    "JSON": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "JSON in part": lambda text: text.replace("-", "\\u002D").replace("0", "\\u0030"),
    "a JSON string": lambda text: json.dumps(text)[1:-1],
    "percent": lambda text: "".join(f"%{ord(character):02x}" for character in text),
    "percent in part": lambda text: quote(text, safe="aeiou").replace("k", "%6B"),
    "HTML": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#X{ord(character):X};" for character in text),
    "NUL": lambda text: "\0".join(text),
}
"""Escapes, which can be applied again."""
ENCODED: dict[str, Encoding] = {
    **{
        f"base64 after {before!r}": lambda text, before=before: base64.b64encode(f"{before}{text}".encode()).decode()  # type: ignore[misc]
        for before in ("", "x", "X:")
    },
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal in pairs": lambda text: text.encode().hex(":"),
    "HEXADECIMAL": lambda text: text.encode().hex().upper(),
}
KEYS = st.text("abkxyzABKXYZ0189-_.~+/=", min_size=SHORTEST_KEY, max_size=80)
CHARSETS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")


def decode_all(text: str) -> list[str]:
    """Return a text, and the results of resolving its escapes up to six times."""
    texts = [text]
    for _ in range(6):
        text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        text = re.sub(r"\\+(.)", r"\1", html.unescape(unquote(text.replace("\0", ""))))
        texts.append(text)
    return texts


def is_leaked(text: str, key: str) -> bool:
    """Return whether a recognizable part of the key is left."""
    return any(key[:SHORTEST_KEY] in plain for plain in decode_all(text))


def compact(text: str) -> str:
    """Return a text without its case, and without separators of digits and lines."""
    return re.sub(r"(\\+[nrtx]|0x|[\s:,-])+", "", text.lower())


def get_parts(key: str) -> list[str]:
    """Return every part of a key that is too long to be kept."""
    return [key[start : start + SHORTEST_KEY] for start in range(len(key) - SHORTEST_KEY + 1)]


@given(KEYS, st.sampled_from(list(ESCAPED)), st.sampled_from(list(ESCAPED)), st.sampled_from(CHARSETS))
@example(KEY, "JSON", "JSON", "utf-16")
@example(KEY, "percent", "JSON", "utf-32")
def test_an_escaped_key_is_not_kept(key: str, inner: str, outer: str, charset: str) -> None:
    escaped = ESCAPED[outer](ESCAPED[inner](key))
    body = f'{{"message": "bad key {escaped}", "data": {{}}}}'.encode(charset)
    redacted = Redactor([key]).redact(decode_text(body))
    assert not is_leaked(redacted, key)
    assert REDACTED in redacted
    assert redacted.startswith('{"message": "bad key ')
    assert redacted.endswith('", "data": {}}')
    assert parse_response(redacted).well_formed >= _is_json(body, charset)


def _is_json(body: bytes, charset: str) -> bool:
    try:
        json.loads(body.decode(charset))
    except ValueError:
        return False
    return True


@given(KEYS, st.sampled_from(list(ENCODED)), st.sampled_from(list(ESCAPED)))
def test_an_encoded_key_is_not_kept(key: str, inner: str, outer: str) -> None:
    encoded = ENCODED[inner](key)
    redacted = Redactor([key]).redact(f'{{"message": "{ESCAPED[outer](encoded)}"}}')
    assert REDACTED in redacted
    half = len(encoded) // 2
    halves = {encoded[start : start + half] for start in range(half)}
    assert not [plain for plain in decode_all(redacted) if any(part in plain for part in halves)]


@given(KEYS, st.sampled_from(list(ESCAPED)), st.sampled_from(CHARSETS), st.data())
def test_no_beginning_of_a_key_is_kept_in_a_cut_response(
    key: str, form: str, charset: str, data: st.DataObject
) -> None:
    body = f'{{"message": "bad key {ESCAPED[form](key)}'.encode(charset)
    cut = data.draw(st.integers(0, len(body)))
    redacted = Redactor([key]).redact(decode_text(body[:cut]))
    for plain in decode_all(redacted):
        assert not any(plain.rstrip("\ufffd").endswith(key[:count]) for count in range(SHORTEST_CUT, len(key) + 1))
    assert not is_leaked(redacted, key)


@given(st.text(max_size=300), KEYS)
def test_other_text_is_kept(text: str, key: str) -> None:
    redactor = Redactor([key, "short"])
    joined = "".join(map(compact, decode_all(text)))
    if not any(compact(part) in joined for part in (key[:SHORTEST_CUT], *get_parts(key))):
        assert redactor.redact(text + ".") == text + "."
    assert redactor.redact(f"{text} short.").endswith(" short.")


def test_ids_and_quotes_are_kept() -> None:
    body = (
        f'{{"data": {{"task_id": "1631d053-2352-4add", "input": {{"prompt": "say \\"{KEY}\\" 100% \\\\ \\u0026"}}}}}}'
    )
    redacted = Redactor([KEY]).redact(body)
    assert redacted == body.replace(KEY, REDACTED)
    assert parse_response(redacted).task
    assert find_task_id(redacted[:50]) == "1631d053-2352-4add"


CASES: dict[str, Encoding] = {"as it is": str, "upper": str.upper, "lower": str.lower, "swapped": str.swapcase}


@given(KEYS, st.sampled_from(list(CASES)), st.sampled_from(list(ESCAPED)), st.data())
@example(KEY, "as it is", "plain", None)
def test_no_part_of_a_key_is_kept_in_upper_or_lower_case(
    key: str, case: str, form: str, data: st.DataObject | None
) -> None:
    start = data.draw(st.integers(0, len(key) - SHORTEST_KEY)) if data else 1
    stop = data.draw(st.integers(start + SHORTEST_KEY, len(key))) if data else len(key)
    body = f'{{"message": "bad key [{ESCAPED[form](CASES[case](key[start:stop]))}]", "data": {{}}}}'
    redacted = Redactor([key]).redact(body)
    assert REDACTED in redacted
    assert redacted.startswith('{"message": "bad key [')
    assert redacted.endswith(']", "data": {}}')
    for plain in decode_all(redacted):
        assert not any(part.lower() in plain.lower() for part in get_parts(key))


def split_into_groups(text: str, size: int, separator: str) -> str:
    """Return a text in groups of this many characters."""
    return separator.join(text[start : start + size] for start in range(0, len(text), size))


DUMPS: dict[str, Encoding] = {
    "hexadecimal:": lambda key: key.encode().hex(":"),
    "HEXADECIMAL-": lambda key: key.encode().hex("-").upper(),
    "hexadecimal in pairs": lambda key: key.encode().hex(" "),
    "0x": lambda key: "0x" + key.encode().hex(",").replace(",", ", 0x"),
    "escaped bytes": lambda key: "\\x" + key.encode().hex(",").replace(",", "\\x"),
    "base64 in lines": lambda key: split_into_groups(base64.b64encode(key.encode()).decode(), 16, "\n"),
    "base64 in indented lines": lambda key: split_into_groups(base64.b64encode(key.encode()).decode(), 16, "\r\n\t"),
    "in groups": lambda key: split_into_groups(key, 4, " "),
}


@pytest.mark.parametrize("form", DUMPS)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_key_in_groups_and_lines_is_not_kept_from_any_start(form: str, *, as_json: bool) -> None:
    key = "evil-KEY/0123456789+abcdefXYZ=="
    dump = DUMPS[form](key)
    for start in range(len(dump) // 3):
        message = f"refused [{dump[start:]}] given"
        redacted = Redactor([key]).redact(json.dumps({"message": message}) if as_json else message)
        assert (REDACTED in redacted, "refused [" in redacted, "] given" in redacted) == (True, True, True), redacted
        assert len(redacted) < 100, redacted
        assert not as_json or json.loads(redacted)


def test_a_large_body_full_of_key_parts_is_redacted_in_time() -> None:
    key = "evil-KEY/0123456789+abcdefXYZ=="
    body = f"{key[:11]}{key[-11:]} {key}\n" * 2000
    started = time.process_time()
    redacted = Redactor([key]).redact(body)
    assert time.process_time() - started < 5
    assert redacted.count(REDACTED) == 2000


def read_all_files(home: Path) -> bytes:
    """Return the contents of the files in a home."""
    return b"\n".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "config.toml")


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-32"])
def test_a_key_that_is_returned_is_not_written_to_disk(
    flux: Flux, service: Service, entries: Entries, home: Path, charset: str
) -> None:
    for encode, status in zip((*ESCAPED.values(), *ENCODED.values()), cycle([200, 400, 401, 500])):
        service.reply_with(*POST, (status, {}, f'{{"code": 1, "message": "bad key {encode(KEY)}"}}'.encode(charset)))
        assert flux(f"{GEN} --no-cache").code in (4, 5, 7)
    contents = read_all_files(home)
    for encode in (*ESCAPED.values(), *ENCODED.values()):
        for form in (encode(KEY), encode(KEY)[:-3], json.dumps(encode(KEY))[1:-1]):
            assert form.encode() not in contents
            assert form.encode("utf-16-le") not in contents
    assert len(entries()) == len(ESCAPED) + len(ENCODED)


def test_a_key_that_is_cut_by_the_end_of_a_response_is_not_written_to_disk(
    flux: Flux, raw: RawServer, entries: Entries, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BASE_URL", raw.url("/api/v1"))
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    for cut in range(SHORTEST_CUT, len(KEY)):
        body = f'{{"code": 200, "message": "bad key {KEY[:cut]}'.encode()
        raw.responses["/api/v1/task"] = [plain_response(body, length=999)]
        assert flux(f"{GEN} --no-cache").code == 7
    raw.heads.clear()  # this server stands for PiAPI, which receives the key
    assert {entry.state for entry in entries()} == {State.UNKNOWN}
    assert KEY[:SHORTEST_CUT].encode() not in read_all_files(home)
