"""Every operation, from a command line to pixels, over a real connection."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from flux_cli.config import catalog
from flux_cli.journal.entries import Entry, State
from flux_cli.json_value import object_at
from flux_cli.sandbox.drawing import draw

from .conftest import KEY, Flux
from .servers import Reply, Service, run_sandbox

Entries = Callable[[], list[Entry]]
UPLOAD = ("POST", "/api/ephemeral_resource")


@pytest.fixture
def photo() -> Path:
    """Create an image of 320x256."""
    path = Path("photo.png")
    draw("a house by the sea", seed=1, width=320, height=256).save(path)
    return path


def open_image(name: str) -> Image.Image:
    """Return the pixels of an image."""
    with Image.open(name) as image:
        return image.convert("RGB")


def measure_difference(first: Image.Image, second: Image.Image) -> float:
    """Return the mean difference of the channels of two images, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


def get_request(service: Service) -> dict[str, Any]:
    """Return the last request that the server received."""
    return service.charges[-1].body


def count_uploads(service: Service) -> int:
    """Return the number of uploaded images."""
    return sum(request.path == UPLOAD[1] for request in service.requests)


# --- the effect of each operation -------------------------------------------------------------------------------------


def test_edit_changes_the_image_in_proportion_to_denoise(flux: Flux, service: Service, photo: Path) -> None:
    distances = []
    for denoise in ("0.1", "0.5", "1"):
        assert flux(f"edit photo.png 'a red desert' --denoise {denoise} -o {denoise}.png --seed 1").code == 0
        assert open_image(f"{denoise}.png").size == (320, 256)
        distances.append(measure_difference(open_image("photo.png"), open_image(f"{denoise}.png")))

    assert distances == sorted(distances)
    assert distances[0] < 15 < distances[2]
    assert get_request(service)["task_type"] == "img2img"
    assert sorted(get_request(service)["input"]) == ["denoise", "image", "prompt", "seed"]


def test_kontext_keeps_the_size_of_the_image(flux: Flux, service: Service, photo: Path) -> None:
    assert flux("edit photo.png 'make it night' --kontext --steps 10 -o out.png --seed 1").code == 0

    body = get_request(service)
    assert (body["model"], body["task_type"]) == ("Qubico/flux1-dev-advanced", "kontext")
    assert {name: body["input"][name] for name in ("width", "height", "steps", "seed")} == {
        "width": 320,
        "height": 256,
        "steps": 10,
        "seed": 1,
    }
    assert open_image("out.png").size == (320, 256)


def test_inpaint_changes_only_the_region(flux: Flux, service: Service, photo: Path) -> None:
    assert flux("inpaint photo.png 'a dragon' --mask-box 25%,25%,50%,50% -o out.png --seed 1").code == 0

    before, after = open_image("photo.png"), open_image("out.png")
    box = ImageChops.difference(before, after).getbbox()
    assert box is not None
    assert box[0] >= 80
    assert box[1] >= 64
    assert box[2] <= 240
    assert box[3] <= 192
    assert measure_difference(before.crop((80, 64, 240, 192)), after.crop((80, 64, 240, 192))) > 5
    assert sorted(get_request(service)["input"]) == ["image", "mask", "prompt", "seed"]


def test_inpaint_uses_a_mask_file(flux: Flux, service: Service, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = Image.new("L", (320, 256))
    mask.paste(255, (0, 0, 100, 100))
    mask.save("mask.png")
    monkeypatch.setenv("FLUX_DIALECT", "spec")
    assert flux("inpaint photo.png 'a tree' --mask mask.png -o out.png --seed 1").code == 0

    box = ImageChops.difference(open_image("photo.png"), open_image("out.png")).getbbox()
    assert box is not None
    assert box[2] <= 100
    assert box[3] <= 100


def test_outpaint_extends_the_canvas_and_keeps_the_image(flux: Flux, service: Service, photo: Path) -> None:
    assert flux("outpaint photo.png 'more sea' --left 64 --right 25% --top 10 -o out.png --seed 1").code == 0

    after = open_image("out.png")
    assert after.size == (64 + 320 + 80, 10 + 256)
    assert ImageChops.difference(after.crop((64, 10, 384, 266)), open_image("photo.png")).getbbox() is None
    assert get_request(service)["input"]["custom_settings"] == [
        {
            "setting_type": "outpaint",
            "outpaint_left": 64,
            "outpaint_right": 80,
            "outpaint_top": 10,
            "outpaint_bottom": 0,
        }
    ]


def test_redux_varies_the_image_in_proportion_to_strength(flux: Flux, service: Service, photo: Path) -> None:
    distances = []
    for strength in ("0.1", "0.9"):
        assert flux(f"redux photo.png --strength {strength} -o {strength}.png --seed 1").code == 0
        distances.append(measure_difference(open_image("photo.png"), open_image(f"{strength}.png")))
    assert distances[0] < distances[1]
    assert get_request(service)["input"]["variation_strength"] == 0.9


def test_lora_changes_the_image_by_name_and_strength(flux: Flux, service: Service) -> None:
    for name, option in {"none": "anime:0", "anime": "anime:0.8", "disney": "disney:0.8"}.items():
        assert flux(f"lora 'a room' --lora {option} --size 256x256 --seed 1 -o {name}.png").code == 0
    none, anime, disney = (open_image(f"{name}.png") for name in ("none", "anime", "disney"))

    assert min(measure_difference(none, anime), measure_difference(none, disney), measure_difference(anime, disney)) > 2
    assert get_request(service)["task_type"] == "txt2img-lora"


def test_lora_accepts_an_input_image(flux: Flux, service: Service, photo: Path) -> None:
    assert flux("lora 'a house' --lora anime --image photo.png -o out.png").code == 0
    assert get_request(service)["task_type"] == "img2img-lora"
    assert "width" not in get_request(service)["input"]


def test_controlnet_saves_the_preprocessed_image_on_request(flux: Flux, service: Service, photo: Path) -> None:
    result = flux("controlnet 'a knight' --control canny=photo.png:0.9 --keep-control --size 320x256 -o out.png -q")

    assert result.out.split() == ["out.png", "out-2.png"]
    assert get_request(service)["input"]["control_net_settings"][0]["return_preprocessed_image"] is True
    assert len({open_image(name).tobytes() for name in result.out.split()}) == 2


# --- dialects ---------------------------------------------------------------------------------------------------------

IMAGE = "https://e.com/pose.jpg"
LORAS = {
    "both": [{"path": "anime", "scale": 0.8, "lora_type": "anime", "lora_strength": 0.8}, {"path": "https://e.com/x.safetensors", "scale": 0.5}],
    "spec": [{"path": "anime", "scale": 0.8}, {"path": "https://e.com/x.safetensors", "scale": 0.5}],
}  # fmt: skip
CONTROLS = {
    "both": {"path": "controlnet-pose", "control_image_url": IMAGE, "conditioning_scale": 1.0, "control_type": "openpose", "control_image": IMAGE, "control_strength": 1.0},
    "spec": {"path": "controlnet-pose", "control_image_url": IMAGE, "conditioning_scale": 1.0},
    "live": {"control_type": "openpose", "control_image": IMAGE, "control_strength": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("dialect", LORAS)
def test_loras_in_each_dialect(flux: Flux, monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    monkeypatch.setenv("FLUX_DIALECT", dialect)
    body = json.loads(flux("lora x --lora anime:0.8 --lora https://e.com/x.safetensors:0.5 --dry-run").out)
    assert body["input"]["lora_settings"] == LORAS[dialect]


@pytest.mark.parametrize("dialect", CONTROLS)
def test_controls_in_each_dialect(flux: Flux, monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    monkeypatch.setenv("FLUX_DIALECT", dialect)
    body = json.loads(flux(f"controlnet x --control pose={IMAGE}:1.0 --dry-run").out)
    assert body["input"]["control_net_settings"] == [CONTROLS[dialect]]
    assert body["input"]["lora_settings"] == []


def test_a_lora_by_url_is_refused_in_the_live_dialect(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_DIALECT", "live")
    result = flux("lora x --lora https://e.com/x.safetensors --dry-run")
    assert result.code == 2
    assert "--lora https://e.com/x.safetensors: the live API accepts names only, not URLs" in result.err


@pytest.mark.parametrize("kind", ["soft-edge", "hed", "depth", "canny", "openpose", "Depth"])
def test_control_types_are_sent_as_each_dialect_spells_them(flux: Flux, kind: str) -> None:
    item = json.loads(flux(f"controlnet x --control {kind}={IMAGE} --dry-run").out)["input"]["control_net_settings"][0]
    live = kind.replace("-", "_").lower()
    assert item["control_type"] == live
    assert item["path"] == f"controlnet-{ {'openpose': 'pose', 'soft_edge': 'soft-edge'}.get(live, live) }"
    assert "control_strength" not in item


def test_set_and_input_add_fields_to_the_request(flux: Flux, service: Service) -> None:
    Path("body.json").write_text('{"input": {"steps": 9, "extra": {"a": 1}}, "config": {"service_mode": "private"}}')
    line = "gen x --size 256x256 --seed 1 --input body.json --set input.extra.b=[2] --set input.note=hello --set input.seed=7"
    assert flux(line).code == 0

    assert get_request(service)["input"] == {
        "prompt": "x",
        "width": 256,
        "height": 256,
        "steps": 9,
        "extra": {"a": 1, "b": [2]},
        "note": "hello",
        "seed": 7,
    }
    assert get_request(service)["config"] == {"service_mode": "private"}


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes have no path here")
def test_an_input_file_is_read_once_for_all_requests(flux: Flux, service: Service) -> None:
    """A pipe, for example from the shell's <(...), is empty when it is read again."""
    Path("prompts.txt").write_text("one\ntwo\n")
    Path("rows.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two", "set": ["input.b=2"]}\n')
    for line in ("gen --from prompts.txt --seed 1..2", "batch rows.jsonl"):
        reader, writer = os.pipe()
        os.write(writer, b'{"input": {"a": 1}}')
        os.close(writer)
        result = flux(f"{line} -m schnell --size 64x64 --input /dev/fd/{reader} -q")
        os.close(reader)
        assert result.code == 0, result.err
    inputs = [object_at(charge.body, "input") for charge in service.charges]
    assert [fields["a"] for fields in inputs] == [1] * 6
    assert [fields.get("b") for fields in inputs].count(2) == 1


def test_ranges_and_models_in_messages_come_from_the_catalog(
    flux: Flux, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Path(catalog.__file__).with_name("catalog.toml").read_text()
    for fact, replacement in {
        "guidance = [1.5, 5.0]": "guidance = [2, 9]",
        "strength = [0.0, 1.0]": "strength = [0, 3]",
        "margin = 2048": "margin = 99",
        "pixels = 1048576": "pixels = 1000000",
        "batch_size = 4": "batch_size = 6",
    }.items():
        assert fact in facts
        facts = facts.replace(fact, replacement)
    (tmp_path / "catalog.toml").write_text(facts)
    monkeypatch.setattr(catalog, "__file__", str(tmp_path / "catalog.py"))
    for line, message in {
        "gen x -b 2": "batch size 2 needs schnell: dev makes 1 image per task",
        "gen x -m schnell -b 7": "batch size 7 is too large: schnell makes up to 6 images per task",
        "redux photo.png -b 2": "batch size 2 is too large: dev-advanced makes 1 image per task",
        "gen x --guidance 9.5": "guidance 9.5 is out of range for dev (2 to 9)",
        "redux photo.png --strength 4": "strength 4 is out of range for dev-advanced (0 to 3)",
        "lora x --lora anime:4": "the strength 4 of --lora anime is out of range (0 to 3)",
        "outpaint photo.png --left 100": "a margin of 100 pixels is too wide; PiAPI accepts up to 99",
        "gen x --size 1024x1024": "PiAPI accepts up to 1,000,000 (1000x1000)",
    }.items():
        result = flux(f"{line} --dry-run")
        assert (result.code, message in result.err) == (2, True), (line, result.err)


# --- images ----------------------------------------------------------------------------------------------------------


def test_a_local_image_is_uploaded_once(flux: Flux, service: Service, photo: Path) -> None:
    for number in range(3):
        assert flux(f"edit photo.png 'a boat' -o {number}.png").code == 0

    assert count_uploads(service) == 1
    assert len({charge.body["input"]["image"] for charge in service.charges}) == 1  # type: ignore[index,call-overload]


def test_an_image_that_piapi_hosts_is_passed_by_url(flux: Flux, service: Service, entries: Entries) -> None:
    flux("gen 'a house' --size 256x256 -o house.png")
    (entry,) = entries()
    for number, name in enumerate(("house.png", f"@{entry.id}", f"@{entry.task_id}", "@last")):
        assert flux(f"edit {name} 'at night' -o {number}.png").code == 0
        expected = entry.urls[0] if number < 3 else entries()[3].urls[0]
        assert get_request(service)["input"]["image"] == expected
    assert count_uploads(service) == 0

    Path("house.png").unlink()
    assert flux(f"edit @{entry.id} 'at night' -o again.png").code == 0


def test_images_are_read_from_stdin_and_written_to_stdout(flux: Flux, service: Service) -> None:
    house = flux("gen 'a house' --size 256x256 -o - -q").out_bytes
    edited = flux("edit - 'as a watercolor' -o - -q", stdin=house)

    assert edited.code == 0
    assert Image.open(io.BytesIO(edited.out_bytes)).size == (256, 256)
    assert flux("edit - 'at night' -o out.png", stdin=edited.out_bytes).code == 0


def test_rotation_and_scaling_of_an_image_are_reported(flux: Flux, service: Service) -> None:
    image = Image.new("RGB", (2000, 1000), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save("turned.jpg", exif=exif)
    result = flux("edit turned.jpg 'x' -o out.png")

    assert result.code == 0
    assert "turned.jpg: turned upright as its EXIF data says" in result.err
    assert "turned.jpg: scaled from 1000x2000 to 724x1448" in result.err
    assert open_image("out.png").size == (724, 1448)
    refused = flux("edit turned.jpg 'x' --no-fit")
    assert refused.code == 2
    assert "has 2,000,000 pixels; PiAPI accepts up to 1,048,576 pixels (1024x1024)" in refused.err


def test_a_mask_is_scaled_with_its_image(flux: Flux, service: Service) -> None:
    Image.new("RGB", (2000, 1000), "red").save("large.png")
    mask = Image.new("L", (2000, 1000))
    mask.paste(255, (0, 0, 1000, 1000))
    mask.save("mask.png")
    assert flux("inpaint large.png 'a tree' --mask mask.png -o out.png").code == 0
    assert open_image("out.png").getpixel((1440, 100)) == (255, 0, 0)


def test_boxes_and_margins_refer_to_the_original_image(flux: Flux, service: Service) -> None:
    Image.new("RGB", (3000, 2000), "red").save("large.png")
    assert flux("inpaint large.png x --mask-box 0,0,300,200 -o box.png").code == 0
    changed = ImageChops.difference(
        open_image("box.png"), Image.new("RGB", open_image("box.png").size, "red")
    ).getbbox()
    assert changed is not None
    assert changed[:2] == (0, 0)
    assert abs(changed[2] - 125) < 3
    assert abs(changed[3] - 84) < 3
    assert flux("outpaint large.png --left 300 -o wide.png").code == 0
    assert get_request(service)["input"]["custom_settings"][0]["outpaint_left"] == 125


def test_an_entry_whose_file_was_overwritten_keeps_its_own_image(
    flux: Flux, service: Service, entries: Entries
) -> None:
    flux("gen one -o same.png --size 256x256")
    flux("gen two -o same.png --size 256x256 --overwrite")
    first = entries()[0]
    assert flux(f"edit @{first.id} x -o out.png").code == 0
    assert get_request(service)["input"]["image"] == first.urls[0]


def test_only_images_in_the_request_are_uploaded(
    flux: Flux, service: Service, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dialect, count in {"both": 2, "spec": 3, "live": 3}.items():
        monkeypatch.setenv("FLUX_DIALECT", dialect)
        assert flux(f"inpaint photo.png x --mask-box 0,0,99,99 -o {dialect}.png").code == 0
        assert count_uploads(service) == count


@pytest.mark.parametrize(("reply", "code"), [((401, {}, b'{"code": 401}'), 4), ((402, {}, b'{"code": 402}'), 6), ((400, {}, b"no"), 5)])  # fmt: skip
def test_a_refused_upload_is_reported(flux: Flux, service: Service, photo: Path, reply: Reply, code: int) -> None:
    service.reply_with(*UPLOAD, reply)
    result = flux("edit photo.png x")
    assert (result.code, service.count_posts()) == (code, 1)
    assert "Not charged." in result.err


def test_a_hostile_upload_url_is_not_passed_on(flux: Flux, service: Service, photo: Path) -> None:
    body = json.dumps({"code": 200, "data": {"url": "http://u:p@169.254.169.254/latest x"}}).encode()
    service.reply_with(*UPLOAD, *[(200, {}, body)] * 9)
    assert flux("edit photo.png x").code == 13
    assert service.charges == []


def test_fields_that_are_set_decide_price_model_and_name(flux: Flux, service: Service) -> None:
    line = "gen x --set model=schnell --set input.batch_size=2 --set input.prompt='a boat' --set input.seed=3 --size 256x256"
    assert flux(f"cost {line}").out == "0.004\n"
    assert flux(line + " -q").out.split() == ["a-boat-3-1.png", "a-boat-3-2.png"]
    assert get_request(service)["model"] == "Qubico/flux1-schnell"


def test_cost_accepts_options_before_the_command(flux: Flux) -> None:
    assert json.loads(flux("cost --json gen x").out)["cost_usd"] == "0.015"


def test_show_mask_replaces_a_file_only_with_overwrite(flux: Flux, photo: Path) -> None:
    before = photo.read_bytes()
    line = "inpaint photo.png x --mask-box 10,10,100,100 --show-mask photo.png"
    assert flux(line).code == 11
    assert photo.read_bytes() == before
    assert json.loads(flux(line + " --overwrite --json").out)["files"] == ["photo.png"]


def test_an_upload_that_the_plan_does_not_include_is_refused(
    flux: Flux, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    with run_sandbox(tmp_path / "free.db", plan="free") as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("FLUX_UPLOAD_URL", service.origin)
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        assert flux("edit photo.png x").code == 5
        assert service.charges == []
        assert [entry.state for entry in entries()] == [State.PLANNED]


def test_a_failed_upload_is_retried(flux: Flux, service: Service, photo: Path) -> None:
    service.reply_with(*UPLOAD, (500, {}, b""), (429, {"retry-after": "0"}, b""), (200, {}, b"<html>"))
    assert flux("edit photo.png x -o out.png").code == 0
    assert count_uploads(service) == 4

    service.reply_with(*UPLOAD, *[(503, {}, b"")] * 9)
    Image.new("RGB", (300, 300), "blue").save("photo.png")
    result = flux("edit photo.png x -o more.png")
    assert result.code == 13
    assert "the image could not be uploaded: PiAPI returned HTTP 503. Not charged.\n      Try again later" in result.err
    service.reply_with(*UPLOAD, (413, {}, b"{}"))
    assert "      The limit for uploads is 10 MB\n" in flux("edit photo.png x -o more.png").err


def test_a_default_prompt_is_not_the_name_of_a_task(flux: Flux, service: Service, photo: Path) -> None:
    assert "redux: task flux_" in flux("redux photo.png -o r.png").err
    assert "outpaint: task flux_" in flux("outpaint photo.png --left 64 -o o.png").err
    assert "a red house: task flux_" in flux("redux photo.png 'a red house' -o h.png").err
    assert sorted(line.split()[5] for line in flux("history").out.splitlines()) == ["a", "outpaint", "redux"]
    assert "a variation of this image" in flux("show r.png").out


BAD = {
    "edit nosuch.png x": "image not found: nosuch.png",
    "edit . x": "not a file: '.'",
    "edit page.png x": "page.png: received a web page instead of an image",
    "edit tiny.png x": "tiny.png is 255x300; PiAPI requires at least 256x256",
    "edit https://u:p@e.com/x.png y": "the URL of an image must not contain a user name or password",
    "edit @last y": "no image '@last' in the history",
    "edit @nosuch y": "no image '@nosuch' in the history",
    "edit photo.png ''": "the prompt is empty",
    "edit photo.png x --size 512x512": "--size is not available: the result of flux edit has the size of the input image",
    "edit photo.png x --kontext -m schnell": "schnell does not support kontext",
    "lora x": "no LoRA",
    "lora x --lora anime:high": "invalid strength 'high' in --lora anime:high: expected a number from 0 to 1",
    "lora x --lora anime:2": "the strength 2 of --lora anime is out of range (0 to 1)",
    "lora x --lora 'a b'": "invalid --lora 'a b': expected NAME, NAME:STRENGTH or a URL",
    "controlnet x": "no control image",
    "controlnet x --control pose": "invalid --control 'pose': expected TYPE=IMG or TYPE=IMG:STRENGTH",
    "controlnet x --control pose=photo.png:abc": (
        "image not found: photo.png:abc (and 'abc' is not a strength from 0 to 1)"
    ),
    "edit photo.png x --aspect 1:1": "--aspect is not available: the result of flux edit has the size of the input image",
    "lora x --lora anime --image photo.png --preset square": (
        "--preset is not available: the result of flux lora --image has the size of the input image"
    ),
    "gen x -b 5": "batch size 5 is too large: dev makes 1 image per task, schnell up to 4",
    "controlnet x --control pose=photo.png:7": "the strength 7 of --control openpose is out of range (0 to 1)",
    "redux photo.png --strength 1.5": "strength 1.5 is out of range for dev-advanced (0 to 1)",
    "inpaint photo.png x": "no mask",
    "inpaint photo.png x --mask-box 0,0,9,9 --mask-alpha": "--mask-box and --mask-alpha cannot be used together",
    "inpaint photo.png x --mask-box 0,0,9": "invalid --mask-box '0,0,9': expected X,Y,W,H",
    "inpaint photo.png x --mask tiny.png": "the mask tiny.png is 255x300, but the image is 320x256",
    "inpaint photo.png x --mask-alpha": "the image has no transparent part",
    "inpaint https://e.com/x.png x --mask-box 0,0,9,9": "a box, a color or transparency needs a local image",
    "inpaint https://e.com/x.png x --mask mask.png --show-mask preview.png": "--show-mask needs a local image and a local mask",
    "inpaint photo.png x --mask https://e.com/x.png --invert": "--invert and --feather need a local mask",
    "inpaint https://e.com/x.png x --mask black.png": "the mask black.png is entirely black, so it selects nothing",
    "controlnet x --control pose=photo.png --control depth=photo.png --set input.q=1e999": "the request cannot be written as JSON",
    "gen x --set 'input.q=\"\\ud800\"'": "the request cannot be written as JSON",
    "gen x --set input.batch_size=-4": "batch size -4 is out of range for dev (1 to 1)",
    "gen x --set Input.Batch_Size=-4": "batch size -4 is out of range for dev (1 to 1)",
    "gen x --set 'input.batch_size=\"4\"'": "batch_size in --set or --input is not a whole number",
    "gen x --set model=Qubico/flux2": "unknown model 'Qubico/flux2'",
    'gen x --set \'config.webhook_config={"secret":"hush"}\'': "a webhook's secret does not go into --set or --input",
    "gen x --input deep.json": "--set or --input is nested more than 32 levels deep",
    "edit '~nobody.png' x": "image not found: ~nobody.png",
    "lora x --lora https://u:p@h/x": "invalid --lora: https://u:p@h/x is not a valid URL",
    "lora x --lora anime --commercial": "dev-advanced is not licensed for commercial use; no model that supports lora is",
    "outpaint photo.png --left 9999": "a margin of 9,999 pixels is too wide; PiAPI accepts up to 2,048",
    "outpaint photo.png": "no margin",
    "outpaint photo.png --left wide": "invalid --left 'wide': expected pixels or a percentage, for example 256 or 25%",
    "outpaint https://e.com/x.png --left 25%": "--left 25%: a percentage needs a local image",
    "gen x --set steps": "invalid --set 'steps': expected PATH=VALUE, for example input.steps=30",
    "gen x -m dev --commercial": "dev is not licensed for commercial use; use schnell or pro",
    "lora x --lora anime -m auto --commercial": "no model that is licensed for commercial use supports lora",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_reported_before_anything_is_sent(flux: Flux, service: Service, photo: Path, line: str) -> None:
    Path("page.png").write_text("<html>expired</html>")
    Path("deep.json").write_text('{"a":' * 40 + "1" + "}" * 40)
    Image.new("L", (255, 300), 255).save("tiny.png")
    Image.new("L", (300, 300), 0).save("black.png")
    result = flux(line)

    assert (result.code, result.out) == (2, "")
    assert BAD[line] in result.err.splitlines()[0], result.err
    assert "Nothing was sent." in result.err
    assert service.requests == []


def test_show_mask_shows_the_region_and_sends_nothing(flux: Flux, service: Service, photo: Path) -> None:
    result = flux("inpaint photo.png x --mask-box 10,10,100,100 --show-mask preview.png")

    assert (result.code, result.out) == (0, "preview.png\n")
    assert open_image("preview.png").size == (320, 256)
    assert service.requests == []


@pytest.mark.parametrize(
    ("line", "error", "hint", "expected"),
    [
        ("lora x --lora anmie", "unknown LoRA 'anmie'", "Did you mean anime? To send it as it is, add: --any-name", "anmie"),
        ("lora x --lora zzzz:0.5", "unknown LoRA 'zzzz'", "To send it as it is, add: --any-name", "zzzz"),
        ("controlnet x --control dpeth=photo.png", "unknown control type 'dpeth'", "Did you mean depth? To send it as it is, add: --any-name", "dpeth"),
        ("controlnet x --control depth=photo.png --lora Anmie", "unknown LoRA 'Anmie'", "Did you mean anime? To send it as it is, add: --any-name", "Anmie"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_sent_only_with_any_name(
    flux: Flux, service: Service, photo: Path, line: str, error: str, hint: str, expected: str
) -> None:
    result = flux(line)
    assert (result.code, service.requests) == (2, [])
    assert result.err == f"flux: {error}. Nothing was sent.\n      {hint}\n"
    assert f'"{expected}"' in flux(f"{line} --any-name --dry-run").out


def test_names_are_sent_as_piapi_spells_them(flux: Flux, photo: Path) -> None:
    body = json.loads(flux("controlnet x --control DEPTH=photo.png --lora Anime:0.5 --dry-run").out)["input"]
    assert body["lora_settings"][0]["lora_type"] == "anime"
    assert body["control_net_settings"][0]["control_type"] == "depth"


# --- choosing a model, and costs --------------------------------------------------------------------------------------


def test_models_lists_prices_and_licenses(flux: Flux) -> None:
    rows = [json.loads(line) for line in flux("models --json").out.splitlines()]
    assert [(row["name"], row["price_usd"], row["commercial"]) for row in rows] == [
        ("schnell", "0.002", True),
        ("dev", "0.015", False),
        ("pro", "0.05", True),
        ("dev-advanced", "0.02", False),
    ]
    assert "lora" in rows[3]["operations"]


@pytest.mark.parametrize(
    ("purposes", "name"),
    [("commercial,fast", "schnell"), ("commercial,quality", "pro"), ("lora", "dev-advanced"), ("controlnet", "dev-advanced"), ("gen", "dev"), ("quality", "pro"), ("fast", "schnell"), ("fast,edit", "schnell"), ("edit,lora", "dev-advanced")],
)  # fmt: skip
def test_models_for_a_purpose(flux: Flux, purposes: str, name: str) -> None:
    assert flux(f"models --for {purposes} -q").out == f"{name}\n"


def test_cost_prices_a_command_and_sends_nothing(flux: Flux, service: Service, photo: Path) -> None:
    assert flux("cost gen x -b 4 -m schnell").out == "0.008\n"
    assert flux("cost inpaint photo.png x --mask-box 0,0,99,99").out == "0.02\n"
    assert json.loads(flux("cost gen x --json").out)["cost_usd"] == "0.015"
    assert flux("cost gen x --guidance 9").code == 2
    assert service.requests == []


def test_cost_sums_past_charges(flux: Flux, service: Service) -> None:
    flux("gen x --size 256x256")
    flux("gen x --size 256x256 -m schnell -b 2")
    service.reply_with("POST", "/api/v1/task", (500, {}, b""), (400, {}, b'{"message": "no"}'))
    flux("gen x --size 256x256")
    flux("gen x --size 256x256")

    assert flux("cost").out.split() == [
        "total",
        "$0.019",
        "3",
        "tasks,",
        "plus",
        "up",
        "to",
        "$0.015",
        "possibly",
        "charged",
    ]
    rows = {row["name"]: row["spent_usd"] for row in map(json.loads, flux("cost --by model --json").out.splitlines())}
    assert rows == {"Qubico/flux1-dev": "0.015", "Qubico/flux1-schnell": "0.004"}
    assert flux("cost --since 2999-01-01").out.split() == ["total", "$0.00", "0", "tasks"]
    assert flux("cost --since 1d").out == flux("cost").out
    assert flux("cost --since soon").code == 2


def test_balance_shows_the_credit_and_the_plan(flux: Flux, service: Service) -> None:
    assert flux("balance").out.startswith("Balance: $1000.00")
    assert json.loads(flux("balance --json").out)["plan"] == "pro"
