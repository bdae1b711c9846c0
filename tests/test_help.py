"""Help, README and the program say the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flux_cli import __version__
from flux_cli.cli import COMMANDS, CONFIG_COMMANDS
from flux_cli.config import SETTINGS
from flux_cli.errors import ExitCode
from flux_cli.instant import answer
from flux_cli.pages import FOLDER, pages

from .conftest import Flux

ROOT = Path(__file__).parent.parent
LINES = [*COMMANDS, *(f"config {name}" for name in CONFIG_COMMANDS)]


def test_the_pages_are_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m flux_cli.pages` writes them anew."""
    monkeypatch.setenv("COLUMNS", "80")
    assert {page.stem: page.read_text() for page in FOLDER.glob("*.txt")} == pages()


@pytest.mark.parametrize("line", ["--version", "", "--help", "gen -h", "config set --help"])
def test_help_and_version_are_answered_without_the_program(line: str) -> None:
    script = "import sys; from flux_cli.__main__ import run; sys.argv[1:] = sys.argv[1].split();"
    script += "import os; leave, os._exit = os._exit, lambda code: (print('typer' in sys.modules), leave(code)); run()"
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
    assert "..." not in (FOLDER / "flux.txt").read_text().partition("Make pictures:")[2]


@pytest.mark.parametrize("line", ["", "--help", *(f"{line} --help" for line in LINES)])
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


def test_the_readme_lists_every_exit_code_and_setting() -> None:
    readme = (ROOT / "README.md").read_text()

    rows = [line for line in readme.splitlines() if line.startswith("| ") and line.split()[1].isdigit()]
    assert rows == [f"| {code.value} | {code.meaning} |" for code in ExitCode]
    for setting in SETTINGS:
        assert f"| `{setting.variable}` | {setting.about} |" in readme


def test_the_exit_codes_are_in_the_help(flux: Flux) -> None:
    told = flux("--help").out
    assert all(f"{code.value:>4}  {code.meaning}" in told for code in ExitCode)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("flux ge", ["gen"]),
        ("flux lora x --lora an", ["anime"]),
        ("flux gen -m sch", ["schnell"]),
        ("flux gen --preset ", ["portrait", "landscape", "square"]),
        ("flux controlnet x --control ho", []),
        ("flux controlnet x --control de", ["depth="]),
    ],
)
def test_the_shell_completes(words: str, completed: list[str]) -> None:
    place = len(words.split(" ")) - 1
    asked = {"_FLUX_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'flux'; from flux_cli.__main__ import run; run()"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == completed
