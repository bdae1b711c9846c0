"""Whether a task is the one that an entry asked for.

The service has no idempotency key: a task whose answer was lost is known again by what replies repeat of the request,
and by when it was created.
"""

from collections.abc import Iterator
from datetime import datetime

from ..frozen import frozen
from ..journal.entries import Entry
from ..json_value import number_at, text_at
from ..operations.request import create_body
from ..piapi.task import Task
from ..text import clean

WINDOW_SECONDS = 600.0
"""Between the submission and the task's creation: clocks differ, and a POST may take two minutes."""
SHOWN = 60


@frozen
class Likeness:
    """What a task has in common with what was asked for.

    alike: the names of facts that agree. unlike: a sentence about each that does not. What the reply does not tell, and
    live replies leave out much, is in neither.
    """

    alike: frozenset[str]
    unlike: tuple[str, ...]

    @property
    def proves(self) -> bool:
        """Enough for a task id that came in answer to this very submission."""
        return not self.unlike and bool(self.alike & {"prompt", "seed"})

    @property
    def proves_alone(self) -> bool:
        """Enough when nothing else speaks for it. Seeds are 32 bits, but people like to choose the same ones."""
        return not self.unlike and {"prompt", "seed"} <= self.alike


def likeness(entry: Entry, task: Task) -> Likeness:
    """Compare a task with the request of an entry as it was sent: prompt, seed, model and time."""
    alike, unlike = set[str](), list[str]()
    for name, same, difference in _compared(entry, task):
        if same:
            alike.add(name)
        else:
            unlike.append(difference)
    return Likeness(frozenset(alike), tuple(unlike))


def _compared(entry: Entry, task: Task) -> Iterator[tuple[str, bool, str]]:
    """Each fact that both tell: its name, whether it is the same, and what to say when it is not."""
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


def _prompts_differ(told: str, asked: str) -> str:
    """Both prompts, from a little before the place where they part."""
    parting = next((place for place, (one, other) in enumerate(zip(told, asked, strict=False)) if one != other), 0)
    start = max(0, parting - SHOWN // 2)
    dots = "…" if start else ""
    shown = [f'"{dots}{clean(text[start:], SHOWN)}"' for text in (told, asked)]
    return f"its prompt is {shown[0]}, not {shown[1]}"


def moment(seconds: float) -> str:
    """A time as a person here reads it, from seconds since the epoch."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
