"""Task IDs from the command line, and from a pipe, as they arrive."""

import asyncio
import json
import select
from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO, TextIO

from ..errors import UsageError
from ..json_value import text_at
from ..piapi.task import is_task_id
from ..system.signals import DetachedExecutor
from ..text import quoted

CHUNK = LINE_LIMIT = 64 * 1024
"""The most bytes that are read at a time, and that are kept of a line: an ID is short, but a JSON object is longer."""


def read_ids(words: Sequence[str], stdin: TextIO) -> AsyncIterator[str | UsageError]:
    """Yield IDs of tasks or entries: those in `words`, then, if `-` is among them, those on stdin, one per line.

    An invalid line on stdin is yielded as an error and does not end the reading, because the writer may still be
    submitting paid tasks. Without any ID, an error is yielded at the end. Raise UsageError for an invalid word.
    """
    named = dict.fromkeys(found for word in words if word != "-" and (found := id_in(word)))
    piped = "-" in words
    if piped and stdin.isatty():
        raise UsageError("- reads task IDs from stdin, and stdin is a terminal", hint="Pipe them in, or name them")
    return _named_then_piped(list(named), stdin if piped else None)


async def _named_then_piped(named: Sequence[str], stdin: TextIO | None) -> AsyncIterator[str | UsageError]:
    any_read = False
    for found in named:
        any_read = True
        yield found
    if stdin:
        async for item in _piped(stdin):
            any_read = True
            yield item
    if not any_read:
        yield UsageError("no IDs on stdin")


async def _piped(stdin: TextIO) -> AsyncIterator[str | UsageError]:
    number = 0
    try:
        async for line in _lines(stdin.buffer):
            number += 1
            try:
                if found := id_in(line.decode("utf-8-sig", "replace")):
                    yield found
            except UsageError as error:
                yield UsageError(f"stdin, line {number}: {error.message}", hint=error.hint, command=error.command)
    except OSError as error:
        yield UsageError(f"cannot read stdin: {error.strerror}")


def id_in(text: str) -> str:
    """Return the ID in a line, alone or in an object of `--json`; empty for a blank line, or an object without an ID.

    Raise UsageError for anything else.
    """
    found = text.strip()
    if found.startswith("{"):
        found = _id_in_json(found)
    if found and not is_task_id(found):
        raise UsageError(f"{quoted(found, 60)} is not a task ID", hint="List your tasks", command=("history",))
    return found


def _id_in_json(text: str) -> str:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # An entry that was refused, or whose outcome is unknown, has no task ID.
    return text_at(content, "task_id") or text_at(content, "entry") or ("" if "schema" in content else text)


async def _lines(stream: BinaryIO) -> AsyncIterator[bytes]:
    """Yield the lines of a stream as they arrive, without line ends. A line longer than LINE_LIMIT is truncated."""
    rest = b""
    while chunk := await asyncio.get_running_loop().run_in_executor(DetachedExecutor(), _read, stream):
        await asyncio.sleep(0)  # Python 3.14 does not suspend for a finished future: a fast pipe would block the loop
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        rest = rest[:LINE_LIMIT]
    if rest:
        yield rest


def _read(stream: BinaryIO) -> bytes:
    """Return the available bytes as soon as there are any; an empty result at the end.

    The raw stream is read, because a thread that blocks in the buffered one holds its lock, and Python aborts if it
    exits meanwhile.
    """
    raw = getattr(stream, "raw", stream)
    while (chunk := raw.read(CHUNK)) is None:  # the stream is non-blocking
        select.select([raw], [], [])
    return bytes(chunk)
