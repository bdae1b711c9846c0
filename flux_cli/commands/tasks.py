"""Commands about tasks that exist already. None of them costs anything."""

from typing import Annotated

import typer

from ..errors import ExitCode
from ..options import SaveOptions, WaitOptions
from ..session import Session

Ids = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Task ids or journal entries; - reads them from stdin.", show_default=False),
]
StateOption = Annotated[
    str | None, typer.Option("--state", help="Only entries in this state: saved, accepted, unknown, ...")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many entries.")]


def status(session: Session, ids: Ids) -> ExitCode:
    """Tell where tasks are, without waiting or downloading.

    flux status 1631d053-2352-4add-95cc-360fc52d5f89
    """
    from ..following import show_status

    return show_status(session, ids)


def wait(session: Session, ids: Ids, save: SaveOptions, waiting: WaitOptions) -> ExitCode:
    """Wait for tasks and save their pictures.

    Also for tasks that were submitted elsewhere.

    flux gen "a red fox" --no-wait | flux wait -
    """
    from ..following import wait_for

    return wait_for(session, ids, save)


def resume(session: Session, waiting: WaitOptions) -> ExitCode:
    """Finish what is paid for and not on disk, at no cost."""
    from ..following import resume_all

    return resume_all(session)


def history(session: Session, state: StateOption = None, limit: LimitOption = 20) -> ExitCode:
    """List what was asked for and what became of it, newest first."""
    from ..history import show_history

    return show_history(session, state, limit)
