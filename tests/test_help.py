"""Help, README and the program say the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flux_cli.cli import COMMANDS, CONFIG_COMMANDS
from flux_cli.config import SETTINGS
from flux_cli.errors import ExitCode

from .conftest import Flux

ROOT = Path(__file__).parent.parent
LINES = [*COMMANDS, "config", *(f"config {name}" for name in CONFIG_COMMANDS)]


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
