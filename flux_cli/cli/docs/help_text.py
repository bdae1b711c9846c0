"""Help as text: `-h` has the common options and fits one screen, `--help` has everything."""

from textwrap import wrap

from ..common_options import CommonOptions
from ..registry import COMMANDS, GROUPS, Example
from .topics import COLUMN, TOPICS, rows
from .tree import Argument, Command, Option

FEW = 6
"""A command with no more options of its own shows all of them in `-h`."""
EXAMPLES = 3
"""Examples in `-h`, at most."""


def full_help(command: Command, width: int = 80) -> str:
    """Return the whole help of a command."""
    if not command.name:
        return _program_help(command, width)
    parts = [_heading(command, width), *("\n".join(wrap(text, width)) for text in command.about)]
    if command.commands:
        parts.append("Commands:\n" + rows([(one.word, one.summary) for one in command.commands], width))
    if command.arguments:
        parts.append("Arguments:\n" + rows([(_name(one), one.about) for one in command.arguments], width))
    column = min(COLUMN, max(len(_usage(option)) for option in command.options) + 4)
    for title, options in command.by_title().items():
        parts.append(f"{title}:\n{rows([(_usage(option), option.description) for option in options], width, column)}")
    if command.examples:
        parts.append("Examples:\n" + "\n\n".join(_example(example) for example in command.examples))
    return "\n\n".join(parts) + "\n"


def short_help(command: Command, width: int = 80) -> str:
    """Return the help of a command with its common options."""
    own = [option for option in command.options if option.title != CommonOptions.title]
    common = own if len(own) <= FEW else [option for option in own if option.short]
    common += [option for option in command.options if option.title == CommonOptions.title and option.short]
    if not command.name or command.commands or len(common) + 1 >= len(command.options):
        return full_help(command, width)
    parts = [_heading(command, width)]
    if command.examples:
        parts.append("Examples:\n" + "\n".join(_short_example(one) for one in _short_examples(command)))
    table = [(_usage(option), option.short or option.description) for option in common]
    parts.append(("Common options:\n" if own else "Options:\n") + rows(table, width))
    parts.append(f"All {len(command.options)} options: {command.line} --help")
    return "\n\n".join(parts) + "\n"


def _program_help(program: Command, width: int) -> str:
    summaries = {command.name: command.summary for command in program.commands}
    column = max(map(len, COMMANDS)) + 4
    parts = [program.summary, "Usage: flux COMMAND [OPTIONS] ...", "\n".join(wrap(program.about[0], width))]
    for title, names in GROUPS.items():
        parts.append(f"{title}:\n" + rows([(name, summaries[name]) for name in names], width, column))
    parts.append("Options:\n" + rows([(_usage(option), option.description) for option in program.options], width))
    topics = [(f"flux help {name}", topic.summary) for name, topic in TOPICS.items()]
    topics.append(("flux help json-schema", "the same as JSON Schema"))
    parts.append("Help topics:\n" + rows(topics, width))
    parts.append("Help for one command: flux COMMAND -h\nAll its options:      flux COMMAND --help")
    return "\n\n".join(parts) + "\n"


def _heading(command: Command, width: int) -> str:
    usage = wrap(f"Usage: {command.usage}", width, subsequent_indent=" " * 7)
    return "\n".join([*wrap(command.summary, width), "", *usage])


def _name(argument: Argument) -> str:
    return argument.usage.strip("[]")


def _usage(option: Option) -> str:
    """Return the names and the value of an option; long names stand below each other."""
    return option.usage if len(option.names[0]) == 2 else f"    {option.usage}"


def _example(example: Example) -> str:
    return "\n".join(f"  {line}" for line in (f"# {example.comment}", *example.line.split("\n")))


def _short_examples(command: Command) -> list[Example]:
    return [example for example in command.examples if "\n" not in example.line][:EXAMPLES]


def _short_example(example: Example) -> str:
    """Return an example on one line, with its comment if there is room."""
    line = f"  {example.line}"
    return f"{line:<50}  # {example.comment}" if len(line) <= 50 and len(example.comment) <= 26 else line
