"""Generate images from prompts over a real connection, and verify them."""

import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.journal.entries import Entry, State

from .conftest import KEY, Flux
from .servers import Service, run_sandbox

Entries = Callable[[], list[Entry]]


def test_gen_saves_an_image_for_a_prompt(flux: Flux, service: Service, entries: Entries) -> None:
    result = flux('gen "a red fox in the snow" --seed 7 --size 320x256')

    path = Path("a-red-fox-in-the-snow-7.png")
    assert (result.code, result.out) == (0, f"{path}\n")
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (320, 256))
    (charge,) = service.charges
    assert charge.body == {
        "model": "Qubico/flux1-dev",
        "task_type": "txt2img",
        "input": {"prompt": "a red fox in the snow", "width": 320, "height": 256, "seed": 7},
    }
    (entry,) = entries()
    assert (entry.state, entry.task_id, entry.price) == (State.SAVED, charge.id, Decimal("0.015"))
    assert [file.sha256 for file in entry.files] == [hashlib.sha256(path.read_bytes()).hexdigest()]
    assert not list(Path().glob(".flux-*"))


def test_a_pipe_gets_one_line_per_task_and_one_per_image(flux: Flux, service: Service) -> None:
    result = flux('gen "a boat" --seed 1 --size 256x256 -m schnell')

    (task,) = [charge.id for charge in service.charges]
    lines = re.sub(r"\d+\.\d s", "N s", result.err).splitlines()
    assert lines == [
        f"a boat: task {task} ($0.002, usually 0.3-N s)",
        "saved a-boat-1.png (flux1-schnell, seed 1, $0.002 simulated, N s)",
    ]


def test_json_prints_one_object_and_nothing_else(flux: Flux, service: Service) -> None:
    result = flux('gen "a boat" --seed 1 --size 256x256 --json')

    record = json.loads(result.out)
    assert result.out.count("\n") == 1
    assert record.pop("seconds") > 0
    assert re.fullmatch("[0-9a-z]{8}", record.pop("entry"))
    (task,) = [charge.id for charge in service.charges]
    assert record == {
        "schema": 1,
        "type": "outcome",
        "state": "saved",
        "task_id": task,
        "status": "completed",
        "op": "gen",
        "model": "Qubico/flux1-dev",
        "prompt": "a boat",
        "seed": 1,
        "index": 1,
        "id": None,
        "files": [str(Path("a-boat-1.png").resolve())],
        "urls": [f"{service.origin}/images/{task}/1.png"],
        "cost_usd": "0.015",
        "paid_now_usd": "0.015",
        "possibly_charged_usd": None,
        "error": None,
    }


def test_quiet_prints_only_paths(flux: Flux, service: Service) -> None:
    result = flux('gen "two cats" -m schnell -b 3 --seed 5 --size 256x256 -q')

    assert (result.code, result.err) == (0, "")
    assert result.out.split() == ["two-cats-5-1.png", "two-cats-5-2.png", "two-cats-5-3.png"]
    assert len({hashlib.sha256(Path(name).read_bytes()).digest() for name in result.out.split()}) == 3
    assert [charge.cost for charge in service.charges] == [Decimal("0.006")]


def test_the_same_seed_reproduces_the_image(flux: Flux, service: Service) -> None:
    flux('gen "a tree" --seed 5 --size 256x256 -o one.png')
    flux('gen "a tree" --seed 5 --size 256x256 -o two.png')
    flux('gen "a tree" --seed 6 --size 256x256 -o three.png')

    one, two, three = (Image.open(f"{name}.png").tobytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_every_option_is_sent(flux: Flux, service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hook-secret-98765\n")
    line = (
        "gen 'a castle' -m schnell --negative blurry --aspect 16:9 --guidance 4.5 --denoise 0.6 --steps 4 --seed 3"
        f" -b 2 --service-mode private --webhook https://example.com/hook --webhook-secret-file {secret}"
    )
    dry = flux(f"{line} --dry-run")
    assert flux(line + " -q").code == 0

    expected = {
        "model": "Qubico/flux1-schnell",
        "task_type": "txt2img",
        "input": {
            "prompt": "a castle",
            "negative_prompt": "blurry",
            "width": 1360,
            "height": 768,
            "guidance_scale": 4.5,
            "denoise": 0.6,
            "steps": 4,
            "batch_size": 2,
            "seed": 3,
        },
        "config": {
            "service_mode": "private",
            "webhook_config": {"endpoint": "https://example.com/hook", "secret": "[secret]"},
        },
    }
    assert json.loads(dry.out) == expected
    assert dry.err == "Would cost $0.004 (simulated) for 2 images. Nothing was sent.\n"
    assert [charge.body for charge in service.charges] == [expected]


def test_debug_prints_a_trace_and_requests_metadata(flux: Flux, service: Service) -> None:
    result = flux('gen "a boat" --size 256x256 --debug')

    assert f"> POST {service.origin}/api/v1/task" in result.err
    assert service.charges[0].body["input"]["debug"] is True  # type: ignore[index,call-overload]


def test_an_image_can_be_written_to_stdout(flux: Flux, service: Service, entries: Entries) -> None:
    result = flux('gen "a house" --size 256x256 -o - -q')

    assert result.code == 0
    (entry,) = entries()
    assert result.out_bytes == entry.files[0].path.read_bytes()
    assert not list(Path().iterdir())


def test_no_wait_prints_the_id_and_wait_downloads_the_image(flux: Flux, service: Service) -> None:
    submitted = flux('gen "a boat" --seed 1 --size 256x256 --no-wait')
    assert submitted.code == 0
    assert submitted.out == f"{service.charges[0].id}\n"

    fetched = flux("wait -", stdin=submitted.out)
    assert (fetched.code, fetched.out) == (0, "a-boat-1.png\n")
    repeated = flux(f"wait {submitted.out}")
    assert (repeated.code, repeated.out) == (0, "a-boat-1.png\n")
    assert len(service.charges) == 1


def test_the_key_is_sent_only_to_the_api(flux: Flux, service: Service) -> None:
    flux('gen "a boat" --size 256x256')

    keys = {request.path.split("/")[1]: request.headers.get("x-api-key") for request in service.requests}
    assert keys == {"api": KEY, "images": None}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--preset portrait", {"width": 768, "height": 1024, "guidance_scale": 3.5, "denoise": 0.7}),
        ("--preset landscape --guidance 2", {"width": 1024, "height": 768, "guidance_scale": 2, "denoise": 0.8}),
        ("--preset square", {"width": 1024, "height": 1024, "guidance_scale": 3.5, "denoise": 0.7}),
        ("--width 512", {"width": 512, "height": 1024}),
        ("--aspect 1:1", {"width": 1024, "height": 1024}),
        ("--aspect 9:16", {"width": 768, "height": 1360}),
    ],
)
def test_size_options_set_width_and_height(flux: Flux, options: str, expected: dict[str, float]) -> None:
    sent = json.loads(flux(f"gen x --seed 1 --dry-run {options}").out)["input"]

    assert sent == {"prompt": "x", "seed": 1, **expected}


BAD = {
    "gen ''": "the prompt is empty. Nothing was sent.",
    "gen '   '": "the prompt is empty. Nothing was sent.",
    f"gen {'x' * 1501}": "the prompt has 1501 characters; PiAPI accepts 1 to 1500. Nothing was sent.",
    "gen x --size 1025x1024": "the size 1025x1024 has 1,049,600 pixels; PiAPI accepts up to 1,048,576 (1024x1024). Nothing was sent.",
    "gen x --size big": "invalid --size 'big': expected WIDTHxHEIGHT, for example 768x1024. Nothing was sent.",
    "gen x --width 0": "invalid --width '0': expected a whole number, 1 or more. Nothing was sent.",
    "gen x --size 512x512 --preset square": "--size and --preset cannot be used together. Nothing was sent.",
    "gen x --guidance 1.4": "guidance 1.4 is out of range for dev (1.5 to 5). Nothing was sent.",
    "gen x --guidance nan": "invalid --guidance 'nan': expected a number. Nothing was sent.",
    "gen x --seed 1..x": "invalid --seed '1..x': expected a whole number. Nothing was sent.",
    "gen x --denoise 0": "denoise 0 is out of range for dev (above 0 and up to 1). Nothing was sent.",
    "gen x --steps 41": "steps 41 is out of range for dev (1 to 40). Nothing was sent.",
    "gen x -b 2": "batch size 2 needs schnell: dev makes 1 image per task. Nothing was sent.",
    "gen x -m schnell -b 5": "batch size 5 is too large: schnell makes up to 4 images per task. Nothing was sent.",
    "gen x --seed -1": "seed -1 is out of range (0 to 4294967295). Nothing was sent.",
    "gen x -m schnel": "unknown model 'schnel'. Nothing was sent.",
    "gen x --webhook http://example.com": "invalid --webhook: expected an https URL; http is accepted for this machine only. Nothing was sent.",
    "gen x --overwrite --skip-existing": "--overwrite and --skip-existing cannot be used together. Nothing was sent.",
    "gen x -o fox.jpg": "images are saved as PNG, not as .jpg. Nothing was sent.",
    "gen x -o {slug.__class__}.png": "unknown placeholder '{slug.__class__}' in an output name. Nothing was sent.",
    "gen x -o con.png": "the output name 'con.png' would not work on every system. Nothing was sent.",
    "gen x -o - --json": "-o - and --json cannot be used together: both write to stdout. Nothing was sent.",
    "gen x -o - -m schnell -b 2": "-o - writes one image, but this command makes 2. Nothing was sent.",
    "gen x --modl dev": "no such option: --modl. Nothing was sent.",
    "gen": "no prompt. Nothing was sent.",
    "gne x": "no such command 'gne'",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:40])
def test_bad_input_is_reported_before_anything_is_sent(flux: Flux, service: Service, line: str) -> None:
    result = flux(line)

    assert result.code == 2
    assert result.out == "" or "--json" in line
    assert result.err.splitlines()[0] == f"flux: {BAD[line]}"
    assert service.requests == []


def test_all_errors_are_reported_together(flux: Flux, service: Service) -> None:
    result = flux("gen '' --guidance 9 --seed -4 --json")

    error = json.loads(result.out)["error"]
    assert error == {
        "code": "usage",
        "message": "3 errors. Nothing was sent.",
        "details": [
            "seed -4 is out of range (0 to 4294967295)",
            "the prompt is empty",
            "guidance 9 is out of range for dev (1.5 to 5)",
        ],
        "hint": None,
        "command": None,
        "exit_code": 2,
    }
    assert service.requests == []


def test_an_existing_output_is_kept(flux: Flux, service: Service) -> None:
    Path("fox.png").write_text("mine")

    refused = flux("gen x --size 256x256 -o fox.png")
    assert (refused.code, refused.err.splitlines()[0]) == (11, "flux: fox.png exists. Nothing was sent.")
    foreign = flux("gen x --size 256x256 -o fox.png --skip-existing")
    message = "flux: fox.png exists, but is not a complete image. Nothing was sent."
    assert (foreign.code, foreign.out, foreign.err.splitlines()[0]) == (11, "", message)
    assert service.requests == []
    assert Path("fox.png").read_text() == "mine"

    replaced = flux("gen x --size 256x256 -o fox.png --overwrite")
    assert (replaced.code, replaced.out) == (0, "fox.png\n")
    saved = Path("fox.png").read_bytes()
    assert saved.startswith(b"\x89PNG")
    skipped = flux("gen another --size 256x256 -o fox.png --skip-existing")
    assert (skipped.code, skipped.out, skipped.err) == (0, "fox.png\n", "skipped: fox.png exists\n")
    assert (len(service.charges), Path("fox.png").read_bytes()) == (1, saved)


def test_a_generated_file_name_never_overwrites_a_file(flux: Flux, service: Service) -> None:
    for expected in ("x-1.png", "x-1-2.png", "x-1-3.png"):
        assert flux("gen x --seed 1 --size 256x256 --no-cache").out == f"{expected}\n"


def test_an_unwritable_directory_is_reported_before_anything_is_charged(flux: Flux, service: Service) -> None:
    Path("file").write_text("")

    result = flux("gen x -d file/below")
    assert result.code == 11
    assert result.err.startswith("flux: cannot write to file/below: ")
    assert service.requests == []


def test_without_a_key_nothing_is_written(flux: Flux, home: Path) -> None:
    assert flux("gen x").code == 4
    assert not home.exists()


def test_a_refused_key_charges_nothing(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    monkeypatch.setenv("PIAPI_API_KEY", "wrong")
    result = flux("gen x")

    assert result.code == 4
    assert (
        "flux: PiAPI refused the key: Authentication failed: Verify API key is correct (code 1200). Not charged."
        in result.err
    )
    assert [entry.state for entry in entries()] == [State.REJECTED]


def test_insufficient_credits_charge_nothing(flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_sandbox(tmp_path / "poor.db", credit=Decimal("0.02")) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        assert flux("gen x --size 256x256").code == 0
        result = flux("gen x --size 256x256")

    assert result.code == 6
    assert "Insufficient credits: Top up account balance (code 1300). Not charged." in result.err
