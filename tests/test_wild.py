"""Rows, prompt files and settings as they occur in the wild: what would be paid for is what was written."""

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

words = st.text(st.sampled_from("aZ9é雪ع🦊,;|'\"#/-\\=:.~`$%&?*()[]<>\u00a0\u2028\t "), max_size=12)
prompts = st.builds("{}a{}".format, words, words).filter(lambda text: not sent(text).startswith(("\\#", "\\//")))
seeds = st.integers(0, 2**32 - 1)
sides = st.sampled_from([64, 512, 768, 1024])


def would_pay(flux: Flux, command: str, *arguments: str) -> list[tuple[Any, ...]] | None:
    """Return the prompt, seed, size, model and guidance of each request of a command line; None if it is refused."""
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


def sent(prompt: str) -> str:
    return prompt.strip(" \t\n\r\u00a0\u2028\u200b\ufeff")


# --- rows -------------------------------------------------------------------------------------------------------------


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    one = st.fixed_dictionaries(
        {"prompt": prompts, "seed": seeds, "width": sides, "height": sides, "model": st.sampled_from(sorted(PRICES))},
        optional={"guidance": st.sampled_from([1.5, 2, 3.25, 5])},
    )
    return draw(st.lists(one, min_size=1, max_size=5))


def expected(row: dict[str, Any]) -> tuple[Any, ...]:
    return (sent(row["prompt"]), row["seed"], (row["width"], row["height"]), row["model"], row.get("guidance"))


@CHECKED
@given(rows(), st.data())
def test_rows_of_json_and_toml(flux: Flux, written: list[dict[str, Any]], data: st.DataObject) -> None:
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
        assert would_pay(flux, "batch", name) == [expected(row) for row in written]


@CHECKED
@given(rows(), st.data())
def test_rows_of_a_spreadsheet(flux: Flux, written: list[dict[str, Any]], data: st.DataObject) -> None:
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
        escape = "\\" if names[0] == "prompt" and sent(row["prompt"]).startswith("#") else ""
        prompt = escape + sent(row["prompt"]) if escape else row["prompt"]
        cells = {**row, "prompt": prompt, "seed": f"{row['seed']}{data.draw(st.sampled_from(['', '.0']))}"}
        writer.writerow([*(cells.get(name, "") for name in names), *unnamed])
        if data.draw(st.booleans()):
            file.write(data.draw(st.sampled_from([end, delimiter * (len(header) + len(unnamed) - 1) + end])))
    begin = data.draw(st.sampled_from(["", "\ufeff", end, f"sep={delimiter}{end}"]))
    Path("rows.csv").write_bytes((begin + file.getvalue()).encode())
    found = would_pay(flux, "batch", "rows.csv")
    if any(row["prompt"].lstrip().startswith('"') and row["prompt"][0].isspace() for row in written):
        assert found is None  # where such a cell ends is not certain
    else:
        assert found == [expected(row) for row in written]


# --- prompts ----------------------------------------------------------------------------------------------------------


@CHECKED
@given(st.lists(prompts, min_size=1, max_size=6), st.data())
def test_prompt_files_and_values_of_a_variable(flux: Flux, written: list[str], data: st.DataObject) -> None:
    lines: list[str] = []
    for prompt in written:
        lines += data.draw(st.lists(st.sampled_from(["", " \t", "# a note", "  // a note"]), max_size=2))
        mark, escape = data.draw(st.sampled_from(["", "\ufeff"])), sent(prompt).startswith(("#", "//"))
        lines.append(mark + ("\\" if escape else "") + (sent(prompt) if escape else prompt))
    end, last = data.draw(st.sampled_from(["\n", "\r\n", "\r"])), data.draw(st.booleans())
    Path("prompts.txt").write_bytes((end.join(["the first", *lines]) + (end if last else "")).encode())
    taken = ["the first", *map(sent, written)]
    if any(prompt.startswith("--a") for prompt in taken):
        assert would_pay(flux, "gen", "--from", "prompts.txt") is None
        return
    found = would_pay(flux, "gen", "--from", "prompts.txt", "--seed", "7")
    assert found is not None
    assert [request[0] for request in found] == taken
    varied = would_pay(flux, "gen", "<{value}>", "--vary", "value=@prompts.txt", "--seed", "7")
    assert varied is not None
    assert [sent(request[0][1:-1]) for request in varied] == taken


anything = st.text(
    st.sampled_from("aB1é雪🦊 \t\n\r\u00a0\u200b\u200d\u202e\u2028\ufeff\x1b\x00{}|\"'#/-\\,;"), max_size=20
)


@CHECKED
@given(anything)
@example("\u2028;\n é/1\u200d\u200b\n\ufeff}")
def test_a_prompt_means_the_same_wherever_it_is_written(flux: Flux, text: str) -> None:
    """As an argument, in JSON and in TOML; in CSV too, or it is refused."""
    Path("row.jsonl").write_text(json.dumps({"prompt": text, "seed": 7}))
    Path("row.toml").write_text(f"[[row]]\nprompt = {json.dumps(text, ensure_ascii=False)}\nseed = 7\n")
    in_json = would_pay(flux, "batch", "row.jsonl")
    assert would_pay(flux, "batch", "row.toml") == in_json
    if "\0" not in text:
        assert would_pay(flux, "gen", "--seed", "7", "--", text) == in_json or text in ("-", "help")
        with open("row.csv", "w", newline="") as file:
            csv.writer(file).writerows([["seed", "prompt"], ["7", text]])
        assert would_pay(flux, "batch", "row.csv") in (in_json, None)
    if in_json is not None and not {"{", "}"} & set(text):
        assert [request[0] for request in in_json] == [sent(text).replace("\r\n", "\n")]


@CHECKED
@given(st.lists(st.one_of(words, st.lists(words, min_size=2, max_size=3)), min_size=1, max_size=4))
def test_a_template_makes_each_combination_once(flux: Flux, parts: Sequence[str | list[str]]) -> None:
    def plain(text: str) -> str:
        return text.replace("|", "/").replace("$", "")

    template = "a" + "".join(
        plain(part) if isinstance(part, str) else "{" + "|".join(map(plain, part)) + "}" for part in parts
    )
    choices = [[plain(part)] if isinstance(part, str) else list(map(plain, part)) for part in parts]
    found = would_pay(flux, "gen", template, "--seed", "7")
    assert found is not None
    assert [request[0] for request in found] == [sent("a" + "".join(chosen)) for chosen in product(*choices)]


# --- settings ---------------------------------------------------------------------------------------------------------

models = st.none() | st.sampled_from(sorted(PRICES))


@CHECKED
@given(
    models, models, models, models, st.none() | st.decimals("0.001", "0.9", places=4), st.sampled_from(["\n", "\r\n"])
)
def test_the_nearest_setting_decides_what_is_paid(
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
            found = would_pay(flux, *line, *option)
            assert found is not None
            assert [request[3] for request in found] == [model]
            cost = Decimal(flux(shlex.join(["cost", *line, *option])).out)
            assert cost == (price if model == "schnell" and price is not None else Decimal(PRICES[model]))
