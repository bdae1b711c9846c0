"""The modules that each command loads. The start is fast on any machine because they are few."""

import subprocess
import sys
from pathlib import Path

import pytest

from .servers import Service

HTTP = {"httpx", "asyncio", "ssl", "starlette", "anyio"}
SLOW = {"zipfile", "importlib.resources", "tempfile", "hashlib", "random", "email", "logging", "statistics"}
"""Modules of the standard library. Each takes a tenth to a third of the time that Python takes to start."""
RANDOM = {"hashlib", "random"}
"""Modules for the name of a new journal."""
SUBMITTING = {
    "flux_cli.operations.base",
    "flux_cli.operations.request",
    "flux_cli.cli.options",
    "flux_cli.journal.entries",
}
OPTIONAL = {"rich", "pygments", "click", "PIL", "xml.etree.ElementTree", "uvicorn"}
"""A live view, images, reports, a server: only a command that needs one loads it."""


def get_loaded_modules(line: str) -> set[str]:
    """Return the modules that a command line has loaded when it ends."""
    script = (
        "import os, sys; from flux_cli.__main__ import run; sys.argv[1:] = sys.argv[1:];"
        "os._exit = lambda code: (print(*sys.modules, file=open('modules', 'w')), sys.exit(code)); run()"
    )
    command = [sys.executable, "-c", script, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(Path("modules").read_text().split())


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("--version", {"typer", "json", "re", "flux_cli.cli.main"}),
        ("gen --help", {"typer", "json", "re", "flux_cli.cli.main"}),
        ("history", HTTP | OPTIONAL | (SLOW - RANDOM) | {"tomllib"}),
        ("models", HTTP | OPTIONAL | SLOW | SUBMITTING | {"sqlite3", "json"}),
        ("config list", HTTP | OPTIONAL | SLOW | SUBMITTING | {"sqlite3", "json"}),
        ("cost", HTTP | OPTIONAL | (SLOW - RANDOM) | {"tomllib", "flux_cli.cli.options"}),
        ("cost gen fox", HTTP | OPTIONAL),
    ],
)
def test_a_command_loads_only_modules_that_it_uses(line: str, unwanted: set[str]) -> None:
    assert get_loaded_modules(line) & unwanted == set()


def test_generating_an_image_loads_neither_a_live_view_nor_pillow(service: Service) -> None:
    unwanted = OPTIONAL | {"zipfile", "statistics"}
    assert get_loaded_modules("gen fox --size 64x64 -m schnell") & unwanted == set()
