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
