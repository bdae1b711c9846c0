"""`flux wait` and `flux status` in a pipeline: IDs are read as they arrive, and images are reported as they are saved."""

import asyncio
import io
import json
import os
import signal
import subprocess
import threading
import tracemalloc
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
from .servers import Breaker, BreakingProxy, Service, serve_app
from .test_promises import POLL, POST, Entries, Start, finish, make_refusal, make_task_reply, wait_until
from .test_sources import ManyLines


class Pipe:
    """A process that reads IDs from a pipe that the test writes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def send(self, *ids: str) -> None:
        """Write IDs, one per line."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in ids))
        self.process.stdin.flush()

    def read_line(self) -> str:
        """Return the next line of the results."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def start_with_pipe(start: Start, line: str, **options: object) -> Pipe:
    return Pipe(start(line, stdin=subprocess.PIPE, **options))


def finish_with_open_stdin(process: "subprocess.Popen[str]") -> Result:
    """Return the result of a process whose stdin stays open."""
    stdin, process.stdin = process.stdin, None  # otherwise, `communicate` would close it
    assert stdin is not None
    with stdin:
        return finish(process)


def submit(flux: Flux, *seeds: int) -> list[str]:
    """Submit tasks without waiting for them, and return their IDs."""
    return [flux(f"gen boat --seed {seed} --size 64x64 --no-wait -q").out.strip() for seed in seeds]


def test_an_image_is_saved_while_the_pipe_is_open(flux: Flux, service: Service, start: Start) -> None:
    first, second, third = submit(flux, 1, 2, 3)
    wait = start_with_pipe(start, f"wait - {third}")
    assert wait.read_line() == "boat-3.png\n"
    wait.send(first)
    assert wait.read_line() == "boat-1.png\n"
    wait.send("", f"  {second}\r", first, third)
    assert wait.read_line() == "boat-2.png\n"
    result = finish(wait.process)

    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines()[-1].startswith("3 saved; $0.00 spent (")


def test_tasks_are_waited_for_while_their_submitter_runs(service: Service, proxy: BreakingProxy, start: Start) -> None:
    """`gen --no-wait` releases an entry when it prints its ID, although `gen` is still running."""
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


def test_json_lines_are_accepted_as_ids(flux: Flux, service: Service) -> None:
    service.reply_with(*POST, make_refusal(400, 1700, "no such thing"))
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


def test_a_repeated_pipeline_downloads_nothing_again(flux: Flux, service: Service) -> None:
    """Saved tasks are printed by their ID, too. Otherwise, `wait` would receive file names."""
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
    first, second = submit(flux, 1, 2)
    result = flux("wait -", f"{first}\n{line}\n{second}".encode("utf-8", "surrogateescape"))

    assert result.code == 3
    assert set(result.out.split()) == {"boat-1.png", "boat-2.png"}
    (error,) = [error for error in result.err.splitlines() if error.startswith("flux:")]
    assert error.startswith("flux: stdin, line 2: '")
    assert error.endswith("' is not a task ID")
    assert len(error) < 150


@pytest.mark.parametrize("content", ["", "\n \r\n", '{"schema": 1, "type": "summary"}\n'])
@pytest.mark.parametrize("command", ["wait", "status"])
def test_a_pipe_without_ids_is_refused(flux: Flux, service: Service, command: str, content: str) -> None:
    result = flux(f"{command} -", content)
    assert (result.code, result.out, result.err) == (2, "", "flux: no IDs on stdin\n")


@pytest.mark.parametrize("piece", [b"flux_ba5a939d\n", b"x" * 500])
def test_memory_does_not_grow_with_the_pipe(piece: bytes) -> None:
    def measure_peak(pieces: int) -> int:
        async def drain() -> None:
            async for _ in read_ids(["-"], io.TextIOWrapper(io.BufferedReader(ManyLines(pieces, piece)))):
                pass

        tracemalloc.start()
        try:
            asyncio.run(drain())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    measure_peak(1000)  # create what is created only once
    assert measure_peak(30_000) < measure_peak(3000) + 100_000


def test_an_invalid_id_is_reported_before_anything_is_sent(flux: Flux, service: Service) -> None:
    (first,) = submit(flux, 1)
    request_count = len(service.requests)
    assert flux(f"wait {first} 'not an id'").code == 2
    assert len(service.requests) == request_count


def test_one_file_name_is_used_for_one_task(flux: Flux, service: Service) -> None:
    first, second = submit(flux, 1, 2)
    assert flux(f"wait {first} {second} -o it.png").code == 2
    result = flux("wait - -o it.png -q", f"{first}\n{first}\n{second}\n")

    assert (result.code, result.out) == (3, "it.png\n")
    assert f"-o names one file, and task {second} needs another" in result.err
    assert flux("resume -q").out == "boat-2.png\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_on_a_silent_pipe(flux: Flux, service: Service, start: Start, number: int) -> None:
    first, second = submit(flux, 1, 2)
    service.reply_with("GET", f"{POLL[1]}{second}", *[(503, {}, b"")] * 1000)
    wait = start_with_pipe(start, "wait -")
    wait.send(first, second)
    assert wait.read_line() == "boat-1.png\n"
    wait_until(lambda: any(second in request.path for request in service.requests))
    wait.process.send_signal(number)
    result = finish_with_open_stdin(wait.process)

    assert (result.code, result.out) == (-number, "")
    assert (
        f"flux: interrupted; task {second} is still running. Charged ($0.015 simulated).\n      Next: flux wait {second}\n"
        in result.err
    )
    assert "Traceback" not in result.err
    service.scripted.clear()
    assert flux("resume -q").out == "boat-2.png\n"


@pytest.mark.parametrize(("command", "output"), [("wait", "boat-1.png\n"), ("status", "{} completed\n")])
def test_a_signal_after_all_tasks_have_ended(
    flux: Flux, service: Service, start: Start, command: str, output: str
) -> None:
    (first,) = submit(flux, 1)
    flux(f"wait {first}")
    pipe = start_with_pipe(start, f"{command} -")
    pipe.send(first)
    assert pipe.read_line() == output.format(first)
    pipe.process.send_signal(signal.SIGINT)
    result = finish_with_open_stdin(pipe.process)

    assert (result.code, result.out) == (-signal.SIGINT, "")
    assert result.err.splitlines()[-1].startswith("flux: interrupted")


def test_a_closed_stdout_ends_the_wait_on_a_silent_pipe(flux: Flux, service: Service, start: Start) -> None:
    (first,) = submit(flux, 1)
    reader, writer = os.pipe()
    os.close(reader)
    wait = start_with_pipe(start, "wait -", stdout=writer)
    os.close(writer)
    wait.send(first)

    assert wait.process.wait(20) == 141
    wait.process.communicate()
    assert Path("boat-1.png").exists()


def test_an_abandoned_read_ends_quietly() -> None:
    """pytest fails a test whose threads raise."""
    finished, threads = threading.Event(), set(threading.enumerate())

    async def give_up() -> None:
        reading = asyncio.get_running_loop().run_in_executor(DetachedExecutor(), finished.wait, 20)
        await asyncio.sleep(0)
        reading.cancel()

    asyncio.run(give_up())
    finished.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(20)


def test_status_reports_each_id_immediately(flux: Flux, service: Service, start: Start) -> None:
    (first,) = submit(flux, 1)
    status = start_with_pipe(start, "status -")
    status.send(first)
    assert status.read_line().startswith(f"{first} ")
    status.send("what is this", json.dumps({"task_id": first}))
    assert status.read_line().startswith(f"{first} ")
    result = finish(status.process)

    assert (result.code, result.out) == (3, "")
    assert result.err == "flux: stdin, line 2: 'what is this' is not a task ID\n      List your tasks: flux history\n"


def test_status_polls_many_tasks_together_and_shows_them_in_order(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first response waits for eight requests; the others are sent immediately."""
    requested, all_requested = list[str](), asyncio.Event()

    async def poll(request: Request) -> JSONResponse:
        task = request.path_params["task"]
        requested.append(task)
        if len(requested) == POLLS_AT_ONCE:
            all_requested.set()
        if task == "task-0":
            await asyncio.wait_for(all_requested.wait(), 20)
        return JSONResponse({"code": 200, "data": {"task_id": task, "status": "pending"}})

    tasks = [f"task-{number}" for number in range(30)]
    with serve_app(Starlette(routes=[Route("/api/v1/task/{task}", poll)])) as origin:
        monkeypatch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        result = flux(f"status {' '.join(tasks)}")

    assert (result.code, result.out.splitlines()) == (0, [f"{task} pending" for task in tasks])
    assert set(requested[:POLLS_AT_ONCE]) == set(tasks[:POLLS_AT_ONCE])


# --- the first of several ---------------------------------------------------------------------------------------------


def test_wait_any_ends_after_the_first_image(
    flux: Flux, service: Service, proxy: BreakingProxy, start: Start, entries: Entries
) -> None:
    """One task has failed, one is saved, the third is being downloaded, and the fourth is running."""
    failed, saved, downloading, running = submit(flux, 1, 2, 3, 4)
    service.reply_with("GET", f"{POLL[1]}{failed}", make_task_reply(service, status="failed"))
    service.reply_with("GET", f"{POLL[1]}{running}", *[(503, {}, b"")] * 1000)
    breaker = Breaker(f"GET /images/{downloading}".encode(), response_bytes=400, hold=True)
    proxy.breakers.append(breaker)
    wait = start_with_pipe(start, f"wait --any {failed} {downloading} {running} -")
    wait_until(lambda: len(list(Path().glob(".flux-*.part"))) == 1)
    wait.send(saved)
    result = finish_with_open_stdin(wait.process)

    assert (result.code, result.out) == (0, "boat-2.png\n")
    assert f"flux: task {failed} failed" in result.err
    message = result.err.splitlines()[-2]
    assert message == "To wait for the running tasks and save their images (no new charge): flux resume"
    assert [path.name for path in Path().iterdir()] == ["boat-2.png"]
    states = {entry.task_id: entry.state for entry in entries()}
    assert (states[downloading], states[running]) == (State.READY, State.ACCEPTED)

    service.scripted.clear()
    assert set(flux(message.partition(": flux ")[2] + " -q").out.split()) == {"boat-3.png", "boat-4.png"}


def test_wait_any_without_an_image_ends_with_the_failure(flux: Flux, service: Service) -> None:
    tasks = submit(flux, 1, 2)
    for task in tasks:
        service.reply_with("GET", f"{POLL[1]}{task}", make_task_reply(service, task_id=task, status="failed"))
    result = flux(f"wait --any --json {' '.join(tasks)}")

    assert result.code == 8
    assert [json.loads(line)["type"] for line in result.out.splitlines()] == ["outcome", "outcome", "summary"]


def test_wait_any_accepts_one_file_name(flux: Flux, service: Service) -> None:
    tasks = submit(flux, 1, 2)
    service.reply_with("GET", f"{POLL[1]}{tasks[0]}", *[(503, {}, b"")] * 1000)
    result = flux(f"wait --any -q -o best.png {' '.join(tasks)}")
    assert (result.code, result.out) == (0, "best.png\n")
    # A later download must not replace the first image.
    assert flux(f"wait --any --overwrite -o best.png {' '.join(tasks)}").code == 2
    winner = Path("best.png").read_bytes()
    service.scripted.clear()
    assert flux("resume -q").out == "best-2.png\n"
    assert Path("best.png").read_bytes() == winner


@pytest.mark.parametrize("quiet", [False, True])
def test_an_interrupted_resume_reports_unfinished_tasks(
    flux: Flux, service: Service, start: Start, quiet: bool
) -> None:
    """It prints one line with one command for all of them, or with -q one error per task."""
    tasks = submit(flux, 1, 2)
    for task in tasks:
        service.reply_with("GET", f"{POLL[1]}{task}", *[(503, {}, b"")] * 1000)
    process = start("resume -q" if quiet else "resume")
    wait_until(lambda: all(any(task in request.path for request in service.requests) for task in tasks))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    if quiet:
        assert all(f"flux: interrupted; task {task} is still running." in err for task in tasks)
    else:
        assert "flux: interrupted" not in err
        assert "To wait for the running tasks and save their images (no new charge): flux resume" in err
    service.scripted.clear()
    assert sorted(flux("resume -q").out.split()) == ["boat-1.png", "boat-2.png"]


def test_a_task_that_was_never_polled_is_not_called_running(flux: Flux, service: Service) -> None:
    (task,) = submit(flux, 1)
    service.reply_with("GET", f"{POLL[1]}{task}", *[(503, {}, b"")] * 1000)
    result = flux(f"wait {task} --timeout 0.2")
    assert result.code == 9
    assert f"cannot get the status of task {task} within 0.2 s: PiAPI returned HTTP 503" in result.err
