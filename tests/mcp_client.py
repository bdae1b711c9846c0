"""Clients of `flux mcp`: the official SDK's, and one that reads and writes the lines itself."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, ImageContent

from flux_cli.json_value import JsonObject
from flux_cli.sandbox.app import Service as Sandbox
from flux_cli.sandbox.app import create_app
from flux_cli.sandbox.store import Store, StoredTask

from .conftest import KEY, assert_no_secret
from .forking import ForkedProcess, fork_server
from .servers import serve_app

T = TypeVar("T")
SMALL = {"model": "schnell", "size": "64x64"}


@asynccontextmanager
async def connect_agent(*words: str, log: TextIO = sys.stderr) -> AsyncIterator[Client]:
    """Connect a client to a new server. words: the options of `flux mcp`. log: receives the server's stderr."""
    server = StdioServerParameters(
        command=str(fork_server().program), args=["mcp", *words], env=dict(os.environ), cwd=os.getcwd()
    )
    async with Client(stdio_client(server, errlog=log)) as client:
        yield client


def run_agent(work: Callable[[Client], Coroutine[Any, Any, T]], *words: str) -> T:
    """Run an agent's work with a new server, check that stderr is empty, and return the result."""

    async def run(log: TextIO) -> T:
        async with connect_agent(*words, log=log) as client:
            task = asyncio.ensure_future(work(client))
            await asyncio.wait({task})
        return task.result()  # outside the client, which would wrap an error in groups

    with tempfile.TemporaryFile("w+") as log:
        result = asyncio.run(run(log))
        log.seek(0)
        assert log.read() == ""
        return result


def read_record(result: CallToolResult) -> JsonObject:
    """Return the structured result of a call, after checking that the text for old clients is the same."""
    content: JsonObject = result.structured_content
    assert json.loads(result.content[0].text) == content  # type: ignore[union-attr]
    assert_no_secret(json.dumps(content), "the result of a tool")
    return content


def get_thumbnails(result: CallToolResult) -> list[ImageContent]:
    """Return the images of a call's result."""
    return [part for part in result.content if isinstance(part, ImageContent)]


def get_saved_files(result: CallToolResult) -> list[Path]:
    """Return the files of a successful call."""
    content = read_record(result)
    assert (result.is_error, content["state"], content["error"], content["next"]) == (False, "saved", None, None)
    files = content["files"]
    assert isinstance(files, list)
    paths = [Path(str(file)) for file in files]
    assert all(path.is_absolute() and path.exists() for path in paths)
    assert len(get_thumbnails(result)) == len(paths)
    return paths


@contextmanager
def run_faulty_sandbox(path: Path, *faults: str) -> Iterator[Sandbox]:
    """Run a sandbox with faults, with the settings that point at it. Its `faults` can be changed."""
    with closing(Store(path)) as store:
        rules = Sandbox(store, speed=200, keys=frozenset({KEY}))
        rules.faults.add(faults)
        with serve_app(create_app(rules)) as origin, pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
            patch.setenv("FLUX_UPLOAD_URL", origin)
            patch.setenv("PIAPI_API_KEY", KEY)
            yield rules


def read_charges(path: Path) -> list[StoredTask]:
    """Return the tasks that a sandbox has charged."""
    with closing(Store(path)) as view:  # a separate connection: the server's may be within a transaction
        return view.tasks()


class RawClient:
    """A client that writes and reads single lines: all output of the server must be the protocol."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._number = 0

    def send(self, method: str, params: JsonObject, *, notify: bool = False) -> int:
        """Send a request, and return its ID, or a notification."""
        self._number += 1
        message: JsonObject = {"jsonrpc": "2.0", "method": method, "params": params}
        if not notify:
            message["id"] = self._number
        self.write(json.dumps(message))
        return self._number

    def write(self, line: str) -> None:
        """Write a line."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Close the server's stdin, and return its exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None
        return self.process.wait(30)

    def read(self) -> JsonObject:
        """Return the next message."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the server has ended"
        message: JsonObject = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def read_result(self, number: int) -> JsonObject:
        """Return the result of a request, and drop the notifications before it."""
        while (message := self.read()).get("id") != number:
            assert "method" in message
        result = message["result"]
        assert isinstance(result, dict)
        return result

    def call(self, name: str, **arguments: Any) -> int:
        """Call a tool, and return the ID of the request."""
        return self.send("tools/call", {"name": name, "arguments": arguments, "_meta": {"progressToken": "p"}})

    def wait_until_accepted(self) -> None:
        """Read until a notification shows that PiAPI has accepted the task."""
        while "task" not in str(self.read().get("params")):
            pass


@contextmanager
def connect_raw(*words: str) -> Iterator[RawClient]:
    """Connect to a new server, and complete the handshake."""
    with ForkedProcess(
        ["mcp", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            raw = RawClient(process)
            hello: JsonObject = {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            }
            assert raw.read_result(raw.send("initialize", hello))["protocolVersion"] == "2025-06-18"
            raw.send("notifications/initialized", {}, notify=True)
            yield raw
        finally:
            process.kill()
            process.communicate()
