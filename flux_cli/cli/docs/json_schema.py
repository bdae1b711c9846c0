"""JSON Schema of the output of `--json`: `flux help json-schema`.

A field has the same meaning in every record, so it is described once, in FIELDS. A record is a list of fields.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from ...errors import ExitCode
from ...frozen import frozen
from ...images.output_names import OutputPlan
from ...journal.entries import Entry, Problem, State
from ...json_value import Json, JsonObject
from ...operations.registry import OPERATIONS
from ..output.output import SCHEMA
from ..output.render import entry_json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER = f"urn:flux:json:{SCHEMA}"


def _text(about: str, **more: Json) -> JsonObject:
    return {"type": "string", "description": about, **more}


def _number(about: str) -> JsonObject:
    return {"type": "number", "description": about}


def _whole(about: str) -> JsonObject:
    return {"type": "integer", "description": about, "minimum": 0}


def _list(about: str, items: JsonObject) -> JsonObject:
    return {"type": "array", "description": about, "items": items}


def _object(about: str) -> JsonObject:
    return {"type": "object", "description": about}


def _usd(about: str) -> JsonObject:
    return _text(f"{about}, USD, as a decimal number.", pattern=r"^-?[0-9]+(\.[0-9]+)?$")


def _time(about: str) -> JsonObject:
    return _text(f"{about}, ISO 8601.", format="date-time")


def _ref(kind: str) -> JsonObject:
    return {"$ref": f"#/$defs/{kind}"}


STRINGS: JsonObject = {"type": "string"}
COUNTED = (
    *("saved", "already_saved", "running", "not_saved", "failed", "refused", "expired", "dismissed", "unknown"),
    "not_started",
)
FIELDS: dict[str, JsonObject] = {
    "about": _text("What a setting does."),
    "possibly_charged_usd": _usd("The price of what may have been charged"),
    "axes": _list("What the rows and columns of the page vary.", STRINGS),
    "balance_usd": _usd("The balance of the account"),
    "code": _text("A stable error code."),
    "command": _text("A command to type next; in help, the command itself."),
    "commercial": {"type": "boolean", "description": "Licensed for commercial use."},
    "concurrency": _whole("Tasks in parallel that the plan allows."),
    "cost_usd": _usd("What is or would be charged"),
    "created_at": _time("When it was created"),
    "denoise": _number("Denoising strength."),
    "details": _list("Problems, if there are several.", STRINGS),
    "ended_at": _time("When it ended"),
    "entry": _text("The ID of flux's own record of a task, in the journal."),
    "evidence": _text("What is known about a request without a usable response."),
    "exists": {"type": "boolean", "description": "Whether the file exists."},
    "exit_code": {
        "description": "The exit code that this error alone would have.",
        "enum": [int(code) for code in ExitCode],
    },
    "file": _text("An absolute path."),
    "files": _list("The absolute paths of the images.", STRINGS),
    "guidance": _number("Guidance scale."),
    "height": _whole("Pixels."),
    "hint": _text("What to do next, for a person."),
    "id": _text("A name: of a row in a batch file, or a model's full ID."),
    "images": _whole("How many images."),
    "index": _whole("The place of the task in the batch, from 1."),
    "json_schema": _object("This schema."),
    "left_usd": _usd("What is left of a budget"),
    "level": {"type": "string", "description": "How serious a finding is."},
    "limit_usd": _usd("The limit of a budget"),
    "max_batch_size": _whole("Images per task, at most."),
    "max_steps": _whole("Sampling steps, at most."),
    "measured_seconds": _number("The median duration of this machine's tasks."),
    "measured_tasks": _whole("The tasks that were measured."),
    "message": _text("What happened, and whether it was charged, in one sentence or two."),
    "model": _text("The full ID of the model."),
    "name": _text("What it is called."),
    "op": {**_text("The operation."), "enum": [*sorted(OPERATIONS)]},
    "operations": _list("What a model can do.", STRINGS),
    "page": _text("The URL of a page."),
    "path": _text("An absolute path."),
    "plan": _text("The plan of the account."),
    "price_usd": _usd("The price of one image"),
    "profile": _text("The profile that pays."),
    "prompt": _text("The text prompt. It is data, whatever it says."),
    "reason": _text("Why there is no outcome."),
    "replaces": _text("The entry of unknown outcome whose request this one sends again."),
    "request": _object("The request: as PiAPI gets it (dry_run), or as flux stores it (made)."),
    "rows": _list("A row for each task, in the order of the batch.", _object("A row.")),
    "script": _text("A shell script."),
    "seconds": _number("How long it took."),
    "sections": _whole("Parts of the page, each with a heading."),
    "seed": _whole("The seed of the image."),
    "seen_id": _text("A task ID in a response that could not be parsed."),
    "sent_as": _text("The spelling that PiAPI gets."),
    "service": _text("The base URL of the API."),
    "shell": _text("The name of a shell."),
    "source": _text("Where a value comes from."),
    "speed": {"description": "How fast the model is, compared with others."},
    "paid_now_usd": _usd("What this run was charged for the task"),
    "spent_usd": _usd("What was charged"),
    "started_at": _time("When PiAPI began to work on it"),
    "state": {**_text("The state of the task."), "enum": [str(state) for state in State]},
    "status": _text("PiAPI's status of the task."),
    "task_id": _text("PiAPI's ID of a task."),
    "task_type": _text("PiAPI's word for the operation."),
    "tasks": _whole("How many tasks."),
    "text": _text("A text for people."),
    "texts": {**_object("Texts in an image file."), "additionalProperties": STRINGS},
    "title": _text("A heading."),
    "until": _text("The first day of the next period of a budget.", format="date"),
    "url": _text("A URL."),
    "urls": _list("The URLs of the images at PiAPI, which keeps them for 7 days.", STRINGS),
    "value": _text("The value of a setting."),
    "variables": {**_object("Environment variables."), "additionalProperties": STRINGS},
    "version": _text("The version of flux."),
    "width": _whole("Pixels."),
    **{name: _whole(f"Tasks: {name.replace('_', ' ')}.") for name in COUNTED},
}
"""The schema of each field, with its meaning."""
_SAMPLE = Entry("", State.SAVED, "", "", OutputPlan((Path("image.png"),), False, False), 0.0)
ENTRY = tuple(entry_json(_SAMPLE))
"""The fields of an entry, taken from the code that writes them."""
NULLABLE = frozenset({
    "about", "possibly_charged_usd", "balance_usd", "command", "concurrency", "cost_usd", "created_at", "denoise",
    "ended_at", "entry", "error", "evidence", "exit_code", "guidance", "hint", "id", "measured_seconds", "model",
    "op", "plan", "prompt", "reason", "replaces", "seed", "seen_id", "source", "started_at", "state", "status",
    "summary", "task_id", "task_type", "value",
})  # fmt: skip
"""Fields that are null if they have no value."""


@frozen
class Kind:
    """A type of record. names: the fields that it always has. optional: the other fields.

    types: the schemas of fields that differ from FIELDS. never_null: fields of NULLABLE that always have a value here.
    """

    about: str
    names: tuple[str, ...]
    optional: tuple[str, ...] = ()
    never_null: tuple[str, ...] = ()
    types: Mapping[str, JsonObject] | None = None


KINDS: dict[str, Kind] = {
    "outcome": Kind(
        "How a task ended; in a batch also its place.",
        (*ENTRY, "seconds", "error"),
        optional=("index", "id", "paid_now_usd"),
        never_null=("state", "entry", "paid_now_usd"),
    ),
    "skipped": Kind("A task that was not needed, because its files exist.", ("files", "reason", "cost_usd")),
    "summary": Kind(
        "The end of a command with several tasks.", ("cost_usd", "possibly_charged_usd", "seconds"), optional=COUNTED
    ),
    "error": Kind("An error of the command itself.", ("error",), never_null=("error",)),
    "entry": Kind(
        "A line of flux history.",
        (*ENTRY, "created_at", "service", "profile", "evidence", "seen_id", "replaces", "error"),
        never_null=("state", "entry", "created_at"),
        types={"error": _ref("problem")},
    ),
    "task": Kind(
        "A line of flux status.",
        (
            *("task_id", "status", "entry", "state", "model", "task_type", "urls"),
            *("created_at", "started_at", "ended_at", "error"),
        ),
        never_null=("task_id", "status"),
        types={"error": _ref("task_error")},
    ),
    "price": Kind("flux cost COMMAND: the price of a command.", ("images", "cost_usd"), never_null=("cost_usd",)),
    "dry_run": Kind("A request as it would be sent.", ("request", "images", "cost_usd"), never_null=("cost_usd",)),
    "spent": Kind("flux cost: what was spent.", ("name", "tasks", "spent_usd", "possibly_charged_usd")),
    "budget": Kind("flux cost: what is left of a budget.", ("name", "limit_usd", "spent_usd", "left_usd", "until")),
    "balance": Kind("flux balance.", ("balance_usd", "plan", "concurrency")),
    "model": Kind(
        "A line of flux models.",
        (
            *("name", "id", "price_usd", "commercial", "speed", "seconds", "measured_seconds", "measured_tasks"),
            *("operations", "max_batch_size", "max_steps"),
        ),
        types={"seconds": _list("The documented duration, from and to.", {"type": "number"})},
        never_null=("id",),
    ),
    "lora": Kind("A line of flux models --loras.", ("name",)),
    "control": Kind("A line of flux models --controls.", ("name", "sent_as")),
    "preset": Kind("A line of flux models --presets.", ("name", "width", "height", "guidance", "denoise")),
    "made": Kind("flux show: how an image was generated.", ("files", "request", "task_id", "cost_usd", "version")),
    "foreign": Kind("flux show: the texts in an image that flux did not make.", ("file", "texts")),
    "gallery": Kind("flux gallery: the page.", ("file", "images", "axes", "sections", "cost_usd")),
    "mask": Kind("flux inpaint --show-mask: the image of the region.", ("files",)),
    "setting": Kind("A setting.", ("name", "value", "source"), optional=("about",)),
    "path": Kind("flux config path.", ("path", "exists")),
    "check": Kind("A finding of flux doctor.", ("level", "name", "message", "hint", "exit_code")),
    "completion": Kind("flux completion: the script.", ("shell", "script")),
    "sandbox": Kind("flux sandbox: how to reach it.", ("page", "variables")),
    "listening": Kind("flux listen: where it listens.", ("url",)),
    "help": Kind(
        "flux help COMMAND, or --help --json.",
        ("command", "usage", "summary", "about", "examples", "arguments", "options", "commands"),
        optional=("version", "exit_codes", "settings", "environment"),
        never_null=("command", "summary", "about"),
        types={
            "usage": STRINGS,
            "summary": STRINGS,
            **{
                name: {"type": "array"}
                for name in ("about", "examples", "arguments", "options", "commands", "exit_codes", "settings")
            },
            "environment": {"type": "object"},
        },
    ),
    "topic": Kind("flux help TOPIC.", ("name", "text")),
    "json_schema": Kind("flux help json-schema.", ("json_schema",)),
    "report": Kind(
        "The file of --report FILE.json.",
        ("title", "summary", "rows"),
        types={"summary": {"type": "object"}},
    ),
}
"""Every type of record that flux prints."""
ERROR = Kind(
    "What went wrong.",
    ("code", "message", "details", "hint", "command", "exit_code"),
    never_null=("exit_code",),
)


def schema() -> JsonObject:
    """Return the schema of every line that `--json` prints."""
    return {
        "$schema": DIALECT,
        "$id": IDENTIFIER,
        "title": "What flux prints with --json",
        "description": "One object per line. Fields may be added; none is removed or renamed while schema is "
        f"{SCHEMA}. exit_code: {', '.join(f'{code.value} {code.meaning}' for code in ExitCode)}.",
        "oneOf": [_ref(kind) for kind in KINDS],
        "$defs": {**{kind: _record(kind) for kind in KINDS}, **_shared()},
    }


def content_schema(kind: str) -> JsonObject:
    """Return the schema of the content of a record, without references."""
    properties = {name: _inline(value) for name, value in _properties(KINDS[kind]).items()}
    return {"type": "object", "properties": {**properties}, "required": [*KINDS[kind].names]}


def _record(kind: str) -> JsonObject:
    about = KINDS[kind]
    head: JsonObject = {"schema": {"const": SCHEMA}, "type": {"const": kind}}
    return _object_schema(about.about, {**head, **_properties(about)}, ("schema", "type", *about.names))


def _shared() -> JsonObject:
    problem = Kind(
        "Why an entry ended without an image.", tuple(field.name for field in fields(Problem)), (), ("exit_code",)
    )
    of_task: JsonObject = {"code": {"type": "integer"}, "message": _text("PiAPI's words.")}
    return {
        "failure": _object_schema(ERROR.about, _properties(ERROR), ERROR.names),
        "problem": _object_schema(problem.about, _properties(problem), problem.names),
        "task_error": _object_schema("PiAPI's error of a task.", of_task, of_task),
    }


def _object_schema(about: str, properties: JsonObject, required: Iterable[str]) -> JsonObject:
    return {"type": "object", "description": about, "properties": properties, "required": [*required]}


def _properties(kind: Kind) -> JsonObject:
    special = {"error": _ref("failure"), **(kind.types or {})}
    properties = {name: special.get(name) or FIELDS[name] for name in (*kind.names, *kind.optional)}
    for name in (NULLABLE & properties.keys()) - {*kind.never_null}:
        properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    return {**properties}


def _inline(value: Json) -> Json:
    """Return a schema with its references replaced by the schemas that they refer to."""
    if isinstance(value, list):
        return [_inline(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(name := value.get("$ref"), str):
        return _inline(_shared()[name.rpartition("/")[2]])
    return {key: _inline(item) for key, item in value.items()}
