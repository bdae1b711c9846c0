"""What people really type and really have in their files: understood, or refused before anything is paid for."""

import shlex
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Flux
from .servers import Service
from .test_rows import asked


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gen -", 'the prompt is "-"'),
        ("gen help", 'the prompt is "help"'),
        ("gen a castle", 'Put the prompt in quotes: flux gen "a castle"'),
        ("gen '-a castle'", 'A prompt that begins with - goes after --: flux gen -- "-a castle"'),
        ("redux a.png b.png", "'b.png' is a file, not a prompt"),
        ("gen options.txt", "Read prompts from it: flux gen --from options.txt"),
        ("gen a.png", "Use it with: flux edit a.png 'as a watercolor'"),
        ("edit 'as a drawing' a.png", "'a.png' is a file, not a prompt"),
        ("gen --from rows.csv", "flux batch rows.csv"),
        ("gen 'a {red|blue car'", "has no end"),
        ("gen 'a {2$$oak|ash}'", "is not a choice"),
        ("batch rows.csv", "guidance is a number or a range, for example 1..4, not '3,5'; write 3.5"),
        ("gen --from options.txt", "options.txt, line 2: an option, not a prompt"),
    ],
)
def test_a_slip_is_refused_before_it_is_paid_for(flux: Flux, service: Service, line: str, expected: str) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 64), "red").save(name)
    Path("rows.csv").write_text("prompt;guidance;seed\nein roter Fuchs;3,5;7\n")
    Path("options.txt").write_text('a fox\n--prompt "a lamp" --steps 20\n')
    result = flux(line)
    assert result.code == 2
    assert expected in result.err
    assert service.charges == []


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["gen", '{"subject": "fox|wolf", "style": {"a": 1}}'], ['{"subject": "fox|wolf", "style": {"a": 1}}']),
        (["gen", "a sign {{OPEN}}"], ["a sign {OPEN}"]),
        (["gen", "a {red|blue} sign {{OPEN}}"], ["a red sign {OPEN}", "a blue sign {OPEN}"]),
        (["gen", "a {plain} brace"], ["a {plain} brace"]),
        (["gen", "a {c}", "--vary", "c=red", "--vary", "c=blue"], ["a red", "a blue"]),
        (["batch", "pretty.json"], ["one", "two"]),
        (["batch", "two.csv"], ["one", "two"]),
        (["gen", "--from", "mac.txt"], ["one", "two"]),
        (["gen", "--from", "notes.txt"], ["one", "#two"]),
    ],
)
def test_prompts_are_read_as_people_write_them(
    flux: Flux, service: Service, arguments: list[str], sent: list[str]
) -> None:
    Path("pretty.json").write_text('[\n  {"prompt": "one", "seed": 42.0},\n  {"prompt": "two", "steps": 4.0}\n]\n')
    Path("two.csv").write_text("prompt, preset\none, portrait\nprompt, preset\ntwo, portrait\n")
    Path("mac.txt").write_text("one\rtwo\r", newline="")
    Path("notes.txt").write_text("# a note\none \n\\#two\n")
    assert flux(shlex.join([*arguments, "-m", "schnell"])).code == 0
    assert sorted(body["prompt"] for body in asked(service)) == sorted(sent)


def test_a_row_with_a_name_gets_its_file_although_the_image_is_here(flux: Flux, service: Service) -> None:
    row = '{"prompt": "a fox", "seed": 7, "model": "schnell", "size": "64x64", "output": "%s.png"}'
    Path("one.jsonl").write_text(row % "one")
    Path("two.jsonl").write_text(row % "two")
    assert flux("batch one.jsonl").out == "one.png\n"
    assert flux("batch two.jsonl").out == "two.png\n"
    assert Image.open("one.png").tobytes() == Image.open("two.png").tobytes()
    assert len(service.charges) == 1


def test_a_field_under_two_spellings_is_refused(flux: Flux, service: Service) -> None:
    Path("rows.jsonl").write_text('{"prompt": "a fox", "batch_size": 1, "Batch-Size": 4}')
    result = flux("batch rows.jsonl")
    assert (result.code, service.charges) == (2, [])
    assert "rows.jsonl, line 1: 'batch-size' is given twice" in result.err
