"""The fixture for other test suites, used in one."""

import subprocess
import sys
from pathlib import Path

SUITE = """
import json, subprocess, sys, os
from urllib.error import HTTPError
from urllib.request import Request, urlopen
import pytest

def create(sandbox, prompt="a fox"):
    body = {"model": "Qubico/flux1-schnell", "task_type": "txt2img", "input": {"prompt": prompt, "width": 64, "height": 64}}
    headers = {"X-API-Key": sandbox.key, "Content-Type": "application/json"}
    return json.load(urlopen(Request(f"{sandbox.base_url}/task", json.dumps(body).encode(), headers)))["data"]

def test_another_client(piapi_sandbox):
    task = create(piapi_sandbox)
    assert piapi_sandbox.task(task["task_id"])["input"]["prompt"] == "a fox"
    [listed] = piapi_sandbox.tasks()
    assert (listed["prompt"], piapi_sandbox.cost_usd) == ("a fox", "0.002")

@pytest.mark.piapi_sandbox(plan="free", fault=["create:429 times=1", "create:401 times=1"])
def test_with_faults(piapi_sandbox):
    for status in (429, 401):
        with pytest.raises(HTTPError, match=str(status)):
            create(piapi_sandbox)
    piapi_sandbox.fault("create:500")
    with pytest.raises(HTTPError, match="500"):
        create(piapi_sandbox)
    piapi_sandbox.clear_faults()
    create(piapi_sandbox)

def test_flux_itself(piapi_sandbox, tmp_path):
    environ = {**os.environ, **piapi_sandbox.environ, "FLUX_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "flux_cli", "gen", "a fox", "--size", "64x64", "-o", "fox.png"]
    assert subprocess.run(command, env=environ, cwd=tmp_path).returncode == 0
    assert (tmp_path / "fox.png").exists()

@pytest.mark.piapi_sandbox(plan="gold")
def test_an_invalid_plan(piapi_sandbox):
    pass

def test_nothing_is_loaded_before_it_is_used():
    assert not {"starlette", "uvicorn", "typer", "httpx"} & set(sys.modules)
"""


def test_a_suite_can_use_the_fixture() -> None:
    Path("test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-q", "test_suite.py"]
    if "flux_cli.sandbox.pytest_plugin" not in sys.modules:  # flux was installed before it had the entry point
        command += ["-p", "flux_cli.sandbox.pytest_plugin"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "4 passed, 1 error" in done.stdout, done.stdout
    assert "the sandbox did not start: flux: invalid --plan 'gold': " in done.stdout
