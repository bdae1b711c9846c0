"""The owner of entries: a process, represented by its locked file. The kernel frees the lock when the process dies.

The file has a record for each entry that the process has sent, written before the POST. If the disk is full and the
journal cannot store a task ID, the ID is written into that record, which needs no more space. So the file of a dead
process contains task IDs that are missing from the journal, and reveals entries that the journal has lost.
"""

import contextlib
from pathlib import Path
from typing import Literal

from ..frozen import frozen
from ..system.file_locks import Lock, is_held

RECORD = 128
"""Bytes of a record. It divides the block size of disks, so that a record never extends into a block without space."""


@frozen
class Response:
    """A task ID from the response to a submission. kind: `task_id`, or `seen_id` if the response was damaged."""

    kind: Literal["task_id", "seen_id"]
    id: str


class Owner:
    """This process as the owner of entries, until `release` or its end. The constructor raises OSError."""

    def __init__(self, directory: Path) -> None:
        import secrets

        self.name = secrets.token_hex(8)
        lock = Lock.try_take(_path(directory, self.name))
        assert lock is not None, "the name is new"
        self._lock = lock
        self._places: dict[str, int] = {}
        self.kept: dict[str, Response] = {}
        """The responses in the file, by entry ID, until they are in the journal."""

    def note_sending(self, entry_id: str) -> None:
        """Write the record of an entry that is about to be sent. Raise OSError."""
        if entry_id not in self._places:
            place = RECORD * len(self._places)
            self._lock.write(place, _record(entry_id))
            self._places[entry_id] = place

    def keep_response(self, entry_id: str, response: Response) -> bool:
        """Write a response into the record of its entry, durably. Return whether that was possible."""
        record = _record(entry_id, response.kind, response.id)
        if len(record) > RECORD:
            return False
        try:
            self._lock.write(self._places[entry_id], record)
            self._lock.sync()
        except OSError:
            return False
        self.kept[entry_id] = response
        return True

    def release(self) -> None:
        """Release every entry. The file is kept if it has responses that may be missing from the journal."""
        self._lock.release(remove=not self.kept)


def is_alive(directory: Path, name: str | None) -> bool:
    """Return whether the process with this name is alive. Remove the empty file of a dead one."""
    if name is None:
        return False
    held = is_held(_path(directory, name))
    if not held:
        with contextlib.suppress(OSError):
            if _path(directory, name).stat().st_size == 0:
                _path(directory, name).unlink()
    return held


def sent_by(directory: Path, name: str | None) -> dict[str, Response | None]:
    """Return the entry IDs that a process has sent, with the response that the journal could not store.

    Raise OSError.
    """
    return {} if name is None else read_records(_path(directory, name))


def read_records(path: Path) -> dict[str, Response | None]:
    """Return the records in the file of a dead process, as `sent_by` does. Raise OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    found: dict[str, Response | None] = {}
    for place in range(0, len(content), RECORD):
        match content[place : place + RECORD].decode("ascii", "replace").split():
            case [entry_id, ("task_id" | "seen_id") as kind, response_id]:
                found[entry_id] = Response(kind, response_id)
            case [entry_id]:
                found[entry_id] = None
    return found


def files_of_dead(directory: Path) -> list[Path]:
    """Return the files of dead processes that have records.

    A new file that its process has not locked yet is empty, so it is not mistaken for one of these.
    """
    found = []
    for path in directory.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):  # its process has just removed it
            if path.stat().st_size and not is_held(path):
                found.append(path)
    return found


def _path(directory: Path, name: str) -> Path:
    return directory / f"{name}.lock"


def _record(*words: str) -> bytes:
    return f"{' '.join(words):<{RECORD - 1}}\n".encode("ascii")
