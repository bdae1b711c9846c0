"""Forward deliveries to another URL, and run a command for each saved image."""

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
"""Seconds that the other server has to respond."""
STDERR = 2
"""The output of a command is not a result of flux."""


def forward_url(text: str) -> str:
    """Return a URL to forward deliveries to. Raise UsageError."""
    try:
        return web_address(text)
    except ValueError as problem:
        raise UsageError(f"invalid --forward: expected {problem}") from None


def split_command(text: str, platform: str = sys.platform) -> tuple[str, ...]:
    """Return the words of a command, as a POSIX shell splits them; no shell ever sees it. Raise UsageError.

    On Windows a backslash is part of a path, and only double quotes quote.
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
    """Return the words of a command whose program is installed. Raise UsageError."""
    words = split_command(text)
    if shutil.which(words[0]) is None:
        raise UsageError(f"--exec: program {quoted(words[0], 80)} not found")
    return words


@dataclass(frozen=True)
class Forwarder:
    """Forwards deliveries to `url`, and runs `command` with the path of each image. Warns of failures.

    environ: the command's environment, without the variables that describe the image.
    """

    url: str | None
    command: Sequence[str]
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    clock: Clock
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def forward(self, task_id: str, body: bytes) -> None:
        """POST the body of a delivery, unchanged, without the secret's header; at most TRIES times."""
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
        # Without the query, which may contain a secret of the user's.
        where = clean(f"{parts.scheme}://{parts.netloc}{parts.path}", 120)
        self.warn(f"cannot forward the webhook of task {task_id} to {where}: {failure} ({TRIES} tries)")

    async def _post(self, client: httpx.AsyncClient, url: str, body: bytes) -> str:
        """Try once. Return what went wrong, or nothing."""
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
        """Run the command for each image of an entry: one at a time, in the order in which they were saved."""
        if not self.command:
            return
        async with self._turn:
            for file in entry.files:
                if failure := await self._run_one(entry, file.path):
                    self.warn(f"--exec {clean(self.command[0], 80)} {failure} for {clean(str(file.path), 200)}")

    async def _run_one(self, entry: Entry, path: Path) -> str:
        """Run the command for one image. Return what went wrong, or nothing."""
        about = {"FLUX_TASK_ID": entry.task_id or "", "FLUX_ENTRY": entry.id}
        about["FLUX_PROMPT"] = entry.request.operation.prompt or "" if entry.request else ""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                os.fspath(path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=STDERR,
                env={**self.environ, **about},
                start_new_session=True,  # Ctrl-C is for flux: a command that has begun may end
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
