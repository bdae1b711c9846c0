"""Many images from one command, and the same command run again: only what is missing is paid for."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flux_cli.journal.entries import Entry
from flux_cli.json_value import object_at

from .conftest import Flux
from .servers import Service
from .test_promises import POST, Start, make_refusal

Entries = Callable[[], list[Entry]]
SMALL = "-m schnell --size 64x64"


def write_prompts(*lines: str) -> None:
    """Write the prompt file prompts.txt."""
    Path("prompts.txt").write_text("".join(f"{line}\n" for line in lines))


def read_paid_prompts(service: Service) -> list[Any]:
    """Return the charged prompts, sorted."""
    return sorted(object_at(charge.body, "input")["prompt"] for charge in service.charges)


def test_a_prompt_file_is_charged_once_in_repeated_runs(flux: Flux, service: Service) -> None:
    write_prompts("a fox", "", "a wolf", "a fox")
    first = flux(f"gen --from prompts.txt {SMALL}")

    assert first.code == 0
    names = sorted(first.out.split())
    assert [name.rpartition("-")[0] for name in names] == ["1-a-fox", "2-a-wolf", "3-a-fox"]
    assert first.err.startswith("1 blank line skipped\n")
    assert first.err.splitlines()[-1].startswith("3 saved; $0.006 (simulated) spent (")

    rerun = flux(f"gen --from prompts.txt {SMALL}")
    assert (rerun.code, sorted(rerun.out.split())) == (0, names)
    *_, total, end = rerun.err.splitlines()
    assert total.startswith("3 already saved; $0.00 spent (")
    assert end == "To generate again, and pay again, add --no-cache"
    assert read_paid_prompts(service) == ["a fox", "a fox", "a wolf"]

    before = Path(names[1]).read_bytes()
    Path(names[1]).unlink()
    fetched = flux(f"gen --from prompts.txt {SMALL} -q")
    assert (fetched.code, sorted(fetched.out.split())) == (0, names)
    assert len(Path(names[1]).read_bytes()) > len(before) // 2
    assert len(service.charges) == 3


def test_a_row_is_identified_by_its_content_and_its_index_among_equal_rows(flux: Flux, service: Service) -> None:
    write_prompts("a fox", "a wolf")
    flux(f"gen --from prompts.txt {SMALL}")
    write_prompts("a bear", "a fox", "a fox", "a wolf")
    flux(f"gen --from prompts.txt {SMALL}")
    assert read_paid_prompts(service) == ["a bear", "a fox", "a fox", "a wolf"]

    flux(f"gen --from prompts.txt {SMALL} --steps 5")
    assert len(service.charges) == 8
    flux(f"gen --from prompts.txt {SMALL} --no-cache")
    assert len(service.charges) == 12


@pytest.mark.parametrize(
    "content", [b"a fox\r\na wolf\r\n", b"\xef\xbb\xbfa fox\na wolf", b"a fox\xe2\x80\xa8a wolf\n"]
)
def test_only_a_line_feed_ends_a_line(flux: Flux, service: Service, content: bytes) -> None:
    assert flux(f"gen --from - {SMALL} -q", stdin=content).code == 0
    assert len(service.charges) == content.count(b"\n") + (not content.endswith(b"\n"))


def test_expired_upload_urls_and_webhooks_do_not_change_a_rows_identity(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL of a generated image works for seven days; then the same file is uploaded."""
    flux("gen house --seed 1 --size 256x256 -o house.png")
    write_prompts("at night", "in winter")
    assert flux("edit house.png --from prompts.txt -q --webhook https://example.com/a").code == 0
    later = time.time() + 8 * 86400
    with monkeypatch.context() as patched:
        patched.setattr("flux_cli.batch.input_images.time.time", lambda: later)
        assert flux("edit house.png --from prompts.txt -q --webhook https://example.com/b").code == 0
    assert len(service.charges) == 3

    flux("edit house.png --from prompts.txt -q --set input.seed=3")
    flux("edit house.png --from prompts.txt -q --set input.seed=4")
    assert len(service.charges) == 7


def test_the_same_batch_in_several_processes_is_charged_once(flux: Flux, service: Service, start: Start) -> None:
    write_prompts(*(f"boat {row}" for row in range(12)))
    processes = [start(f"gen --from prompts.txt {SMALL} --no-wait -q") for _ in range(4)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode in (0, 3, 12)
    assert len(read_paid_prompts(service)) == len(set(read_paid_prompts(service))) == 12


def test_a_file_that_replaced_an_image_is_kept(flux: Flux, service: Service) -> None:
    write_prompts("a fox", "a wolf")
    name = sorted(flux(f"gen --from prompts.txt {SMALL} -q").out.split())[0]
    Path(name).write_text("mine")
    result = flux(f"gen --from prompts.txt {SMALL} -q")

    assert result.code == 0
    assert Path(name).read_text() == "mine"
    assert sorted(result.out.split())[0] == name.replace(".png", "-2.png")
    assert len(service.charges) == 2
    assert flux(f"gen --from prompts.txt {SMALL} -q").out.count("\n") == 2


def test_only_the_missing_images_of_a_task_are_downloaded_again(flux: Flux, service: Service) -> None:
    line = f"gen fox -b 4 --seed 1 -o fox.png {SMALL} -q"
    flux(line)
    Path("fox-2.png").write_bytes(Path("fox-2.png").read_bytes()[:-100])
    Path("fox-3.png").unlink()
    service.requests.clear()

    assert flux(line).out.splitlines() == ["fox-1.png", "fox-2-2.png", "fox-3.png", "fox-4.png"]
    assert (service.count_posts(), sum("/images/" in request.path for request in service.requests)) == (0, 2)


def test_rows_that_failed_for_lack_of_credits_are_generated_after_a_top_up(flux: Flux, service: Service) -> None:
    write_prompts("one", "two")
    service.reply_with(*POST, make_refusal(402, 1300, "Insufficient credits"))
    assert flux(f"gen --from prompts.txt {SMALL} -j 1").code == 6
    assert flux(f"gen --from prompts.txt {SMALL}").code == 0
    assert read_paid_prompts(service) == ["one", "two"]


def test_the_content_of_an_input_file_is_part_of_a_rows_identity(flux: Flux, service: Service) -> None:
    write_prompts("one", "two")
    for seed in (1, 2):
        Path("body.json").write_text(json.dumps({"input": {"seed": seed}}))
        assert flux(f"gen --from prompts.txt {SMALL} --input body.json -q").code == 0
    assert len(service.charges) == 4


def test_a_sweep_runs_every_combination(flux: Flux, service: Service) -> None:
    line = "gen 'a {red|blue} car, {style}' --vary style=oil,ink --seed 1..2 -o '{style}-{seed}-{slug}.png'"
    assert flux(f"cost {line} {SMALL}").out == "0.016\n"
    result = flux(f"{line} {SMALL} -q")

    assert sorted(result.out.split()) == sorted(
        f"{style}-{seed}-a-{color}-car-{style}.png"
        for style in ("oil", "ink")
        for seed in (1, 2)
        for color in ("red", "blue")
    )
    inputs = [object_at(charge.body, "input") for charge in service.charges]
    assert sorted((fields["prompt"], fields["seed"]) for fields in inputs) == sorted(
        (f"a {color} car, {style}", seed) for style in ("oil", "ink") for seed in (1, 2) for color in ("red", "blue")
    )


def test_numeric_options_accept_lists_and_ranges(flux: Flux) -> None:
    rows = flux("gen x --guidance 3,3.5 --steps 5..6 --dry-run --json").out.splitlines()
    fields = [json.loads(row)["request"]["input"] for row in rows]
    assert [(field["guidance_scale"], field["steps"]) for field in fields] == [(3, 5), (3, 6), (3.5, 5), (3.5, 6)]


def test_braces_without_alternatives_are_kept(flux: Flux, service: Service) -> None:
    assert flux(f'gen \'{{"subject": "fox"}}\' {SMALL} -q').code == 0
    assert read_paid_prompts(service) == ['{"subject": "fox"}']


def test_every_error_is_reported_with_its_line_and_nothing_is_sent(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_bytes(b"a fox\n" + b"x" * 1501 + b"\n\xff\n\0\n")
    result = flux("gen --from prompts.txt")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[:4] == [
        "flux: 3 errors. Nothing was sent.",
        "      - prompts.txt, line 2: the prompt has 1501 characters; PiAPI accepts 1 to 1500",
        "      - prompts.txt, line 3: not UTF-8 (byte 0xff)",
        "      - prompts.txt, line 4: a NUL character",
    ]
    assert service.requests == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "gen --from same.txt -o '{slug}.png' --overwrite",
            "same.txt, line 2: a-cat.png is already the name of the image of line 1",
        ),
        (
            "gen --from names.txt -o '{slug}.png'",
            "names.txt, line 2: the output name 'aux.png' would not work on every system",
        ),
        ("gen --from one.txt -o -", "-o - is for a command that makes one image"),
        (
            "gen '" + "{a|b}" * 10 + "' --max-cost 1",
            "this would cost $15.36 (simulated) for 1024 images, more than --max-cost $1.00",
        ),
        ("gen '" + "{a|b}" * 24 + "'", "one prompt with its sweeps makes 16,777,216 tasks; the limit is 100,000"),
        ("gen", "no prompt"),
        ("gen x --from prompts.txt", "a prompt and --from cannot be used together"),
        ("gen --from nosuch", "cannot read prompts from nosuch: No such file or directory"),
        ("gen --from empty", "empty is empty"),
        ("gen --from prompts.txt -o x.png", "-o x.png names one file, but this command makes 2 images"),
        ("gen 'a {b} c' --vary d=1,2", "{b} in the prompt has no values"),
        ("gen x --seed 1..20000", "--seed '1..20000': more than 10,000 values"),
        ("gen x --max-cost free", "invalid --max-cost 'free': expected an amount in USD, for example 2.50"),
        (
            "gen --from prompts.txt --max-cost 0.01",
            "this would cost $0.03 (simulated) for 2 images, more than --max-cost $0.01",
        ),
        (
            "gen x --seed 1..100",
            "this would cost $1.50 (simulated) for 100 images, and costs above $1.00 need confirmation",
        ),
        ("edit - --from -", "stdin can be read only once"),
    ],
)
def test_bad_input_is_reported_before_anything_is_sent(flux: Flux, service: Service, line: str, message: str) -> None:
    write_prompts("a fox", "a wolf")
    Path("empty").write_text("")
    Path("one.txt").write_text("a cat\n")
    Path("same.txt").write_text("a cat\na cat\n")
    Path("names.txt").write_text("a cat\naux\n")
    content = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (300, 300)).save(content, "PNG")
    result = flux(line, stdin=content.getvalue())

    assert result.code == 2
    assert message in result.err, result.err
    assert service.requests == []


def test_an_allowed_cost_needs_no_confirmation(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_CONFIRM_ABOVE", "0.005")
    line = f"gen x --seed 1..3 {SMALL} -q"
    assert flux(line).code == 2
    assert flux(f"{line} -y").code == 0
    assert flux(f"{line} --no-cache --max-cost 0.006").code == 0
    assert len(service.charges) == 6


def test_one_bad_row_does_not_stop_the_others(flux: Flux, service: Service, entries: Entries) -> None:
    write_prompts("one", "two", "three")
    service.reply_with(*POST, make_refusal(400, 1800, "LoRA/ControlNet load failed"))
    result = flux(f"gen --from prompts.txt {SMALL} -j 1")
    assert result.code == 3
    assert result.err.splitlines()[-2].startswith("2 saved, 1 refused; $0.004 (simulated) spent (")

    rerun = flux(f"gen --from prompts.txt {SMALL}")
    assert (rerun.code, len(service.charges), service.count_posts()) == (3, 2, 3)
    assert "LoRA/ControlNet load failed" in rerun.err
    assert 'flux: "one": in an earlier run, PiAPI refused the request: ' in rerun.err
    assert flux(f"gen --from prompts.txt {SMALL} --retry-failed").code == 0
    assert read_paid_prompts(service) == ["one", "three", "two"]


def test_fail_fast_stops_at_the_first_failure(flux: Flux, service: Service) -> None:
    write_prompts("one", "two", "three")
    service.reply_with(*POST, make_refusal(400, 1800))
    result = flux(f"gen --from prompts.txt {SMALL} -j 1 --fail-fast")

    assert result.code == 5
    assert service.count_posts() == 1
    *_, total, retry, end = result.err.splitlines()
    assert total.startswith("1 refused, 2 not started; $0.00 spent (")
    assert retry == "To submit the refused tasks again, and pay for them, add --retry-failed"
    assert end == "To continue, run the same command again. It pays only for tasks that were not started"
    assert flux(f"gen --from prompts.txt {SMALL} --retry-failed").code == 0


def test_an_entry_of_unknown_outcome_is_not_resubmitted_by_a_rerun(flux: Flux, service: Service) -> None:
    write_prompts("one", "two")
    service.reply_with(*POST, (500, {}, b""))
    assert flux(f"gen --from prompts.txt {SMALL} -j 1").code == 7
    assert flux(f"gen --from prompts.txt {SMALL} --retry-failed").code == 7
    assert service.count_posts() == 2


def test_tasks_submitted_without_waiting_are_downloaded_by_the_same_command(flux: Flux, service: Service) -> None:
    write_prompts("one", "two")
    ids = flux(f"gen --from prompts.txt {SMALL} --no-wait -q").out.split()
    assert sorted(ids) == sorted(charge.id for charge in service.charges)
    assert len(flux(f"gen --from prompts.txt {SMALL} -q").out.split()) == 2
    assert len(service.charges) == 2


def test_json_has_each_outcome_and_a_summary(flux: Flux, service: Service) -> None:
    write_prompts("one", "two")
    rows = [json.loads(line) for line in flux(f"gen --from prompts.txt {SMALL} --json").out.splitlines()]

    assert [row["type"] for row in rows] == ["outcome", "outcome", "summary"]
    assert (rows[2]["saved"], rows[2]["cost_usd"]) == (2, "0.004")


def test_every_create_and_edit_command_accepts_a_prompt_file(flux: Flux, service: Service) -> None:
    from PIL import Image

    Image.new("RGB", (300, 300), "red").save("photo.png")
    write_prompts("one", "two")
    for line in (
        "lora --lora anime --size 64x64",
        "controlnet --control depth=photo.png --size 64x64",
        "edit photo.png",
        "inpaint photo.png --mask-box 0,0,99,99",
        "outpaint photo.png --left 10",
        "redux photo.png",
    ):
        result = flux(f"{line} --from prompts.txt -q -o '{line.split()[0]}-{{index}}.png'")
        assert (result.code, len(result.out.split())) == (0, 2), line
    assert len(service.charges) == 12
    assert sum(request.path == "/api/ephemeral_resource" for request in service.requests) == 3


def measure_peak_memory(words: list[str], printed: str | None = None, timeout: float = 60) -> int:
    """Return the peak memory of a command in KiB. `ru_maxrss` would include its parent's."""
    script = (
        "import re, sys; from flux_cli.cli.main import main; code = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout)
    assert printed in (None, done.stdout)
    return int(done.stderr.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_batch_of_20000_prompts_needs_less_than_64_mib() -> None:
    """The benchmarks measure 100,000."""
    Path("many.txt").write_text("".join(f"a boat, number {number}\n" for number in range(20_000)))
    assert measure_peak_memory(["cost", "gen", "--from", "many.txt", "-y", "-q"], "300.00\n") < 64 * 1024


def test_the_summary_contains_possible_charges(flux: Flux, service: Service) -> None:
    write_prompts("one", "two")
    service.reply_with(*POST, (500, {}, b""))
    result = flux(f"gen --from prompts.txt {SMALL} -j 1")
    assert result.code == 7
    line = "1 saved, 1 with an unknown outcome; $0.002 (simulated) spent, up to $0.002 (simulated) possibly charged ("
    *_, total, end = result.err.splitlines()
    assert total.startswith(line)
    assert end == "To resolve the unknown outcomes: flux resolve"
