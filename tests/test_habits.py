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
        ("gen --from rows.csv", "flux batch rows.csv"),
        ("gen 'a {red|blue car'", "has no end"),
        ("gen 'a {2$$oak|ash}'", "is not a choice"),
        ("batch rows.csv", "guidance takes a number or a range such as 1..4, not '3,5'"),
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
