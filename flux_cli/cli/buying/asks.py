"""The tasks that one row of a source asks for.

A line of a prompt file has only a prompt; a row of a batch file is a command line of its own, whose defaults are the
options of the command that reads it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ...batch.plan import Draft
from ...batch.rows import Row, Value
from ...batch.sweeps import count, expand
from ...errors import UsageError
from ...frozen import frozen
from ...images.output_names import check_inside
from ...json_value import object_at
from ...text import clean, with_guess
from ..context import Session
from ..options.columns import columns, filled
from ..options.common import CommonOptions
from ..options.compose import Choices, Wanted, axes_of
from ..options.options import ManyOptions, SaveOptions, SubmitOptions, WaitOptions
from ..options.overrides import overrides_of
from ..options.request_options import Given, SizeOptions, TaskOptions
from .making import KINDS, Kind, Maker

OF_A_ROW = ("output", "no-metadata")
"""Options about saving that a row may have; where pictures go is a matter of the whole command."""
OF_THE_COMMAND = (CommonOptions, SaveOptions, WaitOptions, SubmitOptions, ManyOptions)
SECRET = "webhook-secret-file"  # noqa: S105 - the name of an option
"""One secret for all: it is read when a request is sent, and kept nowhere."""


SWEEP_LIMIT = 100_000
"""Tasks of one prompt: groups multiply quickly to more than anyone would wait to see counted."""
_GROUP = re.compile(r"\{[^{}]*\|[^{}]*\}")
Drafts = Callable[[Row], Iterator[Draft]]
"""Yields the tasks that a row asks for. Raises UsageError with everything that is wrong with it."""


@frozen
class Ask:
    """What one row asks for; several tasks when its prompt or its numbers are a sweep.

    output: the name or template of its images. variables: the values of `{name}` in the prompt. id: what it is called.
    """

    prompt: str
    make: Maker
    task: TaskOptions
    output: str | None
    variables: Mapping[str, Sequence[str]]
    id: str | None = None


def ask_words(make: Maker, task: TaskOptions, save: SaveOptions, variables: Mapping[str, Sequence[str]]) -> Drafts:
    """Return what reads the prompts of a source, all made in one way."""
    output = None if save.to_stdout else save.output
    return lambda row: drafts_of(Ask(str(row.fields["prompt"]), make, task, output, variables))


def drafts_of(ask: Ask) -> Iterator[Draft]:
    """Yield the tasks that a row asks for. Braces without alternatives are braces, unless the row has variables."""
    axes = axes_of(ask.task)
    template = bool(ask.variables) or _GROUP.search(ask.prompt) is not None
    text = ask.prompt if template else ask.prompt.replace("{", "{{").replace("}", "}}")
    number = count(text, ask.variables, axes)
    if number > SWEEP_LIMIT:
        raise UsageError(f"one prompt with its sweeps makes {number:,} tasks; the limit is {SWEEP_LIMIT:,}")
    random_seed = ask.task.seed is None and not _sets_seed(ask.task)
    for variant in expand(text, ask.variables, axes):
        chosen = Choices(**variant.options)  # type: ignore[arg-type]  # `axes_of` gave each its type
        request = ask.make(Wanted(variant.prompt, chosen))
        yield Draft(request, ask.output, variant.variables, ask.id, random_seed)


def _sets_seed(task: TaskOptions) -> bool:
    problems: list[str] = []
    return object_at(overrides_of(task, problems), "input").get("seed") is not None


def ask_rows(session: Session, given: Given, save: SaveOptions) -> Drafts:
    """Return what reads the rows of a batch file. `given` and `save` apply to those that do not set their own."""

    def ask(row: Row) -> Iterator[Draft]:
        values = {name.replace("_", "-").casefold(): value for name, value in row.fields.items()}
        op = _word("op", values.pop("op", "gen"))
        name = values.pop("id", None)
        kind = KINDS.get(op)
        if kind is None:
            raise UsageError(f"no op is called {clean(op, 40)!r}; there are {', '.join(KINDS)}")
        problems = list(_unknown(kind, values))
        own = _own(kind, values, problems)
        # The size that the command gives is for the rows whose pictures can have one.
        fitting = given if own is None or kind.sized(own) else replace(given, shape=SizeOptions())
        groups = _groups(kind, fitting, values, problems)
        own_save = replace(save, **filled(SaveOptions, _only(values, OF_A_ROW), problems))
        _check_output(values, own_save, problems)
        if problems or own is None:
            raise UsageError.of(problems)
        prompt = own.prompt if own.prompt is not None else kind.prompt
        if prompt is None:
            raise UsageError("a prompt is missing")
        make = kind.make(session, own, groups)
        return drafts_of(
            Ask(prompt, make, groups.task, own_save.output, {}, None if name is None else _word("id", name))
        )

    return ask


def _own(kind: Kind, values: Mapping[str, Value], problems: list[str]) -> Any:
    found = filled(kind.arguments, values, problems)
    needed = {field.name for field in fields(kind.arguments)} - set(found)
    try:
        return kind.arguments(**found)
    except TypeError:  # a field without a default
        problems += [f"an {name} is missing" for name in ("image",) if name in needed]
        return None


def _groups(kind: Kind, given: Given, values: Mapping[str, Value], problems: list[str]) -> Given:
    """The options that the command gave, and in front of them those of the row."""
    # A model for all rows is for those that it can do, as the setting is.
    given = replace(given, task=replace(given.task, model=None))
    changed: dict[str, Any] = {}
    for name in kind.groups:
        group = getattr(given, name)
        found = filled(type(group), values, problems)
        # A size of the row's own stands in for whatever says the size of the others.
        changed[name] = SizeOptions(**found) if name == "shape" and found else replace(group, **found)
    return Given(**changed)


def _unknown(kind: Kind, values: Mapping[str, Value]) -> Sequence[str]:
    """What is wrong with the names of a row's values."""
    known = [*columns(kind.arguments), *OF_A_ROW]
    known += [name for group in kind.groups for name in columns(type(getattr(Given(), group))) if name != SECRET]
    of_the_command = {name for group in OF_THE_COMMAND for name in columns(group)} | {SECRET}
    problems = []
    for name in values:
        if name in known:
            continue
        if name in of_the_command:
            problems.append(f"{name} is an option of the command, not of a row")
            continue
        problem = f"no option of this op is called {clean(name, 40)!r}"
        problems.append(with_guess(problem, name, [*known, "op", "id"]))
    return problems


def _check_output(values: Mapping[str, Value], save: SaveOptions, problems: list[str]) -> None:
    if "output" in values and save.output is not None:
        try:
            check_inside(save.output)
        except UsageError as error:
            problems.append(error.message)


def _word(name: str, value: Value) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    raise UsageError(f"{name} is not a word")


def _only(values: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name in names}
