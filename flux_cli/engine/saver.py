"""Saving of the images of a completed task: download, verify, rename.

A broken URL does not prove that the image was deleted: the CDN may lag behind the task, or PiAPI may have a new URL.
So the task is polled before every retry.
"""

import asyncio
import errno
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..config.urls import is_local
from ..errors import DiskError, KeyRefusedError, NotSavedError
from ..frozen import frozen
from ..images.metadata import sandbox_mark, texts_for
from ..images.output_names import unique
from ..images.png import with_texts
from ..journal.entries import Entry, SavedFile, State
from ..journal.journal import Journal
from ..piapi.client import PiAPIClient
from ..piapi.image_download import Download, Downloader, DownloadError, ForbiddenError, rewrite, save_inline
from ..piapi.refusals import TaskNotFoundError, TemporaryError
from ..piapi.task import Task
from ..system.atomic_files import make_directory, move_into_place
from ..system.clock import Clock
from ..text import counted
from .events import Fetching, Listener, Noted, Trouble
from .poll_schedule import PollLimiter
from .poller import MISSING_SECONDS, Misses, record_expiry

RETRY_SECONDS = 60.0
"""Seconds after the first failure during which downloads are retried."""
FORBIDDEN_TRIES = 2
"""Attempts with a URL that must not be fetched. PiAPI gets one chance to list another."""
LARGEST_BATCH, MORE_IMAGES = 4, 4
"""The most images of a request, and the most extra images that are saved: ControlNet may return its input."""


@dataclass
class _Retry:
    """The failures while one entry is saved.

    until: the time on the clock to give up, set by the first failure. answered: whether PiAPI responded to a poll.
    """

    until: float = 0.0
    answered: bool = False
    failures: int = 0
    forbidden: int = 0
    misses: Misses = field(default_factory=Misses)
    refused: KeyRefusedError | None = None


@frozen
class Saver:
    """The saving of ready entries as files.

    poll_limiter: shared by all polls of the process.
    deadline: the time on the clock when all retries end; None if each entry has RETRY_SECONDS.
    """

    client: PiAPIClient
    downloader: Downloader
    journal: Journal
    listener: Listener
    poll_limiter: PollLimiter
    clock: Clock
    deadline: float | None = None

    async def save(self, entry: Entry, task: Task | None) -> Entry:
        """Save the images of an entry, and return the saved entry.

        task: the completed task from the latest poll; None for an entry whose URLs may be old, so that its task is
        polled first.
        Raise NotSavedError, DiskError, KeyRefusedError, JournalError. The entry stays ready unless it has expired.
        """
        retry, files = _Retry(), list[SavedFile]()
        while True:
            try:
                if task is None:
                    entry, task = await self._refresh(entry, retry)
                await self._save_images(entry, task, files)
                return self.journal.move(entry, replace(entry, state=State.SAVED, files=tuple(files)))
            except DownloadError as error:
                await self._pause(entry, error, retry)
                task = None
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise disk_error(error, entry) from error
                await self._pause(entry, DownloadError("too many open files"), retry)  # until other tasks end

    async def _refresh(self, entry: Entry, retry: _Retry) -> tuple[Entry, Task | None]:
        """Return the entry with the current URLs of its task, and the task; None if it cannot be polled."""
        assert entry.task_id is not None
        await self.poll_limiter.wait()
        try:
            task = await self.client.poll(entry.task_id)
        except KeyRefusedError as refused:
            retry.refused = refused  # the known URLs may still work
            return entry, None
        except TemporaryError:
            retry.misses = Misses()
            return entry, None
        except TaskNotFoundError:
            retry.answered = True
            retry.misses.add(self.clock.now())
            return entry, None
        retry.answered, retry.misses, retry.refused = True, Misses(), None
        if len(task.urls) >= len(entry.urls):  # a response with fewer images must not remove URLs
            entry = self.journal.move(entry, replace(entry, urls=task.urls))
        return entry, task

    async def _save_images(self, entry: Entry, task: Task | None, files: list[SavedFile]) -> None:
        """Save the images that are not in `files` yet, and add them to it. Raise DownloadError, OSError."""
        inline = task.inline if task and not entry.urls else ()
        listed = len(entry.urls) or len(inline)
        if not listed:
            raise DownloadError("PiAPI lists no image")
        ordered = entry.request.operation.batch_size if entry.request else LARGEST_BATCH
        count = min(listed, ordered + MORE_IMAGES)
        self.listener(Fetching(entry.id, count))
        for index in range(len(files), count):
            if index < len(entry.files) and entry.files[index].is_usable():  # saved by another entry of the task
                files.append(entry.files[index])
                continue
            target = self._prepare_target(entry, index)
            if inline:
                download = await save_inline(inline[index], target)
            else:
                download = await self.downloader.fetch(entry.urls[index], target)
            files.append(await self._place(entry, index, download))
        if count < listed:
            where = f"all URLs: flux status {entry.task_id} --json"
            self.listener(Noted(entry.id, f"PiAPI lists {listed} images; saved the first {count} ({where})"))

    async def _pause(self, entry: Entry, error: DownloadError, retry: _Retry) -> None:
        """Wait before the next attempt. Raise NotSavedError or KeyRefusedError if there is none."""
        now = self.clock.now()
        if not retry.failures:
            retry.until = min(
                now + RETRY_SECONDS * self.clock.scale, math.inf if self.deadline is None else self.deadline
            )
        retry.failures += 1
        retry.forbidden += isinstance(error, ForbiddenError)
        if now >= retry.until or retry.forbidden >= FORBIDDEN_TRIES:
            raise self._give_up(entry, str(error), retry, now) from error
        wait = min(self.clock.backoff(retry.failures), retry.until - now)
        if retry.failures == 1:
            self.listener(Trouble(entry.id, str(error), wait))
        await self.clock.sleep(wait)

    def _give_up(self, entry: Entry, why: str, retry: _Retry, now: float) -> NotSavedError | KeyRefusedError:
        if retry.refused:
            return retry.refused
        if retry.misses.are_proof(now, MISSING_SECONDS * self.clock.scale):
            return record_expiry(self.journal, entry, f"PiAPI no longer has it, and {why}")
        if retry.answered and entry.expires is not None and time.time() >= entry.expires:
            return record_expiry(self.journal, entry, f"PiAPI keeps images for 7 days, and {why}")
        hint = "PiAPI keeps images for 7 days; try again with"
        return NotSavedError(f"the image of task {entry.task_id} could not be saved: {why}", hint=hint)

    def _prepare_target(self, entry: Entry, index: int) -> Path:
        target = entry.output.path(index, entry.task_id or entry.id)
        make_directory(target.parent)
        return target

    async def _place(self, entry: Entry, index: int, download: Download) -> SavedFile:
        """Give an image its final name, in a thread, so that other tasks continue while the disk is busy."""
        planned, extension = self._prepare_target(entry, index), download.image.extension
        saved = await asyncio.to_thread(_place, entry, planned, download)
        if planned.suffix.lower() != f".{extension}":
            self.listener(Noted(entry.id, f"the image is {extension}; saving as {saved.path.name}"))
        elif saved.path != planned:
            self.listener(Noted(entry.id, f"{planned.name} exists; saving as {saved.path.name}"))
        return saved


def _place(entry: Entry, planned: Path, download: Download) -> SavedFile:
    """Give the image its final name, with the extension of its format. Never replace an unrelated file."""
    try:
        download = _with_metadata(download, entry)
        named = planned.suffix.lower() == f".{download.image.extension}"
        target = planned if named else planned.with_suffix(f".{download.image.extension}")
        while True:
            saved = SavedFile(target, download.sha256)
            try:
                # With another name it is not the file that the user allowed to be replaced.
                move_into_place(download.path, target, overwrite=entry.output.overwrite and named and target == planned)
                return saved
            except FileExistsError:
                if saved.is_whole():  # placed before a crash, but not recorded
                    return saved
                target = unique(target, lambda path: path.exists() or path.is_symlink())
    finally:
        download.path.unlink(missing_ok=True)


def _with_metadata(download: Download, entry: Entry) -> Download:
    """Return the image with its request, or the mark of the sandbox, embedded. Only a PNG can contain these."""
    if download.image.extension != "png":
        return download
    sandbox = is_local(entry.service)
    if entry.request is not None and entry.output.metadata:
        texts = texts_for(entry.request, entry.task_id or "", entry.price, sandbox=sandbox)
    elif sandbox:
        texts = sandbox_mark()
    else:
        return download
    return rewrite(download, with_texts(download.path.read_bytes(), texts))


def disk_error(error: OSError, entry: Entry) -> DiskError:
    """Return the error for an image that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "the disk is full" if full else error.strerror or "cannot write"
    where = error.filename or entry.output.paths[0]
    images = counted(len(entry.urls) or 1, "image")
    hint = "Make room, then run" if full else "Fix the problem, then run"
    return DiskError(f"cannot save {images} of task {entry.task_id}: {why}: {where}", hint=hint)
