"""A new operation needs a module, a command, a catalog row and a sandbox rule. Everything else works with it."""

import asyncio
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
from PIL import Image

from flux_cli import AsyncFlux, UsageError
from flux_cli.cli import main, registry
from flux_cli.cli.generate import generate
from flux_cli.cli.options import RunOptions
from flux_cli.cli.session import Session
from flux_cli.config import catalog
from flux_cli.errors import ExitCode
from flux_cli.frozen import frozen
from flux_cli.images.png import with_texts
from flux_cli.journal.entries import Entry
from flux_cli.json_value import Json, JsonObject, object_at, text_at
from flux_cli.mcp.tool_schemas import SpendingLimits, tool_schemas
from flux_cli.operations.base import BuildContext, Operation, Parameters, Writer
from flux_cli.operations.options import ImageArgument, InputOptions, SharedOptions, TaskOptions
from flux_cli.operations.parameters import Argument, Option
from flux_cli.operations.registry import OPERATIONS, PARAMETERS
from flux_cli.operations.request import TaskRequest
from flux_cli.sandbox.rules import TASK_TYPES, TaskType

from .conftest import Flux
from .servers import Service


@frozen
class Guide:
    """A detail of the image."""

    image: str
    weight: float


@frozen(kw_only=True)
class Upscale(Operation):
    """Enlarge an image."""

    name = "upscale"
    task_type = "upscale"
    image: str
    factor: int
    guides: tuple[Guide, ...] = ()

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image, *(guide.image for guide in self.guides))

    def write(self, writer: Writer) -> JsonObject:
        guides: list[Json] = [{"url": writer.image(guide.image), "weight": guide.weight} for guide in self.guides]
        return {
            "image": writer.image(self.image),
            **writer.pair({"enlargement": self.factor}, {"factor": self.factor}),
            "guides": guides,
        }


@frozen
class UpscaleParameters(Parameters):
    """Parameters of `flux upscale`."""

    title = "Upscaling"
    name = "upscale"
    purpose = "enlarges an image"
    operations = (Upscale,)
    groups = (TaskOptions, InputOptions)
    default_prompt = "the same, larger"

    image: ImageArgument
    prompt: Annotated[str | None, Argument("[PROMPT]", help="What it shows.")] = None
    factor: Annotated[int, Option("--factor", metavar="N", min=2, max=8, help="How many times larger.")] = 2
    guides: Annotated[list[str] | None, Option("--guide", metavar="IMG", help="A detail to follow; repeatable.")] = None

    def build(self, shared: SharedOptions, context: BuildContext) -> Upscale:
        guides = tuple(Guide(context.find(text).reference, 0.5) for text in self.guides or [])
        image = context.find(self.image).reference
        return Upscale(image=image, factor=self.factor, guides=guides)


def upscale(session: Session, own: UpscaleParameters, shared: SharedOptions, run: RunOptions) -> ExitCode:
    """Enlarge an image."""
    return generate(session, own, shared, run)


@pytest.fixture(autouse=True)
def _register_upscale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Add the operation to the registry, the command line, the catalog and the sandbox, and create two images."""
    monkeypatch.setitem(PARAMETERS, "upscale", UpscaleParameters)
    monkeypatch.setitem(OPERATIONS, "upscale", *UpscaleParameters.operations)
    module = ModuleType("flux_cli.cli.commands.upscale")
    module.upscale = upscale  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    commands = [*registry.COMMANDS, "upscale"]
    for listing in (main, registry):
        monkeypatch.setattr(listing, "COMMANDS", commands)
    facts = Path(catalog.__file__).with_name("catalog.toml").read_text()
    (tmp_path / "catalog.toml").write_text(facts.replace('"outpaint"]', '"outpaint", "upscale"]'))
    monkeypatch.setattr(catalog, "__file__", str(tmp_path / "catalog.py"))
    monkeypatch.setitem(TASK_TYPES, "upscale", TaskType("upscale", image=True))
    Image.new("RGB", (256, 256), "red").save("photo.png")
    Image.new("RGB", (300, 256), "blue").save("eye.png")


def get_input(service: Service, number: int = -1) -> JsonObject:
    """Return the input of a paid request."""
    assert text_at(service.charges[number].body, "task_type") == "upscale"
    return object_at(service.charges[number].body, "input")


def test_a_new_operation_works_in_rows_journal_metadata_and_rerun(
    flux: Flux, service: Service, entries: Callable[[], list[Entry]]
) -> None:
    row = {"op": "upscale", "image": "photo.png", "factor": 4, "guide": ["eye.png"], "seed": 1, "output": "large.png"}
    Path("rows.jsonl").write_text(json.dumps(row))
    result = flux("batch rows.jsonl -q")
    assert (result.code, result.out) == (0, "large.png\n"), result.err

    body = get_input(service)
    [guide] = body["guides"] if isinstance(body["guides"], list) else []
    assert body | {"image": "", "guides": []} == {
        "prompt": "the same, larger",
        "image": "",
        "enlargement": 4,
        "factor": 4,
        "guides": [],
        "seed": 1,
    }
    assert str(body["image"]).startswith(service.origin)
    assert isinstance(guide, dict)
    assert str(guide["url"]).startswith(service.origin)
    [entry] = entries()
    assert entry.request is not None
    assert TaskRequest.from_json(json.loads(json.dumps(entry.request.to_json()))) == entry.request
    shown = json.loads(flux("show large.png --json").out)["request"]
    assert (shown["op"], shown["factor"], shown["guides"][0]["weight"]) == ("upscale", 4, 0.5)

    assert flux("rerun large.png --seed 2 -o again.png").code == 0
    assert get_input(service) == body | {"seed": 2}
    assert flux("batch rows.jsonl -q").code == 0
    assert len(service.charges) == 2


def test_a_rerun_checks_every_image_of_the_operation(flux: Flux, service: Service) -> None:
    guides = [{"image": "http://user@example.com/eye.png", "weight": 0.5}]
    request = {"op": "upscale", "model": "Qubico/flux1-dev-advanced", "seed": 1, "prompt": "x", "factor": 2}
    metadata = {"request": request | {"image": "https://example.com/a.png", "guides": guides}}
    Path("crafted.png").write_bytes(with_texts(Path("photo.png").read_bytes(), {"flux": json.dumps(metadata)}))
    assert "must not contain a user name" in flux("rerun crafted.png").err
    assert service.charges == []


def test_unsupported_options_in_a_row_are_reported(flux: Flux) -> None:
    Path("rows.jsonl").write_text('{"op": "upscale", "factor": "large", "size": "64x64", "fcator": 2}')
    errors = flux("batch rows.jsonl").err
    assert "an image is missing" in errors
    assert "invalid factor 'large': expected a whole number" in errors
    assert "unknown field 'size' for op upscale" in errors
    assert "unknown field 'fcator' for op upscale (Did you mean factor?)" in errors


def test_a_new_operation_has_a_command_and_help(flux: Flux, service: Service) -> None:
    assert flux("upscale photo.png --factor 3 --guide eye.png --seed 1..2 -q").code == 0
    assert [get_input(service, number)["factor"] for number in (0, 1)] == [3, 3]
    assert flux("upscale photo.png --factor 9").code == 2
    assert "schnell does not support upscale" in flux("upscale photo.png -m schnell").err
    help_text = flux("upscale --help").out
    assert "How many times larger." in help_text
    assert "--mask" not in help_text


def test_agents_see_a_new_operation() -> None:
    generate_tool, *_ = tool_schemas(SpendingLimits(Decimal(1), Decimal(1)), sandbox=False)
    assert "redux makes a variation; upscale enlarges an image. " in generate_tool.description
    assert "Only for upscale." in text_at(generate_tool.properties, "factor", "description")


def test_a_new_operation_works_in_python(service: Service) -> None:
    class Upscaler(AsyncFlux):
        async def upscale(self, image: str, **options: object) -> Path:
            return (await self._make("upscale", options, image=image)).path

    async def make() -> None:
        async with Upscaler() as client:
            assert (
                await client.upscale("photo.png", factor=5, guide=["eye.png", "photo.png"], output="a.png")
            ).exists()
            with pytest.raises(UsageError, match="Did you mean factor"):
                await client.upscale("photo.png", fcator=5)
            with pytest.raises(UsageError, match="guide '-' is for the command line"):
                await client.upscale("photo.png", guide="-")

    asyncio.run(make())
    assert get_input(service)["factor"] == 5
    guides = get_input(service)["guides"]
    assert isinstance(guides, list)
    assert len(guides) == 2
