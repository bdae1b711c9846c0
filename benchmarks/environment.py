"""What the figures depend on: the machine, the installation of flux and the environment variables."""

import os
import platform
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


def describe_machine() -> dict[str, str]:
    """Return the number of CPUs, the Python version, the operating system and the load before the first benchmark."""
    return {
        "CPUs": str(os.cpu_count()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(terse=True),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that contains flux. python, flux: paths of the programs; description: for the report."""

    python: str
    flux: str
    description: str


def install(directory: Path) -> Installation:
    """Build flux from this repository, install it in a new environment in `directory`, and return the installation.

    Python processes every `.pth` file in site-packages at every start. An editable installation is such a file and
    setuptools adds another one, so the new environment contains neither. If the build fails, for example without
    access to a package index, return the current installation.
    """
    python = directory / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(directory)],
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(ROOT)],
    ):
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
        if completed.returncode:
            error = completed.stderr.strip().rpartition("\n")[2]
            return find_current(f", because the wheel could not be installed ({error})")
    return Installation(
        str(python), str(directory / "bin" / "flux"), "a wheel in a separate environment without .pth files"
    )


def find_current(reason: str = "") -> Installation:
    """Return the installation of flux in the running environment. `reason` is appended to its description."""
    files = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.pth"))
    pth = f"with {' and '.join(files)}" if files else "without .pth files"
    flux = str(Path(sysconfig.get_path("scripts")) / "flux")
    return Installation(sys.executable, flux, f"the environment of the benchmarks, {pth}{reason}")


def make_variables(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment variables with `variables` added and FLUX_HOME set to `home`.

    All variables that affect flux or Python are removed. For example, PYTHONDONTWRITEBYTECODE makes every start
    compile every module.
    """
    removed = ("FLUX_", "PIAPI_", "_FLUX_", "PYTHON", "SSL_CERT_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(removed) and not name.lower().endswith("_proxy")
    }
    return {**kept, "FLUX_HOME": str(home), **variables}
