"""The options of `flux listen`."""

from pathlib import Path
from typing import Annotated

from ...frozen import frozen
from ...operations.parameters import Group, Option


@frozen
class ListenArguments(Group):
    """How webhooks are received."""

    title = "Server"

    port: Annotated[
        int, Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 picks a free port.")
    ] = 8518
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    webhook_secret_file: Annotated[
        Path | None,
        Option(
            "--webhook-secret-file",
            metavar="FILE",
            help="File with the secret that every webhook must carry. [env: FLUX_WEBHOOK_SECRET]",
        ),
    ] = None
    forward: Annotated[
        str | None, Option("--forward", metavar="URL", help="Forward each webhook, unchanged, to URL.")
    ] = None
    command: Annotated[
        str | None,
        Option(
            "--exec",
            metavar="CMD",
            help="Run CMD for each saved image, with the image's path as the last argument. No shell is used.",
        ),
    ] = None
    count: Annotated[int | None, Option("--count", metavar="N", min=1, help="Exit after N tasks are saved.")] = None

    def settings(self) -> dict[str, str | None]:
        """Return the settings that these options give."""
        return {"webhook_secret_file": None if self.webhook_secret_file is None else str(self.webhook_secret_file)}
