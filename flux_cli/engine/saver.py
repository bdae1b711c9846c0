"""Saving the pictures of a finished task: download, verify, give the name."""

import asyncio
import errno
import hashlib
from dataclasses import replace
from pathlib import Path

from ..errors import DiskError, NotSavedError
from ..frozen import frozen
from ..images.metadata import texts_for
from ..images.output_names import unique
from ..images.png import with_texts
from ..journal.entries import Entry, SavedFile, State
from ..journal.entry_errors import problem_of
from ..journal.journal import Journal
from ..piapi.client import PiAPIClient
from ..piapi.errors import NoSuchTaskError, PassingTroubleError
from ..piapi.image_download import Download, Downloader, DownloadError, ForbiddenError, GoneError, rewritten, unpack
from ..piapi.task import Task
from ..system.atomic_files import place
from ..system.signals import Sleep
from ..text import counted
from .events import Fetching, Listener, Noted, Trouble
from .poll_schedule import backoff

TRIES = 5


@frozen
class Saver:
    """Turns ready entries into files."""

    client: PiAPIClient
    downloader: Downloader
    journal: Journal
    listener: Listener
    sleep: Sleep
    scale: float

    async def save(self, entry: Entry, task: Task | None) -> Entry:
        """The entry, saved. `task` is the last look, which may hold pictures inline.

        Raises NotSavedError, DiskError, KeyRefusedError, JournalError; the entry stays ready, or is expired.
        """
        if task is None and not entry.urls:
            task = await self._ask_again(entry)
        self.listener(Fetching(entry.id, max(len(entry.urls), 1)))
        try:
            entry, files = await self._fetch_all(entry, task)
        except OSError as error:
            raise disk_error(error, entry) from error
        return self.journal.move(entry, replace(entry, state=State.SAVED, files=tuple(files)))

    async def _fetch_all(self, entry: Entry, task: Task | None) -> tuple[Entry, list[SavedFile]]:
        files: list[SavedFile] = []
        if not entry.urls and task is not None:
            for index, inline in enumerate(task.inline):
                files.append(await self._placed(entry, index, self._unpack(entry, index, inline)))
        index = 0
        while index < len(entry.urls):
            try:
                download = await self._fetch(entry, index)
            except GoneError as gone:
                entry = await self._fresh(entry, str(gone))
                download = await self._fetch_fresh(entry, index)
            files.append(await self._placed(entry, index, download))
            index += 1
        if not files:
            raise self._not_saved(entry, "the service lists no picture")
        return entry, files

    async def _fetch(self, entry: Entry, index: int) -> Download:
        attempt = 0
        while True:
            try:
                return await self.downloader.fetch(entry.urls[index], self._target(entry, index))
            except GoneError:
                raise
            except ForbiddenError as error:
                raise self._not_saved(entry, str(error)) from error
            except DownloadError as error:
                attempt += 1
                if attempt == TRIES:
                    raise self._not_saved(entry, str(error)) from error
                wait = backoff(attempt, self.scale)
                self.listener(Trouble(entry.id, str(error), wait))
                await self.sleep(wait)

    async def _fresh(self, entry: Entry, gone: str) -> Entry:
        """The entry with the addresses that the task has now: old ones expire (docs/promises.md)."""
        task = await self._ask_again(entry)
        if len(task.urls) < len(entry.urls):
            raise self._expired(entry, gone)
        return self.journal.move(entry, replace(entry, urls=task.urls))

    async def _fetch_fresh(self, entry: Entry, index: int) -> Download:
        try:
            return await self._fetch(entry, index)
        except GoneError as gone:
            raise self._expired(entry, str(gone)) from gone

    async def _ask_again(self, entry: Entry) -> Task:
        assert entry.task_id is not None
        try:
            return await self.client.look(entry.task_id)
        except PassingTroubleError as error:
            raise self._not_saved(entry, error.message) from error
        except NoSuchTaskError as error:
            raise self._expired(entry, str(error)) from error

    def _unpack(self, entry: Entry, index: int, inline: str) -> Download:
        try:
            return unpack(inline, self._target(entry, index))
        except DownloadError as error:
            raise self._not_saved(entry, str(error)) from error

    def _target(self, entry: Entry, index: int) -> Path:
        target = entry.output.path(index, entry.task_id or entry.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    async def _placed(self, entry: Entry, index: int, download: Download) -> SavedFile:
        """The picture with its name. In a thread: other tasks go on while the disk takes it."""
        planned, extension = self._target(entry, index), download.picture.extension
        saved = await asyncio.to_thread(_place, entry, planned, download)
        if planned.suffix.lower() != f".{extension}":
            self.listener(Noted(entry.id, f"the picture is {extension}: saved as {saved.path.name}"))
        elif saved.path != planned:
            self.listener(Noted(entry.id, f"{planned.name} exists by now: saved as {saved.path.name}"))
        return saved

    def _not_saved(self, entry: Entry, reason: str) -> NotSavedError:
        return NotSavedError(
            f"the picture of task {entry.task_id} could not be saved: {reason}",
            hint="try again at no cost: flux resume",
        )

    def _expired(self, entry: Entry, reason: str) -> NotSavedError:
        error = NotSavedError(f"the picture of task {entry.task_id} has expired: {reason}", code="expired")
        self.journal.move(entry, replace(entry, state=State.EXPIRED, problem=problem_of(error)))
        return error


def _place(entry: Entry, planned: Path, download: Download) -> SavedFile:
    """Give the picture its name, with the extension that its bytes deserve; never on top of another file."""
    try:
        download = _with_metadata(download, entry)
        named = planned.suffix.lower() == f".{download.picture.extension}"
        target = planned if named else planned.with_suffix(f".{download.picture.extension}")
        while True:
            try:
                # With another extension it is not the file that the user allowed to be replaced.
                place(download.path, target, overwrite=entry.output.overwrite and named and target == planned)
                return SavedFile(target, download.sha256)
            except FileExistsError:
                if _holds(target, download.sha256):  # placed before a crash that came before the journal
                    return SavedFile(target, download.sha256)
                target = unique(target, lambda path: path.exists() or path.is_symlink())
    finally:
        download.path.unlink(missing_ok=True)


def _with_metadata(download: Download, entry: Entry) -> Download:
    """The same picture, telling how it was made; only a PNG can, without encoding a pixel anew."""
    if entry.request is None or not entry.output.metadata or download.picture.extension != "png":
        return download
    texts = texts_for(entry.request, entry.task_id or "", entry.price)
    return rewritten(download, with_texts(download.path.read_bytes(), texts))


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file is there already with exactly this content."""
    try:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def disk_error(error: OSError, entry: Entry) -> DiskError:
    """The error for a picture that the disk did not take."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = "the disk is full" if full else error.strerror or "cannot write"
    where = error.filename or entry.output.paths[0]
    pictures = counted(len(entry.urls) or 1, "picture")
    return DiskError(
        f"{what}: {where}; {pictures} of task {entry.task_id} paid for and not saved",
        hint=f"{'make room' if full else 'mend that'}, then fetch it at no cost: flux resume",
    )
