"""The plan of a command: all tasks of its source, checked and priced in one pass, and the limits on its price."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from decimal import Decimal
from typing import Protocol

from ..errors import UsageError
from ..frozen import frozen
from ..images.output_names import is_template
from ..journal.budgets import Allowance
from ..operations.request import TaskRequest
from ..text import clean, counted, quoted, usd
from .prompts import Row

TASK_LIMIT = 1_000_000
"""Tasks per command. A million take weeks at 20 in parallel, and a longer list may not fit into memory."""


@frozen
class Draft:
    """A task that a row requests.

    output: the name or the template for its images; None for the default.
    variables: the values of additional placeholders in names. id: the ID of its row.
    metadata: whether the request is embedded in the PNG.
    random_seed: whether flux chose the seed.
    """

    request: TaskRequest
    output: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    random_seed: bool = False
    metadata: bool = True


@frozen
class PlannedTask:
    """A task of a plan.

    index: its position in the whole source, from 1. line: its line in the source; 0 for the command line.
    price: USD.
    """

    index: int
    line: int
    draft: Draft
    price: Decimal

    @property
    def request(self) -> TaskRequest:
        """The request for the task."""
        return self.draft.request


@frozen
class Shard:
    """Part `part` of `of`, which has every `of`-th task, so that all parts are of equal size."""

    part: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard of `K/N`. Raise UsageError."""
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text, re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"invalid --shard {quoted(text, 40)}: expected K/N with K from 1 to N, for example 1/4")
        return cls(int(match[1]), int(match[2]))

    def has(self, index: int) -> bool:
        """Return whether the task with this index belongs to the shard."""
        return (index - 1) % self.of == self.part - 1


class RowSource(Protocol):
    """A source of rows that collects their problems, and raises them as one UsageError at its end."""

    def __iter__(self) -> Iterator[Row]: ...

    def refuse(self, line: int, error: UsageError) -> None:
        """Record why the row on a line is invalid."""


@frozen
class Plan:
    """The tasks of a source, in its order.

    source: the name of the file; None for the command line. every: all its tasks.
    tasks: the tasks of the shard that is run.
    """

    source: str | None
    every: tuple[PlannedTask, ...]
    tasks: tuple[PlannedTask, ...]

    @property
    def total(self) -> int:
        """The number of tasks of the whole source."""
        return len(self.every)

    @property
    def price(self) -> Decimal:
        """The total price of `tasks`, in USD."""
        return sum((task.price for task in self.tasks), Decimal(0))

    @property
    def images(self) -> int:
        """The number of images of `tasks`."""
        return sum(task.request.operation.batch_size for task in self.tasks)

    def where(self, task: PlannedTask) -> str:
        """Return the origin of a task, for messages: `rows.csv, line 3: `; empty for the command line."""
        return f"{self.source}, line {task.line}: " if task.line else ""


def make_plan(
    rows: RowSource,
    drafts: Callable[[Row], Iterator[Draft]],
    *,
    source: str | None,
    price: Callable[[TaskRequest], Decimal],
    shard: Shard,
) -> Plan:
    """Return the plan for all rows. Raise UsageError with every problem of the source, with file and line.

    price: returns the price of a request, in USD.
    """
    tasks: list[PlannedTask] = []
    lines: dict[str, int] = {}
    for row in rows:
        try:
            for draft in drafts(row):
                if len(tasks) == TASK_LIMIT:
                    hint = "Split the file, or use --shard with files of their own"
                    raise UsageError(f"more than {TASK_LIMIT:,} tasks in one command", hint=hint)
                if draft.id is not None and lines.setdefault(draft.id, row.line) != row.line:
                    raise UsageError(f"the ID {quoted(draft.id, 40)} is already used on line {lines[draft.id]}")
                tasks.append(PlannedTask(len(tasks) + 1, row.line, draft, price(draft.request)))
        except UsageError as error:
            if len(tasks) == TASK_LIMIT:
                raise
            rows.refuse(row.line, error)
    return Plan(source, tuple(tasks), tuple(task for task in tasks if shard.has(task.index)))


def check_single_name(plan: Plan, output: str | None) -> None:
    """Raise UsageError if `-o` names one file and the plan has several tasks."""
    if output is None or plan.total < 2 or is_template(output):
        return
    if any(task.draft.output == output for task in plan.tasks):
        raise UsageError(
            f"-o {clean(output, 80)} names one file, but this command makes {plan.images} images",
            hint="Use a template, for example: -o '{index}-{slug}.png'",
        )


# --- limits on the price ----------------------------------------------------------------------------------------------


class CanceledError(UsageError):
    """The user did not confirm the price."""

    code = "canceled"


@frozen
class CostLimits:
    """The limits on the price of a command, in USD.

    max_cost: `--max-cost`; None if it was not given. confirm_above: the price above which the user must confirm.
    yes: whether `--yes` was given. ask: asks a yes-or-no question; None without a terminal. simulated: whether the
    prices are those of a sandbox.
    """

    max_cost: Decimal | None
    confirm_above: Decimal
    yes: bool
    ask: Callable[[str], bool] | None
    simulated: bool = False

    def check(self, price: Decimal, images: int, *, again: bool = False) -> None:
        """Raise UsageError if `price` is above a limit or the user does not confirm it. images: for the message."""
        about = f"{usd(price)}{' (simulated)' if self.simulated else ''} for {counted(images, 'image')}"
        if self.max_cost is not None:
            if price > self.max_cost:
                raise UsageError(
                    f"this would cost {about}, more than --max-cost {usd(self.max_cost)}",
                    hint="Raise --max-cost"
                    if again
                    else "Raise --max-cost, use a cheaper model, or ask for fewer images",
                    code="too_expensive",
                )
            return
        if self.yes or price <= self.confirm_above:
            return
        if self.ask is None:
            raise UsageError(
                f"this would cost {about}, and costs above {usd(self.confirm_above)} need confirmation",
                hint="Add --yes, or --max-cost USD. The limit is the setting confirm_above",
                code="too_expensive",
            )
        if not self.ask(f"This costs {about}. Continue?"):
            raise CanceledError("canceled")


def check_budgets(allowances: Iterable[Allowance], price: Decimal) -> None:
    """Raise BudgetError if `price`, in USD, exceeds the rest of a budget."""
    for allowance in allowances:
        allowance.check(price)
