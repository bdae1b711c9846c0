"""`flux cost`: the price of a command, and the money spent so far."""

import math
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from ...config.urls import is_local
from ...errors import ExitCode, UsageError
from ...journal.budgets import SPLITS, Allowance, Spending, is_split
from ...json_value import JsonObject
from ...operations.parameters import Argument, Option
from ...text import counted, quoted, suggestion, usd
from ..output.output import Items, Note, Record
from ..registry import SUBMITTING, help_page
from ..session import Session

CommandLine = Annotated[
    list[str] | None, Argument("COMMAND ...", help="A command that generates images, with its options.")
]
Since = Annotated[
    str | None,
    Option(
        "--since",
        metavar="DATE|Nd",
        help="Only tasks submitted on or after DATE (2026-11-01), or in the last N days (30d).",
    ),
]
By = Annotated[
    str | None,
    Option("--by", metavar="model|day|op|profile", help="Show one total per model, day, operation or profile."),
]
NEXT_LINE = f"\n{'':39}"
BAR = 20
"""The length of the longest bar of `--by`, in characters."""
PRICED = tuple(name for name in SUBMITTING if name != "resolve")
"""The commands that have a price."""


@help_page(
    ("Show the price of a command", 'flux cost gen "two cats" -m schnell -b 4'),
    ("Show the cost of the last 30 days", "flux cost --since 30d --by model"),
    ("Show the cost per day", "flux cost --by day"),
)
def cost(session: Session, command: CommandLine = None, since: Since = None, by: By = None) -> ExitCode | Items:
    """Show the price of a command, or the money spent so far."""
    return price_command(session, command) if command else show_spent(session, since, by)


def price_command(session: Session, command: list[str]) -> ExitCode:
    """Print the price of a command by running it with `--price-only`, which sends nothing."""
    from ..main import main

    name, *arguments = command
    if name not in PRICED:
        raise UsageError(f"cannot price {quoted(name, 40)}", hint="For example", command=("cost", "gen", "a fox"))
    return ExitCode(main([name, "--price-only", *session.common.arguments(), *arguments]))


def show_spent(session: Session, since: str | None, by: str | None) -> Items:
    """Yield the expected cost of accepted tasks, including failed ones, of all profiles or one, and the budgets."""
    if by is not None and not is_split(by):
        raise UsageError(f"unknown --by {quoted(by, 40)}", hint=suggestion(by, SPLITS))
    parts = session.journal.spending(by, moment_of(since) if since else 0.0, session.common.profile)
    most = max((part.charged for part in parts), default=Decimal(0))
    bars = by is not None and most and session.output.to_terminal and session.output.can_encode("█")
    for part in parts or [Spending("total", 0, Decimal(0), Decimal(0))]:
        yield _spent(part, "█" * math.ceil(BAR * part.charged / most) if bars else "")
    if is_local(session.service):
        yield Note("simulated: the sandbox charges nothing")
    for allowance in session.journal.allowances(session.budgets):
        yield _left(allowance)
    return ExitCode.OK


def _spent(part: Spending, bar: str) -> Record:
    money: JsonObject = {"spent_usd": str(part.charged), "possibly_charged_usd": str(part.possibly)}
    tasks = counted(part.tasks, "task")
    text = f"{part.name:<26} {usd(part.charged):>10}  {f'{tasks:<9} {bar}' if bar else tasks}"
    if part.possibly:
        text += f"{NEXT_LINE if bar else ', '}plus up to {usd(part.possibly)} possibly charged"
    return Record("spent", {"name": part.name, "tasks": part.tasks, **money}, text)


def _left(allowance: Allowance) -> Record:
    name, limit, left = f"budget.{allowance.budget.period}", allowance.budget.limit, allowance.left
    money: JsonObject = {"limit_usd": str(limit), "spent_usd": str(allowance.spent), "left_usd": str(left)}
    text = f"{name:<26} {usd(left):>10}  left of {usd(limit)}; resets on {allowance.next_day}"
    return Record("budget", {"name": name, **money, "until": allowance.next_day}, text)


def moment_of(since: str) -> float:
    """Return the time that `30d` or `2026-11-01` describes, in seconds since the epoch. Raise UsageError."""
    if match := re.fullmatch(r"([0-9]{1,4})d", since.strip(), re.ASCII):
        return (datetime.now() - timedelta(days=int(match[1]))).timestamp()
    try:
        return datetime.fromisoformat(since.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        expected = "expected a date (2026-11-01) or a number of days (30d)"
        raise UsageError(f"invalid --since {quoted(since, 40)}: {expected}") from None
