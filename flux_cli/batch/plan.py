"""The plan of a command: every task of its source, checked and priced in one pass, and the limits on its price."""

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
"""Tasks of one command. At 20 at a time, a million take weeks; and a list of more would not fit into memory."""


@frozen
class Draft:
    """One task that a row asks for.

    output: the name, or the template of names, of its images; None for flux's own choice.
    variables: values of placeholders in names beside the usual ones. id: what its row is called.
    metadata: whether its PNG carries the request.
    random_seed: the seed was chosen by flux.
    """

    request: TaskRequest
    output: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    random_seed: bool = False
    metadata: bool = True


@frozen
class PlannedTask:
    """One task of a plan.

    index: its place in the whole source, from 1, whatever shard is run. line: of the source; 0 for the command line.
    price: USD.
    """

    index: int
    line: int
    draft: Draft
    price: Decimal

    @property
    def request(self) -> TaskRequest:
        """The request that is sent for it."""
        return self.draft.request


@frozen
class Shard:
    """Part `part` of `of`: every `of`-th task, so that all parts are equally large."""

    part: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that `K/N` stands for. Raise UsageError."""
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text, re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"invalid --shard {quoted(text, 40)}: expected K/N with K from 1 to N, for example 1/4")
        return cls(int(match[1]), int(match[2]))

    def has(self, index: int) -> bool:
        """Return whether the task with this index belongs to the shard."""
        return (index - 1) % self.of == self.part - 1


class RowSource(Protocol):
    """A source of rows that collects everything wrong with them, and raises it as one UsageError at its end."""

    def __iter__(self) -> Iterator[Row]: ...

    def refuse(self, line: int, error: UsageError) -> None:
        """Record why the row on a line cannot be done."""


@frozen
class Plan:
    """The tasks of a source, in its order.

    source: the name of the file they come from; None for the command line. every: all its tasks.
    tasks: those of the shard that is run.
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
        """The price of the tasks that are run, USD."""
        return sum((task.price for task in self.tasks), Decimal(0))

    @property
    def images(self) -> int:
        """The number of images that they order."""
        return sum(task.request.operation.batch_size for task in self.tasks)

    def where(self, task: PlannedTask) -> str:
        """Return where a task stands, for messages: `rows.csv, line 3: `; empty for the command line."""
        return f"{self.source}, line {task.line}: " if task.line else ""


def make_plan(
    rows: RowSource,
    drafts: Callable[[Row], Iterator[Draft]],
    *,
    source: str | None,
    price: Callable[[TaskRequest], Decimal],
    shard: Shard,
) -> Plan:
    """Read all rows and return their tasks. Raise UsageError with every problem of the source, file and line.

    price: of a request, USD.
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
    """Raise UsageError when `-o` names one file and the plan has several tasks."""
    if output is None or plan.total < 2 or is_template(output):
        return
    if any(task.draft.output == output for task in plan.tasks):
        raise UsageError(
            f"-o {clean(output, 80)} names one file, but this command makes {plan.images} images",
            hint="Use a template, for example: -o '{index}-{slug}.png'",
        )


# --- the guards before money is spent ---------------------------------------------------------------------------------


class CanceledError(UsageError):
    """The user answered no to the question about the price."""

    code = "canceled"


@frozen
class CostLimits:
    """What a command may cost, USD.

    max_cost: `--max-cost`; None when it was not given. confirm_above: above it the user is asked.
    yes: the user has agreed. ask: asks a question; None without a terminal. simulated: the prices are a sandbox's.
    """

    max_cost: Decimal | None
    confirm_above: Decimal
    yes: bool
    ask: Callable[[str], bool] | None
    simulated: bool = False

    def check(self, price: Decimal, images: int) -> None:
        """Raise UsageError when a command of this price, for so many images, is not allowed, or the user says no."""
        about = f"{usd(price)}{' (simulated)' if self.simulated else ''} for {counted(images, 'image')}"
        if self.max_cost is not None:
            if price > self.max_cost:
                raise UsageError(
                    f"this would cost {about}, more than --max-cost {usd(self.max_cost)}",
                    hint="See prices with --dry-run. Ask for fewer images, use a cheaper model, or raise --max-cost",
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
    """Raise BudgetError when a price does not fit into what is left of a budget."""
    for allowance in allowances:
        allowance.check(price)
