"""Sources of many prompts: every line is one row, no line is two, and what is wrong has its line number."""

import io
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_cli.errors import UsageError
from flux_cli.sources import LINE_LIMIT, SHOWN, Row, read_prompts

BOM = b"\xef\xbb\xbf"
FULL = b"x" * LINE_LIMIT


def prompts(data: bytes) -> list[tuple[int, str]]:
    return [(row.line, row.prompt) for row in read_prompts(io.BytesIO(data), "p.txt")]


def problems(read: Callable[[], object]) -> list[str]:
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
        (BOM + b"a\n" + BOM + b"b\n", [(1, "a"), (2, "\ufeffb")]),
        (b"\n\na\n \t\r\nb\n\n", [(3, "a"), (5, "b")]),
        (b"# a\n#b\n", [(1, "# a"), (2, "#b")]),
        (b"  a  \n", [(1, "  a  ")]),
        (b"a\rb\n", [(1, "a\rb")]),
        (b'"a, b"\n{c}\n', [(1, '"a, b"'), (2, "{c}")]),
        ("a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i\n".encode(), [(1, "a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i")]),
        (FULL + b"\nb", [(1, FULL.decode()), (2, "b")]),
        (FULL, [(1, FULL.decode())]),
    ],
)  # fmt: skip
def test_a_prompt_is_a_line(data: bytes, expected: list[tuple[int, str]]) -> None:
    assert prompts(data) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=20), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_what_was_joined_comes_apart_as_it_was(lines: list[str], end: str, bom: bool, last: bool) -> None:
    lines = ["first", *(line.rstrip("\r") for line in lines), "last"]
    data = (BOM if bom else b"") + (end.join(lines) + end * last).encode()
    source = read_prompts(io.BytesIO(data), "p")
    found = [(row.line, row.prompt) for row in source]
    assert found == [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    assert source.blank == len(lines) - len(found)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ["p.txt is empty: it has no prompts or values"]),
        (BOM + b"\n \r\n", ["p.txt is empty: it has no prompts or values"]),
        (b"a\nb\xff\nc\0\nd", ["p.txt, line 2: not UTF-8 (byte 0xff)", "p.txt, line 3: a NUL character"]),
        (b"a\n\xed\xa0\x80\n", ["p.txt, line 2: not UTF-8 (byte 0xed)"]),
        (b"\xff\n", ["p.txt, line 1: not UTF-8 (byte 0xff)"]),
        ("a\nb\n".encode("utf-16"), ["p.txt, line 1: UTF-16; save it as UTF-8"]),
        (b"a\n" + FULL + b"x\nb\n", ["p.txt, line 2: longer than 64 KiB; what follows was not read"]),
        (b"\0\n" + FULL + b"x", ["p.txt, line 1: a NUL character", "p.txt, line 2: longer than 64 KiB; what follows was not read"]),
    ],
)  # fmt: skip
def test_a_bad_prompt_file_is_refused_with_the_line(data: bytes, expected: list[str]) -> None:
    assert problems(lambda: prompts(data)) == expected


def test_a_bad_line_is_no_row_and_the_error_stays() -> None:
    source = read_prompts(io.BytesIO(b"a\n\xff\nc\n"), "p.txt")
    assert [next(source).line, next(source).line] == [1, 3]
    for _ in range(2):  # taking once more does not end as if all were well
        with pytest.raises(UsageError):
            next(source)


def test_the_name_of_a_source_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in problems(lambda: list(read_prompts(io.BytesIO(b""), "a\x1b[2J")))[0]


class Endless(io.RawIOBase):
    """A line without end, which counts what was taken of it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"x" * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


def test_a_line_without_end_is_not_read_on() -> None:
    stream = Endless()
    source = read_prompts(stream, "p")  # type: ignore[arg-type]
    assert "line 1: longer than 64 KiB" in problems(lambda: next(source))[0]
    assert stream.taken == LINE_LIMIT + 1


class Many(io.RawIOBase):
    """So many lines, none of which is there before it is read."""

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


def test_memory_does_not_grow_with_the_source() -> None:
    def peak(lines: int) -> int:
        tracemalloc.start()
        try:
            assert drain(read_prompts(io.BufferedReader(Many(lines, b"a red fox, snow\n")), "p")) == lines
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)  # what is made once is made
    assert peak(200_000) < peak(1000) + 32_000


def test_memory_does_not_grow_with_the_problems() -> None:
    def refused(lines: int) -> int:
        tracemalloc.start()
        try:
            problems(lambda: drain(read_prompts(io.BufferedReader(Many(lines, b"\xff\n")), "p")))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    refused(1000)
    assert refused(10_000) < refused(1000) + 32_000


def test_time_is_linear() -> None:
    def took(lines: int) -> float:
        begun = time.process_time()
        drain(read_prompts(io.BufferedReader(Many(lines, b"a red fox\n")), "p"))
        return time.process_time() - begun

    small = min(took(20_000) for _ in range(3))
    assert took(200_000) < 40 * small


def test_all_problems_come_together_with_those_of_the_caller() -> None:
    source = read_prompts(io.BytesIO(b"a\n\xff\nb\n"), "p.txt")

    def check() -> None:
        for row in source:
            source.refuse(row, UsageError.of(["too dear", "too large"]) if row.line == 3 else UsageError("too red"))

    assert problems(check) == [
        "p.txt, line 1: too red",
        "p.txt, line 2: not UTF-8 (byte 0xff)",
        "p.txt, line 3: too dear",
        "p.txt, line 3: too large",
    ]


@pytest.mark.parametrize(("bad", "shown"), [(SHOWN, SHOWN), (SHOWN + 1, SHOWN + 1), (400, SHOWN + 1)])
def test_only_the_first_problems_are_shown(bad: int, shown: int) -> None:
    with pytest.raises(UsageError, match=f"^{bad} things are wrong$") as caught:
        prompts(b"\xff\n" * bad)
    details = caught.value.details
    assert len(details) == shown
    assert details[SHOWN - 1].startswith(f"p.txt, line {SHOWN}: ")
    assert bad == SHOWN or details[-1] == f"and {bad - SHOWN} more"
