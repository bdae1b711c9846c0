"""`flux completion`: the completion script of a shell."""

from typing import Annotated

from ...errors import ExitCode, UsageError
from ...operations.parameters import Argument
from ...text import clean, suggestion
from ..context import Session
from ..fast_path import SCRIPTS, script
from ..output.records import Items, Record

Shell = Annotated[str, Argument("bash|zsh|fish|powershell", help="Your shell.")]


def completion(session: Session, shell: Shell) -> Items:
    """Print the completion script for a shell.

    Add the line for your shell to ~/.bashrc, ~/.zshrc (after compinit), ~/.config/fish/config.fish or $PROFILE.

    eval "$(flux completion bash)"

    eval "$(flux completion zsh)"

    flux completion fish | source

    flux completion powershell | Out-String | Invoke-Expression
    """
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {clean(shell, 40)!r}", hint=suggestion(shell, SCRIPTS))
    text = script(shell).decode().rstrip("\n")
    yield Record("completion", {"shell": shell, "script": text}, text)
    return ExitCode.OK
