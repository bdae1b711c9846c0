"""The commands as data, read from the program that Typer builds; all documents are generated from it."""

from collections.abc import Iterator

from typer import Context
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from flux_cli import __version__

from ...config.catalog import Catalog
from ...config.settings import BY_NAME, SETTINGS, VARIABLES
from ...errors import ExitCode
from ...frozen import frozen
from ...json_value import Json, JsonObject
from ...operations.options import TaskOptions
from ..common_options import CommonOptions
from ..options import SaveOptions, WaitOptions

SETTERS = {name for group in (CommonOptions, SaveOptions, TaskOptions, WaitOptions) for name in group().settings()}
"""Settings with an option of the same name."""


@frozen
class Option:
    """value: its metavar in help (`FILE`), None for a switch. variable: its environment variable, if it has one."""

    names: tuple[str, ...]
    value: str | None
    about: str
    default: str | None
    variable: str | None
    repeatable: bool

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

    about: the paragraphs after the summary. examples: command lines. priced: whether `flux cost` accepts it.
    """

    name: str
    summary: str
    about: tuple[str, ...]
    examples: tuple[str, ...]
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]
    commands: tuple["Command", ...]
    priced: bool

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


def shared(program: Command) -> dict[tuple[str, ...], list[Option]]:
    """Return every option once, by the names of all commands that have it."""
    takers: dict[Option, list[str]] = {}
    for command in program.walk():
        for option in command.options:
            takers.setdefault(option, []).append(command.name)
    found: dict[tuple[str, ...], list[Option]] = {}
    for option, names in takers.items():
        found.setdefault(tuple(names), []).append(option)
    return found


def read(command: TyperCommand | TyperGroup, parent: Context | None = None) -> Command:
    """Return the tree of a command."""
    name = "flux" if parent is None else command.name
    context = Context(command, info_name=name, parent=parent, **command.context_settings)
    summary, *paragraphs = (_joined(text) for text in (command.help or "").split("\n\n"))
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    below = command.commands.values() if isinstance(command, TyperGroup) else ()
    return Command(
        name=context.command_path.partition(" ")[2],
        summary=summary,
        # Prose ends in a full stop; a command line does not.
        about=tuple(text for text in paragraphs if text.endswith(".")),
        examples=tuple(text for text in paragraphs if not text.endswith(".")),
        arguments=tuple(_argument(param) for param in params if isinstance(param, TyperArgument)),
        options=tuple(_option(param, context) for param in params if isinstance(param, TyperOption)),
        commands=tuple(read(inner, context) for inner in below if isinstance(inner, TyperCommand | TyperGroup)),
        priced=any(param.name == "price_only" for param in command.params),
    )


def _joined(text: str) -> str:
    return " ".join(text.split())


def _argument(param: TyperArgument) -> Argument:
    assert param.metavar is not None, f"{param.name} has no metavar"
    value = param.metavar.strip("[]. ")
    return Argument(value, about=param.help or "", required=param.required, repeatable=param.nargs == -1)


def _option(param: TyperOption, context: Context) -> Option:
    name = param.name or ""
    default = BY_NAME[name].default if name in SETTERS & set(BY_NAME) else param.default
    if name == "model" and default is None:
        default = Catalog({}).default_model
    return Option(
        names=tuple(sorted(param.opts, key=len)),
        value=None if param.is_flag else param.make_metavar(context),
        about=param.help or "",
        default=None if default is None or param.is_flag else str(default),
        variable=f"FLUX_{name.upper()}" if name in SETTERS else None,
        repeatable=param.multiple,
    )


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
        "examples": list(command.examples),
        "arguments": [_argument_json(argument) for argument in command.arguments],
        "options": [_option_json(option) for option in command.options],
        "commands": [_command_json(inner) for inner in command.commands],
    }


def _argument_json(argument: Argument) -> JsonObject:
    return {
        "metavar": argument.value,
        "help": argument.about,
        "required": argument.required,
        "repeatable": argument.repeatable,
    }


def _option_json(option: Option) -> JsonObject:
    return {
        "names": list(option.names),
        "metavar": option.value,
        "help": option.about,
        "default": option.default,
        "env": option.variable,
        "repeatable": option.repeatable,
    }


def _shared_json() -> JsonObject:
    codes: list[Json] = [{"code": code.value, "meaning": code.meaning} for code in ExitCode]
    settings: list[Json] = [
        {"name": setting.name, "env": setting.variable, "help": setting.about, "default": setting.default}
        for setting in SETTINGS
    ]
    return {"version": __version__, "exit_codes": codes, "settings": settings, "environment": dict(VARIABLES)}
