"""A fixture for the test suites of programs that speak PiAPI's API: `piapi_sandbox`, the service in miniature.

pytest loads this module in every run where flux is installed: nothing but the standard library is imported here, and
the service is a process of its own that starts when a test asks for it.
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
"""Times faster than documented, when a test does not say: a tenth of a second a task."""


class Sandbox:
    """A running miniature. `environ` are the variables that point a client at it: flux itself, or the program under
    test, which may call them something else."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.base_url = environ["FLUX_BASE_URL"]
        self.origin = environ["FLUX_UPLOAD_URL"]
        self.key = environ["PIAPI_API_KEY"]
        self._open = build_opener(ProxyHandler({})).open  # a proxy cannot reach this machine's loopback

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks so far, newest first, at most 60: id, status, model, prompt, cost_usd, ..."""
        tasks: list[dict[str, Any]] = self._asked("GET", "/sandbox/tasks")["tasks"]
        return tasks

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as the service's own API tells of it, with what was asked for."""
        return self._asked("GET", f"/api/v1/task/{task_id}")

    @property
    def cost_usd(self) -> str:
        """What all tasks would have cost."""
        cost: str = self._asked("GET", "/sandbox/tasks")["cost_usd"]
        return cost

    def fault(self, *texts: str) -> None:
        """Switch faults on: `create:429 times=2` (all of them: flux sandbox --list-faults)."""
        self._asked("POST", "/sandbox/faults", "\n".join(texts))

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._asked("DELETE", "/sandbox/faults")

    def _asked(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        request = Request(  # noqa: S310 - the miniature's own address
            f"{self.origin}{path}",
            data=None if body is None else body.encode(),
            method=method,
            headers={"X-API-Key": self.key},
        )
        with self._open(request, timeout=10) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
            return data


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def piapi_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """PiAPI in miniature, on this machine, new for each test; ends with it."""
    marker = request.node.get_closest_marker("piapi_sandbox")
    options = {"speed": SPEED, **(marker.kwargs if marker else {})}
    with tempfile.TemporaryFile("w+") as log:
        # Without the variables of a user's own: they must not decide what a test meets.
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("FLUX_", "PIAPI_"))}
        command = [sys.executable, "-m", "flux_cli", "sandbox", "--port", "0", "--json", *_words(options)]
        # The words are those of the test itself.
        with subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environ
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                told = json.loads(line) if line else {}
                if "variables" not in told:
                    process.wait()
                    log.seek(0)
                    pytest.fail(f"the sandbox did not start: {log.read().strip()}", pytrace=False)
                yield Sandbox(told["variables"])
            finally:
                process.terminate()


def _words(options: dict[str, Any]) -> list[str]:
    """Keyword arguments as options of the command line; a list stands for an option that is repeated."""
    words: list[str] = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list | tuple) else [value]:
            words += [option, str(item)]
    return words
