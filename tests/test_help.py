"""Help, README and the program say the same."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from typer.core import TyperOption
from typer.main import get_group

from flux_cli import __version__
from flux_cli.cli.docs.__main__ import ROOT, kept, written
from flux_cli.cli.docs.tree import read
from flux_cli.cli.fast_path import TOUR, answer
from flux_cli.cli.main import COMMANDS, CONFIG_COMMANDS, MAIN_VARIABLES, build
from flux_cli.config.settings import VARIABLES
from flux_cli.errors import ExitCode

from .conftest import Flux

FOLDER = ROOT / "flux_cli" / "help"
COMMAND_TREE = list(read(get_group(build())).walk())
DOCUMENTS = ["README.md", "SECURITY.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
LINES = [*COMMANDS, *(f"config {name}" for name in CONFIG_COMMANDS)]


def test_the_pages_are_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m flux_cli.cli.docs` writes help, completions, the manual and docs/cli.md anew."""
    monkeypatch.setenv("COLUMNS", "80")
    assert kept() == written()


@pytest.mark.parametrize("line", ["--version", "--help", "gen -h", "config set --help"])
def test_help_and_version_are_answered_without_the_program(line: str) -> None:
    script = "import sys; from flux_cli.__main__ import run; sys.argv[1:] = sys.argv[1].split();"
    script += "import os; leave, os._exit = os._exit, lambda code: (print('typer' in sys.modules, flush=True), leave(code)); run()"
    done = subprocess.run([sys.executable, "-c", script, line], capture_output=True, text=True, check=True)
    text, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert loaded == "False"
    name = " ".join(["flux", *(word for word in line.split() if not word.startswith("-"))])
    assert text == (f"flux {__version__}" if line == "--version" else (FOLDER / f"{name}.txt").read_text().rstrip())


@pytest.mark.parametrize(("line", "columns"), [("gen --help", "60"), ("nosuch --help", "80"), ("../setup -h", "80")])
def test_other_help_comes_from_the_program(line: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert answer(line.split()) is None


def test_no_summary_of_a_command_is_cut() -> None:
    assert "..." not in (FOLDER / "flux.txt").read_text().partition("Generate images:")[2]


@pytest.mark.parametrize("line", ["--help", *(f"{line} --help" for line in LINES)])
def test_help_fits_a_terminal_and_explains_everything(flux: Flux, line: str) -> None:
    result = flux(line)

    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    options = result.out.partition("Options:")[2].splitlines()
    about = [text for text in options if text.startswith("  -")]
    assert about
    assert all(len(text.split("  ")) > 2 or len(text) > 30 for text in about), "an option without help"


def test_version(flux: Flux) -> None:
    assert flux("--version").out.startswith("flux 0.")


def test_the_readme_lists_every_exit_code_and_variable() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ")]

    assert [row for row in rows if row.split()[1].isdigit()] == [
        f"| {code.value} | {code.meaning} |" for code in ExitCode
    ]
    variables = [row for row in rows if row.startswith(("| `PIAPI_", "| `FLUX_"))]
    assert variables == [f"| `{name}` | {about} |" for name, about in VARIABLES.items()]


@pytest.mark.parametrize("page", DOCUMENTS)
def test_command_lines_in_the_documents_exist(page: str) -> None:
    options = {command.name: {name for option in command.options for name in option.names} for command in COMMAND_TREE}
    for words in command_lines((ROOT / page).read_text()):
        line = " ".join(words) + " "
        named = [name for name in options if line.startswith((f"{name} ", f"cost {name} "))]
        known = set().union(*(options[name] for name in ["", *named]))
        assert named or words[0] in known, f"no such command: flux {line}"
        assert {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)} <= known, f"flux {line}"


def command_lines(text: str) -> list[list[str]]:
    """The words behind each `flux` in the shell blocks and code spans of a Markdown text."""
    shell = [block.partition("\n```")[0].replace("\\\n", " ") for block in text.split("```sh\n")[1:]]
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


def test_the_exit_codes_and_the_main_variables_are_in_the_help(flux: Flux) -> None:
    told = flux("--help").out
    assert all(f" {code.value} {code.meaning} " in f"{' '.join(told.split())} " for code in ExitCode)
    assert all(f"  {name} " in told for name in MAIN_VARIABLES)


def test_the_manual_is_sound() -> None:
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    pages = sorted((ROOT / "docs" / "man").glob("*.1"))
    found = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, check=False
    ).stdout
    assert [line for line in found.splitlines() if "missing date" not in line] == []  # it would change each day


def test_options_have_the_headings_of_their_groups() -> None:
    program = get_group(build())
    headings = {
        (name, option.name): option.rich_help_panel
        for name, command in program.commands.items()
        for option in command.params
        if isinstance(option, TyperOption)
    }
    for where, heading in {
        ("gen", "model"): "Generation",
        ("gen", "size"): "Image size",
        ("gen", "output"): "Output",
        ("gen", "shard"): "Batches",
        ("edit", "no_fit"): "Input image",
        ("inpaint", "feather"): "Mask",
        ("outpaint", "left"): "Margins",
        ("controlnet", "controls"): "LoRA and control",
        ("wait", "timeout"): "Waiting",
        ("sandbox", "host"): "Server",
        ("history", "json"): "Global",
    }.items():
        assert headings[where] == heading


def test_help_as_data_has_the_whole_program(flux: Flux) -> None:
    told = json.loads(flux("--help --json").out)

    assert (told["schema"], told["type"], told["command"]) == (1, "help", "flux")
    assert {command["command"] for command in told["commands"]} == {f"flux {name}" for name in COMMANDS}
    assert {row["code"]: row["meaning"] for row in told["exit_codes"]} == {
        code.value: code.meaning for code in ExitCode
    }
    gen = told["commands"][0]
    assert gen["usage"] == "flux gen [OPTIONS] [PROMPT]"
    assert {
        "names": ["-m", "--model"],
        "metavar": "MODEL",
        "help": "schnell, dev, pro, dev-advanced, a full ID, or auto; see flux models.",
        "default": "dev",
        "env": "FLUX_MODEL",
        "repeatable": False,
    } in gen["options"]
    assert not any("--price-only" in option["names"] for option in gen["options"])


@pytest.mark.parametrize(
    ("line", "command"),
    [("gen --help --json", "flux gen"), ("config set -h --json", "flux config set"), ("--json --help", "flux")],
)
def test_help_as_data_of_one_command(flux: Flux, line: str, command: str) -> None:
    result = flux(line)
    told = json.loads(result.out)
    assert (result.code, told["command"], "exit_codes" in told) == (0, command, command == "flux")


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("gn fox", "did you mean gen? see: flux --help"),
        ("config gt", "did you mean get? see: flux config --help"),
        ("gen --modle dev x", "did you mean --model or --profile or --open? see: flux gen --help"),
        ("gen -m snell x", "did you mean schnell?"),
        ("gen --preset potrait x", "did you mean portrait?"),
        ("history --state savd", "did you mean saved?"),
        ("models --for comercial", "did you mean commercial?"),
        ("cost --by modle", "did you mean model?"),
        ("config get modle", "did you mean model?"),
        ("history --state xyzzy", "one of: planned, sending, accepted"),
        ("--json history", "For example: flux history --json"),
    ],
)
def test_what_was_meant_is_said(flux: Flux, line: str, meant: str) -> None:
    result = flux(line)
    assert (result.code, meant in result.err) == (2, True), result.err


def test_flux_alone_shows_a_tour(flux: Flux) -> None:
    """With and without the program the same; each line of it is one that works."""
    assert answer([]) == flux("").out.encode()
    assert max(map(len, TOUR.splitlines())) <= 80
    for line in re.findall(r"^  flux (\w+)", TOUR, re.MULTILINE):
        assert line in COMMANDS
