"""The commands, their options and fixed words as JSON, for `flux --complete`."""

import json
from collections.abc import Iterable, Mapping

from ...config.catalog import Catalog
from ...config.settings import SETTINGS
from ...journal.entries import State
from ...operations.registry import OPERATIONS
from .help_text import TOPICS
from .tree import Command


def data(program: Command) -> str:
    """Return the data for completion as JSON, with one command, option or list of words per line.

    A command lists its options by number, because most options belong to many commands. `words` are the candidates for
    a value, by its metavar.
    """
    options = list(dict.fromkeys(option for command in program.walk() for option in command.options))
    commands = {
        command.name: {
            "about": command.summary,
            "arguments": [argument.value + "..." * argument.repeatable for argument in command.arguments],
            "options": [options.index(option) for option in command.options],
        }
        for command in program.walk()
    }
    rows = [json.dumps((option.names, option.value, option.description)) for option in options]
    words = _object(_words(program))
    return f'{{"commands": {_object(commands)},\n"options": [\n{_lines(rows)}\n],\n"words": {words}}}\n'


def _object(content: Mapping[str, object]) -> str:
    return f"{{\n{_lines(f'{json.dumps(name)}: {json.dumps(value)}' for name, value in content.items())}\n}}"


def _lines(rows: Iterable[str]) -> str:
    return ",\n".join(rows)


def _words(program: Command) -> dict[str, dict[str, str]]:
    catalog = Catalog({})
    topics = {name: topic.summary for name, topic in TOPICS.items()}
    return {
        "COMMAND": {command.name: command.summary for command in program.commands if command.priced},
        "COMMAND|TOPIC": {**topics, "json-schema": "the JSON Schema of these objects"},
        "MODEL": dict.fromkeys((*catalog.models, "auto"), ""),
        "NAME[:X]": dict.fromkeys(catalog.loras, ""),
        "PRESET": dict.fromkeys(catalog.presets, ""),
        "PURPOSE": dict.fromkeys(("commercial", "fast", "quality", *sorted(OPERATIONS)), ""),
        "SETTING": {setting.name: setting.about for setting in SETTINGS},
        "STATE": dict.fromkeys(State, ""),
        "TYPE": dict.fromkeys(catalog.controls, ""),
    }
