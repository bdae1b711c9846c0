"""What was spent, and what is left."""

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from ...errors import ExitCode, UsageError
from ...journal.budgets import Allowance
from ...journal.entries import CHARGED, Entry, State
from ...json_value import JsonObject
from ...text import clean, counted, suggestion, usd
from ..context import Session
from ..output.output import Mode

SPLITS: dict[str, Callable[[Entry], str]] = {
    "model": lambda entry: entry.request.model if entry.request else "unknown",
    "day": lambda entry: f"{datetime.fromtimestamp(entry.created):%Y-%m-%d}",
    "op": lambda entry: entry.request.operation.name if entry.request else "unknown",
    "profile": lambda entry: entry.profile,
}


PRICED = ("gen", "lora", "controlnet", "redux", "edit", "inpaint", "outpaint", "batch", "rerun")
"""Commands that can be priced."""


def price_command(session: Session, command: list[str]) -> ExitCode:
    """Print the price of a command: it is run as it is, and stops at the price."""
    from ..main import main

    name, *arguments = command
    if name not in PRICED:
        raise UsageError(f"cannot price {clean(name, 40)!r}", hint='For example: flux cost gen "a fox" -b 4 -m schnell')
    return ExitCode(main([name, "--price-only", *session.common.arguments(), *arguments]))


def show_spent(session: Session, since: str | None, by: str | None) -> ExitCode:
    """Show what the journal says was spent: expected prices of accepted tasks, failed ones included."""
    if by is not None and by not in SPLITS:
        raise UsageError(f"cannot split by {clean(by, 40)!r}", hint=suggestion(by, SPLITS))
    start = moment_of(since) if since else 0.0
    entries = [entry for entry in session.journal.entries(states=(*CHARGED, State.UNKNOWN)) if entry.created >= start]
    split = SPLITS[by] if by else lambda entry: "total"
    spent: defaultdict[str, Decimal] = defaultdict(Decimal)
    risk: defaultdict[str, Decimal] = defaultdict(Decimal)
    tasks: defaultdict[str, set[str]] = defaultdict(set)  # one may have been fetched by several entries
    for entry in entries:
        name, price = split(entry), entry.price or Decimal(0)
        (risk if entry.state is State.UNKNOWN else spent)[name] += price
        tasks[name].add(entry.task_id or entry.id)
    for name in sorted(tasks) or ["total"]:
        _tell_spent(session, name, len(tasks[name]), spent[name], risk[name])
    for allowance in session.journal.allowances(session.budgets):
        _tell_left(session, allowance)
    return ExitCode.OK


def _tell_spent(session: Session, name: str, tasks: int, spent: Decimal, risk: Decimal) -> None:
    if session.output.mode is Mode.JSON:
        content: JsonObject = {"name": name, "tasks": tasks, "spent_usd": str(spent), "at_risk_usd": str(risk)}
        session.output.record("spent", content)
        return
    at_risk = f", and {usd(risk)} at risk" if risk else ""
    session.output.result(f"{name:<26} {usd(spent):>10}  {counted(tasks, 'task')}{at_risk}")


def _tell_left(session: Session, allowance: Allowance) -> None:
    name, limit, left = f"budget.{allowance.budget.period}", allowance.budget.limit, allowance.left
    if session.output.mode is Mode.JSON:
        money: JsonObject = {"limit_usd": str(limit), "spent_usd": str(allowance.spent), "left_usd": str(left)}
        session.output.record("budget", {"name": name, **money, "until": allowance.next_day})
        return
    session.output.result(f"{name:<26} {usd(left):>10}  left of {usd(limit)} until {allowance.next_day}")


def moment_of(since: str) -> float:
    """`30d`, or a day: `2026-11-01`. Seconds since the epoch."""
    if match := re.fullmatch(r"([0-9]{1,4})d", since.strip(), re.ASCII):
        return (datetime.now() - timedelta(days=int(match[1]))).timestamp()
    try:
        return datetime.fromisoformat(since.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since {clean(since, 40)!r} is not a day or a number of days", hint="2026-11-01, or 30d"
        ) from None


def show_balance(session: Session) -> ExitCode:
    """The account, as the service tells of it."""
    import asyncio

    account = asyncio.run(session.account())
    if session.output.mode is Mode.JSON:
        balance = None if account.balance is None else str(account.balance)
        content: JsonObject = {"balance_usd": balance, "plan": account.plan, "concurrency": account.concurrency}
        session.output.record("balance", content)
        return ExitCode.OK
    session.output.result(usd(account.balance) if account.balance is not None else "unknown")
    facts = [f"plan {account.plan}"] if account.plan else []
    facts += [f"{counted(account.concurrency, 'task')} at once"] if account.concurrency else []
    if facts:
        session.output.note(", ".join(facts))
    return ExitCode.OK
