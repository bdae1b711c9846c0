"""The sandbox as a mock of PiAPI: its responses, and what it refuses."""

import asyncio
import base64
import io
import json
import re
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from flux_cli.json_value import Json, JsonObject
from flux_cli.sandbox.app import Service as Sandbox
from flux_cli.sandbox.app import create_app
from flux_cli.sandbox.drawing import draw
from flux_cli.sandbox.store import Store

from .conftest import KEY, Flux
from .servers import Service

TASK = {"model": "Qubico/flux1-dev", "task_type": "txt2img", "input": {"prompt": "a cat", "width": 256, "height": 256}}


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """Return a client that is independent of flux."""
    with httpx.Client(base_url=service.origin, headers={"X-API-Key": KEY}, trust_env=False) as http_client:
        yield http_client


class DirectTransport(httpx.BaseTransport):
    """A transport that calls an application in this process."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response of the application."""

        async def call() -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return asyncio.run(call())


def make_client(store: Store, **rules: Any) -> httpx.Client:
    """Return a client of a sandbox with these rules."""
    app = create_app(Sandbox(store, **rules))
    return httpx.Client(transport=DirectTransport(app), base_url="http://cdn", headers={"X-API-Key": "k"})


def test_the_sandbox_needs_no_key_and_keeps_its_tasks(flux: Flux, home: Path) -> None:
    submitted = flux('gen "a boat" --seed 1 --size 256x256 --no-wait --sandbox')
    assert (submitted.code, flux(f"wait {submitted.out} --sandbox").out) == (0, "a-boat-1.png\n")

    assert len(flux("history --sandbox").out.splitlines()) == 1
    assert flux("history").out == ""
    assert sorted(path.name for path in home.iterdir()) == ["journal.db", "journal.db.lock", "sandbox"]


def test_the_sandbox_can_be_selected_in_the_environment(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_SANDBOX", "1")
    assert flux('gen "a boat" --seed 1 --size 256x256 -q').out == "a-boat-1.png\n"


def test_a_created_task_matches_the_specification(http: httpx.Client) -> None:
    reply = http.post("/api/v1/task", json=TASK)

    body = reply.json()
    assert reply.status_code == 200
    assert re.fullmatch(r"flux_[0-9a-f-]{36}", body["data"].pop("task_id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["data"]["meta"].pop("created_at"))
    assert body == {
        "code": 200,
        "data": {**TASK, "status": "pending", "meta": {"usage": {"type": "quota", "consume": 15000}}},
        "message": "success",
    }


def test_a_completed_task_matches_the_specification(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    with closing(Store(tmp_path / "timed.db")) as store:
        http = make_client(store, clock=lambda: clock[0])
        created = http.post("/api/v1/task", json=TASK).json()["data"]
        statuses = []
        for seconds in (0, 10, 14, 12):
            clock[0] += seconds
            task = http.get(f"/api/v1/task/{created['task_id']}").json()["data"]
            statuses.append(task["status"])
        available = http.get(task["output"]["image_url"])
        clock[0] += 8 * 86400
        expired = http.get(task["output"]["image_url"])

    assert statuses == ["pending", "processing", "processing", "completed"]
    assert sorted(task) == ["input", "meta", "model", "output", "status", "task_id", "task_type"]
    assert sorted(task["meta"]) == ["created_at", "ended_at", "processing_time", "started_at", "usage"]
    assert task["output"] == {
        "image_url": f"http://cdn/images/{task['task_id']}/1.png",
        "width": 256,
        "height": 256,
        "seed": None,
        "model_version": "flux1-dev",
    }
    assert (available.status_code, available.content[:4], expired.status_code) == (200, b"\x89PNG", 403)


def test_a_live_task_matches_the_live_api(tmp_path: Path) -> None:
    clock = [1_000_000.5]
    body = {**TASK, "config": {"webhook_config": {"endpoint": "https://example.com/hook", "secret": "hush-hush-hush"}}}
    with closing(Store(tmp_path / "timed.db")) as store:
        http = make_client(store, clock=lambda: clock[0], replies="live")
        created = http.post("/api/v1/task", json=body).json()["data"]
        views = []
        for seconds in (10, 40):
            clock[0] += seconds
            views.append(http.get(f"/api/v1/task/{created['task_id']}").json()["data"])
    running, completed = views
    name = created["task_id"]
    assert created == {
        "task_id": name,
        "model": "Qubico/flux1-dev",
        "task_type": "txt2img",
        "status": "pending",
        "config": {"webhook_config": {"endpoint": "https://example.com/hook", "secret": ""}},
        "input": {"prompt": "a cat", "negative_prompt": "", "width": 256, "height": 256, "steps": 0},
        "output": None,
        "meta": {
            "created_at": "1970-01-12T13:46:40.500000000Z",
            "started_at": "0001-01-01T00:00:00Z",
            "ended_at": "0001-01-01T00:00:00Z",
            "usage": {"type": "quota", "frozen": 150000, "consume": 150000},
            "is_using_private_pool": False,
        },
        "detail": None,
        "logs": [],
        "error": {"code": 0, "raw_message": "", "message": "", "detail": None},
    }
    assert (running["status"], completed["status"]) == ("processing", "completed")
    assert completed["output"] == {
        "image_url": f"http://cdn/images/{name}/1.png",
        "image_urls": None,
        "image_base64": "",
    }


def test_a_pending_task_can_be_canceled_and_costs_nothing(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    with closing(Store(tmp_path / "timed.db")) as store:
        http = make_client(store, clock=lambda: clock[0], plan="free")
        first, second = [http.post("/api/v1/task", json=TASK).json()["data"]["task_id"] for _ in range(2)]
        assert http.post("/api/v1/task", json=TASK).status_code == 429
        reply = http.delete(f"/api/v1/task/{first}")
        assert (reply.status_code, reply.json()) == (200, {"code": 200, "message": f"task {first} canceled"})
        assert http.post("/api/v1/task", json=TASK).status_code == 200, "its slot is free"
        clock[0] += 20
        assert http.delete(f"/api/v1/task/{second}").status_code == 400, "it is processing"
        assert http.delete(f"/api/v1/task/{first}").status_code == 400
        assert http.delete("/api/v1/task/x").status_code == 404
        clock[0] += 100
        task = http.get(f"/api/v1/task/{first}").json()["data"]
        assert (task["status"], "output" in task, "started_at" in task["meta"]) == ("cancelled", False, False)
        assert http.get(f"/images/{first}/1.png").status_code == 404
        assert str(store.spent()) == "0.030"


def test_the_history_lists_tasks_newest_first(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    with closing(Store(tmp_path / "timed.db")) as store:
        http = make_client(store, clock=lambda: clock[0])
        for prompt in "abc":
            clock[0] += 100
            http.post("/api/v1/task", json={**TASK, "input": {"prompt": prompt}})
        pages = []
        for query in ("", "page=2&page_size=2", "start_time=1000150&end_time=1970-01-12T13:50:30Z", "page=9"):
            data = http.get(f"/api/open/tasks/histories?{query}").json()["data"]
            pages.append([task["input"]["prompt"] for task in data["tasks"]] + [str(data["total"])])
    assert pages == [["c", "b", "a", "3"], ["a", "3"], ["b", "1"], ["3"]]


def test_dates_in_the_history_are_utc_in_any_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not use the calendar of the operating system, which on Windows ends in the year 3000."""
    with closing(Store(tmp_path / "timed.db")) as store, monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Honolulu")
        time.tzset()
        http = make_client(store, clock=lambda: 1_000_000.0)
        http.post("/api/v1/task", json=TASK)

        def total(query: str) -> int:
            found: int = http.get(f"/api/open/tasks/histories?{query}").json()["data"]["total"]
            return found

        near = [total(f"end_time=1970-01-12T13:46:{second}") for second in (39, 41)]
        far = [
            total(query) for query in ("", "end_time=9999-12-31", "start_time=0001-01-01&end_time=9999-12-31T23:59:59")
        ]
        wrong = http.get("/api/open/tasks/histories?end_time=10000-01-01").status_code
    time.tzset()
    assert (near, far, wrong) == ([0, 1], [1, 1, 1], 400)


URL = "https://example.com/photo.jpg"
ADVANCED = {"model": "Qubico/flux1-dev-advanced"}


def make_settings(**fields: Json) -> JsonObject:
    """Return the input of an outpaint with these settings."""
    return {"image": URL, "custom_settings": [{"setting_type": "outpaint", "outpaint_left": 64, **fields}]}


REFUSED: list[tuple[dict[str, Any], dict[str, Any], int, str]] = [
    # changes to TASK; changes to its input; PiAPI's code; the message
    ({}, {"prompt": ""}, 1100, "Invalid prompt length: Prompt must be 1-1500 characters, got 0"),
    ({}, {"prompt": "x" * 1501}, 1100, "Invalid prompt length: Prompt must be 1-1500 characters, got 1501"),
    ({}, {"width": 2048, "height": 2048}, 1700, "Invalid image dimensions: Width * height cannot exceed 1048576 pixels"),
    ({}, {"width": -1}, 1700, "Invalid image dimensions: Width * height cannot exceed 1048576 pixels"),
    ({}, {"guidance_scale": 9}, 400, "Invalid guidance_scale: guidance_scale must be 1.5-5, got 9"),
    ({}, {"denoise": 1.5}, 400, "Invalid denoise: denoise must be 0-1, got 1.5"),
    ({}, {"steps": 41}, 400, "Invalid steps: steps must be 0-40, got 41"),
    ({}, {"batch_size": 2}, 400, "Invalid batch_size: batch_size must be 1-1, got 2"),
    ({}, {"seed": -2}, 400, "Invalid seed: seed must be at least -1, got -2"),
    ({}, {"width": "256"}, 400, "cannot unmarshal string into input.width of type int"),
    ({}, {"width": 256.0}, 400, "cannot unmarshal number into input.width of type int"),
    ({}, {"seed": True}, 400, "cannot unmarshal bool into input.seed of type int"),
    ({}, {"seed": 2**63}, 400, "cannot unmarshal number into input.seed of type int"),
    ({}, {"prompt": 5}, 400, "cannot unmarshal number into input.prompt of type string"),
    ({}, {"lora_settings": {"lora_type": "anime"}}, 400, "cannot unmarshal object into input.lora_settings of type array"),
    ({"config": []}, {}, 400, "cannot unmarshal array into config of type object"),
    ({"config": {"service_mode": "hya"}}, {}, 400, "invalid service_mode: public or private, got hya"),
    ({"config": {"service_mode": 1}}, {}, 400, "cannot unmarshal number into config.service_mode of type string"),
    ({"config": {"webhook_config": {"endpoint": 7}}}, {}, 400, "cannot unmarshal number into config.webhook_config.endpoint of type string"),
    ({"task_type": "inpaint"}, {}, 400, "unknown task_type: inpaint for Qubico/flux1-dev"),
    ({"task_type": "kontext"}, {"image": URL}, 400, "unknown task_type: kontext for Qubico/flux1-dev"),
    ({"task_type": "img2img"}, {}, 1600, "Invalid image URL: image must be an accessible URL"),
    ({"task_type": "img2img"}, {"image": "data:image/png;base64,x"}, 1600, "Invalid image URL: image must be an accessible URL"),
    (ADVANCED | {"task_type": "fill-inpaint"}, {"image": URL, "mask": "x.png"}, 1600, "Invalid image URL: mask must be an accessible URL"),
    (ADVANCED | {"task_type": "img2img-lora"}, {"lora_settings": [{"lora_type": "art"}]}, 1600, "Invalid image URL: image must be an accessible URL"),
    (ADVANCED | {"task_type": "txt2img-lora"}, {}, 1800, "LoRA/ControlNet load failed: lora_settings is empty"),
    (ADVANCED | {"task_type": "txt2img-lora"}, {"lora_settings": [{"lora_type": "art", "lora_strength": 1.5}]}, 400, "Invalid lora_strength: lora_strength must be 0-1, got 1.5"),
    (ADVANCED | {"task_type": "controlnet-lora"}, {"control_net_settings": [{"control_type": "depth"}]}, 1600, "Invalid image URL: control_image must be an accessible URL"),
    (ADVANCED | {"task_type": "controlnet-lora"}, {"control_net_settings": [{"control_image": URL, "control_strength": -0.1}]}, 400, "Invalid control_strength: control_strength must be 0-1, got -0.1"),
    (ADVANCED | {"task_type": "redux-variation"}, {"image": URL, "variation_strength": 2}, 400, "Invalid variation_strength: variation_strength must be 0-1, got 2"),
    (ADVANCED | {"task_type": "fill-outpaint"}, {"image": URL}, 400, "invalid request: custom_settings has no outpaint margins"),
    (ADVANCED | {"task_type": "fill-outpaint"}, make_settings(outpaint_left=-5), 400, "Invalid outpaint_left: outpaint_left must be 0-2048, got -5"),
    (ADVANCED | {"task_type": "fill-outpaint"}, make_settings(outpaint_top=2049), 400, "Invalid outpaint_top: outpaint_top must be 0-2048, got 2049"),
    (ADVANCED | {"task_type": "fill-outpaint"}, make_settings(outpaint_right="5"), 400, "cannot unmarshal string into input.custom_settings.outpaint_right of type int"),
    *(({"model": model}, {}, 400, f"unknown model: {model}") for model in ("dev", "DEV", "Qubico/FLUX1-dev", "midjourney")),
    ({"model": ""}, {}, 400, "unknown model: none given"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "fields", "code", "message"), REFUSED)
def test_requests_that_piapi_refuses_are_refused_in_both_formats(
    tmp_path: Path, changes: dict[str, Any], fields: dict[str, Any], code: int, message: str
) -> None:
    body = {**TASK, **changes, "input": TASK["input"] | fields}  # type: ignore[operator]
    with closing(Store(tmp_path / "strict.db")) as store:
        responses = [make_client(store, replies=form).post("/api/v1/task", json=body) for form in ("spec", "live")]
        assert store.tasks() == []
    error = responses[0].json()["data"]["error"]
    assert [response.status_code for response in responses] == [400, 400]
    assert (error["code"], ": ".join(filter(None, (error["message"], error["detail"])))) == (code, message)
    assert responses[1].json() == {
        "code": 400,
        "message": message.replace("be 0-1, got 1.5", "be above 0, up to 1, got 1.5")
        if "denoise" in fields
        else message,
    }


def test_requests_that_only_the_live_api_refuses(tmp_path: Path) -> None:
    """The specification allows the model pro and a denoise of 0. The live API allows neither."""
    with closing(Store(tmp_path / "strict.db")) as store:
        for change in ({"model": "Qubico/flux1-pro"}, {"input": {"prompt": "x", "denoise": 0}}):
            spec, live = (
                make_client(store, replies=form).post("/api/v1/task", json=TASK | change) for form in ("spec", "live")
            )
            assert (spec.status_code, live.status_code) == (200, 400)
    assert live.json()["message"] == "Invalid denoise: denoise must be above 0, up to 1, got 0"


def test_an_upload_can_be_a_data_uri_or_base64_in_lines(tmp_path: Path) -> None:
    image = draw("a photo", seed=1, width=320, height=256)
    content = io.BytesIO()
    image.save(content, "PNG")
    plain = base64.b64encode(content.getvalue()).decode()
    accepted = [plain, f"data:image/png;base64,{plain}", "\r\n".join(textwrap.wrap(plain, 76)) + "\n"]
    refused = ["", "%%%", plain[:-8], f"data:image/png,{plain}", base64.b64encode(b"<html>").decode()]
    with closing(Store(tmp_path / "uploads.db")) as store:
        http = make_client(store)

        def upload(data: str, name: str = "photo.png") -> httpx.Response:
            return http.post("/api/ephemeral_resource", json={"file_name": name, "file_data": data})

        urls = {upload(data).json()["data"]["url"] for data in accepted}
        assert len(urls) == 1
        assert http.get(urls.pop()).content == content.getvalue()
        assert [upload(data).status_code for data in refused] == [400] * len(refused)
        assert [upload(plain, name).status_code for name in ("photo.gif", "x" * 125 + ".png", "photo")] == [400] * 3


def test_active_tasks_are_counted_by_status(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    with closing(Store(tmp_path / "active.db")) as store:
        http = make_client(store, clock=lambda: clock[0])
        first = http.post("/api/v1/task", json=TASK).json()["data"]["task_id"]
        clock[0] += 10
        http.post("/api/v1/task", json=TASK)
        active = http.get("/account/active_tasks").json()["data"]["flux"]
        clock[0] += 100
        ended = http.get("/account/active_tasks").json()["data"]["flux"]
    assert {name: active[name] for name in active if name.endswith("count")} == {"staged_count": 0, "pending_count": 1, "processing_count": 1}  # fmt: skip
    assert (active["active_tasks"][0]["task_id"], ended["active_tasks"]) == (first, [])


def test_a_part_of_an_image_can_be_requested(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    with closing(Store(tmp_path / "ranges.db")) as store:
        http = make_client(store, clock=lambda: clock[0])
        task = http.post("/api/v1/task", json=TASK).json()["data"]["task_id"]
        clock[0] += 100
        url = f"/images/{task}/1.png"
        whole = http.get(url)
        parts = {spec: http.get(url, headers={"Range": spec}) for spec in RANGES}
        head = http.head(url)
    size = len(whole.content)
    assert (whole.status_code, whole.headers["accept-ranges"], head.headers["content-length"]) == (
        200,
        "bytes",
        str(size),
    )
    for spec, expected in RANGES.items():
        found = parts[spec]
        if expected is None:
            assert (found.status_code, found.headers["content-range"]) == (416, f"bytes */{size}"), spec
        elif expected == slice(None):
            assert (found.status_code, found.content) == (200, whole.content), spec
        else:
            start, end, _ = expected.indices(size)
            assert (found.status_code, found.content) == (206, whole.content[expected]), spec
            assert found.headers["content-range"] == f"bytes {start}-{end - 1}/{size}", spec


RANGES: dict[str, slice | None] = {
    "bytes=0-9": slice(0, 10),
    "bytes=100-": slice(100, None),
    "bytes=-8": slice(-8, None),
    "bytes=10-999999999": slice(10, None),
    "bytes=9-1": slice(None),
    "bytes=0-1,5-6": slice(None),
    "lines=0-1": slice(None),
    "bytes=999999999-": None,
    "bytes=-0": None,
}


@pytest.mark.parametrize(("origin", "allowed"), [
    ("http://localhost:3000", True),
    ("http://127.0.0.1:8080", True),
    ("https://app.localhost", True),
    ("http://[::1]:5173", True),
    ("https://example.com", False),
    ("http://localhost.example.com", False),
    ("http://127.0.0.1.example.com", False),
    ("null", False),
])  # fmt: skip
def test_only_pages_of_this_machine_can_call_the_api(tmp_path: Path, origin: str, allowed: bool) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}  # fmt: skip
    with closing(Store(tmp_path / "cors.db")) as store:
        http = make_client(store)
        preflight = http.options("/api/v1/task", headers=headers)
        refused = http.post("/api/v1/task", json={}, headers={"Origin": origin})
    granted = origin if allowed else None
    assert preflight.headers.get("access-control-allow-origin") == granted
    assert refused.headers.get("access-control-allow-origin") == granted, "a page must be able to read an error"
    assert ("x-api-key" in preflight.headers.get("access-control-allow-headers", "")) is True


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"model": "x"}', b'{"input": {}}', json.dumps({**TASK, "model": "x"}).encode(), json.dumps({**TASK, "task_type": "x"}).encode()])  # fmt: skip
def test_an_invalid_body_is_refused(http: httpx.Client, service: Service, body: bytes) -> None:
    assert http.post("/api/v1/task", content=body).status_code == 400
    assert service.charges == []


@pytest.mark.parametrize("path", ["/api/v1/task/x", "/account/info"])
@pytest.mark.parametrize("key", ["", "wrong"])
def test_the_key_is_checked(http: httpx.Client, path: str, key: str) -> None:
    reply = http.get(path, headers={"X-API-Key": key})
    assert (reply.status_code, reply.json()["data"]["error"]["code"]) == (401, 1200)


def test_the_secret_of_a_webhook_is_not_kept(http: httpx.Client, service: Service) -> None:
    config = {"webhook_config": {"endpoint": "https://example.com", "secret": "hush-hush-hush"}}
    http.post("/api/v1/task", json={**TASK, "config": config})
    assert "hush-hush-hush" not in json.dumps(service.charges[0].body)
