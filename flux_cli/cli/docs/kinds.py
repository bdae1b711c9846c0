"""What completes a value, known by the word that help calls it: a new option or command needs nothing here."""

from ...config.catalog import Catalog
from ...config.settings import SETTINGS
from ...journal.entries import State
from ...operations.registry import OPERATIONS
from .tree import Command

KINDS = {
    "COMMAND": "command",  # one that `flux cost` prices
    "DIR": "folder",
    "ENTRY": "id",
    "FILE": "file",
    "FILE|ID": "picture",
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
"""Words by the kind of value that they complete."""
PICTURES = ("png", "jpg", "jpeg", "webp")
"""Extensions of image files."""


def kind_of(value: str | None) -> str:
    """A word of KINDS; `a|b` when the value is one of these words themselves; `text` when nothing completes it."""
    parts = (value or "").split("|")
    if len(parts) > 1 and all(part.isalpha() and part.islower() for part in parts):
        return "|".join(parts)
    return KINDS.get(value or "", "text")


def word_lists(program: Command) -> Words:
    """The words that complete a kind of value, for each kind that has any."""
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
    """What may follow a command, for shells that look it up: `options` are `-q`, or `--model=model` with the kind."""
    options = [(name, option.value) for option in command.options for name in option.names]
    return {
        "commands": [inner.word for inner in command.commands],
        "options": [name if value is None else f"{name}={kind_of(value)}" for name, value in options],
        "arguments": [kind_of(argument.value) + "..." * argument.repeatable for argument in command.arguments],
    }
