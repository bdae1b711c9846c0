"""Failures that the sandbox can simulate, for example `create:429 times=2 retry-after=1`.

A fault is `TARGET:KIND [NAME=VALUE]...`: the requests it applies to, the failure, and its parameters. The tables below
define the grammar, the parser and the documentation (`flux sandbox --list-faults`).
"""

import random
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ..errors import UsageError
from ..frozen import frozen
from ..json_value import JsonObject
from ..text import guess, quoted

HTTP = {
    "create": "POST /api/v1/task",
    "get": "GET /api/v1/task/ID",
    "cancel": "DELETE /api/v1/task/ID",
    "upload": "POST /api/ephemeral_resource",
    "account": "GET /account/info and /account/active_tasks",
    "history": "GET /api/open/tasks/histories",
    "image": "GET of an image",
}
TARGETS = HTTP | {
    "task": "the work on a task; decided when the task is created",
    "webhook": "the delivery of a task's webhook",
}
"""The targets of faults."""


@frozen
class Fault:
    """A failure to simulate.

    text: as the user wrote it. kind: a name in KINDS. status: the HTTP status of the kind `status`.
    times: the number of failures; None for no limit. skip: the number of requests before the first failure.
    rate: the probability per request, 0 to 1. delay: the delay of the response in seconds.
    when: whether the failure happens `before` or `after` the request is carried out.
    retry_after: the value of the header in seconds; None for no header.
    code, message: those of the error; None and empty for the default.
    keep: the share of the response that is sent, 0 to 1.
    """

    text: str
    target: str
    kind: str = "delay"
    status: int = 0
    times: int | None = None
    skip: int = 0
    rate: float = 1.0
    delay: float = 0.0
    when: str = "after"
    retry_after: int | None = None
    code: int | None = None
    message: str = ""
    keep: float = 0.5


@frozen
class Kind:
    """A kind of failure.

    parameters: those besides COMMON. when: the default of `Fault.when`.
    """

    targets: tuple[str, ...]
    about: str
    parameters: tuple[str, ...] = ()
    when: str = "after"


@frozen
class Parameter:
    """A parameter, `NAME=VALUE`. parse: returns the value, or raises ValueError with the requirement."""

    value: str
    about: str
    parse: Callable[[str], object]


KINDS: Mapping[str, Kind] = {
    "status": Kind(
        tuple(HTTP),
        "an HTTP status, 400 to 599, with PiAPI's documented error",
        ("when", "retry-after", "code", "message"),
        when="before",
    ),
    "html": Kind(tuple(HTTP), "a web page with status 200", ("when",), when="before"),
    "drop": Kind(tuple(HTTP), "the connection closes without a response", ("when",)),
    "cut": Kind(tuple(HTTP), "the connection closes partway through the response", ("keep",)),
    "truncate": Kind(tuple(HTTP), "the response is shortened; Content-Length matches", ("keep",)),
    "delay": Kind(tuple(TARGETS), "the response is late; write delay=SECONDS", ("when",)),
    "stuck": Kind(("get", "task"), "status processing: for one poll (get), or forever (task)"),
    "empty": Kind(("get",), "completed, but no image is listed"),
    "capitals": Kind(("get",), "the status is capitalized: Completed"),
    "fail": Kind(("task",), "the task fails at the end of its run", ("code", "message")),
    "duplicate": Kind(("webhook",), "the webhook is delivered twice"),
    "lose": Kind(("webhook",), "the webhook is never delivered"),
}
COMMON = ("times", "skip", "rate", "delay")
"""The parameters of every kind."""


def duration(text: str) -> float:
    """Return seconds from `1.5`, `30s`, `10m`, `2h` or `7d`. Raise ValueError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)", text.strip(), re.ASCII)
    if not match:
        raise ValueError("a duration, for example 1.5, 30s, 10m, 2h or 7d")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _whole(text: str, low: int = 0) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) < low:
        raise ValueError(f"a whole number, {low} or more")
    return int(text)


def _share(text: str) -> float:
    if not re.fullmatch(r"[0-9]?\.?[0-9]{1,9}", text, re.ASCII) or not 0 <= float(text) <= 1:
        raise ValueError("a number from 0 to 1")
    return float(text)


def _when(text: str) -> str:
    if text not in ("before", "after"):
        raise ValueError("before or after")
    return text


PARAMETERS: Mapping[str, Parameter] = {
    "times": Parameter("N", "stop after N times", partial(_whole, low=1)),
    "skip": Parameter("N", "skip the first N requests", _whole),
    "rate": Parameter("P", "probability, 0 to 1", _share),
    "delay": Parameter("SECONDS", "delay of the response", duration),
    "when": Parameter("before|after", "before or after the task is created and charged", _when),
    "retry-after": Parameter("SECONDS", "the response header", _whole),
    "code": Parameter("N", "PiAPI's error code", _whole),
    "message": Parameter("TEXT", "the error message", str),
    "keep": Parameter("FRACTION", "fraction of the response that is sent, 0 to 1", _share),
}
"""All parameters, each of which is a field of Fault."""
EXAMPLES = (
    "create:429 times=2 retry-after=1",
    "create:drop rate=0.05",
    "create:drop when=before",
    "create:502 when=after skip=3 times=1",
    "get:stuck",
    "get:delay=5",
    "image:truncate times=1",
    "task:fail code=1800 rate=0.1",
    "webhook:duplicate",
)


def parse_fault(text: str) -> Fault:
    """Return the fault that a text describes. Raise UsageError."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise _error(text, "a quote is not closed") from None
    target, colon, first = words[0].partition(":") if words else ("", "", "")
    if not colon:
        raise _error(text, "expected TARGET:KIND", hint=f"for example: {EXAMPLES[0]}")
    _check_known(text, "target", target, TARGETS)
    rest = [first, *words[1:]] if first else words[1:]
    kinds = [word for word in rest if "=" not in word]
    if len(kinds) > 1:
        raise _error(text, f"{kinds[0]} and {kinds[1]} are two kinds", hint="use a --fault for each")
    fault = _with_kind(Fault(text, target), kinds[0] if kinds else "delay")
    for word in rest:
        if "=" in word:
            fault = _with_parameter(fault, *word.split("=", 1))
    if fault.kind == "delay" and not fault.delay:
        raise _error(text, "no kind", hint=f"kinds for {target}: {', '.join(_kinds_of(target))}, or delay=5")
    return fault


def _with_kind(fault: Fault, word: str) -> Fault:
    status = int(word) if re.fullmatch(r"[0-9]{1,9}", word, re.ASCII) else 0
    if status and not 400 <= status <= 599:
        raise _error(fault.text, f"{status} is not an HTTP status from 400 to 599")
    name = "status" if status else word
    _check_known(fault.text, "kind", name, KINDS)
    kind = KINDS[name]
    if fault.target not in kind.targets:
        hint = f"kinds for {fault.target}: {', '.join(_kinds_of(fault.target))}"
        raise _error(fault.text, f"{word} cannot happen to {fault.target}", hint=hint)
    return replace(fault, kind=name, status=status, when=kind.when)


def _with_parameter(fault: Fault, name: str, value: str) -> Fault:
    _check_known(fault.text, "parameter", name, PARAMETERS)
    # `when` is meaningful only for HTTP requests.
    own = tuple(word for word in KINDS[fault.kind].parameters if word != "when" or fault.target in HTTP)
    if name not in COMMON and name not in own:
        raise _error(fault.text, f"{name} does not apply here", hint=f"Use one of: {', '.join((*COMMON, *own))}")
    try:
        changes: dict[str, Any] = {name.replace("-", "_"): PARAMETERS[name].parse(value)}
    except ValueError as problem:
        raise _error(fault.text, f"{name}: expected {problem}") from None
    return replace(fault, **changes)


def _kinds_of(target: str) -> list[str]:
    names = [name for name, kind in KINDS.items() if target in kind.targets and name != "delay"]
    return ["STATUS" if name == "status" else name for name in names]


def _check_known(text: str, what: str, word: str, table: Mapping[str, object]) -> None:
    if word not in table:
        hint = guess(word, table) or "List all of them: flux sandbox --list-faults"
        raise _error(text, f"unknown {what} {quoted(word, 40)}", hint=hint)


def _error(text: str, message: str, *, hint: str | None = None) -> UsageError:
    return UsageError(f"invalid fault {quoted(text, 80)}: {message}", hint=hint)


def describe_faults() -> Iterator[str]:
    """Yield the lines of `flux sandbox --list-faults`."""
    yield "A fault is TARGET:KIND [NAME=VALUE]... If several match, the first one applies."
    yield from ("", "TARGET")
    yield from (f"  {name:<11}{about}" for name, about in TARGETS.items())
    yield from ("", "KIND")
    for name, kind in KINDS.items():
        own = [f"when={kind.when}" if parameter == "when" else parameter for parameter in kind.parameters]
        yield f"  {'STATUS' if name == 'status' else name:<11}{kind.about}"
        yield f"  {'':<11}for {_scope_of(kind)}" + (f"; with {', '.join(own)}" if own else "")
    yield from ("", f"NAME: {', '.join(COMMON)} for every kind, the others as shown above")
    yield from (f"  {f'{name}={item.value}':<21}{item.about}" for name, item in PARAMETERS.items())
    yield from ("", "Examples")
    yield from (f"  --fault {shlex.quote(text)}" for text in EXAMPLES)


def _scope_of(kind: Kind) -> str:
    named = {tuple(TARGETS): "everything", tuple(HTTP): "every request"}
    return named.get(kind.targets) or ", ".join(kind.targets)


@dataclass
class _Active:
    """An active fault, the number of requests to its target, and the number of failures that it caused."""

    fault: Fault
    chance: random.Random
    met: int = 0
    struck: int = 0

    def meet(self) -> bool:
        """Count a request. Return whether the fault applies to it."""
        self.met += 1
        lucky = self.chance.random() < self.fault.rate
        over = self.fault.times is not None and self.struck >= self.fault.times
        return lucky and not over and self.met > self.fault.skip


@dataclass
class Faults:
    """The active faults. The same seed and the same requests result in the same failures."""

    seed: int = 0
    _active: list[_Active] = field(default_factory=list)

    def add(self, texts: Iterable[str]) -> None:
        """Activate faults, all or none. Raise UsageError."""
        faults = [parse_fault(text) for text in texts]
        # Each has its own random numbers, so that requests to one target do not affect another.
        first = len(self._active)
        self._active += [
            _Active(fault, random.Random(f"{self.seed}/{number}/{fault.text}"))
            for number, fault in enumerate(faults, first)
        ]

    def clear(self) -> None:
        self._active.clear()

    def draw(self, target: str) -> Fault | None:
        """Return the first fault that applies to this request, with the delays up to it added; None if none does."""
        # Every fault counts the request, even if another one applies, so that faults are independent of each other.
        ready = [active for active in self._active if active.fault.target == target and active.meet()]
        struck: Fault | None = None
        delay = 0.0
        for active in ready:
            active.struck += 1
            delay += active.fault.delay
            struck = replace(active.fault, delay=delay)
            if struck.kind != "delay":
                break
        return struck

    def counts(self) -> list[JsonObject]:
        """Return each fault with the number of requests to its target, and of the failures that it caused."""
        return [{"fault": active.fault.text, "met": active.met, "struck": active.struck} for active in self._active]
