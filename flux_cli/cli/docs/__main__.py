"""The files that are generated from the program: help pages, data for completion, man pages and docs/reference/cli.md.

`python -m flux_cli.cli.docs` generates them again. A test checks that they are current.
"""

from pathlib import Path

from . import completion_data, markdown, roff, tree
from .help_text import TOPICS, full_help, short_help

ROOT = Path(__file__).parents[3]
DIRECTORIES = ("flux_cli/help", "docs/man")
"""Directories that contain only generated files."""
CLI_PAGE = "docs/reference/cli.md"


def generate() -> dict[str, str]:
    """Return the text of each file, by its path in the repository."""
    program = tree.read_program()
    return {
        **{f"flux_cli/help/{command.line} --help.txt": full_help(command) for command in program.walk()},
        **{f"flux_cli/help/{command.line} -h.txt": short_help(command) for command in program.walk()},
        **{f"flux_cli/help/flux help {name}.txt": topic.text(80) for name, topic in TOPICS.items()},
        "flux_cli/help/completion.json": completion_data.data(program),
        **{f"docs/man/{name}": text for name, text in roff.manual(program).items()},
        CLI_PAGE: markdown.reference(program),
    }


def read_files() -> dict[str, str]:
    """Return the text of each existing file, by its path in the repository."""
    paths = [path for directory in DIRECTORIES for path in (ROOT / directory).glob("*")] + [ROOT / CLI_PAGE]
    return {path.relative_to(ROOT).as_posix(): path.read_text("ascii") for path in paths if path.is_file()}


def write() -> None:
    """Write every file, and delete those of removed commands."""
    new = generate()
    for name in read_files().keys() - new.keys():
        (ROOT / name).unlink()
    for name, text in new.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    write()
