"""Everything that CI checks, as sessions of Nox: `uvx nox` runs all of them, `uvx nox -s lint types` runs two.

Each session has an environment of its own, with the versions in uv.lock. `uvx nox --list` says what each is for.
"""

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "layers", "generated", "tests", "package", "workflows", "audit", "site"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
DIST = Path("dist")
LICENSES = Path("THIRD_PARTY_LICENSES.md")


def sync(session: nox.Session, *options: str, environment: str | None = None) -> None:
    """Install what uv.lock has for these options of `uv sync`, and nothing else."""
    python = f"--python={session.python or sys.executable}"
    directory = {"UV_PROJECT_ENVIRONMENT": environment or session.virtualenv.location}
    session.run_install("uv", "sync", "--quiet", "--locked", python, *options, env=directory, external=True)


def install_flux(session: nox.Session) -> str:
    """Install flux and what it needs to run, nothing else, in a second environment. Return its Python."""
    directory = Path(session.create_tmp(), "flux").resolve()
    sync(session, environment=str(directory))
    return str(directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and style."""
    sync(session, "--extra=test")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types for Linux, macOS and Windows."""
    sync(session, "--extra=test")
    session.run("mypy")
    for platform in ("linux", "darwin", "win32"):
        session.run("mypy", "--platform", platform, "flux_cli")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports point down."""
    sync(session, "--extra=test")
    session.run("lint-imports", "--no-cache")


@nox.session
def generated(session: nox.Session) -> None:
    """Write help, man pages, the data for completion and the tables of the documents anew: none of them may change."""
    sync(session, "--extra=test")
    session.run("python", "-m", "flux_cli.cli.docs")
    session.run("python", "docs/tables.py")
    session.run("git", "diff", "--exit-code", "--stat", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the locked versions. Arguments after `--` go to pytest."""
    sync(session, "--extra=test")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def tests_oldest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that pyproject.toml allows."""
    oldest = Path(session.create_tmp(), "oldest.txt")
    resolve = ["uv", "pip", "compile", "--quiet", "--resolution=lowest-direct", "--extra=test", "pyproject.toml"]
    session.run_install(*resolve, f"--output-file={oldest}", external=True)
    session.install("--constraint", str(oldest), "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[-1])
def tests_newest(session: nox.Session) -> None:
    """Run the tests with the newest dependencies that pyproject.toml allows."""
    session.install("--upgrade", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def tests_typer(session: nox.Session) -> None:
    """Run the tests with the newest Typer, which pyproject.toml excludes: with pydantic, flux starts slower."""
    session.install("-e", ".[test]")
    session.install("--upgrade", "typer")
    session.run("pytest", "--ignore=tests/test_startup.py", *session.posargs)  # it counts what Typer imports


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist and, from it, the wheel. Check both, and run flux from the wheel in an empty environment."""
    sync(session, "--only-group=package")
    for old in DIST.glob("piapi_flux-*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(DIST))
    [wheel] = (str(file.resolve()) for file in DIST.glob("*.whl"))
    [sdist] = (str(file.resolve()) for file in DIST.glob("*.tar.gz"))
    session.run("twine", "check", "--strict", sdist, wheel)
    session.run("check-wheel-contents", wheel)
    with session.chdir(session.create_tmp()):
        empty = ["uv", "run", "--quiet", "--no-project", "--isolated", "--with", wheel]
        generate = ["flux", "gen", "a fox", "--sandbox", "--overwrite", "--output=fox.png"]
        session.run(*empty, *generate, env={"FLUX_HOME": "home"}, external=True)


@nox.session
def workflows(session: nox.Session) -> None:
    """Check the workflows of GitHub Actions and the action."""
    sync(session, "--only-group=workflows")
    session.run("actionlint")
    session.run("zizmor", "--offline", "--min-severity=medium", ".")


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities in all locked versions, and for licenses that are not listed yet."""
    sync(session, "--only-group=audit")
    locked = Path(session.create_tmp(), "locked.txt")
    export = ["uv", "export", "--quiet", "--locked", "--all-extras", "--all-groups", "--no-emit-project"]
    session.run(*export, f"--output-file={locked}", external=True)
    session.run("pip-audit", "--strict", "--disable-pip", "--require-hashes", f"--requirement={locked}")
    write_licenses(session)
    session.run("git", "diff", "--exit-code", str(LICENSES), external=True)


@nox.session
def licenses(session: nox.Session) -> None:
    """Write THIRD_PARTY_LICENSES.md."""
    sync(session, "--only-group=audit")
    write_licenses(session)


def write_licenses(session: nox.Session) -> None:
    """List the licenses of what is installed along with flux."""
    options = ["--from=mixed", "--format=markdown", "--with-urls", "--no-version", "--ignore-packages", "piapi-flux"]
    table = session.run("pip-licenses", f"--python={install_flux(session)}", *options, silent=True)
    LICENSES.write_text(
        "# Licenses of the dependencies\n\n"
        "flux itself is under the [MIT license](LICENSE) and contains no code of others. Installing it installs these\n"
        f"packages, and on Windows also colorama (BSD). `uvx nox -s licenses` writes this list.\n\n{table}",
        encoding="utf-8",
    )


@nox.session
def sbom(session: nox.Session) -> None:
    """Write dist/piapi-flux.cdx.json, the software bill of materials of a release (CycloneDX)."""
    sync(session, "--only-group=audit")
    DIST.mkdir(exist_ok=True)
    options = ["--pyproject=pyproject.toml", "--output-reproducible", f"--output-file={DIST / 'piapi-flux.cdx.json'}"]
    session.run("cyclonedx-py", "environment", *options, install_flux(session))


@nox.session
def site(session: nox.Session) -> None:
    """Build the documentation site in site/. A warning is an error."""
    sync(session, "--only-group=site")
    session.run("zensical", "build", "--clean", "--strict")
