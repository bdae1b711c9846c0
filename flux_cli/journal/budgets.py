"""Budgets: what a profile may spend in a calendar day and in a calendar month, by this machine's clock.

What was spent is summed up from the journal's entries; nothing else is written down that could disagree with them.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from ..errors import BudgetError
from ..frozen import frozen
from ..text import usd

Period = Literal["day", "month"]
PERIODS: tuple[Period, ...] = ("month", "day")
"""The longer first: when both are spent, it is no use to wait for tomorrow."""


@frozen
class Budget:
    """A limit, USD, on what a period may cost. It is set by the setting `budget.` + period."""

    period: Period
    limit: Decimal

    def span(self, moment: float) -> tuple[float, float]:
        """When the period that holds `moment` begins, and when the next one does; seconds since the epoch."""
        today = datetime.fromtimestamp(moment).date()
        if self.period == "day":
            begins, ends = today, today + timedelta(days=1)
        else:
            begins = today.replace(day=1)
            ends = (begins + timedelta(days=31)).replace(day=1)
        # Through the calendar, not by adding seconds: a day on which the clocks change has 23 or 25 hours.
        first, last = (datetime(day.year, day.month, day.day) for day in (begins, ends))
        return first.timestamp(), last.timestamp()


@frozen
class Allowance:
    """What is left of a budget: `spent` of it, USD, is gone until `ends`, seconds since the epoch."""

    budget: Budget
    spent: Decimal
    ends: float

    @property
    def left(self) -> Decimal:
        """USD; 0 when more was spent before the limit was lowered."""
        return max(self.budget.limit - self.spent, Decimal(0))

    @property
    def next_day(self) -> str:
        """The first day on which the whole budget is there again, `2026-11-01`."""
        return f"{datetime.fromtimestamp(self.ends):%Y-%m-%d}"

    def check(self, price: Decimal, what: str = "this", money: str | None = None) -> None:
        """Raises BudgetError when `price`, of `what`, is more than is left; `money`: what that means for the user's."""
        if price <= self.left:
            return
        period, limit = self.budget.period, self.budget.limit
        wait = f"wait until {self.next_day}, or " if price <= limit else ""
        raise BudgetError(
            f"{what} would cost {usd(price)}, and {usd(self.left)} of this {period}'s {usd(limit)} are left",
            hint=f"{wait}raise it with: flux config set budget.{period} USD; then run the same command again",
            money=money,
        )
