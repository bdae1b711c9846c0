"""`flux completion`: the completion script of a shell."""

from typing import Annotated

from ...errors import ExitCode, UsageError
from ...operations.parameters import Argument
from ...text import quoted, suggestion
from ..fast_path import SCRIPTS, script
from ..output.output import Items, Record
from ..registry import help_page
from ..session import Session

Shell = Annotated[str, Argument("bash|zsh|fish|powershell", help="Your shell.")]


@help_page(
    ("Add to ~/.bashrc", 'eval "$(flux completion bash)"'),
    ("Add to ~/.zshrc, after compinit", 'eval "$(flux completion zsh)"'),
    ("Add to ~/.config/fish/config.fish", "flux completion fish | source"),
    ("Add to $PROFILE", "flux completion powershell | Out-String | Invoke-Expression"),
    hides=("sandbox", "profile", "json", "quiet", "verbose", "debug"),
)
def completion(session: Session, shell: Shell) -> Items:
    """Print the completion script for a shell."""
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {quoted(shell, 40)}", hint=suggestion(shell, SCRIPTS))
    text = script(shell).decode().rstrip("\n")
    yield Record("completion", {"shell": shell, "script": text}, text)
    return ExitCode.OK
