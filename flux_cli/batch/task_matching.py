"""Linking of tasks to entries whose outcome is unknown.

PiAPI has no idempotency key, so a task is recognized by its time and by the fields of the request in its responses.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from ..errors import JournalError, UsageError
from ..frozen import frozen
from ..journal.entries import Entry, State
from ..json_value import number_at, text_at
from ..operations.request import create_body
from ..piapi.refusals import TaskNotFoundError, TemporaryError
from ..piapi.task import Task
from ..text import clean
from .run_context import RunContext

WINDOW_SECONDS = 600.0
"""The longest time between submission and creation: clocks differ, and a POST may take two minutes."""
SHOWN = 60


@frozen
class Likeness:
    """The similarity of a task and a request.

    alike: the names of the fields that are equal. unlike: a sentence for each that differs. Fields that the response
    omits, as is common in the live API, are in neither.
    """

    alike: frozenset[str]
    unlike: tuple[str, ...]

    @property
    def proves(self) -> bool:
        """Whether the task of an ID from the response to this submission is certainly the entry's."""
        return not self.unlike and bool(self.alike & {"prompt", "seed"})

    @property
    def proves_alone(self) -> bool:
        """Whether any task is certainly the entry's. A seed alone is not enough, because people reuse seeds."""
        return not self.unlike and {"prompt", "seed"} <= self.alike


def compare_task(entry: Entry, task: Task) -> Likeness:
    """Return the similarity of a task and an entry's request as it was sent: prompt, seed, model and time."""
    alike, unlike = set[str](), list[str]()
    for name, same, difference in _compared(entry, task):
        if same:
            alike.add(name)
        else:
            unlike.append(difference)
    return Likeness(frozenset(alike), tuple(unlike))


def _compared(entry: Entry, task: Task) -> Iterator[tuple[str, bool, str]]:
    """Yield each field that both have: its name, whether it is equal, and a sentence for the user if it is not."""
    if entry.request is not None:
        sent_body = create_body(entry.request)
        prompt, seed, model = (
            text_at(sent_body, "input", "prompt"),
            number_at(sent_body, "input", "seed"),
            text_at(sent_body, "model"),
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
        yield "time", near, f"it was created {moment(created)}, and the request was sent {moment(sent)}"


def _prompts_differ(reported: str, sent: str) -> str:
    """Return a sentence with both prompts, from shortly before their first difference."""
    parting = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reported, sent, strict=False)))
    start = max(0, parting - SHOWN // 2)
    dots = "…" if start else ""
    shown = [f'"{dots}{clean(text[start:], SHOWN)}"' for text in (reported, sent)]
    return f"its prompt is {shown[0]}, not {shown[1]}"


def moment(seconds: float) -> str:
    """Return a time in seconds since the epoch as local time."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def link(run_context: RunContext, entry: Entry, task: Task, found: Likeness) -> Entry:
    """Link an entry to its task, and return the entry: accepted, or saved if `flux wait` has already saved the images.

    found: their similarity, which is shown.
    Raise UsageError if another entry submitted the task, JournalError if another process changed the entry.
    """
    journal = run_context.journal
    entry = journal.link(entry, task.id, task.status.word, task.created.timestamp() if task.created else None)
    same = ", ".join(sorted(found.alike))
    compared = f"same {same}" if same else "PiAPI returned nothing to compare"
    if found.unlike:
        compared = f"although {'; '.join(found.unlike)}"
    run_context.note(f"linked entry {entry.id} to task {task.id}: {compared}")
    for other in journal.entries(State.SAVED, task_id=task.id):
        if all(file.is_whole() for file in other.files):
            ready = replace(entry, state=State.READY, status=other.status, urls=other.urls, ended=other.ended)
            ready = journal.move(entry, ready)
            return journal.move(ready, replace(ready, state=State.SAVED, files=other.files))
    return entry


def link_seen(run_context: RunContext) -> None:
    """Link entries to the tasks whose IDs were found in unparsable responses, if they match."""
    entries = [entry for entry in run_context.journal.entries(State.UNKNOWN) if entry.seen_id]
    if entries:
        asyncio.run(_link_seen(run_context, entries))


async def _link_seen(run_context: RunContext, entries: Iterable[Entry]) -> None:
    async with run_context.make_client() as client:
        for entry in entries:
            assert entry.seen_id is not None
            try:
                task = await client.poll(entry.seen_id)
                found = compare_task(entry, task)
                if found.proves:
                    linked = link(run_context, entry, task, found)
                    if linked.owner and linked.state is State.ACCEPTED:  # the command that needs its image claims it
                        run_context.journal.release(linked)
                    continue
                why = "; ".join(found.unlike) or "PiAPI returned nothing to compare"
            except TemporaryError as error:
                why = error.message
            except (TaskNotFoundError, UsageError, JournalError) as error:
                why = str(error)
            what = f'the earlier request for "{clean(entry.label, SHOWN)}" (entry {entry.id})'
            run_context.note(f"task {entry.seen_id} may be of {what}, but is not linked: {why}")


async def link_matching(run_context: RunContext, task_id: str) -> Entry | None:
    """Link a task to the entry of unknown outcome that it certainly belongs to, and return it; None if there is none.

    Raise KeyRefusedError, UsageError, JournalError.
    """
    entries = run_context.journal.entries(State.UNKNOWN)
    if not entries:
        return None
    async with run_context.make_client() as client:
        try:
            task = await client.poll(task_id)
        except (TaskNotFoundError, TemporaryError):
            return None  # the next poll of the task reports it
    for entry in entries:
        if (found := compare_task(entry, task)).proves_alone:
            return link(run_context, entry, task, found)
    return None
