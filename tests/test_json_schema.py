"""`flux help json-schema` against what every command prints."""

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

START = Callable[..., subprocess.Popen[str]]
SMALL = "-m schnell --size 64x64"


def closed(content: Any) -> Any:
    """The schema without room for fields that it does not have."""
    if isinstance(content, list):
        return [closed(item) for item in content]
    if not isinstance(content, dict):
        return content
    inner = {name: closed(value) for name, value in content.items()}
    return {**inner, "additionalProperties": False} if "required" in inner else inner


CHECK = Draft202012Validator(closed(schema()), format_checker=FormatChecker())


class ReceivedRequest(set[str]):
    """The types of records that were printed, each checked."""

    def check(self, out: str) -> list[JsonObject]:
        """Check the lines of an output, and return them."""
        records: list[JsonObject] = [json.loads(line) for line in out.splitlines()]
        for record in records:
            kind = str(record["type"])
            assert kind in KINDS
            only = {**closed(schema()), "oneOf": [{"$ref": f"#/$defs/{kind}"}]}  # names the field that is wrong
            Draft202012Validator(only, format_checker=FormatChecker()).validate(record)
            assert CHECK.is_valid(record)
            self.add(kind)
        return records


def test_it_is_a_schema(flux: Flux) -> None:
    printed = json.loads(flux("help json-schema").out)
    assert printed == schema()
    Draft202012Validator.check_schema(printed)
    assert printed["$id"] == f"urn:flux:json:{SCHEMA}"
    assert not CHECK.is_valid({"schema": SCHEMA, "type": "price", "images": 1, "cost_usd": 0.5})
    assert not CHECK.is_valid({"schema": SCHEMA + 1, "type": "price", "images": 1, "cost_usd": "0.5"})
    assert not CHECK.is_valid({"schema": SCHEMA, "type": "unheard of"})


def test_every_record_in_the_code_has_a_schema() -> None:
    written = set()
    for path in Path(flux_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ("Record", "record"):
                    written.add(node.args[0].value)
    assert written - {"line"} == set(KINDS) - {"report"}  # lines are text only; a report is a file


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
"""Command lines; @ID is that of a task that is running, @UNKNOWN that of an entry of unknown outcome."""


def test_what_every_command_prints(
    flux: Flux, service: Service, proxy: BreakingProxy, start: START, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BUDGET_DAY", "5")
    Image.new("RGB", (256, 256), "navy").save("photo.png")
    foreign = Image.new("RGB", (8, 8))
    foreign.save("foreign.jpg")
    _save_with_text(foreign)
    Path("rows.jsonl").write_text('{"prompt": "a", "id": "one"}\n{"prompt": "b", "seed": 3}\n')
    seen = ReceivedRequest()
    task = unknown = ""
    for line in LINES:
        ready = line.replace("@ID", task).replace("@UNKNOWN", unknown)
        result = flux(f"{ready} --json")
        records = seen.check(result.out)
        assert records or line == "resume", f"{line}: {result.err}"
        if "--no-wait" in line:
            task = str(records[0]["task_id"])
            proxy.breakers.append(Breaker(b"POST /api/v1/task"))
            unknown = str(seen.check(flux(f"gen hen {SMALL} --json").out)[0]["entry"])
        if "--report" in line:
            seen.check(json.dumps(json.loads(Path("report.json").read_text())))
    seen |= _servers(seen, start)
    assert set(KINDS) - seen == set()


def _save_with_text(image: Image.Image) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "by another program")
    image.save("foreign.png", pnginfo=info)


def _servers(seen: ReceivedRequest, start: START) -> ReceivedRequest:
    for command in ("sandbox", "listen"):
        process = start(f"{command} --port 0 --json")
        assert process.stdout
        seen.check(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=30)
    return seen
