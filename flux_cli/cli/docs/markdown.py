"""The reference in Markdown: every command with its arguments, options and examples."""

from ...config.settings import VARIABLES
from ...errors import ExitCode
from .tree import Command

INTRODUCTION = """# The commands of flux

Generated from the program by `python -m flux_cli.cli.docs`. The same text is in `flux COMMAND --help` and
`man flux-COMMAND`, and as JSON in `flux --help --json`. [Getting started](../getting-started.md) shows
how to use flux.
"""


def reference(program: Command) -> str:
    """Return the text of docs/reference/cli.md."""
    commands = [command for command in program.walk() if command is not program]
    index = [(f"[`{command.line}`](#{command.line.replace(' ', '-')})", command.summary) for command in commands]
    parts = [
        INTRODUCTION,
        _table(("command", "what it does"), index),
        *(_section(command) for command in commands),
        "## Environment\n",
        _table(("variable", "what it sets"), [(_code(name), _text(about)) for name, about in VARIABLES.items()]),
        "## Exit codes\n",
        _table(("code", "meaning"), [(str(code.value), code.meaning) for code in ExitCode]),
    ]
    return "\n".join(parts)


def _section(command: Command) -> str:
    parts = [f"## {command.line}\n", _text(command.summary) + "\n", f"```text\n{command.usage}\n```\n"]
    parts += [_text(paragraph) + "\n" for paragraph in command.about]
    if command.examples:
        lines = [f"# {comment}\n{line}" for comment, line in command.examples]
        parts.append("\n".join(["```sh", "\n\n".join(lines), "```\n"]))
    if command.arguments:
        rows = [(_code(argument.usage), _text(argument.description)) for argument in command.arguments]
        parts.append(_table(("argument", "meaning"), rows))
    for title, options in command.by_title().items():
        rows = [(_code(option.usage), _text(option.description)) for option in options]
        parts.append(_table((title.lower() if title != "API" else title, "meaning"), rows))
    return "\n".join(parts)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "".join(f"| {name} | {about} |\n" for name, about in [head, ("---", "---"), *rows])


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _text(text: str) -> str:
    """Return prose with the special characters of Markdown escaped."""
    return "".join(f"\\{character}" if character in "\\`*<|" else character for character in text)
