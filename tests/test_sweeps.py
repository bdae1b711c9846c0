"""Sweeps: the product is exact, ordered and lazy. A mistake in a template is refused, and never adds tasks."""

import time
from collections.abc import Iterator
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.batch.sweeps import Variant, count, expand, parse_numbers, parse_vary
from flux_cli.errors import UsageError
from flux_cli.images.output_names import PLACEHOLDERS


def expand_braces(prompt: str) -> Iterator[str]:
    """Yield the prompts that a prompt with groups expands to. `{name}` is kept."""
    variables = {"name": ["{name}"]} if "{name}" in prompt else {}
    return (variant.prompt for variant in expand(prompt, variables, {}))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a car", ["a car"]),
        ("", [""]),
        ("{red|blue} car", ["red car", "blue car"]),
        ("a {b|c} d {e|f|g}", ["a b d e", "a b d f", "a b d g", "a c d e", "a c d f", "a c d g"]),
        ("{a|b}{c|d}", ["ac", "ad", "bc", "bd"]),
        ("{|very }red", ["red", "very red"]),
        ("{a | b}", ["a ", " b"]),
        ("{a|a}", ["a", "a"]),
        ("a {name} b", ["a {name} b"]),
        ("{a|b} {name}", ["a {name}", "b {name}"]),
        ("{{a|b}}", ["{a|b}"]),
        ("{{}}", ["{}"]),
        ("}}{{", ["}{"]),
        ("{{{a|b}}}", ["{a}", "{b}"]),
        ("{a|b}}}", ["a}", "b}"]),
        ("{{{{a|b}}}}", ["{{a|b}}"]),
        ("a|b", ["a|b"]),
        ("{a\n|雪\u2028}", ["a\n", "雪\u2028"]),
    ],
)
def test_braces_are_expanded(prompt: str, expected: list[str]) -> None:
    assert list(expand_braces(prompt)) == expected


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("{a|{b|c}}", "braces cannot be nested"),
        ("{a|{{b}}}", "braces cannot be nested"),
        ("{a|b", "unmatched { in the prompt"),
        ("a}", "unmatched } in the prompt"),
        ("{a|b}}", "unmatched } in the prompt"),
        ("{", "unmatched { in the prompt"),
        ("{}", "neither a choice nor a variable"),
        ("{two words}", "neither a choice nor a variable"),
        ("{1a}", "neither a choice nor a variable"),
        ("{name }", "neither a choice nor a variable"),
        ("{name\n}", "neither a choice nor a variable"),
        ("{é}", "neither a choice nor a variable"),
        ("{a.__class__}", "neither a choice nor a variable"),
    ],
)
def test_invalid_braces_are_refused(prompt: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("{", r"\{")):
        expand_braces(prompt)


@given(st.text(st.sampled_from("{}|a_ \n"), max_size=30))
@example("{{{a|b}}}")
def test_doubled_braces_are_literal(text: str) -> None:
    assert list(expand_braces(text.replace("{", "{{").replace("}", "}}"))) == [text]


def test_a_long_prompt_is_parsed_in_linear_time() -> None:
    started = time.process_time()
    assert next(expand_braces("{a|b}" * 12_000)) == "a" * 12_000
    for mistake in ("{" * 65_535, "{a" * 30_000, "{{" * 30_000 + "{"):
        with pytest.raises(UsageError):
            expand_braces(mistake)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=a,b,c", ("x", ["a", "b", "c"])),
        ("x=a", ("x", ["a"])),
        ('x="a, b",c', ("x", ["a, b", "c"])),
        ('x=a, "b, c"', ("x", ["a", "b, c"])),
        ('x=a,"b ""c"""', ("x", ["a", 'b "c"'])),
        ("x=a=b,{c}", ("x", ["a=b", "{c}"])),
        ('x="@a"', ("x", ["@a"])),
        ("x=a,@b", ("x", ["a", "@b"])),
        ("_A1=a b,雪\u2028x", ("_A1", ["a b", "雪\u2028x"])),
        ('x="a\nb"', ("x", ["a\nb"])),
        ("Seed=a", ("Seed", ["a"])),
    ],
)
def test_a_variable_is_parsed(text: str, expected: Any) -> None:
    assert parse_vary(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "x", "=a", "x=", "x=a,,b", "x=a,", "x= ,a", 'x=""', "1x=a", "x-y=a", "é=a", "x =a", "x\n=a", 'x="a', 'x="a"b',
     "x=a\nb", "x=@", "x=@absent", "x=@.", "x=@a\0b", *(f"{name}=a" for name in PLACEHOLDERS)],
)  # fmt: skip
def test_invalid_variables_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_vary(text)


def test_the_values_of_a_file_are_its_lines() -> None:
    Path("values").write_bytes('\ufeffa, b\r\n\r\nc\u2028d\n# f\n"e"'.encode())
    assert parse_vary("x=@values") == ("x", ["a, b", "c\u2028d", '"e"'])


@pytest.mark.parametrize("data", [b"", b"\n", b"a\n\xff\n", b"a\0", b"x" * 65_537])
def test_an_invalid_file_of_values_is_refused(data: bytes) -> None:
    Path("values").write_bytes(data)
    with pytest.raises(UsageError, match="values"):
        parse_vary("x=@values")


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("3,3.5,4", float, [3.0, 3.5, 4.0]),
        ("7", int, [7]),
        (" 3 , 4 ", int, [3, 4]),
        ("1..4", int, [1, 2, 3, 4]),
        ("4..1", int, [4, 3, 2, 1]),
        ("0..10..5", int, [0, 5, 10]),
        ("10..0..5", int, [10, 5, 0]),
        ("0..10..3", int, [0, 3, 6, 9]),
        ("10..0..3", int, [10, 7, 4, 1]),
        ("-2..1", int, [-2, -1, 0, 1]),
        ("5..5", int, [5]),
        ("1..3,2..5,9", int, [1, 2, 3, 4, 5, 9]),
        ("3,1,3.0,1", float, [3.0, 1.0]),
        ("1..3", float, [1.0, 2.0, 3.0]),
        (".5,1e-2", float, [0.5, 0.01]),
        ("0,-0.0", float, [0.0]),
        ("18446744073709551616", int, [2**64]),
        ("42.0,7", int, [42, 7]),
        ("1..10000", int, list(range(1, 10_001))),
        ("1..10000,1..10000", int, list(range(1, 10_001))),
        ("0..99990..10", int, list(range(0, 99_991, 10))),
    ],
)
def test_numbers_are_parsed(text: str, kind: Any, expected: list[Any]) -> None:
    found = parse_numbers(text, kind)
    assert found == expected
    assert {type(number) for number in found} == {kind}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, int) for text in ["3.5", "3.01", "3.", "1e3", "1..4.5", "1_000", "٣", "0x1", "1..10001", "1..10000,0", "1..100000..5"]),
        *((text, float) for text in ["nan", "inf", "1e999", "1_0.5", "3.", ".", "1.5..3", "1..2.5"]),
        *((text, kind) for kind in (int, float) for text in [
            "", ",", "1,", "1,,2", "a", "1..", "..4", "1...4", "1..4..", "1..4..0", "1..4..-1", "1..2..3..4", "1 2", "- 1",
            "0..99999999999999999999", "9" * 5000, "0..1" + "0" * 40, "1\n,2\0",
        ]),
    ],
)  # fmt: skip
def test_invalid_numbers_are_refused(text: str, kind: Any) -> None:
    if kind is float and text == "9" * 5000:
        text += "e9"
    with pytest.raises(UsageError):
        parse_numbers(text, kind)


@given(st.integers(-500, 500), st.integers(-500, 500), st.integers(1, 60))
def test_a_range_keeps_its_ends_and_its_step(first: int, last: int, step: int) -> None:
    found = parse_numbers(f"{first}..{last}..{step}", int)
    assert found[0] == first
    assert all(abs(after - before) == step for before, after in pairwise(found))
    assert min(first, last) <= min(found) <= max(found) <= max(first, last)
    assert abs(last - found[-1]) < step


def test_the_last_axis_varies_fastest() -> None:
    found = list(expand("{a|b} {x}{y}{x}", {"y": ["1", "2"], "x": ["u"]}, {"seed": [7, 8], "guidance": [3.5]}))
    assert found[0] == Variant("a u1u", {"y": "1", "x": "u"}, {"seed": 7, "guidance": 3.5})
    assert [(variant.prompt, variant.options["seed"]) for variant in found] == [
        ("a u1u", 7), ("a u1u", 8), ("a u2u", 7), ("a u2u", 8), ("b u1u", 7), ("b u1u", 8), ("b u2u", 7), ("b u2u", 8),
    ]  # fmt: skip


def test_without_variables_the_prompt_is_used_as_it_is() -> None:
    assert list(expand("a {{x}} car", {}, {})) == [Variant("a {x} car", {}, {})]
    assert count("a car", {}, {}) == 1


@pytest.mark.parametrize("value", ["{y}", "{a|b}", "{{", "}", "{x}", r"\1", "%s", "|"])
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    found = list(expand("{{x}} {x} {y}", {"x": [value], "y": ["1"]}, {}))
    assert [variant.prompt for variant in found] == [f"{{x}} {value} 1"]


@pytest.mark.parametrize(
    ("prompt", "variables", "axes", "message"),
    [
        ("{colour} car", {"color": ["red"], "size": ["big"]}, {}, "{colour} in the prompt has no values"),
        ("{x}", {}, {}, "{x} in the prompt has no values"),
        ("{seed}", {}, {"seed": [1]}, "{seed} in the prompt has no values"),
        ("a car", {"x": ["a"]}, {}, r"--vary x has no effect: \{x\} is not in the prompt"),
        ("{{x}} car", {"x": ["a"]}, {}, r"--vary x has no effect: \{x\} is not in the prompt"),
        ("{x|y}", {"x": ["a"]}, {}, r"--vary x has no effect: \{x\} is not in the prompt"),
        ("{x}", {"x": []}, {}, "x has no values"),
        ("a", {}, {"seed": []}, "seed has no values"),
        ("{a|{b}}", {"b": ["a"]}, {}, "braces cannot be nested"),
    ],
)  # fmt: skip
def test_an_invalid_sweep_is_refused_immediately(prompt: str, variables: Any, axes: Any, message: str) -> None:
    for function in (expand, count):
        with pytest.raises(UsageError) as caught:
            function(prompt, variables, axes)  # expand is not even iterated
        errors = "\n".join([caught.value.message, *caught.value.details])
        assert message.replace("\\", "") in errors


def test_a_huge_product_is_counted_and_started_without_being_created() -> None:
    started = time.process_time()
    thousand = {"x": [str(number) for number in range(1000)], "y": [str(number) for number in range(1000)]}
    assert count("{x}{y}", thousand, {"seed": range(1000)}) == 10**9
    first = list(islice(expand("{x}{y}", thousand, {"seed": range(1000)}), 1001))
    assert (first[-1].prompt, first[-1].options) == ("01", {"seed": 0})
    assert count("{a|b}" * 200, {}, {}) == 2**200
    assert next(expand("{a|b}" * 200, {}, {})).prompt == "a" * 200
    assert time.process_time() - started < 1


WORDS = st.text("ab{}| ", max_size=4)
LISTS = st.lists(WORDS, min_size=1, max_size=3)


@given(
    st.lists(st.lists(st.text("ab ", max_size=3), min_size=2, max_size=3), max_size=3),
    st.dictionaries(st.text("xyz_", min_size=1, max_size=3), LISTS, max_size=2),
    st.dictionaries(st.sampled_from(["seed", "guidance"]), st.lists(st.integers(), min_size=1, max_size=3)),
)
def test_expand_returns_the_product_in_order(groups: list[list[str]], variables: Any, axes: Any) -> None:
    prompt = "".join("{" + "|".join(group) + "}" for group in groups) + "".join(f"<{{{name}}}>" for name in variables)
    expected = [
        ("".join(parts) + "".join(f"<{value}>" for value in values), values, numbers)
        for parts in product(*groups)
        for values in product(*variables.values())
        for numbers in product(*axes.values())
    ]
    found = list(expand(prompt, variables, axes))
    assert [
        (variant.prompt, tuple(variant.variables.values()), tuple(variant.options.values())) for variant in found
    ] == expected
    assert count(prompt, variables, axes) == len(expected)
