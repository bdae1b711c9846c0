"""The README's examples, run as they stand there."""

import os
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def section(title: str) -> str:
    """What stands below a heading, up to the next of its kind."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def examples(title: str) -> list[str]:
    """The shell scripts in a section."""
    return [block.partition("```")[0] for block in section(title).split("```sh\n")[1:]]


def run(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script of bash with flux on its PATH, by way of `folder`; it must end well."""
    program = folder / "bin" / "flux"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m flux_cli "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f"set -eo pipefail\n{script}\nwait"],
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done
