"""`flux help json-schema` matches the output of every command."""

import ast
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from PIL import Image

import flux_cli
from flux_cli.cli.docs.json_schema import KINDS, schema
from flux_cli.cli.output.output import SCHEMA
from flux_cli.json_value import JsonObject

from .conftest import Flux
from .servers import Breaker, BreakingProxy, Service

Start = Callable[..., subprocess.Popen[str]]
SMALL = "-m schnell --size 64x64"


def close_schema(content: Any) -> Any:
    """Return the schema without additional properties."""
    if isinstance(content, list):
        return [close_schema(item) for item in content]
    if not isinstance(content, dict):
        return content
    inner = {name: close_schema(value) for name, value in content.items()}
    return {**inner, "additionalProperties": False} if "required" in inner else inner


VALIDATOR = Draft202012Validator(close_schema(schema()), format_checker=FormatChecker())


class PrintedTypes(set[str]):
    """The types of the printed records, all of them validated."""

    def check(self, out: str) -> list[JsonObject]:
        """Check the lines of an output, and return them."""
        records: list[JsonObject] = [json.loads(line) for line in out.splitlines()]
        for record in records:
            kind = str(record["type"])
            assert kind in KINDS
            only = {**close_schema(schema()), "oneOf": [{"$ref": f"#/$defs/{kind}"}]}  # reports the invalid field
            Draft202012Validator(only, format_checker=FormatChecker()).validate(record)
            assert VALIDATOR.is_valid(record)
            self.add(kind)
        return records


def test_the_printed_schema_is_valid(flux: Flux) -> None:
    content = json.loads(flux("help json-schema").out)
    assert content == schema()
    Draft202012Validator.check_schema(content)
    assert content["$id"] == f"urn:flux:json:{SCHEMA}"
    assert not VALIDATOR.is_valid({"schema": SCHEMA, "type": "price", "images": 1, "cost_usd": 0.5})
    assert not VALIDATOR.is_valid({"schema": SCHEMA + 1, "type": "price", "images": 1, "cost_usd": "0.5"})
    assert not VALIDATOR.is_valid({"schema": SCHEMA, "type": "unknown"})


def test_every_record_in_the_code_has_a_schema() -> None:
    written = set()
    for path in Path(flux_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ("Record", "print_json"):
                    written.add(node.args[0].value)
    assert written - {"line"} == set(KINDS) - {"report"}  # lines are only text; a report is a file


LINES = (
    f"gen fox {SMALL} -o fox.png",
    f"gen fox {SMALL} -o fox.png",
    f"gen owl {SMALL} -o fox.png --skip-existing",
    f"gen owl {SMALL} --seed 1..3",
    f"gen owl {SMALL} --seed 4 --no-wait",
    f"gen owl {SMALL} --dry-run",
    f"batch rows.jsonl {SMALL} --report report.json",
    f"batch rows.jsonl {SMALL} --report report.json",
    "edit photo.png watercolor -m dev",
    "inpaint photo.png hat --mask-box 10,10,100,100 --show-mask mask.png",
    "inpaint photo.png hat --mask-box 10,10,100,100 -o hat.png",
    "outpaint photo.png --left 64",
    "redux photo.png",
    "lora fox --lora anime --size 64x64 -m dev-advanced",
    "controlnet fox --control depth=photo.png",
    "rerun fox.png --seed 9",
    "status @ID nowhere",
    "wait @ID -o late.png --timeout 30",
    "wait 00000000-0000-0000-0000-000000000000",
    "resume",
    "history",
    "history --state nonsense",
    "resolve @UNKNOWN",
    "show fox.png",
    "show foreign.png",
    "gallery --overwrite",
    "models",
    "models --loras",
    "models --controls",
    "models --presets",
    f"cost gen fox {SMALL}",
    "cost --by model",
    "balance",
    "config list",
    "config get plan",
    "config path",
    "doctor",
    "completion bash",
    "help gen",
    "help",
    "help templates",
    "help json-schema",
    "gen --help",
    "--help",
    "gen --stepz 3 fox",
    "no-such-command",
)
"""Command lines. @ID: the ID of a running task. @UNKNOWN: the ID of an entry of unknown outcome."""


def test_the_output_of_every_command_matches_the_schema(
    flux: Flux, service: Service, proxy: BreakingProxy, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "5")
    Image.new("RGB", (256, 256), "navy").save("photo.png")
    foreign = Image.new("RGB", (8, 8))
    foreign.save("foreign.jpg")
    save_foreign_png(foreign)
    Path("rows.jsonl").write_text('{"prompt": "a", "id": "one"}\n{"prompt": "b", "seed": 3}\n')
    printed = PrintedTypes()
    task = unknown = ""
    for line in LINES:
        command = line.replace("@ID", task).replace("@UNKNOWN", unknown)
        result = flux(f"{command} --json")
        records = printed.check(result.out)
        assert records or line == "resume", f"{line}: {result.err}"
        if "--no-wait" in line:
            task = str(records[0]["task_id"])
            proxy.breakers.append(Breaker(b"POST /api/v1/task"))
            unknown = str(printed.check(flux(f"gen hen {SMALL} --json").out)[0]["entry"])
        if "--report" in line:
            printed.check(json.dumps(json.loads(Path("report.json").read_text())))
    printed |= _check_servers(printed, start)
    assert set(KINDS) - printed == set()


def save_foreign_png(image: Image.Image) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "by another program")
    image.save("foreign.png", pnginfo=info)


def _check_servers(printed: PrintedTypes, start: Start) -> PrintedTypes:
    for command in ("sandbox", "listen"):
        process = start(f"{command} --port 0 --json")
        assert process.stdout
        printed.check(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=30)
    return printed
