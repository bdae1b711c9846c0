"""The tools for agents: names, descriptions and JSON Schemas, generated from the options of the command line."""

from collections.abc import Mapping
from decimal import Decimal

from ..cli.docs.json_schema import KINDS, content_schema
from ..cli.model_limits import describe_limits, fill_limits
from ..cli.output.output import SCHEMA
from ..errors import UsageError
from ..frozen import frozen
from ..journal.entries import State
from ..json_value import Json, JsonObject, object_at
from ..operations.parameters import Option, Parameter, parameters
from ..operations.registry import PARAMETERS
from ..text import clean, guess, suggestion, usd

DEFAULT_WAIT = 45.0
"""The default wait of `generate`, because many clients time out after a minute."""
LONGEST_WAIT = 900.0
DEFAULT_LIMIT, LARGEST_LIMIT = 20, 200
"""The default and the largest number of entries that `history` returns."""
NOT_FOR_AGENTS = frozenset({"webhook", "webhook-secret-file", "set", "input", "service-mode", "show-mask"})
"""Options that change the billing, send data elsewhere, read files other than images, or bypass the checks."""
DESCRIPTIONS = {
    "prompt": "Text prompt, {prompt_characters} characters. {with_default} have a default.",
    "image": "Input image: an absolute path, a URL, @ID of an entry, or @last for the newest image.",
    "model": "Short name, full ID, or auto; the tool models lists them with their prices.",
    "seed": "The same seed and options reproduce the image; another one makes another image. Default: random.",
    "lora": "LoRAs by name or URL, each NAME or NAME:STRENGTH. op lora requires at least one.",
    "control": "Images whose pose, depth or edges to follow, each TYPE=IMG or TYPE=IMG:STRENGTH.",
    "mask": "Mask image of the same size, an absolute path; white areas are regenerated.",
}
"""Descriptions that replace those of the command line."""
SYNONYMS = {
    "batch_size": ("n", "num_images", "num_outputs"),
    "aspect": ("aspect_ratio",),
    "guidance": ("guidance_scale",),
    "steps": ("num_inference_steps",),
    "denoise": ("prompt_strength",),
    "image": ("image_url", "init_image", "input_image", "reference_image"),
    "mask": ("mask_image",),
    "output": ("filename", "path", "output_path"),
    "wait_seconds": ("timeout",),
    "max_cost": ("budget",),
    "id": ("task_id", "entry"),
}
"""Names that agents guess, by the right argument."""
MONEY: JsonObject = {"type": "string", "description": "USD, as a decimal number."}
AFTER: dict[str, JsonObject] = {
    "paid_now_usd": {
        **MONEY,
        "description": "What this call has spent or may have spent, USD; 0 if it was paid before.",
    },
    "budget_left_usd": {**MONEY, "description": "What is left of the budget, USD."},
    "next": {"type": ["string", "null"], "description": "What to do next; null if nothing is left to do."},
}
"""The fields of a call's result besides those of the command line's record."""


@frozen
class SpendingLimits:
    """The spending limits of the server in USD. max_cost: per call. budget: for all calls until the server ends."""

    max_cost: Decimal
    budget: Decimal


@frozen
class ToolSchema:
    """A tool. pays: whether a call may cost money. output: the schema of its structured result."""

    name: str
    title: str
    description: str
    properties: JsonObject
    output: JsonObject
    required: tuple[str, ...] = ()
    pays: bool = False

    @property
    def input(self) -> JsonObject:
        """The JSON Schema of its arguments."""
        schema: JsonObject = {"type": "object", "properties": self.properties, "additionalProperties": False}
        return {**schema, "required": list(self.required)} if self.required else schema


def tool_schemas(limits: SpendingLimits, *, sandbox: bool) -> tuple[ToolSchema, ...]:
    """Return the tools of a server with these limits."""
    return (
        _generate_schema(limits, sandbox=sandbox),
        ToolSchema(
            "price",
            "Price of an image",
            "Return what a call of generate with these arguments would cost at most, and what is left of the budget. "
            "Nothing is sent.",
            _request_properties(),
            _result_schema("price", max_cost_usd=MONEY, budget_left_usd=MONEY),
        ),
        ToolSchema(
            "status",
            "Status of a task",
            "Check a task, wait for it if you like, and save its images as soon as they are ready. Free.",
            {
                "id": {"type": "string", "description": "The entry or the task_id that generate or history returned."},
                "wait_seconds": _wait_property(0),
            },
            _result_schema("outcome", **AFTER),
            required=("id",),
        ),
        ToolSchema(
            "history",
            "Past tasks",
            "List past tasks, newest first, with their state, images and cost. Free.",
            {
                "state": {"type": "string", "enum": [str(state) for state in State], "description": "Only this state."},
                "limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT},
            },
            _result_schema("history", entries=_list_schema("entry")),
        ),
        ToolSchema(
            "models",
            "Models and prices",
            "List the models: price, license, speed, operations and limits. Free.",
            {},
            _result_schema("models", models=_list_schema("model")),
        ),
    )


def _generate_schema(limits: SpendingLimits, *, sandbox: bool) -> ToolSchema:
    cost = f"It costs money: at most {usd(limits.max_cost)} per call and {usd(limits.budget)} until the server ends."
    if sandbox:
        cost = "Free: this server uses the sandbox, whose images are placeholders."
    purposes = "; ".join(f"{name} {command.purpose}" for name, command in PARAMETERS.items())
    return ToolSchema(
        "generate",
        "Generate or edit an image",
        f"Generate or edit an image, wait for it, and return its absolute path. {cost} "
        f"op: {purposes}. Safe to repeat: the same arguments within a day return the same image and cost nothing, and "
        "a call that was cut off is continued. For another image of the same prompt pass another seed.",
        {**_request_properties(), **_call_properties(limits)},
        _result_schema("outcome", **AFTER),
        pays=True,
    )


def check_names(tool: ToolSchema, arguments: Mapping[str, object]) -> None:
    """Raise UsageError, with suggestions, for arguments that a tool does not have."""
    problems = [
        UsageError(f"unknown argument {clean(name, 40)!r}", hint=_suggest(name, tool))
        for name in arguments
        if name not in tool.properties
    ]
    if problems:
        raise UsageError.of(problems)


def _suggest(name: str, tool: ToolSchema) -> str | None:
    other = next((argument for argument, names in SYNONYMS.items() if name.casefold() in names), None)
    return f"Did you mean {other}?" if other in tool.properties else guess(name, tool.properties)


def check_operation(op: str, arguments: Mapping[str, object]) -> None:
    """Raise UsageError for an unknown operation, or for arguments that belong to other operations."""
    if op not in PARAMETERS:
        raise UsageError(f"unknown op {clean(op, 40)!r}", hint=suggestion(op, PARAMETERS))
    options = _options()
    if problems := [
        f"{name} is not for op {op}, but for {', '.join(options[name][1])}"
        for name, value in arguments.items()
        if value is not None and name in options and op not in options[name][1]
    ]:
        raise UsageError.of(problems)


def _options() -> dict[str, tuple[Parameter, list[str]]]:
    """Return the options that an agent may use, by their names in Python, each with the operations that have it."""
    found: dict[str, tuple[Parameter, list[str]]] = {}
    for op, command in PARAMETERS.items():
        for group in (command, *command.groups):
            for long, parameter in parameters(group).items():
                if long not in NOT_FOR_AGENTS:
                    found.setdefault(long.replace("-", "_"), (parameter, []))[1].append(op)
    return found


def _request_properties() -> JsonObject:
    """Return the properties of a request: the operation, and the options of all operations."""
    properties: JsonObject = {
        "op": {"type": "string", "enum": list(PARAMETERS), "default": "gen", "description": "The operation."}
    }
    with_default = " and ".join(op for op, command in PARAMETERS.items() if command.default_prompt is not None)
    words = {**describe_limits("batch"), "with_default": with_default.capitalize()}  # the limits over all operations
    for name, (parameter, operations) in _options().items():
        text = fill_limits(DESCRIPTIONS.get(name) or parameter.about.help or "", words)
        only = "" if len(operations) == len(PARAMETERS) else f" Only for {', '.join(operations)}."
        properties[name] = {**_type_of(parameter), "description": f"{text}{only}"}
    return properties


def _type_of(parameter: Parameter) -> JsonObject:
    about, kinds = parameter.about, parameter.kinds
    if list in kinds:
        return {"type": "array", "items": {"type": "string"}}
    names: dict[object, str] = {bool: "boolean", int: "integer", float: "number"}
    if isinstance(about, Option) and about.sweep:
        return {"type": names[about.sweep]}
    schema: JsonObject = {"type": next((name for kind, name in names.items() if kind in kinds), "string")}
    if isinstance(about, Option):
        bounds = {"minimum": about.min, "maximum": about.max}
        schema |= {name: value for name, value in bounds.items() if value is not None}
    return schema


def _call_properties(limits: SpendingLimits) -> JsonObject:
    return {
        "output": {
            "type": "string",
            "description": "File name inside the server's output directory, or a template such as '{slug}-{seed}.png'.",
        },
        "max_cost": {
            "type": "number",
            "description": f"Fail before anything is sent if the price is higher, USD; at most {limits.max_cost}.",
        },
        "wait_seconds": _wait_property(DEFAULT_WAIT),
        "retry_failed": {
            "type": "boolean",
            "description": "If this same request failed before: submit it again, and pay again.",
        },
    }


def _wait_property(default: float) -> JsonObject:
    about = "How long to wait for the images. The task keeps running afterward; status checks it again."
    return {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "default": default, "description": about}


def _result_schema(kind: str, **more: JsonObject) -> JsonObject:
    """Return the schema of a result: the command line's record of this kind, if there is one, and `more`; or an error.

    The error is part of it, because some clients validate the results of failed calls too.
    """
    content = object_at(content_schema(kind), "properties") if kind in KINDS else {}
    optional = KINDS[kind].optional if kind in KINDS else ()
    required: list[Json] = [name for name in (*content, *more) if name not in optional]
    return {
        "type": "object",
        "properties": {
            "schema": {"const": SCHEMA},
            "type": {"enum": [kind, "error"]},
            **object_at(content_schema("error"), "properties"),
            **content,
            **AFTER,
            **more,
        },
        "required": ["schema", "type"],
        "anyOf": [
            {"properties": {"type": {"const": kind}}, "required": required},
            {"properties": {"type": {"const": "error"}}, "required": ["error", "next"]},
        ],
    }


def _list_schema(kind: str) -> JsonObject:
    return {"type": "array", "items": content_schema(kind)}
