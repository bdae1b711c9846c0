"""The key and the webhook secret are sent only where they belong. In every test, conftest searches for them in outputs,
files, texts of images, command lines and requests to other hosts.
"""

import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.cli.output.output import Output
from flux_cli.errors import UsageError

from .conftest import KEY, WEBHOOK_SECRET, Flux
from .raw_servers import PublicNetwork, RawServer, redirect
from .servers import Reply, Service
from .test_hostile import LIVE_VIEW_CODES, Poison, run_hostile_sandbox, run_on_terminal
from .test_promises import GEN, IMAGE, POST, Start

permissions = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")


@pytest.fixture
def set_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure a webhook with a known secret."""
    monkeypatch.setenv("FLUX_WEBHOOK", "https://example.com/hook")
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", WEBHOOK_SECRET)


def save_image() -> None:
    """Save an image that can be uploaded."""
    Image.new("RGB", (256, 256), "red").save("plain.png")


LINES = [
    "gen 'a boat' --seed 1 --size 64x64 --no-cache --report report{}.json",
    "gen 'a boat' --seed 2 --size 64x64 --no-wait --no-cache",
    "edit plain.png 'a ship' --seed 3 --no-cache",
    "gen 'a boat' --dry-run",
    "wait a-task",
    "status a-task",
    "resume",
    "history",
    "show @last",
    "balance",
    "config list",
    "config get api_key",
    "login",
    "doctor --bundle bundle{}.zip --with-prompts",
    "logout",
]


@pytest.mark.parametrize("mode", ["", "--json", "--debug"])
@pytest.mark.usefixtures("set_webhook")
def test_a_normal_run_leaves_no_secret_anywhere(flux: Flux, service: Service, mode: str) -> None:
    save_image()
    for number, line in enumerate(LINES):
        flux(f"{line.format(number)} {mode}", stdin=f"{KEY}\n")

    assert [request.headers["x-api-key"] for request in service.requests if request.method == "POST"] == [KEY] * 4


def _make_echo(encode: Callable[[str], str]) -> Poison:
    """Return a recipe whose replies repeat the secrets in each of their texts, in this form."""

    def echo(method: str, path: str, reply: object) -> tuple[int, str]:
        message = f"bad key {encode(KEY)} and {encode(WEBHOOK_SECRET)}"
        fields = f'"message": "{message}", "plan": "{message}", "error": "{message}", "status": "{message}", "logs": ["{message}"]'
        url = f"http://127.0.0.1:1/{encode(KEY)}.png"
        output = f'"output": {{"image_url": "{url}"}}, "url": "{url}"'
        status = 401 if "account" in path else 200
        task = json.dumps(path.rpartition("/")[2] if method == "GET" else "a-task")
        return status, f'{{"code": 500, {fields}, "data": {{"task_id": {task}, {fields}, {output}}}}}'

    return echo


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "escaped": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "in part escaped": lambda text: text.replace("-", "\\u002d"),
    "in a page": lambda text: f"{text}\n<html>",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("set_webhook")
def test_a_server_that_repeats_the_secrets_does_not_spread_them(
    flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    save_image()
    with run_hostile_sandbox(tmp_path / "service.db", _make_echo(FORMS[form])) as origin:
        monkeypatch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
        monkeypatch.setenv("FLUX_UPLOAD_URL", origin)
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        monkeypatch.setenv("FLUX_TIMEOUT", "0.1")
        for number, line in enumerate(LINES):
            flux(f"{line.format(number)} {('', '--json', '--debug')[number % 3]}", stdin=f"{KEY}\n")


def test_a_secret_with_quotes_is_redacted(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    key = 'quoted"key\\0123456789'
    monkeypatch.setenv("PIAPI_API_KEY", key)
    echo = json.dumps({"code": 500, "message": f"bad key {key}", "data": {"error": {"message": key}}}).encode()
    service.reply_with(*POST, *[(500, {}, echo)] * 3)
    output = ""
    for mode in ("--json", "--debug", ""):
        result = flux(f"{GEN} --no-cache {mode}")
        output += result.out + result.err
    output += flux("history --json").out

    for form in (key, json.dumps(key)[1:-1]):
        assert form not in output
        assert not [path for path in home.rglob("*") if path.is_file() and form.encode() in path.read_bytes()]


@pytest.mark.parametrize("status", [302, 307])
def test_no_request_with_the_key_follows_a_redirect(flux: Flux, service: Service, raw: RawServer, status: int) -> None:
    save_image()
    away: Reply = (status, {"location": raw.url("/api/v1/task")}, b"")
    service.reply_with(*POST, away)
    service.reply_with("GET", "/api/v1/task/", *[away] * 1000)
    service.reply_with("POST", "/api/ephemeral_resource", *[away] * 1000)
    service.reply_with("GET", "/account", *[away] * 1000)

    assert flux(GEN).code in (5, 7)
    assert flux("status a-task").code == 13
    assert flux("wait a-task --timeout 0").code == 9
    assert flux("edit plain.png x").code in (5, 13)
    assert flux("balance").code == 13
    assert flux("login").code != 0
    assert raw.heads == []


def test_a_download_is_requested_without_the_key(flux: Flux, service: Service, raw: RawServer) -> None:
    raw.responses["/away"] = [redirect(f"{service.origin}/images/x/1.png")]
    service.reply_with(*IMAGE, *[(302, {"location": raw.url("/away")}, b"")] * 9)
    assert flux(GEN).code == 10
    assert raw.heads  # conftest checks their content


@pytest.mark.parametrize("host", ["api.piapi.ai", "93.184.215.14", "localhost.example.com", "127.0.0.1.example.com"])
def test_the_key_is_sent_over_http_only_to_this_machine(
    flux: Flux, raw: RawServer, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    dns[host] = ["127.0.0.1"]
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    save_image()
    for variable, line in (
        ("FLUX_BASE_URL", GEN),
        ("FLUX_BASE_URL", "balance"),
        ("FLUX_UPLOAD_URL", "edit plain.png x"),
    ):
        monkeypatch.setenv(variable, f"http://{host}:{raw.port}")
        result = flux(line)
        assert (result.code, "http is accepted for this machine only" in result.err) == (4, True)
        monkeypatch.delenv(variable)
    assert raw.heads == []


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def test_requests_to_this_machine_use_no_proxy(
    flux: Flux, service: Service, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_image()
    for name in PROXIES:
        monkeypatch.setenv(name, raw.url(""))
    for line in (GEN, "edit plain.png x --seed 1", "resume", "balance", "login"):
        assert flux(line, stdin=f"{KEY}\n").code == 0, line
    assert raw.heads == []


def test_an_upload_to_this_machine_uses_no_proxy(
    flux: Flux, service: Service, network: PublicNetwork, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_image()
    monkeypatch.setenv("FLUX_UPLOAD_URL", service.origin)
    monkeypatch.setenv("HTTP_PROXY", raw.url(""))
    flux("edit plain.png x --seed 1 --no-wait")

    assert raw.heads == []
    assert [request.path for request in service.requests if request.method == "POST"] == [
        "/api/ephemeral_resource",
        "/api/v1/task",
    ]


def test_an_upload_to_another_host_uses_the_proxy_although_the_api_does_not(
    flux: Flux, service: Service, network: PublicNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_image()
    monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
    result = flux("edit plain.png x --seed 1 --no-wait")
    assert result.code == 0, result.err
    assert [host for host, _ in network.heads] == ["upload.theapi.app"]


def test_a_public_server_receives_the_key_only_over_tls(flux: Flux, network: PublicNetwork) -> None:
    save_image()
    flux("edit plain.png x --seed 1 --no-wait")
    flux("balance")

    assert {host for host, _ in network.heads} == {"api.piapi.ai", "upload.theapi.app"}
    assert all(KEY.encode() in head for _, head in network.heads)


SMALL = "gen 'a boat' --seed 1 --size 64x64"


@permissions
@pytest.mark.parametrize("first", ["gen x --size 64x64 --sandbox -q", "login", f"{SMALL} -o - -q"])
def test_stored_files_cannot_be_read_by_other_users(flux: Flux, service: Service, home: Path, first: str) -> None:
    save_image()
    before = os.umask(0)
    try:
        for line in (first, "login", SMALL, "edit plain.png x --no-wait"):
            assert flux(line, stdin=f"{KEY}\n").code == 0, line
        flux(f"{SMALL} --no-cache -o - -q")
    finally:
        os.umask(before)

    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    private = [
        directory
        for directory in (home, *home.rglob("*"))
        if directory.is_dir() and not directory.stat().st_mode & 0o077
    ]
    for path in home.rglob("*"):
        if path.is_file():
            assert not path.stat().st_mode & 0o077 or set(private) & set(path.parents), path


@permissions
def test_an_open_configuration_is_restricted_when_it_is_written(flux: Flux, service: Service, home: Path) -> None:
    real = Path("dotfiles.toml")
    real.write_text(f'[profiles.default]\napi_key = "{KEY}"\n')
    real.chmod(0o644)
    home.mkdir()
    (home / "config.toml").symlink_to(real.absolute())
    result = flux("config set plan pro")

    assert f"chmod 600 {home}/config.toml" in result.err
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert (home / "config.toml").is_symlink()
    real.unlink()  # it contains the key, as it should


def test_a_terminal_shows_no_secret(start: Start, service: Service) -> None:
    code, shown = run_on_terminal(start, [*GEN.split()[:1], "a boat", "--size", "64x64", "--seed", "1"])
    assert code == 0
    assert KEY.encode() not in LIVE_VIEW_CODES.sub(b"", shown)


def test_a_secret_at_the_cut_of_a_long_error_is_not_shown() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out, err)
    output.secrets = {"abcdefghijklmnopqrstuvwxyz"}
    output.debug("." * 1985 + "abcdefghijklmnopqrstuvwxyz")
    output.print_entry_error(UsageError("." * 985 + "abcdefghijklmnopqrstuvwxyz"))
    assert "abcd" not in err.getvalue()
