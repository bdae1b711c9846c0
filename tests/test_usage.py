"""Mistakes of the command line, and what is not one. `tests/messages/mistakes.txt` has the messages."""

import json

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service


def test_an_option_that_is_given_twice_is_an_error(flux: Flux, service: Service) -> None:
    """Of two seeds, one would be ignored without a word, and the other charged."""
    result = flux("gen x --seed 1 --seed 2")
    assert (result.code, result.err) == (
        2,
        "flux: --seed is given more than once. Nothing was sent.\n      Write a list or a range: --seed 1,2\n",
    )
    assert service.requests == []


def test_the_last_one_of_an_option_with_one_value_wins(flux: Flux) -> None:
    result = flux("gen x -m dev --model schnell --dry-run")
    assert json.loads(result.out)["model"] == "Qubico/flux1-schnell"


def test_switches_and_repeatable_options_can_be_given_again(flux: Flux) -> None:
    assert flux("gen x --dry-run --dry-run -v -v").code == 0
    body = flux("gen x --dry-run --set input.one=1 --set input.two=2").out
    assert '"one": 1' in body
    assert '"two": 2' in body


@pytest.mark.parametrize("option", ["-o", "-d", "--report", "--profile", "--set"])
def test_an_empty_value_is_an_error(flux: Flux, service: Service, option: str) -> None:
    """It comes from an unset variable of a script: -d '' would be the current directory."""
    result = flux(f"gen x {option} ''")
    assert (result.code, result.err) == (2, f"flux: {option} is empty. Nothing was sent.\n")
    assert service.requests == []


def test_a_negative_number_is_the_value_of_a_setting(flux: Flux) -> None:
    for line in ("budget.day -3", "budget.day -3 --profile work", "-- budget.day -3"):
        result = flux(f"config set {line}")
        assert (result.code, result.err) == (2, "flux: invalid budget.day '-3': expected a number from 0 to 100000\n")


def test_a_webhook_secret_without_a_webhook_is_an_error(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("secret", "w") as file:
        file.write("s3cret-of-the-webhook")
    message = "flux: --webhook-secret-file has no effect without --webhook. Nothing was sent.\n"
    for line in ("gen x", "gen x --dry-run"):
        assert flux(f"{line} --webhook-secret-file secret").err == message
    assert service.requests == []
    assert flux("gen x --dry-run --webhook-secret-file secret --webhook https://example.com/").code == 0
    monkeypatch.setenv("FLUX_WEBHOOK", "https://example.com/")
    assert flux("gen x --dry-run --webhook-secret-file secret").code == 0
    monkeypatch.delenv("FLUX_WEBHOOK")
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", "s3cret-of-the-webhook")
    assert flux("gen x --dry-run").code == 0


def test_a_mistake_is_an_object_with_json(flux: Flux) -> None:
    Image.new("RGB", (256, 256)).save("a.png")
    for line in ("gen x --seed 1 --seed 2", "redux a.png --strength abc", "gen x -o ''"):
        result = flux(f"{line} --json")
        assert (result.code, '"type": "error"' in result.out) == (2, True)
