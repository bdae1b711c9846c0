"""The command tree as JSON, for `--help --json`."""

from ... import __version__
from ...config.settings import SETTINGS, VARIABLES
from ...errors import ExitCode
from ...json_value import Json, JsonObject
from .tree import Argument, Command, Option


def help_of(program: Command, words: list[str]) -> JsonObject:
    """Return the command that `words` begin with; for the program itself, also the facts about all commands."""
    command = program
    for word in words:
        command = next((inner for inner in command.commands if inner.word == word), command)
    return _command(command) | (_shared() if command is program else {})


def _command(command: Command) -> JsonObject:
    return {
        "command": command.line,
        "usage": command.usage,
        "summary": command.summary,
        "about": list(command.about),
        "examples": list(command.examples),
        "arguments": [_argument(argument) for argument in command.arguments],
        "options": [_option(option) for option in command.options],
        "commands": [_command(inner) for inner in command.commands],
    }


def _argument(argument: Argument) -> JsonObject:
    return {
        "metavar": argument.value,
        "help": argument.about,
        "required": argument.required,
        "repeatable": argument.repeatable,
    }


def _option(option: Option) -> JsonObject:
    return {
        "names": list(option.names),
        "metavar": option.value,
        "help": option.about,
        "default": option.default,
        "env": option.variable,
        "repeatable": option.repeatable,
    }


def _shared() -> JsonObject:
    codes: list[Json] = [{"code": code.value, "meaning": code.meaning} for code in ExitCode]
    settings: list[Json] = [
        {"name": setting.name, "env": setting.variable, "help": setting.about, "default": setting.default}
        for setting in SETTINGS
    ]
    return {"version": __version__, "exit_codes": codes, "settings": settings, "environment": dict(VARIABLES)}
