"""Commands about tasks that exist already. None of them costs anything, but `flux resolve --resubmit`."""

from typing import Annotated

import typer

from ...errors import ExitCode
from ..context import Session
from ..options.common import LookOptions
from ..options.options import SaveOptions, WaitOptions

Ids = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Task ids or journal entries; - reads them from stdin.", show_default=False),
]
Entries = Annotated[
    list[str],
    typer.Argument(metavar="ENTRY...", help="Journal entries; - reads them from stdin.", show_default=False),
]
AdoptOption = Annotated[
    str | None, typer.Option("--task", metavar="TASK_ID", help="It is this task: fetch it, at no further cost.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="With --task: also when the task looks different.")]
ForgetOption = Annotated[bool, typer.Option("--dismiss", help="There is no task, or it does not matter.")]
ResubmitOption = Annotated[bool, typer.Option("--resubmit", help="Send the request once more, and pay for that.")]
StateOption = Annotated[
    str | None,
    typer.Option("--state", metavar="STATE", help="Only entries in this state: saved, accepted, unknown, ..."),
]
AnyOption = Annotated[bool, typer.Option("--any", help="Until the first picture is saved; the others run on.")]
ExpiringOption = Annotated[
    bool, typer.Option("--expiring", help="Only what the service may drop within a day: it keeps pictures for seven.")
]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many entries.")]


def status(session: Session, ids: Ids) -> ExitCode:
    """Tell where tasks are, without waiting or downloading.

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
    """Wait for tasks and save their pictures.

    Also for tasks that were submitted elsewhere. Ids on stdin are taken as they come, alone on a line or in the
    objects of --json.

    flux wait 1631d053-2352-4add-95cc-360fc52d5f89 -o fox.png

    flux gen --from prompts.txt --no-wait | flux wait -

    flux wait --any $(flux gen "a fox" --seed 1..3 --no-wait)
    """
    from ..calls.following import wait_for

    return wait_for(session, ids, save, first=first)


def resume(session: Session, waiting: WaitOptions, expiring: ExpiringOption = False) -> ExitCode:
    """Finish what is paid for and not on disk, at no cost.

    flux resume

    flux resume --expiring --timeout 60
    """
    from ..calls.following import resume_all

    return resume_all(session, expiring=expiring)


def history(session: Session, state: StateOption = None, limit: LimitOption = 20) -> ExitCode:
    """List what was asked for and what became of it, newest first."""
    from ..calls.history import show_history

    return show_history(session, state, limit)
