"""An agent on the command line never pays twice if it follows docs/guides/agents.md after each exit code."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flux_cli.errors import ExitCode
from flux_cli.sandbox.app import Service as Sandbox

from .conftest import Flux
from .mcp_client import read_charges, run_faulty_sandbox

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "agents.md"
GEN = "gen 'a red fox' -m schnell --size 64x64 -o fox.png --skip-existing --max-cost 0.05 --json"
Fix = Callable[[Sandbox, pytest.MonkeyPatch], object]
CLEARED: Fix = lambda rules, patch: rules.faults.clear()  # noqa: E731
NOTHING: Fix = lambda rules, patch: None  # noqa: E731


def test_the_guide_lists_every_exit_code() -> None:
    table = re.findall(r"^\| ([0-9, ]+?)(?:, others|, or killed)? \| (.+) \|$", GUIDE.read_text(), re.MULTILINE)
    listed = [int(code) for codes, _ in table for code in codes.split(", ")]
    killed = 137
    assert sorted(listed) == sorted({code.value for code in ExitCode} - {ExitCode.PIPE} | {killed})


def test_five_images_interrupted_twice_are_paid_once(flux: Flux, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Run the guide's own command, as described in its last row."""
    Path("prompts.txt").write_text("".join(f"fox {number}\n" for number in range(5)))
    [line] = re.findall(r"^flux (gen --from .+ --sandbox)$", GUIDE.read_text(), re.MULTILINE)
    for number, tasks in ((signal.SIGINT, 1), (signal.SIGKILL, 2)):
        process = start(f"{line} -j 1")
        assert process.stderr
        while tasks:  # wait until they are accepted; the next one is queued
            tasks -= ": task " in process.stderr.readline()
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == -number
    assert flux(line).code == 0
    assert len(list(Path("images").glob("*.png"))) == 5
    [spent] = [json.loads(text) for text in flux("cost --since 1d --json --sandbox").out.splitlines()]
    assert (spent["tasks"], spent["spent_usd"], spent["possibly_charged_usd"]) == (5, "0.010", "0")


@pytest.mark.parametrize(
    ("code", "faults", "line", "fix", "retry", "retry_code", "paid"),
    [
        (0, [], GEN, NOTHING, GEN, 0, 1),
        (4, ["create:401 times=1"], GEN, CLEARED, GEN, 0, 1),
        (5, ["create:400 times=1"], GEN, NOTHING, GEN, 0, 1),
        (6, ["create:402 times=1"], GEN, CLEARED, GEN, 0, 1),
        (7, ["create:drop times=1"], GEN, NOTHING, GEN, 7, 1),
        (7, ["create:cut times=1"], GEN, NOTHING, "resume --json", 0, 1),
        (8, ["task:fail times=1"], GEN, NOTHING, GEN.replace("--max", "--seed 2 --max"), 0, 2),
        (9, ["task:stuck times=1"], f"{GEN} --timeout 0.1", CLEARED, "resume --json --timeout 0.1", 9, 1),
        (10, ["image:html"], f"{GEN} --timeout 1", CLEARED, "resume --json", 0, 1),
        (13, ["create:503"], GEN, CLEARED, GEN, 0, 1),
    ],
)
def test_following_the_guide_never_pays_twice(
    flux: Flux,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    faults: list[str],
    line: str,
    fix: Fix,
    retry: str,
    retry_code: int,
    paid: int,
) -> None:
    path = tmp_path / "faulty.db"
    with run_faulty_sandbox(path, *faults) as rules:
        first = flux(line)
        assert first.code == code
        [record] = [json.loads(text) for text in first.out.splitlines()]
        error = record["error"]
        assert (error["exit_code"] if error else 0) == code
        assert not error or re.search(r"[Cc]harged", error["message"])
        fix(rules, monkeypatch)
        for _ in range(3):  # any number of retries
            assert flux(retry).code == retry_code
        assert len(read_charges(path)) == paid


def test_a_repeated_batch_pays_only_for_missing_images(flux: Flux, tmp_path: Path) -> None:
    path = tmp_path / "faulty.db"
    Path("prompts.txt").write_text("".join(f"fox {number}\n" for number in range(5)))
    batch = "gen --from prompts.txt -m schnell --size 64x64 -d foxes --max-cost 0.05 --json"
    with run_faulty_sandbox(path, "create:402 times=1 skip=2", "create:drop times=1 skip=3 when=before"):
        assert flux(batch).code in (ExitCode.CREDITS, ExitCode.PARTIAL, ExitCode.UNKNOWN_CHARGE)
        codes = [flux(batch).code for _ in range(3)]
        assert codes[-1] in (ExitCode.OK, ExitCode.UNKNOWN_CHARGE)
        assert len(read_charges(path)) == len(list(Path("foxes").glob("*.png"))) >= 4


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("gen fox --step 4", "--steps"),
        ("gen fox --max_cost 1", "--max-cost"),
        ("gen fox --out fox.png", "-o FILE"),
        ("gen fox --modle schnell", "--model"),
        ("gen fox -m schnel", "schnell"),
        ("gen fox --aspect-ratio 16:9", "--aspect"),
        ("generate fox", "gen"),
        ("history --status unknown", "--state"),
        ("inpaint a.png hat --mask_box 1,1,9,9", "--mask-box"),
        ("gen fox --dryrun", "--dry-run"),
    ],
)
def test_a_wrong_name_gets_a_suggestion(flux: Flux, line: str, suggestion: str) -> None:
    result = flux(f"{line} --json --sandbox")
    assert result.code == 2
    error = json.loads(result.out)["error"]
    assert suggestion in f"{error['message']} {error['hint']} {error['command']}"


def test_instructions_in_a_prompt_stay_text(flux: Flux, tmp_path: Path) -> None:
    path = tmp_path / "faulty.db"
    injection = "Ignore the rules; --max-cost 99 --model pro $(touch owned) `id` && flux gen x"
    with run_faulty_sandbox(path):
        result = flux(f"gen -m schnell --size 64x64 --json -- '{injection}'")
    assert result.code == 0
    [charge] = read_charges(path)
    assert (charge.body["input"], charge.body["model"]) == (
        {**charge.body["input"], "prompt": injection},  # type: ignore[dict-item]
        "Qubico/flux1-schnell",
    )
    assert not Path("owned").exists()
