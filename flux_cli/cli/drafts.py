"""The tasks that a prompt or a row of a batch file asks for.

A line of a prompt file has only a prompt; a row of a batch file is a command line of its own, whose defaults are the
options of the command that reads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..batch.input_images import RequestImages
from ..batch.plan import Draft
from ..batch.prompts import Row
from ..batch.request_builder import Choices, Overrides, RequestBuilder, axes_of
from ..batch.sweeps import count, escape_braces, expand
from ..errors import Problems, UsageError
from ..images.output_names import check_inside
from ..json_value import JsonObject
from ..operations.base import BuildContext, Parameters
from ..operations.options import SharedOptions, SizeOptions
from ..operations.parameters import Value, change_group, parameters, read_group
from ..operations.registry import PARAMETERS
from ..text import guess, quoted, suggestion
from .common_options import CommonOptions
from .options import ManyOptions, SaveOptions, SubmitOptions, WaitOptions
from .session import Session

ROW_OPTIONS = ("output", "no-metadata")
"""Options about saving that a row may have; the directory is an option of the whole command."""
COMMAND_GROUPS = (CommonOptions, SaveOptions, WaitOptions, SubmitOptions, ManyOptions)
COMMAND_OPTIONS = ("webhook-secret-file", "input")
"""Options of a request that name a file for all rows: the secret is read when a request is sent and stored nowhere, and
an untrusted row must not add a file of this machine to its request."""
SWEEP_LIMIT = 100_000
"""Tasks of one prompt: groups multiply quickly."""
Variables = Mapping[str, Sequence[str]]


def make_drafts(
    prompt: str, builder: RequestBuilder, save: SaveOptions, variables: Variables, name: str | None = None
) -> Iterator[Draft]:
    """Yield the tasks of a prompt: several if it, or a number of its options, is a sweep.

    variables: the values of `{name}` in the prompt. Without any, and without `{a|b}`, single braces are text, and so is
    a prompt that is a JSON object. name: the ID of the row.
    """
    axes = axes_of(builder.task)
    text = prompt if variables else escape_braces(prompt)
    number = count(text, variables, axes)
    if number > SWEEP_LIMIT:
        raise UsageError(f"one prompt with its sweeps makes {number:,} tasks; the limit is {SWEEP_LIMIT:,}")
    output = None if save.to_stdout else save.output
    for variant in expand(text, variables, axes):
        chosen = Choices(**variant.options)  # type: ignore[arg-type]  # `axes_of` gave each its type
        request = builder.build(variant.prompt, chosen)
        yield Draft(request, output, variant.variables, name, builder.random_seed, not save.no_metadata)


def read_row(
    session: Session, shared: SharedOptions, input_fields: JsonObject, save: SaveOptions, row: Row
) -> Iterator[Draft]:
    """Return the tasks of a row of a batch file.

    shared, input_fields (of `--input`), save: apply to rows that do not set their own.
    """
    values: dict[str, Value] = {}
    for field, value in row.fields.items():
        long = field.replace("_", "-").casefold()
        if long in values:
            raise UsageError(f"{quoted(long, 40)} is given twice")
        values[long] = value
    op = _word("op", values.pop("op", "gen"))
    name = values.pop("id", None)
    command = PARAMETERS.get(op)
    if command is None:
        raise UsageError(f"unknown op {quoted(op, 40)}", hint=suggestion(op, PARAMETERS))
    problems = _unknown(command, values)
    own = read_group(command, values, problems)
    # A size on the command line applies to rows whose images can have one.
    fitting = shared if own is None or own.takes_size else shared.with_groups(SizeOptions())
    groups = _groups(command, fitting, values, problems)
    own_save = change_group(save, {name: value for name, value in values.items() if name in ROW_OPTIONS}, problems)
    if "output" in values and own_save.output is not None:
        try:
            check_inside(own_save.output)
        except UsageError as error:
            problems.append(error)
    if problems or own is None:
        raise UsageError.of(problems)
    prompt = own.required_prompt
    builder = make_request_builder(session, own, groups, input_fields)
    return make_drafts(prompt, builder, own_save, {}, None if name is None else _word("id", name))


def _groups(
    command: type[Parameters], shared: SharedOptions, values: Mapping[str, Value], problems: Problems
) -> SharedOptions:
    """Return the options of the row, and those of the command where it has none."""
    # Like the setting, a model for all rows applies to operations that it supports.
    shared = shared.with_groups(replace(shared.task, model=None))
    if values.keys() & parameters(SizeOptions).keys():  # they override every size option of the command
        shared = shared.with_groups(SizeOptions())
    return SharedOptions().with_groups(*(change_group(shared.get(group), values, problems) for group in command.groups))


def _unknown(command: type[Parameters], values: Mapping[str, Value]) -> Problems:
    """Return the errors in the names of a row's values."""
    known = [*parameters(command), *ROW_OPTIONS]
    known += [name for group in command.groups for name in parameters(group) if name not in COMMAND_OPTIONS]
    of_the_command = {name for group in COMMAND_GROUPS for name in parameters(group)} | set(COMMAND_OPTIONS)
    problems: Problems = []
    for name in values:
        if name in known:
            continue
        if name in of_the_command:
            problems.append(f"{name} is an option of the command, not of a row")
            continue
        hint = guess(name, [*known, "op", "id"])
        problems.append(UsageError(f"unknown field {quoted(name, 40)} for op {command.name}", hint=hint))
    return problems


def check_column(name: str) -> UsageError | None:
    """Return the error for a column of CSV that no operation has."""
    known = {"op", "id", *ROW_OPTIONS, *COMMAND_OPTIONS}
    known |= {field for group in COMMAND_GROUPS for field in parameters(group)}
    known |= {
        field for command in PARAMETERS.values() for group in (command, *command.groups) for field in parameters(group)
    }
    if name.replace("_", "-").casefold() in known:
        return None
    return UsageError(f"unknown column {quoted(name, 40)}", hint=guess(name, known))


def _word(name: str, value: Value) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    raise UsageError(f"{name} is not a word")


def make_request_builder(
    session: Session, own: Parameters, shared: SharedOptions, input_fields: JsonObject
) -> RequestBuilder:
    """Return the builder of a command's or row's requests. input_fields: of `--input`. Raise UsageError."""
    catalog = session.catalog
    if shared.task.model is None:
        session.check_model()
    images = RequestImages(session.inputs, session.settings.text("dialect"), fit=not shared.inputs.no_fit)
    context = BuildContext(images.find, images.find_masked, catalog.loras, catalog.controls)
    return RequestBuilder(
        catalog,
        session.settings.with_options(shared.task.settings()),
        shared.task,
        shared.size,
        Overrides.parse(shared.task.overrides, input_fields),
        own.build(shared, context),
    )
