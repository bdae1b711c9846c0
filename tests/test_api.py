"""The Python API, used as a program uses it, against the sandbox."""

import asyncio
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from PIL import Image

import flux_cli
from flux_cli import AsyncFlux, BudgetError, DiskError, Event, Flux, NotSavedError, UsageError
from flux_cli.engine.events import Accepted, Fetching
from flux_cli.journal.entries import Entry, State
from flux_cli.operations.parameters import parameters
from flux_cli.operations.registry import PARAMETERS

from .conftest import KEY
from .servers import Service, run_sandbox

Entries = Callable[[], list[Entry]]


@pytest.fixture
def photo() -> Path:
    Image.new("RGB", (256, 256), "navy").save("photo.png")
    return Path("photo.png")


def test_an_image_has_its_metadata(service: Service, entries: Entries) -> None:
    with Flux() as flux:
        image = flux.generate("a red fox", model="schnell", size="64x64", seed=7, output="fox.png")
    assert image.path == Path("fox.png").absolute()
    with Image.open(image.path) as content:
        assert content.size == (64, 64)
    assert (image.seed, image.model, str(image.cost)) == (7, "Qubico/flux1-schnell", "0.002")
    [entry], [charge] = entries(), service.charges
    assert (entry.id, entry.state, entry.task_id) == (image.entry, State.SAVED, image.task_id)
    assert charge.id == image.task_id
    assert image.url.startswith(service.origin)


def test_every_operation(service: Service, photo: Path) -> None:
    with Flux() as flux:
        results = [
            flux.generate("a fox", model="schnell", size="64x64", batch_size=2),
            flux.edit(photo, "as a watercolour", denoise=0.6),
            flux.lora("a fox", "anime:0.8", size="256x256"),
            flux.controlnet("a fox", [f"depth={photo}:0.5"], size="256x256"),
            flux.redux(photo, strength=0.3),
            flux.inpaint(photo, "a hat", mask_box="10,10,100,100"),
            flux.outpaint(photo, left=64, right="25%"),
        ]
    assert [len(result.paths) for result in results] == [2, 1, 1, 1, 1, 1, 1]
    assert all(path.exists() for result in results for path in result.paths)
    assert len(service.charges) == 7


def test_keywords_match_the_command_line_options() -> None:
    common_keywords = {"output", "overwrite", "no_metadata", "wait", "no_cache", "max_cost", "yes"}
    for op, command in PARAMETERS.items():
        for client in (AsyncFlux, Flux):
            method = getattr(client, "generate" if op == "gen" else op)
            [keywords] = get_args(method.__annotations__["options"])
            accepted = {*inspect.signature(method).parameters, *get_type_hints(keywords)} - {"self", "options"}
            options = {name.replace("-", "_") for group in (command, *command.groups) for name in parameters(group)}
            assert accepted == common_keywords | options - {"show_mask"}


def test_concurrent_calls_respect_the_limit(service: Service, entries: Entries) -> None:
    running: set[str] = set()
    most = 0

    def listen(event: Event) -> None:
        nonlocal most
        if isinstance(event, Accepted):
            running.add(event.entry)
        elif isinstance(event, Fetching):
            running.discard(event.entry)
        most = max(most, len(running))

    async def generate() -> None:
        async with AsyncFlux(concurrency=2, on_event=listen) as flux:
            calls = [flux.generate(f"fox {number}", model="schnell", size="64x64") for number in range(6)]
            results = await asyncio.gather(*calls)
        assert len({result.path for result in results}) == 6

    asyncio.run(generate())
    assert len(service.charges) == 6
    assert 1 <= most <= 2
    assert {entry.state for entry in entries()} == {State.SAVED}


def test_cancelling_a_call_loses_no_task(service: Service, entries: Entries) -> None:
    async def generate() -> None:
        accepted = asyncio.Event()

        def listen(event: Event) -> None:
            if isinstance(event, Accepted):
                accepted.set()

        async with AsyncFlux(concurrency=1, on_event=listen) as client:
            first = asyncio.create_task(client.generate("a fox", model="schnell", size="64x64", output="a.png"))
            await accepted.wait()
            second = asyncio.create_task(client.generate("an owl", model="schnell", size="64x64", output="b.png"))
            await asyncio.sleep(0)
            for call in (second, first):
                call.cancel()
            results = await asyncio.gather(first, second, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            # The client is still open, but another process can finish the task.
            done = await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "flux_cli", "resume"], check=False)
            assert done.returncode == 0

    asyncio.run(generate())
    assert len(service.charges) == 1
    assert [entry.state for entry in entries() if entry.task_id] == [State.SAVED]
    assert Path("a.png").exists()
    assert not Path("b.png").exists()


def test_errors_include_their_task(service: Service, photo: Path) -> None:
    with Flux() as flux:
        with pytest.raises(UsageError, match="Did you mean steps"):
            flux.generate("a fox", stepz=8)  # type: ignore[call-arg]  # a type checker also finds this
        with pytest.raises(UsageError, match="accepts one value"):
            flux.generate("a fox", seed="1..4")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="more than --max-cost"):
            flux.generate("a fox", max_cost=0.001)
        with pytest.raises(DiskError, match=r"photo\.png exists"):
            flux.generate("a fox", output=photo)
        with pytest.raises(UsageError, match="command line"):
            flux.generate("a fox", output="-")
        assert service.count_posts() == 0
        with pytest.raises(flux_cli.FluxError) as raised:
            flux.wait("00000000-0000-0000-0000-000000000000")
        assert raised.value.task_id == "00000000-0000-0000-0000-000000000000"
        unwaited = flux.generate("a fox", model="schnell", size="64x64", wait=False)
        with pytest.raises(NotSavedError, match=str(unwaited.task_id)):
            _ = unwaited.path
        assert flux.wait(str(unwaited.task_id), output="late.png").path == Path("late.png").absolute()
    with pytest.raises(RuntimeError, match="closed"):
        flux.generate("a fox")


def test_a_refused_call_does_not_affect_later_calls(service: Service) -> None:
    service.reply_with("POST", "/api/v1/task", (402, {}, b'{"code": 402, "message": "no credits"}'))
    with Flux() as flux:
        with pytest.raises(flux_cli.CreditsError):
            flux.generate("a fox", model="schnell", size="64x64")
        assert flux.generate("an owl", model="schnell", size="64x64").path.exists()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_listener_that_raises_does_not_break_a_call(
    service: Service, capsys: pytest.CaptureFixture[str], error: type[BaseException]
) -> None:
    def listen(event: Event) -> None:
        raise error

    with Flux(on_event=listen) as flux:
        assert flux.generate("a fox", model="schnell", size="64x64").path.exists()
    assert capsys.readouterr().out == ""


def test_a_client_can_be_entered_only_once(service: Service) -> None:
    async def enter_again() -> None:
        async with (client := AsyncFlux()):
            with pytest.raises(RuntimeError, match="entered once; make another one"):
                await client.__aenter__()
            assert (await client.generate("a fox", model="schnell", size="64x64")).path.exists()
        with pytest.raises(RuntimeError, match="entered once; make another one"):
            await client.__aenter__()

    asyncio.run(enter_again())


FORKED = """
import os, flux_cli
client = flux_cli.Flux()
if (child := os.fork()) == 0:
    try:
        client.generate("a fox")
    except RuntimeError as error:
        print(error, flush=True)
else:
    os.waitpid(child, 0)
    print(client.generate("an owl", model="schnell", size="64x64").path.exists())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_client_raises_in_a_forked_process(service: Service) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a client does not survive a fork; make another one in this process\nTrue\n"
    assert len(service.charges) == 1


def test_signal_handlers_and_streams_are_left_alone(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    handlers = []
    with Flux(on_event=lambda event: handlers.append(signal.getsignal(signal.SIGINT))) as flux:
        flux.generate("a fox", model="schnell", size="64x64")
    assert set(handlers) == {before[0]}
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert capfd.readouterr() == ("", "")


def test_a_program_that_never_closes_its_client_exits_cleanly(service: Service) -> None:
    script = "import flux_cli; f = flux_cli.Flux(); print(f.generate('a fox', model='schnell', size='64x64').path)"
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).exists()


INTERRUPTED = """
import os, signal, flux_cli
signal.signal(signal.SIGINT, signal.default_int_handler)
def listen(event):
    if type(event).__name__ == "Accepted":
        os.kill(os.getpid(), signal.SIGINT)
try:
    flux_cli.Flux(on_event=listen).generate("a fox", model="schnell", size="64x64", output="fox.png")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_leaves_the_task_for_a_later_run(tmp_path: Path, entries: Entries) -> None:
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED]
    with run_sandbox(tmp_path / "slow.db", speed=0.01) as service:
        environ = {**os.environ, "FLUX_BASE_URL": f"{service.origin}/api/v1", "PIAPI_API_KEY": KEY}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
        [entry] = entries()
        assert (entry.state, entry.owner, len(service.charges)) == (State.ACCEPTED, None, 1)


def test_cancelling_a_call_during_its_submission_records_the_response(service: Service, entries: Entries) -> None:
    async def generate() -> None:
        async with AsyncFlux() as client:
            call = asyncio.create_task(client.generate("a fox", model="schnell", size="64x64"))
            loop = asyncio.get_running_loop()
            service.hooks["POST", "/api/v1/task"] = lambda: loop.call_soon_threadsafe(call.cancel)
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(generate())
    [entry], [charge] = entries(), service.charges
    assert (entry.state, entry.task_id) == (State.ACCEPTED, charge.id)


def test_settings_are_keywords() -> None:
    with pytest.raises(UsageError, match="unknown setting 'tiemout'"):
        Flux(tiemout=3)
    with Flux(sandbox=True, output_dir="images") as flux:
        assert flux.generate("a fox", model="schnell", size="64x64").path.parent == Path("images").absolute()


def test_importing_the_package_is_lazy_and_exports_all_names() -> None:
    assert all(getattr(flux_cli, name).__name__ == name for name in flux_cli.__all__ if name != "Event")
    script = "import sys; old = set(sys.modules); import flux_cli; print(*sorted(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["flux_cli"]


def test_concurrent_calls_with_the_same_output_share_a_task(service: Service) -> None:
    async def run() -> list[Path]:
        async with AsyncFlux() as flux:
            calls = (flux.generate("a fox", model="schnell", size="64x64", output="fox.png") for _ in range(3))
            return [result.path for result in await asyncio.gather(*calls)]

    assert [path.name for path in asyncio.run(run())] == ["fox.png"] * 3
    assert len(service.charges) == 1


def test_an_expired_task_is_polled_before_it_is_charged_again(service: Service, home: Path) -> None:
    with Flux() as flux:
        first = flux.generate("a fox", model="schnell", size="64x64", output="fox.png")
    first.path.unlink()
    with closing(sqlite3.connect(home / "journal.db")) as journal, journal:
        journal.execute("UPDATE entries SET state = 'expired', files = '[]'")
    with Flux() as flux:
        second = flux.generate("a fox", model="schnell", size="64x64", output="fox.png")
    assert second.task_id == first.task_id
    assert len(service.charges) == 1


def test_a_client_has_a_budget_for_all_its_calls(service: Service) -> None:
    async def run() -> list[str]:
        async with AsyncFlux(budget="0.005") as flux:
            calls = (flux.generate(f"fox {number}", model="schnell", size="64x64") for number in range(5))
            results = await asyncio.gather(*calls, return_exceptions=True)
            return [result.message for result in results if isinstance(result, BudgetError)]

    refused = asyncio.run(run())
    assert refused == ["this costs $0.002, but $0.001 of the budget of $0.005 is left"] * 3
    assert len(service.charges) == 2
    with pytest.raises(UsageError, match="budget 'much': expected an amount"):
        Flux(budget="much")
