"""The commands as data, read from their functions; help and all other documents are generated from it."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from flux_cli import __version__

from ...config.catalog import Catalog
from ...config.settings import BY_NAME, SETTINGS, VARIABLES
from ...errors import ExitCode
from ...frozen import frozen
from ...json_value import Json, JsonObject
from ...operations import parameters
from ...operations.options import TaskOptions
from ..common_options import CommonOptions
from ..option_groups import Flat, flat_options
from ..options import SaveOptions, WaitOptions
from ..registry import COMMANDS, CONFIG_COMMANDS, CONFIG_SUMMARY, Page, load

SETTERS = {name for group in (CommonOptions, SaveOptions, TaskOptions, WaitOptions) for name in group.sets}
"""Settings with an option of the same name."""
SUMMARY = "Generate and edit images with PiAPI's Flux API."
ABOUT = ("Images are charged to your PiAPI account; add --sandbox to try flux for free.",)


@frozen
class Option:
    """value: its metavar in help (`FILE`), None for a switch. variable: its environment variable, if it has one.

    short: the text for `-h`; None if it is listed in `--help` only. title: its heading in help.
    """

    names: tuple[str, ...]
    value: str | None
    about: str
    default: str | None = None
    variable: str | None = None
    repeatable: bool = False
    short: str | None = None
    title: str = "Options"

    @property
    def usage(self) -> str:
        """The option as help shows it: `-o, --output FILE`."""
        return " ".join([", ".join(self.names), *([self.value] if self.value else [])])

    @property
    def description(self) -> str:
        """What the option does, and its default."""
        known = self.default is None or "[default: " in self.about
        return self.about if known else f"{self.about} [default: {self.default}]"


@frozen
class Argument:
    """A positional argument; `value` is its metavar in help."""

    value: str
    about: str
    required: bool
    repeatable: bool

    @property
    def usage(self) -> str:
        """The argument as a usage line shows it: `IMG`, `[PROMPT]`, `ID...`."""
        shown = f"{self.value}..." if self.repeatable else self.value
        return shown if self.required else f"[{shown}]"


@frozen
class Command:
    """One command. name: all its words (`config get`), empty for the program itself.

    about: the paragraphs after the summary. priced: whether `flux cost` accepts it.
    """

    name: str
    summary: str
    about: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]
    commands: tuple["Command", ...] = ()
    priced: bool = False

    @property
    def line(self) -> str:
        """The command line: `flux config get`."""
        return f"flux {self.name}".strip()

    @property
    def word(self) -> str:
        """The last word of the name: `get`."""
        return self.name.rpartition(" ")[2]

    @property
    def usage(self) -> str:
        """The usage line: `flux edit [OPTIONS] IMG [PROMPT]`."""
        rest = ["COMMAND ..."] if self.commands else [argument.usage for argument in self.arguments]
        return " ".join([self.line, "[OPTIONS]", *rest])

    def walk(self) -> Iterator["Command"]:
        """Yield this command and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()

    def by_title(self) -> dict[str, list[Option]]:
        """Return the options by heading: first those that TITLES does not have, last those of all commands."""
        found: dict[str, list[Option]] = {}
        for option in self.options:
            found.setdefault(option.title, []).append(option)
        order = {title: number for number, title in enumerate(TITLES)}
        return dict(sorted(found.items(), key=lambda row: order.get(row[0], -1)))


HELP = Option(("-h", "--help"), None, "Print this help (-h: a summary).", title=CommonOptions.title)
VERSION = Option(("-V", "--version"), None, "Print the version.")
JSON = Option(("--json",), None, "With --help: print the help as JSON.")
OF_THE_IMAGE = ("Generation", "Image size")
DEFAULT = r" \[default: [^]]*\]"
TITLES = (
    *("Options", "Input image", "Mask", "Margins", "LoRA and control", "Generation", "Image size"),
    *("Server", "Simulated account", "Faults", "Webhooks", "Actions", "Resolution"),
    *("Output", "Cost", "Batches", "Waiting", "API", CommonOptions.title),
)
"""The headings of options, in the order of help."""


def read_program() -> Command:
    """Return the program with all its commands."""
    commands = tuple(read_command(name) for name in COMMANDS)
    return Command("", SUMMARY, ABOUT, (), (), (VERSION, JSON, HELP), commands)


def read_command(name: str) -> Command:
    """Return a command: `gen`, `config` or `config get`."""
    if name == "config":
        inner = tuple(read_command(f"config {word}") for word in CONFIG_COMMANDS)
        return Command(name, CONFIG_SUMMARY, (), (), (), (HELP,), inner)
    function = load(name)
    summary, *about = (" ".join(text.split()) for text in (inspect.getdoc(function) or "").split("\n\n"))
    page, flat = getattr(function, "page", Page()), flat_options(function)
    listed = [one for one in flat if not one.hidden and one.name not in page.hides]
    return Command(
        name=name,
        summary=summary,
        about=tuple(about),
        examples=page.examples,
        arguments=tuple(_argument(one) for one in listed if isinstance(one.about, parameters.Argument)),
        options=(*(_option(one, page) for one in listed if isinstance(one.about, parameters.Option)), HELP),
        priced=any(one.name == "price_only" for one in flat),
    )


def _argument(flat: Flat) -> Argument:
    value = (flat.about.metavar or "").strip("[]. ")
    return Argument(value, flat.about.help or "", flat.required, _is_list(flat.kind))


def _option(flat: Flat, page: Page) -> Option:
    about = flat.about
    assert isinstance(about, parameters.Option)
    text, short = about.help or "", about.short
    if own := dict(page.texts).get(flat.name):
        text, short = own, short and own
    default: Any = BY_NAME[flat.name].default if flat.name in SETTERS & set(BY_NAME) else flat.default
    if flat.name == "model" and default is None:
        default = Catalog({}).default_model
    if page.default and flat.title in OF_THE_IMAGE and (default is not None or "[default: " in text):
        text = f"{re.sub(DEFAULT, '', text)} [default: {page.default}]"
        short = short and f"{re.sub(DEFAULT, '', short)} [default: {page.default}]"
    switch = flat.kind is bool
    return Option(
        names=tuple(sorted(about.names.split(", "), key=len)),
        value=None if switch else about.metavar,
        about=text,
        default=None if default is None or switch else str(default),
        variable=f"FLUX_{flat.name.upper()}" if flat.name in SETTERS else None,
        repeatable=_is_list(flat.kind),
        short=short,
        title=flat.title,
    )


def _is_list(kind: object) -> bool:
    return any(get_origin(one) is list for one in (kind, *get_args(kind)))


def help_of(program: Command, words: list[str]) -> JsonObject:
    """Return the command that `words` begin with; for the program itself, also the facts about all commands."""
    command = program
    for word in words:
        command = next((inner for inner in command.commands if inner.word == word), command)
    return _command_json(command) | (_shared_json() if command is program else {})


def _command_json(command: Command) -> JsonObject:
    return {
        "command": command.line,
        "usage": command.usage,
        "summary": command.summary,
        "about": list(command.about),
        "examples": [{"comment": comment, "command": line} for comment, line in command.examples],
        "arguments": [
            {"metavar": one.value, "help": one.about, "required": one.required, "repeatable": one.repeatable}
            for one in command.arguments
        ],
        "options": [
            {
                "names": list(option.names),
                "metavar": option.value,
                "help": option.about,
                "default": option.default,
                "env": option.variable,
                "repeatable": option.repeatable,
                "group": option.title,
            }
            for option in command.options
        ],
        "commands": [_command_json(inner) for inner in command.commands],
    }


def _shared_json() -> JsonObject:
    codes: list[Json] = [{"code": code.value, "meaning": code.meaning} for code in ExitCode]
    settings: list[Json] = [
        {"name": setting.name, "env": setting.variable, "help": setting.about, "default": setting.default}
        for setting in SETTINGS
    ]
    return {"version": __version__, "exit_codes": codes, "settings": settings, "environment": dict(VARIABLES)}
