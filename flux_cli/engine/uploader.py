"""Local pictures to addresses that the service can read: each content is uploaded once, for as long as it lives."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import field

from ..errors import NetworkError
from ..frozen import frozen
from ..images.load import InputImage
from ..journal.entries import Entry
from ..journal.journal import Journal
from ..operations.operations import LOCAL
from ..piapi.client import PiAPIClient
from ..piapi.errors import TemporaryError
from ..system.signals import Sleep
from .events import Listener, Noted, Trouble
from .poll_schedule import backoff

LIFE_SECONDS = 24 * 3600
"""Uploads are kept for 24 hours (docs/service.md, section 4)."""
MARGIN_SECONDS = 2 * 3600
"""An upload that dies sooner than this is made anew: the task may have to wait before it is worked on."""
TRIES = 5


@frozen
class Uploader:
    """Uploads the local pictures of requests. `inputs` are they, by reference; `service` is the upload origin."""

    client: PiAPIClient
    journal: Journal
    listener: Listener
    inputs: Mapping[str, InputImage]
    service: str
    profile: str
    sleep: Sleep
    scale: float
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def addresses(self, entry: Entry, references: Iterable[str]) -> dict[str, str]:
        """The addresses of local pictures, by reference; `entry` is the one that needs them.

        Raises RefusedError, CreditsError, KeyRefusedError, NetworkError; nothing was charged.
        """
        return {reference: await self._address(entry, reference) for reference in references}

    async def _address(self, entry: Entry, reference: str) -> str:
        async with self._locks.setdefault(reference, asyncio.Lock()):
            sha256, now = reference.removeprefix(LOCAL), time.time()
            until = now + MARGIN_SECONDS
            known = self.journal.upload_of(sha256, service=self.service, profile=self.profile, alive_until=until)
            if known:
                return known
            url = await self._upload(entry, self.inputs[reference])
            expires = now + LIFE_SECONDS
            self.journal.remember_upload(sha256, url, service=self.service, profile=self.profile, expires=expires)
            return url

    async def _upload(self, entry: Entry, image: InputImage) -> str:
        self.listener(Noted(entry.id, f"uploading a picture of {len(image.content) / 1e6:.1f} MB"))
        name = f"{image.sha256[:16]}.{image.extension}"
        attempt = 0
        while True:
            try:
                return await self.client.upload(self.service, name, image.content)
            except TemporaryError as trouble:
                attempt += 1
                if attempt == TRIES:
                    raise NetworkError(f"the picture could not be uploaded: {trouble.message}") from trouble
                wait = trouble.retry_after if trouble.retry_after is not None else backoff(attempt, self.scale)
                self.listener(Trouble(entry.id, f"the upload failed: {trouble.message}", wait))
                await self.sleep(wait)
