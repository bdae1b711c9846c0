"""`flux doctor --fix`. It prints each change before making it, and removes only files that are no longer needed."""

import time
from collections.abc import Iterator
from contextlib import suppress

from ....config.config_file import permissions_warning
from ....errors import FluxError
from ....journal.recovery import examine
from ....text import clean, counted
from ...context import Session
from ...output.records import Failure, Item, Note, Warn
from .checks import stale, stale_locks


def repair(session: Session) -> Iterator[Item]:
    """Repair what can be repaired. Yield each change before it is made, and the errors of the rest."""
    yield from _permissions(session)
    try:
        _ = session.settings  # they lead to everything else; the check reports what is wrong with them
    except FluxError:
        return
    for step in (_left_over, _journal, _sending):
        try:
            yield from step(session)
        except FluxError as error:
            yield Failure(error)


def _permissions(session: Session) -> Iterator[Item]:
    file = session.home.config_file
    if not permissions_warning(file):
        return
    yield Note(f"fix: chmod 600 {file}")
    with suppress(OSError):  # the check that follows reports the result
        file.chmod(0o600)


def _left_over(session: Session) -> Iterator[Item]:
    for path in [*stale(session.folder, ".flux-*.part"), *stale_locks(session)]:
        yield Note(f"fix: remove {clean(str(path), 300)}")
        with suppress(OSError):  # as above
            path.unlink()


def _journal(session: Session) -> Iterator[Item]:
    path = session.paths.journal
    state = examine(path)
    if state is None or not state.damaged:
        return
    stamp = time.strftime("%Y%m%d-%H%M%S")
    yield Note(f"fix: copy {path} to {path.name}.damaged-{stamp}, and rebuild it from what can be read")
    from ....journal.recovery import rebuild

    done = rebuild(path, stamp)
    yield Note(f"     {done.read} of {done.known} entries were read; the damaged file is {done.kept}")
    where = "look for them at https://piapi.ai/workspace, and download their images with: flux wait TASK_ID"
    if not done.read:
        yield Warn(f"no entry could be read, and the new journal is empty: tasks may have been charged; {where}")
    elif lost := done.known - done.read:
        entries = counted(lost, "entry", "entries")
        yield Warn(f"{entries} could not be read: their tasks may have been charged; {where}")


def _sending(session: Session) -> Iterator[Item]:
    if not session.paths.journal.exists():
        return
    if dead := session.journal.dead():
        for entry in dead:
            yield Note(f"fix: entry {entry.id} from sending to unknown: its process died")
    if lost := session.journal.lost():
        yield Note(f"fix: forget {counted(len(lost), 'entry', 'entries')} that the journal has lost: {', '.join(lost)}")
    session.journal.mark_dead_unknown(forget_lost=True)
