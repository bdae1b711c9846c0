"""What the miniature service can be told to get wrong: `create:429 times=2 retry-after=1`.

A fault names where it strikes, what happens, and when: `TARGET:KIND [NAME=VALUE]...`. The tables below are the
grammar, the parser and the documentation (`flux sandbox --list-faults`).
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from ..errors import UsageError
from ..frozen import frozen
from ..text import clean, guess

HTTP = {
    "create": "POST /api/v1/task",
    "get": "GET /api/v1/task/ID",
    "cancel": "DELETE /api/v1/task/ID",
    "upload": "POST /api/ephemeral_resource",
    "account": "GET /account/info",
    "history": "GET /api/open/tasks/histories",
    "picture": "GET of a picture",
}
TARGETS = HTTP | {
    "task": "the work on a task; settled when it is created",
    "webhook": "the delivery to a task's webhook",
}
"""Where a fault can strike."""


@frozen
class Fault:
    """Something that goes wrong.

    text: as it was given; kind: a name in KINDS; status: the HTTP status of kind `status`.
    times: how often, None for always; skip: how often not, before; rate: how likely each time, 0 to 1.
    delay: seconds by which the answer is late; when: `before` or `after` the work that the answer tells of.
    retry_after: seconds, None for no header; code, message: of the error, None and empty for the usual ones.
    keep: the share of the answer that gets through.
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
    """What can happen: where, whether the work is done by then, and which parameters it has beside the common ones."""

    targets: tuple[str, ...]
    about: str
    parameters: tuple[str, ...] = ()
    when: str = "after"


@frozen
class Parameter:
    """A `NAME=VALUE`. `given` is the fault with it; it raises ValueError that says what would be right."""

    value: str
    about: str
    given: Callable[[Fault, str], Fault]


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "status": Kind(
            tuple(HTTP),
            "that HTTP status, 400 to 599, with the documented error",
            ("when", "retry-after", "code", "message"),
            when="before",
        ),
        "html": Kind(tuple(HTTP), "a web page with status 200", ("when",), when="before"),
        "drop": Kind(tuple(HTTP), "the connection is cut without an answer", ("when",)),
        "cut": Kind(tuple(HTTP), "the connection is cut in the midst of the answer", ("keep",)),
        "truncate": Kind(tuple(HTTP), "the answer is cut short, and only its content tells", ("keep",)),
        "delay": Kind(tuple(TARGETS), "late, and nothing else; write delay=SECONDS", ("when",)),
        "stuck": Kind(("get", "task"), "still processing: at this look; for ever, if a task is"),
        "empty": Kind(("get",), "completed, but no picture is listed"),
        "capitals": Kind(("get",), "the status as the live service's documentation writes it: Completed"),
        "fail": Kind(("task",), "the task fails when its time is over", ("code", "message")),
        "duplicate": Kind(("webhook",), "the delivery comes twice"),
        "lose": Kind(("webhook",), "the delivery never comes"),
    }
)
COMMON = ("times", "skip", "rate", "delay")
"""Parameters of every kind."""


def duration(text: str) -> float:
    """Seconds, from `1.5`, `30s`, `10m`, `2h` or `7d`. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)", text.strip(), re.ASCII)
    if not match:
        raise ValueError("a duration such as 1.5, 30s, 10m, 2h, 7d")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _whole(text: str, low: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) < low:
        raise ValueError(f"a whole number from {low}")
    return int(text)


def _share(text: str) -> float:
    if not re.fullmatch(r"[0-9]?\.?[0-9]{1,9}", text, re.ASCII) or not 0 <= float(text) <= 1:
        raise ValueError("a number from 0 to 1")
    return float(text)


def _when(text: str) -> str:
    if text not in ("before", "after"):
        raise ValueError("before or after")
    return text


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "times": Parameter(
            "N", "how often; then it is over", lambda fault, text: replace(fault, times=_whole(text, 1))
        ),
        "skip": Parameter("N", "how often not, before it", lambda fault, text: replace(fault, skip=_whole(text, 0))),
        "rate": Parameter("P", "how likely each time, 0 to 1", lambda fault, text: replace(fault, rate=_share(text))),
        "delay": Parameter(
            "SECONDS", "how late the answer is", lambda fault, text: replace(fault, delay=duration(text))
        ),
        "when": Parameter(
            "before|after",
            "the work, and the charge, that the answer is about",
            lambda fault, text: replace(fault, when=_when(text)),
        ),
        "retry-after": Parameter(
            "SECONDS", "the header", lambda fault, text: replace(fault, retry_after=_whole(text, 0))
        ),
        "code": Parameter("N", "PiAPI's error code", lambda fault, text: replace(fault, code=_whole(text, 0))),
        "message": Parameter("TEXT", "its words", lambda fault, text: replace(fault, message=text)),
        "keep": Parameter(
            "SHARE", "what gets through of the answer", lambda fault, text: replace(fault, keep=_share(text))
        ),
    }
)
EXAMPLES = (
    "create:429 times=2 retry-after=1",
    "create:drop rate=0.05",
    "create:drop when=before",
    "create:502 when=after skip=3 times=1",
    "get:stuck",
    "get:delay=5",
    "picture:truncate times=1",
    "task:fail code=1800 rate=0.1",
    "webhook:duplicate",
)


def parse(text: str) -> Fault:
    """The fault that a text describes. Raises UsageError that says what is wrong with it, and what would be right."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise _problem(text, "a quote is not closed") from None
    target, colon, first = words[0].partition(":") if words else ("", "", "")
    if not colon:
        raise _problem(text, "a fault is TARGET:KIND", hint=f"such as: {EXAMPLES[0]}")
    _known(text, "target", target, TARGETS)
    kinds: list[str] = []
    pairs: list[tuple[str, str]] = []
    for word in [first, *words[1:]] if first else words[1:]:
        name, equals, value = word.partition("=")
        if equals:
            pairs.append((name, value))
        else:
            kinds.append(name)
    if len(kinds) > 1:
        raise _problem(text, f"{kinds[0]} and {kinds[1]} are two kinds", hint="give each its own --fault")
    fault = _with_kind(Fault(text, target), kinds[0] if kinds else "delay")
    for name, value in pairs:
        fault = _with_parameter(fault, name, value)
    if fault.kind == "delay" and not fault.delay:
        raise _problem(text, "nothing is to go wrong", hint=f"{target}: {', '.join(_kinds_of(target))}, or delay=5")
    return fault


def _with_kind(fault: Fault, word: str) -> Fault:
    status = int(word) if re.fullmatch(r"[0-9]{1,9}", word, re.ASCII) else 0
    if status and not 400 <= status <= 599:
        raise _problem(fault.text, f"{status} is no HTTP status from 400 to 599")
    name = "status" if status else word
    _known(fault.text, "kind", name, KINDS)
    kind = KINDS[name]
    if fault.target not in kind.targets:
        hint = f"{fault.target}: {', '.join(_kinds_of(fault.target))}"
        raise _problem(fault.text, f"{word} is nothing that can happen to {fault.target}", hint=hint)
    return replace(fault, kind=name, status=status, when=kind.when)


def _with_parameter(fault: Fault, name: str, value: str) -> Fault:
    _known(fault.text, "parameter", name, PARAMETERS)
    # Only an answer can come before or after its work.
    own = tuple(word for word in KINDS[fault.kind].parameters if word != "when" or fault.target in HTTP)
    if name not in COMMON and name not in own:
        raise _problem(fault.text, f"{name} means nothing here", hint=f"parameters: {', '.join((*COMMON, *own))}")
    try:
        return PARAMETERS[name].given(fault, value)
    except ValueError as problem:
        raise _problem(fault.text, f"{name}: {problem}") from None


def _kinds_of(target: str) -> list[str]:
    names = [name for name, kind in KINDS.items() if target in kind.targets and name != "delay"]
    return ["429" if name == "status" else name for name in names]


def _known(text: str, what: str, word: str, table: Mapping[str, object]) -> None:
    if word not in table:
        hint = guess(word, table) or "all that can go wrong: flux sandbox --list-faults"
        raise _problem(text, f"no {what} is called {clean(word, 40)!r}", hint=hint)


def _problem(text: str, message: str, *, hint: str | None = None) -> UsageError:
    return UsageError(f"fault {clean(text, 80)!r}: {message}", hint=hint, money="")


def documented() -> Iterator[str]:
    """The lines of `flux sandbox --list-faults`."""
    yield "A fault is TARGET:KIND [NAME=VALUE]... The first that strikes wins."
    yield from ("", "TARGET")
    yield from (f"  {name:<11}{about}" for name, about in TARGETS.items())
    yield from ("", "KIND")
    for name, kind in KINDS.items():
        own = [f"when={kind.when}" if parameter == "when" else parameter for parameter in kind.parameters]
        yield f"  {'429' if name == 'status' else name:<11}{kind.about}"
        yield f"  {'':<11}for {_told(kind.targets)}" + (f"; {', '.join(own)}" if own else "")
    yield from ("", f"NAME: {', '.join(COMMON)} for every kind, the others where they stand above")
    yield from (f"  {f'{name}={item.value}':<21}{item.about}" for name, item in PARAMETERS.items())
    yield from ("", "Examples")
    yield from (f"  {text}" for text in EXAMPLES)


def _told(targets: tuple[str, ...]) -> str:
    named = {tuple(TARGETS): "everything", tuple(HTTP): "every request"}
    return named.get(targets) or ", ".join(targets)
