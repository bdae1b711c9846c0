"""Requests in the format of PiAPI, and its replies, valid and hostile."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_cli.errors import UsageError
from flux_cli.json_value import Json, JsonObject
from flux_cli.operations.request import TaskRequest, create_body
from flux_cli.operations.text_to_image import TextToImage
from flux_cli.piapi.responses import hide_webhook_secrets, parse_response, parse_task
from flux_cli.piapi.task import Phase, TaskError
from flux_cli.text import clean
from flux_cli.webhooks.secret import add_secret

DEV, SCHNELL = "Qubico/flux1-dev", "Qubico/flux1-schnell"
DRAGON = (
    "A majestic dragon soaring over a medieval castle at sunset, cinematic lighting, highly detailed, fantasy art style"
)

# --- requests ------------------------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[TaskRequest, str | None, bool, Json]] = {
    "specification: Text-to-Image Request Example": (
        TaskRequest(
            TextToImage(prompt=DRAGON, negative_prompt="blurry, low quality, distorted, ugly", guidance=3.5, denoise=0.7),
            DEV, 12345, "public", "https://your-webhook.com/flux",
        ),
        "webhook_secret",
        False,
        {
            "model": DEV,
            "task_type": "txt2img",
            "input": {
                "prompt": DRAGON, "negative_prompt": "blurry, low quality, distorted, ugly",
                "width": 1024, "height": 1024, "guidance_scale": 3.5, "denoise": 0.7, "seed": 12345,
            },
            "config": {
                "service_mode": "public",
                "webhook_config": {"endpoint": "https://your-webhook.com/flux", "secret": "webhook_secret"},
            },
        },
    ),
    "live: the smallest": (
        TaskRequest(TextToImage(prompt="a little cat"), DEV, 1),
        None,
        False,
        {
            "model": DEV,
            "task_type": "txt2img",
            "input": {"prompt": "a little cat", "width": 1024, "height": 1024, "seed": 1},
        },
    ),
    "live: a batch of schnell": (
        TaskRequest(TextToImage(prompt="a little cat", width=512, height=512, negative_prompt="blurry", guidance=4.0, batch_size=2), SCHNELL, 0),
        None,
        False,
        {
            "model": SCHNELL,
            "task_type": "txt2img",
            "input": {
                "prompt": "a little cat", "negative_prompt": "blurry", "guidance_scale": 4.0, "width": 512,
                "height": 512, "batch_size": 2, "seed": 0,
            },
        },
    ),
    "live: a webhook without a secret, the workspace's own mode, debug": (
        TaskRequest(TextToImage(prompt="a bear", steps=4), SCHNELL, 7, None, "https://webhook.site/xxxx"),
        None,
        True,
        {
            "model": SCHNELL,
            "task_type": "txt2img",
            "input": {"prompt": "a bear", "width": 1024, "height": 1024, "steps": 4, "seed": 7, "debug": True},
            "config": {"webhook_config": {"endpoint": "https://webhook.site/xxxx"}},
        },
    ),
    "a secret without a webhook is not sent": (
        TaskRequest(TextToImage(prompt="a bear"), DEV, 7, "private"),
        "s3cret",
        False,
        {
            "model": DEV,
            "task_type": "txt2img",
            "input": {"prompt": "a bear", "width": 1024, "height": 1024, "seed": 7},
            "config": {"service_mode": "private"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_request_bodies_match_the_specification(name: str) -> None:
    request, secret, debug, body = REQUESTS[name]
    result = add_secret(create_body(request, debug=debug), request.webhook, lambda: secret)
    assert result == body
    # PiAPI checks types strictly: 1024 is not 1024.0, and nothing is null.
    assert json.dumps(result, sort_keys=True) == json.dumps(body, sort_keys=True)
    assert "null" not in json.dumps(result)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_restored_from_the_journal(name: str) -> None:
    request, secret, _, _ = REQUESTS[name]
    stored = request.to_json()
    restored = TaskRequest.from_json(json.loads(json.dumps(stored)))
    assert restored == request
    assert restored.digest == request.digest
    assert not secret or secret not in json.dumps(stored)


STORED: JsonObject = {
    "op": "controlnet",
    "model": DEV,
    "seed": 1,
    "prompt": "x",
    "guidance": 3,
    "batch_size": 1,
    "width": 1024,
    "height": 1024,
    "controls": [{"kind": "canny", "image": "https://e.com/x.png", "strength": None}],
    "loras": [{"name": "anime", "strength": 0.5}],
    "keep_control": False,
}


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "nosuch"}, {"op": 7}, {"prompt": 7}, {"prompt": None}, {"model": ["dev"]}, {"seed": "1"}, {"seed": True},
        {"seed": 1.5}, {"guidance": "3"}, {"guidance": True}, {"steps": 4.0}, {"batch_size": [2]}, {"webhook": {}},
        {"width": "64"}, {"keep_control": 1}, {"overrides": []}, {"loras": "anime"}, {"loras": ["anime"]}, {"loras": [{}]},
        {"controls": {}}, {"controls": [{"kind": "canny", "image": 7}]}, {"controls": [{"kind": "canny"}]},
    ],
)  # fmt: skip
def test_a_stored_request_of_wrong_types_is_refused(fields: JsonObject) -> None:
    """The metadata of an image can come from anywhere."""
    assert TaskRequest.from_json(STORED).to_json() == STORED
    with pytest.raises(UsageError, match="not a request that this version of flux knows"):
        TaskRequest.from_json({**STORED, **fields})


# --- replies -------------------------------------------------------------------------------------------------------

SPEC_CREATED = """{"code": 200, "data": {"task_id": "flux_12345-abcd-efgh-ijkl", "model": "Qubico/flux1-dev",
  "task_type": "txt2img", "status": "pending",
  "input": {"prompt": "A majestic dragon soaring over a medieval castle", "width": 1024, "height": 1024},
  "meta": {"created_at": "2024-12-09T10:30:00Z", "usage": {"type": "quota", "consume": 15000}}},
  "message": "success"}"""

SPEC_COMPLETED = """{"code": 200, "data": {"task_id": "flux_12345-abcd-efgh-ijkl", "status": "completed",
  "output": {"image_url": "https://cdn.piapi.ai/images/flux_final_12345.png", "width": 1024, "height": 1024,
    "seed": 12345, "model_version": "flux1-dev"},
  "meta": {"created_at": "2024-12-09T10:30:00Z", "started_at": "2024-12-09T10:30:05Z",
    "ended_at": "2024-12-09T10:30:32Z", "processing_time": 27}}, "message": "success"}"""

LIVE_PENDING = """{"code": 200, "data": {"task_id": "1631d053-2352-4add-95cc-360fc52d5f89",
  "model": "Qubico/flux1-schnell", "task_type": "img2img", "status": "pending",
  "config": {"webhook_config": {"endpoint": "https://webhook.site/xxxx", "secret": ""}},
  "input": {"prompt": "a bear", "negative_prompt": "", "image": "https://i.ibb.co/J7ZNgSG/01.jpg", "width": 0,
    "height": 0, "steps": 0},
  "output": null,
  "meta": {"created_at": "2024-09-25T07:40:08.333962391Z", "started_at": "0001-01-01T00:00:00Z",
    "ended_at": "0001-01-01T00:00:00Z", "usage": {"type": "quota", "frozen": 0, "consume": 20000},
    "is_using_private_pool": false},
  "detail": null, "logs": [], "error": {"code": 0, "raw_message": "", "message": "", "detail": null}},
  "message": "success"}"""

WEBHOOK = """{"timestamp": 1724511853, "data": {"task_id": "58cb41b7-556d-46c0-b82e-1e116aa1a31a", "model": "luma",
  "task_type": "video_generation", "status": "completed",
  "config": {"webhook_config": {"endpoint": "https://webhook.site/xxxxx", "secret": "123456"}},
  "input": {}, "output": {}}}"""


def test_replies_of_the_specification_are_parsed() -> None:
    created, completed = parse_response(SPEC_CREATED.encode()), parse_response(SPEC_COMPLETED.encode())
    assert created.task
    assert completed.task
    assert (created.well_formed, created.code, created.message) == (True, 200, "success")
    assert (created.task.id, created.task.status.phase) == ("flux_12345-abcd-efgh-ijkl", Phase.RUNNING)
    assert (created.task.model, created.task.task_type, created.task.error) == (DEV, "txt2img", None)
    assert completed.task.status.phase is Phase.COMPLETED
    assert completed.task.urls == ("https://cdn.piapi.ai/images/flux_final_12345.png",)
    assert completed.task.ended == datetime(2024, 12, 9, 10, 30, 32, tzinfo=UTC)


def test_an_empty_error_and_unset_times_of_a_live_reply_are_none() -> None:
    task = parse_response(LIVE_PENDING.encode()).task
    assert task
    assert (task.status.phase, task.error, task.urls, task.inline) == (Phase.RUNNING, None, (), ())
    assert task.created == datetime(2024, 9, 25, 7, 40, 8, 333962, tzinfo=UTC)
    assert (task.started, task.ended) == (None, None)


def test_the_data_of_a_webhook_is_parsed_as_a_task() -> None:
    task = parse_response(WEBHOOK.encode()).task
    assert task
    assert (task.id, task.status.phase, task.urls) == ("58cb41b7-556d-46c0-b82e-1e116aa1a31a", Phase.COMPLETED, ())


REFUSALS: list[tuple[str, bool, int | None, str]] = [
    (
        '{"code": 400, "data": {"error": {"code": 1700, "message": "Invalid image dimensions",'
        ' "detail": "Width * height cannot exceed 1048576 pixels"}}, "message": "failed"}',
        True, 1700, "Invalid image dimensions: Width * height cannot exceed 1048576 pixels",
    ),
    ('{"code": 403, "message": "Insufficient plan level"}', True, 403, "Insufficient plan level"),
    ('{"error": "unauthorized"}', True, None, "unauthorized"),
    (
        '{"code": 500, "data": {"error": {"code": 10000, "raw_message": "failed to freeze point"}}}',
        True, 10000, "failed to freeze point",
    ),
    ('{"code": "1400", "message": " too many\\nrequests "}', True, 1400, "too many requests"),
    ('{"data": {"error": {"code": 0, "message": ""}}, "code": 200, "message": "success"}', True, 200, "success"),
    ('{"detail": "Not Found"}', True, None, "Not Found"),
    ('{"code": true, "message": 7}', True, None, ""),
    ("[]", False, None, ""),
    ('"text"', False, None, ""),
    ("null", False, None, ""),
    ("upstream says \x1b[2J no", False, None, "upstream says \\x1b[2J no"),
    ("  <html><h1>502 Bad Gateway</h1>", False, None, ""),
    ('{"code": 200, "data": {"task_id": "cut', False, None, '{"code": 200, "data": {"task_id": "cut'),
    ("", False, None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "well_formed", "code", "message"), REFUSALS)
def test_refusals_are_parsed_in_every_known_format(
    body: str, well_formed: bool, code: int | None, message: str
) -> None:
    reply = parse_response(body.encode())
    assert (reply.well_formed, reply.code, reply.message, reply.task) == (well_formed, code, message, None)


@pytest.mark.parametrize("task_id", ["", " ", "a b", "../../x", "a/b", "x" * 129, "é", "x\n", 7, None, ["x"], True])
def test_an_id_that_is_not_valid_in_a_url_makes_no_task(task_id: Any) -> None:
    assert parse_task({"task_id": task_id, "status": "completed"}) is None


A, B = "https://img.theapi.app/temp/a.png", "http://storage.theapi.app/b.png?x=1&y=2"


@pytest.mark.parametrize(
    ("output", "urls", "inline"),
    [
        ({"image_url": A}, (A,), ()),
        ({"image_url": "", "image_urls": [A, B, A]}, (A, B), ()),
        ({"image_url": None, "image_urls": None, "image_base64": "aGk="}, (), ("aGk=",)),
        ({"image_url": f" {A}\n", "image_base64": "aGk="}, (A,), ()),
        ({"image_urls": [], "images_base64": ["aGk=", "", "aG8="]}, (), ("aGk=", "aG8=")),
        ({"images": [{"url": A}, {"nested": {"url": [B]}}], "seed": 7}, (A, B), ()),
        ([A, [B]], (A, B), ()),
        (A, (A,), ()),
        ({"image_url": "ftp://x/a.png", "other": ["javascript:alert(1)", "file:///etc/passwd", "data:,x"]}, (), ()),
        ({"image_url": "https://", "other": ["https:///a.png", "http://[", "//x/a.png", "HTTPS//x", "x"]}, (), ()),
        ({"image_url": "https://x/\x1b[2J.png", "other": ["https://x/\ud800.png", "https://x/\u202egnp.png"]}, (), ()),
        ({"image_url": "HTTPS://x/a.png"}, ("HTTPS://x/a.png",), ()),
        (None, (), ()),
        (7, (), ()),
    ],
)  # fmt: skip
def test_image_urls_are_found_in_order_or_else_inline_images(
    output: Any, urls: tuple[str, ...], inline: tuple[str, ...]
) -> None:
    task = parse_task({"task_id": "x", "status": "Completed", "output": output, "input": {"image": B}})
    assert task
    assert (task.urls, task.inline) == (urls, inline)


@pytest.mark.parametrize(
    ("status", "phase"),
    [("Completed", Phase.COMPLETED), (" success ", Phase.COMPLETED), ("SUCCEEDED", Phase.COMPLETED),
     ("Failed", Phase.FAILED), ("failure", Phase.FAILED), ("error", Phase.FAILED), ("Cancelled", Phase.FAILED),
     ("canceled", Phase.FAILED), ("Pending", Phase.RUNNING), ("Processing", Phase.RUNNING), ("Staged", Phase.RUNNING),
     ("completed?", Phase.RUNNING), ("", Phase.RUNNING), (None, Phase.RUNNING), (200, Phase.RUNNING),
     (["failed"], Phase.RUNNING)],
)  # fmt: skip
def test_an_unknown_status_means_that_the_task_is_running(status: Any, phase: Phase) -> None:
    task = parse_task({"task_id": "x", "status": status, "error": {"code": 0, "message": ""}})
    assert task
    assert task.status.phase is phase
    assert (task.error is None) == (phase is not Phase.FAILED)


def test_any_status_can_be_stored_and_shown() -> None:
    task = parse_task({"task_id": "x", "status": "\ud800\x1b[2J" + "x" * 500})
    assert task
    assert task.status.word.startswith("\\ud800\\x1b[2jx")
    assert len(task.status.word) <= 40


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"error": {"code": 10000, "message": "bad image", "raw_message": "raw"}}, TaskError(10000, "bad image")),
        ({"error": {"code": 10000, "message": "", "raw_message": "raw"}, "logs": ["log"]}, TaskError(10000, "raw")),
        ({"error": {"code": "1600"}, "logs": ["first", "the last\x1b"]}, TaskError(1600, "the last\\x1b")),
        ({"error": "in words"}, TaskError(0, "in words")),
        ({"error": None, "logs": None}, TaskError(0, "no reason given")),
    ],
)
def test_the_error_of_a_failed_task_is_parsed(data: dict[str, Json], error: TaskError) -> None:
    task = parse_task({"task_id": "x", "status": "failed", **data})
    assert task
    assert task.error == error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-09-25T07:40:08.333962391Z", datetime(2024, 9, 25, 7, 40, 8, 333962, UTC)),
        ("2024-09-25T07:40:08.3Z", datetime(2024, 9, 25, 7, 40, 8, 300000, UTC)),
        ("2024-09-25T07:40:08", datetime(2024, 9, 25, 7, 40, 8, 0, UTC)),
        ("2024-09-25T09:40:08.333962391+02:00", datetime(2024, 9, 25, 7, 40, 8, 333962, UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00.000000000Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),  # past the end of the calendar in UTC
        ("2024-09-25T07:40:08.²Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_timestamps_are_parsed(text: str, expected: datetime | None) -> None:
    task = parse_task({"task_id": "x", "meta": {"created_at": text, "started_at": 1727250008, "ended_at": None}})
    assert task
    assert (task.created, task.started, task.ended) == (expected, None, None)


def test_webhook_secrets_are_redacted_in_the_whole_reply() -> None:
    reply = json.loads(WEBHOOK)
    kept = hide_webhook_secrets([reply, {"secret": ["x"]}])
    assert "123456" not in json.dumps(kept)
    assert isinstance(kept, list)
    assert kept[1] == {"secret": "[secret]"}
    assert reply["data"]["config"]["webhook_config"]["secret"] == "123456", "a copy: the original is not touched"
    reply["data"]["config"]["webhook_config"]["secret"] = "[secret]"
    assert kept[0] == reply


# --- hostile replies -----------------------------------------------------------------------------------------------

NAMES = ["data", "task_id", "status", "error", "code", "message", "raw_message", "detail", "output", "image_url",
         "image_urls", "image_base64", "meta", "created_at", "ended_at", "logs", "model", "secret", "x"]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=12)
    | st.sampled_from([10**400, math.inf, math.nan, "9" * 5000, "\ud800", "\x1b[2J\u202e", "completed", "FAILED", "x",
                       A, "https://\ud800/", "http://[::1", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=8,
)
META = st.dictionaries(st.sampled_from(["created_at", "started_at", "ended_at"]), SCALARS)
TASKS = st.fixed_dictionaries(
    {"task_id": st.just("x"), "status": SCALARS, "meta": META},
    optional={"output": VALUES, "error": VALUES, "logs": VALUES, "model": VALUES},
).map(lambda data: {"data": data})


@given(VALUES | TASKS)
def test_no_reply_raises_and_its_texts_can_be_stored_and_shown(value: Json) -> None:
    reply = parse_response(json.dumps(value).encode())
    shown = [reply.message]
    if task := reply.task:
        shown += [task.status.word, *task.urls, task.error.message if task.error else ""]
        assert len(task.status.word) <= 60
    for text in shown:
        assert clean(text, 10_000) == text
        text.encode()
    json.dumps(hide_webhook_secrets(reply.data))


@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b"\xef\xbb\xbf", b"\xff\xfe", b'{"code": 1']))
def test_no_bytes_raise_an_error(content: bytes, start: bytes) -> None:
    reply = parse_response(start + content)
    assert clean(reply.message, 1000) == reply.message
    assert reply.task is None


@pytest.mark.parametrize("depth", [50, 400, 900, 100_000])
@pytest.mark.parametrize("pair", ["[]", ('{"output":', "}")])
def test_deep_nesting_raises_no_error(depth: int, pair: tuple[str, str]) -> None:
    deep = pair[0] * depth + "1" + pair[1] * depth
    reply = parse_response(
        f'{{"data": {{"task_id": "x", "output": {deep}, "error": {deep}, "logs": {deep}}}}}'.encode()
    )
    assert reply.task is None or (reply.task.id, reply.task.urls) == ("x", ())
    hide_webhook_secrets(reply.data)
