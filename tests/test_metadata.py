"""Images that contain the request that made them, and images that are generated again from it."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from flux_cli.errors import UsageError
from flux_cli.images.formats import inspect_image, is_complete_image
from flux_cli.images.metadata import is_sandbox_image, read_provenance, sandbox_mark
from flux_cli.images.png import texts_in, with_texts
from flux_cli.json_value import Json, JsonObject, object_at

from .conftest import Flux
from .raw_servers import PublicNetwork
from .servers import Service

REQUEST: JsonObject = {"op": "gen", "model": "Qubico/flux1-schnell", "seed": 1, "prompt": "x", "width": 64, "height": 64}  # fmt: skip
GEN = "gen 'a fox ✨' -m schnell --negative blurry --guidance 4 --steps 5 --seed 7 --size 320x256"


def make_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_crafted_image(request: Json, name: str = "crafted.png") -> str:
    """Write an image that contains this request, and return its name."""
    metadata = {"request": request, "task_id": "t", "version": "9"}
    Path(name).write_bytes(with_texts(make_png(), {"flux": json.dumps(metadata)}))
    return name


def test_a_saved_image_contains_its_request(flux: Flux, service: Service) -> None:
    assert flux(GEN + " --webhook https://example.com/private-hook -o fox.png").code == 0

    content = Path("fox.png").read_bytes()
    assert inspect_image(content).width == 320
    with Image.open("fox.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        metadata, parameters = json.loads(image.text["flux"]), image.text["parameters"]
    assert metadata == {
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
        "sandbox": True,
    }
    assert parameters.splitlines() == [
        "a fox ✨",
        "Negative prompt: blurry",
        "Steps: 5, CFG scale: 4, Seed: 7, Size: 320x256, Model: flux1-schnell, Sandbox: true",
    ]
    assert b"private-hook" not in content


def test_metadata_does_not_change_the_pixels(flux: Flux, service: Service) -> None:
    flux(GEN + " -o with.png")
    flux(GEN + " -o without.png --no-metadata")

    with Image.open("with.png") as tagged, Image.open("without.png") as plain:
        assert tagged.tobytes() == plain.tobytes()
    plain_bytes = Path("without.png").read_bytes()
    assert plain_bytes[plain_bytes.index(b"IDAT") :] in Path("with.png").read_bytes()
    assert texts_in(plain_bytes) == sandbox_mark()
    assert flux("show without.png").code == 2


def test_show_reads_the_file_or_the_journal(flux: Flux, service: Service) -> None:
    flux(GEN + " -o fox.png")
    task = service.charges[0].id
    shown = flux("show fox.png")

    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[:5] == [
        "file             fox.png",
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
def test_show_and_rerun_refuse_a_file_that_is_not_an_image(flux: Flux, content: bytes, code: int) -> None:
    Path("x.png").write_bytes(content)
    assert flux("show x.png").code == code
    assert flux("rerun x.png").code == code


def test_a_sandbox_image_is_recognized(flux: Flux, service: Service, network: PublicNetwork) -> None:
    """The mark does not depend on the other metadata, and a paid image does not have it."""
    assert flux("gen 'a fox' --size 256x256 --sandbox -o built-in.png").code == 0
    assert flux("gen 'a fox' --size 256x256 --sandbox --no-metadata -o bare.png").code == 0
    assert flux("gen 'a fox' --size 256x256 -o paid.png").code == 0
    names = ("built-in.png", "bare.png", "paid.png")
    assert [is_sandbox_image(Path(name).read_bytes()) for name in names] == [True, True, False]
    assert b"a fox" not in Path("bare.png").read_bytes()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"sandbox": 1}', '{"sandbox": "true"}', "[" * 100_000])
def test_an_unmarked_image_is_not_from_the_sandbox(text: str) -> None:
    assert not is_sandbox_image(with_texts(make_png(), {"flux": text}))
    assert not is_sandbox_image(b"no PNG")


def test_complete_images_are_recognized() -> None:
    whole = make_png()
    for name, content in {"a.png": whole, "b.jpg": whole, "c.png": b"", "d.png": whole[:-1], "e": b"<html>"}.items():
        Path(name).write_bytes(content)
    Path("folder.png").mkdir()
    names = ("a.png", "b.jpg", "c.png", "d.png", "e", "folder.png", "nosuch.png")
    assert [name for name in names if is_complete_image(Path(name))] == ["a.png", "b.jpg"]


def test_metadata_of_another_tool_is_shown_and_escaped(flux: Flux) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\x1b[2J\nSteps: 4")
    Image.new("RGB", (8, 8)).save("other.png", pnginfo=info)
    shown = flux("show other.png")

    assert shown.out.splitlines()[0] == "parameters       a cat\\x1b[2J Steps: 4"
    assert shown.err == "other.png was not made by flux\n"


def test_rerun_makes_the_same_image(flux: Flux, service: Service) -> None:
    flux(GEN + " -o fox.png")
    assert flux("rerun fox.png -o same.png --no-cache").code == 0

    assert service.charges[0].body == service.charges[1].body
    with Image.open("fox.png") as first, Image.open("same.png") as second:
        assert first.tobytes() == second.tobytes()


def test_rerun_accepts_changes(flux: Flux, service: Service) -> None:
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


def test_rerun_of_a_crafted_image_ignores_protected_overrides_and_shows_the_rest(flux: Flux) -> None:
    hostile: JsonObject = {"model": "Qubico/flux1-pro", "task_type": "kontext"}
    hostile["config"] = {"webhook_config": {"endpoint": "https://evil.example"}}
    hostile["Input"] = {"batch_size": 4}
    hostile["input"] = {
        "Batch_Size": 4,
        "batch_\u017fize": 4,
        "SEED": 9,
        "note": "kept\x1b[2J",
        "image": "https://evil.example/x",
    }
    write_crafted_image({**REQUEST, "overrides": hostile, "surprise": 1})

    result = flux("rerun crafted.png --dry-run")
    body = json.loads(result.out.partition("\n1 ")[0])
    assert (body["model"], body["task_type"]) == ("Qubico/flux1-schnell", "txt2img")
    assert {
        name: value for name, value in body["input"].items() if name not in ("prompt", "seed", "width", "height")
    } == {
        "note": "kept\x1b[2J",
        "image": "https://evil.example/x",
    }
    assert "config" not in body
    assert "Input" not in body
    ignored = ("model", "task_type", "config", "Input", "input.Batch_Size", "input.batch_\u017fize", "input.SEED")
    assert set(result.err.splitlines()) >= {
        'crafted.png: it sets input.note to "kept\\u001b[2J"',
        'crafted.png: it sets input.image to "https://evil.example/x"',
        "crafted.png: its unknown field surprise is ignored",
        *(f"crafted.png: its override of {name} is ignored" for name in ignored),
    }
    assert flux("cost rerun crafted.png").out == "0.002\n"


def test_override_names_are_compared_without_case(flux: Flux) -> None:
    line = "gen x --set Model=schnell --set Input.Batch_Size=2 --size 256x256"
    assert flux(f"cost {line}").out == "0.004\n"
    assert "secret does not go into --set" in flux("gen x --set 'Config.webhook_config={\"secret\":1}'").err


LORA = {**REQUEST, "op": "lora"}
EDIT = {**REQUEST, "op": "edit", "image": "https://example.com/x.png"}
WRONG_TYPES: list[Json] = [
    None, [], {}, {"op": []}, {**REQUEST, "op": "nosuch"},
    {**REQUEST, "prompt": None}, {**REQUEST, "negative_prompt": 3}, {**REQUEST, "service_mode": 1}, {**REQUEST, "steps": {}},
    {**REQUEST, "seed": 10**400}, {**REQUEST, "width": 1e400}, {**REQUEST, "guidance": float("nan")}, {**REQUEST, "guidance": 10**400},
    {**REQUEST, "overrides": [1]}, {**LORA, "loras": [{"name": 5}]}, {**LORA, "loras": [{"name": "a", "strength": "b"}]},
    {**LORA, "loras": [{"name": "a", "x": 1}]}, {**REQUEST, "op": "controlnet", "controls": [{"kind": "depth", "image": 4}]},
    {**EDIT, "image": 7}, {**EDIT, "image": None}, {**REQUEST, "op": "outpaint", "image": "https://e.com/x.png", "left": "5"},
]  # fmt: skip


@pytest.mark.parametrize("request_json", WRONG_TYPES)
def test_a_request_of_wrong_types_is_refused(flux: Flux, request_json: Json) -> None:
    write_crafted_image(request_json)
    for line in ("rerun crafted.png --dry-run", "show crafted.png --json"):
        result = flux(line)
        assert result.code == 2
        assert "a request that this version of flux cannot read" in result.err + result.out
    with pytest.raises(UsageError):
        read_provenance(texts_in(Path("crafted.png").read_bytes()))
    assert flux("gallery --sheet sheet.png --overwrite").code == 0


WRONG_VALUES: list[tuple[JsonObject, str]] = [
    ({**REQUEST, "prompt": ""}, "the prompt is empty"),
    ({**REQUEST, "width": -4}, "the size -4x64 is not positive"),
    ({**REQUEST, "seed": -1}, "seed -1"),
    ({**REQUEST, "model": "Qubico/nosuch"}, "Qubico/nosuch"),
    ({**REQUEST, "batch_size": 9}, "batch size 9"),
    ({**EDIT, "image": "file:///etc/passwd"}, "not a URL: 'file:///etc/passwd'"),
    ({**EDIT, "image": "sha256:../../x"}, "PiAPI no longer has the input image"),
    ({**EDIT, "image": "https://u:p@e.com/x.png"}, "must not contain a user name"),
    ({**LORA, "loras": [{"name": "https://u:p@e.com/x"}]}, "must not contain a user name"),
    ({**REQUEST, "op": "outpaint", "image": "https://e.com/x.png", "left": -5, "right": 9}, "a margin of -5 pixels"),
]


@pytest.mark.parametrize(("request_json", "message"), WRONG_VALUES)
def test_a_crafted_request_is_validated_like_any_other(flux: Flux, request_json: JsonObject, message: str) -> None:
    if request_json["op"] != "gen":
        request_json = {**request_json, "model": "Qubico/flux1-dev-advanced"}
    result = flux(f"rerun {write_crafted_image(request_json)} --dry-run")
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_rerun_keeps_or_changes_the_batch_size(flux: Flux) -> None:
    write_crafted_image({**REQUEST, "batch_size": 4}, "four.png")
    assert flux("cost rerun four.png").out == "0.008\n"
    assert flux("cost rerun four.png -b 1").out == "0.002\n"


def test_rerun_of_an_edit_reuses_an_upload_that_is_still_available(flux: Flux, service: Service) -> None:
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
