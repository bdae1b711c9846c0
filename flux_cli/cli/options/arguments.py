"""The options of `flux listen`."""

from pathlib import Path
from typing import Annotated

from ...frozen import frozen
from ...operations.parameters import Group, Option


@frozen
class ListenArguments(Group):
    """How webhooks are received."""

    title = "Server"

    port: Annotated[int, Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.")] = 8518
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="Another address to listen at.")] = "127.0.0.1"
    webhook_secret_file: Annotated[
        Path | None,
        Option("--webhook-secret-file", metavar="FILE", help="What deliveries bring; or FLUX_WEBHOOK_SECRET."),
    ] = None
    forward: Annotated[str | None, Option("--forward", metavar="URL", help="Pass each delivery on, as it came.")] = None
    command: Annotated[
        str | None, Option("--exec", metavar="CMD", help="Run it for each picture, whose name comes last.")
    ] = None
    count: Annotated[int | None, Option("--count", metavar="N", min=1, help="Stop after so many tasks are saved.")] = (
        None
    )

    def settings(self) -> dict[str, str | None]:
        """Return the settings that these options give."""
        return {"webhook_secret_file": None if self.webhook_secret_file is None else str(self.webhook_secret_file)}
