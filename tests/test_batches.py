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
from .test_promises import POST, Start, refusal

Entries = Callable[[], list[Entry]]
SMALL = "-m schnell --size 64x64"


def prompts(*lines: str) -> None:
    """A prompt file, prompts.txt."""
    Path("prompts.txt").write_text("".join(f"{line}\n" for line in lines))


def bought(service: Service) -> list[Any]:
    """The prompts that were paid for, in order."""
    return sorted(object_at(charge.body, "input")["prompt"] for charge in service.charges)


def test_a_file_of_prompts_is_bought_once_however_often_it_is_run(flux: Flux, service: Service) -> None:
    prompts("a fox", "", "a wolf", "a fox")
    first = flux(f"gen --from prompts.txt {SMALL}")

    assert first.code == 0
    names = sorted(first.out.split())
    assert [name.rpartition("-")[0] for name in names] == ["1-a-fox", "2-a-wolf", "3-a-fox"]
    assert first.err.startswith("1 blank line skipped\n")
    assert first.err.splitlines()[-1].startswith("3 saved; $0.006 (simulated) spent in ")

    again = flux(f"gen --from prompts.txt {SMALL}")
    assert (again.code, sorted(again.out.split())) == (0, names)
    assert again.err.splitlines()[-1].startswith("3 already saved; $0.00 spent in ")
    assert bought(service) == ["a fox", "a fox", "a wolf"]

    before = Path(names[1]).read_bytes()
    Path(names[1]).unlink()
    fetched = flux(f"gen --from prompts.txt {SMALL} -q")
    assert (fetched.code, sorted(fetched.out.split())) == (0, names)
    assert len(Path(names[1]).read_bytes()) > len(before) // 2
    assert len(service.charges) == 3


def test_a_row_is_known_by_its_content_and_its_place_among_equal_ones(flux: Flux, service: Service) -> None:
    prompts("a fox", "a wolf")
    flux(f"gen --from prompts.txt {SMALL}")
    prompts("a bear", "a fox", "a fox", "a wolf")
    flux(f"gen --from prompts.txt {SMALL}")
    assert bought(service) == ["a bear", "a fox", "a fox", "a wolf"]

    flux(f"gen --from prompts.txt {SMALL} --steps 5")
    assert len(service.charges) == 8
    flux(f"gen --from prompts.txt {SMALL} --no-cache")
    assert len(service.charges) == 12


@pytest.mark.parametrize(
    "content", [b"a fox\r\na wolf\r\n", b"\xef\xbb\xbfa fox\na wolf", b"a fox\xe2\x80\xa8a wolf\n"]
)
def test_a_line_is_what_ends_in_a_line_feed(flux: Flux, service: Service, content: bytes) -> None:
    assert flux(f"gen --from - {SMALL} -q", stdin=content).code == 0
    assert len(service.charges) == content.count(b"\n") + (not content.endswith(b"\n"))


def test_a_row_is_not_known_by_what_changes_by_itself(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of a picture of ours works for seven days; then the same file is uploaded."""
    flux("gen house --seed 1 --size 256x256 -o house.png")
    prompts("at night", "in winter")
    assert flux("edit house.png --from prompts.txt -q --webhook https://example.com/a").code == 0
    later = time.time() + 8 * 86400
    with monkeypatch.context() as patched:
        patched.setattr("flux_cli.batch.input_images.time.time", lambda: later)
        assert flux("edit house.png --from prompts.txt -q --webhook https://example.com/b").code == 0
    assert len(service.charges) == 3

    flux("edit house.png --from prompts.txt -q --set input.seed=3")
    flux("edit house.png --from prompts.txt -q --set input.seed=4")
    assert len(service.charges) == 7


def test_the_same_batch_in_several_processes_is_bought_once(flux: Flux, service: Service, start: Start) -> None:
    prompts(*(f"boat {row}" for row in range(12)))
    processes = [start(f"gen --from prompts.txt {SMALL} --no-wait -q") for _ in range(4)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode in (0, 3, 12)
    assert len(bought(service)) == len(set(bought(service))) == 12


def test_a_file_that_took_a_pictures_place_is_kept(flux: Flux, service: Service) -> None:
    prompts("a fox", "a wolf")
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
    service.seen.clear()

    assert flux(line).out.splitlines() == ["fox-1.png", "fox-2-2.png", "fox-3.png", "fox-4.png"]
    assert (service.posts(), sum("/images/" in request.path for request in service.seen)) == (0, 2)


def test_rows_that_met_an_empty_account_are_bought_when_it_is_filled(flux: Flux, service: Service) -> None:
    prompts("one", "two")
    service.answer(*POST, refusal(402, 1300, "Insufficient credits"))
    assert flux(f"gen --from prompts.txt {SMALL} -j 1").code == 6
    assert flux(f"gen --from prompts.txt {SMALL}").code == 0
    assert bought(service) == ["one", "two"]


def test_what_is_set_from_a_file_tells_rows_apart(flux: Flux, service: Service) -> None:
    prompts("one", "two")
    for seed in (1, 2):
        Path("body.json").write_text(json.dumps({"input": {"seed": seed}}))
        assert flux(f"gen --from prompts.txt {SMALL} --input body.json -q").code == 0
    assert len(service.charges) == 4


def test_a_sweep_is_a_product(flux: Flux, service: Service) -> None:
    line = "gen 'a {red|blue} car, {style}' --vary style=oil,ink --seed 1..2 -o '{style}-{seed}-{slug}.png'"
    assert flux(f"cost {line} {SMALL}").out == "0.016\n"
    result = flux(f"{line} {SMALL} -q")

    assert sorted(result.out.split()) == sorted(
        f"{style}-{seed}-a-{color}-car-{style}.png"
        for style in ("oil", "ink")
        for seed in (1, 2)
        for color in ("red", "blue")
    )
    asked = [object_at(charge.body, "input") for charge in service.charges]
    assert sorted((fields["prompt"], fields["seed"]) for fields in asked) == sorted(
        (f"a {color} car, {style}", seed) for style in ("oil", "ink") for seed in (1, 2) for color in ("red", "blue")
    )


def test_numbers_can_be_lists(flux: Flux) -> None:
    rows = flux("gen x --guidance 3,3.5 --steps 5..6 --dry-run --json").out.splitlines()
    fields = [json.loads(row)["request"]["input"] for row in rows]
    assert [(field["guidance_scale"], field["steps"]) for field in fields] == [(3, 5), (3, 6), (3.5, 5), (3.5, 6)]


def test_braces_without_alternatives_are_braces(flux: Flux, service: Service) -> None:
    assert flux(f'gen \'{{"subject": "fox"}}\' {SMALL} -q').code == 0
    assert bought(service) == ['{"subject": "fox"}']


def test_every_problem_is_told_with_its_line_and_nothing_is_sent(flux: Flux, service: Service) -> None:
    Path("prompts.txt").write_bytes(b"a fox\n" + b"x" * 1501 + b"\n\xff\n\0\n")
    result = flux("gen --from prompts.txt")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[:4] == [
        "flux: 3 errors. Nothing was sent.",
        "      - prompts.txt, line 2: the prompt has 1501 characters; PiAPI accepts 1 to 1500",
        "      - prompts.txt, line 3: not UTF-8 (byte 0xff)",
        "      - prompts.txt, line 4: a NUL character",
    ]
    assert service.seen == []


@pytest.mark.parametrize(
    ("line", "said"),
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
        ("gen '" + "{a|b}" * 10 + "' --max-cost 1", "this would cost $15.36, more than --max-cost $1.00"),
        ("gen '" + "{a|b}" * 24 + "'", "one prompt with its sweeps makes 16,777,216 tasks; the limit is 100,000"),
        ("gen", "no prompt"),
        ("gen x --from prompts.txt", "a prompt and --from cannot be used together"),
        ("gen --from nosuch", "cannot read prompts from nosuch: No such file or directory"),
        ("gen --from empty", "empty is empty"),
        ("gen --from prompts.txt -o x.png", "-o x.png names one file, but this command makes 2 images"),
        ("gen --from prompts.txt -o -", "-o - is for a command that makes one image"),
        ("gen 'a {b} c' --vary d=1,2", "{b} in the prompt has no values"),
        ("gen x --seed 1..20000", "--seed '1..20000': more than 10,000 values"),
        ("gen x --max-cost free", "invalid --max-cost 'free': expected an amount in USD, for example 2.50"),
        ("gen --from prompts.txt --max-cost 0.01", "this would cost $0.03, more than --max-cost $0.01"),
        ("gen x --seed 1..100", "this would cost $1.50, and costs above $1.00 need confirmation"),
        ("edit - x --from -", "a prompt and --from cannot be used together"),
        ("edit - --from -", "stdin can be read only once"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(flux: Flux, service: Service, line: str, said: str) -> None:
    prompts("a fox", "a wolf")
    Path("empty").write_text("")
    Path("one.txt").write_text("a cat\n")
    Path("same.txt").write_text("a cat\na cat\n")
    Path("names.txt").write_text("a cat\naux\n")
    content = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (300, 300)).save(content, "PNG")
    result = flux(line, stdin=content.getvalue())

    assert result.code == 2
    assert said in result.err, result.err
    assert service.seen == []


def test_an_allowed_cost_is_not_asked_about(flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_CONFIRM_ABOVE", "0.005")
    line = f"gen x --seed 1..3 {SMALL} -q"
    assert flux(line).code == 2
    assert flux(f"{line} -y").code == 0
    assert flux(f"{line} --no-cache --max-cost 0.006").code == 0
    assert len(service.charges) == 6


def test_one_bad_row_does_not_stop_the_others(flux: Flux, service: Service, entries: Entries) -> None:
    prompts("one", "two", "three")
    service.answer(*POST, refusal(400, 1800, "LoRA/ControlNet load failed"))
    result = flux(f"gen --from prompts.txt {SMALL} -j 1")
    assert result.code == 3
    assert result.err.splitlines()[-1].startswith("2 saved, 1 refused; $0.004 (simulated) spent in ")

    again = flux(f"gen --from prompts.txt {SMALL}")
    assert (again.code, len(service.charges), service.posts()) == (3, 2, 3)
    assert "LoRA/ControlNet load failed" in again.err
    assert flux(f"gen --from prompts.txt {SMALL} --retry-failed").code == 0
    assert bought(service) == ["one", "three", "two"]


def test_fail_fast_stops_at_the_first_failure(flux: Flux, service: Service) -> None:
    prompts("one", "two", "three")
    service.answer(*POST, refusal(400, 1800))
    result = flux(f"gen --from prompts.txt {SMALL} -j 1 --fail-fast")

    assert result.code == 5
    assert service.posts() == 1
    assert result.err.splitlines()[-1].startswith("1 refused, 2 not started; $0.00 spent in ")
    assert flux(f"gen --from prompts.txt {SMALL} --retry-failed").code == 0


def test_a_unknown_outcome_is_not_sent_again_by_running_it_again(flux: Flux, service: Service) -> None:
    prompts("one", "two")
    service.answer(*POST, (500, {}, b""))
    assert flux(f"gen --from prompts.txt {SMALL} -j 1").code == 7
    assert flux(f"gen --from prompts.txt {SMALL} --retry-failed").code == 7
    assert service.posts() == 2


def test_submitted_now_and_fetched_by_the_same_command_later(flux: Flux, service: Service) -> None:
    prompts("one", "two")
    ids = flux(f"gen --from prompts.txt {SMALL} --no-wait -q").out.split()
    assert sorted(ids) == sorted(charge.id for charge in service.charges)
    assert len(flux(f"gen --from prompts.txt {SMALL} -q").out.split()) == 2
    assert len(service.charges) == 2


def test_json_tells_each_outcome_and_a_summary(flux: Flux, service: Service) -> None:
    prompts("one", "two")
    rows = [json.loads(line) for line in flux(f"gen --from prompts.txt {SMALL} --json").out.splitlines()]

    assert [row["type"] for row in rows] == ["outcome", "outcome", "summary"]
    assert (rows[2]["saved"], rows[2]["cost_usd"]) == (2, "0.004")


def test_every_create_and_edit_command_takes_a_file(flux: Flux, service: Service) -> None:
    from PIL import Image

    Image.new("RGB", (300, 300), "red").save("photo.png")
    prompts("one", "two")
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
    assert sum(request.path == "/api/ephemeral_resource" for request in service.seen) == 3


def peak_memory(words: list[str], printed: str | None = None, timeout: float = 60) -> int:
    """The most memory that a command ever had, in KiB: of its own, for `ru_maxrss` begins with its parent's."""
    script = (
        "import re, sys; from flux_cli.cli.main import main; code = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout)
    assert printed in (None, done.stdout)
    return int(done.stderr.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_twenty_thousand_prompts_fit_into_64_mib() -> None:
    """The benchmarks measure a hundred thousand."""
    Path("many.txt").write_text("".join(f"a boat, number {number}\n" for number in range(20_000)))
    assert peak_memory(["cost", "gen", "--from", "many.txt", "-y", "-q"], "300.000\n") < 64 * 1024
