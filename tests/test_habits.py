"""Input as people type it and as files contain it: accepted, or rejected before anything is charged."""

import codecs
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from PIL import Image

import flux_cli
from flux_cli import UsageError

from .conftest import Flux
from .servers import Service
from .test_rows import get_inputs

FILES: dict[str, bytes] = {
    "rows.csv": b"prompt;guidance;seed\nein roter Fuchs;3,5;7\n",
    "options.txt": b'a fox\n--prompt "a lamp" --steps 20\n',
    "pretty.json": b'[\n  {"prompt": "one", "seed": 42.0},\n  {"prompt": "two", "steps": 4.0}\n]\n',
    "two.csv": b"prompt, preset\none, portrait\nprompt, preset\ntwo, portrait\n",
    "spaces.csv": b"prompt, image, op\none, a.png, edit\n",
    "hidden.csv": "prompt,image,op\none,a\u200b.png,edit\n".encode(),
    "numbers.csv": b"prompt,seed,width,height\none,42.0,512.0,512\n",
    "index.csv": b",prompt,seed\n0,one,7\n",
    "excel.csv": codecs.BOM_UTF8 + b"sep=;\r\nprompt;seed;;\r\n one ;7;;\r\n",
    "errors.csv": b"prompt,seed\n#REF!,7\n",
    "rounded.csv": b"prompt,seed\none,4.29E+09\n",
    "empty.csv": b"prompt,seed\nnan,7\n",
    "mac.txt": b"one\rtwo\r",
    "notes.txt": b"# a note\n// another\none \n\\#two\n",
    "values.txt": b"# a note\none \r\n\\#two\n",
    "marks.txt": codecs.BOM_UTF8 + b"one\n" + codecs.BOM_UTF8 + "two\u200b\n".encode(),
    "rows.txt": b'{"prompt": "one", "seed": 1}\n',
    "list.txt": b'[\n  "one",\n  "two"\n]\n',
    "table.txt": b"prompt,seed\none,1\n",
    "toml.txt": b'[[row]]\nprompt = "one"\n',
    "page.txt": b"<!DOCTYPE html>\n<html>\n",
    "letter.txt": b"{\\rtf1\\ansi one}\n",
    "letter.docx": b"PK\x03\x04\x14\0\0\0",
    "lines.txt": b"one\n---\ntwo\n",
    "prompts.txt": b"a fox\na wolf\n",
}


@pytest.fixture(autouse=True)
def write_files() -> None:
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (300, 300), "red").save(name)


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("gen -", 'the prompt is "-"', "flux gen --from -"),
        ("gen help", 'the prompt is "help"', "flux gen --help"),
        ("gen a castle", "unexpected words", "Put the prompt in quotes: flux gen 'a castle'"),
        ("gen '-a castle'", "no such option", "A prompt that begins with - goes after --: flux gen -- '-a castle'"),
        ("redux a.png b.png", "b.png is a file, not a prompt", "flux redux b.png 'as a watercolor'"),
        ("edit a.png '*.jpg'", "the prompt '*.jpg' consists of file names", ""),
        ("gen 'c.jpg, d.jpg'", "the prompt 'c.jpg, d.jpg' consists of file names", ""),
        ("gen options.txt", "options.txt is a file, not a prompt", "flux gen --from options.txt"),
        ("gen a.png", "a.png is a file, not a prompt", "Use it with: flux edit a.png 'as a watercolor'"),
        ("edit 'as a drawing' a.png", "a.png is a file, not a prompt", ""),
        ("gen null", "the prompt is 'null', which usually means a missing value", ""),
        ("gen '...'", "the prompt '...' has no letter, digit or symbol", ""),
        ("gen --from rows.csv", "rows.csv contains rows, not prompts", "flux batch rows.csv"),
        ("gen --from rows.txt", "rows.txt, line 1: rows in JSON, not prompts", "Run them with: flux batch rows.txt"),
        ("gen --from list.txt", "list.txt, line 1: rows in JSON, not prompts", ""),
        ("gen --from table.txt", "table.txt, line 1: rows in CSV, not prompts", "Run them with: flux batch table.txt"),
        ("gen --from toml.txt", "toml.txt, line 1: rows in TOML, not prompts", "Run them with: flux batch toml.txt"),
        ("gen --from page.txt", "page.txt, line 1: not text, but a web page", ""),
        ("gen --from letter.txt", "letter.txt, line 1: not text, but a document in RTF", ""),
        ("gen --from letter.docx", "letter.docx, line 1: not text, but a document or spreadsheet", ""),
        ("gen --from a.png", "a.png, line 1: not text, but an image", ""),
        ("gen --from lines.txt", "lines.txt, line 2: the prompt '---' has no letter", ""),
        ("gen 'a {x}' --vary x=@table.txt", "table.txt, line 1: rows in CSV, not prompts", ""),
        ("gen 'a {red|blue car'", "unclosed brace in '{red|blue car'", "Write {a|b}, or {{ for a literal brace"),
        ("gen 'a {b|{c}}'", "unclosed brace in '{b|'", "Write {a|b}, or {{ for a literal brace"),
        ("gen 'a {2$$oak|ash}'", "'{2$$oak|ash}' is not a choice", "Write {a|b}"),
        ("gen --from options.txt", "options.txt, line 2: looks like an option, not a prompt", ""),
        ("gen x --size 64x64 --preset square", "--size and --preset cannot be used together", ""),
        ("batch rows.csv", "rows.csv, line 2: invalid guidance '3,5': expected a number or a range, for example 1..4", "Write 3.5"),
        ("batch index.csv", "index.csv, line 1: the first column has no name", "to_csv(FILE, index=False)"),
        ("batch errors.csv", "errors.csv, line 2: prompt is '#REF!', an error of the spreadsheet", ""),
        ("batch rounded.csv", "rounded.csv, line 2: invalid --seed '4.29E+09': expected a whole number", "format the column as text"),
        ("batch empty.csv", "empty.csv, line 2: the prompt is 'nan', which usually means a missing value", ""),
        ("batch hidden.csv", "hidden.csv, line 2: image not found: 'a\\u200b.png'", ""),
        ("batch prompts.txt", "prompts.txt, line 1: expected a header with column names, not 'a fox'", "flux gen --from prompts.txt"),
        ("edit file:///tmp/c.png x", "not an http(s) URL: 'file:///tmp/c.png'", "Pass its path: /tmp/c.png"),
        ("edit s3://bucket/c.png x", "not an http(s) URL: 's3://bucket/c.png'", "Pass a path, or an http(s) URL"),
        ("edit 'data:image/png;base64,AA' x", "a data URL is not accepted", "Save the image to a file"),
    ],
)  # fmt: skip
def test_a_likely_mistake_is_rejected_before_anything_is_charged(
    flux: Flux, service: Service, line: str, error: str, hint: str
) -> None:
    result = flux(line)
    assert (result.code, service.requests) == (2, [])
    first, *rest = result.err.split("\n", 1)
    assert error in first
    assert hint in "".join(rest)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["gen", '{"subject": "fox|wolf", "style": {"a": 1}}'], ['{"subject": "fox|wolf", "style": {"a": 1}}']),
        (["gen", "a sign {{OPEN}}"], ["a sign {OPEN}"]),
        (["gen", "a {red|blue} sign {{OPEN}}"], ["a red sign {OPEN}", "a blue sign {OPEN}"]),
        (["gen", "a {plain} brace"], ["a {plain} brace"]),
        (["gen", "a {c}", "--vary", "c=red", "--vary", "c=blue"], ["a red", "a blue"]),
        (["gen", "a {c}", "--vary", "c=@values.txt"], ["a one", "a #two"]),
        (["gen", "\u00a0a fox \u200b\n"], ["a fox"]),
        (["gen", "\U0001f98a"], ["\U0001f98a"]),
        (["gen", "two\r\nlines"], ["two\nlines"]),
        (["batch", "pretty.json"], ["one", "two"]),
        (["batch", "two.csv"], ["one", "two"]),
        (["batch", "spaces.csv"], ["one"]),
        (["batch", "numbers.csv"], ["one"]),
        (["batch", "excel.csv"], ["one"]),
        (["gen", "--from", "mac.txt"], ["one", "two"]),
        (["gen", "--from", "notes.txt"], ["one", "#two"]),
        (["gen", "--from", "marks.txt"], ["one", "two"]),
    ],
)
def test_prompts_are_read_as_people_write_them(
    flux: Flux, service: Service, arguments: list[str], sent: list[str]
) -> None:
    assert flux(shlex.join([*arguments, "-m", "schnell", "--size", "64x64"])).code == 0
    assert sorted(body["prompt"] for body in get_inputs(service)) == sorted(sent)


def test_the_summary_counts_skipped_lines(flux: Flux) -> None:
    assert "2 comments skipped" in flux("gen --from notes.txt --dry-run").err
    assert "1 repeated header skipped" in flux("batch two.csv --dry-run").err


def test_a_trailing_space_does_not_change_a_prompt(flux: Flux, service: Service) -> None:
    assert flux("gen 'a fox ' --seed 7 -m schnell --size 64x64").code == 0
    assert flux("gen 'a fox' --seed 7 -m schnell --size 64x64").code == 0
    assert [body["prompt"] for body in get_inputs(service)] == ["a fox"]


def test_a_row_with_an_output_name_gets_its_file_from_a_reused_task(flux: Flux, service: Service) -> None:
    row = '{"prompt": "a fox", "seed": 7, "model": "schnell", "size": "64x64", "output": "%s.png"}'
    Path("one.jsonl").write_text(row % "one")
    Path("two.jsonl").write_text(row % "two")
    assert flux("batch one.jsonl").out == "one.png\n"
    assert flux("batch two.jsonl").out == "two.png\n"
    assert Image.open("one.png").tobytes() == Image.open("two.png").tobytes()
    assert len(service.charges) == 1


def test_a_column_with_two_spellings_is_rejected(flux: Flux, service: Service) -> None:
    Path("rows.jsonl").write_text('{"prompt": "a fox", "batch_size": 1, "Batch-Size": 4}')
    result = flux("batch rows.jsonl")
    assert (result.code, service.charges) == (2, [])
    assert "rows.jsonl, line 1: 'batch-size' is given twice" in result.err


def test_quiet_prints_nothing_on_stderr_in_every_format(flux: Flux, service: Service) -> None:
    for line in ("gen --from mac.txt -m schnell -q", "gen --from mac.txt -m schnell --json -q --no-cache -o '{index}'"):
        result = flux(line)
        assert (result.code, result.err) == (0, "")
        assert result.out


def test_an_option_without_effect_is_reported(flux: Flux, service: Service) -> None:
    message = "--skip-existing has no effect on names with a random seed"
    assert message in flux("gen x --skip-existing --dry-run").err
    for line in ("gen x --skip-existing -o x.png --dry-run", "gen x --skip-existing --seed 7 --dry-run"):
        assert message not in flux(line).err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "line", ["models --json", "models", "config list", "gen x --dry-run", "gen x --dry-run --json", "cost gen x", "--help", "--version", "gen --help", "completion bash", "help templates"],
)  # fmt: skip
def test_a_full_stdout_is_reported_by_every_command(start: Callable[..., Popen[str]], line: str) -> None:
    with open("/dev/full", "w") as full:
        process = start(line, stdout=full)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (11, False)
    assert "flux: cannot write to stdout" in err


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are UTF-16")
def test_arguments_are_utf_8_in_every_locale(start: Callable[..., Popen[str]]) -> None:
    env = {"PATH": os.environ["PATH"], "FLUX_HOME": os.environ["FLUX_HOME"], "LC_ALL": "C", "PYTHONUTF8": "0"}
    line = "gen 'ein grüner {x}' --negative-prompt Größe --vary x=Bär --sandbox --dry-run --json"
    out, err = start(line, env=env).communicate(timeout=30)
    body = json.loads(out.splitlines()[0])["request"]["input"]
    assert (body["prompt"], body["negative_prompt"]) == ("ein grüner Bär", "Größe"), err


@pytest.mark.parametrize(
    "line",
    [
        "gen 'a\x1b[31m boat'",
        "gen 'a bell\x07 rings'",
        "gen 'a\x9bm boat'",
        "gen boat --negative-prompt 'a\x7f'",
        "gen 'a {x}' --vary 'x=\x1b'",
        "gen boat --set 'input.prompt=a\x08'",
        "gen --from control.txt",
        "batch control.jsonl",
        "cost gen 'a\x1b boat'",
    ],
)
def test_a_control_character_in_a_prompt_is_escaped_and_rejected(flux: Flux, service: Service, line: str) -> None:
    Path("control.txt").write_text("a boat\na\x1b[31m ship\n")
    Path("control.jsonl").write_text('{"prompt": "a\\u0007 boat"}\n')
    result = flux(line)
    assert (result.code, service.requests) == (2, [])
    assert re.search(r"prompt has a control character: '.*\\x", result.err)


def test_python_and_rerun_also_reject_control_characters(flux: Flux, service: Service) -> None:
    with flux_cli.Flux() as client, pytest.raises(UsageError, match=r"\\x1b"):
        client.generate("a\x1b boat")
    assert flux("gen boat").code == 0
    assert "has a control character: 'a\\x1bb'" in flux("rerun @last --prompt 'a\x1bb'").err
    assert len(service.charges) == 1
