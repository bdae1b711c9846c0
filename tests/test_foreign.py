"""The sandbox works with clients by other authors.

The requests that public clients send, and the fields that they read from the responses, are those of
`apinetwork/piapi-mcp-server` (PiAPI's own server for the Model Context Protocol) at e56ba84, 0a581d7 and 0101e92;
`PiAPI-1/piapi-cli` (PiAPI's own command line) at 0b56cc5 and 44901b6; `lvalics/n8n-nodes-piapi` at 790692b, 05d3e4e and
7179c31; `piapi-skills` 1.2.0 on PyPI; and the Python and JavaScript classes of PiAPI's specification (Integration
Examples).
"""

import base64
import io
import json
import time
from typing import Any
from urllib.request import Request, urlopen

import pytest

from flux_cli.sandbox.drawing import draw
from flux_cli.sandbox.pytest_plugin import Sandbox

IMAGE = "https://example.com/photo.jpg"
NEGATIVE = "chaos, bad photo, low quality, low resolution"
SCHNELL, DEV, ADVANCED = "Qubico/flux1-schnell", "Qubico/flux1-dev", "Qubico/flux1-dev-advanced"
SIZE: dict[str, Any] = {"width": 256, "height": 256}
CONTROL = {"control_type": "depth", "control_image": IMAGE}
N8N_CONTROL = CONTROL | {"control_strength": 0.5, "return_preprocessed_image": False}
REALISM = [{"lora_type": "mystic-realism"}]
ANIME = [{"lora_type": "anime", "lora_strength": 1}]
PADDING = {
    "setting_type": "outpaint",
    "outpaint_left": 64,
    "outpaint_right": 0,
    "outpaint_top": 0,
    "outpaint_bottom": 0,
}


def task(model: str, task_type: str, config: dict[str, Any] | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return a create request."""
    body = {"model": model, "task_type": task_type, "input": {"prompt": "a fox", **fields}}
    return body if config is None else body | {"config": config}


def mcp(model: str, task_type: str, **fields: Any) -> dict[str, Any]:
    """Return a request of the MCP server: always with a negative prompt and steps."""
    return task(model, task_type, negative_prompt=NEGATIVE, steps=4 if model == SCHNELL else 25, **fields)


def n8n(model: str, task_type: str, **fields: Any) -> dict[str, Any]:
    """Return a request of n8n's node for editing: an empty negative prompt, always guidance and batch size."""
    return task(model, task_type, negative_prompt="", guidance_scale=3, batch_size=1, **fields)


def spec_python(model: str, task_type: str, **fields: Any) -> dict[str, Any]:
    """Return a request of the specification's Python class: unset options are null or defaults."""
    base = {"negative_prompt": "", "guidance_scale": 3.5, "denoise": 0.7, "seed": None, "batch_size": 1}
    return task(model, task_type, {"service_mode": "public"}, **base, **fields)


def spec_javascript(model: str, task_type: str, **fields: Any) -> dict[str, Any]:
    """Return a request of the specification's JavaScript class: the input includes the options of the class itself."""
    base = {"negative_prompt": "", "guidance_scale": 3.5, "denoise": 0.7, "batch_size": 1, "model": model}
    return task(model, task_type, {"service_mode": "public"}, **base | fields)


LIVE = {
    "mcp txt2img": mcp(SCHNELL, "txt2img", **SIZE),
    "mcp img2img": mcp(DEV, "img2img", image=IMAGE, **SIZE),
    "mcp txt2img-lora": mcp(ADVANCED, "txt2img-lora", lora_settings=REALISM, **SIZE),
    "mcp img2img-lora": mcp(ADVANCED, "img2img-lora", image=IMAGE, lora_settings=REALISM, **SIZE),
    "mcp fill-inpaint": mcp(ADVANCED, "fill-inpaint", image=IMAGE),
    "mcp fill-outpaint": mcp(ADVANCED, "fill-outpaint", image=IMAGE, custom_settings=[PADDING]),
    "mcp redux-variation": mcp(ADVANCED, "redux-variation", image=IMAGE, **SIZE),
    "mcp controlnet-lora": mcp(ADVANCED, "controlnet-lora", lora_settings=[], control_net_settings=[CONTROL], **SIZE),
    "n8n txt2img": task(DEV, "txt2img", guidance_scale=3, **SIZE),
    "n8n txt2img, four": task(SCHNELL, "txt2img", guidance_scale=3, batch_size=4, **SIZE),
    "n8n txt2img-lora": task(ADVANCED, "txt2img-lora", guidance_scale=3, lora_settings=ANIME, **SIZE),
    "n8n controlnet": task(ADVANCED, "controlnet-lora", lora_settings=[], control_net_settings=[N8N_CONTROL], **SIZE),
    "n8n img2img": n8n(DEV, "img2img", image=IMAGE, denoise=0.7),
    "n8n img2img-lora": n8n(ADVANCED, "img2img-lora", image=IMAGE, denoise=0.7, lora_settings=ANIME),
    "n8n controlnet-lora": n8n(
        ADVANCED, "controlnet-lora", image=IMAGE, denoise=0.7, control_net_settings=[N8N_CONTROL]
    ),
    "cli flux-dev": task(DEV, "txt2img", aspect_ratio="16:9"),
    "cli flux-img2img": task(SCHNELL, "img2img", image=IMAGE),
    "cli flux-kontext": task(
        ADVANCED, "kontext", {"webhook_config": {"endpoint": "https://example.com/"}}, image=IMAGE
    ),
    "skills flux": task(SCHNELL, "txt2img", steps=4, guidance_scale=3.5, **SIZE),
    "skills run": task(SCHNELL, "txt2img", {"service_mode": "public", "webhook_config": {"secret": "x"}}),
}
SPEC = {
    "python": spec_python(DEV, "txt2img", width=256, height=256),
    "python img2img": spec_python(DEV, "img2img", image=IMAGE),
    "python lora": spec_python(ADVANCED, "txt2img", lora_settings=[{"path": f"{IMAGE}.safetensors", "scale": 0.8}], **SIZE),
    "python controlnet": spec_python(
        ADVANCED, "txt2img", **SIZE,
        control_net_settings=[{"path": "controlnet-pose", "control_image_url": IMAGE, "conditioning_scale": 1.0}],
    ),
    "javascript": spec_javascript(DEV, "txt2img", guidanceScale=4.0, **SIZE),
    "javascript img2img": spec_javascript(DEV, "img2img", guidanceScale=4.5, image=IMAGE, imageUrl=IMAGE, denoise=0.6),
    "javascript batch": spec_javascript(SCHNELL, "txt2img", batch_size=2, batchSize=2, **SIZE),
    "javascript debug": spec_javascript(DEV, "txt2img", debug=True, **SIZE),
}  # fmt: skip


def call(sandbox: Sandbox, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the response to a request with the headers of these clients."""
    headers = {"x-api-key": sandbox.key, "Content-Type": "application/json", "Accept": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, content, headers, method=method)) as response:
        reply: dict[str, Any] = json.load(response)
    assert reply["code"] == 200
    return reply


def run_task(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """Run a task until a status at which the clients stop polling. They compare the exact lowercase word."""
    task_id = call(sandbox, "POST", f"{sandbox.base_url}/task", body)["data"]["task_id"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found: dict[str, Any] = call(sandbox, "GET", f"{sandbox.base_url}/task/{task_id}")["data"]
        if found["status"] in ("completed", "failed"):
            return found
        time.sleep(0.02)
    raise AssertionError("the task did not reach a final status of these clients")


def run_all(sandbox: Sandbox, requests: dict[str, dict[str, Any]]) -> None:
    """Send the requests of a client, and check the fields that it reads."""
    for name, body in requests.items():
        found = run_task(sandbox, body)
        assert found["status"] == "completed", name
        assert isinstance(found["meta"]["usage"]["consume"], str | int | float), name
        output = found["output"]
        urls = [url for url in [output.get("image_url"), *(output.get("image_urls") or [])] if url]
        assert len(set(urls)) == body["input"].get("batch_size", 1), name
        with urlopen(urls[0]) as image:
            assert image.read(8) == b"\x89PNG\r\n\x1a\n", name
    assert len(sandbox.tasks()) == len(requests)


@pytest.mark.piapi_sandbox(replies="live", speed=1000)
def test_the_sandbox_works_with_clients_of_the_live_api(piapi_sandbox: Sandbox) -> None:
    run_all(piapi_sandbox, LIVE)


@pytest.mark.piapi_sandbox(speed=1000)
def test_the_sandbox_works_with_the_classes_of_the_specification(piapi_sandbox: Sandbox) -> None:
    run_all(piapi_sandbox, SPEC)


@pytest.mark.piapi_sandbox(replies="live", speed=1000, fault=["task:fail code=1800 message=no-luck"])
def test_a_failure_is_in_the_fields_that_clients_read(piapi_sandbox: Sandbox) -> None:
    found = run_task(piapi_sandbox, LIVE["mcp txt2img"])
    assert (found["status"], found["error"]["message"]) == ("failed", "no-luck")


@pytest.mark.piapi_sandbox(replies="live")
def test_uploads_and_active_tasks_match_the_clients(piapi_sandbox: Sandbox) -> None:
    """n8n and the command line upload base64; other clients a data URI. The command line counts active tasks."""
    content = io.BytesIO()
    draw("a photo", seed=1, width=320, height=256).save(content, "JPEG")
    plain = base64.b64encode(content.getvalue()).decode()
    for data in (plain, f"data:image/jpeg;base64,{plain}"):
        body = {"file_name": "photo.jpg", "file_data": data}
        url = call(piapi_sandbox, "POST", f"{piapi_sandbox.origin}/api/ephemeral_resource", body)["data"]["url"]
        with urlopen(url) as image:
            assert image.read() == content.getvalue()
            assert image.headers["content-type"] == "image/jpeg"
    call(piapi_sandbox, "POST", f"{piapi_sandbox.base_url}/task", LIVE["skills flux"])
    active = call(piapi_sandbox, "GET", f"{piapi_sandbox.origin}/account/active_tasks")["data"]
    counts = [entry["staged_count"] + entry["pending_count"] + entry["processing_count"] for entry in active.values()]
    assert sum(counts) == len(active["flux"]["active_tasks"]) == 1
