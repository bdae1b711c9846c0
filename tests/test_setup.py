"""Keys and settings, from the command line."""

import json
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import KEY, Flux
from .servers import Service

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def no_key(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, and no key in the environment."""
    monkeypatch.delenv("PIAPI_API_KEY")
    return service


def test_login_checks_the_key_and_stores_it_for_its_owner_alone(flux: Flux, no_key: Service, home: Path) -> None:
    result = flux("login", stdin=f"{KEY}\n")

    file = home / "config.toml"
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines() == [
        "the service accepts the key (plan pro, balance $1000.00)",
        f"key …cdef stored in {file} [profiles.default]",
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == f'[profiles.default]\napi_key = "{KEY}"\n'
    assert [request.path for request in no_key.seen] == ["/account/info"]
    assert flux("gen x --size 256x256 -q").code == 0

    assert flux("logout").code == 0
    assert KEY not in file.read_text()
    assert flux("gen x").code == 4
    assert flux("logout").err == "no key is stored for profile default\n"


def test_a_key_that_the_service_refuses_is_not_stored(flux: Flux, no_key: Service, home: Path) -> None:
    result = flux("login", stdin="wrong-key\n")

    assert result.code == 4
    assert "the service refused the key: Authentication failed: Verify API key is correct (code 1200)" in result.err
    assert not (home / "config.toml").exists()


@pytest.mark.parametrize(
    ("stdin", "told"),
    [("", "is empty"), ("\n", "is empty"), ("a key\n", "has a character"), ("ключ\n", "has a character")],
)
def test_what_cannot_be_a_key_is_not_sent(flux: Flux, no_key: Service, stdin: str, told: str) -> None:
    result = flux("login", stdin=stdin)

    assert result.code == 4
    assert f"the key from the input {told}" in result.err
    assert no_key.seen == []


def test_a_service_that_cannot_be_asked_stores_nothing_unless_told(
    flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BASE_URL", "http://127.0.0.1:1/api/v1")
    assert flux("login", stdin=f"{KEY}\n").code == 13
    assert not (home / "config.toml").exists()
    assert flux("login --no-check", stdin=f"{KEY}\n").code == 0
    assert (home / "config.toml").exists()


def test_profiles_keep_their_keys_apart(flux: Flux, no_key: Service, home: Path) -> None:
    assert flux("login --profile work", stdin=f"{KEY}\n").code == 0

    assert flux("gen x").err.splitlines()[0] == (
        f"flux: no API key found: looked in PIAPI_API_KEY and {home}/config.toml [profiles.default]"
        " (profiles there: work). Nothing was sent."
    )
    assert flux("gen x --size 256x256 -q --profile work").code == 0
    assert flux("history").err == "no entries\n"
    assert len(flux("history --profile work").out.splitlines()) == 1


def test_settings_are_stored_checked_and_explained(flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert flux("config set plan creator").code == 0
    assert flux("config get plan").out == "creator\n"
    monkeypatch.setenv("FLUX_MODEL", "schnell")
    rows = [json.loads(line) for line in flux("config list --json --profile default").out.splitlines()]
    found = {row["name"]: (row["value"], row["source"]) for row in rows}
    assert found["plan"] == ("creator", f"{home}/config.toml [default]")
    assert found["model"] == ("schnell", "FLUX_MODEL")
    assert found["timeout"] == ("900", "default")
    assert found["profile"] == ("default", "option")
    assert found["api_key"] == (None, "unset")
    assert flux("config path").out == f"{home}/config.toml\n"

    assert flux("config set plan ''").code == 0
    assert flux("config get plan").out == "free\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("config set plan gold", "plan: one of free, creator, pro"),
        ("config set pln pro", "no setting is called 'pln'"),
        ("config get pln", "no setting is called 'pln'"),
        ("config set api_key x", "a key on the command line would be seen by others"),
        ("config set base_url http://evil.example", "base_url: http:// is accepted for this machine only; use https://"),
        ("config set time_scale 2", "time_scale is set by FLUX_TIME_SCALE only"),
        ("login --sandbox", "the sandbox needs no key"),
    ],
)  # fmt: skip
def test_bad_settings_are_told(flux: Flux, home: Path, line: str, said: str) -> None:
    result = flux(line)

    assert (result.code, result.err.splitlines()[0]) == (2, f"flux: {said}")
    assert not home.exists()


def test_a_broken_config_names_the_line_and_never_quotes_it(flux: Flux, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(f'[profiles.default]\nmodel = "dev"\napi_key = {KEY}\n')
    (home / "config.toml").chmod(0o600)
    result = flux("history")

    assert result.code == 4
    assert result.err.splitlines()[0] == f"flux: {home}/config.toml, line 3: not valid TOML"


def test_a_config_that_others_can_read_draws_a_warning(flux: Flux, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("")
    (home / "config.toml").write_text('[profiles.default]\nmodel = "dev"\n')
    (home / "config.toml").chmod(0o644)

    said = flux("config get model").err
    assert (
        said
        == f"flux: warning: {home}/config.toml can be read by other users; close it with: chmod 600 {home}/config.toml\n"
    )


def test_prices_can_be_overridden(flux: Flux, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[prices]\nschnell = 0.0015\n"Qubico/flux1-dev" = "0.01"\n')
    (home / "config.toml").chmod(0o600)

    assert flux("gen x --dry-run -m schnell -b 3").err == "Would cost $0.0045 for 3 images. Nothing was sent.\n"
    assert flux("gen x --dry-run").err == "Would cost $0.01 for 1 image. Nothing was sent.\n"
    assert flux("gen x --dry-run -m pro").err == "Would cost $0.05 for 1 image. Nothing was sent.\n"


def test_login_on_a_terminal_does_not_show_the_key(no_key: Service, start: Start, home: Path) -> None:
    import os
    import pty

    terminal, side = pty.openpty()
    process = start("login", stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    shown = b""
    sent = False
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed: Linux's way to say that it is over
            break
        if b"not shown" in shown and not sent:
            os.write(terminal, f"{KEY}\n".encode())
            sent = True
    os.close(terminal)
    assert process.wait(20) == 0, shown
    assert KEY.encode() not in shown
    assert KEY in (home / "config.toml").read_text()


def test_the_next_command_finds_the_same_profile_and_service(flux: Flux) -> None:
    """Whoever copies it must not end up among the tasks of another account."""
    assert flux("show gone --sandbox").err.splitlines()[-1] == "      List yours: flux history --sandbox"
    hint = (
        "      Get one at https://piapi.ai/workspace/key, or try flux for free with --sandbox."
        " Store it with: flux login --profile work"
    )
    assert flux("gen fox --profile work").err.splitlines()[-1] == hint
    assert flux("gen fox --profile '\\1'").code == 2
