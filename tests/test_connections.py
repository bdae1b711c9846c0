"""No telemetry, no update check: flux makes only the connections that the user requests."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.cli.registry import COMMANDS

from .conftest import CONNECTIONS, KEY, Flux
from .raw_servers import PublicNetwork
from .servers import Service
from .test_promises import GEN

OFFLINE = [
    "",
    "--version",
    "--help",
    "gen --help",
    "gne x",
    "models",
    "models --for commercial,fast",
    "doctor --offline",
    "history",
    "history --json",
    "cost",
    "cost gen x -b 4 -m schnell",
    "gen x --dry-run",
    "edit plain.png x --dry-run",
    "inpaint plain.png x --mask-box 1,1,90,90 --show-mask mask.png",
    "batch rows.jsonl --dry-run",
    "show plain.png",
    "show @last",
    "rerun made.png --dry-run",
    "config list",
    "config get model",
    "config set plan pro",
    "config path",
    "logout",
    "login --no-check",
    "completion bash",
    "help gen",
    "doctor --sandbox",
    "gallery",
    "gen x --sandbox --size 64x64",
    "gen x --sandbox --size 64x64 --seed 7 -o made.png",
    "balance --sandbox",
    "resume --sandbox",
    "resume",
    "gen x --profile other",
    "gen ''",
    "gen x --size 9x9 --max-cost 0",
]
"""Commands that need no connection, except those that may never end."""


def test_offline_commands_make_no_connection(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (256, 256), "red").save("plain.png")
    Path("rows.jsonl").write_text('{"prompt": "x"}\n')
    CONNECTIONS.clear()
    for line in sorted(OFFLINE, key=lambda line: line.startswith("rerun")):
        if line == "logout":
            monkeypatch.setenv("PIAPI_API_KEY", KEY)
        result = flux(line, stdin=f"{KEY}\n")
        assert result.code != 1, (line, result.err)
        assert CONNECTIONS == [], line
        monkeypatch.delenv("PIAPI_API_KEY", raising=False)
    assert Path("made.png").exists()
    offline = {line.split()[0] for line in OFFLINE if line}
    online = {"lora", "controlnet", "redux", "outpaint", "status", "wait", "resolve", "sandbox", "listen", "mcp"}
    assert set(COMMANDS) - offline <= online, "add a new command to OFFLINE, or here"


def test_online_commands_make_only_the_necessary_requests(flux: Flux, service: Service, network: PublicNetwork) -> None:
    Image.new("RGB", (256, 256), "red").save("plain.png")
    proxy = ("127.0.0.1", int(network.url.rpartition(":")[2]))
    lines = {
        f"{GEN} --no-wait": ["POST /api/v1/task"],
        "edit plain.png x --no-wait": ["POST /api/ephemeral_resource", "POST /api/v1/task"],
        "balance": ["GET /account/info"],
        "status a-task": ["GET /api/v1/task/a-task"],
        "login": ["GET /account/info"],
        "doctor": ["GET /account/info"],
    }
    for line, requests in lines.items():
        CONNECTIONS.clear()
        network.heads.clear()
        flux(line, stdin=f"{KEY}\n")
        assert [head.split(b" HTTP/")[0].decode() for _, head in network.heads] == requests, line
        # The connections of the proxy to the sandbox are also made by this process.
        ports = {address for kind, address in CONNECTIONS if kind == "connect"}
        assert ports == {proxy, ("127.0.0.1", int(service.origin.rpartition(":")[2]))}, line


@pytest.fixture
def without_network(tmp_path: Path) -> list[str]:
    """Return the prefix of a command that runs it without any network."""
    probe = ["unshare", "-rn", sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if "unreachable" not in done.stderr:
        pytest.skip(f"cannot create an empty network namespace:  {done.stderr.strip()[-200:]}")
    return ["unshare", "-rn", sys.executable, "-m", "flux_cli"]


def test_offline_commands_work_without_a_network(without_network: list[str], home: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path / "user")}
    environ.pop("FLUX_HOME")
    (tmp_path / "user").mkdir()

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*without_network, *words], capture_output=True, text=True, env=environ, timeout=30, check=False
        )

    saved = run("gen", "a boat", "--seed", "1", "--size", "64x64", "--sandbox", "-q")
    assert (saved.returncode, saved.stdout, saved.stderr) == (0, "a-boat-1.png\n", "")
    for words in (["history", "--sandbox"], ["models"], ["config", "list"], ["cost"], ["balance", "--sandbox"]):
        done = run(*words)
        assert (done.returncode, bool(done.stdout)) == (0, True), (words, done.stderr)
    refused = run("gen", "a boat", "--timeout", "0.1")
    assert (refused.returncode, "no API key: PIAPI_API_KEY is not set, and " in refused.stderr) == (4, True)
    written = {
        path.relative_to(tmp_path / "user").parts[:-1] for path in (tmp_path / "user").rglob("*") if path.is_file()
    }
    assert all("flux" in parts for parts in written), "flux wrote a file outside its directories"


def test_tests_cannot_connect_to_other_machines() -> None:
    with pytest.raises(PermissionError, match="must not leave"):
        socket.create_connection(("192.0.2.1", 9), timeout=0.1)


def test_spellings_of_a_base_url_are_the_same_account(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = service.origin.removeprefix("http://")
    spellings = [f"http://{host}/api/v1", f"HTTP://{host}/api/v1/", f"http://{host}//api/./v1//"]
    for url in spellings:
        monkeypatch.setenv("FLUX_BASE_URL", url)
        assert flux(f"{GEN} -q").code == 0
    assert len(service.charges) == 1
    assert len(flux("history").out.splitlines()) == 1
