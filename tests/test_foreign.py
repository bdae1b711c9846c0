"""The sandbox satisfies clients that were written by others, against the live service, and never saw this project.

Facts of two public ones: what they send, and what they read from the answers. `apinetwork/piapi-mcp-server` (PiAPI's
own server for the Model Context Protocol) at e56ba84 and 0a581d7; `lvalics/n8n-nodes-piapi` at 790692b and 05d3e4e.
"""

import json
import time
from typing import Any
from urllib.request import Request, urlopen

import pytest

from flux_cli.sandbox.pytest_plugin import Sandbox

PICTURE = "https://example.com/photo.jpg"
NEGATIVE = "chaos, bad photo, low quality, low resolution"
ADVANCED = "Qubico/flux1-dev-advanced"


def mcp(model: str, task_type: str, **fields: Any) -> dict[str, Any]:
    """A request as the MCP server makes it: always a negative prompt, always steps."""
    base = {"prompt": "a fox", "negative_prompt": NEGATIVE, "steps": 4 if "schnell" in model else 25}
    return {"model": model, "task_type": task_type, "input": base | fields}


def n8n(model: str, task_type: str, **fields: Any) -> dict[str, Any]:
    """A request as the n8n node makes it: an empty negative prompt, always guidance and batch size."""
    base = {"prompt": "a fox", "negative_prompt": "", "guidance_scale": 3, "batch_size": 1}
    return {"model": model, "task_type": task_type, "input": base | fields}


SIZE = {"width": 256, "height": 256}
CONTROL = {"control_type": "depth", "control_image": PICTURE}
REQUESTS = {
    "mcp txt2img": mcp("Qubico/flux1-schnell", "txt2img", **SIZE),
    "mcp img2img": mcp("Qubico/flux1-dev", "img2img", image=PICTURE, **SIZE),
    "mcp txt2img-lora": mcp(ADVANCED, "txt2img-lora", lora_settings=[{"lora_type": "mystic-realism"}], **SIZE),
    "mcp img2img-lora": mcp(ADVANCED, "img2img-lora", image=PICTURE, lora_settings=[{"lora_type": "mystic-realism"}], **SIZE),
    "mcp fill-inpaint": mcp(ADVANCED, "fill-inpaint", image=PICTURE),
    "mcp fill-outpaint": mcp(
        ADVANCED,
        "fill-outpaint",
        image=PICTURE,
        custom_settings=[
            {"setting_type": "outpaint", "outpaint_left": 64, "outpaint_right": 0, "outpaint_top": 0, "outpaint_bottom": 0}
        ],
    ),
    "mcp redux-variation": mcp(ADVANCED, "redux-variation", image=PICTURE, **SIZE),
    "mcp controlnet-lora": mcp(ADVANCED, "controlnet-lora", lora_settings=[], control_net_settings=[CONTROL], **SIZE),
    "n8n txt2img": n8n("Qubico/flux1-dev", "txt2img", **SIZE),
    "n8n img2img": n8n("Qubico/flux1-dev", "img2img", image=PICTURE, denoise=0.7),
    "n8n img2img-lora": n8n(
        ADVANCED, "img2img-lora", image=PICTURE, denoise=0.7, lora_settings=[{"lora_type": "anime", "lora_strength": 1}]
    ),
    "n8n controlnet-lora": n8n(
        ADVANCED,
        "controlnet-lora",
        image=PICTURE,
        denoise=0.7,
        control_net_settings=[CONTROL | {"control_strength": 0.5, "return_preprocessed_image": False}],
    ),
}  # fmt: skip


def asked(sandbox: Sandbox, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The whole reply, with the headers that both clients send."""
    headers = {"X-API-Key": sandbox.key, "Content-Type": "application/json", "Accept": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{sandbox.base_url}{path}", content, headers, method=method)) as answer:
        reply: dict[str, Any] = json.load(answer)
    return reply


def ended(sandbox: Sandbox, task_id: str) -> dict[str, Any]:
    """The task once its status is one that the clients end at; they compare the word as it is, in lower case."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        reply = asked(sandbox, "GET", f"/task/{task_id}")
        assert reply["code"] == 200
        task: dict[str, Any] = reply["data"]
        if task["status"] in ("completed", "failed"):
            return task
        time.sleep(0.02)
    raise AssertionError("no end that these clients would notice")


@pytest.mark.piapi_sandbox(replies="live", speed=1000)
def test_what_others_send_is_done_and_what_they_read_is_there(piapi_sandbox: Sandbox) -> None:
    for name, request in REQUESTS.items():
        reply = asked(piapi_sandbox, "POST", "/task", request)
        assert reply["code"] == 200, name
        task = ended(piapi_sandbox, reply["data"]["task_id"])

        assert task["status"] == "completed", name
        assert isinstance(task["meta"]["usage"]["consume"], str | int | float), name
        output = task["output"]
        urls = [url for url in [output.get("image_url"), *(output.get("image_urls") or [])] if url]
        assert urls, name
        with urlopen(urls[0]) as picture:
            assert picture.read(8) == b"\x89PNG\r\n\x1a\n", name
    assert len(piapi_sandbox.tasks()) == len(REQUESTS)


@pytest.mark.piapi_sandbox(replies="live", speed=1000, fault=["task:fail code=1800 message=no-luck"])
def test_a_failure_is_told_where_others_look_for_it(piapi_sandbox: Sandbox) -> None:
    reply = asked(piapi_sandbox, "POST", "/task", REQUESTS["mcp txt2img"])
    task = ended(piapi_sandbox, reply["data"]["task_id"])
    assert (task["status"], task["error"]["message"]) == ("failed", "no-luck")
