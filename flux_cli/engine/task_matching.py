"""Matching of tasks with entries whose response was lost.

PiAPI has no idempotency key. A task is recognized by what its responses repeat of the request, and by its time.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile

from ..frozen import frozen
from ..journal.entries import Entry
from ..json_value import number_at, text_at
from ..operations.request import create_body
from ..piapi.task import Task
from ..text import clean

WINDOW_SECONDS = 600.0
"""The most between submission and creation: clocks differ, and a POST may take two minutes."""
SHOWN = 60


@frozen
class Likeness:
    """What a task has in common with a request.

    alike: the names of facts that agree. unlike: a sentence about each that does not. Facts that the response leaves
    out, as live responses often do, are in neither.
    """

    alike: frozenset[str]
    unlike: tuple[str, ...]

    @property
    def proves(self) -> bool:
        """Whether this is enough for a task ID that came in response to this submission."""
        return not self.unlike and bool(self.alike & {"prompt", "seed"})

    @property
    def proves_alone(self) -> bool:
        """Whether this is enough without further evidence. Seeds have 32 bits, but people choose the same ones."""
        return not self.unlike and {"prompt", "seed"} <= self.alike


def likeness(entry: Entry, task: Task) -> Likeness:
    """Compare a task with an entry's request as it was sent: prompt, seed, model and time."""
    alike, unlike = set[str](), list[str]()
    for name, same, difference in _compared(entry, task):
        if same:
            alike.add(name)
        else:
            unlike.append(difference)
    return Likeness(frozenset(alike), tuple(unlike))


def _compared(entry: Entry, task: Task) -> Iterator[tuple[str, bool, str]]:
    """Yield each fact that both have: its name, whether it agrees, and what to print if it does not."""
    if entry.request is not None:
        asked = create_body(entry.request)
        prompt, seed, model = (
            text_at(asked, "input", "prompt"),
            number_at(asked, "input", "seed"),
            text_at(asked, "model"),
        )
        if task.prompt is not None:
            yield "prompt", task.prompt == prompt, _prompts_differ(task.prompt, prompt)
        if task.seed is not None:
            yield "seed", task.seed == seed, f"its seed is {task.seed}, not {seed}"
        if task.model is not None:
            yield "model", task.model == model, f"its model is {clean(task.model, SHOWN)}, not {model}"
    if task.created is not None and entry.submitted is not None:
        created, sent = task.created.timestamp(), entry.submitted
        near = abs(created - sent) <= WINDOW_SECONDS
        yield "time", near, f"it was created {moment(created)}, and the submission left {moment(sent)}"


def _prompts_differ(reported: str, asked: str) -> str:
    """Show both prompts, from a little before their first difference."""
    parting = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reported, asked, strict=False)))
    start = max(0, parting - SHOWN // 2)
    dots = "…" if start else ""
    shown = [f'"{dots}{clean(text[start:], SHOWN)}"' for text in (reported, asked)]
    return f"its prompt is {shown[0]}, not {shown[1]}"


def moment(seconds: float) -> str:
    """Format seconds since the epoch as local time."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
