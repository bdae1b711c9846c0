"""What running tasks needs: one account, its journal, its limits, and ways to reach PiAPI."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.catalog import Catalog
from ..frozen import frozen
from ..journal.budgets import Allowance, Budget
from ..journal.entries import Entry, State
from ..journal.journal import Journal
from ..json_value import JsonObject
from ..operations.request import TaskRequest
from .image_store import ImageStore

if TYPE_CHECKING:
    from ..piapi.client import PiAPIClient
    from ..piapi.image_download import Downloader

Body = Callable[[TaskRequest, Mapping[str, str]], JsonObject]
"""Writes the JSON of a request; the mapping has the URLs of its local images, by reference."""


@frozen
class Workspace:
    """One account on this machine.

    service, profile: whose entries these are; `upload_service` is the origin of the upload service that belongs to it.
    folder: where images go, absolute. private_folder: for images that only pass through.
    concurrency: unfinished tasks at once, all processes together; slots_folder: where they share that limit.
    timeout: seconds to wait; scale: multiplies expected durations and backoffs.
    cache_seconds: how long an identical request is not paid for again.
    images: the local images of this command's requests.
    note, warn: show a line to the user.
    """

    service: str
    profile: str
    upload_service: str
    journal: Journal
    catalog: Catalog
    folder: Path
    private_folder: Path
    slots_folder: Path
    concurrency: int
    timeout: float
    scale: float
    cache_seconds: float
    budgets: tuple[Budget, ...]
    images: ImageStore
    body: Body
    client: "Callable[[], PiAPIClient]"
    downloader: "Callable[[], Downloader]"
    note: Callable[[str], None]
    warn: Callable[[str], None]

    def price(self, request: TaskRequest) -> Decimal:
        """Return the expected price of a request, USD."""
        return self.catalog.price(request)

    def entries(self, *states: State, task_id: str | None = None) -> list[Entry]:
        """Return this account's entries in one of `states` (none given: all), or those of one task."""
        return self.journal.entries(states=states, service=self.service, profile=self.profile, task_id=task_id)

    def find(self, word: str) -> Entry | None:
        """Return this account's newest entry with this entry ID or task ID."""
        return self.journal.find(word, service=self.service, profile=self.profile)

    def find_planned(self, identity: str) -> Entry | None:
        """Return this account's newest entry for a planned task of this identity."""
        return self.journal.find_row(identity, service=self.service, profile=self.profile)

    def find_identical(self, request: TaskRequest) -> Entry | None:
        """Return the newest entry with this very request, seed included, submitted within the cache time."""
        since = time.time() - self.cache_seconds
        return self.journal.twin(request, service=self.service, profile=self.profile, since=since)

    def find_seed(self, request: TaskRequest) -> int | None:
        """Return the seed of the newest entry whose request is this one but for its seed, within the cache time."""
        since = time.time() - self.cache_seconds
        return self.journal.seed_of(request, service=self.service, profile=self.profile, since=since)

    def allowances(self) -> list[Allowance]:
        """Return what is left of each budget now."""
        if not self.budgets:
            return []
        return self.journal.allowances(self.budgets, time.time(), service=self.service, profile=self.profile)
