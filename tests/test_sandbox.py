"""The miniature service: in-process for `--sandbox`, and true to the specification's shapes and rules."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from flux_cli.json_value import JsonObject
from flux_cli.sandbox.app import Service as Rules
from flux_cli.sandbox.app import create_app
from flux_cli.sandbox.store import Store

from .conftest import KEY, Flux
from .servers import Service

TASK = {"model": "Qubico/flux1-dev", "task_type": "txt2img", "input": {"prompt": "a cat", "width": 256, "height": 256}}


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A client that knows nothing of this project."""
    with httpx.Client(base_url=service.origin, headers={"X-API-Key": KEY}, trust_env=False) as client:
        yield client


def test_the_sandbox_needs_no_key_and_remembers_between_commands(flux: Flux, home: Path) -> None:
    submitted = flux('gen "a boat" --seed 1 --size 256x256 --no-wait --sandbox')
    assert (submitted.code, flux(f"wait {submitted.out} --sandbox").out) == (0, "a-boat-1.png\n")

    assert len(flux("history --sandbox").out.splitlines()) == 1
    assert flux("history").out == ""
    assert sorted(path.name for path in home.iterdir()) == ["journal.db", "sandbox"]


def test_the_sandbox_can_be_chosen_in_the_environment(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_SANDBOX", "1")
    assert flux('gen "a boat" --seed 1 --size 256x256 -q').out == "a-boat-1.png\n"


def test_a_created_task_is_as_the_specification_shows_it(http: httpx.Client) -> None:
    reply = http.post("/api/v1/task", json=TASK)

    told = reply.json()
    assert reply.status_code == 200
    assert re.fullmatch(r"flux_[0-9a-f-]{36}", told["data"].pop("task_id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["data"]["meta"].pop("created_at"))
    assert told == {
        "code": 200,
        "data": {**TASK, "status": "pending", "meta": {"usage": {"type": "quota", "consume": 15000}}},
        "message": "success",
    }


def test_a_completed_task_is_as_the_specification_shows_it(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    store = Store(tmp_path / "timed.db")
    app = create_app(Rules(store, clock=lambda: clock[0]))

    async def exchange() -> tuple[list[str], dict[str, Any], httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://cdn", headers={"X-API-Key": "k"}) as http:
            created = (await http.post("/api/v1/task", json=TASK)).json()["data"]
            words = []
            for seconds in (0, 10, 14, 12):
                clock[0] += seconds
                task = (await http.get(f"/api/v1/task/{created['task_id']}")).json()["data"]
                words.append(task["status"])
            alive = await http.get(task["output"]["image_url"])
            clock[0] += 8 * 86400
            dead = await http.get(task["output"]["image_url"])
            return words, task, alive, dead

    with closing(store):
        words, task, alive, dead = asyncio.run(exchange())
    assert words == ["pending", "processing", "processing", "completed"]
    assert sorted(task) == ["input", "meta", "model", "output", "status", "task_id", "task_type"]
    assert sorted(task["meta"]) == ["created_at", "ended_at", "processing_time", "started_at", "usage"]
    assert task["output"] == {
        "image_url": f"http://cdn/pictures/{task['task_id']}/1.png",
        "width": 256,
        "height": 256,
        "seed": None,
        "model_version": "flux1-dev",
    }
    assert (alive.status_code, alive.content[:4], dead.status_code) == (200, b"\x89PNG", 403)


def test_the_live_shape_is_as_the_live_service_shows_it(tmp_path: Path) -> None:
    clock = [1_000_000.5]
    store = Store(tmp_path / "timed.db")
    app = create_app(Rules(store, clock=lambda: clock[0], shape="live"))
    body = {**TASK, "config": {"webhook_config": {"endpoint": "https://example.com/hook", "secret": "hush-hush-hush"}}}

    async def told() -> list[JsonObject]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://cdn", headers={"X-API-Key": "k"}) as http:
            replies = [(await http.post("/api/v1/task", json=body)).json()["data"]]
            for seconds in (10, 40):
                clock[0] += seconds
                replies.append((await http.get(f"/api/v1/task/{replies[0]['task_id']}")).json()["data"])
            return replies

    with closing(store):
        created, running, completed = asyncio.run(told())
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
        "image_url": f"http://cdn/pictures/{name}/1.png",
        "image_urls": None,
        "image_base64": "",
    }


def test_a_pending_task_can_be_cancelled_and_costs_nothing(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    store = Store(tmp_path / "timed.db")
    app = create_app(Rules(store, clock=lambda: clock[0], plan="free"))

    async def cancelled() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers={"X-API-Key": "k"}) as http:
            first, second = [(await http.post("/api/v1/task", json=TASK)).json()["data"]["task_id"] for _ in range(2)]
            assert (await http.post("/api/v1/task", json=TASK)).status_code == 429
            reply = await http.delete(f"/api/v1/task/{first}")
            assert (reply.status_code, reply.json()) == (200, {"code": 200, "message": f"task {first} canceled"})
            assert (await http.post("/api/v1/task", json=TASK)).status_code == 200, "its place is free"
            clock[0] += 20
            assert (await http.delete(f"/api/v1/task/{second}")).status_code == 400, "it is being worked on"
            assert (await http.delete(f"/api/v1/task/{first}")).status_code == 400
            assert (await http.delete("/api/v1/task/x")).status_code == 404
            clock[0] += 100
            task = (await http.get(f"/api/v1/task/{first}")).json()["data"]
            assert (task["status"], "output" in task, "started_at" in task["meta"]) == ("cancelled", False, False)
            assert (await http.get(f"/pictures/{first}/1.png")).status_code == 404

    with closing(store):
        asyncio.run(cancelled())
        assert str(store.spent()) == "0.030"


def test_the_history_lists_tasks_newest_first(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    store = Store(tmp_path / "timed.db")
    app = create_app(Rules(store, clock=lambda: clock[0]))

    async def listed() -> list[list[str]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers={"X-API-Key": "k"}) as http:
            for prompt in "abc":
                clock[0] += 100
                await http.post("/api/v1/task", json={**TASK, "input": {"prompt": prompt}})
            pages = []
            for query in ("", "page=2&page_size=2", "start_time=1000150&end_time=1970-01-12T13:50:30Z", "page=9"):
                data = (await http.get(f"/api/open/tasks/histories?{query}")).json()["data"]
                pages.append([task["input"]["prompt"] for task in data["tasks"]] + [str(data["total"])])
            return pages

    with closing(store):
        assert asyncio.run(listed()) == [["c", "b", "a", "3"], ["a", "3"], ["b", "1"], ["3"]]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"prompt": ""}, 400, 1100),
        ({"prompt": "x" * 1501}, 400, 1100),
        ({"width": 2048, "height": 2048}, 400, 1700),
        ({"width": -1}, 400, 1700),
        ({"guidance_scale": 9}, 400, 400),
        ({"denoise": 1.5}, 400, 400),
        ({"batch_size": 2}, 400, 400),
        ({"width": "256"}, 400, 400),
        ({"seed": True}, 400, 400),
        ({"prompt": 5}, 400, 400),
    ],
)
def test_every_documented_rule_is_kept(
    http: httpx.Client, service: Service, change: JsonObject, status: int, code: int
) -> None:
    reply = http.post("/api/v1/task", json={**TASK, "input": {**TASK["input"], **change}})  # type: ignore[dict-item]

    told = reply.json()
    assert (reply.status_code, told["code"], told["message"]) == (status, status, "failed")
    assert told["data"]["error"]["code"] == code
    assert sorted(told["data"]["error"]) == ["code", "detail", "message"]
    assert service.charges == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"model": "x"}', b'{"input": {}}', json.dumps({**TASK, "model": "x"}).encode(), json.dumps({**TASK, "task_type": "x"}).encode()])  # fmt: skip
def test_nonsense_is_refused(http: httpx.Client, service: Service, body: bytes) -> None:
    assert http.post("/api/v1/task", content=body).status_code == 400
    assert service.charges == []


@pytest.mark.parametrize("path", ["/api/v1/task/x", "/account/info"])
@pytest.mark.parametrize("key", ["", "wrong"])
def test_the_key_is_checked(http: httpx.Client, path: str, key: str) -> None:
    reply = http.get(path, headers={"X-API-Key": key})
    assert (reply.status_code, reply.json()["data"]["error"]["code"]) == (401, 1200)


def test_a_webhooks_secret_is_not_kept(http: httpx.Client, service: Service) -> None:
    config = {"webhook_config": {"endpoint": "https://example.com", "secret": "hush-hush-hush"}}
    http.post("/api/v1/task", json={**TASK, "config": config})
    assert "hush-hush-hush" not in json.dumps(service.charges[0].body)
