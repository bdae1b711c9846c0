"""What completes a value, by its metavar: a new option or command needs no change here."""

from ...config.catalog import Catalog
from ...config.settings import SETTINGS
from ...journal.entries import State
from ...operations.registry import OPERATIONS
from .tree import Command

VALUE_KINDS = {
    "COMMAND": "command",  # a command that `flux cost` can price
    "DIR": "folder",
    "ENTRY": "id",
    "FILE": "file",
    "FILE|ID": "result",
    "ID": "id",
    "IMG": "image",
    "MODEL": "model",
    "NAME[:STRENGTH]": "lora",
    "PRESET": "preset",
    "PROFILE": "profile",
    "PURPOSE": "purpose",
    "REPORT": "file",
    "SETTING": "setting",
    "STATE": "state",
    "TYPE=IMG[:STRENGTH]": "control",
}
Words = dict[str, tuple[str, ...]]
"""The words of each kind of value."""
EXTENSIONS = ("png", "jpg", "jpeg", "webp")
"""Extensions of image files."""


def kind_of(value: str | None) -> str:
    """Return a value of VALUE_KINDS; `a|b` if the value is one of these words; `text` if nothing completes it."""
    parts = (value or "").split("|")
    if len(parts) > 1 and all(part.isalpha() and part.islower() for part in parts):
        return "|".join(parts)
    return VALUE_KINDS.get(value or "", "text")


def word_lists(program: Command) -> Words:
    """Return the words that complete a kind of value, for each kind that has any."""
    catalog = Catalog({})
    known = {
        "command": tuple(command.name for command in program.commands if command.priced),
        "control": tuple(catalog.controls),
        "lora": tuple(catalog.loras),
        "model": (*catalog.models, "auto"),
        "preset": tuple(catalog.presets),
        "purpose": ("commercial", "fast", "quality", *sorted(OPERATIONS)),
        "setting": tuple(setting.name for setting in SETTINGS),
        "state": tuple(State),
    }
    values = [option.value for command in program.walk() for option in command.options]
    values += [argument.value for command in program.walk() for argument in command.arguments]
    return known | {kind: tuple(kind.split("|")) for kind in map(kind_of, values) if "|" in kind}


def follows(command: Command) -> dict[str, list[str]]:
    """The words after a command, for shells that look them up: `options` are `-q`, or `--model=model` with the kind."""
    options = [(name, option.value) for option in command.options for name in option.names]
    return {
        "commands": [inner.word for inner in command.commands],
        "options": [name if value is None else f"{name}={kind_of(value)}" for name, value in options],
        "arguments": [kind_of(argument.value) + "..." * argument.repeatable for argument in command.arguments],
    }
