"""What `flux doctor --fix` mends. Each thing is said before it is done, and nothing is removed that could be missed."""

import time
from contextlib import suppress

from ...config.resolve import permissions_warning
from ...errors import FluxError
from ...journal.integrity import examine
from ...text import clean, counted
from ..context import Session
from .checks import stale, stale_locks


def mend(session: Session) -> None:
    """Mend what can be mended; what cannot is told, and the rest is mended all the same."""
    _permissions(session)
    try:
        session.settings  # noqa: B018 - without them nobody knows where the rest is; the check tells what is wrong
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
    with suppress(OSError):  # the check that follows tells how it is
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
    if not done.read:
        session.output.warn(
            "nothing is left of what it knew, and a new journal begins: tasks may be paid for;"
            " look for them in the PiAPI workspace, and fetch them with: flux wait TASK_ID"
        )
    elif lost := done.known - done.read:
        session.output.warn(
            f"{counted(lost, 'entry', 'entries')} could not be read: their tasks may be paid"
            " for; look for them in the PiAPI workspace, and fetch them with: flux wait TASK_ID"
        )


def _sending(session: Session) -> None:
    if not session.paths.journal.exists():
        return
    if dead := session.journal.dead():
        for entry in dead:
            session.output.note(f"fix: entry {entry.id} from sending to unknown: its process has died")
        session.journal.mark_dead_unknown()
