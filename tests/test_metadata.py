"""Pictures that tell how they were made, and are made again."""

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from flux_cli.images.formats import whole_picture
from flux_cli.json_value import object_at

from .conftest import Flux
from .servers import Service

GEN = "gen 'a fox ✨' -m schnell --negative blurry --guidance 4 --steps 5 --seed 7 --size 320x256"


def test_a_saved_picture_tells_how_it_was_made(flux: Flux, service: Service) -> None:
    assert flux(GEN + " --webhook https://example.com/private-hook -o fox.png").code == 0

    content = Path("fox.png").read_bytes()
    assert whole_picture(content).width == 320
    with Image.open("fox.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        about, parameters = json.loads(image.text["flux"]), image.text["parameters"]
    assert about == {
        "request": {
            "op": "gen",
            "model": "Qubico/flux1-schnell",
            "seed": 7,
            "prompt": "a fox ✨",
            "negative_prompt": "blurry",
            "guidance": 4.0,
            "steps": 5,
            "batch_size": 1,
            "width": 320,
            "height": 256,
        },
        "task_id": service.charges[0].id,
        "cost_usd": "0.002",
        "version": "0.1.0",
    }
    assert parameters.splitlines() == [
        "a fox ✨",
        "Negative prompt: blurry",
        "Steps: 5, CFG scale: 4, Seed: 7, Size: 320x256, Model: flux1-schnell",
    ]
    assert b"private-hook" not in content


def test_no_pixel_is_encoded_anew(flux: Flux, service: Service) -> None:
    flux(GEN + " -o with.png")
    flux(GEN + " -o without.png --no-metadata")

    with Image.open("with.png") as told, Image.open("without.png") as plain:
        assert told.tobytes() == plain.tobytes()
    plain_bytes = Path("without.png").read_bytes()
    assert plain_bytes[plain_bytes.index(b"IDAT") :] in Path("with.png").read_bytes()
    assert b"tEXt" not in plain_bytes
    assert flux("show without.png").code == 2


def test_show_reads_the_file_or_the_journal(flux: Flux, service: Service) -> None:
    flux(GEN + " -o fox.png")
    task = service.charges[0].id
    shown = flux("show fox.png")

    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[:4] == [
        "op               gen",
        "model            Qubico/flux1-schnell",
        "seed             7",
        "prompt           a fox ✨",
    ]
    for word in ("@last", task, f"@{task}"):
        assert flux(f"show {word}").out == shown.out
    assert json.loads(flux("show fox.png --json").out)["request"]["seed"] == 7


@pytest.mark.parametrize(
    ("content", "code"), [(b"", 2), (b"\x89PNG\r\n\x1a\n", 2), (b"<html>", 2)], ids=["empty", "cut", "html"]
)
def test_a_file_that_tells_nothing(flux: Flux, content: bytes, code: int) -> None:
    Path("x.png").write_bytes(content)
    assert flux("show x.png").code == code
    assert flux("rerun x.png").code == code


def test_a_picture_of_another_tool_is_shown_and_hostile_texts_are_harmless(flux: Flux) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\x1b[2J\nSteps: 4")
    Image.new("RGB", (8, 8)).save("other.png", pnginfo=info)
    shown = flux("show other.png")

    assert shown.out.splitlines()[0] == "parameters       a cat\\x1b[2J Steps: 4"
    assert shown.err == "other.png was not made by flux\n"


def test_again_makes_the_same_picture(flux: Flux, service: Service) -> None:
    flux(GEN + " -o fox.png")
    assert flux("rerun fox.png -o same.png --no-cache").code == 0

    assert service.charges[0].body == service.charges[1].body
    with Image.open("fox.png") as one, Image.open("same.png") as two:
        assert one.tobytes() == two.tobytes()


def test_again_with_changes(flux: Flux, service: Service) -> None:
    flux(GEN + " -o fox.png")
    assert flux("rerun fox.png --prompt 'a wolf' --seed 8 --guidance 5 --size 256x256 -m dev -o wolf.png").code == 0

    changed = service.charges[1].body
    assert changed["model"] == "Qubico/flux1-dev"
    assert object_at(changed, "input") == {
        "prompt": "a wolf",
        "negative_prompt": "blurry",
        "width": 256,
        "height": 256,
        "guidance_scale": 5.0,
        "steps": 5,
        "seed": 8,
    }


def test_again_of_a_crafted_picture_cannot_change_price_model_or_webhook(flux: Flux, service: Service) -> None:
    request = {"op": "gen", "model": "Qubico/flux1-schnell", "seed": 1, "prompt": "x", "width": 64, "height": 64}
    hostile = {"model": "Qubico/flux1-pro", "task_type": "kontext", "input": {"batch_size": 4, "note": "kept"}}
    hostile["config"] = {"webhook_config": {"endpoint": "https://evil.example"}}
    info = PngImagePlugin.PngInfo()
    info.add_text("flux", json.dumps({"request": {**request, "overrides": hostile}, "task_id": "t", "version": "9"}))
    Image.new("RGB", (8, 8)).save("crafted.png", pnginfo=info)

    body = json.loads(flux("rerun crafted.png --dry-run").out)
    assert (body["model"], body["task_type"]) == ("Qubico/flux1-schnell", "txt2img")
    assert body["input"]["note"] == "kept"
    assert "batch_size" not in body["input"]
    assert "config" not in body


def test_again_of_a_batch_size(flux: Flux) -> None:
    request = {"op": "gen", "model": "Qubico/flux1-schnell", "seed": 1, "prompt": "x", "batch_size": 4}
    info = PngImagePlugin.PngInfo()
    info.add_text("flux", json.dumps({"request": request, "task_id": "t", "version": "9"}))
    Image.new("RGB", (8, 8)).save("four.png", pnginfo=info)
    assert flux("cost rerun four.png").out == "0.008\n"
    assert flux("cost rerun four.png -b 1").out == "0.002\n"


def test_again_of_an_edit_uses_the_upload_while_it_lives(flux: Flux, service: Service) -> None:
    Image.new("RGB", (300, 300), "red").save("photo.png")
    flux("edit photo.png 'a boat' --seed 1 -o out.png")
    flux("controlnet 'a boat' --control depth=photo.png:0.5 --lora anime:0.3 --seed 1 --size 256x256 -o control.png")
    Path("photo.png").unlink()
    assert flux("rerun out.png --denoise 0.9 -o more.png").code == 0
    assert flux("rerun control.png -o joined.png").code == 0
    assert len(service.charges) == 3
    assert flux("rerun control.png -o control2.png --no-cache").code == 0

    first, control, more, control2 = (charge.body for charge in service.charges)
    assert object_at(more, "input") == {**object_at(first, "input"), "denoise": 0.9}
    assert control == control2
    assert flux("rerun out.png --size 256x256").code == 2
