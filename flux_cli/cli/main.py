"""The command line: the list of commands, and the place where errors become messages and exit codes."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import DiskError, ExitCode, FluxError, InterruptError, UsageError
from .common_options import CommonOptions, LookOptions, OpenOptions
from .context import Session
from .fast_path import TOUR
from .option_groups import flatten, groups_in
from .output.output import Mode, Output
from .output.records import Items

Command = Callable[..., ExitCode | Items]
"""Takes the session and the options, and yields what is printed; or prints while it runs, and returns the exit code."""
GROUPS: dict[str, tuple[str, ...]] = {
    "Generate images": ("gen", "lora", "controlnet", "redux"),
    "Edit images": ("edit", "inpaint", "outpaint"),
    "Batches": ("batch",),
    "Tasks": ("status", "wait", "resume", "resolve", "history"),
    "Results": ("show", "rerun", "gallery"),
    "Models and costs": ("models", "cost", "balance"),
    "Setup": ("login", "logout", "config", "doctor", "completion"),
    "Local servers": ("sandbox", "listen", "mcp"),
}
"""The commands, each a module in `commands`, by what a user wants to do."""
CONFIG_COMMANDS = ("get", "set", "list", "path")
COMMANDS = [name for group in GROUPS.values() for name in group]
SUBMITTING = ("gen", "lora", "controlnet", "redux", "edit", "inpaint", "outpaint", "batch", "rerun", "resolve")
"""Commands that may submit tasks: their errors include a sentence about charges."""
MAIN_VARIABLES = ("PIAPI_API_KEY", "FLUX_PROFILE", "FLUX_HOME", "FLUX_MODEL", "FLUX_OUTPUT_DIR", "FLUX_SANDBOX")
"""The variables that `flux --help` lists."""


class _Grouped(TyperGroup):
    """Help with the commands under headings, then the environment and the exit codes."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # as Typer calls it
        width = max(map(len, self.commands))
        for title, names in GROUPS.items():
            rows = [(name.ljust(width), self.commands[name].get_short_help_str(60)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # as Typer calls it
        from ..config.settings import VARIABLES

        with formatter.section("Environment (all variables: man flux)"):
            formatter.write_dl([(name, VARIABLES[name]) for name in MAIN_VARIABLES])
        with formatter.section("Exit codes"):
            formatter.write_dl([(f"{code.value:>3}", code.meaning) for code in ExitCode])


def build(named: str | None = None) -> typer.Typer:
    """Return the program with all its commands, or only with the named one, because building each takes time."""
    app = typer.Typer(
        name="flux",
        cls=_Grouped,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(flux)
    for name in COMMANDS:
        if named not in (None, name):
            continue
        if name == "config":
            app.add_typer(_config(), name=name)
        else:
            # Everything after the name of the command that `cost` prices belongs to that command.
            settings = {"allow_interspersed_args": False} if name == "cost" else None
            app.command(name, context_settings=settings)(command(_function(name, name)))
    return app


def _config() -> typer.Typer:
    config = typer.Typer(help="Show and change settings.", rich_markup_mode=None, no_args_is_help=True)
    for name in CONFIG_COMMANDS:
        config.command(name)(command(_function("config", f"config_{name}")))
    return config


def _function(module: str, name: str) -> Command:
    function: Command = getattr(import_module(f".commands.{module}", __package__), name)
    return function


def command(function: Command) -> Callable[..., int]:
    """Return a command for Typer: with flat options, a new session, and its results and errors printed."""
    signature, gather = flatten(function, CommonOptions)

    def run_command(**values: Any) -> int:
        gathered = gather(values)
        common: CommonOptions = gathered.pop("CommonOptions")
        groups = list(groups_in(gathered.values()))
        given = {name: value for group in groups for name, value in group.settings().items()}
        opens = any(group.open for group in groups if isinstance(group, OpenOptions))
        preview = any(group.preview for group in groups if isinstance(group, LookOptions))
        with Session.create(common, given, preview=preview, opens=opens) as session:
            try:
                result = function(session, **gathered)
                return result if isinstance(result, ExitCode) else session.output.print_all(result)
            except FluxError as error:
                failure = error
            except KeyboardInterrupt:
                # Typer would end it without a message.
                failure = InterruptError("interrupted", signal_number=2)
            except BrokenPipeError:
                # Typer would turn it into exit code 1.
                _silence_stdout()
                return ExitCode.PIPE
            session.output.failure(failure, session.describe_charges() if function.__name__ in SUBMITTING else "")
            return failure.exit_code

    run_command.__signature__ = signature  # type: ignore[attr-defined]  # inspect's documented hook
    run_command.__annotations__ = {}
    run_command.__doc__ = function.__doc__
    return run_command


def _named(arguments: list[str]) -> str | None:
    """Return the command if it is the first word of the command line, else None."""
    return arguments[0] if arguments[0] in COMMANDS else None


def _json_help_words(arguments: list[str]) -> list[str] | None:
    """Return the command whose help is requested as JSON (`gen --help --json`), empty for the program, or None."""
    words = [word for word in arguments if not word.startswith("-")]
    if "--json" in arguments and {"-h", "--help"} & set(arguments) and (not words or words[0] in COMMANDS):
        return words
    return None


def _print_json_help(words: list[str], output: Output) -> ExitCode:
    from typer.main import get_group

    from .docs import tree

    output.record("help", tree.help_of(tree.read(get_group(build())), words))
    return ExitCode.OK


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"flux {__version__}")
        raise typer.Exit


def _only_with_help(asked: bool) -> None:
    if asked:
        raise UsageError(
            "--json goes after the command, or with --help", hint="For example", command=("history", "--json")
        )


def flux(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", callback=_only_with_help, help="With --help: print the help as JSON.")
    ] = False,
) -> None:
    """Generate and edit images with PiAPI's Flux API.

    Images are charged to your PiAPI account; add --sandbox to try flux for free.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: `flux ... >&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))
    arguments = list(sys.argv[1:] if argv is None else argv)
    output = Output(sys.stdout, sys.stderr, mode=Mode.JSON if "--json" in arguments else Mode.TEXT)
    output.secrets.add(os.environ.get("PIAPI_API_KEY", "").strip())
    if not arguments:
        for line in TOUR.splitlines():
            output.result(line)
        return ExitCode.OK
    try:
        if (words := _json_help_words(arguments)) is not None:
            return _print_json_help(words, output)
        app = build(_named(arguments))
        return int(app(args=arguments, prog_name="flux", standalone_mode=False) or 0)
    except FluxError as error:
        failure = error
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else f"flux {_named(arguments) or ''}".strip()
        failure = _usage_error(error, where)
    except (typer.Abort, KeyboardInterrupt):
        failure = InterruptError("interrupted", signal_number=2)
    except (SystemExit, BrokenPipeError):  # Typer exits if the pipe is closed while it prints help
        return ExitCode.PIPE
    except Exception as error:
        if "--debug" in arguments:
            raise
        failure = _deleted_directory() or FluxError(
            f"a bug in flux: {type(error).__name__}: {error}",
            hint="The journal is intact. Please report the output with --debug. See your paid tasks",
            command=("history",),
            code="bug",
        )
    named = _named(arguments) if arguments else None
    output.failure(failure, "Nothing was sent." if isinstance(failure, UsageError) and named in SUBMITTING else "")
    return failure.exit_code


def _deleted_directory() -> DiskError | None:
    """Return the error for a deleted working directory, in which every relative path fails."""
    try:
        os.getcwd()
    except OSError:
        return DiskError("the working directory was deleted", hint="Change to another directory")
    return None


def _usage_error(error: typer.TyperException, where: str) -> UsageError:
    """Return Typer's message as an error of flux: no capital at the start, no full stop, its guess in the hint."""
    text, _, guess = error.format_message().partition(" Did you mean ")
    if possible := getattr(error, "possibilities", None):  # of an option; the best first
        text, guess = error.message, f"{' or '.join(possible)}?"
    hint = f"did you mean {guess} ".replace("'", "") if guess else ""
    if where.removeprefix("flux ") in SUBMITTING:
        if "unexpected extra argument" in text:
            text = f"unexpected words after the prompt: {text.partition(' (')[2].rstrip(').')}"
            hint = f'Put the prompt in quotes: {where} "a castle"; '
        elif text.startswith("No such option") and not guess:
            hint = f'A prompt that begins with - goes after --: {where} -- "-a castle"; '
    return UsageError((text[:1].lower() + text[1:]).rstrip("."), hint=f"{hint}see: {where} --help")


def _silence_stdout() -> None:
    """Redirect stdout to the null device: flushing a closed pipe must not fail again at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
