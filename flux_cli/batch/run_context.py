"""The context in which tasks run: one account, its journal, its limits, and ways to reach PiAPI."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.catalog import Catalog
from ..frozen import frozen
from ..journal.budgets import Budget
from ..journal.journal import Journal
from ..json_value import JsonObject
from ..operations.request import TaskRequest
from ..system.clock import Clock
from .input_images import ImageStore

if TYPE_CHECKING:
    from ..piapi.client import PiAPIClient
    from ..piapi.image_download import Downloader

Body = Callable[[TaskRequest, Mapping[str, str]], JsonObject]
"""Writes the JSON of a request; the mapping has the URLs of its local images, by reference."""


@frozen
class RunContext:
    """One account on this machine.

    upload_service: the origin of the upload service that belongs to the account's service.
    folder: where images go, absolute. private_folder: for images that only pass through.
    concurrency: unfinished tasks at once, all processes together; slots_folder: where they share that limit.
    timeout: seconds to wait.
    cache_seconds: how long an identical request is not paid for again.
    images: the local images of this command's requests.
    note, warn: show a line to the user.
    """

    upload_service: str
    journal: Journal
    catalog: Catalog
    folder: Path
    private_folder: Path
    slots_folder: Path
    concurrency: int
    timeout: float
    clock: Clock
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
