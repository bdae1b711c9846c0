"""The command line: Typer commands from the list of commands, and messages and exit codes from errors."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import typer

from .. import __version__
from ..errors import DiskError, ExitCode, FluxError, InterruptError, UsageError
from ..text import clean, quoted
from .common_options import CommonOptions, OpenOptions, ViewOptions
from .fast_path import TOUR
from .option_groups import Flat, flat_options, flatten, value_error, walk_groups
from .output.output import Mode, Output
from .registry import (
    COMMANDS,
    CONFIG_COMMANDS,
    CONFIG_SUMMARY,
    FROM_IMAGE,
    FROM_TEXT,
    OPTIONS_OF_OTHER_TOOLS,
    SUBMITTING,
    Function,
    Page,
    find_synonym,
    load,
)
from .session import Session

OPEN_FILES = 16
"""File descriptors that one task needs, with some to spare."""
IMAGE_NAMES = (".png", ".jpg", ".jpeg", ".webp")
NEAR = 0.7
"""The least similarity, from 0 to 1, of an option that is suggested for an unknown one."""
PAID = ("--no-cache", "--yes", "--resubmit", "--retry-failed")
"""Options that may cost money. They are suggested only from NEAR_PAID on."""
NEAR_PAID = 0.9


def build(named: str | None = None) -> typer.Typer:
    """Return the program with all its commands, or only the named one, because building each takes time."""
    app = typer.Typer(name="flux", rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(flux)
    for name in COMMANDS:
        if named not in (None, name):
            continue
        if name == "config":
            config = typer.Typer(help=CONFIG_SUMMARY, rich_markup_mode=None)
            for word in CONFIG_COMMANDS:
                config.command(word)(command(load(f"config {word}")))
            app.add_typer(config, name=name)
        else:
            # Everything after the name of the command that `cost` prices belongs to that command.
            settings = {"allow_interspersed_args": False} if name == "cost" else None
            app.command(name, context_settings=settings)(command(load(name)))
    return app


def command(function: Function) -> Callable[..., int]:
    """Return a command for Typer that has flat options, opens a session, and prints results and errors."""
    signature, gather = flatten(function)

    def run_command(**values: Any) -> int:
        gathered = gather(values)
        common: CommonOptions = gathered.pop("CommonOptions")
        groups = list(walk_groups(gathered.values()))
        options = {name: value for group in groups for name, value in group.settings().items()}
        opens = any(group.open for group in groups if isinstance(group, OpenOptions))
        preview = any(group.preview for group in groups if isinstance(group, ViewOptions))
        with Session.create(common, options, preview=preview, opens=opens) as session:
            try:
                result = function(session, **gathered)
                return result if isinstance(result, ExitCode) else session.output.print_all(result)
            except FluxError as error:
                failure = error
            except KeyboardInterrupt:
                # Typer would exit without a message.
                failure = InterruptError("interrupted", signal_number=2)
            except BrokenPipeError:
                # Typer would exit with code 1. stdout is replaced, so that flushing it at exit does not fail again.
                with contextlib.suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return ExitCode.PIPE
            session.output.print_error(failure, session.describe_charges() if _pays(function.__name__, values) else "")
            return failure.exit_code

    run_command.__signature__ = signature  # type: ignore[attr-defined]  # inspect's documented hook
    run_command.__annotations__ = {}
    run_command.__doc__ = function.__doc__
    return run_command


def _pays(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether a command with these values of its options can cost money."""
    return name in SUBMITTING and not values.get("price_only") and (name != "resolve" or bool(values.get("resubmit")))


def _find_command(arguments: list[str]) -> str | None:
    """Return the first word of the command line if it is a command, else None."""
    return arguments[0] if arguments[0] in COMMANDS else None


def _help_words(arguments: list[str]) -> list[str] | None:
    """Return the command whose help is requested (`gen --help`), empty for the program; None if no help is."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    words = arguments[1:] if arguments[0] == "cost" and arguments[1:2] and arguments[1] in COMMANDS else arguments
    if words == ["config"]:
        return words
    if not {"-h", "--help"} & set(options):
        return None
    if words[0] == "config" and words[1:2] and words[1] in CONFIG_COMMANDS:
        return words[:2]
    return words[:1] if words[0] in COMMANDS else [] if words[0].startswith("-") else None


def _print_help(words: list[str], arguments: list[str], output: Output) -> ExitCode:
    from .docs import tree
    from .docs.help_text import full_help, short_help

    if "--json" in arguments:
        output.print_json("help", tree.help_of(tree.read_program(), words))
        return ExitCode.OK
    command = tree.read_command(" ".join(words)) if words else tree.read_program()
    text = full_help if "--help" in arguments or words == ["config"] else short_help
    output.print_lines(text(command, min(output.columns, 100)).rstrip("\n"))
    return ExitCode.OK


def flux() -> None:
    """Do nothing: Typer needs a function for the program itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name, and return its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: `flux ... >&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))
    arguments = list(sys.argv[1:] if argv is None else argv)
    output = Output(sys.stdout, sys.stderr, mode=Mode.JSON if "--json" in arguments else Mode.TEXT)
    output.secrets.add(os.environ.get("PIAPI_API_KEY", "").strip())
    if not arguments or arguments[0] in ("--version", "-V", "version"):
        output.print_lines((f"flux {__version__}\n" if arguments else TOUR).rstrip("\n"))
        return ExitCode.OK
    try:
        if (words := _help_words(arguments)) is not None:
            return _print_help(words, arguments, output)
        _check_open_files()
        app = build(_find_command(arguments))
        return int(app(args=_with_negative_value(arguments), prog_name="flux", standalone_mode=False) or 0)
    except FluxError as error:
        failure = error
    except typer.TyperException as error:
        failure = _usage_error(error, arguments)
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
    values = {"price_only": "--price-only" in arguments, "resubmit": "--resubmit" in arguments}
    unsent = isinstance(failure, UsageError) and _pays(arguments[0], values)
    output.print_error(failure, "Nothing was sent." if unsent else "")
    return failure.exit_code


def _check_open_files() -> None:
    """Raise DiskError if the process cannot open the files that a task needs, which would fail with obscure errors."""
    from ..system.atomic_files import count_openable

    if (possible := count_openable(OPEN_FILES)) < OPEN_FILES:
        message = f"too many open files: flux needs {OPEN_FILES} more, may open {possible}, and did not begin"
        raise DiskError(message, hint="Raise the limit: ulimit -n 1024")


def _deleted_directory() -> DiskError | None:
    """Return the error for a deleted working directory, in which every relative path fails; None if it exists."""
    try:
        os.getcwd()
    except OSError:
        return DiskError("the working directory was deleted", hint="Change to another directory")
    return None


# --- usage errors -----------------------------------------------------------------------------------------------------


def _with_negative_value(arguments: list[str]) -> list[str]:
    """Return a command line of `config set` with -- before a negative number, which Typer takes for an option."""
    if arguments[:2] != ["config", "set"] or "--" in arguments:
        return arguments
    numbers = [word for word in arguments if re.fullmatch(r"-[0-9.].*", word)]
    return [*(word for word in arguments if word not in numbers), "--", *numbers]


def _usage_error(error: typer.TyperException, arguments: list[str]) -> UsageError:
    """Return the UsageError for an error of Typer, with a hint."""
    text, _, guess = error.format_message().partition(" Did you mean ")
    hint = f"Did you mean {guess}".replace("'", "") if guess else None
    command = _find_command(arguments)
    if command is None:
        return _no_command(arguments, hint)
    words = arguments[:2] if command == "config" and arguments[1:2] and arguments[1] in CONFIG_COMMANDS else [command]
    if words == ["config"]:
        return _no_config_command(arguments, hint)
    name: str | None = getattr(error, "option_name", None)
    options = [flat for flat in flat_options(load(" ".join(words))) if flat.names]
    if name is not None and hasattr(error, "possibilities"):
        return _unknown_option(name, error.possibilities or [], options, words, arguments)
    if name is not None:
        return _wrong_use(name, next(flat for flat in options if name in flat.names), words)
    names = {name for flat in options for name in flat.names}
    for flat in options:
        for word, following in pairwise(arguments):
            if flat.takes_value and word in flat.names and following in names:
                return value_error(word, following)
    if "unexpected extra argument" in text:
        return _extra_words(text.partition(" (")[2].removesuffix(")"), words, arguments, options)
    # All other errors are about a missing argument.
    message = text.partition(".")[0].replace("'", "").replace("Missing argument", "missing argument:")
    return UsageError(message, command=(*words, "--help"))


def _unknown_option(
    name: str, possible: Sequence[str], options: Sequence[Flat], words: list[str], arguments: list[str]
) -> UsageError:
    """Return the error for an option that a command does not have. possible: similar ones, the best first."""
    from difflib import SequenceMatcher  # needed for mistakes only

    message, help_command = f"no such option: {clean(name, 40)}", (*words, "--help")
    hides = getattr(load(" ".join(words)), "page", Page()).hides
    listed = {known for flat in options if flat.name not in hides for known in flat.names}
    for hint, commands in OPTIONS_OF_OTHER_TOOLS.get(name, {}).items():
        if words[0] in commands or (not commands and set(re.findall(r"(?<!\S)--?[a-z-]+", hint)) <= listed):
            return UsageError(message, hint=hint)
    if words[0] in SUBMITTING and any(" " in word for word in arguments if word.startswith("-")):
        hint = "A prompt that begins with - goes after --"
        return UsageError(message, hint=hint, command=(words[0], "--", "-a castle"))
    # An unlikely guess is worse than none.
    least = dict.fromkeys(PAID, NEAR_PAID)
    close = [word for word in possible if SequenceMatcher(None, name, word).ratio() >= least.get(word, NEAR)]
    return UsageError(message, hint=f"Did you mean {close[0]}?" if close else None, command=help_command)


def _wrong_use(name: str, flat: Flat, words: list[str]) -> UsageError:
    """Return the error for a switch with a value, or for an option without its value."""
    if not flat.takes_value:
        return UsageError(f"{name} does not accept a value", command=(*words, "--help"))
    if example := re.search(r"for example (\S*[^\s.,;:])", flat.about.help or ""):
        return UsageError(f"{name} requires a value, for example {name} {example[1]}", command=(*words, "--help"))
    return UsageError(f"{name} requires a value", hint=f"Write {name} {flat.about.metavar}")


def _extra_words(extra: str, words: list[str], arguments: list[str], options: Sequence[Flat]) -> UsageError:
    """Return the error for words that a command does not accept."""
    if words[0] == "rerun":
        return UsageError(f"unexpected words after the image: {extra}", hint="For a new prompt, write --prompt TEXT")
    if words[0] not in (*FROM_TEXT, *FROM_IMAGE):
        what = "arguments" if " " in extra else "argument"
        return UsageError(f"unexpected {what}: {extra}", command=(*words, "--help"))
    if "--" in arguments:
        return UsageError(f"unexpected words after the prompt: {extra}", hint="Put options before --")
    message = f"unexpected words after the prompt: {extra}"
    if words[0] == "gen" and os.path.isfile(arguments[1]) and arguments[1].lower().endswith(IMAGE_NAMES):
        return UsageError(message, hint="To edit an image", command=("edit", arguments[1], "as a watercolor"))
    return UsageError(message, hint="Put the prompt in quotes", command=_quoted_prompt(arguments, options))


def _quoted_prompt(arguments: list[str], options: Sequence[Flat]) -> list[str]:
    """Return a command line with the prompt as one word, and all options after it."""
    valued = {name for flat in options if flat.takes_value for name in flat.names}
    words, rest, following = list[str](), list[str](), iter(arguments)
    for word in following:
        if word.startswith("-"):
            rest += [word, *([next(following, "")] if word in valued else [])]
        else:
            words.append(word)
    first = 2 if words[0] in FROM_IMAGE else 1
    return [*words[:first], " ".join(words[first:]), *rest]


def _no_config_command(arguments: list[str], hint: str | None) -> UsageError:
    """Return the error for a command line of `config` whose second word is not one of its commands."""
    word = arguments[1]
    if word.startswith("-"):
        return _early_option(arguments[1:], CONFIG_COMMANDS, "config")
    return UsageError(f"no such command {quoted(f'config {word}', 40)}", hint=hint, command=("config",))


def _no_command(arguments: list[str], hint: str | None) -> UsageError:
    """Return the error for a command line whose first word is not a command."""
    word = arguments[0]
    if word.startswith("-"):
        return _early_option(arguments, COMMANDS)
    if " " in word.strip():
        return UsageError(f"no command before the prompt {quoted(word, 40)}", hint="Write", command=("gen", *arguments))
    if synonym := find_synonym(word):
        return UsageError(f"no such command {word!r}", hint="Did you mean", command=(synonym, *arguments[1:]))
    return UsageError(f"no such command {quoted(word, 40)}", hint=hint, command=("--help",))


def _early_option(arguments: list[str], commands: Sequence[str], *above: str) -> UsageError:
    """Return the error for an option before the command, or without a command."""
    word = arguments[0]
    place = next((place for place, name in enumerate(arguments) if name in commands), None)
    if place is not None:
        line = (*above, *arguments[place:], *arguments[:place])
        return UsageError(f"{quoted(word, 40)} goes after the command", hint="Write", command=line)
    if any(word in flat.names for flat in flat_options(load("help"))):  # the options of every command
        instead = ", or --help" if word == "--json" else ""
        return UsageError(f"{word} needs a command{instead}", command=(*above, "--help"))
    return UsageError(f"no such option: {clean(word, 40)}", hint="See", command=(*above, "--help"))
