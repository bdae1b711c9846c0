"""Commands that set flux up: the key, the configuration, the shell."""

from pathlib import Path
from typing import Annotated

from ...errors import ExitCode, UsageError
from ...operations.parameters import Argument, Option
from ...text import clean, suggestion
from ..context import Session
from ..fast_path import SCRIPTS, script

Name = Annotated[str, Argument("SETTING", help="Name of the setting; see flux config list.")]
NewValue = Annotated[str, Argument("VALUE", help="New value; an empty one removes the setting.")]
Shell = Annotated[str, Argument("bash|zsh|fish|powershell", help="Your shell.")]
NoCheck = Annotated[bool, Option("--no-check", help="Store the key without checking it with PiAPI.")]

Offline = Annotated[bool, Option("--offline", help="Do not contact PiAPI.")]
Fix = Annotated[bool, Option("--fix", help="Repair what can be repaired; print each change before making it.")]
Bundle = Annotated[
    Path | None,
    Option("--bundle", metavar="FILE", help="Write a ZIP file for a bug report, without keys and prompts."),
]
WithPrompts = Annotated[bool, Option("--with-prompts", help="Include prompts and API responses in the bundle.")]


def login(session: Session, no_check: NoCheck = False) -> ExitCode:
    """Check your PiAPI key and store it.

    flux asks for the key without showing it, or reads it from a pipe.

    flux login

    pass show piapi | flux login --profile work
    """
    from ..calls.profiles import store_key

    return store_key(session, check=not no_check)


def logout(session: Session) -> ExitCode:
    """Remove the stored API key of a profile."""
    from ..calls.profiles import remove_key

    return remove_key(session)


def config_list(session: Session) -> ExitCode:
    """Show every setting, its value and the source of the value."""
    from ..calls.profiles import list_settings

    return list_settings(session)


def config_get(session: Session, name: Name) -> ExitCode:
    """Print the value of a setting, or nothing if it is unset."""
    from ..calls.profiles import show_setting

    return show_setting(session, name)


def config_set(session: Session, name: Name, value: NewValue) -> ExitCode:
    """Set a setting in the config file.

    flux config set plan creator
    """
    from ..calls.profiles import store_setting

    return store_setting(session, name, value)


def config_path(session: Session) -> ExitCode:
    """Print the path of the config file."""
    from ..calls.profiles import show_path

    return show_path(session)


def doctor(
    session: Session,
    offline: Offline = False,
    fix: Fix = False,
    bundle: Bundle = None,
    with_prompts: WithPrompts = False,
) -> ExitCode:
    """Check the installation, key, PiAPI, journal and images.

    Prints one line per check: ok, warning or problem. The exit code is that of the first problem, or 0.

    flux doctor --fix

    flux doctor --offline --json

    flux doctor --bundle report.zip
    """
    from ..doctor.doctor import examine_all

    return examine_all(session, offline=offline, fix=fix, bundle=bundle, with_prompts=with_prompts)


def completions(session: Session, shell: Shell) -> ExitCode:
    """Print the completion script for a shell.

    Add the line for your shell to ~/.bashrc, ~/.zshrc (after compinit), ~/.config/fish/config.fish or $PROFILE.

    eval "$(flux completions bash)"

    eval "$(flux completions zsh)"

    flux completions fish | source

    flux completions powershell | Out-String | Invoke-Expression
    """
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {clean(shell, 40)!r}", hint=suggestion(shell, SCRIPTS))
    session.output.lines(script(shell).decode().rstrip("\n"))
    return ExitCode.OK
