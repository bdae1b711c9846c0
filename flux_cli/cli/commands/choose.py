"""Commands about models and money. None of them costs anything."""

from typing import Annotated

import typer

from ...errors import ExitCode
from ..context import Session

Purpose = Annotated[
    str | None,
    typer.Option("--for", metavar="PURPOSE", help="Only the model for: commercial, fast, quality, an operation."),
]
CommandLine = Annotated[
    list[str] | None, typer.Argument(metavar="COMMAND ...", help="A command that makes pictures.", show_default=False)
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE|Nd", help="Only what was spent since a day, or in the last N days."),
]
By = Annotated[str | None, typer.Option("--by", metavar="model|day|op|profile", help="Split by one of these.")]


def models(session: Session, purpose: Purpose = None) -> ExitCode:
    """List the models: prices, licences, speed, abilities.

    flux models --for commercial,fast
    """
    from ..calls.models import show_models

    return show_models(session, purpose)


def cost(session: Session, command: CommandLine = None, since: Since = None, by: By = None) -> ExitCode:
    """Price a command, or sum up what was spent here.

    flux cost gen "two cats" -m schnell -b 4

    flux cost --since 30d --by model
    """
    from ..calls.money import price_command, show_spent

    return price_command(session, command) if command else show_spent(session, since, by)


def balance(session: Session) -> ExitCode:
    """Ask the service for the account's plan and balance."""
    from ..calls.money import show_balance

    return show_balance(session)
