"""The guards before money is spent: the question, `--max-cost`, and the budgets."""

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation

from ..errors import UsageError
from ..frozen import frozen
from ..journal.budgets import Allowance
from ..text import quoted, usd


class CanceledError(UsageError):
    """The user answered no to the question about the price."""

    code = "canceled"


@frozen
class Limits:
    """What a command may cost, USD.

    max_cost: `--max-cost`; None when it was not given. confirm_above: above it the user is asked.
    yes: the user has agreed. ask: asks a question; None without a terminal.
    """

    max_cost: Decimal | None
    confirm_above: Decimal
    yes: bool
    ask: Callable[[str], bool] | None

    def check(self, price: Decimal) -> None:
        """Raise UsageError when a command of this price is not allowed, or the user says no."""
        if self.max_cost is not None:
            if price > self.max_cost:
                raise UsageError(
                    f"this would cost {usd(price)}, more than --max-cost {usd(self.max_cost)}",
                    hint="See prices with --dry-run. Ask for fewer images, use a cheaper model, or raise --max-cost",
                    code="too_expensive",
                )
            return
        if self.yes or price <= self.confirm_above:
            return
        if self.ask is None:
            raise UsageError(
                f"this would cost {usd(price)}, and costs above {usd(self.confirm_above)} need confirmation",
                hint="Add --yes, or --max-cost USD. The limit is the setting confirm_above",
                code="too_expensive",
            )
        if not self.ask(f"This costs {usd(price)}. Continue?"):
            raise CanceledError("canceled")


def check_budgets(allowances: Iterable[Allowance], price: Decimal) -> None:
    """Raise BudgetError when a price does not fit into what is left of a budget."""
    for allowance in allowances:
        allowance.check(price)


def parse_amount(text: str, name: str) -> Decimal:
    """Return an amount in USD that a user wrote for the option or setting `name`. Raise UsageError."""
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise UsageError(f"invalid {name} {quoted(text, 40)}: expected an amount in USD, for example 2.50")
    return amount
