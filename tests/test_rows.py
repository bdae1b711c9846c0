"""Rows of a batch file: each one is a command line, and all are checked before anything is sent."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from flux_cli.json_value import object_at
from flux_cli.operations.parameters import parameters
from flux_cli.operations.registry import PARAMETERS

from .conftest import Flux
from .servers import Service
from .test_batches import measure_peak_memory
from .test_promises import POST, make_refusal

ROWS = """
{"prompt": "a fox", "model": "schnell", "size": "64x64", "id": "fox", "output": "{id}-{seed}.png", "seed": 7}
{"op": "edit", "image": "cup.png", "prompt": "on marble", "denoise": 0.6, "output": "cups/marble.png"}
{"op": "lora", "prompt": "a knight", "lora": ["anime:0.8", "realism"], "seed": [1, 2]}
{"op": "outpaint", "image": "cup.png", "left": 100, "steps": 8}
{"op": "inpaint", "image": "cup.png", "mask-box": "0,0,99,99", "prompt": "a hole", "set": ["input.extra=1"]}
"""


@pytest.fixture(autouse=True)
def create_cup() -> None:
    Image.new("RGB", (300, 300), "red").save("cup.png")


def get_inputs(service: Service) -> list[dict[str, Any]]:
    """Return the inputs of the paid requests, in the order of their prompts."""
    return sorted((object_at(charge.body, "input") for charge in service.charges), key=lambda body: str(body["prompt"]))


def test_each_row_is_a_command_line(flux: Flux, service: Service) -> None:
    Path("rows.jsonl").write_text(ROWS)
    line = "batch rows.jsonl --size 128x128 -m dev --guidance 3 -d out -q"
    result = flux(line)

    assert result.code == 0, result.err
    names = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.png"))
    assert (len(names), names[-2:]) == (6, ["cups/marble.png", "fox-7.png"])
    bodies = {body["prompt"]: body for body in get_inputs(service)}
    assert (bodies["a fox"]["width"], bodies["a fox"]["seed"]) == (64, 7)
    assert (bodies["a knight"]["width"], bodies["a knight"]["guidance_scale"]) == (128, 3)
    assert "width" not in bodies["on marble"]
    assert bodies["on marble"]["denoise"] == 0.6
    assert bodies["a hole"]["extra"] == 1
    models = {charge.body["model"] for charge in service.charges}
    assert models == {"Qubico/flux1-schnell", "Qubico/flux1-dev", "Qubico/flux1-dev-advanced"}

    repeated = flux(line)
    assert (repeated.code, len(service.charges)) == (0, 6)
    assert sorted(repeated.out.split()) == sorted(result.out.split())


def test_texts_and_typed_values_are_equivalent(flux: Flux, service: Service) -> None:
    """The same row as JSON, CSV and TOML is recognized, and is charged once."""
    fields = {"prompt": "a fox", "model": "schnell", "size": "64x64", "steps": 4, "commercial": True, "seed": 7}
    Path("r.jsonl").write_text(json.dumps(fields))
    Path("r.csv").write_text(",".join(fields) + "\n" + ",".join(map(str, fields.values())) + "\n")
    Path("r.toml").write_text(
        "[[row]]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items())
    )
    for name in ("r.jsonl", "r.csv", "r.toml"):
        assert flux(f"batch {name} -q").code == 0
    assert len(service.charges) == 1


def test_rows_are_read_from_stdin_and_results_are_printed_as_json(flux: Flux, service: Service) -> None:
    rows = '{"prompt": "one", "id": "first"}\n{"prompt": "two"}\n'
    result = flux("batch - --size 64x64 -m schnell --json", stdin=rows.encode())
    results = [json.loads(line) for line in result.out.splitlines()]
    assert {(row["index"], row["id"], row["prompt"]) for row in results[:2]} == {(1, "first", "one"), (2, None, "two")}
    assert results[2]["saved"] == 2


def test_an_unknown_column_is_reported_once(flux: Flux) -> None:
    Path("r.csv").write_text("prompt,modle,mask-box\na fox,dev,\na cat,dev,\na hen,dev,\n")
    assert flux("batch r.csv").err.splitlines() == [
        "flux: r.csv, line 1: unknown column 'modle'. Nothing was sent.",
        "      Did you mean model?",
    ]
    Path("r.csv").write_text("Prompt,Batch_Size,mask-box\na fox,1,\na cat,1,10%\n")
    assert flux("batch r.csv").err.splitlines()[0] == (
        "flux: r.csv, line 3: unknown field 'mask-box' for op gen. Nothing was sent."
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "x", "modle": "dev"},
            "unknown field 'modle' for op gen. Nothing was sent.\n      Did you mean model?",
        ),
        ({"prompt": "x", "model": "dve"}, "unknown model 'dve'. Nothing was sent.\n      Did you mean dev?"),
        ({"prompt": "x", "size": "64x64", "preset": "square"}, "--size and --preset cannot be used together"),
        ({"prompt": "x", "id": "fi\u200brst", "model": "de\u00a0v"}, "unknown model 'de\\xa0v'"),
        ({"prompt": "x", "aspect": "16\u200b:9"}, "invalid --aspect '16\\u200b:9': expected a ratio"),
        ({"prompt": "x", "width": "5\u202012"}, "invalid width '5\u202012': expected a whole number, 1 or more"),
        ({"prompt": "x", "\u200bsteps": 3}, "unknown field '\\u200bsteps' for op gen"),
        (
            {"op": "lora", "prompt": "x", "lora": "anmie"},
            "unknown LoRA 'anmie'. Nothing was sent.\n      Did you mean anime?",
        ),
        ({"prompt": "x", "overwrite": True}, "overwrite is an option of the command, not of a row"),
        ({"prompt": "x", "webhook-secret-file": "f"}, "webhook-secret-file is an option of the command, not of a row"),
        ({"prompt": "x", "input": "rows.jsonl"}, "input is an option of the command, not of a row"),
        ({"prompt": "x", "image": "cup.png"}, "unknown field 'image' for op gen"),
        ({"op": "edit", "prompt": "x"}, "an image is missing"),
        ({"op": "edit", "prompt": "x", "image": "nosuch.png"}, "image not found: nosuch.png"),
        ({"op": "paint", "prompt": "x"}, "unknown op 'paint'. Nothing was sent.\n      Did you mean inpaint?"),
        ({"op": 7.5, "prompt": "x"}, "op is not a word"),
        ({"model": "dev"}, "a prompt is missing"),
        ({"prompt": ["x", "y"]}, "prompt accepts one value, not a list"),
        ({"prompt": True}, "prompt requires a value, not true"),
        ({"prompt": "x", "commercial": "perhaps"}, "invalid commercial 'perhaps': expected true or false"),
        ({"prompt": "x", "batch-size": 1.5}, "invalid batch-size '1.5': expected a whole number"),
        ({"prompt": "x", "batch_size": "two"}, "invalid batch-size 'two': expected a whole number"),
        ({"prompt": "x", "guidance": 9}, "guidance 9 is out of range for dev (1.5 to 5)"),
        ({"prompt": "x", "service-mode": "both"}, "invalid --service-mode 'both': expected public or private"),
        ({"prompt": "x", "webhook": "ftp://x"}, "invalid --webhook: expected an http(s) URL"),
        ({"prompt": "x", "output": "../x.png"}, "output '../x.png' is not a name inside the output directory"),
        ({"prompt": "x", "output": "first.png"}, "first.png is already the name of the image of line 1"),
        ({"prompt": "x", "id": "first"}, "the ID 'first' is already used on line 1"),
        ({"prompt": "\x1b[2J" * 400}, "the prompt has 1600 characters"),
    ],
)
def test_an_invalid_row_is_reported_with_its_line(
    flux: Flux, service: Service, row: dict[str, Any], message: str
) -> None:
    good = {"prompt": "good", "output": "first.png", "id": "first"}
    Path("rows.jsonl").write_text(f"{json.dumps(good)}\n\n{json.dumps(row)}\n")
    result = flux("batch rows.jsonl")

    assert (result.code, result.out) == (2, "")
    assert "rows.jsonl, line 3: " in result.err
    assert message in result.err, result.err
    assert "\x1b" not in result.err
    assert service.requests == []


def test_every_option_of_a_row_has_a_unique_long_name() -> None:
    for command in PARAMETERS.values():
        names = [name for group in (command, *command.groups) for name in parameters(group)]
        assert len(names) == len(set(names))
        assert all(name == name.lower() and not name.startswith("-") for name in names)


def test_an_image_that_is_deleted_during_the_run_is_sent_anyway(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image is read once, before anything is charged."""
    Path("rows.jsonl").write_text('{"prompt": "one"}\n{"op": "edit", "image": "cup.png", "prompt": "two"}\n')
    monkeypatch.setattr(
        "flux_cli.batch.outputs.check_writable", lambda directories: Path("cup.png").unlink(missing_ok=True)
    )
    result = flux("batch rows.jsonl -m schnell")

    assert result.code == 0
    assert [body["prompt"] for body in get_inputs(service)] == ["one", "two"]


def test_shards_of_a_file_cover_all_rows(flux: Flux, service: Service) -> None:
    Path("rows.jsonl").write_text("".join(f'{{"prompt": "boat {number}"}}\n' for number in range(7)))
    line = "batch rows.jsonl -m schnell --size 64x64"
    assert flux(f"cost {line} --shard 3/3").out == "0.004\n"
    names = [name for shard in (1, 2, 3) for name in flux(f"{line} --shard {shard}/3 -q").out.split()]

    assert sorted(name[0] for name in names) == list("1234567")
    assert len(service.charges) == 7
    assert flux(f"{line} -q").code == 0
    assert len(service.charges) == 7
    assert flux(f"{line} --shard 9/9").err == "this shard has none of the 7 tasks\n"
    assert "invalid --shard '4/3': expected K/N with K from 1 to N, for example 1/4" in flux(f"{line} --shard 4/3").err


def test_only_missing_images_count_against_the_cost_limit(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_text("one\ntwo\nthree\n")
    line = "gen --from prompts.txt -m schnell --size 64x64 -q --max-cost"
    assert flux(f"{line} 0.005").code == 2
    assert flux(f"{line} 0.006").code == 0
    Path("prompts.txt").write_text("one\ntwo\nthree\nfour\n")
    assert flux(f"{line} 0.002").code == 0
    assert len(service.charges) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows the peak")
def test_memory_does_not_grow_with_the_number_of_images() -> None:
    """Each row has its own image of several megabytes."""
    peaks = []
    for count in (2, 12):
        with open("rows.jsonl", "w") as rows:
            for number in range(count):
                name = f"{number}.png"
                Image.effect_noise((1000, 1000), 80 + number).convert("RGB").save(name, compress_level=0)
                rows.write(json.dumps({"op": "edit", "image": name, "prompt": "x"}) + "\n")
        peaks.append(measure_peak_memory(["batch", "rows.jsonl", "--dry-run", "-q"]))
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize("extension", ["json", "csv", "xml"])
def test_a_report_contains_the_result_of_each_row(flux: Flux, service: Service, extension: str) -> None:
    rows = ["one", "two", "three", "four"]
    Path("rows.jsonl").write_text("".join(json.dumps({"prompt": word, "id": f"id-{word}"}) + "\n" for word in rows))
    line = f"batch rows.jsonl -m schnell --size 64x64 -j 1 --report report.{extension}"
    service.reply_with(*POST, make_refusal(400, 1800, "LoRA/ControlNet load failed"), make_refusal(402, 1300))
    assert flux(line).code == 6
    text = Path(f"report.{extension}").read_text()

    if extension == "json":
        report = json.loads(text)
        costs = {"cost_usd": "0", "possibly_charged_usd": "0"}
        assert report["summary"] | {"seconds": 0} == {"refused": 2, "not_started": 2, "seconds": 0} | costs
        results = [(row["index"], row["id"], row["source"], row.get("state"), row["reason"]) for row in report["rows"]]
        assert results == [
            (1, "id-one", "rows.jsonl, line 1", "rejected", None),
            (2, "id-two", "rows.jsonl, line 2", "rejected", None),
            (3, "id-three", "rows.jsonl, line 3", None, "not started"),
            (4, "id-four", "rows.jsonl, line 4", None, "not started"),
        ]
    elif extension == "csv":
        assert [row.split(",")[1] for row in text.splitlines()] == ["id", *(f"id-{word}" for word in rows)]
    else:
        suite = ElementTree.fromstring(text)[0]
        assert [suite.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["4", "2", "2", "0"]

    assert flux(line).code == 3
    assert flux(f"{line} --retry-failed").code == 0
    assert len(service.charges) == 4
    assert flux(line.replace("--report ", "--report nosuch/")).code == 11


def test_a_single_image_can_have_a_report(flux: Flux, service: Service) -> None:
    assert flux("gen fox -m schnell --size 64x64 -o fox.png --report r.json").code == 0
    [row] = json.loads(Path("r.json").read_text())["rows"]
    assert (row["index"], row["prompt"], row["files"]) == (1, "fox", [str(Path("fox.png").absolute())])
    assert flux("gen fox --report r.txt").err.startswith(
        "flux: invalid --report 'r.txt': expected a name that ends in .json, .csv or .xml"
    )
