"""Commands about existing tasks. They cost nothing."""

from typing import Annotated

from ...errors import ExitCode
from ...operations.parameters import Argument, Option
from ..context import Session
from ..options.common import LookOptions
from ..options.options import SaveOptions, WaitOptions

Ids = Annotated[
    list[str],
    Argument("ID...", help="Task IDs or entry IDs; - reads them from stdin."),
]
StateOption = Annotated[
    str | None,
    Option("--state", metavar="STATE", help="Only entries in this state: saved, accepted, unknown, ..."),
]
AnyOption = Annotated[bool, Option("--any", help="Exit after the first image is saved; the other tasks keep running.")]
ExpiringOption = Annotated[
    bool, Option("--expiring", help="Only images that PiAPI may delete within a day; it keeps them for seven days.")
]
LimitOption = Annotated[int, Option("--limit", metavar="N", min=1, help="Maximum number of entries.")]


def status(session: Session, ids: Ids) -> ExitCode:
    """Show the status of tasks, without waiting for them.

    flux status 1631d053-2352-4add-95cc-360fc52d5f89

    flux history --state accepted --json | flux status -
    """
    from ..calls.following import show_status

    return show_status(session, ids)


def wait(
    session: Session,
    ids: Ids,
    save: SaveOptions,
    waiting: WaitOptions,
    looking: LookOptions,
    first: AnyOption = False,
) -> ExitCode:
    """Wait for tasks and save their images.

    The tasks may have been submitted elsewhere. IDs on stdin are read as they arrive: one per line, or in the objects
    of --json.

    flux wait 1631d053-2352-4add-95cc-360fc52d5f89 -o fox.png

    flux gen --from prompts.txt --no-wait | flux wait -

    flux wait --any $(flux gen "a fox" --seed 1..3 --no-wait)
    """
    from ..calls.following import wait_for

    return wait_for(session, ids, save, first=first)


def resume(session: Session, waiting: WaitOptions, expiring: ExpiringOption = False) -> ExitCode:
    """Save all paid images that are not saved yet, for free.

    flux resume

    flux resume --expiring --timeout 60
    """
    from ..calls.following import resume_all

    return resume_all(session, expiring=expiring)


def history(session: Session, state: StateOption = None, limit: LimitOption = 20) -> ExitCode:
    """List past tasks with their status and cost, newest first."""
    from ..calls.history import show_history

    return show_history(session, state, limit)
