"""`flux resolve`: inspect and resolve submissions without a usable response, which may have been charged."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated

from ...batch.prompts import StandardInput
from ...batch.task_matching import compare_task, link, moment
from ...config.urls import is_local, workspace
from ...engine.outcome import Outcome, claim, exit_code
from ...errors import ExitCode, RefusedError, UnknownChargeError, UsageError
from ...journal.entries import Entry, State, dismissal, error_of, unknown_outcome
from ...journal.journal import Journal
from ...operations.parameters import Argument, Option
from ...operations.request import encode_body
from ...piapi.task import Task, is_task_id
from ...text import clean, counted, quoted
from ..found_tasks import check_account, expand_ids, no_such_task
from ..options import MaxCost, SaveOptions, WaitOptions, Yes
from ..output.output import Item, Items, Mode, Note, Record
from ..output.render import LINK_TASK, describe_charge, describe_charges, format_sum
from ..registry import help_page
from ..session import Session

Entries = Annotated[
    list[str] | None,
    Argument(
        "[ID...]",
        help="IDs from flux history; - reads them from stdin. Without one, all unknown outcomes are listed.",
    ),
]
TaskOption = Annotated[
    str | None,
    Option(
        "--task",
        short="The task exists: download its image.",
        title="Outcome",
        metavar="TASK_ID",
        help="The task exists: download its image (no extra charge).",
    ),
]
ForceOption = Annotated[
    bool,
    Option(
        "--force",
        short="With --task: link it even if it differs.",
        title="Outcome",
        help="With --task: link the task even if its prompt, model or seed differs.",
    ),
]
DismissOption = Annotated[
    bool,
    Option(
        "--dismiss",
        short="The task does not exist, or is not needed.",
        title="Outcome",
        help="The task does not exist, or you do not need its image.",
    ),
]
ResubmitOption = Annotated[
    bool,
    Option(
        "--resubmit",
        short="Submit the request again, and pay for it.",
        title="Outcome",
        help="Submit the request again, and pay for it.",
    ),
]

OPEN = (State.UNKNOWN, State.DISMISSED)
"""The states that can be resolved. The task of a dismissed entry may appear later."""


@help_page(
    ("Show the details and your options", "flux resolve"),
    (
        "Download the image of an existing task",
        "flux resolve k3v9q2xy \\\n  --task 1631d053-2352-4add-95cc-360fc52d5f89",
    ),
    ("Dismiss all of them", "flux history --state unknown --limit 1000 -q | flux resolve - --dismiss"),
)
def resolve(
    session: Session,
    waiting: WaitOptions,
    entries: Entries = None,
    task: TaskOption = None,
    force: ForceOption = False,
    dismiss: DismissOption = False,
    resubmit: ResubmitOption = False,
    max_cost: MaxCost = None,
    yes: Yes = False,
) -> ExitCode | Items:
    """Resolve tasks whose outcome is unknown.

    Without --task, --dismiss or --resubmit, it prints the details of each task, and your options.
    """
    if sum((task is not None, dismiss, resubmit)) > 1:
        raise UsageError("--task, --dismiss and --resubmit cannot be used together")
    if force and task is None:
        raise UsageError("--force needs --task")
    session.journal.mark_dead_unknown()
    if not entries and (task is not None or dismiss or resubmit):
        option = "--dismiss" if dismiss else "--resubmit" if resubmit else "--task"
        raise UsageError(f"{option} needs an ID", hint="List the IDs", command=("history", "--state", "unknown"))
    if not entries:
        return _explain_unknown(session)
    ids = asyncio.run(_read(session.stdin, expand_ids(session.journal, entries)))
    if task is not None and len(ids) > 1:
        raise UsageError(f"--task needs exactly one ID, not {len(ids)}")
    found = [_find(session, word, any_service=dismiss) for word in ids]
    if task is not None:
        return _link(session, found[0], task, force=force)
    if dismiss:
        return _dismiss(session.journal, found)
    if resubmit:
        return _resubmit(session, found, max_cost, yes=yes)
    return _explain_all(session, found)


async def _read(stdin: StandardInput, words: Sequence[str]) -> list[str]:
    from ...batch.task_ids import read_ids

    ids = dict[str, None]()
    async for found in read_ids(words, stdin.text):
        if isinstance(found, UsageError):
            raise found
        ids[found] = None
    return list(ids)


def _find(session: Session, word: str, *, any_service: bool) -> Entry:
    entry = session.journal.get(word)
    if entry is None:
        hint = "List the tasks to resolve"
        raise UsageError(no_such_task(word), hint=hint, command=("history", "--state", "unknown"))
    check_account(session, entry, any_service=any_service)  # a dismissal changes only the journal
    return entry


# --- without an option: print the details and the options -------------------------------------------------------------


def _explain_unknown(session: Session) -> Items:
    """Yield what is known about all tasks of unknown outcome, and the user's options."""
    unknown = session.journal.entries(State.UNKNOWN)
    if not unknown:
        yield Note("No tasks with an unknown outcome.")
    return (yield from _explain_all(session, unknown))


def _explain_all(session: Session, entries: Sequence[Entry]) -> Items:
    """Yield what is known about entries, and the user's options. Return the code of those that are still unknown."""
    unknown = [entry for entry in entries if entry.state is State.UNKNOWN]
    for entry in entries:
        if entry.state is State.UNKNOWN:
            yield from _explain(session, entry)
        elif entry.state is State.DISMISSED:
            yield Note(f"{error_of(entry).message}. {describe_charge(entry)}")
            yield Note(LINK_TASK, ("resolve", entry.id, "--task", "TASK_ID"))
        else:
            yield Note(_nothing_to_resolve(entry).message)
    if unknown and session.output.mode is Mode.TEXT:
        yield _line(_place_to_look(session, unknown))
        for meaning, command in _list_options(session, unknown):
            yield _line(f"{meaning}:\n  {command}")
    return exit_code(unknown_outcome(entry) if entry.state is State.UNKNOWN else None for entry in entries)


def _explain(session: Session, entry: Entry) -> Iterator[Item]:
    if session.output.mode is not Mode.TEXT:
        details = [f"{meaning}: {command}" for meaning, command in _list_options(session, [entry])]
        message = unknown_outcome(entry).message
        yield Outcome(entry, UnknownChargeError(message, hint=_place_to_look(session, [entry]), details=details))
        return
    yield _line(f"entry {entry.id}: no usable response to this request. {describe_charge(entry)}", 2)
    for line in _list_facts(entry):
        yield _line(line, 13)


def _line(text: str, indent: int | None = None) -> Record:
    return Record("line", {}, text, indent=indent)


def _list_facts(entry: Entry) -> list[str]:
    rows: dict[str, str | None] = {}
    if request := entry.request:
        rows = {"prompt": f'"{request.operation.prompt}"', "model": request.model, "seed": str(request.seed)}
    rows |= {
        "sent": moment(entry.submitted) if entry.submitted is not None else None,
        "reason": entry.evidence,
        "task ID": entry.seen_id and f"{entry.seen_id} (in the damaged response)",
    }
    return [f"  {name:<9}  {clean(value, 400)}" for name, value in rows.items() if value]


def _place_to_look(session: Session, entries: Sequence[Entry]) -> str:
    what = "the task" if len(entries) == 1 else "each task"
    return f"Look for {what} at {workspace(session.service)}, by its prompt and time."


def _list_options(session: Session, entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """Yield the user's options, each with its command; for several entries, the command has the word ID."""
    one = entries[0] if len(entries) == 1 else None
    words = ("resolve", one.id if one else "ID")
    options = [
        ("If it exists, download its image (no extra charge)", (*words, "--task", "TASK_ID")),
        ("If it does not exist, or you do not need it", (*words, "--dismiss")),
    ]
    if any(entry.seen_id for entry in entries):
        options.insert(0, ("To check the task ID in the response, and download its image if it matches", ("resume",)))
    if any(entry.request for entry in entries):
        price = "and pay for it"
        if one and one.request:
            price = f"for {format_sum(session.catalog.price(one.request), is_local(one.service))}"
        options.append((f"To submit the request again, {price}", (*words, "--resubmit")))
    for meaning, command in options:
        yield meaning, session.output.command_line(command)


def _nothing_to_resolve(entry: Entry) -> UsageError:
    return UsageError(f"entry {entry.id} is {entry.state}: there is nothing to resolve")


# --- the choices ------------------------------------------------------------------------------------------------------


def _link(session: Session, entry: Entry, task_id: str, *, force: bool) -> ExitCode:
    from ...batch.runner import finish_entries
    from ..found_tasks import prepare_wait

    if not is_task_id(task_id):
        raise UsageError(f"--task {quoted(task_id, 60)} is not a task ID")
    if entry.task_id != task_id:  # if the same command is repeated, it continues
        if entry.state not in OPEN:
            raise _nothing_to_resolve(entry)
        task = asyncio.run(_poll(session, task_id))
        found = compare_task(entry, task)
        if found.unlike and not force and not session.journal.submitter_of(task_id):  # which `link` reports
            message = f"task {task_id} does not match entry {entry.id}. Nothing was changed."
            raise UsageError(message, details=found.unlike, hint="To link it anyway, add --force")
        link(session.run_context, entry, task, found)
    with session.make_reporter() as reporter:
        item = prepare_wait(session, entry.id, session.journal.find(entry.id), SaveOptions())
        return finish_entries(session.run_context, reporter, [item])


async def _poll(session: Session, task_id: str) -> Task:
    from ..found_tasks import poll_task

    try:
        async with session.make_client() as client:
            return await poll_task(client, task_id)
    except RefusedError as error:
        hint = f"Copy the ID from {workspace(session.service)}. If the task is not there, use --dismiss or --resubmit"
        raise RefusedError(f"{error.message}. Nothing was changed.", code=error.code, hint=hint) from error


def _dismiss(journal: Journal, entries: Sequence[Entry]) -> Items:
    for entry in entries:
        if entry.state not in OPEN:
            raise _nothing_to_resolve(entry)
    for entry in entries:
        if entry.state is State.UNKNOWN:
            entry = journal.move(entry, replace(entry, state=State.DISMISSED, problem=dismissal(entry, "dismissed")))
        yield Outcome(entry, None)
    yield Note(f"Dismissed {counted(len(entries), 'task')}. {describe_charges(entries)}")
    one = len(entries) == 1
    words = ("resolve", entries[0].id if one else "ID", "--task", "TASK_ID")
    yield Note(f"If {'it' if one else 'one'} appears in your workspace later, link it with", words)
    return ExitCode.OK


def _resubmit(session: Session, entries: Sequence[Entry], max_cost: str | None, *, yes: bool) -> ExitCode:
    """Submit requests again. If the command is repeated after an interruption, it continues the first attempt."""
    from ...batch.plan import check_budgets
    from ...batch.runner import finish_entries

    session.require_key()
    named = {entry.id for entry in entries}
    latest = {last.id: last for last in (_latest(session.journal, entry) for entry in entries)}
    prices: dict[str, Decimal] = {}
    for last in latest.values():
        if (last.id in named and last.state in OPEN) or (last.replaces and last.state is State.PLANNED):
            prices[last.id] = _price(session, last)
        elif last.id in named:
            raise _nothing_to_resolve(last)
    total = sum(prices.values(), Decimal(0))
    images = sum(last.request.operation.batch_size for last in latest.values() if last.request and last.id in prices)
    session.cost_limits(max_cost, yes=yes).check(total, images, again=True)
    check_budgets(session.journal.allowances(session.budgets), total)
    if prices:
        cost = format_sum(total, is_local(session.service))
        again = f"Submitting {counted(len(prices), 'request')} again for {cost}"
        first = "The first request" if len(prices) == 1 else "The first requests"
        session.output.note(f"{again}. {first} may also have been charged.")
    with session.make_reporter() as reporter:
        items = [_send_again(session, last, prices.get(last.id)) for last in latest.values()]
        return finish_entries(session.run_context, reporter, items)


def _latest(journal: Journal, entry: Entry) -> Entry:
    """Return the entry of the latest attempt at the request of `entry`."""
    while entry.state is State.DISMISSED and (again := journal.find_replacement(entry)):
        entry = again
    return entry


def _price(session: Session, entry: Entry) -> Decimal:
    """Return the price of an entry's request in USD. Raise UsageError or DiskError if it cannot be sent or saved."""
    from ...batch.outputs import check_writable

    request = entry.request
    if request is None:
        raise UsageError(f"entry {entry.id} was written by a newer version of flux: this one cannot read its request")
    encode_body(session.make_body(request, {}))
    check_writable(path.parent for path in entry.output.paths)
    if session.run_context.lacks_inputs(request):
        raise UsageError(
            f"PiAPI no longer has the input image of entry {entry.id}",
            hint="Run its command again with the local file, and then",
            command=("resolve", entry.id, "--dismiss"),
        )
    return session.catalog.price(request)


def _send_again(session: Session, entry: Entry, price: Decimal | None) -> Entry | Outcome:
    from ..found_tasks import prepare_wait

    if price is None:  # already sent again: continue that attempt
        return prepare_wait(session, entry.id, session.journal.find(entry.id), SaveOptions())
    if entry.state is State.PLANNED:
        claimed = claim(session.journal, entry)
        return claimed if isinstance(claimed, Outcome) else session.journal.move(claimed, replace(claimed, price=price))
    return session.journal.replan(entry, price=price)
