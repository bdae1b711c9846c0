"""`flux doctor --fix`. It prints each change before making it, and removes only files that are no longer needed."""

import time
from contextlib import suppress

from ...config.config_file import permissions_warning
from ...errors import FluxError
from ...journal.integrity import examine
from ...text import clean, counted
from ..context import Session
from .checks import stale, stale_locks


def repair(session: Session) -> None:
    """Repair what can be repaired. Print the errors of the rest."""
    _permissions(session)
    try:
        session.settings  # noqa: B018 - they lead to everything else; the check reports what is wrong with them
    except FluxError:
        return
    for step in (_left_over, _journal, _sending):
        try:
            step(session)
        except FluxError as error:
            session.output.error(error)


def _permissions(session: Session) -> None:
    file = session.home.config_file
    if not permissions_warning(file):
        return
    session.output.note(f"fix: chmod 600 {file}")
    with suppress(OSError):  # the check that follows reports the result
        file.chmod(0o600)


def _left_over(session: Session) -> None:
    for path in [*stale(session.folder, ".flux-*.part"), *stale_locks(session)]:
        session.output.note(f"fix: remove {clean(str(path), 300)}")
        with suppress(OSError):  # as above
            path.unlink()


def _journal(session: Session) -> None:
    path = session.paths.journal
    state = examine(path)
    if state is None or not state.damaged:
        return
    stamp = time.strftime("%Y%m%d-%H%M%S")
    session.output.note(f"fix: copy {path} to {path.name}.damaged-{stamp}, and rebuild it from what can be read")
    from ...journal.recovery import rebuild

    done = rebuild(path, stamp)
    session.output.note(f"     {done.read} of {done.known} entries were read; the damaged file is {done.kept}")
    where = "look for them at https://piapi.ai/workspace, and download their images with: flux wait TASK_ID"
    if not done.read:
        session.output.warn(
            f"no entry could be read, and the new journal is empty: tasks may have been charged; {where}"
        )
    elif lost := done.known - done.read:
        entries = counted(lost, "entry", "entries")
        session.output.warn(f"{entries} could not be read: their tasks may have been charged; {where}")


def _sending(session: Session) -> None:
    if not session.paths.journal.exists():
        return
    if dead := session.journal.dead():
        for entry in dead:
            session.output.note(f"fix: entry {entry.id} from sending to unknown: its process died")
        session.journal.mark_dead_unknown()
