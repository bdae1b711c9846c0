"""Models: the output of `flux models`, and models that the user adds in the config file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flux_cli.config.catalog import Catalog
from flux_cli.errors import UsageError
from flux_cli.images.png import texts_in

from .conftest import Flux

TURBO = """
[models.turbo]
id = "Qubico/flux2-turbo"
price = 0.01
operations = ["gen", "kontext"]
batch_size = 2
steps = 8
seconds = [1, 2]
commercial = true
quality = 9
"""


@pytest.fixture
def configure(home: Path) -> Callable[[str], None]:
    """Return a function that writes the config file."""

    def write(text: str) -> None:
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(text)
        (home / "config.toml").chmod(0o600)

    return write


def list_models(flux: Flux, options: str = "") -> dict[str, dict[str, Any]]:
    """Return the output of `flux models --json`, by model name."""
    return {row["name"]: row for row in map(json.loads, flux(f"models --json {options}").out.splitlines())}


def test_a_model_in_the_config_file_works_end_to_end(flux: Flux, configure: Callable[[str], None]) -> None:
    configure(TURBO)
    assert list(list_models(flux)) == ["schnell", "dev", "pro", "dev-advanced", "turbo"]
    assert list_models(flux)["turbo"] == {
        "schema": 1, "type": "model", "name": "turbo", "id": "Qubico/flux2-turbo", "price_usd": "0.01",
        "commercial": True, "speed": "variable", "seconds": [1.0, 2.0], "measured_seconds": None, "measured_tasks": 0,
        "operations": ["gen", "kontext"], "max_batch_size": 2, "max_steps": 8,
    }  # fmt: skip
    assert flux("gen x -m turbo -b 2 --steps 8 --sandbox --size 64x64 -o {model}-{n}.png").code == 0
    assert flux("history --sandbox").out.split()[4] == "$0.02*"
    assert "Qubico/flux2-turbo" in repr(texts_in(Path("turbo-1.png").read_bytes()))
    measured = list_models(flux, "--sandbox")["turbo"]
    assert (measured["measured_tasks"], measured["measured_seconds"] > 0) == (1, True)

    assert "turbo           $0.01  commercial      1-2      gen kontext" in flux("models").out
    assert flux("models --for commercial,kontext -q").out == "turbo\n"
    assert flux("config set model turbo").code == 0
    assert flux("cost gen x").out == "0.01\n"
    assert "batch size 4 needs schnell: turbo makes up to 2 images per task" in flux("gen x -b 4 --sandbox").err
    result = flux("lora x --lora anime -m turbo --sandbox").err
    assert "turbo does not support lora. Nothing was sent.\n      Use -m dev-advanced" in result


def test_a_task_can_be_resumed_after_its_model_was_removed(
    flux: Flux, configure: Callable[[str], None], home: Path
) -> None:
    configure(TURBO)
    task = flux("gen x -m turbo --sandbox --size 64x64 --no-wait").out.strip()
    configure("")
    assert flux(f"wait {task} --sandbox -o {{model}}.png").out == "flux2-turbo.png\n"
    assert (
        flux("resume --sandbox").code == flux("history --sandbox").code == flux("cost --sandbox --by model").code == 0
    )


def test_single_fields_of_a_built_in_model_can_be_changed(flux: Flux, configure: Callable[[str], None]) -> None:
    configure('[models.dev]\nseconds = [5, 6.5]\n[prices]\n"Qubico/flux1-dev" = "0.012"\nschnell = 0.0015\n')
    found = list_models(flux)
    assert (found["dev"]["seconds"], found["dev"]["price_usd"], found["dev"]["max_steps"]) == ([5, 6.5], "0.012", 40)
    assert found["schnell"]["price_usd"] == "0.0015"


BAD = {
    '[models.mine]\nid = "a"\nprice = 1\n': "invalid models.mine (FILE, line 1): operations is missing",
    '[models.Mine]\nid = "a"\nprice = 1\noperations = ["gen"]\n': "invalid models.Mine (FILE, line 1): expected a name of lower-case letters, digits, - and _",
    '[models.auto]\nid = "a"\nprice = 1\noperations = ["gen"]\n': "invalid models.auto (FILE, line 1): expected a name of lower-case letters, digits, - and _",
    "[models.dev]\nstep = 3\n": "invalid models.dev.step (FILE, line 2): unknown field",
    '[models.dev]\n\noperations = ["fly"]\n': "invalid models.dev.operations (FILE, line 3): expected some of controlnet, edit, gen, inpaint, kontext, lora, outpaint, redux",
    "[models.dev]\nprice = -1\n": "invalid models.dev.price (FILE, line 2): expected an amount in USD, for example 0.015",
    "[models.dev]\nprice = true\n": "invalid models.dev.price (FILE, line 2): expected an amount in USD, for example 0.015",
    "[models.dev]\nsteps = 0\n": "invalid models.dev.steps (FILE, line 2): expected a whole number above 0",
    "[models.dev]\nseconds = [3, 2]\n": "invalid models.dev.seconds (FILE, line 2): expected [shortest, longest] in seconds",
    "[models.dev]\nseconds = [3]\n": "invalid models.dev.seconds (FILE, line 2): expected [shortest, longest] in seconds",
    '[models.dev]\ncommercial = "no"\n': "invalid models.dev.commercial (FILE, line 2): expected true or false",
    '[models.dev]\nid = "Qubico/FLUX1-pro"\n': "invalid models.dev.id (FILE, line 2): Qubico/FLUX1-pro is the model pro",
    '[prices]\ndev = "much"\n': "invalid prices.dev (FILE, line 2): expected an amount in USD, for example 0.015",
    "[prices]\n\ngold = 1\n": "unknown model 'gold' (FILE, line 3)",
}


@pytest.mark.parametrize("config", BAD)
def test_an_invalid_model_is_reported_with_its_line(
    flux: Flux, home: Path, configure: Callable[[str], None], config: str
) -> None:
    configure(config)
    result = flux("models")
    problem = BAD[config].replace("FILE", f"{home}/config.toml")
    assert (result.code, result.err.splitlines()[0]) == (4, f"flux: {problem}")
    assert flux("history --sandbox").code == 0
    diagnosis = flux("doctor --offline --sandbox")
    assert (diagnosis.code, problem in diagnosis.out) == (4, True)


def test_each_purpose_selects_its_model() -> None:
    catalog = Catalog({})
    expected = {
        (): "dev", ("fast",): "schnell", ("quality",): "pro", ("commercial",): "schnell",
        ("commercial", "quality"): "pro", ("commercial", "fast"): "schnell",
    }  # fmt: skip
    for purposes, name in expected.items():
        assert catalog.choose("gen", **dict.fromkeys(purposes, True)).name == name
    assert catalog.choose("lora", quality=True).name == "dev-advanced"
    with pytest.raises(UsageError, match="no model that is licensed for commercial use supports lora"):
        catalog.choose("lora", commercial=True)


def test_the_catalog_matches_the_specification() -> None:
    catalog = Catalog({})
    prices = {name: str(model.price) for name, model in catalog.models.items()}
    assert prices == {"schnell": "0.002", "dev": "0.015", "pro": "0.05", "dev-advanced": "0.02"}
    assert [name for name, model in catalog.models.items() if model.commercial] == ["schnell", "pro"]
    assert catalog.concurrency("creator", "private") == 8
    assert catalog.concurrency("enterprise", None) == 2  # an unknown plan


def test_the_sandbox_accepts_models_of_the_config_file(flux: Flux, configure: Callable[[str], None]) -> None:
    configure('[models.wide]\nid = "Qubico/wide"\nprice = 0.01\noperations = ["lora"]\nstrength = [0, 2]\n')
    assert flux("lora x --lora anime:1.5 -m wide --sandbox --size 64x64").code == 0
    assert flux("lora x --lora anime:2.5 -m wide --sandbox --size 64x64").code == 2
