"""Sources of many prompts: every line is one row, and every error has its line number."""

import csv
import io
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_cli.batch.prompts import LINE_LIMIT, SHOWN, Row, Rows, read_prompts
from flux_cli.batch.tables import WHOLE_LIMIT, Kind, kind_of, read_rows
from flux_cli.errors import UsageError
from flux_cli.text import trimmed

BOM = b"\xef\xbb\xbf"
FULL = b"x" * LINE_LIMIT


def load_prompts(data: bytes) -> list[tuple[int, Any]]:
    return [(row.line, row.fields["prompt"]) for row in read_prompts(io.BytesIO(data), "p.txt")]


def load_rows(kind: Kind, text: str | bytes) -> list[tuple[int, dict[str, Any]]]:
    data = text.encode() if isinstance(text, str) else text
    return [(row.line, dict(row.fields)) for row in read_rows(io.BytesIO(data), "rows", kind)]


def get_problems(read: Callable[[], object]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read()
    return list(caught.value.details) or [caught.value.message]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb\n", [(1, "a"), (2, "b")]),
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
        (b"a\r\nb\r", [(1, "a"), (2, "b")]),
        (BOM + b"a\n", [(1, "a")]),
        (BOM + b"a\n" + BOM + b"b\n", [(1, "a"), (2, "b")]),
        (b"\n\na\n \t\r\nb\n\n", [(3, "a"), (5, "b")]),
        (b"# a\n//b\n\\#c\n\\//d\n\\e\n -- f\n", [(3, "#c"), (4, "//d"), (5, "\\e"), (6, " -- f")]),
        (b"a\rb\r\rc\r", [(1, "a"), (2, "b"), (4, "c")]),
        (b"a\rb", [(1, "a"), (2, "b")]),
        (b"  a  \n", [(1, "  a  ")]),
        (b"a\rb\n", [(1, "a\rb")]),
        (b'"a, b"\n{c}\n', [(1, '"a, b"'), (2, "{c}")]),
        ("a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i\n".encode(), [(1, "a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i")]),
        (FULL + b"\nb", [(1, FULL.decode()), (2, "b")]),
        (FULL, [(1, FULL.decode())]),
    ],
)  # fmt: skip
def test_each_line_is_a_prompt(data: bytes, expected: list[tuple[int, str]]) -> None:
    assert load_prompts(data) == expected


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n\0#/\\-\ufeff", exclude_categories=["Cs"]), max_size=20), min_size=1
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_joined_lines_are_split_again(lines: list[str], end: str, bom: bool, last: bool) -> None:
    lines = ["first", *(line.rstrip("\r") for line in lines), "last"]
    data = (BOM if bom else b"") + (end.join(lines) + end * last).encode()
    source = read_prompts(io.BytesIO(data), "p")
    found = [(row.line, row.fields["prompt"]) for row in source]
    assert found == [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    assert source.skipped["blank line"] == len(lines) - len(found)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ["p.txt is empty"]),
        (BOM + b"\n \r\n", ["p.txt is empty"]),
        (b"a\nb\xff\nc\0\nd", ["p.txt, line 2: not UTF-8 (byte 0xff)", "p.txt, line 3: a NUL character"]),
        (b"a\n\xed\xa0\x80\n", ["p.txt, line 2: not UTF-8 (byte 0xed)"]),
        (b"\xff\n", ["p.txt, line 1: not UTF-8 (byte 0xff)"]),
        ("a\nb\n".encode("utf-16"), ["p.txt, line 1: not UTF-8, but UTF-16; save it as UTF-8"]),
        (b"a\n" + FULL + b"x\nb\n", ["p.txt, line 2: longer than 64 KiB; the rest was not read"]),
        (b"\0\n" + FULL + b"x", ["p.txt, line 1: a NUL character", "p.txt, line 2: longer than 64 KiB; the rest was not read"]),
    ],
)  # fmt: skip
def test_a_bad_prompt_file_is_refused_with_line_numbers(data: bytes, expected: list[str]) -> None:
    assert get_problems(lambda: load_prompts(data)) == expected


def test_a_bad_line_is_not_a_row_and_its_error_remains() -> None:
    source = read_prompts(io.BytesIO(b"a\n\xff\nc\n"), "p.txt")
    assert [next(source).line, next(source).line] == [1, 3]
    for _ in range(2):  # reading again does not end without an error
        with pytest.raises(UsageError):
            next(source)


def test_the_name_of_a_source_cannot_control_the_terminal() -> None:
    assert "\x1b" not in get_problems(lambda: list(read_prompts(io.BytesIO(b""), "a\x1b[2J")))[0]


class EndlessLine(io.RawIOBase):
    """A line without an end, which counts how much of it was read."""

    bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"x" * len(buffer)
        self.bytes_read += len(buffer)
        return len(buffer)


@pytest.mark.parametrize("kind", ["prompts", "jsonl", "csv"])
def test_a_line_without_an_end_is_not_read_further(kind: Any) -> None:
    stream = EndlessLine()
    source = read_prompts(stream, "p") if kind == "prompts" else read_rows(stream, "p", kind)  # type: ignore[arg-type]
    assert "line 1: longer than 64 KiB" in get_problems(lambda: next(source))[0]
    assert stream.bytes_read == LINE_LIMIT + 1


class ManyLines(io.RawIOBase):
    """The same line many times, created only when it is read."""

    def __init__(self, count: int, line: bytes) -> None:
        self.left, self.block = count // 100, line * 100

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.left:
            return 0
        self.left -= 1
        buffer[: len(self.block)] = self.block
        return len(self.block)


def drain(source: Iterator[Row]) -> int:
    return sum(1 for _ in source)


def measure_peak(lines: int, line: bytes, read: Callable[[Any], Rows]) -> int:
    tracemalloc.start()
    try:
        assert drain(read(io.BufferedReader(ManyLines(lines, line)))) == lines
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("lines", "line", "read"),
    [
        (50_000, b"a red fox, snow\n", lambda stream: read_prompts(stream, "p")),
        (10_000, b'{"prompt": "a fox"}\n', lambda stream: read_rows(stream, "p", "jsonl")),
    ],
)
def test_memory_does_not_grow_with_the_source(lines: int, line: bytes, read: Callable[[Any], Rows]) -> None:
    measure_peak(1000, line, read)  # create what is created only once
    assert measure_peak(lines, line, read) < measure_peak(1000, line, read) + 32_000


def test_memory_does_not_grow_with_the_problems() -> None:
    def measure_refusal(lines: int) -> int:
        tracemalloc.start()
        try:
            get_problems(lambda: drain(read_prompts(io.BufferedReader(ManyLines(lines, b"\xff\n")), "p")))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    measure_refusal(1000)
    assert measure_refusal(10_000) < measure_refusal(1000) + 32_000


def test_reading_takes_linear_time() -> None:
    def measure_time(lines: int) -> float:
        started = time.process_time()
        drain(read_prompts(io.BufferedReader(ManyLines(lines, b"a red fox\n")), "p"))
        return time.process_time() - started

    small = min(measure_time(5_000) for _ in range(3))
    assert measure_time(50_000) < 40 * small


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"prompt": "a"}\n\n{"prompt": "b"}', [(1, {"prompt": "a"}), (3, {"prompt": "b"})]),
        (BOM.decode() + '{"a": 1}\r\n{"a": 2}\r\n', [(1, {"a": 1}), (2, {"a": 2})]),
        ('{"seed": 9007199254740993, "g": 3.5, "x": 3.0, "y": true}', [(1, {"seed": 2**53 + 1, "g": 3.5, "x": 3.0, "y": True})]),
        ('# a note\n{"a": 1}\n  # another\n{"a": 2}', [(2, {"a": 1}), (4, {"a": 2})]),
        ('{"a": null, "b": ["x", 1], "c": []}', [(1, {"b": ["x", 1], "c": []})]),
        ('{"p": "a\u2028b\u0085c"}\n{}', [(1, {"p": "a\u2028b\u0085c"}), (2, {})]),
        ('[\n  {"a": 1},\n\n  {\n    "a": 2.0\n  }\n]\n', [(2, {"a": 1}), (4, {"a": 2.0})]),
        (r'{"p": "a\nb 😀"}', [(1, {"p": "a\nb 😀"})]),
    ],
)  # fmt: skip
def test_json_lines_are_read(text: str, expected: list[Any]) -> None:
    found = load_rows("jsonl", text)
    assert found == expected
    assert repr(found) == repr(expected), "1, 1.0 and true are equal but not the same"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a", "prompt": "b"}', "'prompt' is given twice"),
        ('{"a": {"b": 1, "b": 2}}', "'b' is given twice"),
        ('["a"]', "not an object"),
        ('"a"', "not an object"),
        ("null", "not an object"),
        ("{", "invalid JSON (expecting property name"),
        ('{"a": 1} {"a": 2}', "invalid JSON (extra data, character 10)"),
        ('{"a": NaN}', "'a' is not a finite number"),
        ('{"a": 1e999}', "'a' is not a finite number"),
        ('{"a": [-Infinity]}', "'a' is not a finite number"),
        ('{"a": {"b": 1}}', "'a' is not text"),
        ('{"a": [[1]]}', "'a' is not text"),
        ('{"a": [null]}', "'a' is not text"),
        (r'{"a": "\ud800"}', "'a' has a NUL or half a character"),
        (r'{"a": ["\u0000"]}', "'a' has a NUL or half a character"),
        (r'{"\u0000": 1}', "has a NUL or half a character"),
        ('{"a": ' + "9" * 5000 + "}", "limit"),
        ("[" * 60_000, "nested too deeply"),
    ],
)
def test_invalid_json_lines_are_refused(line: str, message: str) -> None:
    found = get_problems(lambda: load_rows("jsonl", f'{{"prompt": "x"}}\n{line}\n{{"prompt": "y"}}\n'))
    assert len(found) == 1
    assert found[0].startswith("rows, line 2: ")
    assert message in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "rows is empty"),
        ('[{"a": 1}\n{"a": 2}]', "rows, line 2: invalid JSON (expected , or ] and the end of the file)"),
        ('[\n{"a": 1},\n]', "rows, line 3: invalid JSON (expecting value, character 1)"),
        ('[{"a": 1}\n', "rows, line 2: invalid JSON (expected , or ] and the end of the file)"),
        ('[{"a": 1}]\n[{"a": 2}]', "rows, line 1: invalid JSON (expected , or ] and the end of the file)"),
        ("[\n[1]\n]", 'rows, line 2: not an object: a row is written as {"prompt": "..."}'),
        (
            '[\n  {\n    "a": 1,\n  }\n]',
            "rows, line 4: invalid JSON (expecting property name enclosed in double quotes, character 3)",
        ),
        ("[" * 9000, "rows, line 1: nested too deeply"),
    ],
)
def test_an_invalid_json_array_is_refused(text: str, expected: str) -> None:
    assert get_problems(lambda: load_rows("jsonl", text)) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt,seed\na,1\nb,\n", [(2, {"prompt": "a", "seed": "1"}), (3, {"prompt": "b"})]),
        ("prompt,seed\r\na,1\r\nb,2", [(2, {"prompt": "a", "seed": "1"}), (3, {"prompt": "b", "seed": "2"})]),
        (BOM.decode() + '"prompt",seed\na,1\n', [(2, {"prompt": "a", "seed": "1"})]),
        ('prompt,seed\n"a\nb\n\nc",1\nd,2\n', [(2, {"prompt": "a\nb\n\nc", "seed": "1"}), (6, {"prompt": "d", "seed": "2"})]),
        ('prompt,seed\n"a, ""b""",1\n', [(2, {"prompt": 'a, "b"', "seed": "1"})]),
        ("prompt;seed\na, b, c;1\n", [(2, {"prompt": "a, b, c", "seed": "1"})]),
        ("prompt\tseed\na, b; c\t1\n", [(2, {"prompt": "a, b; c", "seed": "1"})]),
        ("prompt\na;b;c\n", [(2, {"prompt": "a;b;c"})]),
        ("\n\nprompt,seed\n\n,\na,1\n", [(6, {"prompt": "a", "seed": "1"})]),
        ("sep=;\n\nprompt;seed\na, b;1\n", [(4, {"prompt": "a, b", "seed": "1"})]),
        ("prompt,seed,,\na,1,,\n", [(2, {"prompt": "a", "seed": "1"})]),
        ("# a note\nprompt\n# another, longer\n\\#a\nb # c\n", [(4, {"prompt": "#a"}), (5, {"prompt": "b # c"})]),
        ("prompt, seed\n\u00a0a\u200b,\ufeff1 \n", [(2, {"prompt": "a", "seed": "1"})]),
        (" prompt , output-dir \n a ,1\n", [(2, {"prompt": "a", "output-dir": "1"})]),
        ("prompt\na\u2028b\x0bc\x85d\n\\#x\n", [(2, {"prompt": "a\u2028b\x0bc\x85d"}), (3, {"prompt": "#x"})]),
    ],
)  # fmt: skip
def test_csv_is_read(text: str, expected: list[Any]) -> None:
    assert load_rows("csv", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1\n1,2\n1,2,3\n", ["rows, line 2: 1 cells, but the header has 2", "rows, line 4: 3 cells, but the header has 2"]),
        ("a red fox\na blue fox\n", ["rows, line 1: expected a header with column names, not 'a red fox'"]),
        ("a,,b\n1,2,3\n1,,3\n", ["rows, line 2: column 2 has no name, and contains '2'"]),
        (",a\n0,b\n", ["rows, line 1: the first column has no name"]),
        ("a,b\n1,#N/A\n#REF!,2\n", ["rows, line 2: b is '#N/A', an error of the spreadsheet", "rows, line 3: a is '#REF!', an error of the spreadsheet"]),
        (b"PK\x03\x04\x14\0", ["rows, line 1: not text, but a document or spreadsheet; save it as plain text or CSV"]),
        ("a,b,a\n1,2,3\n", ["rows, line 1: two columns are called 'a'"]),
        ('a,b\n1,2\n"x\ny,2\nz,3\n', ["rows, line 3: invalid CSV (unexpected end of data)"]),
        ('a,b\n"x"y,2\n', ["rows, line 2: invalid CSV (',' expected after '\"')"]),
        ('a,b,c\nx, "y, z"\n', ["rows, line 2: a space before an opening quote"]),
        ("a,b\n1,2\rx,y\n", ["rows, line 2: invalid CSV (new-line character seen in unquoted field)"]),
        (b"a,b\n1,2\n\xff,2\n", ["rows, line 3: not UTF-8 (byte 0xff)"]),
        (b'a,b\n"1\n\0",2\n', ["rows, line 3: a NUL character"]),
        ("a,b\n", ["rows has a header, but no rows"]),
        ("\n", ["rows is empty"]),
        ('a\n"' + "x\n" * 100_000, ["rows, line 2: invalid CSV (field larger than field limit (131072))"]),
    ],
)  # fmt: skip
def test_invalid_csv_is_refused(text: str | bytes, expected: list[str]) -> None:
    assert get_problems(lambda: load_rows("csv", text)) == expected


def test_csv_lines_without_a_row_are_counted() -> None:
    source = read_rows(io.BytesIO(b"\na,b\n,\n\n1,2\n" + BOM + b"a, b\n3,4\n"), "rows", "csv")
    assert [row.line for row in source] == [5, 7]
    assert source.skipped == {"blank line": 3, "repeated header": 1}


def test_a_byte_order_mark_starts_a_record_or_is_text() -> None:
    text = 'a,b\n1,2\n\ufeff"x\n\ufeffy",2\n\ufeff3,"z\n\ufeffz"\n'
    assert load_rows("csv", text) == [
        (2, {"a": "1", "b": "2"}),
        (3, {"a": "x\n\ufeffy", "b": "2"}),
        (5, {"a": "3", "b": "z\n\ufeffz"}),
    ]


CELLS = st.text(st.sampled_from('a,;\t"\n\r\u2028\ufeffé '), max_size=8).map(lambda cell: f"x{cell}")


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"])
)
def test_written_csv_is_read_back(cells: list[tuple[str, str]], delimiter: str, end: str) -> None:
    written = io.StringIO()
    # Python 3.11 leaves a lone "\r" without quotes when lines end with "\n".
    csv.writer(
        written,
        delimiter=delimiter,
        lineterminator=end,
        quoting=csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL,
    ).writerows([("a", "b"), *cells])
    text = written.getvalue()
    found = load_rows("csv", text)
    assert [tuple(fields.values()) for _, fields in found] == [(trimmed(a), trimmed(b)) for a, b in cells]
    line = 2
    for (number, _), row in zip(found, cells, strict=True):
        assert number == line
        line += 1 + sum(cell.count("\n") for cell in row)


TOML = '''# rows

[[row]]
prompt = """
[[row]]
a fox"""
steps = 8

  [[ row ]]
prompt = 'x'
tags = ["a", "b"]
'''


@pytest.mark.parametrize("name", ["row", "rows"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_toml_is_read(name: str, end: str, bom: str) -> None:
    text = bom + TOML.replace("row ]]", f"{name} ]]").replace("\n[[row]]\nprompt", f"\n[[{name}]]\nprompt")
    assert load_rows("toml", text.replace("\n", end)) == [
        (3, {"steps": 8, "prompt": "[[row]]\na fox"}),
        (9, {"prompt": "x", "tags": ["a", "b"]}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[row]]\na = 1\na = 2\n", "line 3: invalid TOML"),
        ("[[row]]\na = 1\n[[row]]\na = \n", "line 4: invalid TOML"),
        ('[[row]]\na = """x\n', "line 3: invalid TOML"),
        ("[[row]]\na = 1\n[[rows]]\na = 2\n", "'rows' does not belong here"),
        ("[[row]]\na = 1\n[default]\nb = 1\n", "'default' does not belong here"),
        ("prompt = 'x'\n", "'prompt' does not belong here"),
        ("row = [{a = 1}]\n", "line 1: write each row as a table that begins with [[row]]"),
        ("[row]\na = 1\n", "line 1: write each row as a table that begins with [[row]]"),
        ("[[row]]\na = 1\n\n[[row]]\na = 2026-01-01\n", "line 4: 'a' is not text"),
        ("[[row]]\na = 1\n[[row]]\na = nan\n", "line 3: 'a' is not a finite number"),
        ("[[row]]\na = 1\n[row.b]\nc = 1\n", "line 1: 'b' is not text"),
        (b"[[row]]\na = '\xff'\n", "line 2: not UTF-8"),
        (b"[[row]]\na = '\0'\n", "line 2: a NUL"),
        ("[[row]]\na = 1\n".encode("utf-16"), "line 1: not UTF-8, but UTF-16"),
        ("[[row]]\na = " + "[" * 9000, "invalid TOML"),
        ("# nothing\n", "rows is empty"),
        (b"#" * (WHOLE_LIMIT + 1), "line 1: longer than 16 MiB"),
    ],
)
def test_invalid_toml_is_refused(text: str | bytes, message: str) -> None:
    found = get_problems(lambda: load_rows("toml", text))
    assert len(found) == 1
    assert message in found[0]


def test_many_toml_rows_take_linear_time() -> None:
    """Finding their line numbers must not read the text before each row again."""
    text = "[[row]]\nprompt = 'a'\n" * 3000
    assert [line for line, _ in load_rows("toml", text)] == list(range(1, 6000, 2))


def test_problems_of_the_caller_are_included_in_order() -> None:
    source = read_rows(io.BytesIO(b'{"prompt": 1}\n[]\n{"prompt": 2}\n'), "rows", "jsonl")

    def check() -> None:
        for row in source:
            source.refuse(
                row.line, UsageError.of(["too expensive", "too large"]) if row.line == 3 else UsageError("too red")
            )

    assert get_problems(check) == [
        "rows, line 1: too red",
        'rows, line 2: not an object: a row is written as {"prompt": "..."}',
        "rows, line 3: too expensive",
        "rows, line 3: too large",
    ]


@pytest.mark.parametrize(("bad", "shown"), [(SHOWN, SHOWN), (SHOWN + 1, SHOWN + 1), (400, SHOWN + 1)])
def test_only_the_first_problems_are_shown(bad: int, shown: int) -> None:
    with pytest.raises(UsageError, match=f"^{bad} errors$") as caught:
        load_rows("jsonl", "1\n" * bad)
    details = caught.value.details
    assert len(details) == shown
    assert details[SHOWN - 1].startswith(f"rows, line {SHOWN}: ")
    assert bad == SHOWN or details[-1] == f"and {bad - SHOWN} more"


@pytest.mark.parametrize(
    ("name", "first", "kind"),
    [
        ("a.jsonl", b"", "jsonl"), ("a.ndjson", b"", "jsonl"), ("a.json", b"", "jsonl"),
        ("dir.toml/A.CSV", b"{", "csv"), ("a.tsv", b"", "csv"), ("a.toml", b"a,b", "toml"),
        ("-", b'{"prompt": 1}', "jsonl"), ("-", BOM + b'\n {"a"', "jsonl"), ("-", b'[{"a": 1}]', "jsonl"),
        ("-", b"prompt,seed\n", "csv"), ("-", BOM + b'"prompt";seed\n', "csv"), ("-", b"", "csv"),
        ("-", b"# x\r\n\r\n[[row]]\r\n", "toml"), ("-", b"[[ rows ]]", "toml"),
        ("-", b"\xff\xfe", "csv"), ("-", b"\n" * 60_000, "csv"), ("-", b'["rows"]', "jsonl"),
        ("-", b"a,b\n1,2\n[[row]]\n", "csv"),
    ],
)  # fmt: skip
def test_the_format_of_a_source_is_detected(name: str, first: bytes, kind: Kind) -> None:
    assert kind_of(name, first) == kind


VALUES = st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))  # fmt: skip


@given(st.lists(st.dictionaries(st.text("abc", min_size=1), VALUES | st.lists(VALUES)), min_size=1), st.booleans())
def test_written_json_is_read_back(written: list[dict[str, Any]], ascii_only: bool) -> None:
    text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in written)
    assert repr(load_rows("jsonl", text)) == repr(list(enumerate(written, 1)))
