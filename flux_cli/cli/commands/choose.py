"""Commands about models and money. None of them costs anything."""

from typing import Annotated

from ...errors import ExitCode
from ...operations.parameters import Argument, Option
from ..context import Session

Purpose = Annotated[
    str | None,
    Option(
        "--for",
        metavar="PURPOSE",
        help="Only the model for PURPOSE: commercial, fast, quality or an operation; combine with commas.",
    ),
]
CommandLine = Annotated[
    list[str] | None, Argument("COMMAND ...", help="A command that generates images, with its options.")
]
Since = Annotated[
    str | None,
    Option("--since", metavar="DATE|Nd", help="Only tasks since a day (2026-11-01), or of the last N days (30d)."),
]
By = Annotated[
    str | None,
    Option("--by", metavar="model|day|op|profile", help="Show one total per model, day, operation or profile."),
]


def models(session: Session, purpose: Purpose = None) -> ExitCode:
    """List the models: price, license, speed and operations.

    flux models --for commercial,fast
    """
    from ..calls.models import show_models

    return show_models(session, purpose)


def cost(session: Session, command: CommandLine = None, since: Since = None, by: By = None) -> ExitCode:
    """Show the price of a command, or the money spent so far.

    flux cost gen "two cats" -m schnell -b 4

    flux cost --since 30d --by model
    """
    from ..calls.money import price_command, show_spent

    return price_command(session, command) if command else show_spent(session, since, by)


def balance(session: Session) -> ExitCode:
    """Show the balance and the plan of your PiAPI account."""
    from ..calls.money import show_balance

    return show_balance(session)
