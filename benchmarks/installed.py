"""The flux that is measured: a wheel in an environment of its own, for what else is installed falsifies a start.

Python runs every `.pth` file in site-packages at every start; an editable install is one, and setuptools brings one.
"""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from .runner import ROOT


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with flux in it. about: which one, in a few words."""

    python: str
    flux: str
    about: str


def install(folder: Path) -> Installed:
    """flux as its users have it: built from this repository, in a new environment without pip and setuptools.

    Where it cannot be built (it takes a package index), it is the one at hand.
    """
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    python = folder / "bin" / "python"
    fill = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(ROOT)]
    for command in (make, fill):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            return at_hand(f", for no wheel could be installed ({last})")
    return Installed(
        str(python), str(folder / "bin" / "flux"), "a wheel, in an environment of its own without .pth files"
    )


def at_hand(why: str = "") -> Installed:
    """The flux that is installed beside the running Python; `why` ends what is told about it."""
    found = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.pth"))
    beside = f"with {' and '.join(found)}" if found else "without .pth files"
    flux = str(Path(sysconfig.get_path("scripts")) / "flux")
    return Installed(sys.executable, flux, f"what the benchmarks run in, {beside}{why}")
