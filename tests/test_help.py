"""Help, documents and the program agree."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flux_cli.cli.docs.__main__ import ROOT, generate, read_files
from flux_cli.cli.docs.help_text import TOPICS
from flux_cli.cli.docs.tree import Option, read_command, read_program
from flux_cli.cli.fast_path import TOUR, find_output
from flux_cli.cli.registry import COMMANDS, CONFIG_COMMANDS, OPTIONS_OF_OTHER_TOOLS, SYNONYMS
from flux_cli.config.settings import VARIABLES
from flux_cli.errors import ExitCode

from .conftest import Flux

HELP_DIRECTORY = ROOT / "flux_cli" / "help"
COMMAND_TREE = list(read_program().walk())
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINES = [*COMMANDS, *(f"config {name}" for name in CONFIG_COMMANDS)]


def test_the_generated_files_are_current() -> None:
    """`python -m flux_cli.cli.docs` updates help, completion data, man pages and the reference."""
    assert read_files() == generate()


@pytest.mark.parametrize(
    "line",
    ["--version", "-V", "version", "--help", "gen -h", "config set --help", "help", "help gen", "help templates"],
)
def test_help_and_version_are_printed_without_importing_the_program(flux: Flux, line: str) -> None:
    script = "import sys; from flux_cli.__main__ import run; sys.argv[1:] = sys.argv[1].split();"
    script += "import os; leave, os._exit = os._exit, lambda code: (print('typer' in sys.modules, flush=True), leave(code)); run()"
    done = subprocess.run([sys.executable, "-c", script, line], capture_output=True, text=True, check=True)
    text, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert loaded == "False"
    assert text == flux(line).out.rstrip(), "the program prints the same"


@pytest.mark.parametrize(("line", "columns"), [("gen --help", "60"), ("nosuch --help", "80"), ("../setup -h", "80")])
def test_other_help_is_printed_by_the_program(line: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert find_output(line.split()) is None


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("line", ["--help", *(f"{line} --help" for line in LINES)])
def test_help_fits_a_terminal_and_explains_everything(
    flux: Flux, line: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = flux(line)
    assert (result.code, result.err) == (0, "")
    text = result.out.partition("Examples:")[0]
    assert max(map(len, text.splitlines())) <= max(columns, 60), "60 columns: the longest word"
    command = read_program() if line == "--help" else read_command(line.removesuffix(" --help"))
    assert all(option.about.endswith((".", "]")) for option in command.options), "an option without help"
    assert all(option.names[-1] in text for option in command.options)


@pytest.mark.parametrize("line", LINES)
def test_a_help_summary_fits_one_screen(flux: Flux, line: str) -> None:
    result = flux(f"{line} -h")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert len(lines) <= 22
    assert max(map(len, lines)) <= 80
    command = read_command(line)
    if f"flux {line} --help" in result.out:
        assert f"All {len(command.options)} options" in result.out
    else:
        assert all(option.names[-1] in result.out for option in command.options)


def test_examples_have_a_comment_and_valid_options(flux: Flux) -> None:
    options = {command.name: {name for option in command.options for name in option.names} for command in COMMAND_TREE}
    for command in COMMAND_TREE:
        assert command.examples or not command.name
        for comment, line in command.examples:
            assert comment
            assert all(len(part) <= 76 for part in line.split("\n"))
            assert all(part.endswith("\\") for part in line.split("\n")[:-1])
            for words in find_command_lines(f"```sh\n{line}\n```\n"):
                name = " ".join(words[:2]) if words[0] == "config" else words[0]
                passed = {word.partition("=")[0] for word in words[1:] if re.match("--?[a-z]", word)}
                inner = options[words[1]] if name == "cost" and words[1] in options else set()
                assert passed <= options[name] | inner, line


def test_options_without_effect_for_a_command_are_not_listed(flux: Flux) -> None:
    for name in ("lora", "controlnet", "redux", "inpaint", "outpaint"):
        assert not {"--batch-size", "--commercial", "--model"} & list_option_names(name)
    assert "--skip-existing" not in list_option_names("wait") | list_option_names("listen")
    assert "--sandbox" not in list_option_names("sandbox") | list_option_names("login") | list_option_names(
        "completion"
    )
    assert {"--denoise", "--kontext", "--size"} <= list_option_names("edit")
    assert "--denoise" not in list_option_names("gen")


def test_help_names_the_defaults_and_limits_of_the_command() -> None:
    """They come from the catalog and the declarations; each command has those of the models that it can use."""
    defaults = {
        ("gen", "--size"): "1024x1024",
        ("redux", "--size"): "the size of the input image",
        ("edit", "--size"): "the size of the input image",
        ("rerun", "--size"): "as in the image",
        ("rerun", "--commercial"): None,
        ("sandbox", "--speed"): "15",
    }
    for (command, name), default in defaults.items():
        assert _option(command, name).default == default, (command, name)
    texts = {
        ("gen", "--steps"): "Sampling steps, 1 to 40 (schnell: 1 to 10).",
        ("redux", "--steps"): "Sampling steps, 1 to 40.",
        ("gen", "--set"): "VALUE is JSON, or text",
        **{("edit", name): "; only with --kontext." for name in OF_SIZE},
        **{("lora", name): "; not with --image." for name in OF_SIZE},
    }
    for (command, name), text in texts.items():
        assert text in _option(command, name).about, (command, name)
    assert not any(re.search(r"[{](steps|guidance|denoise|models)[}]", one.about) for one in _options())


def test_only_a_command_with_a_summary_mentions_it(flux: Flux) -> None:
    for command in COMMAND_TREE:
        words = command.line.removeprefix("flux").strip()
        differs = flux(f"{words} -h").out != flux(f"{words} --help").out
        assert (command.options[-1].about == "Print this help (-h: a summary).") == differs, command.line


OF_SIZE = ("--size", "--aspect", "--width", "--height", "--preset")


def _options() -> list[Option]:
    return [option for command in COMMAND_TREE for option in command.options]


def _option(command: str, name: str) -> Option:
    return next(option for option in read_command(command).options if name in option.names)


def list_option_names(command: str) -> set[str]:
    return {name for option in read_command(command).options for name in option.names}


@pytest.mark.parametrize("topic", TOPICS)
def test_help_topics_are_pages(flux: Flux, topic: str) -> None:
    result = flux(f"help {topic}")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    assert json.loads(flux(f"help {topic} --json").out)["text"] == result.out


def test_version_is_printed(flux: Flux) -> None:
    assert flux("--version").out.startswith("flux 0.")


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_command_lines_in_the_documents_exist(page: Path) -> None:
    options = {command.name: {name for option in command.options for name in option.names} for command in COMMAND_TREE}
    for words in find_command_lines(page.read_text("utf-8")):
        line = " ".join(words) + " "
        named = [name for name in options if line.startswith((f"{name} ", f"cost {name} "))]
        known = set().union(*(options[name] for name in ["", *named]))
        assert named or words[0] in known, f"no such command: flux {line}"
        assert {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)} <= known, f"flux {line}"


def find_command_lines(text: str) -> list[list[str]]:
    """Return the arguments after each `flux` in the shell blocks and code spans of a Markdown text."""
    blocks = re.findall(r"(?ms)^```(?:sh|console)\n(.*?)^```", text)
    shell = [re.sub(r"(?m)^(?![$>] ).*\n", "", block) if "$ " in block[:2] else block for block in blocks]
    shell = [block.replace("\\\n", " ").replace("\n> ", "\n") for block in shell]
    found: list[list[str]] = []
    for line in "\n".join(shell + re.findall("`(flux [^`]+)`", text)).splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        inside = False
        for word in words:
            if word == "flux":
                found.append([])
                inside = True
            elif set(word) <= set("|;()&<>"):
                inside = False
            elif inside:
                found[-1].append(word)
    return [words for words in found if words and words[0] != "COMMAND"]


def test_exit_codes_and_variables_are_in_help_topics(flux: Flux) -> None:
    codes = " ".join(flux("help exit-codes").out.split())
    assert all(f" {code.value} {code.meaning} " in f" {codes} " for code in ExitCode)
    variables = flux("help environment").out
    assert all(f"  {name} " in variables or f"  {name}\n" in variables for name in VARIABLES)


def test_the_man_pages_are_valid() -> None:
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    pages = sorted((ROOT / "docs" / "man").glob("*.1"))
    found = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, check=False
    ).stdout
    assert [line for line in found.splitlines() if "missing date" not in line] == []  # a date would change every day


def test_options_have_their_group_headings() -> None:
    for command, option, heading in (
        ("gen", "--model", "Generation"),
        ("gen", "--webhook", "Waiting"),
        ("gen", "--set", "API"),
        ("gen", "--size", "Image size"),
        ("gen", "--output", "Output"),
        ("gen", "--max-cost", "Cost"),
        ("gen", "--shard", "Batches"),
        ("edit", "--no-fit", "Input image"),
        ("inpaint", "--feather", "Mask"),
        ("outpaint", "--left", "Margins"),
        ("controlnet", "--control", "LoRA and control"),
        ("wait", "--timeout", "Waiting"),
        ("sandbox", "--fault", "Faults"),
        ("listen", "--exec", "Actions"),
        ("history", "--json", "Global"),
    ):
        titles = [one.title for one in read_command(command).options if option in one.names]
        assert titles == [heading], option


def test_help_in_json_contains_the_whole_program(flux: Flux) -> None:
    data = json.loads(flux("--help --json").out)

    assert (data["schema"], data["type"], data["command"]) == (1, "help", "flux")
    assert {command["command"] for command in data["commands"]} == {f"flux {name}" for name in COMMANDS}
    assert {row["code"]: row["meaning"] for row in data["exit_codes"]} == {
        code.value: code.meaning for code in ExitCode
    }
    gen = data["commands"][0]
    assert gen["usage"] == "flux gen [OPTIONS] [PROMPT]"
    assert {
        "names": ["-m", "--model"],
        "metavar": "MODEL",
        "help": "Model: schnell, dev, pro, dev-advanced, a full ID, or auto; see flux models.",
        "default": "dev",
        "env": "FLUX_MODEL",
        "repeatable": False,
        "group": "Generation",
    } in gen["options"]
    assert not any("--price-only" in option["names"] for option in gen["options"])


@pytest.mark.parametrize(
    ("line", "command"),
    [("gen --help --json", "flux gen"), ("config set -h --json", "flux config set"), ("--json --help", "flux")],
)
def test_help_in_json_of_one_command(flux: Flux, line: str, command: str) -> None:
    result = flux(line)
    data = json.loads(result.out)
    assert (result.code, data["command"], "exit_codes" in data) == (0, command, command == "flux")


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("gn fox", "Did you mean gen?\n      Help: flux --help"),
        ("config gt", "no such command 'config gt'\n      Did you mean get?\n      Next: flux config"),
        ("gen --modle dev x", "Did you mean --model?\n      Help: flux gen --help"),
        ("gen x --n 4", "Write --seed 1..4 for 4 images, or -b 4 with schnell\n"),
        ("lora x --n 4", "Write --seed 1..4 for 4 images\n"),
        ("history -n 4", "Write --limit N\n"),
        ("edit a.png x --strength 0.5", "Write --denoise X"),
        ("gen x --strength 0.5", "To change an image, use: flux edit IMG PROMPT --denoise X"),
        ("redux a.png --image-strength 0.5", "Write --strength X"),
        ("sandbox --api-key x", "Write --key KEY"),
        ("rerun a.png --text x", "Write --prompt TEXT"),
        ("generate fox", "Did you mean: flux gen fox"),
        ("img2img a.png fox", "Did you mean: flux edit a.png fox"),
        ("retry @last", "Did you mean: flux rerun @last"),
        ("'a red fox'", "Write: flux gen 'a red fox'"),
        ("--sandbox gen fox", "'--sandbox' goes after the command"),
        ("help genrate", "Did you mean gen?"),
        ("help create", "Did you mean gen?"),
        ("gen -m snell x", "Did you mean schnell?"),
        ("gen --preset potrait x", "Did you mean portrait?"),
        ("history --state savd", "Did you mean saved?"),
        ("models --for comercial", "Did you mean commercial?"),
        ("cost --by modle", "Did you mean model?"),
        ("config get modle", "Did you mean model?"),
        ("history --state xyzzy", "Use one of: planned, sending, accepted"),
        ("--json history", "Write: flux history --json"),
        ("--json", "flux: --json needs a command, or --help\n      Help: flux --help"),
        ("--sandbox", "flux: --sandbox needs a command\n      Help: flux --help"),
        ("config --json list", "Write: flux config list --json"),
    ],
)
def test_a_mistyped_command_gets_a_suggestion(flux: Flux, line: str, suggestion: str) -> None:
    result = flux(line)
    assert (result.code, suggestion in result.err) == (2, True), result.err


def test_a_hint_for_an_option_of_another_tool_names_only_options_of_the_command() -> None:
    """`Write --limit N` is a hint for history alone, whatever the table says about other commands."""
    options = {command.name: {name for option in command.options for name in option.names} for command in COMMAND_TREE}
    for hints in OPTIONS_OF_OTHER_TOOLS.values():
        for hint, commands in hints.items():
            if not commands:
                assert any(set(re.findall(r"(?<!\S)--?[a-z-]+", hint)) <= known for known in options.values()), hint
            for line in find_command_lines(f"`flux {hint.partition(': flux ')[2]}`"):
                assert {word for word in line if word.startswith("--")} <= options[line[0]], hint
            if hint.startswith("Write "):
                named = re.findall(r"(?<!\S)--?[a-z-]+", hint)
                assert all(set(named) <= options[command] for command in commands), hint


def test_flux_alone_shows_a_tour(flux: Flux) -> None:
    """The tour is the same with and without importing the program, and its commands exist."""
    assert find_output([]) == flux("").out.encode()
    assert max(map(len, TOUR.splitlines())) <= 80
    for line in re.findall(r"^  flux (\w+)", TOUR, re.MULTILINE):
        assert line in COMMANDS


def test_synonyms_are_unambiguous_and_not_commands() -> None:
    words = [word for synonyms in SYNONYMS.values() for word in synonyms]
    assert len(words) == len(set(words))
    assert not set(words) & set(COMMANDS)
    assert set(SYNONYMS) <= set(COMMANDS)
