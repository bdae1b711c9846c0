"""`flux wait` and `flux status` at the end of a pipe: ids are taken as they come, and results come as they land."""

import asyncio
import io
import json
import os
import signal
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flux_cli.batch.task_ids import read_ids
from flux_cli.cli.commands.status import POLLS_AT_ONCE
from flux_cli.journal.entries import State
from flux_cli.system.signals import DetachedExecutor

from .conftest import KEY, Flux, Result
from .servers import Breaker, BreakingProxy, Service, run_breaking_proxy, serve_app
from .test_promises import LOOK, POST, Entries, Start, finish, refusal, task_reply, wait_until
from .test_sources import Many


class Pipe:
    """A process that reads ids from a pipe whose other end the test holds."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def send(self, *ids: str) -> None:
        """Write ids, one a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in ids))
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line of the results."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def piped(start: Start, line: str, **options: object) -> Pipe:
    return Pipe(start(line, stdin=subprocess.PIPE, **options))


def ended_while_silent(process: "subprocess.Popen[str]") -> Result:
    """How a process ended whose stdin stays open."""
    stdin, process.stdin = process.stdin, None  # or `communicate` would close it
    assert stdin is not None
    with stdin:
        return finish(process)


def submitted(flux: Flux, *seeds: int) -> list[str]:
    """The ids of tasks that were submitted and are not waited for."""
    return [flux(f"gen boat --seed {seed} --size 64x64 --no-wait -q").out.strip() for seed in seeds]


@pytest.fixture
def proxy(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingProxy]:
    """A breaking proxy that the program talks to instead of the service."""
    with run_breaking_proxy(service) as running:
        monkeypatch.setenv("FLUX_BASE_URL", f"{running.origin}/api/v1")
        yield running


def test_a_picture_comes_while_the_pipe_is_open(flux: Flux, service: Service, start: Start) -> None:
    one, two, three = submitted(flux, 1, 2, 3)
    wait = piped(start, f"wait - {three}")
    assert wait.line() == "boat-3.png\n"
    wait.send(one)
    assert wait.line() == "boat-1.png\n"
    wait.send("", f"  {two}\r", one, three)
    assert wait.line() == "boat-2.png\n"
    result = finish(wait.process)

    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines()[-1].startswith("3 saved; $0.00 spent in ")


def test_tasks_are_waited_for_while_their_submitter_goes_on(
    service: Service, proxy: BreakingProxy, start: Start
) -> None:
    """The entry that `gen --no-wait` tells of is nobody's any more, though `gen` is alive."""
    proxy.breakers += [Breaker(b"POST", delay=0.001), Breaker(b"POST", hold=True)]
    Path("prompts.txt").write_text("boat\nhouse\n")
    gen = start("gen --from prompts.txt --seed 1 --size 64x64 --no-wait -q -j 1")
    wait = start("wait - -q", stdin=gen.stdout)

    assert wait.stdout is not None
    assert wait.stdout.readline() == "1-boat-1.png\n"
    assert gen.poll() is None
    gen.kill()
    gen.communicate()
    assert finish(wait).code == 0


def test_lines_of_json_are_ids_too(flux: Flux, service: Service) -> None:
    service.reply_with(*POST, refusal(400, 1700, "no such thing"))
    gen = flux("gen boat --seed 1..3 -o '{seed}.png' --size 64x64 -j 1 --no-wait --json")
    refused, *accepted = map(json.loads, gen.out.splitlines())
    assert (gen.code, refused["task_id"], accepted.pop()["type"]) == (3, None, "summary")
    wait = flux("wait - --json", "\ufeff" + gen.out)
    *outcomes, summary = map(json.loads, wait.out.splitlines())

    assert wait.code == 3
    assert {outcome["task_id"] for outcome in outcomes} == {None, *(line["task_id"] for line in accepted)}
    assert [outcome["error"]["code"] for outcome in outcomes if outcome["state"] == "rejected"] == ["refused"]
    assert sorted(path.name for path in Path().iterdir()) == ["2.png", "3.png"]
    assert (summary["type"], summary["saved"], summary["refused"]) == ("summary", 2, 1)


def test_a_pipeline_run_again_fetches_nothing_anew(flux: Flux, service: Service) -> None:
    """What was saved before is named by its task too, or `wait` would be given file names."""
    Path("prompts.txt").write_text("boat\nhouse\n")
    for _ in range(2):
        gen = flux("gen --from prompts.txt --seed 1 --size 64x64 --no-wait")
        assert sorted(gen.out.split()) == sorted(charge.id for charge in service.charges)
        wait = flux("wait -", gen.out)
        assert (wait.code, sorted(wait.out.split())) == (0, ["1-boat-1.png", "2-house-1.png"])
    assert flux("gen --from prompts.txt --no-cache --skip-existing --seed 1 --size 64x64 --no-wait").out == ""
    assert len(service.charges) == 2


@pytest.mark.parametrize(
    "line",
    ["Submitting 2 tasks", "../../etc/passwd", '{"id": 7}', '{"task_id": "a/b"}', '{"task_id"', "[]", "x" * 200_000,
     "{" * 60_000, "\x1b[31m\udc80"],
)  # fmt: skip
def test_noise_in_the_pipe_loses_no_task(flux: Flux, service: Service, line: str) -> None:
    one, two = submitted(flux, 1, 2)
    result = flux("wait -", f"{one}\n{line}\n{two}".encode("utf-8", "surrogateescape"))

    assert result.code == 3
    assert set(result.out.split()) == {"boat-1.png", "boat-2.png"}
    (told,) = [told for told in result.err.splitlines() if told.startswith("flux:")]
    assert told.startswith("flux: stdin, line 2: '")
    assert told.endswith("' is not a task ID")
    assert len(told) < 150


@pytest.mark.parametrize("content", ["", "\n \r\n", '{"schema": 1, "type": "summary"}\n'])
@pytest.mark.parametrize("command", ["wait", "status"])
def test_a_pipe_without_ids(flux: Flux, service: Service, command: str, content: str) -> None:
    result = flux(f"{command} -", content)
    assert (result.code, result.out, result.err) == (2, "", "flux: no IDs were read\n")


@pytest.mark.parametrize("piece", [b"flux_ba5a939d\n", b"x" * 500])
def test_memory_does_not_grow_with_the_pipe(piece: bytes) -> None:
    def peak(pieces: int) -> int:
        async def drain() -> None:
            async for _ in read_ids(["-"], io.TextIOWrapper(io.BufferedReader(Many(pieces, piece)))):
                pass

        tracemalloc.start()
        try:
            asyncio.run(drain())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)  # what is made once is made
    assert peak(30_000) < peak(3000) + 100_000


def test_a_wrong_word_is_told_before_anything_begins(flux: Flux, service: Service) -> None:
    (one,) = submitted(flux, 1)
    seen = len(service.requests)
    assert flux(f"wait {one} 'not an id'").code == 2
    assert len(service.requests) == seen


def test_one_name_has_place_for_one_task(flux: Flux, service: Service) -> None:
    one, two = submitted(flux, 1, 2)
    assert flux(f"wait {one} {two} -o it.png").code == 2
    result = flux("wait - -o it.png -q", f"{one}\n{one}\n{two}\n")

    assert (result.code, result.out) == (3, "it.png\n")
    assert f"-o names one file, and task {two} needs another" in result.err
    assert flux("resume -q").out == "boat-2.png\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_though_the_pipe_is_silent(flux: Flux, service: Service, start: Start, number: int) -> None:
    one, two = submitted(flux, 1, 2)
    service.reply_with("GET", f"{LOOK[1]}{two}", *[(503, {}, b"")] * 1000)
    wait = piped(start, "wait -")
    wait.send(one, two)
    assert wait.line() == "boat-1.png\n"
    wait_until(lambda: any(two in request.path for request in service.requests))
    wait.process.send_signal(number)
    result = ended_while_silent(wait.process)

    assert (result.code, result.out) == (-number, "")
    assert (
        f"flux: interrupted; task {two} is still running. Charged ($0.015 simulated).\n      Next: flux wait {two}\n"
        in result.err
    )
    assert "Traceback" not in result.err
    service.scripted.clear()
    assert flux("resume -q").out == "boat-2.png\n"


@pytest.mark.parametrize(("command", "answer"), [("wait", "boat-1.png\n"), ("status", "{} completed\n")])
def test_a_signal_when_nothing_is_left_to_wait_for(
    flux: Flux, service: Service, start: Start, command: str, answer: str
) -> None:
    (one,) = submitted(flux, 1)
    flux(f"wait {one}")
    pipe = piped(start, f"{command} -")
    pipe.send(one)
    assert pipe.line() == answer.format(one)
    pipe.process.send_signal(signal.SIGINT)
    result = ended_while_silent(pipe.process)

    assert (result.code, result.out) == (-signal.SIGINT, "")
    assert result.err.splitlines()[-1].startswith("flux: interrupted")


def test_a_closed_stdout_ends_it_though_the_pipe_is_silent(flux: Flux, service: Service, start: Start) -> None:
    (one,) = submitted(flux, 1)
    reader, writer = os.pipe()
    os.close(reader)
    wait = piped(start, "wait -", stdout=writer)
    os.close(writer)
    wait.send(one)

    assert wait.process.wait(20) == 141
    wait.process.communicate()
    assert Path("boat-1.png").exists()


def test_a_read_that_was_given_up_ends_quietly() -> None:
    """pytest fails a test whose threads raise."""
    written, threads = threading.Event(), set(threading.enumerate())

    async def give_up() -> None:
        reading = asyncio.get_running_loop().run_in_executor(DetachedExecutor(), written.wait, 20)
        await asyncio.sleep(0)
        reading.cancel()

    asyncio.run(give_up())
    written.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(20)


def test_status_answers_each_id_at_once(flux: Flux, service: Service, start: Start) -> None:
    (one,) = submitted(flux, 1)
    status = piped(start, "status -")
    status.send(one)
    assert status.line().startswith(f"{one} ")
    status.send("what is this", json.dumps({"task_id": one}))
    assert status.line().startswith(f"{one} ")
    result = finish(status.process)

    assert (result.code, result.out) == (3, "")
    assert result.err == "flux: stdin, line 2: 'what is this' is not a task ID\n"


def test_status_polls_many_tasks_together_and_shows_them_in_order(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is answered when eight have been asked for; the others at once."""
    asked, eight = list[str](), asyncio.Event()

    async def poll(request: Request) -> JSONResponse:
        task = request.path_params["task"]
        asked.append(task)
        if len(asked) == POLLS_AT_ONCE:
            eight.set()
        if task == "task-0":
            await asyncio.wait_for(eight.wait(), 20)
        return JSONResponse({"code": 200, "data": {"task_id": task, "status": "pending"}})

    tasks = [f"task-{number}" for number in range(30)]
    with serve_app(Starlette(routes=[Route("/api/v1/task/{task}", poll)])) as origin:
        monkeypatch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        result = flux(f"status {' '.join(tasks)}")

    assert (result.code, result.out.splitlines()) == (0, [f"{task} pending" for task in tasks])
    assert set(asked[:POLLS_AT_ONCE]) == set(tasks[:POLLS_AT_ONCE])


# --- the first of several ----------------------------------------------------------------------------------------


def test_the_first_picture_is_enough(
    flux: Flux, service: Service, proxy: BreakingProxy, start: Start, entries: Entries
) -> None:
    """One has failed, one is saved; of the third the download is under way, the fourth is not done."""
    failed, saved, fetched, running = submitted(flux, 1, 2, 3, 4)
    service.reply_with("GET", f"{LOOK[1]}{failed}", task_reply(service, status="failed"))
    service.reply_with("GET", f"{LOOK[1]}{running}", *[(503, {}, b"")] * 1000)
    held = Breaker(f"GET /images/{fetched}".encode(), response_bytes=400, hold=True)
    proxy.breakers.append(held)
    wait = piped(start, f"wait --any {failed} {fetched} {running} -")
    wait_until(lambda: len(list(Path().glob(".flux-*.part"))) == 1)
    wait.send(saved)
    result = ended_while_silent(wait.process)

    assert (result.code, result.out) == (0, "boat-2.png\n")
    assert f"flux: task {failed} failed" in result.err
    told = result.err.splitlines()[-2]
    assert told == "2 tasks still running or not saved; download the images, at no cost, with: flux resume"
    assert [path.name for path in Path().iterdir()] == ["boat-2.png"]
    states = {entry.task_id: entry.state for entry in entries()}
    assert (states[fetched], states[running]) == (State.READY, State.ACCEPTED)

    service.scripted.clear()
    assert set(flux(told.partition(": flux ")[2] + " -q").out.split()) == {"boat-3.png", "boat-4.png"}


def test_when_none_is_saved_the_failure_counts(flux: Flux, service: Service) -> None:
    tasks = submitted(flux, 1, 2)
    for task in tasks:
        service.reply_with("GET", f"{LOOK[1]}{task}", task_reply(service, task_id=task, status="failed"))
    result = flux(f"wait --any --json {' '.join(tasks)}")

    assert result.code == 8
    assert [json.loads(line)["type"] for line in result.out.splitlines()] == ["outcome", "outcome", "summary"]


def test_a_race_may_have_one_name(flux: Flux, service: Service) -> None:
    tasks = submitted(flux, 1, 2)
    service.reply_with("GET", f"{LOOK[1]}{tasks[0]}", *[(503, {}, b"")] * 1000)
    result = flux(f"wait --any -q -o best.png {' '.join(tasks)}")
    assert (result.code, result.out) == (0, "best.png\n")
    # The loser must not take the winner's place when it is fetched.
    assert flux(f"wait --any --overwrite -o best.png {' '.join(tasks)}").code == 2
    winner = Path("best.png").read_bytes()
    service.scripted.clear()
    assert flux("resume -q").out == "best-2.png\n"
    assert Path("best.png").read_bytes() == winner


@pytest.mark.parametrize("quiet", [False, True])
def test_an_interrupted_resume_names_what_is_left(flux: Flux, service: Service, start: Start, quiet: bool) -> None:
    """For a person in one line, whose command continues all of it; with -q as one error for each task."""
    tasks = submitted(flux, 1, 2)
    for task in tasks:
        service.reply_with("GET", f"{LOOK[1]}{task}", *[(503, {}, b"")] * 1000)
    process = start("resume -q" if quiet else "resume")
    wait_until(lambda: all(any(task in request.path for request in service.requests) for task in tasks))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    if quiet:
        assert all(f"flux: interrupted; task {task} is still running." in err for task in tasks)
    else:
        assert "flux: interrupted" not in err
        assert "2 tasks still running or not saved; download the images, at no cost, with: flux resume" in err
    service.scripted.clear()
    assert sorted(flux("resume -q").out.split()) == ["boat-1.png", "boat-2.png"]
