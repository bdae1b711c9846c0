"""Partial responses: a complete task ID in one is never lost, and no task is paid twice."""

import asyncio
import json
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from flux_cli.journal.entries import State
from flux_cli.piapi import client
from flux_cli.piapi.client import PiAPIClient
from flux_cli.piapi.responses import find_task_id
from flux_cli.piapi.submission import RETRIES, SubmissionOutcome, SubmissionResult

from .conftest import KEY, Flux
from .servers import Breaker, BreakingProxy, Service
from .test_promises import GEN, POST, Entries

ID = "1631d053-2352-4add-95cc-360fc52d5f89"
REPLY = {
    "code": 200,
    "data": {
        "task_id": ID,
        "model": "Qubico/flux1-schnell",
        "task_type": "img2img",
        "status": "pending",
        "config": {"webhook_config": {"endpoint": "https://webhook.site/xxxx", "secret": ""}},
        "input": {"prompt": "a bear", "negative_prompt": "", "width": 0, "height": 0, "steps": 0},
        "output": None,
        "meta": {"created_at": "2024-09-25T07:40:08.333962391Z", "started_at": "0001-01-01T00:00:00Z"},
        "error": {"code": 0, "raw_message": "", "message": "", "detail": None},
    },
    "message": "success",
}
"""The response to a submission, as PiAPI documents it."""


def make_response(status: str, content: bytes) -> bytes:
    """Return an HTTP response."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


async def submit_with_cuts(response: bytes, cuts: Iterable[int]) -> list[SubmissionResult]:
    """Return the results of submissions whose responses end after these numbers of bytes."""
    cut: int

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response[:cut])
        await writer.drain()
        writer.close()

    results = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, PiAPIClient(f"http://127.0.0.1:{port}/api/v1", KEY) as api:
        for cut in cuts:  # noqa: B007 - the server reads it
            results.append(await api.create(b"{}"))
    return results


@pytest.mark.parametrize("status", ["200 OK", "429 Too Many Requests", "500 Oops", "521 Down", "400 Bad Request"])
def test_a_response_cut_at_any_byte_is_never_a_refusal(status: str) -> None:
    response = make_response(status, json.dumps(REPLY).encode())
    end = response.index(ID.encode()) + len(ID) + 1  # with the quote: without it, the ID may be longer
    cuts = list(range(len(response) + 1))
    if status != "200 OK":  # the other bytes behave as with this status
        cuts = sorted({*cuts[::6], *cuts[end - 2 : end + 3], *cuts[-2:]})
    results = asyncio.run(submit_with_cuts(response, cuts))
    end = sum(cut < end for cut in cuts)

    assert {result.outcome for result in results[end:-1]} == {SubmissionOutcome.UNKNOWN}
    assert {result.seen_id for result in results[end:-1]} == {ID}
    assert {result.seen_id for result in results[:end]} == {None}
    assert results[-1].outcome is SubmissionOutcome.ACCEPTED
    if status == "200 OK":
        assert {result.outcome for result in results[:end]} == {SubmissionOutcome.UNKNOWN}
    assert not [result for result in results if result.seen_id and result.outcome in RETRIES]


def get_raw_response(service: Service, body: dict[str, object]) -> bytes:
    """Submit a task, and return the response byte for byte."""
    content = json.dumps(body).encode()
    head = f"POST /api/v1/task HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: {len(content)}\r\n\r\n"
    response = b""
    with socket.create_connection(("127.0.0.1", int(service.origin.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + content)
        while b"success" not in response:
            response += connection.recv(65536)
    return response


def test_a_batch_of_partial_responses_is_resumed(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    fields = {"prompt": "boat 00", "width": 64, "height": 64, "seed": 7}
    response = get_raw_response(service, {"model": "Qubico/flux1-schnell", "task_type": "txt2img", "input": fields})
    body, (task,) = response.index(b"\r\n\r\n") + 4, service.charges
    end = response.index(task.id.encode()) + len(task.id) + 1
    cuts = [0, 1, body - 1, body, body + 1, end - 20, end - 1, end, end + 1, end + 20, end + 100]
    Path("prompts.txt").write_text("".join(f"boat {number:02}\n" for number in range(len(cuts))))
    proxy.breakers += [Breaker(b"POST", response_bytes=cut) for cut in cuts]
    line = "gen --from prompts.txt -m schnell --size 64x64 --seed 7 -j 1"
    assert flux(line).code == 7
    assert [entry.state for entry in entries()] == [State.UNKNOWN] * len(cuts)

    result = flux("resume")
    assert result.code == 7
    assert [entry.state is State.SAVED for entry in entries()] == [cut >= end for cut in cuts]
    assert len(result.out.split()) == sum(cut >= end for cut in cuts)
    paid = {charge.id: charge.body["input"] for charge in service.charges}
    assert len(paid) == service.count_posts() == 1 + len(cuts)
    for entry in entries():
        if entry.task_id and entry.request:
            fields = {"prompt": entry.request.operation.prompt, "width": 64, "height": 64, "seed": 7}
            assert paid[entry.task_id] == fields


def run_with_partial_response(flux: Flux, service: Service, task_id: str, line: str = GEN, status: int = 200) -> str:
    """Run a command that receives half a response, and return its stderr."""
    service.reply_with(*POST, (status, {}, f'{{"code": 200, "data": {{"task_id": "{task_id}", "mod'.encode()))
    result = flux(line)
    assert (result.code, result.out) == (7, "")
    return result.err


@pytest.mark.parametrize("status", [200, 400, 402, 429, 500, 521])
def test_a_task_id_makes_the_outcome_unknown_for_every_status(
    flux: Flux, service: Service, entries: Entries, status: int
) -> None:
    message = run_with_partial_response(flux, service, ID, status=status)
    (entry,) = entries()
    assert (entry.state, entry.seen_id, service.count_posts()) == (State.UNKNOWN, ID, 1)
    assert message == (
        'flux: no usable response to the request for "a boat" (seed 1): '
        f"PiAPI returned HTTP {status}: invalid JSON. "
        "It may have been charged ($0.015 simulated); flux does not resend it.\n"
        "      A task ID arrived. To check it, and save its image: flux resume\n"
    )
    lines = flux(f"resolve {entry.id}").out.splitlines()
    assert f"  task ID    {ID} (in the damaged response)" in lines
    assert next(line.split()[:2] for line in lines if line.startswith("  flux ")) == ["flux", "resume"]


def test_a_task_id_that_does_not_match_is_reported_and_not_linked(
    flux: Flux, service: Service, entries: Entries
) -> None:
    flux("gen 'a goat' --seed 1 --size 64x64")
    goat = service.charges[0].id
    run_with_partial_response(flux, service, goat)
    run_with_partial_response(flux, service, ID)
    first, second = (entry.id for entry in entries()[1:])
    result = flux("resume")

    assert (result.code, result.out) == (7, "")
    assert (
        f'task {goat} may be of the earlier request for "a boat" (entry {first}), but is not linked: its prompt is "a goat", not "a boat"'
        in result.err
    )
    assert (
        f'task {ID} may be of the earlier request for "a boat" (entry {second}), but is not linked: task not found'
        in result.err
    )
    assert [entry.state for entry in entries()] == [State.SAVED, State.UNKNOWN, State.UNKNOWN]


def test_a_repeated_batch_resumes_a_partial_response(
    flux: Flux, service: Service, proxy: BreakingProxy, entries: Entries
) -> None:
    Path("prompts.txt").write_text("one\ntwo\n")
    proxy.breakers.append(Breaker(b"POST", response_bytes=300))
    line = "gen --from prompts.txt -m schnell --size 64x64 -j 1 -q"
    assert flux(line).code == 7
    assert entries()[0].seen_id == service.charges[0].id

    assert flux(line).code == 0
    assert len(service.charges) == service.count_posts() == 2


def test_a_response_that_stops_halfway_and_stays_open_times_out(
    flux: Flux, service: Service, proxy: BreakingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "POST_SECONDS", 0.5)
    proxy.breakers.append(Breaker(b"POST", response_bytes=300, hold=True))
    assert flux(GEN).code == 7
    assert flux("resume -q").out == "a-boat-1.png\n"
    assert len(service.charges) == 1


def test_a_key_that_is_returned_as_a_task_id_is_not_kept(flux: Flux, service: Service, entries: Entries) -> None:
    run_with_partial_response(flux, service, KEY)
    assert entries()[0].seen_id is None


def test_a_task_id_is_not_read_from_a_prompt() -> None:
    cut = json.dumps({"input": {"prompt": '"task_id": "evil"', "negative": '{"task_id":"evil"}'}, "data": {}})[:-2]
    assert "task_id" in cut
    assert find_task_id(cut) is None
    assert find_task_id('"task_id" :\n "a_b-1"') == "a_b-1"
    for invalid in ('"task_id": ""', '"task_id": "../x"', '"task_id": 5', f'"task_id": "{"x" * 129}"'):
        assert find_task_id(invalid) is None
