"""Print the changelog of a release, after checking that its tag may be published: `python -m tools.release v0.1.0`.

In a workflow of GitHub Actions, the project's metadata must also name the repository that publishes it.
"""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from flux_cli import __version__

ROOT = Path(__file__).parent.parent


def main(tag: str) -> str:
    """Return the changelog of this release, or exit with everything that speaks against it."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    problems = find_problems(tag, __version__, changelog, metadata["project"].get("urls", {}), repository(os.environ))
    if problems:
        raise SystemExit("\n".join(problems))
    return find_section(changelog, __version__)[1]


def repository(environ: Mapping[str, str]) -> str | None:
    """Return the URL of the repository whose workflow this is, if it is one."""
    name = environ.get("GITHUB_REPOSITORY")
    return f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}" if name else None


def find_problems(tag: str, version: str, changelog: str, urls: Mapping[str, str], repository: str | None) -> list[str]:
    """Return a sentence for each thing that has to be changed before this tag is published."""
    problems = []
    if tag != f"v{version}":
        problems.append(f"The tag is {tag}, but flux_cli/__init__.py has version {version}.")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", find_section(changelog, version)[0]):
        problems.append(f"CHANGELOG.md has no heading '## {version}, YYYY-MM-DD'.")
    if repository and urls.get("Repository") != repository:
        problems.append(f'pyproject.toml needs, in [project.urls]: Repository = "{repository}"')
    return problems


def find_section(changelog: str, version: str) -> tuple[str, str]:
    """Return the date in the heading of this version and the text below it, both empty if there is none."""
    found = re.search(rf"^## {re.escape(version)}, (.*)\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    return (found[1], found[2].strip()) if found else ("", "")


if __name__ == "__main__":
    print(main(sys.argv[1]))
