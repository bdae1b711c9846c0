"""The commands as data, read from their functions. Help and all other documents are generated from it."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import get_args, get_origin

from flux_cli import __version__

from ...config.catalog import Catalog
from ...config.settings import BY_NAME, SETTINGS, VARIABLES
from ...errors import ExitCode
from ...frozen import frozen
from ...json_value import Json, JsonObject
from ...operations import parameters
from ...operations.options import TaskOptions
from ..common_options import CommonOptions
from ..model_limits import describe_limits, fill_limits
from ..option_groups import Flat, flat_options
from ..options import SaveOptions, WaitOptions
from ..registry import COMMANDS, CONFIG_COMMANDS, CONFIG_EXAMPLES, CONFIG_SUMMARY, Page, load

SETTERS = {name for group in (CommonOptions, SaveOptions, TaskOptions, WaitOptions) for name in group.sets}
"""Settings that have an option of the same name."""
SUMMARY = "Generate and edit images with PiAPI's Flux API."
ABOUT = ("Images are charged to your PiAPI account; add --sandbox to try flux for free.",)


@frozen
class Option:
    """An option. value: its metavar (`FILE`); None for a switch. variable: its environment variable, if it has one.

    short: the text for `-h`; None if only `--help` lists it. title: its heading in help.
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
        """The option in help: `-o, --output FILE`."""
        return " ".join([", ".join(self.names), *([self.value] if self.value else [])])

    @property
    def description(self) -> str:
        """The text of the option with its default."""
        return _with_default(self.about, self.default)

    def short_description(self, width: int) -> str:
        """Return the description for `-h`. A short text includes the default only if both fit on one line."""
        full = _with_default(self.short or self.about, self.default)
        return self.short if self.short and len(full) > width else full


@frozen
class Argument:
    """A positional argument; `value` is its metavar in help."""

    value: str
    about: str
    default: str | None
    required: bool
    repeatable: bool

    @property
    def description(self) -> str:
        """The text of the argument with its default."""
        return _with_default(self.about, self.default)

    @property
    def usage(self) -> str:
        """The argument in a usage line: `IMG`, `[PROMPT]`, `ID...`."""
        shown = f"{self.value}..." if self.repeatable else self.value
        return shown if self.required else f"[{shown}]"


@frozen
class Command:
    """A command. name: all its words (`config get`); empty for the program itself.

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
        """Return the options by heading, in the order of TITLES. Other headings come first."""
        found: dict[str, list[Option]] = {}
        for option in self.options:
            found.setdefault(option.title, []).append(option)
        order = {title: number for number, title in enumerate(TITLES)}
        return dict(sorted(found.items(), key=lambda row: order.get(row[0], -1)))

    @property
    def common(self) -> tuple[Option, ...]:
        """The options that `-h` lists; none if `-h` is the same as `--help`."""
        own = [option for option in self.options if option.title != CommonOptions.title]
        shared = [option for option in self.options if option.title == CommonOptions.title and option.short]
        if len(own) > FEW:
            own, shared = [option for option in own if option.short], shared[:1]
        shorter = len(own) + len(shared) < len(self.options) - 1  # besides `--help`
        return (*own, *shared) if self.name and not self.commands and shorter else ()


FEW = 6
"""A command with at most this many own options lists all of them in `-h`."""
HELP = Option(("-h", "--help"), None, "Print this help.", title=CommonOptions.title)
SUMMARIZED = "Print this help (-h: a summary)."
"""The text of `--help` for a command whose `-h` lists only the common options."""
VERSION = Option(("-V", "--version"), None, "Print the version.")
JSON = Option(("--json",), None, "With --help: print the help as JSON.")
OF_THE_IMAGE = ("Generation", "Image size")
TITLES = (
    *("Options", "Input image", "Mask", "Margins", "LoRA and control", "Generation", "Image size"),
    *("Server", "Simulated account", "Faults", "Webhooks", "Actions", "Outcome"),
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
        return Command(name, CONFIG_SUMMARY, (), CONFIG_EXAMPLES, (), (HELP,), inner)
    function = load(name)
    summary, *about = (" ".join(text.split()) for text in (inspect.getdoc(function) or "").split("\n\n"))
    page, flat, limits = getattr(function, "page", Page()), flat_options(function), describe_limits(name)
    listed = [one for one in flat if not one.hidden and one.name not in page.hides]
    command = Command(
        name=name,
        summary=summary,
        about=tuple(about),
        examples=page.examples,
        arguments=tuple(_argument(one, limits) for one in listed if isinstance(one.about, parameters.Argument)),
        options=(*(_option(one, page, limits) for one in listed if isinstance(one.about, parameters.Option)), HELP),
        priced=any(one.name == "price_only" for one in flat),
    )
    if command.common:
        command = replace(command, options=(*command.options[:-1], replace(HELP, about=SUMMARIZED)))
    return command


def _argument(flat: Flat, limits: Mapping[str, str]) -> Argument:
    about = flat.about
    value = (about.metavar or "").strip("[]. ")
    return Argument(value, fill_limits(about.help or "", limits), about.default, flat.required, _is_list(flat.kind))


def _option(flat: Flat, page: Page, limits: Mapping[str, str]) -> Option:
    about = flat.about
    assert isinstance(about, parameters.Option)
    text, short = about.help, about.short
    if own := dict(page.texts).get(flat.name):
        text, short = own, short and own
    if note := dict(page.notes).get(flat.title):
        text, short = (one and f"{one.removesuffix('.')}; {note}." for one in (text, short))
    switch = flat.kind is bool
    return Option(
        names=tuple(sorted(flat.names, key=len)),
        value=None if switch else about.metavar,
        about=fill_limits(text or "", limits),
        default=None if switch else _default(flat, about, page),
        variable=f"FLUX_{flat.name.upper()}" if flat.name in SETTERS else None,
        repeatable=_is_list(flat.kind),
        short=short and fill_limits(short, limits),
        title=flat.title,
    )


def _default(flat: Flat, about: parameters.Option, page: Page) -> str | None:
    """Return the default of an option in help."""
    value = BY_NAME[flat.name].default if flat.name in SETTERS & set(BY_NAME) else flat.default
    if flat.name == "model":
        value = Catalog({}).default_model
    default = about.default or (None if value is None else str(value))
    if default and page.default and flat.title in OF_THE_IMAGE:
        return page.default
    return dict(page.defaults).get(flat.name, default)


def _with_default(text: str, default: str | None) -> str:
    return text if default is None else f"{text} [default: {default}]"


def _is_list(kind: object) -> bool:
    return any(get_origin(one) is list for one in (kind, *get_args(kind)))


def help_of(program: Command, words: list[str]) -> JsonObject:
    """Return the help of the command in `words` as JSON. For the program itself, add the facts about all commands."""
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
            {
                "metavar": one.value,
                "help": one.about,
                "default": one.default,
                "required": one.required,
                "repeatable": one.repeatable,
            }
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
