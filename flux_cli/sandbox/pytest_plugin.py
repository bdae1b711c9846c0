"""A fixture for the test suites of programs that use PiAPI's API: `piapi_sandbox`, a mock server.

pytest loads this module in every run where flux is installed. So it imports only the standard library, and the server
is a separate process that starts when a test requests it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

MARKER = "piapi_sandbox(**options): options of `flux sandbox` for the fixture of this name: plan='free', fault=[...]"
SPEED = 200.0
"""The default speed-up of tasks, which makes one take a tenth of a second."""


class Sandbox:
    """A running mock server.

    environ: the variables that make flux use it. The program under test may have other names for them.
    """

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.base_url = environ["FLUX_BASE_URL"]
        self.origin = environ["FLUX_UPLOAD_URL"]
        self.key = environ["PIAPI_API_KEY"]
        self._open = build_opener(ProxyHandler({})).open  # a proxy cannot reach loopback addresses of this machine

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks so far, newest first, at most 60: id, status, model, prompt, cost_usd, images, ..."""
        tasks: list[dict[str, Any]] = self._request("GET", "/sandbox/tasks")["tasks"]
        return tasks

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task as PiAPI's API shows it, with its input."""
        return self._request("GET", f"/api/v1/task/{task_id}")

    @property
    def cost_usd(self) -> str:
        """The simulated cost of all tasks, in USD."""
        cost: str = self._request("GET", "/sandbox/tasks")["cost_usd"]
        return cost

    def fault(self, *texts: str) -> None:
        """Simulate failures: `create:429 times=2` (list them with: flux sandbox --list-faults)."""
        self._request("POST", "/sandbox/faults", "\n".join(texts))

    def clear_faults(self) -> None:
        """Stop simulating failures."""
        self._request("DELETE", "/sandbox/faults")

    def _request(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        request = Request(  # noqa: S310 - the mock server's own URL
            f"{self.origin}{path}",
            data=None if body is None else body.encode(),
            method=method,
            headers={"X-API-Key": self.key},
        )
        with self._open(request, timeout=10) as response:
            data: dict[str, Any] = json.load(response)["data"]
            return data


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def piapi_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Start a mock of PiAPI on this machine, a new one for each test."""
    marker = request.node.get_closest_marker("piapi_sandbox")
    options = {"speed": SPEED, **(marker.kwargs if marker else {})}
    with tempfile.TemporaryFile("w+") as log:
        # The user's own variables must not change the result of a test.
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("FLUX_", "PIAPI_"))}
        command = [sys.executable, "-m", "flux_cli", "sandbox", "--port", "0", "--json", *_arguments(options)]
        # The arguments come from the test itself.
        with subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environ
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                announced = json.loads(line) if line else {}
                if "variables" not in announced:
                    process.wait()
                    log.seek(0)
                    pytest.fail(f"the sandbox did not start: {log.read().strip()}", pytrace=False)
                yield Sandbox(announced["variables"])
            finally:
                process.terminate()


def _arguments(options: dict[str, Any]) -> list[str]:
    """Return keyword arguments as command-line options. A list repeats its option."""
    arguments: list[str] = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list | tuple) else [value]:
            arguments += [option, str(item)]
    return arguments
