"""URLs for local images. The same content is uploaded once, and again only after its upload has expired."""

import asyncio
import time
from collections.abc import Iterable
from typing import Protocol

from ..errors import NetworkError, RefusedError
from ..journal.entries import REUSE_SECONDS, Entry
from ..journal.journal import Journal
from ..operations.base import LOCAL
from ..piapi.client import PiAPIClient
from ..piapi.refusals import TemporaryError
from ..system.clock import Clock
from .events import Listener, Trouble, Uploading

UPLOAD_SECONDS = 24 * 3600
"""Uploads are kept for 24 hours (docs/internals/service.md, section 4)."""
UPLOAD_MARGIN = 2 * 3600
"""Seconds. An upload that expires sooner is repeated, because the task may be queued before PiAPI reads the image."""
TRIES = 5


class LocalImages(Protocol):
    """Local images by their references."""

    def __contains__(self, reference: str) -> bool: ...

    def content(self, reference: str) -> bytes:
        """Return the bytes that are uploaded."""

    def file_name(self, reference: str) -> str:
        """Return the name of the upload."""


class Uploader:
    """The URLs of local images, which are uploaded at most once, even if several tasks need one at the same time.

    upload_service: the origin of the upload service.
    """

    def __init__(
        self,
        client: PiAPIClient,
        journal: Journal,
        images: LocalImages,
        *,
        upload_service: str,
        clock: Clock,
    ) -> None:
        self._client, self._journal, self._images = client, journal, images
        self._upload_service, self._clock = upload_service, clock
        self._locks: dict[str, asyncio.Lock] = {}

    async def find_urls(self, entry: Entry, references: Iterable[str], listener: Listener) -> dict[str, str]:
        """Return the URLs of local images, by reference. entry: the entry that needs them.

        Raise RefusedError, CreditsError, KeyRefusedError, NetworkError. Uploads are free.
        """
        return {reference: await self._find_url(entry, reference, listener) for reference in references}

    async def _find_url(self, entry: Entry, reference: str, listener: Listener) -> str:
        async with self._locks.setdefault(reference, asyncio.Lock()):
            now = time.time()
            if known := known_url(self._journal, reference, now + UPLOAD_MARGIN):
                return known
            url = await self._upload(entry, reference, listener)
            self._journal.image_urls.remember_upload(reference.removeprefix(LOCAL), url, expires=now + UPLOAD_SECONDS)
            return url

    async def _upload(self, entry: Entry, reference: str, listener: Listener) -> str:
        if reference not in self._images:  # an earlier command uploaded it, and that upload has expired
            raise RefusedError("PiAPI no longer has the input image", code="no_image")
        content = self._images.content(reference)
        listener(Uploading(entry.id, len(content)))
        attempt = 0
        while True:
            try:
                return await self._client.upload(self._upload_service, self._images.file_name(reference), content)
            except TemporaryError as trouble:
                attempt += 1
                if attempt == TRIES:
                    message = f"the image could not be uploaded: {trouble.message}"
                    raise NetworkError(message, hint="Try again later") from trouble
                wait = self._clock.backoff(attempt, trouble.retry_after)
                listener(Trouble(entry.id, f"the upload failed: {trouble.message}", wait))
                await self._clock.sleep(wait)


def known_url(journal: Journal, reference: str, until: float) -> str | None:
    """Return the URL of a local image that PiAPI already hosts, as a result or as an upload; None if there is none.

    until: the time until which the upload must exist, in seconds since the epoch.
    """
    sha256, since = reference.removeprefix(LOCAL), time.time() - REUSE_SECONDS
    urls = journal.image_urls
    return urls.find_result(sha256, since) or urls.find_upload(sha256, alive_until=until)
