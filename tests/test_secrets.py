"""The key and the webhook's secret go where they have to, and nowhere else. Every test looks for them by itself
(conftest): in outputs, files, images' texts, command lines and requests to others.
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
from .test_promises import GEN, PICTURE, POST, Start

permissions = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook whose secret is known."""
    monkeypatch.setenv("FLUX_WEBHOOK", "https://example.com/hook")
    monkeypatch.setenv("FLUX_WEBHOOK_SECRET", WEBHOOK_SECRET)


def picture() -> None:
    """A picture that can be uploaded."""
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
@pytest.mark.usefixtures("hook")
def test_an_honest_run_leaves_no_secret_anywhere(flux: Flux, service: Service, mode: str) -> None:
    picture()
    for number, line in enumerate(LINES):
        flux(f"{line.format(number)} {mode}", stdin=f"{KEY}\n")

    assert [request.headers["x-api-key"] for request in service.requests if request.method == "POST"] == [KEY] * 4


def _echoing(spread: Callable[[str], str]) -> Poison:
    """Every reply repeats the secrets in each of its texts, in some form or another."""

    def echo(method: str, path: str, reply: object) -> tuple[int, str]:
        told = f"bad key {spread(KEY)} and {spread(WEBHOOK_SECRET)}"
        fields = f'"message": "{told}", "plan": "{told}", "error": "{told}", "status": "{told}", "logs": ["{told}"]'
        url = f"http://127.0.0.1:1/{spread(KEY)}.png"
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
@pytest.mark.usefixtures("hook")
def test_a_service_that_repeats_the_secrets_spreads_them_no_further(
    flux: Flux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    picture()
    with run_hostile_sandbox(tmp_path / "service.db", _echoing(FORMS[form])) as origin:
        monkeypatch.setenv("FLUX_BASE_URL", f"{origin}/api/v1")
        monkeypatch.setenv("FLUX_UPLOAD_URL", origin)
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        monkeypatch.setenv("FLUX_TIMEOUT", "0.1")
        for number, line in enumerate(LINES):
            flux(f"{line.format(number)} {('', '--json', '--debug')[number % 3]}", stdin=f"{KEY}\n")


def test_a_secret_with_quotes_is_one_too(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    key = 'quoted"key\\0123456789'
    monkeypatch.setenv("PIAPI_API_KEY", key)
    echo = json.dumps({"code": 500, "message": f"bad key {key}", "data": {"error": {"message": key}}}).encode()
    service.reply_with(*POST, *[(500, {}, echo)] * 3)
    told = ""
    for mode in ("--json", "--debug", ""):
        result = flux(f"{GEN} --no-cache {mode}")
        told += result.out + result.err
    told += flux("history --json").out

    for form in (key, json.dumps(key)[1:-1]):
        assert form not in told
        assert not [path for path in home.rglob("*") if path.is_file() and form.encode() in path.read_bytes()]


STATUSES = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("status", STATUSES)
def test_no_request_with_the_key_follows_a_redirect(flux: Flux, service: Service, raw: RawServer, status: int) -> None:
    picture()
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


def test_a_download_takes_no_key_along(flux: Flux, service: Service, raw: RawServer) -> None:
    raw.responses["/away"] = [redirect(f"{service.origin}/images/x/1.png")]
    service.reply_with(*PICTURE, *[(302, {"location": raw.url("/away")}, b"")] * 9)
    assert flux(GEN).code == 10
    assert raw.heads  # conftest has looked at what they hold


@pytest.mark.parametrize("host", ["api.piapi.ai", "93.184.215.14", "localhost.example.com", "127.0.0.1.example.com"])
def test_the_key_goes_over_http_to_this_machine_only(
    flux: Flux, raw: RawServer, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    dns[host] = ["127.0.0.1"]
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    picture()
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


def test_what_is_said_to_this_machine_goes_through_no_proxy(
    flux: Flux, service: Service, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture()
    for name in PROXIES:
        monkeypatch.setenv(name, raw.url(""))
    for line in (GEN, "edit plain.png x --seed 1", "resume", "balance", "login"):
        assert flux(line, stdin=f"{KEY}\n").code == 0, line
    assert raw.heads == []


def test_nor_does_an_upload_to_this_machine(
    flux: Flux, service: Service, network: PublicNetwork, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture()
    monkeypatch.setenv("FLUX_UPLOAD_URL", service.origin)
    monkeypatch.setenv("HTTP_PROXY", raw.url(""))
    flux("edit plain.png x --seed 1 --no-wait")

    assert raw.heads == []
    assert [request.path for request in service.requests if request.method == "POST"] == [
        "/api/ephemeral_resource",
        "/api/v1/task",
    ]


def test_an_upload_elsewhere_goes_through_the_proxy_that_the_api_does_not_need(
    flux: Flux, service: Service, network: PublicNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture()
    monkeypatch.setenv("FLUX_BASE_URL", f"{service.origin}/api/v1")
    result = flux("edit plain.png x --seed 1 --no-wait")
    assert result.code == 0, result.err
    assert [host for host, _ in network.heads] == ["upload.theapi.app"]


def test_a_public_service_gets_the_key_over_tls_alone(flux: Flux, network: PublicNetwork) -> None:
    picture()
    flux("edit plain.png x --seed 1 --no-wait")
    flux("balance")

    assert {host for host, _ in network.heads} == {"api.piapi.ai", "upload.theapi.app"}
    assert all(KEY.encode() in head for _, head in network.heads)


SMALL = "gen 'a boat' --seed 1 --size 64x64"


@permissions
@pytest.mark.parametrize("first", ["gen x --size 64x64 --sandbox -q", "login", f"{SMALL} -o - -q"])
def test_nobody_else_can_read_what_is_kept(flux: Flux, service: Service, home: Path, first: str) -> None:
    picture()
    before = os.umask(0)
    try:
        for line in (first, "login", SMALL, "edit plain.png x --no-wait"):
            assert flux(line, stdin=f"{KEY}\n").code == 0, line
        flux(f"{SMALL} --no-cache -o - -q")
    finally:
        os.umask(before)

    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    closed = [folder for folder in (home, *home.rglob("*")) if folder.is_dir() and not folder.stat().st_mode & 0o077]
    for path in home.rglob("*"):
        if path.is_file():
            assert not path.stat().st_mode & 0o077 or set(closed) & set(path.parents), path


@permissions
def test_a_configuration_that_was_open_is_closed_when_it_is_written(flux: Flux, service: Service, home: Path) -> None:
    real = Path("dotfiles.toml")
    real.write_text(f'[profiles.default]\napi_key = "{KEY}"\n')
    real.chmod(0o644)
    home.mkdir()
    (home / "config.toml").symlink_to(real.absolute())
    result = flux("config set plan pro")

    assert f"chmod 600 {home}/config.toml" in result.err
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert (home / "config.toml").is_symlink()
    real.unlink()  # it holds the key, as it should


def test_a_terminal_sees_no_secret(start: Start, service: Service) -> None:
    code, shown = run_on_terminal(start, [*GEN.split()[:1], "a boat", "--size", "64x64", "--seed", "1"])
    assert code == 0
    assert KEY.encode() not in LIVE_VIEW_CODES.sub(b"", shown)


def test_a_secret_where_a_long_error_is_cut_leaves_no_part_behind() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out, err)
    output.secrets = {"abcdefghijklmnopqrstuvwxyz"}
    output.debug("." * 1985 + "abcdefghijklmnopqrstuvwxyz")
    output.error(UsageError("." * 985 + "abcdefghijklmnopqrstuvwxyz"))
    assert "abcd" not in err.getvalue()
