"""No telemetry, no update check: the only connections are those that the user asked for."""

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
    "doctor --offline",
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
"""What a user may do without asking for a connection. Commands that may never end are left out."""


def test_what_needs_no_connection_makes_none(flux: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (256, 256), "red").save("plain.png")
    Path("rows.jsonl").write_text('{"prompt": "x"}\n')
    CONNECTIONS.clear()
    for line in sorted(OFFLINE, key=lambda line: line.startswith("again")):
        if line == "logout":
            monkeypatch.setenv("PIAPI_API_KEY", KEY)
        result = flux(line, stdin=f"{KEY}\n")
        assert result.code != 1, (line, result.err)
        assert CONNECTIONS == [], line
        monkeypatch.delenv("PIAPI_API_KEY", raising=False)
    assert Path("made.png").exists()
    asked = {line.split()[0] for line in OFFLINE if line}
    online = {"lora", "controlnet", "redux", "outpaint", "status", "wait", "resolve", "sandbox", "listen", "mcp"}
    assert set(COMMANDS) - asked <= online, "a new command has to say that it needs no connection, or be listed here"


def test_what_needs_a_connection_makes_no_other(flux: Flux, service: Service, network: PublicNetwork) -> None:
    Image.new("RGB", (256, 256), "red").save("plain.png")
    proxy = ("127.0.0.1", int(network.url.rpartition(":")[2]))
    asked = {
        f"{GEN} --no-wait": ["POST /api/v1/task"],
        "edit plain.png x --no-wait": ["POST /api/ephemeral_resource", "POST /api/v1/task"],
        "balance": ["GET /account/info"],
        "status a-task": ["GET /api/v1/task/a-task"],
        "login": ["GET /account/info"],
        "doctor": ["GET /account/info"],
    }
    for line, requests in asked.items():
        CONNECTIONS.clear()
        network.heads.clear()
        flux(line, stdin=f"{KEY}\n")
        assert [head.split(b" HTTP/")[0].decode() for _, head in network.heads] == requests, line
        # The other ends of these connections are in this process too: the proxy's to the service.
        ports = {address for kind, address in CONNECTIONS if kind == "connect"}
        assert ports == {proxy, ("127.0.0.1", int(service.origin.rpartition(":")[2]))}, line


@pytest.fixture
def nowhere(tmp_path: Path) -> list[str]:
    """What goes before a command so that it has no network at all."""
    trial = ["unshare", "-rn", sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"]
    try:
        done = subprocess.run(trial, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if "unreachable" not in done.stderr:
        pytest.skip(f"this machine makes no network without connections: {done.stderr.strip()[-200:]}")
    return ["unshare", "-rn", sys.executable, "-m", "flux_cli"]


def test_on_a_machine_without_a_network(nowhere: list[str], home: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path / "user")}
    environ.pop("FLUX_HOME")
    (tmp_path / "user").mkdir()

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*nowhere, *words], capture_output=True, text=True, env=environ, timeout=30, check=False)

    made = run("gen", "a boat", "--seed", "1", "--size", "64x64", "--sandbox", "-q")
    assert (made.returncode, made.stdout, made.stderr) == (0, "a-boat-1.png\n", "")
    for words in (["history", "--sandbox"], ["models"], ["config", "list"], ["cost"], ["balance", "--sandbox"]):
        done = run(*words)
        assert (done.returncode, bool(done.stdout)) == (0, True), (words, done.stderr)
    asked = run("gen", "a boat", "--timeout", "0.1")
    assert (asked.returncode, "no API key in PIAPI_API_KEY, and none in " in asked.stderr) == (4, True)
    kept = {path.relative_to(tmp_path / "user").parts[:-1] for path in (tmp_path / "user").rglob("*") if path.is_file()}
    assert all("flux" in parts for parts in kept), "something is kept in a place that is not ours"


def test_tests_do_not_leave_this_machine() -> None:
    with pytest.raises(PermissionError, match="must not leave"):
        socket.create_connection(("192.0.2.1", 9), timeout=0.1)


def test_a_service_is_one_however_its_url_is_spelled(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = service.origin.removeprefix("http://")
    spellings = [f"http://{host}/api/v1", f"HTTP://{host}/api/v1/", f"http://{host}//api/./v1//"]
    for url in spellings:
        monkeypatch.setenv("FLUX_BASE_URL", url)
        assert flux(f"{GEN} -q").code == 0
    assert len(service.charges) == 1
    assert len(flux("history").out.splitlines()) == 1
