"""What each command loads: start-up is bought with modules that are not imported, whatever the machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from .servers import Service

HTTP = {"httpx", "asyncio", "ssl", "starlette", "anyio"}
SLOW = {"zipfile", "importlib.resources", "tempfile", "hashlib", "random", "email", "logging", "statistics"}
"""Of the standard library: each takes a tenth to a third of what Python takes to start."""
CHANCE = {"hashlib", "random"}
"""What a new journal is named with."""
BUYING = {
    "flux_cli.operations.base",
    "flux_cli.operations.request",
    "flux_cli.cli.options",
    "flux_cli.journal.entries",
}
SHOWN = {"rich", "pygments", "click", "PIL", "xml.etree.ElementTree", "uvicorn"}
"""A live view, images, reports, a server: whoever needs one loads it."""


def loaded(line: str) -> set[str]:
    """The modules that a command line has loaded when it ends."""
    script = (
        "import os, sys; from flux_cli.__main__ import run; sys.argv[1:] = sys.argv[1:];"
        "os._exit = lambda code: (print(*sys.modules, file=open('modules', 'w')), sys.exit(code)); run()"
    )
    command = [sys.executable, "-c", script, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(Path("modules").read_text().split())


@pytest.mark.parametrize(
    ("line", "without"),
    [
        ("--version", {"typer", "json", "re", "flux_cli.cli.main"}),
        ("gen --help", {"typer", "json", "re", "flux_cli.cli.main"}),
        ("history", HTTP | SHOWN | (SLOW - CHANCE) | {"tomllib"}),
        ("models", HTTP | SHOWN | SLOW | BUYING | {"sqlite3", "json"}),
        ("config list", HTTP | SHOWN | SLOW | BUYING | {"sqlite3", "json"}),
        ("cost", HTTP | SHOWN | (SLOW - CHANCE) | {"tomllib", "flux_cli.cli.options"}),
        ("cost gen fox", HTTP | SHOWN),
    ],
)
def test_a_command_loads_only_what_it_uses(line: str, without: set[str]) -> None:
    assert loaded(line) & without == set()


def test_an_image_needs_neither_a_live_view_nor_pillow(service: Service) -> None:
    without = SHOWN | {"zipfile", "statistics"}
    assert loaded("gen fox --size 64x64 -m schnell") & without == set()
