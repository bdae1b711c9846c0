"""Rows, prompt files and settings as users write them: each request contains exactly the written values."""

import csv
import io
import json
import shlex
from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from .conftest import Flux

CHECKED = settings(
    phases=[Phase.explicit, Phase.generate],
    max_examples=settings().max_examples // 6,  # each runs the program several times
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PRICES = {"schnell": "0.002", "dev": "0.015", "pro": "0.05"}

texts = st.text(st.sampled_from("aZ9é雪ع🦊,;|'\"#/-\\=:.~`$%&?*()[]<>\u00a0\u2028\t "), max_size=12)
prompts = st.builds("{}a{}".format, texts, texts).filter(lambda text: not trim(text).startswith(("\\#", "\\//")))
seeds = st.integers(0, 2**32 - 1)
sides = st.sampled_from([64, 512, 768, 1024])


def get_requests(flux: Flux, command: str, *arguments: str) -> list[tuple[Any, ...]] | None:
    """Return the prompt, seed, size, model and guidance of each request of a command line, or None if it is refused."""
    result = flux(shlex.join([command, "--dry-run", "--json", *arguments]))
    if result.code == 2:
        return None
    assert result.code == 0, result.err
    found = [json.loads(line) for line in result.out.splitlines()]
    bodies = [record["request"] for record in found if "request" in record]
    return [
        (
            body["input"]["prompt"],
            body["input"]["seed"],
            (body["input"]["width"], body["input"]["height"]),
            body["model"].removeprefix("Qubico/flux1-"),
            body["input"].get("guidance_scale"),
        )
        for body in bodies
    ]


def trim(prompt: str) -> str:
    return prompt.strip(" \t\n\r\u00a0\u2028\u200b\ufeff")


# --- rows -------------------------------------------------------------------------------------------------------------


@st.composite
def draw_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    row = st.fixed_dictionaries(
        {"prompt": prompts, "seed": seeds, "width": sides, "height": sides, "model": st.sampled_from(sorted(PRICES))},
        optional={"guidance": st.sampled_from([1.5, 2, 3.25, 5])},
    )
    return draw(st.lists(row, min_size=1, max_size=5))


def get_expected(row: dict[str, Any]) -> tuple[Any, ...]:
    return (trim(row["prompt"]), row["seed"], (row["width"], row["height"]), row["model"], row.get("guidance"))


@CHECKED
@given(draw_rows(), st.data())
def test_rows_of_json_and_toml_are_read_as_written(
    flux: Flux, written: list[dict[str, Any]], data: st.DataObject
) -> None:
    as_float = data.draw(st.booleans())
    values = [{**row, "seed": float(row["seed"]), "width": str(row["width"])} if as_float else row for row in written]
    array = json.dumps(values, indent=data.draw(st.sampled_from([None, 2])), ensure_ascii=data.draw(st.booleans()))
    lines = data.draw(st.sampled_from(["\n", "\r\n", "\n\n"])).join(map(json.dumps, values))
    tables = "\n".join(
        "[[row]]\n" + "\n".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in row.items())
        for row in values
    )
    for name, text in (("rows.json", array), ("rows.jsonl", lines), ("rows.toml", tables)):
        Path(name).write_bytes((data.draw(st.sampled_from(["", "\ufeff"])) + text).encode())
        assert get_requests(flux, "batch", name) == [get_expected(row) for row in written]


@CHECKED
@given(draw_rows(), st.data())
def test_rows_of_a_spreadsheet_are_read_as_written(
    flux: Flux, written: list[dict[str, Any]], data: st.DataObject
) -> None:
    names = data.draw(st.permutations(["prompt", "seed", "width", "height", "model", "guidance"]))
    delimiter, end = data.draw(st.sampled_from(",;\t")), data.draw(st.sampled_from(["\n", "\r\n"]))
    file = io.StringIO()
    writer = csv.writer(
        file,
        delimiter=delimiter,
        lineterminator=end,
        quoting=csv.QUOTE_ALL if data.draw(st.booleans()) else csv.QUOTE_MINIMAL,
    )
    header = [data.draw(st.sampled_from([name, name.title()])) for name in names]
    unnamed = [""] * data.draw(st.integers(0, 2))
    writer.writerow([*header, *unnamed])
    for row in written:
        escape = "\\" if names[0] == "prompt" and trim(row["prompt"]).startswith("#") else ""
        prompt = escape + trim(row["prompt"]) if escape else row["prompt"]
        cells = {**row, "prompt": prompt, "seed": f"{row['seed']}{data.draw(st.sampled_from(['', '.0']))}"}
        writer.writerow([*(cells.get(name, "") for name in names), *unnamed])
        if data.draw(st.booleans()):
            file.write(data.draw(st.sampled_from([end, delimiter * (len(header) + len(unnamed) - 1) + end])))
    begin = data.draw(st.sampled_from(["", "\ufeff", end, f"sep={delimiter}{end}"]))
    Path("rows.csv").write_bytes((begin + file.getvalue()).encode())
    found = get_requests(flux, "batch", "rows.csv")
    if any(row["prompt"].lstrip().startswith('"') and row["prompt"][0].isspace() for row in written):
        assert found is None  # the end of such a cell is ambiguous
    else:
        assert found == [get_expected(row) for row in written]


# --- prompts ----------------------------------------------------------------------------------------------------------


@CHECKED
@given(st.lists(prompts, min_size=1, max_size=6), st.data())
def test_prompt_files_and_values_are_read_as_written(flux: Flux, written: list[str], data: st.DataObject) -> None:
    lines: list[str] = []
    for prompt in written:
        lines += data.draw(st.lists(st.sampled_from(["", " \t", "# a note", "  // a note"]), max_size=2))
        mark, escape = data.draw(st.sampled_from(["", "\ufeff"])), trim(prompt).startswith(("#", "//"))
        lines.append(mark + ("\\" if escape else "") + (trim(prompt) if escape else prompt))
    end, last = data.draw(st.sampled_from(["\n", "\r\n", "\r"])), data.draw(st.booleans())
    Path("prompts.txt").write_bytes((end.join(["the first", *lines]) + (end if last else "")).encode())
    expected_prompts = ["the first", *map(trim, written)]
    if any(prompt.startswith("--a") for prompt in expected_prompts):
        assert get_requests(flux, "gen", "--from", "prompts.txt") is None
        return
    found = get_requests(flux, "gen", "--from", "prompts.txt", "--seed", "7")
    assert found is not None
    assert [request[0] for request in found] == expected_prompts
    varied = get_requests(flux, "gen", "<{value}>", "--vary", "value=@prompts.txt", "--seed", "7")
    assert varied is not None
    assert [trim(request[0][1:-1]) for request in varied] == expected_prompts


any_text = st.text(
    st.sampled_from("aB1é雪🦊 \t\n\r\u00a0\u200b\u200d\u202e\u2028\ufeff\x1b\x00{}|\"'#/-\\,;"), max_size=20
)


@CHECKED
@given(any_text)
@example("\u2028;\n é/1\u200d\u200b\n\ufeff}")
def test_a_prompt_is_the_same_in_every_source(flux: Flux, text: str) -> None:
    """As an argument, in JSON and in TOML. In CSV, it may also be refused."""
    Path("row.jsonl").write_text(json.dumps({"prompt": text, "seed": 7}))
    Path("row.toml").write_text(f"[[row]]\nprompt = {json.dumps(text, ensure_ascii=False)}\nseed = 7\n")
    in_json = get_requests(flux, "batch", "row.jsonl")
    assert get_requests(flux, "batch", "row.toml") == in_json
    if "\0" not in text:
        assert get_requests(flux, "gen", "--seed", "7", "--", text) == in_json or text in ("-", "help")
        with open("row.csv", "w", newline="") as file:
            csv.writer(file).writerows([["seed", "prompt"], ["7", text]])
        assert get_requests(flux, "batch", "row.csv") in (in_json, None)
    if in_json is not None and not {"{", "}"} & set(text):
        assert [request[0] for request in in_json] == [trim(text).replace("\r\n", "\n")]


@CHECKED
@given(st.lists(st.one_of(texts, st.lists(texts, min_size=2, max_size=3)), min_size=1, max_size=4))
def test_a_template_expands_to_each_combination_once(flux: Flux, parts: Sequence[str | list[str]]) -> None:
    def remove_syntax(text: str) -> str:
        return text.replace("|", "/").replace("$", "")

    template = "a" + "".join(
        remove_syntax(part) if isinstance(part, str) else "{" + "|".join(map(remove_syntax, part)) + "}"
        for part in parts
    )
    choices = [[remove_syntax(part)] if isinstance(part, str) else list(map(remove_syntax, part)) for part in parts]
    found = get_requests(flux, "gen", template, "--seed", "7")
    assert found is not None
    assert [request[0] for request in found] == [trim("a" + "".join(chosen)) for chosen in product(*choices)]


# --- settings ---------------------------------------------------------------------------------------------------------

models = st.none() | st.sampled_from(sorted(PRICES))


@CHECKED
@given(
    models, models, models, models, st.none() | st.decimals("0.001", "0.9", places=4), st.sampled_from(["\n", "\r\n"])
)
def test_the_most_specific_setting_decides_the_price(
    flux: Flux,
    home: Path,
    in_file: str | None,
    in_environment: str | None,
    as_option: str | None,
    in_row: str | None,
    price: Decimal | None,
    end: str,
) -> None:
    lines = ["# settings", "[profiles.default]", f'model = "{in_file}"' if in_file else "# none"]
    lines += ["", "[prices]", f"schnell = {price}" if price is not None else ""]
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_bytes(end.join(lines).encode())
    (home / "config.toml").chmod(0o600)
    Path("rows.jsonl").write_text(json.dumps({"prompt": "a fox", **({"model": in_row} if in_row else {})}))
    option = ["-m", as_option] if as_option else []
    with pytest.MonkeyPatch.context() as patch:
        if in_environment:
            patch.setenv("FLUX_MODEL", f" {in_environment} ")
        for line, nearest in ((["gen", "a fox"], None), (["batch", "rows.jsonl"], in_row)):
            model = nearest or as_option or in_environment or in_file or "dev"
            found = get_requests(flux, *line, *option)
            assert found is not None
            assert [request[3] for request in found] == [model]
            cost = Decimal(flux(shlex.join(["cost", *line, *option])).out)
            assert cost == (price if model == "schnell" and price is not None else Decimal(PRICES[model]))
