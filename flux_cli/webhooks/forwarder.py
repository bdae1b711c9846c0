"""Forwarding of deliveries to another URL, and running a command for each saved image."""

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ..config.urls import is_local, web_address
from ..errors import ConfigError, UsageError
from ..journal.entries import Entry
from ..piapi.http_errors import environment_settings, plain_words
from ..system.clock import Clock
from ..text import clean, quoted

TRIES = 3
PATIENCE = 10.0
"""The timeout for the other server, in seconds."""
STDERR = 2
"""The output of the command goes to stderr, because stdout is for the results of flux."""


def forward_url(text: str) -> str:
    """Return the URL of `--forward`. Raise UsageError if it is invalid."""
    try:
        return web_address(text)
    except ValueError as problem:
        raise UsageError(f"invalid --forward: expected {problem}") from None


def split_command(text: str, platform: str = sys.platform) -> tuple[str, ...]:
    """Return the words of a command, split as in a POSIX shell. It is run without a shell. Raise UsageError.

    On Windows a backslash is part of a path, and only double quotes are quotes.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if platform == "win32":
        lexer.escape, lexer.quotes = "", '"'
    try:
        words = tuple(lexer)
    except ValueError as problem:
        raise UsageError(f"--exec: {str(problem).lower()}") from None
    if not words:
        raise UsageError("--exec: no command")
    return words


def find_command(text: str) -> tuple[str, ...]:
    """Return the words of a command. Raise UsageError if its program is not installed."""
    words = split_command(text)
    if shutil.which(words[0]) is None:
        raise UsageError(f"--exec: program {quoted(words[0], 80)} not found")
    return words


@dataclass(frozen=True)
class Forwarder:
    """The forwarding of deliveries to `url`, and of the path of each image to `command`. Failures are warnings.

    environ: the environment of the command, to which the variables that describe the image are added.
    """

    url: str | None
    command: Sequence[str]
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    clock: Clock
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def forward(self, task_id: str, body: bytes) -> None:
        """POST the unchanged body of a delivery, without the header with the secret, up to TRIES times."""
        if self.url is None:
            return
        parts = urlsplit(self.url)
        failure = ""
        try:
            with environment_settings():
                client = httpx.AsyncClient(trust_env=not is_local(self.url), timeout=PATIENCE)
        except ConfigError as error:
            self.warn(f"cannot forward the webhook of task {task_id}: {error.message}")
            return
        async with client:
            for attempt in range(1, TRIES + 1):
                failure = await self._post(client, self.url, body)
                if not failure:
                    return
                if attempt < TRIES:
                    await self.clock.sleep(self.clock.backoff(attempt))
        # The query is omitted, because it may contain a secret.
        where = clean(f"{parts.scheme}://{parts.netloc}{parts.path}", 120)
        self.warn(f"cannot forward the webhook of task {task_id} to {where}: {failure} ({TRIES} tries)")

    async def _post(self, client: httpx.AsyncClient, url: str, body: bytes) -> str:
        """Send the request once. Return the failure, or an empty string."""
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(PATIENCE),
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                return "" if response.is_success else f"HTTP {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return plain_words(error)

    async def run(self, entry: Entry) -> None:
        """Run the command for each image of an entry, one at a time, in the order in which they were saved."""
        if not self.command:
            return
        async with self._turn:
            for file in entry.files:
                if failure := await self._run_one(entry, file.path):
                    self.warn(f"--exec {clean(self.command[0], 80)} {failure} for {clean(str(file.path), 200)}")

    async def _run_one(self, entry: Entry, path: Path) -> str:
        """Run the command for an image. Return the failure, or an empty string."""
        about = {"FLUX_TASK_ID": entry.task_id or "", "FLUX_ENTRY": entry.id}
        about["FLUX_PROMPT"] = entry.request.operation.prompt or "" if entry.request else ""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                os.fspath(path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=STDERR,
                env={**self.environ, **about},
                start_new_session=True,  # Ctrl-C must not interrupt a running command
            )
        except (OSError, ValueError) as error:
            return f"cannot be run ({getattr(error, 'strerror', None) or error})"
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        if code < 0:
            return f"ended by signal {-code}"
        return f"exited with code {code}" if code else ""
