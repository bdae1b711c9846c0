"""Budgets: how much a profile may spend in a calendar day and month, by the clock of this machine.

The amount spent is the sum over the journal's entries, so that no second record can disagree.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeGuard

from ..config.urls import is_local
from ..errors import BudgetError
from ..frozen import frozen
from ..text import usd
from .entries import POSSIBLY_CHARGED, SPENT, Account

if TYPE_CHECKING:
    import sqlite3

Period = Literal["day", "month"]
PERIODS: tuple[Period, ...] = ("month", "day")
"""The longer one first: if both budgets are used up, waiting until tomorrow does not help."""
Split = Literal["model", "day", "op", "profile"]
SPLITS: dict[Split, str] = {
    "model": "coalesce(json_extract(request, '$.model'), 'unknown')",
    "day": "date(created, 'unixepoch', 'localtime')",
    "op": "coalesce(json_extract(request, '$.op'), 'unknown')",
    "profile": "profile",
}
"""Ways to split the spending, with the SQL expression for the part that an entry belongs to."""


def is_split(word: str) -> TypeGuard[Split]:
    """Return whether `word` is a way to split the spending."""
    return word in SPLITS


@frozen
class Budget:
    """A spending limit for a period, in USD. variable: the environment variable that sets it; None for the setting."""

    period: Period
    limit: Decimal
    variable: str | None = None

    @property
    def advice(self) -> tuple[str, tuple[str, ...]]:
        """The end of a hint after `raise`, and its command. A variable has precedence over the setting."""
        return (
            (self.variable, ())
            if self.variable
            else ("the budget with", ("config", "set", f"budget.{self.period}", "USD"))
        )

    def span(self, moment: float) -> tuple[float, float]:
        """Return the start of the period that contains `moment`, and of the next period, in seconds since the epoch."""
        today = datetime.fromtimestamp(moment).date()
        if self.period == "day":
            begins, ends = today, today + timedelta(days=1)
        else:
            begins = today.replace(day=1)
            ends = (begins + timedelta(days=31)).replace(day=1)
        # By the calendar, because a day on which the clocks change has 23 or 25 hours.
        first, last = (datetime(day.year, day.month, day.day) for day in (begins, ends))
        return first.timestamp(), last.timestamp()


@frozen
class Allowance:
    """The rest of a budget.

    spent: USD in this period. ends: its end, in seconds since the epoch. simulated: whether the prices are a sandbox's.
    """

    budget: Budget
    spent: Decimal
    ends: float
    simulated: bool = False

    @property
    def left(self) -> Decimal:
        """USD; 0 if the limit was lowered below the amount spent."""
        return max(self.budget.limit - self.spent, Decimal(0))

    @property
    def whose(self) -> str:
        """The period, as in `today's budget`."""
        return "today's" if self.budget.period == "day" else "this month's"

    @property
    def next_day(self) -> str:
        """The first day of the next period, `2026-11-01`."""
        return f"{datetime.fromtimestamp(self.ends):%Y-%m-%d}"

    def check(self, price: Decimal, what: str = "this") -> None:
        """Raise BudgetError if `price`, in USD, exceeds the rest. what: the subject of the message."""
        if price <= self.left:
            return
        limit, (advice, command) = self.budget.limit, self.budget.advice
        cost = f"{usd(price)} (simulated)" if self.simulated else usd(price)
        wait = f"Wait until {self.next_day}, or raise" if price <= limit else "Raise"
        raise BudgetError(
            f"{what} would cost {cost}, but only {usd(self.left)} is left of {self.whose} {usd(limit)} budget",
            hint=f"{wait} {advice}",
            command=command,
        )


_NEXT_PRICE = "SELECT MIN(price) FROM entries WHERE service = ? AND profile = ? AND price > ?"
_TIMES = f"""
    SELECT COUNT(*) FROM entries WHERE service = ? AND profile = ? AND price = ?
    AND state IN ({", ".join("?" * len(SPENT))}) AND submitted >= ? AND submitted < ?
"""


def sum_spent(db: "sqlite3.Connection", account: Account, begins: float, ends: float) -> Decimal:
    """Return the exact sum of the prices, in USD, of entries submitted from `begins` until `ends`.

    begins, ends: seconds since the epoch. SQLite cannot add decimals, and distinct prices are few, so the entries of
    each price are counted, which needs only the index `entries_spent`. GROUP BY would sort all rows: 36 ms for 100,000
    instead of 9 ms.
    """
    total, price = Decimal(0), ""
    while price := db.execute(_NEXT_PRICE, (account.service, account.profile, price)).fetchone()[0]:
        values = (account.service, account.profile, price, *SPENT, begins, ends)
        times: int = db.execute(_TIMES, values).fetchone()[0]
        total += times * Decimal(price)
    return total


@frozen
class Spending:
    """A part of the spending. tasks: their number. charged, possibly: USD, charged and possibly charged."""

    name: str
    tasks: int
    charged: Decimal
    possibly: Decimal


def split_spending(
    db: "sqlite3.Connection", split: Split | None, since: float, profile: str | None, *, simulated: bool
) -> list[Spending]:
    """Return the spending of entries created from `since` on, of all profiles or one, in parts sorted by name.

    since: seconds since the epoch. split: None for one part, `total`. simulated: count services on this machine only;
    otherwise, count all others only.
    """
    known = [str(service) for (service,) in db.execute("SELECT DISTINCT service FROM entries")]
    services = [service for service in known if is_local(service) is simulated]
    part = SPLITS[split] if split else "'total'"
    source = f"""
        FROM entries WHERE state IN ({", ".join("?" * len(SPENT))}) AND created >= ? AND (profile = ? OR ? IS NULL)
        AND service IN ({", ".join("?" * len(services))})
    """
    values = (*SPENT, since, profile, profile, *services)
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    of_price = f"""
        SELECT {part}, price, state IN ({", ".join("?" * len(POSSIBLY_CHARGED))}), COUNT(*)
        {source} AND price IS NOT NULL GROUP BY 1, 2, 3
    """
    for name, price, doubtful, times in db.execute(of_price, (*POSSIBLY_CHARGED, *values)):
        charged, possibly = sums.get(name, (Decimal(0), Decimal(0)))
        amount = times * Decimal(price)
        sums[name] = (charged, possibly + amount) if doubtful else (charged + amount, possibly)
    # Several entries may share a task.
    tasks = f"SELECT {part}, COUNT(DISTINCT coalesce(task_id, id)) {source} GROUP BY 1 ORDER BY 1"
    return [
        Spending(name, number, *sums.get(name, (Decimal(0), Decimal(0)))) for name, number in db.execute(tasks, values)
    ]
