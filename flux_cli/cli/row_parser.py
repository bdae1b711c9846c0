"""The tasks that one row of a source asks for.

A line of a prompt file has only a prompt; a row of a batch file is a command line of its own, whose defaults are the
options of the command that reads it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..batch.input_images import RequestImages
from ..batch.plan import Draft
from ..batch.prompts import Row
from ..batch.request_builder import Choices, Overrides, RequestBuilder, axes_of
from ..batch.sweeps import count, expand
from ..errors import Problems, UsageError
from ..frozen import frozen
from ..images.output_names import check_inside
from ..json_value import JsonObject
from ..operations.base import BuildContext, Parameters
from ..operations.options import Given, SizeOptions
from ..operations.parameters import Value, change_group, parameters, read_group
from ..operations.registry import COMMANDS
from ..text import guess, quoted, suggestion
from .common_options import CommonOptions
from .context import Session
from .options import ManyOptions, SaveOptions, SubmitOptions, WaitOptions

OF_A_ROW = ("output", "no-metadata")
"""Options about saving that a row may have; the directory is an option of the whole command."""
OF_THE_COMMAND = (CommonOptions, SaveOptions, WaitOptions, SubmitOptions, ManyOptions)
NOT_OF_A_ROW = ("webhook-secret-file", "input")
"""Options of a request that name a file for all rows: the secret is read when a request is sent and stored nowhere, and
an untrusted row must not add a file of this machine to its request."""
SWEEP_LIMIT = 100_000
"""Tasks of one prompt: groups multiply quickly."""
_GROUP = re.compile(r"\{[^{}]*\|[^{}]*\}")
_OPEN_CHOICE = re.compile(r"(?<!\{)\{[^{}]*\|[^{}]*(?=\{|$)")
_BRACE = re.compile(r"\{\{|\}\}|[{}]")
Drafts = Callable[[Row], Iterator[Draft]]
"""Yields the tasks of a row. Raise UsageError with all errors of the row."""


@frozen
class PromptRow:
    """One row; it has several tasks if its prompt or its numbers are a sweep.

    builder: makes the requests of its tasks. output: the name or template of its images.
    variables: the values of `{name}` in the prompt. id: what it is called. metadata: whether images carry the request.
    """

    prompt: str
    builder: RequestBuilder
    output: str | None
    variables: Mapping[str, Sequence[str]]
    id: str | None = None
    metadata: bool = True


def prompt_reader(builder: RequestBuilder, save: SaveOptions, variables: Mapping[str, Sequence[str]]) -> Drafts:
    """Return a function that reads the prompts of a source, all with one builder."""
    output, metadata = None if save.to_stdout else save.output, not save.no_metadata
    return lambda row: drafts_of(PromptRow(str(row.fields["prompt"]), builder, output, variables, metadata=metadata))


def drafts_of(row: PromptRow) -> Iterator[Draft]:
    """Yield the tasks of a row.

    Without variables and `{a|b}`, single braces are text, and so is a prompt that is a JSON object.
    """
    builder = row.builder
    axes = axes_of(builder.task)
    text = row.prompt if row.variables else _escape(row.prompt)
    number = count(text, row.variables, axes)
    if number > SWEEP_LIMIT:
        raise UsageError(f"one prompt with its sweeps makes {number:,} tasks; the limit is {SWEEP_LIMIT:,}")
    for variant in expand(text, row.variables, axes):
        chosen = Choices(**variant.options)  # type: ignore[arg-type]  # `axes_of` gave each its type
        request = builder.build(variant.prompt, chosen)
        yield Draft(request, row.output, variant.variables, row.id, builder.random_seed, row.metadata)


def _escape(prompt: str) -> str:
    """Return a prompt of a row without variables as a template. Raise UsageError for a choice without an end."""
    if _is_json_object(prompt):
        return prompt.replace("{", "{{").replace("}", "}}")
    if _GROUP.search(prompt):
        return prompt
    if open_choice := _OPEN_CHOICE.search(prompt):
        raise UsageError(
            f"unclosed choice {quoted(open_choice.group(), 40)}", hint="Write {a|b}, or {{ for a literal brace"
        )
    return _BRACE.sub(lambda brace: brace.group() if len(brace.group()) == 2 else brace.group() * 2, prompt)


def _is_json_object(prompt: str) -> bool:
    """Return whether a prompt is a JSON object, as Black Forest Labs recommends for Flux."""
    try:
        return prompt.lstrip().startswith("{") and isinstance(json.loads(prompt), dict)
    except (ValueError, RecursionError):
        return False


def row_reader(session: Session, given: Given, body: JsonObject, save: SaveOptions) -> Drafts:
    """Return a function that reads the rows of a batch file.

    given, body (the content of `--input`), save: apply to rows that do not set their own.
    """

    def read(row: Row) -> Iterator[Draft]:
        values: dict[str, Value] = {}
        for field, value in row.fields.items():
            long = field.replace("_", "-").casefold()
            if long in values:
                raise UsageError(f"{quoted(long, 40)} is given twice")
            values[long] = value
        op = _word("op", values.pop("op", "gen"))
        name = values.pop("id", None)
        command = COMMANDS.get(op)
        if command is None:
            raise UsageError(f"unknown op {quoted(op, 40)}", hint=suggestion(op, COMMANDS))
        problems = _unknown(command, values)
        own = read_group(command, values, problems)
        # A size on the command line applies to rows whose images can have one.
        fitting = given if own is None or own.takes_size else given.with_groups(SizeOptions())
        groups = _groups(command, fitting, values, problems)
        own_save = change_group(save, {name: value for name, value in values.items() if name in OF_A_ROW}, problems)
        _check_output(values, own_save, problems)
        if problems or own is None:
            raise UsageError.of(problems)
        prompt = own.required_prompt
        builder = request_builder(session, own, groups, body)
        label, metadata = None if name is None else _word("id", name), not own_save.no_metadata
        return drafts_of(PromptRow(prompt, builder, own_save.output, {}, label, metadata))

    return read


def _groups(command: type[Parameters], given: Given, values: Mapping[str, Value], problems: Problems) -> Given:
    """Return the options of the row, and those of the command where it has none."""
    # Like the setting, a model for all rows applies to operations that it supports.
    given = given.with_groups(replace(given.task, model=None))
    if values.keys() & parameters(SizeOptions).keys():  # they override every size option of the command
        given = given.with_groups(SizeOptions())
    return Given().with_groups(*(change_group(given.get(group), values, problems) for group in command.groups))


def _unknown(command: type[Parameters], values: Mapping[str, Value]) -> Problems:
    """Return the errors in the names of a row's values."""
    known = [*parameters(command), *OF_A_ROW]
    known += [name for group in command.groups for name in parameters(group) if name not in NOT_OF_A_ROW]
    of_the_command = {name for group in OF_THE_COMMAND for name in parameters(group)} | set(NOT_OF_A_ROW)
    problems: Problems = []
    for name in values:
        if name in known:
            continue
        if name in of_the_command:
            problems.append(f"{name} is an option of the command, not of a row")
            continue
        hint = guess(name, [*known, "op", "id"])
        problems.append(UsageError(f"unknown option {quoted(name, 40)} for this op", hint=hint))
    return problems


def _check_output(values: Mapping[str, Value], save: SaveOptions, problems: Problems) -> None:
    if "output" in values and save.output is not None:
        try:
            check_inside(save.output)
        except UsageError as error:
            problems.append(error)


def _word(name: str, value: Value) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    raise UsageError(f"{name} is not a word")


def request_builder(session: Session, own: Parameters, given: Given, body: JsonObject) -> RequestBuilder:
    """Return the builder of a command's or row's requests. `body` is the content of `--input`. Raise UsageError."""
    catalog = session.catalog
    images = RequestImages(session.inputs, session.settings.text("dialect"), fit=not given.inputs.no_fit)
    context = BuildContext(images.find, images.find_masked, catalog.loras, catalog.controls)
    return RequestBuilder(
        catalog,
        session.settings.with_options(given.task.settings()),
        given.task,
        given.size,
        Overrides.parse(given.task.overrides, body),
        own.build(given, context),
    )
