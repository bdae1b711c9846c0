"""Manual pages (`man flux`, `man flux-gen`, ...), in roff with the man macros."""

from ...config.settings import VARIABLES
from ...errors import ExitCode
from .tree import Command


def manual(program: Command) -> dict[str, str]:
    """Return every page by its file name: `flux.1`, `flux-config-get.1`, ..."""
    return {f"{_page(command)}.1": _manual(command, program) for command in program.walk()}


def _page(command: Command) -> str:
    return command.line.replace(" ", "-")


def _manual(command: Command, program: Command) -> str:
    name = _page(command)
    summary = command.summary[0].lower() + command.summary[1:].rstrip(".")
    lines = [
        f'.TH {name.upper()} 1 "" flux "Manual of flux"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary)}",
        ".SH SYNOPSIS",
        f".B {_text(command.line)}",
        _text(command.usage.removeprefix(f"{command.line} ")),
        ".SH DESCRIPTION",
        _text(command.summary),
    ]
    for paragraph in command.about:
        lines += [".PP", _text(paragraph)]
    lines += _list("ARGUMENTS", [(argument.usage, argument.description) for argument in command.arguments])
    lines += _list("COMMANDS", [(inner.line, f"{inner.summary} See {_page(inner)}(1).") for inner in command.commands])
    lines.append(".SH OPTIONS")
    for title, options in command.by_title().items():
        lines += [f".SS {title}", *_rows([(option.usage, option.description) for option in options])]
    if command.examples:
        lines.append(".SH EXAMPLES")
        for comment, line in command.examples:
            lines += [".PP", f"{_text(comment)}:", ".PP", ".nf", *map(_text, line.split("\n")), ".fi"]
    if command is program:
        lines += _list("ENVIRONMENT", list(VARIABLES.items()))
        lines += _list("EXIT STATUS", [(str(code.value), code.meaning) for code in ExitCode])
    else:
        lines += [".SH SEE ALSO", ".BR flux (1),", "which has the environment and the exit codes too."]
    return "\n".join(lines) + "\n"


def _list(title: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    return [f".SH {title}", *_rows(rows)]


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    return [line for name, about in rows for line in (".TP", f".B {_text(name)}", _text(about))]


def _text(text: str) -> str:
    """Return text with the special characters of roff escaped. Hyphens remain ASCII, so that they can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
