"""The tools. A call always returns a result. An error states what happened and what to do next."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

from ..cli.commands.history import history
from ..cli.commands.models import models
from ..cli.common_options import CommonOptions
from ..cli.options import SaveOptions
from ..cli.output.output import SCHEMA, Record
from ..cli.output.render import next_command, outcome_json
from ..cli.session import Session
from ..engine.events import Listener
from ..errors import ExitCode, FluxError, UsageError
from ..frozen import frozen
from ..images.output_names import check_inside
from ..journal.entries import State
from ..json_value import JsonObject, object_at, text_at
from ..piapi.task import is_task_id
from ..sdk import keywords as kw
from ..sdk.calls import CallOptions, CallResult, Calls, open_session
from ..text import clean, parse_usd
from .tool_schemas import (
    DEFAULT_LIMIT,
    DEFAULT_WAIT,
    LARGEST_LIMIT,
    LONGEST_WAIT,
    SpendingLimits,
    ToolSchema,
    check_names,
    check_operation,
)

OF_THE_CALL = ("op", "max_cost", "wait_seconds", "retry_failed")
"""Arguments of `generate` that are not options of an operation."""
NEXT = {
    ExitCode.BUG: "Stop and show the user the message.",
    ExitCode.USAGE: "Correct the arguments as the message says, then call again.",
    ExitCode.PARTIAL: "The image files that exist are listed. Ask the user before you pay for the missing ones.",
    ExitCode.CONFIG: "Stop and ask the user to fix the key or the configuration. Never ask for the key itself.",
    ExitCode.REFUSED: "Change the request; the same one would be refused again.",
    ExitCode.CREDITS: "Stop and inform the user that the account needs credits.",
    ExitCode.UNKNOWN_CHARGE: "Do not request this image again, in any wording: it may be paid already. Stop, and ask "
    "the user to run the command.",
    ExitCode.TASK_FAILED: "At most one more attempt, with another prompt or seed. It costs money again.",
    ExitCode.STILL_RUNNING: "It is paid already. Call status with this entry and wait_seconds, or repeat this call: "
    "both are free.",
    ExitCode.NOT_SAVED: "It is paid already. Call status with this entry later: that is free. Do not pay for it again.",
    ExitCode.DISK: "Fix the disk or the output, then repeat the call. What is paid already is not paid again.",
    ExitCode.JOURNAL: "Wait a few seconds, then call status with this entry, or repeat the call: neither pays twice.",
    ExitCode.NETWORK: "Wait, then repeat the call, at most three times.",
}
"""The next step for an agent, by the exit code of the error."""
NEXT_BY_CODE = {
    "too_expensive": "Do not split or repeat it to get around the limit. Choose a cheaper model, or ask the user, who "
    "sets --max-cost and --budget of flux mcp.",
    "queued": "Repeat the call when other tasks have ended.",
}
HINTS = {"too_expensive": None, "exists": "use another output"}
"""Hints that replace those of the command line, which mention options that a tool does not have."""


@frozen
class ToolResult:
    """The result of a call. record: its JSON. images: the files to show. failed: whether the call failed."""

    record: JsonObject
    images: tuple[Path, ...] = ()
    failed: bool = False


class Tools:
    """The tools of a server.

    common, settings: from the command line. limits: the spending limits of all calls.
    """

    def __init__(self, common: CommonOptions, settings: Mapping[str, str | None], limits: SpendingLimits) -> None:
        self._common, self._settings, self._limits = common, settings, limits
        self._opening = asyncio.Lock()
        self._calls: Calls | None = None

    async def close(self) -> None:
        """Cancel all calls, and wait until their state is recorded."""
        if self._calls:
            await self._calls.cancel()

    async def call(self, tool: ToolSchema, arguments: Mapping[str, object], listener: Listener) -> ToolResult:
        """Return the result of a call. listener: called with the events of its task."""
        arguments = {name: value for name, value in arguments.items() if value is not None}
        try:
            check_names(tool, arguments)
            match tool.name:
                case "generate":
                    return await self._generate(arguments, listener)
                case "status":
                    return await self._status(arguments, listener)
                case "price":
                    return ToolResult(await asyncio.to_thread(self._price, arguments))
                case "history":
                    return ToolResult(await asyncio.to_thread(self._history, arguments))
                case _:
                    return ToolResult(await asyncio.to_thread(self._models))
        except FluxError as error:
            return self._refusal(error, "Nothing was sent." if tool.pays else "")
        except Exception as error:
            message = f"a bug in flux: {type(error).__name__}: {error}"
            hint = "the journal is intact: the tool history shows what was paid"
            return self._refusal(FluxError(message, hint=hint, code="bug"), "")

    # --- the tools -------------------------------------------------------------------------------------------

    async def _generate(self, arguments: Mapping[str, object], listener: Listener) -> ToolResult:
        op = _operation(arguments)
        wait = _number(arguments, "wait_seconds", DEFAULT_WAIT, LONGEST_WAIT)
        most = self._limits.max_cost
        if "max_cost" in arguments:
            most = min(most, parse_usd(str(arguments["max_cost"]), "max_cost"))
        deadline = time.monotonic() + wait
        options = CallOptions(listener, deadline, repeats=True, retry_failed=bool(arguments.get("retry_failed", False)))
        calls = await self._open()
        return self._result(calls, await calls.make(op, {**_options(arguments), "max_cost": str(most)}, options))

    async def _status(self, arguments: Mapping[str, object], listener: Listener) -> ToolResult:
        word, wait = str(arguments.get("id", "")), _number(arguments, "wait_seconds", 0, LONGEST_WAIT)
        if not is_task_id(word):
            raise UsageError(f"id {clean(word, 60)!r} is not an entry or a task ID", hint="The tool history lists them")
        calls = await self._open()
        options = CallOptions(listener, time.monotonic() + wait)
        return self._result(calls, await calls.wait(word, SaveOptions(), options))

    def _price(self, arguments: Mapping[str, object]) -> JsonObject:
        op = _operation(arguments)
        with self._session() as session:
            request = kw.read_order(session, op, _options(arguments)).request
            price = session.catalog.price(request)
        return _record(
            "price",
            images=request.operation.batch_size,
            cost_usd=str(price),
            max_cost_usd=str(self._limits.max_cost),
            budget_left_usd=self._budget_left,
        )

    def _history(self, arguments: Mapping[str, object]) -> JsonObject:
        state = arguments.get("state")
        limit = int(_number(arguments, "limit", DEFAULT_LIMIT, LARGEST_LIMIT))
        with self._session() as session:
            lines = history(session, None if state is None else str(state), max(1, limit))
            return _record("history", entries=[line.content for line in lines if isinstance(line, Record)])

    def _models(self) -> JsonObject:
        with self._session() as session:
            return _record("models", models=[line.content for line in models(session) if isinstance(line, Record)])

    # --- results ---------------------------------------------------------------------------------------------

    def _result(self, calls: Calls, made: CallResult) -> ToolResult:
        outcome, error = made.outcome, made.outcome.error
        record = _record(
            "outcome",
            **_for_agents(outcome_json(calls.session.output, outcome)),
            paid_now_usd=str(made.paid),
            budget_left_usd=self._budget_left,
            next=self._next(calls.session, error, next_command(error, outcome.entry)) if error else None,
        )
        files = tuple(file.path for file in outcome.entry.files) if outcome.entry.state is State.SAVED else ()
        running = error is not None and error.exit_code is ExitCode.STILL_RUNNING
        return ToolResult(record, files, failed=error is not None and not running)

    def _refusal(self, error: FluxError, charge: str) -> ToolResult:
        """Return the result for an error before anything was sent."""
        with self._session() as session:
            facts = _for_agents({"error": session.output.error_json(error, charge, command=next_command(error, None))})
            steps = self._next(session, error, error.command)
        return ToolResult(_record("error", **facts, budget_left_usd=self._budget_left, next=steps), failed=True)

    def _next(self, session: Session, error: FluxError, command: tuple[str, ...]) -> str:
        steps = NEXT_BY_CODE.get(error.code) or NEXT.get(error.exit_code, NEXT[ExitCode.BUG])
        user = error.exit_code in (ExitCode.UNKNOWN_CHARGE, ExitCode.CONFIG) and command
        return f"{steps} Command for the user: {session.output.command_line(command)}" if user else steps

    @property
    def _budget_left(self) -> str:
        left = self._calls.ledger.left if self._calls else None
        return str(self._limits.budget if left is None else left)

    # --- sessions --------------------------------------------------------------------------------------------

    def _session(self) -> Session:
        """Return a new session, with the current key and settings of the user."""
        return open_session(self._common, os.environ, self._settings)

    async def _open(self) -> Calls:
        """Return the calls, and open them on first use. Raise ConfigError if there is no key, JournalError."""
        async with self._opening:
            if self._calls is None:
                calls = Calls(self._session(), self._limits.budget)
                await calls.open()
                self._calls = calls
            return self._calls


def _record(kind: str, **content: object) -> JsonObject:
    record: JsonObject = {"schema": SCHEMA, "type": kind}
    record.update(content)  # type: ignore[arg-type]
    return record


def _for_agents(content: JsonObject) -> JsonObject:
    """Return a record whose hint does not mention options of the command line."""
    error = object_at(content, "error")
    code = text_at(error, "code")
    return {**content, "error": {**error, "hint": HINTS[code]}} if code in HINTS else content


def _operation(arguments: Mapping[str, object]) -> str:
    op = str(arguments.get("op", "gen"))
    check_operation(op, arguments)
    if "output" in arguments:
        check_inside(str(arguments["output"]))
    return op


def _options(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if name not in OF_THE_CALL}


def _number(arguments: Mapping[str, object], name: str, default: float, most: float) -> float:
    value = arguments.get(name, default)
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise UsageError(f"{name} {clean(str(value), 40)!r} is not a number from 0 to {most:g}")
    return number
