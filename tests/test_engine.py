"""Many concurrent entries, and one entry in several processes."""

import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from flux_cli.batch.runner import finish_entries
from flux_cli.cli.common_options import CommonOptions
from flux_cli.cli.session import Session
from flux_cli.errors import ExitCode
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Entry, State
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .conftest import KEY, Flux
from .servers import Service, run_sandbox

Start = Callable[..., subprocess.Popen[str]]


def plan_entries(session: Session, count: int) -> list[Entry]:
    """Plan entries as a batch does."""
    found = []
    for number in range(count):
        request = TaskRequest(
            TextToImage(prompt=f"boat {number}", width=64, height=64), "Qubico/flux1-schnell", seed=number
        )
        plan = OutputPlan((Path(f"boat-{number}.png").resolve(),))
        found.append(session.journal.plan(request, plan, price=Decimal("0.002")))
    return found


def finish(session: Session, entries: list[Entry]) -> ExitCode:
    """Finish entries, as every command does."""
    with session.make_reporter() as reporter:
        return finish_entries(session.run_context, reporter, entries)


def test_many_entries_respect_the_concurrency_limit(service: Service) -> None:
    with Session.create(CommonOptions(quiet=True), {"concurrency": "3"}) as session:
        code = finish(session, plan_entries(session, 12))
        states = [entry.state for entry in session.journal.entries()]

    assert (code, states) == (ExitCode.OK, [State.SAVED] * 12)
    spans = [(charge.created, charge.ended) for charge in service.charges]
    in_parallel = [sum(start <= moment < ended for start, ended in spans) for moment, _ in spans]
    assert 1 < max(in_parallel) <= 3
    assert len({path.read_bytes() for path in Path().glob("boat-*.png")}) == 12


def test_running_out_of_credits_stops_the_rest_and_saves_paid_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox(tmp_path / "poor.db", credit=Decimal("0.0105")) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        with Session.create(CommonOptions(quiet=True), {"concurrency": "1"}) as session:
            code = finish(session, plan_entries(session, 9))
            states = [entry.state for entry in session.journal.entries()]

    assert code is ExitCode.CREDITS
    assert states == [State.SAVED] * 5 + [State.REJECTED] + [State.PLANNED] * 3


def test_an_unknown_outcome_sets_the_exit_code_and_stops_nothing(service: Service) -> None:
    service.reply_with("POST", "/api/v1/task", (500, {}, b""))
    with Session.create(CommonOptions(quiet=True), {"concurrency": "1"}) as session:
        code = finish(session, plan_entries(session, 4))
        states = [entry.state for entry in session.journal.entries()]

    assert code is ExitCode.UNKNOWN_CHARGE
    assert states == [State.UNKNOWN] + [State.SAVED] * 3


def test_two_parallel_resumes_download_each_image_once(flux: Flux, service: Service, start: Start) -> None:
    for number in range(6):
        flux(f"gen boat --seed {number} --size 64x64 --no-wait")
    both = [start("resume -q"), start("resume -q")]
    outputs = [process.communicate(timeout=30)[0].split() for process in both]

    saved = [line for line in outputs[0] + outputs[1] if line.endswith(".png")]
    assert sorted(saved) == [f"boat-{number}.png" for number in range(6)]
    assert sorted(path.name for path in Path().iterdir()) == [f"boat-{number}.png" for number in range(6)]
    # 12: the other process is downloading all of them; 3: some of them
    assert {process.returncode for process in both} <= {0, 3, 12}


def test_processes_share_the_limit_of_the_plan(
    flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """Six processes with a limit of two tasks: no request is refused."""
    with run_sandbox(tmp_path / "free.db", plan="free", speed=60) as service:
        monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        processes = [start(f"gen boat --seed {number} --size 64x64 -q") for number in range(6)]
        outputs = [process.communicate(timeout=60) for process in processes]
        charged = len(service.charges)
        refused = service.count_posts() - charged

    assert [(process.returncode, err) for process, (_, err) in zip(processes, outputs, strict=True)] == [(0, "")] * 6
    assert charged == 6
    # flux learns of the end of a task after it ends, so that a slot is never free here before it is free at PiAPI.
    assert refused == 0


def test_a_killed_process_releases_its_slot(
    flux: Flux, service: Service, start: Start, entries: Callable[[], list[Entry]]
) -> None:
    service.reply_with("GET", "/api/v1/task/", *[(503, {}, b"")] * 100)
    holder = start("gen slow --size 64x64 -j 1")
    while not any(entry.state is State.ACCEPTED for entry in entries()):
        pass
    waiting = start("gen boat --seed 1 --size 64x64 -j 1")
    assert waiting.stderr is not None
    assert "queued; at most 1 task in parallel" in waiting.stderr.readline()
    holder.kill()
    holder.communicate()
    service.scripted.clear()
    assert waiting.communicate(timeout=30)[0] == "boat-1.png\n"


def test_waiting_for_a_submitted_task_needs_no_slot(
    flux: Flux, service: Service, start: Start, entries: Callable[[], list[Entry]]
) -> None:
    flux("gen boat --seed 1 --size 64x64 --no-wait")
    service.reply_with("GET", f"/images/{service.charges[0].id}", (503, {}, b""))
    service.reply_with("GET", "/api/v1/task/", *[(503, {}, b"")] * 3)
    holder = start("gen slow --size 64x64 -j 1")
    while len(entries()) < 2:
        pass
    assert flux("resume -q -j 1").out.splitlines()[-1] == "boat-1.png"  # possibly after the task of the other process
    holder.communicate(timeout=30)
