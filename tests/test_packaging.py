"""The wheel and the sdist: their contents, and an installation of the wheel."""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from flux_cli import __version__
from tools.release import find_problems, find_section, repository

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from hatchling.build import build_sdist, build_wheel; build_{}(sys.argv[1])"


def build(kind: str, source: Path, directory: Path) -> Path:
    """Build a wheel or an sdist in its own process, because hatchling builds the current directory."""
    directory.mkdir()
    subprocess.run([sys.executable, "-c", BUILD.format(kind), directory], cwd=source, check=True, capture_output=True)
    [file] = directory.iterdir()
    return file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("packages") / "sdist")


@pytest.fixture(scope="module")
def source(sdist: Path) -> Path:
    """Unpack the sdist."""
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
            archive.extractall(sdist.parent / "source", filter="data")
        else:
            archive.extractall(sdist.parent / "source")
    return sdist.parent / "source" / f"piapi_flux-{__version__}"


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build("wheel", source, source.parent.parent / "wheel")


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_sdist_and_the_repository_build_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert build("wheel", ROOT, tmp_path / "again").read_bytes() == wheel.read_bytes()


def test_the_sdist_contains_tests_documents_and_completions(source: Path) -> None:
    for name in ("tests/conftest.py", "docs/man/flux.1", "completions/_flux", "LICENSE", "CHANGELOG.md", "uv.lock"):
        assert source.joinpath(name).exists(), name


def test_the_wheel_contains_the_package_its_data_and_man_pages_and_no_tests(source: Path, names: set[str]) -> None:
    package = {str(file.relative_to(source).as_posix()) for file in source.glob("flux_cli/**/*") if file.is_file()}
    assert {"flux_cli/py.typed", "flux_cli/config/catalog.toml"} <= package <= names
    assert {file.name for file in source.glob("docs/man/*")} == {Path(name).name for name in names if "/man1/" in name}
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"flux_cli", "piapi_flux"}
    assert not [name for name in names if re.search(r"(^|/)(tests?|benchmarks|tools|__pycache__)/", name)]


def test_the_description_has_no_relative_links(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"piapi_flux-{__version__}.dist-info/METADATA"))
    assert metadata["License-Expression"] == "MIT"
    description = str(metadata.get_payload())
    assert "# flux" in description
    assert not re.findall(r"\]\((?!https?:|mailto:|#)[^)]*\)", description)


def install(wheel: Path, environment: Path) -> None:
    """Install the wheel into a new environment. Its dependencies come from the environment of the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = get_program_directory(environment) / "python"
    pip: list[str | Path] = ["uv", "pip", "install", "--python", python]
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-compile"]
    settings = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*pip, "--quiet", "--no-index", "--no-deps", wheel], check=True, env=settings)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    packages.joinpath("dependencies.pth").write_text(sysconfig.get_path("purelib"))


def get_program_directory(environment: Path) -> Path:
    return environment / ("Scripts" if os.name == "nt" else "bin")


def test_an_installed_wheel_has_commands_fixture_man_pages_and_completion(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    install(wheel, environment)
    path = f"{get_program_directory(environment)}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, "PATH": path, "FLUX_HOME": str(tmp_path / "home"), "MANPATH": "", "PYTHONPATH": ""}

    def run(*command: str | Path) -> str:
        program = shutil.which(command[0], path=path)
        assert program
        done = subprocess.run(
            [program, *command[1:]], env=settings, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # The program, under both names
    assert run("flux", "--version") == run("flux-cli", "--version") == f"flux {__version__}\n"
    run("flux", "gen", "a fox", "--sandbox", "-o", "fox.png")
    assert tmp_path.joinpath("fox.png").stat().st_size

    # The fixture, which pytest finds in the metadata
    fixture = "from importlib.metadata import entry_points as all; [p] = all(group='pytest11', name='piapi_sandbox')"
    assert str(environment) in run("python", "-c", f"{fixture}; print(p.load().__file__)")

    # The man pages and the completion scripts, in the directories that programs with the same prefix search
    share = environment / "share"
    if shutil.which("man"):
        assert run("man", "-w", "flux-gen").strip() == str(share / "man/man1/flux-gen.1")
    assert "complete -F _flux flux" in share.joinpath("bash-completion/completions/flux").read_text("utf-8")
    assert share.joinpath("zsh/site-functions/_flux").read_text("utf-8").startswith("#compdef flux")
    assert "complete -c flux" in share.joinpath("fish/vendor_completions.d/flux.fish").read_text("utf-8")


CHANGES = "# Changelog\n\n## 1.1.0, unreleased\n\nLater.\n\n## 1.0.0, 2026-12-01\n\n- **One**\n- Two\n\n## 0.9.0, 2026-11-01\n\nOld.\n"
URLS = {"Repository": "https://github.com/owner/flux"}


def test_a_release_has_its_section_of_the_changelog() -> None:
    assert find_section(CHANGES, "1.0.0") == ("2026-12-01", "- **One**\n- Two")
    assert find_section(CHANGES, "0.9.0") == ("2026-11-01", "Old.")
    assert find_section(CHANGES, "2.0.0") == ("", "")
    assert find_problems("v1.0.0", "1.0.0", CHANGES, URLS, URLS["Repository"]) == []


@pytest.mark.parametrize(
    ("tag", "version", "urls", "problem"),
    [
        ("v1.0.1", "1.0.0", URLS, "has version 1.0.0"),
        ("v1.1.0", "1.1.0", URLS, "## 1.1.0, YYYY-MM-DD"),
        ("v2.0.0", "2.0.0", URLS, "## 2.0.0, YYYY-MM-DD"),
        ("v1.0.0", "1.0.0", {}, 'Repository = "https://github.com/owner/flux"'),
    ],
)
def test_a_release_that_does_not_match_its_tag_is_refused(
    tag: str, version: str, urls: dict[str, str], problem: str
) -> None:
    environ = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "owner/flux"}
    [message] = find_problems(tag, version, CHANGES, urls, repository(environ))
    assert problem in message


@pytest.mark.skipif(os.name == "nt", reason="the runners of GitHub have Git's bash, other machines may have WSL's")
def test_the_action_reports_its_images_and_exits_with_the_code_of_the_batch(tmp_path: Path) -> None:
    tmp_path.joinpath("flux").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flux_cli "$@"\n')
    tmp_path.joinpath("flux").chmod(0o755)
    tmp_path.joinpath("rows.jsonl").write_text('{"prompt": "a fox", "output": "fox.png"}\n')
    output = tmp_path / "output"
    inputs = {"FILE": "rows.jsonl", "OUTPUT_DIR": "images", "REPORT": "report.xml", "FLUX_HOME": str(tmp_path / "home")}
    runner = {"RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output), "PYTHONPATH": str(ROOT)}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    def run(args: str) -> int:
        settings = {**os.environ, **inputs, **runner, "ARGS": args, "PATH": path, "PIAPI_API_KEY": ""}
        output.write_text("")
        script: list[str | Path] = ["bash", ROOT / "tools/action/batch.sh"]
        return subprocess.run(script, env=settings, cwd=tmp_path, capture_output=True, check=False).returncode

    assert run("--sandbox\r\n\n--max-cost=5\n") == 0
    assert output.read_text().startswith("exit-code=0\nreport=report.xml\nimages<<")
    assert "\nimages/fox.png\n" in output.read_text()
    assert tmp_path.joinpath("report.xml").exists()
    assert run("") == 4  # no key
    assert output.read_text().startswith("exit-code=4\n")
