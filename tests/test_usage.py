"""Mistakes of the command line: one form for every command and option, with the range from its declaration."""

import json

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("redux a.png --strength abc", "invalid --strength 'abc': expected a number from 0 to 1"),
        ("inpaint a.png x --feather 2.5", "invalid --feather '2.5': expected a whole number from 0 to 200"),
        ("inpaint a.png x --feather 201", "invalid --feather '201': expected a whole number from 0 to 200"),
        ("history --limit 0", "invalid --limit '0': expected a whole number, 1 or more"),
        ("sandbox --port 99999", "invalid --port '99999': expected a whole number from 0 to 65535"),
        ("gen x -b many", "invalid -b 'many': expected a whole number from 1 to 4"),
        ("gen x --width 0", "invalid --width '0': expected a whole number, 1 or more"),
        ("gen x --timeout soon", "invalid --timeout 'soon': expected a number from 0 to 86400"),
        ("gen x -j 0", "invalid --concurrency '0': expected a whole number from 1 to 1000"),
        ("gen x --steps few", "invalid --steps 'few': expected a whole number"),
    ],
)
def test_a_bad_number_is_reported_with_the_expected_range(flux: Flux, line: str, message: str) -> None:
    result = flux(line)
    assert (result.code, result.err.startswith(f"flux: {message}")) == (2, True), result.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("history more", "unexpected argument: more\n      Next: flux history --help"),
        ("config set plan pro now", "unexpected argument: now\n      Next: flux config set --help"),
        ("batch a.csv b.csv c.csv", "unexpected arguments: b.csv c.csv. Nothing was sent.\n"),
        ("edit", "missing argument: IMG. Nothing was sent.\n      Next: flux edit --help"),
        ("config set plan", "missing argument: VALUE\n      Next: flux config set --help"),
        ("config set --nothing", "no such option: --nothing\n      Next: flux config set --help"),
        ("gen x --yes=1", "--yes does not accept a value. Nothing was sent.\n      Next: flux gen --help"),
        ("lora x --lora", "--lora requires a value, for example --lora anime:0.8. Nothing was sent.\n"),
        ("gen x -o", "-o requires a value. Nothing was sent.\n      Write -o FILE\n"),
    ],
)
def test_words_of_the_framework_are_not_shown(flux: Flux, line: str, message: str) -> None:
    result = flux(line)
    assert (result.code, result.err.startswith(f"flux: {message}")) == (2, True), result.err


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
