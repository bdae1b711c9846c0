"""The command line: the list of commands, and the place where errors become messages and exit codes."""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import typer

from .. import __version__
from ..errors import DiskError, ExitCode, FluxError, InterruptError, UsageError
from ..text import clean, quoted
from .common_options import CommonOptions, OpenOptions, ViewOptions
from .context import Session
from .fast_path import TOUR
from .option_groups import flatten, walk_groups
from .output.output import Mode, Output
from .registry import (
    COMMANDS,
    CONFIG_COMMANDS,
    CONFIG_SUMMARY,
    OPTIONS_OF_OTHER_TOOLS,
    SUBMITTING,
    Function,
    find_synonym,
    load,
)

OPEN_FILES = 16
"""Files, pipes and connections that one task needs, and some to spare."""
IMAGE_FIRST = ("edit", "redux", "inpaint", "outpaint")
"""Commands whose first argument is an image, before the prompt."""
IMAGE_NAMES = (".png", ".jpg", ".jpeg", ".webp")
NEAR = 0.7
"""The similarity of an option that is suggested for an unknown one, from 0 to 1."""


def build(named: str | None = None) -> typer.Typer:
    """Return the program with all its commands, or only with the named one, because building each takes time."""
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
    """Return a command for Typer: with flat options, a new session, and its results and errors printed."""
    signature, gather = flatten(function)

    def run_command(**values: Any) -> int:
        gathered = gather(values)
        common: CommonOptions = gathered.pop("CommonOptions")
        groups = list(walk_groups(gathered.values()))
        given = {name: value for group in groups for name, value in group.settings().items()}
        opens = any(group.open for group in groups if isinstance(group, OpenOptions))
        preview = any(group.preview for group in groups if isinstance(group, ViewOptions))
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
                # Typer would turn it into exit code 1. Flushing a closed pipe must not fail again at exit.
                with contextlib.suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return ExitCode.PIPE
            session.output.failure(failure, session.describe_charges() if _pays(function.__name__, values) else "")
            return failure.exit_code

    run_command.__signature__ = signature  # type: ignore[attr-defined]  # inspect's documented hook
    run_command.__annotations__ = {}
    run_command.__doc__ = function.__doc__
    return run_command


def _pays(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether a command can cost money with the values of its options."""
    free = values.get("price_only") or values.get("dry_run")
    return name in SUBMITTING and not free and (name != "resolve" or bool(values.get("resubmit")))


def _named(arguments: list[str]) -> str | None:
    """Return the command if it is the first word of the command line, else None."""
    return arguments[0] if arguments[0] in COMMANDS else None


def _help_words(arguments: list[str]) -> list[str] | None:
    """Return the command whose help is requested (`gen --help`), empty for the program, or None for no help."""
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
        output.record("help", tree.help_of(tree.read_program(), words))
        return ExitCode.OK
    command = tree.read_command(" ".join(words)) if words else tree.read_program()
    text = full_help if "--help" in arguments or words == ["config"] else short_help
    output.lines(text(command, min(output.columns, 100)).rstrip("\n"))
    return ExitCode.OK


def flux() -> None:
    """Do nothing: Typer needs a function for the program itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: `flux ... >&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))
    arguments = list(sys.argv[1:] if argv is None else argv)
    output = Output(sys.stdout, sys.stderr, mode=Mode.JSON if "--json" in arguments else Mode.TEXT)
    output.secrets.add(os.environ.get("PIAPI_API_KEY", "").strip())
    if not arguments or arguments[0] in ("--version", "-V", "version"):
        output.lines((f"flux {__version__}\n" if arguments else TOUR).rstrip("\n"))
        return ExitCode.OK
    try:
        if (words := _help_words(arguments)) is not None:
            return _print_help(words, arguments, output)
        _check_open_files()
        app = build(_named(arguments))
        return int(app(args=arguments, prog_name="flux", standalone_mode=False) or 0)
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
    given = {name: True for name in ("price_only", "dry_run") if f"--{name.replace('_', '-')}" in arguments}
    unsent = isinstance(failure, UsageError) and _pays(arguments[0], given)
    output.failure(failure, "Nothing was sent." if unsent else "")
    return failure.exit_code


def _check_open_files() -> None:
    """Raise DiskError if the process may not open as many files as a task needs: nothing would fail in plain words."""
    from ..system.atomic_files import count_openable

    if (possible := count_openable(OPEN_FILES)) < OPEN_FILES:
        message = f"too many open files: flux needs {OPEN_FILES} more, may open {possible}, and did not begin"
        raise DiskError(message, hint="Raise the limit: ulimit -n 1024")


def _deleted_directory() -> DiskError | None:
    """Return the error for a deleted working directory, in which every relative path fails."""
    try:
        os.getcwd()
    except OSError:
        return DiskError("the working directory was deleted", hint="Change to another directory")
    return None


def _usage_error(error: typer.TyperException, arguments: list[str]) -> UsageError:
    """Return Typer's message as an error of flux: no capital at the start, no full stop, its guess in the hint."""
    command = _named(arguments)
    text, _, guess = error.format_message().partition(" Did you mean ")
    if possible := getattr(error, "possibilities", None):  # of an option; the best first
        from difflib import SequenceMatcher  # for mistakes only

        text = error.message
        likeness = SequenceMatcher(None, text.rpartition(" ")[2], possible[0]).ratio()
        guess = f"{possible[0]}?" if likeness >= NEAR else ""  # a distant guess is worse than none
    hint = f"Did you mean {guess}".replace("'", "") if guess else None
    if command is None:
        return _no_command(arguments, hint)
    message = (text[:1].lower() + text[1:]).rstrip(".")
    if text.startswith("No such option") and (other := OPTIONS_OF_OTHER_TOOLS.get(text.rpartition(" ")[2])):
        return UsageError(message, hint=other)
    if command in SUBMITTING:
        if "unexpected extra argument" in text:
            return _extra_words(command, text.partition(" (")[2].rstrip(")."), arguments)
        if text.startswith("No such option") and any(" " in word for word in arguments if word.startswith("-")):
            hint = "A prompt that begins with - goes after --"
            return UsageError(message, hint=hint, command=(command, "--", "-a castle"))
    return UsageError(message, hint=hint, command=(command,) if command == "config" else (command, "--help"))


def _extra_words(command: str, words: str, arguments: list[str]) -> UsageError:
    """Return the error for words that a command does not take."""
    if command == "rerun":
        return UsageError(f"unexpected words after the image: {words}", hint="For a new prompt, write --prompt TEXT")
    if "--" in arguments:
        return UsageError(f"unexpected words after the prompt: {words}", hint="Put options before --")
    message = f"unexpected words after the prompt: {words}"
    if command == "gen" and os.path.isfile(arguments[1]) and arguments[1].lower().endswith(IMAGE_NAMES):
        return UsageError(message, hint="To edit an image", command=("edit", arguments[1], "as a watercolor"))
    return UsageError(message, hint="Put the prompt in quotes", command=_quoted_prompt(arguments))


def _quoted_prompt(arguments: list[str]) -> list[str]:
    """Return the command and its words up to the first option, with the prompt as one word."""
    words = list(takewhile(lambda word: not word.startswith("-"), arguments))
    first = 2 if words[0] in IMAGE_FIRST else 1
    return [*words[:first], " ".join(words[first:])] if len(words) > first + 1 else [words[0], "a castle"]


def _no_command(arguments: list[str], hint: str | None) -> UsageError:
    """Return the error for a command line whose first word is no command."""
    word = arguments[0]
    if word.startswith("-"):
        place = next((place for place, name in enumerate(arguments) if name in COMMANDS), None)
        if place is not None:
            line = (*arguments[place:], *arguments[:place])
            return UsageError(f"{quoted(word, 40)} goes after the command", hint="Write", command=line)
        return UsageError(f"no such option: {clean(word, 40)}", hint="See", command=("--help",))
    if " " in word.strip():
        return UsageError(f"no command before the prompt {quoted(word, 40)}", hint="Write", command=("gen", *arguments))
    if synonym := find_synonym(word):
        return UsageError(f"no such command {word!r}", hint="Did you mean", command=(synonym, *arguments[1:]))
    return UsageError(f"no such command {quoted(word, 40)}", hint=hint, command=("--help",))
