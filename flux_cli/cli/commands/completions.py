"""`flux completions`: the completion script of a shell."""

from typing import Annotated

from ...errors import ExitCode, UsageError
from ...operations.parameters import Argument
from ...text import clean, suggestion
from ..context import Session
from ..fast_path import SCRIPTS, script

Shell = Annotated[str, Argument("bash|zsh|fish|powershell", help="Your shell.")]


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
