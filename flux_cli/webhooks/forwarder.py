"""What happens after a delivery: it is passed on to another address, and a command is run for each picture."""

import asyncio
import contextlib
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ..config.urls import is_local, web_address
from ..engine.backoff import backoff
from ..errors import ConfigError, UsageError
from ..journal.entries import Entry
from ..piapi.http_errors import environment_settings, plain_words
from ..system.signals import Sleep
from ..text import clean

TRIES = 3
PATIENCE = 10.0
"""Seconds that the other address has to answer."""
STDERR = 2
"""What a command prints is no result of ours."""


def forward_address(text: str) -> str:
    """An address to pass deliveries on to. Raises UsageError."""
    try:
        return web_address(text)
    except ValueError as problem:
        raise UsageError(f"--forward: {problem}", money="") from None


def command_words(text: str) -> tuple[str, ...]:
    """The words of a command, as a shell would take them apart; no shell ever sees it. Raises UsageError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as problem:
        raise UsageError(f"--exec: {str(problem).lower()}", money="") from None
    if not words:
        raise UsageError("--exec: no command", money="")
    if shutil.which(words[0]) is None:
        raise UsageError(f"--exec: there is no program {clean(words[0], 80)}", money="")
    return words


@dataclass(frozen=True)
class Relay:
    """Passes deliveries on to `address`, and runs `command` with the name of each picture. What fails is warned of.

    environ: what the command's environment is made from.
    """

    address: str | None
    command: Sequence[str]
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    sleep: Sleep = asyncio.sleep
    scale: float = 1.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def forward(self, task_id: str, body: bytes) -> None:
        """POST what came about a task, unchanged, without its secret; TRIES times at most."""
        if self.address is None:
            return
        parts = urlsplit(self.address)
        told = ""
        try:
            with environment_settings():
                client = httpx.AsyncClient(trust_env=not is_local(self.address), timeout=PATIENCE)
        except ConfigError as error:
            self.warn(f"the delivery of task {task_id} could not be passed on: {error.message}")
            return
        async with client:
            for attempt in range(1, TRIES + 1):
                told = await self._posted(client, self.address, body)
                if not told:
                    return
                if attempt < TRIES:
                    await self.sleep(backoff(attempt, self.scale))
        # Without the query, which may hold a secret of the user's.
        where = clean(f"{parts.scheme}://{parts.netloc}{parts.path}", 120)
        self.warn(f"the delivery of task {task_id} could not be passed on to {where}: {told}, {TRIES} times")

    async def _posted(self, client: httpx.AsyncClient, address: str, body: bytes) -> str:
        """One try; gives what went wrong, or nothing."""
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(PATIENCE),
                client.stream("POST", address, content=body, headers=headers) as response,
            ):
                return "" if response.is_success else f"HTTP {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return plain_words(error)

    async def run(self, entry: Entry) -> None:
        """Run the command for each picture of an entry: one at a time, in the order in which they were saved."""
        if not self.command:
            return
        async with self._turn:
            for file in entry.files:
                if wrong := await self._ran(entry, file.path):
                    self.warn(f"--exec {clean(self.command[0], 80)}: {wrong}, for {clean(str(file.path), 200)}")

    async def _ran(self, entry: Entry, path: Path) -> str:
        """The command with one picture; gives what went wrong, or nothing."""
        about = {"FLUX_TASK_ID": entry.task_id or "", "FLUX_ENTRY": entry.id}
        about["FLUX_PROMPT"] = entry.request.operation.prompt or "" if entry.request else ""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                os.fspath(path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=STDERR,
                env={**self.environ, **about},
                start_new_session=True,  # Ctrl-C is for us: what has begun may end
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
        return f"ended with exit code {code}" if code else ""
