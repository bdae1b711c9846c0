"""The context in which tasks run: an account, its journal, its limits, and clients for PiAPI."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.catalog import Catalog
from ..frozen import frozen
from ..journal.budgets import Budget
from ..journal.journal import Journal
from ..json_value import JsonObject, strings_in
from ..operations.request import TaskRequest
from ..system.clock import Clock
from .input_images import ImageStore

if TYPE_CHECKING:
    from ..piapi.client import PiAPIClient
    from ..piapi.image_download import Downloader

Body = Callable[[TaskRequest, Mapping[str, str]], JsonObject]
"""Writes the JSON of a request; the mapping has the URLs of its local images, by reference."""
SLACK_SECONDS = 600.0
"""An uploaded image must still be there when the request has waited for its turn."""


@frozen
class RunContext:
    """An account on this machine.

    upload_service: the origin of the upload service.
    directory: the output directory, absolute. private_directory: the directory for copies of images written to a pipe.
    concurrency: the most unfinished tasks of all processes. slots_directory: in it they share that limit.
    timeout: seconds to wait.
    cache_seconds: how long an identical request reuses an image.
    images: the local images of this command's requests.
    note, warn: show a line to the user.
    """

    upload_service: str
    journal: Journal
    catalog: Catalog
    directory: Path
    private_directory: Path
    slots_directory: Path
    concurrency: int
    timeout: float
    clock: Clock
    cache_seconds: float
    budgets: tuple[Budget, ...]
    images: ImageStore
    make_body: Body
    make_client: "Callable[[], PiAPIClient]"
    make_downloader: "Callable[[], Downloader]"
    note: Callable[[str], None]
    warn: Callable[[str], None]

    def images_sent(self, request: TaskRequest) -> list[str]:
        """Return the references to local images in a request as it is sent: a dialect may leave one out."""
        written = set(strings_in(self.make_body(request, {})))
        return [image for image in request.local_images if image in written]

    def lacks_inputs(self, request: TaskRequest) -> bool:
        """Return whether PiAPI no longer has a local image of a stored request, which cannot be uploaded again."""
        from ..engine.uploader import UPLOAD_MARGIN, known_url  # slow to import

        until = time.time() + UPLOAD_MARGIN + SLACK_SECONDS
        return any(known_url(self.journal, image, until) is None for image in self.images_sent(request))
