"""One path for one task and for many: checked before the first charge, paid once, fully reported, safely interrupted."""

import asyncio
import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flux_cli import AsyncFlux
from flux_cli import Flux as Client
from flux_cli.engine.outcome import exit_code
from flux_cli.errors import CreditsError, DiskError, ExitCode, InterruptError, NetworkError, UnknownChargeError
from flux_cli.journal.entries import Entry, State

from .conftest import Flux
from .raw_servers import PublicNetwork
from .servers import Service
from .test_promises import POST, Start, make_refusal, wait_until

Entries = Callable[[], list[Entry]]
SMALL = "-m schnell --size 64x64"
REUSED = "already saved: s.png (no charge)\nTo generate again, and pay again, add --no-cache --overwrite\n"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def write_rows(*rows: str) -> None:
    """Write rows.csv, one row per line."""
    Path("rows.csv").write_text("".join(f"{row}\n" for row in ("prompt,output", *rows)))


# --- before the first charge -----------------------------------------------------------------------------------------


def test_all_name_conflicts_are_reported_before_the_first_charge(flux: Flux, service: Service) -> None:
    write_rows("a fox,a.png", "b fox,b.png", "c fox,c.png", "d fox,folder.png", "e fox,a.png")
    Path("c.png").touch()
    Path("folder.png").mkdir()
    result = flux(f"batch rows.csv {SMALL}")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [
        "flux: 3 errors. Nothing was sent.",
        "      - rows.csv, line 4: c.png exists",
        "      - rows.csv, line 5: folder.png is a directory",
        "      - rows.csv, line 6: a.png is already the name of the image of line 2",
        "      Add {index} to the name",
    ]
    assert service.requests == []


def test_a_name_that_is_taken_during_a_run_does_not_stop_other_rows(flux: Flux, service: Service) -> None:
    write_rows("a fox,a.png", "b fox,b.png", "c fox,c.png")
    service.hooks[POST] = lambda: Path("b.png").write_text("mine")
    result = flux(f"batch rows.csv {SMALL} -j 1 --report r.json")
    assert (result.code, sorted(result.out.split())) == (0, ["a.png", "b-2.png", "c.png"])
    assert Path("b.png").read_text() == "mine"
    assert [row["state"] for row in json.loads(Path("r.json").read_text())["rows"]] == ["saved"] * 3


@pytest.mark.parametrize("command", ["gen x", "rerun first.png", "batch rows.csv", "gen --from prompts.txt"])
def test_every_generating_command_has_the_same_guards(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    flux(f"gen x {SMALL} --seed 1 -o first.png")
    write_rows("a fox,a.png")
    Path("prompts.txt").write_text("a fox\n")
    line = f"{command} {SMALL} --no-cache"
    monkeypatch.setenv("FLUX_CONFIRM_ABOVE", "0.001")
    assert flux(line).err.splitlines() == [
        "flux: this would cost $0.002 (simulated) for 1 image, and costs above $0.001 need confirmation. Nothing was sent.",
        "      Add --yes, or --max-cost USD. The limit is the setting confirm_above",
    ]
    assert "more than --max-cost $0.00. Nothing was sent." in flux(f"{line} --max-cost 0.001").err.replace(
        "$0.001", "$0.00"
    )
    monkeypatch.setenv("FLUX_BUDGET_DAY", "0.003")
    assert flux(f"{line} -y").code == 2
    assert len(service.charges) == 1


def test_rerun_sweeps_the_seed_of_an_earlier_image(flux: Flux, service: Service) -> None:
    flux(f"gen x {SMALL} --seed 1 -o first.png")
    assert sorted(flux("rerun first.png --seed 2..4 -o '{seed}.png'").out.split()) == ["2.png", "3.png", "4.png"]
    assert len(service.charges) == 4


def test_declining_the_price_cancels_the_command(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    monkeypatch.setenv("FLUX_CONFIRM_ABOVE", "0.001")
    script = "import pty, os, sys; pid, fd = pty.fork(); pid or os.execvp(sys.argv[1], sys.argv[1:]); os.write(fd, b'n\\n'); "
    script += "out = b''\ntry:\n  while part := os.read(fd, 1000): out += part\nexcept OSError: pass\n"
    script += "print(out.decode()); sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    command = [sys.executable, "-c", script, sys.executable, "-m", "flux_cli", "gen", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "This costs $0.015 (simulated) for 1 image. Continue? [y/N]" in done.stdout
    assert "flux: canceled. Nothing was sent." in done.stdout
    assert service.requests == []


# --- paid once -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["", "--skip-existing", "--overwrite"])
def test_a_running_task_with_a_chosen_name_is_resumed(flux: Flux, service: Service, flag: str) -> None:
    flux(f"gen 'a fox' {SMALL} -o s.png --no-wait")
    result = flux(f"gen ' a fox' {SMALL} -o ./s.png {flag}")
    assert (result.code, result.out, len(service.charges)) == (0, "s.png\n", 1)


def test_an_unknown_outcome_with_a_chosen_name_is_not_paid_again(flux: Flux, service: Service) -> None:
    service.reply_with(*POST, (500, {}, b""))
    assert flux(f"gen 'a fox' {SMALL} -o s.png").code == 7
    assert flux(f"gen 'a fox' {SMALL} -o s.png").code == 7
    assert service.count_posts() == 1


def test_the_spelling_of_a_path_does_not_make_another_task(flux: Flux, service: Service) -> None:
    Path("real").mkdir()
    Path("link").symlink_to("real")
    Path("prompts.txt").write_text("a fox\nan owl\n")
    for options in (
        "-d real -o '{slug}.png'",
        "-d link -o '{slug}.png'",
        "-d real -o './{slug}.png'",
        "-d ./real/../real -o '{slug}.png'",
    ):
        assert flux(f"gen --from prompts.txt {SMALL} {options}").code == 0
    assert len(service.charges) == 2
    assert len(list(Path("real").iterdir())) == 2


def test_a_saved_image_is_paid_again_only_with_overwrite(flux: Flux, service: Service) -> None:
    flux(f"gen 'a fox' {SMALL} -o s.png")
    repeated = flux(f"gen 'a fox' {SMALL} -o s.png")
    assert (repeated.code, repeated.out, repeated.err) == (0, "s.png\n", REUSED)
    before = Path("s.png").read_bytes()
    assert flux(f"gen 'a fox' {SMALL} -o s.png --overwrite").code == 0
    assert len(service.charges) == 2
    assert Path("s.png").read_bytes() != before


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"mine"])
def test_skip_existing_refuses_an_incomplete_image(flux: Flux, service: Service, content: bytes) -> None:
    Path("e.png").write_bytes(content)
    result = flux(f"gen 'a boat' {SMALL} -o e.png --skip-existing")
    assert (result.code, result.out) == (11, "")
    assert result.err == "flux: e.png exists, but is not a complete image. Nothing was sent.\n"
    assert service.requests == []
    assert Path("e.png").read_bytes() == content


def test_a_dangling_link_counts_as_an_existing_file(flux: Flux, service: Service) -> None:
    Path("boat.png").symlink_to("nowhere.png")
    for flags in ("", "--skip-existing"):
        assert flux(f"gen 'a boat' {SMALL} -o boat.png {flags}").code == 11
    assert service.requests == []


def test_a_sandbox_image_does_not_replace_a_paid_one(flux: Flux, service: Service, network: PublicNetwork) -> None:
    assert flux(f"gen 'a fox' {SMALL} -o fox.png --sandbox --skip-existing").code == 0
    assert flux(f"gen 'a fox' {SMALL} -o fox.png --sandbox --skip-existing").code == 0
    result = flux(f"gen 'a fox' {SMALL} -o fox.png --skip-existing")
    assert (result.code, result.out, len(service.charges)) == (0, "fox.png\n", 1)
    assert "fox.png was made in the sandbox" in result.err


def test_images_that_were_changed_in_place_are_kept_on_every_run(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_text("a fox\nan owl\n")
    line = f"gen --from prompts.txt {SMALL} -o '{{slug}}.png'"
    flux(line)
    for name in ("a-fox.png", "an-owl.png"):
        with Image.open(name) as image:
            image.convert("P").save(name)
    for _ in range(2):
        result = flux(line)
        assert (result.code, sorted(result.out.split())) == (0, ["a-fox.png", "an-owl.png"])
        assert "a-fox.png was changed since flux saved it; kept\n" in result.err
    assert len(service.charges) == 2
    assert len(list(Path().glob("*.png"))) == 2


def test_expired_tasks_are_polled_before_they_are_paid_again(
    flux: Flux, service: Service, home: Path, entries: Entries
) -> None:
    import sqlite3

    Path("prompts.txt").write_text("a fox\n")
    line = f"gen --from prompts.txt {SMALL} -o '{{slug}}.png'"
    flux(f"{line} --no-wait")
    with sqlite3.connect(home / "journal.db") as db:
        db.execute("UPDATE entries SET state = 'expired', owner = NULL")
    db.close()
    assert flux(line).code != 0
    assert flux(f"{line} --retry-failed").out == "a-fox.png\n"
    assert len(service.charges) == 1


def test_identical_lines_with_the_cache_are_charged_once(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_text("a fox\n" * 5)
    assert len(flux(f"gen --from prompts.txt {SMALL} --cache").out.split()) == 5
    assert len(service.charges) == 1


# --- fully reported ---------------------------------------------------------------------------------------------------


def test_a_batch_that_runs_out_of_credits_reports_every_row(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_text("".join(f"cat {number}\n" for number in range(10)))
    service.reply_with(*POST, make_refusal(402, 1300, "Insufficient credits"))
    result = flux(f"gen --from prompts.txt {SMALL} -j 1 --report r.json")
    assert result.code == 6
    rows = json.loads(Path("r.json").read_text())["rows"]
    assert [row["index"] for row in rows] == list(range(1, 11))
    assert [row.get("state") or row["reason"] for row in rows] == ["rejected"] + ["not started"] * 9
    assert result.err.splitlines()[-2].startswith("1 refused, 9 not started; $0.00 spent (")


def test_a_skipped_task_is_in_the_report(flux: Flux, service: Service) -> None:
    flux(f"gen x {SMALL} -o a.png")
    flux(f"gen y {SMALL} -o a.png --skip-existing --report one.json")
    assert json.loads(Path("one.json").read_text())["rows"][0]["reason"] == "exists"


def test_the_next_command_is_the_same_in_every_format(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.reply_with(*POST, *[(500, {}, b"")] * 3)
    text = flux(f"gen one {SMALL} --profile work")
    data = json.loads(flux(f"gen two {SMALL} --profile work --json --report r.json").out.splitlines()[0])
    report = json.loads(Path("r.json").read_text())["rows"][0]
    assert text.err.splitlines()[-1].startswith("      Next: flux resolve ")
    assert text.err.splitlines()[-1].endswith(" --profile work")
    assert data["error"]["command"] == f"flux resolve {data['entry']} --profile work"
    assert report["error"] == data["error"]
    assert data["error"]["hint"] == f"Next: {data['error']['command']}"


def test_history_distinguishes_charged_and_uncharged_tasks(flux: Flux, service: Service) -> None:
    service.reply_with(*POST, make_refusal(400, 1800), (500, {}, b""))
    flux(f"gen refused {SMALL}")
    flux(f"gen unknown {SMALL}")
    flux(f"gen saved {SMALL}")
    result = flux("history")
    costs = {line.split()[5]: line.split()[4] for line in result.out.splitlines()}
    assert costs == {"refused": "-", "unknown": "~$0.002*", "saved": "$0.002*"}
    head, *notes = result.err.splitlines()
    assert head.split() == ["ID", "SUBMITTED", "STATE", "COST", "PROMPT", "FILES"]
    files = [line[head.index("FILES") :] for line in result.out.splitlines()]
    assert [name.endswith(".png") for name in files] == [True, False, False]
    assert files[1:] == ["-", "-"]
    assert notes[:2] == [f"~ possibly charged; see {service.origin}", "* simulated by the sandbox, never charged"]
    assert "~ possibly" not in flux("history --state saved").err
    assert flux("history --state expired").err.startswith("No tasks in state expired.\n")


def test_cost_does_not_take_an_option_value_for_a_command(flux: Flux, service: Service) -> None:
    assert flux("cost --profile gen --since 30d").out.split() == ["total", "$0.00", "0", "tasks"]
    assert flux("cost gen x --profile gen").out == "0.015\n"
    assert flux("cost --profile gen gen x").out == "0.015\n"


@pytest.mark.parametrize(
    ("errors", "stopped_by", "code"),
    [
        ([None, None], None, ExitCode.OK),
        ([], None, ExitCode.OK),
        ([None, NetworkError("x")], None, ExitCode.PARTIAL),
        ([NetworkError("x")] * 2, None, ExitCode.NETWORK),
        ([None, CreditsError("x")], CreditsError("x"), ExitCode.CREDITS),
        ([None, DiskError("x"), UnknownChargeError("x")], DiskError("x"), ExitCode.UNKNOWN_CHARGE),
        ([UnknownChargeError("x")], InterruptError("x", signal_number=2), ExitCode.SIGINT),
        ([UnknownChargeError("x"), InterruptError("x", signal_number=15)], None, ExitCode.SIGTERM),
    ],
)
def test_the_exit_code_of_a_run(errors: list[Any], stopped_by: Any, code: ExitCode) -> None:
    assert exit_code(errors, stopped_by=stopped_by) is code


# --- safely interrupted -----------------------------------------------------------------------------------------------


@POSIX
def test_ctrl_c_stops_a_shell_loop(service: Service) -> None:
    service.reply_with("GET", "/api/v1/task/", *[(503, {}, b"")] * 200)
    loop = f'for i in 1 2 3; do {sys.executable} -m flux_cli gen "lp $i" {SMALL}; done; echo continued'
    process = subprocess.Popen(
        ["bash", "-c", loop], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    wait_until(lambda: len(service.charges) == 1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert "is still running. Charged ($0.002 simulated)." in err
    assert len(service.charges) == 1


@POSIX
def test_a_closed_stdout_interrupts_no_task(flux: Flux, service: Service, start: Start, entries: Entries) -> None:
    Path("prompts.txt").write_text("one\ntwo\n")
    flux(f"gen --from prompts.txt {SMALL}")
    Path("prompts.txt").write_text("one\nthree\nfour\ntwo\nfive\n")
    service.hooks[POST] = lambda: time.sleep(0.3)
    process = start(f"gen --from prompts.txt {SMALL}")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert {entry.state for entry in entries()} <= {State.SAVED, State.PLANNED}


@POSIX
def test_without_file_descriptors_fewer_tasks_run_in_parallel(service: Service, entries: Entries) -> None:
    Path("prompts.txt").write_text("".join(f"cat {number}\n" for number in range(15)))
    command = [sys.executable, "-m", "flux_cli", "gen", "--from", "prompts.txt", *SMALL.split(), "-j", "15"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))  # noqa: E731 - a callable for Popen
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=limit)
    states = {entry.state for entry in entries()}
    assert State.UNKNOWN not in states, done.stderr
    assert done.returncode in (0, 11, 13), done.stderr
    recorded = {entry.task_id for entry in entries() if entry.task_id}
    assert recorded == {charge.id for charge in service.charges}


def test_waiting_for_an_identical_request_ends_with_the_timeout(
    flux: Flux, service: Service, start: Start, entries: Entries
) -> None:
    answered = threading.Event()
    service.hooks[POST] = lambda: answered.wait(60)
    sender = start(f"gen x {SMALL} --seed 1")
    wait_until(lambda: any(entry.state is State.SENDING for entry in entries()))
    sender.send_signal(signal.SIGSTOP)
    try:
        result = flux(f"gen x {SMALL} --seed 1 --timeout 1")
        assert result.code == 9
        assert "waiting for the response to an identical request" in result.err
        assert result.err.splitlines()[-1].endswith("Not charged.")
    finally:
        answered.set()
        sender.send_signal(signal.SIGCONT)
        sender.communicate(timeout=30)


# --- Python ----------------------------------------------------------------------------------------------------------


def test_closing_a_client_cancels_only_its_own_calls(service: Service) -> None:
    service.reply_with("GET", "/api/v1/task/", *[(503, {}, b"")] * 200)

    async def program() -> str:
        async def serve() -> str:
            await asyncio.sleep(1)
            return "served"

        other_task = asyncio.create_task(serve())
        flux = AsyncFlux()
        await flux.__aenter__()
        call = asyncio.create_task(flux.generate("a fox", model="schnell", size="64x64"))
        await asyncio.to_thread(wait_until, lambda: len(service.charges) == 1)
        await flux._calls.cancel()
        assert call.cancelled()
        return await other_task

    assert asyncio.run(program()) == "served"


def test_parallel_calls_upload_the_same_content_once(service: Service) -> None:
    Image.effect_noise((300, 300), 50).save("noise.png")

    async def program() -> None:
        async with AsyncFlux() as flux:
            await asyncio.gather(*(flux.edit("noise.png", "at night", seed=seed) for seed in range(6)))

    asyncio.run(program())
    assert sum(request.path == "/api/ephemeral_resource" for request in service.requests) == 1
    assert len(service.charges) == 6


def test_a_call_with_a_chosen_name_resumes_an_unfinished_task(service: Service) -> None:
    with Client() as flux:
        first = flux.generate("a fox", model="schnell", size="64x64", output="s.png", wait=False)
        second = flux.generate("a fox", model="schnell", size="64x64", output="s.png")
    assert (first.task_id, second.path.name, len(service.charges)) == (second.task_id, "s.png", 1)


def test_signatures_list_their_fields() -> None:
    from flux_cli.sdk.flux import Result

    assert list(inspect.signature(Result).parameters) == ["entry", "task_id", "model", "seed", "cost", "paths", "urls"]
