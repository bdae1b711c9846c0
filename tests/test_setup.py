"""API keys and settings on the command line."""

import json
import shlex
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import KEY, Flux
from .servers import Service, run_sandbox

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def keyless_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return the server, with no key in the environment."""
    monkeypatch.delenv("PIAPI_API_KEY")
    return service


def test_login_checks_the_key_and_stores_it_only_for_its_owner(
    flux: Flux, keyless_service: Service, home: Path
) -> None:
    result = flux("login", stdin=f"{KEY}\n")

    file = home / "config.toml"
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines() == [
        "PiAPI accepted the key (plan pro, 15 tasks in parallel, balance $1000.00 simulated)",
        f"Stored the key …cdef in {file} [profiles.default]",
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tomllib.loads(file.read_text())["profiles"] == {
        "default": {
            "api_key": KEY,
            "account": {"base_url": f"{keyless_service.origin}/api/v1", "plan": "pro", "concurrency": 15},
        }
    }
    assert [request.path for request in keyless_service.requests] == ["/account/info"]
    assert flux("gen x --size 256x256 -q").code == 0

    assert flux("logout").code == 0
    assert KEY not in file.read_text()
    assert flux("gen x").code == 4
    assert flux("logout").err == "No key is stored for profile default\n"


def test_a_key_that_piapi_refuses_is_not_stored(flux: Flux, keyless_service: Service, home: Path) -> None:
    result = flux("login", stdin="wrong-key\n")

    assert result.code == 4
    assert "PiAPI refused the key: Authentication failed: Verify API key is correct (code 1200)" in result.err
    assert result.err.splitlines()[0].endswith(". The key was not stored.")
    assert "Copy your key from https://piapi.ai/workspace/key, then run: flux login" in result.err
    assert not (home / "config.toml").exists()


@pytest.mark.parametrize(
    ("stdin", "problem"),
    [
        ("", "stdin contains no key"),
        ("\n", "stdin contains no key"),
        ("a key\n", "the key contains an invalid character"),
        ("ключ\n", "the key contains an invalid character"),
    ],
)
def test_an_invalid_key_is_not_sent(flux: Flux, keyless_service: Service, stdin: str, problem: str) -> None:
    result = flux("login", stdin=stdin)

    assert result.code == 4
    assert result.err.startswith(f"flux: {problem}")
    assert keyless_service.requests == []


def test_a_key_that_cannot_be_checked_is_stored_only_with_no_check(
    flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_BASE_URL", "http://127.0.0.1:1/api/v1")
    refused = flux("login", stdin=f"{KEY}\n")
    assert (refused.code, "The key was not stored" in refused.err) == (13, True)
    assert refused.err.endswith("Store it unchecked with: flux login --no-check\n")
    assert not (home / "config.toml").exists()
    assert flux("login --no-check", stdin=f"{KEY}\n").code == 0
    assert (home / "config.toml").exists()


def test_each_profile_has_its_own_key(flux: Flux, keyless_service: Service, home: Path) -> None:
    assert flux("login --profile work", stdin=f"{KEY}\n").code == 0

    assert flux("gen x").err.splitlines()[:2] == [
        f"flux: no API key: PIAPI_API_KEY is not set, and profile default in {home}/config.toml has no key."
        " Nothing was sent.",
        "      - To use the key of profile work, add: --profile work",
    ]
    assert flux("gen x --size 256x256 -q --profile work").code == 0
    assert flux("history").err.startswith("No tasks in the history.\n")
    assert len(flux("history --profile work").out.splitlines()) == 1


def test_settings_are_stored_checked_and_listed(flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = flux("config set plan creator")
    assert (result.code, result.out, result.err) == (
        0,
        "",
        f"Set plan = creator in {home}/config.toml [profiles.default]\n",
    )
    assert flux("config get plan").out == "creator\n"
    assert flux("config get model").out == "dev\n"
    monkeypatch.setenv("FLUX_MODEL", "schnell")
    rows = [json.loads(line) for line in flux("config list --json --profile default").out.splitlines()]
    found = {row["name"]: (row["value"], row["source"]) for row in rows}
    assert found["plan"] == ("creator", f"{home}/config.toml [profiles.default]")
    assert found["model"] == ("schnell", "FLUX_MODEL")
    assert found["timeout"] == ("900", "default")
    assert found["profile"] == ("default", "option")
    assert found["api_key"] == (None, "unset")
    assert flux("config path").out == f"{home}/config.toml\n"

    assert flux("config set plan ''").err == f"Removed plan from {home}/config.toml [profiles.default]\n"
    assert flux("config get plan").out == "free\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("config set plan gold", "invalid plan 'gold': expected free, creator or pro"),
        ("config set timeout ten", "invalid timeout 'ten': expected a number from 0 to 86400"),
        ("config set confirm_above x", "invalid confirm_above 'x': expected a number from 0 to 1000000"),
        ("config set model foo", "unknown model 'foo'"),
        ("config set pln pro", "unknown setting 'pln'"),
        ("config set pln ''", "unknown setting 'pln'"),
        ("config get pln", "unknown setting 'pln'"),
        ("config set api_key x", "a key on the command line can be seen by other users"),
        ("config set base_url http://evil.example", "invalid base_url 'http://evil.example': expected an https URL; http is accepted for this machine only"),
        ("config set time_scale 2", "time_scale can be set with FLUX_TIME_SCALE only"),
        ("login --sandbox", "the sandbox needs no key"),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_refused(flux: Flux, home: Path, line: str, problem: str) -> None:
    result = flux(line)

    assert (result.code, result.err.splitlines()[0].removesuffix("; nothing was sent")) == (2, f"flux: {problem}")
    assert not home.exists()


@pytest.mark.parametrize(
    ("config", "commands"),
    [
        ('[profiles.default]\ntimeout = "abc"  # mine\n', ["set timeout 60"]),
        ("[profiles.default]\ntimeout = [1]\nplan = 'gold'\n", ["set timeout 60", "set plan ''"]),
        ("[profiles.default]\ntimout = 60\n", ["set timout ''", "set timeout 60"]),
        ('[profiles.default]\nmodel = "foo"\ntimeout = 60\n', ["set model dev"]),
    ],
)
def test_config_set_repairs_a_config_file_that_stops_every_other_command(
    flux: Flux, home: Path, config: str, commands: list[str]
) -> None:
    home.mkdir()
    (home / "config.toml").write_text(config)
    (home / "config.toml").chmod(0o600)
    assert flux("gen x --sandbox --dry-run").code == 4
    assert all(flux(f"config {command}").code == 0 for command in commands)
    assert flux("gen x --sandbox --dry-run").code == 0
    assert flux("config get timeout").out == "60\n"
    assert ("# mine" in (home / "config.toml").read_text()) == ("# mine" in config)


def test_an_invalid_value_is_reported_with_its_variable_or_line(
    flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "config.toml").write_text('# mine\n[profiles.default]\ntimeout = "abc"\n')
    (home / "config.toml").chmod(0o600)
    problem = f"flux: invalid timeout 'abc' ({home}/config.toml, line 3): expected a number from 0 to 86400"
    assert flux("history").err.splitlines() == [problem, "      Correct it with: flux config set timeout VALUE"]
    monkeypatch.setenv("FLUX_TIMEOUT", "abc")
    assert flux("history").err == "flux: invalid FLUX_TIMEOUT 'abc': expected a number from 0 to 86400\n"
    assert flux("config set timeout 60").err.splitlines() == [
        f"Set timeout = 60 in {home}/config.toml [profiles.default]",
        "flux: warning: FLUX_TIMEOUT is set and takes precedence over the config file",
    ]


def test_an_invalid_config_file_is_reported_with_a_line_number_and_not_quoted(flux: Flux, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(f'[profiles.default]\nmodel = "dev"\napi_key = {KEY}\n')
    (home / "config.toml").chmod(0o600)
    result = flux("history")

    assert result.code == 4
    assert result.err.splitlines()[0] == f"flux: {home}/config.toml, line 3: not valid TOML"


def test_a_config_file_that_others_can_read_causes_a_warning(flux: Flux, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[profiles.default]\nmodel = "dev"\n')
    (home / "config.toml").chmod(0o644)

    file = f"{home}/config.toml"
    warning = f"flux: warning: {file} can be read by other users; restrict it with: chmod 600 {file}\n"
    assert flux("config get model").err == warning


def test_prices_can_be_overridden(flux: Flux, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[prices]\nschnell = 0.0015\n"Qubico/flux1-dev" = "0.01"\n')
    (home / "config.toml").chmod(0o600)

    assert flux("gen x --dry-run -m schnell -b 3").err == "Would cost $0.0045 for 3 images. Nothing was sent.\n"
    assert flux("gen x --dry-run").err == "Would cost $0.01 for 1 image. Nothing was sent.\n"
    assert flux("gen x --dry-run -m pro").err == "Would cost $0.05 for 1 image. Nothing was sent.\n"


def test_login_on_a_terminal_hides_the_key_and_keeps_concurrent_changes(
    flux: Flux, keyless_service: Service, start: Start, home: Path
) -> None:
    import os
    import pty

    home.mkdir()
    (home / "config.toml").write_text("# my own\n[profiles.default]  # the usual one\nplan = 'pro' # paid by work\n")
    terminal, replica = pty.openpty()
    process = start("login", stdin=replica, stdout=replica, stderr=replica, start_new_session=True)
    os.close(replica)
    shown = b""
    sent = False
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed: how Linux reports the end
            break
        if b"not shown" in shown and not sent:
            assert flux("config set budget.day 0.02").code == 0
            os.write(terminal, f"{KEY}\n".encode())
            sent = True
    os.close(terminal)
    assert process.wait(20) == 0, shown
    assert KEY.encode() not in shown
    assert (
        (home / "config.toml")
        .read_text()
        .startswith("# my own\n[profiles.default]  # the usual one\nplan = 'pro' # paid by work\n")
    )
    stored = tomllib.loads((home / "config.toml").read_text())["profiles"]["default"]
    assert (stored["api_key"], stored["budget"]) == (KEY, {"day": 0.02})


# --- the account ------------------------------------------------------------------------------------------------------


def get_limits(flux: Flux) -> list[tuple[str, str]]:
    """Return the plan and the number of parallel tasks in use, each with its source."""
    rows = [json.loads(line) for line in flux("config list --json").out.splitlines()]
    return [(row["value"], row["source"]) for row in rows if row["name"] in ("plan", "concurrency")]


@pytest.mark.parametrize("line", ["login", "balance", "doctor"])
def test_the_account_limits_the_number_of_parallel_tasks(
    flux: Flux, service: Service, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_limits(flux) == [("free", "default"), ("2", "plan")]
    assert flux(line, stdin=f"{KEY}\n").code == 0
    assert get_limits(flux) == [("pro", "account"), ("15", "account")]

    monkeypatch.setenv("FLUX_UPLOAD_URL", "https://upload.example")
    monkeypatch.setenv("FLUX_BASE_URL", "https://other.example/api/v1")
    assert get_limits(flux) == [("free", "default"), ("2", "plan")]


def test_login_allows_more_parallel_tasks_than_the_free_plan(
    flux: Flux, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox(tmp_path / "slow.db", speed=1e-6) as slow:  # no task ends: each run ends with its timeout
        monkeypatch.setenv("FLUX_BASE_URL", f"{slow.origin}/api/v1")
        Path("prompts.txt").write_text("".join(f"fox {number}\n" for number in range(4)))
        assert flux("gen --from prompts.txt --size 64x64 --timeout 0.5").code == 9
        created = sorted(task.created for task in slow.charges)
        assert [created_at - created[0] < 0.4 for created_at in created] == [True, True, False, False]

        flux("login --profile mine", stdin=f"{KEY}\n")
        assert flux("gen --from prompts.txt --size 64x64 --timeout 0.5 --profile mine").code == 9
        created = sorted(task.created for task in slow.charges)[4:]
        assert sum(created_at - created[0] < 0.4 for created_at in created) > 2


@pytest.mark.parametrize("line", ["login", "balance", "doctor"])
def test_a_plan_that_the_user_set_takes_precedence_and_the_difference_is_reported(
    flux: Flux, service: Service, home: Path, line: str
) -> None:
    flux("config set plan creator")
    result = flux(line, stdin=f"{KEY}\n")
    difference = (
        "our account (plan pro) allows 15 tasks in parallel, but "
        f"plan = creator ({home}/config.toml [profiles.default]) allows 5. "
        "Use the account's limit: flux config set plan ''"
    )
    assert (result.code, result.out.count(difference) + result.err.count(difference)) == (0, 1)
    assert flux("config get plan").out == "creator\n"
    flux("config set plan ''")
    assert get_limits(flux) == [("pro", "account"), ("15", "account")]


def test_the_account_of_an_unchecked_key_is_unknown(flux: Flux, service: Service, home: Path) -> None:
    flux("login", stdin=f"{KEY}\n")
    flux("login --no-check", stdin="another-key-0123456789\n")
    assert get_limits(flux) == [("free", "default"), ("2", "plan")]
    flux("balance")
    flux("logout")
    assert "account" not in (home / "config.toml").read_text()


def test_a_read_only_config_file_does_not_stop_balance(flux: Flux, service: Service, home: Path) -> None:
    (home / "config.lock").mkdir(parents=True)  # like a read-only file, even for root
    result = flux("balance")
    assert (result.code, result.out) == (0, "Balance: $1000.00 simulated\nPlan: pro (15 tasks in parallel)\n")
    assert "the account's limits were not stored: cannot write" in result.err


# --- a command that prints the key ------------------------------------------------------------------------------------


@pytest.fixture
def make_key_command(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function that makes a command, which runs a line of Python and counts its runs in `runs`."""

    def command(code: str) -> list[str]:
        script = tmp_path / "print key.py"
        script.write_text(f"open({str(tmp_path / 'runs')!r}, 'a').write('.')\n{code}\n")
        return [sys.executable, str(script)]

    return command


PRINT_KEY = "print(' test-key' + '-0123456789abcdef ')"


@pytest.mark.parametrize("form", ["list", "text", "variable", "set"])
def test_the_key_is_read_from_a_command_that_runs_once(
    flux: Flux,
    keyless_service: Service,
    home: Path,
    tmp_path: Path,
    make_key_command: Callable[[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    command = make_key_command(PRINT_KEY)
    home.mkdir()
    if form == "variable":
        monkeypatch.setenv("FLUX_API_KEY_COMMAND", shlex.join(command))
    elif form == "set":
        assert flux(f"config set api_key_command {shlex.quote(shlex.join(command))}").code == 0
    else:
        value = command if form == "list" else shlex.join(command)
        (home / "config.toml").write_text(f"[profiles.default]\napi_key_command = {json.dumps(value)}\n")
        (home / "config.toml").chmod(0o600)

    result = flux("gen x --size 64x64 --debug")
    assert result.code == 0, result.err
    assert keyless_service.requests[0].headers["x-api-key"] == KEY
    assert flux("balance").code == 0
    assert (tmp_path / "runs").read_text() == "."
    assert all(KEY.encode() not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert flux("config get api_key").out == "\n"
    found = json.loads(next(line for line in flux("doctor --json").out.splitlines() if '"key"' in line))
    source = "FLUX_API_KEY_COMMAND" if form == "variable" else "api_key_command"
    assert found["message"] == f"…cdef from {source}; accepted by PiAPI"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("print('test-key' + '-0123456789abcdef'); raise SystemExit(3)", "failed with exit code 3"),
        ("", "flux: FLUX_API_KEY_COMMAND printed no key"),
        ("print('a key'); print('and more')", "contains an invalid character"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "printed something that is not text"),
    ],
)
def test_a_command_that_prints_no_key_is_reported_without_its_output(
    flux: Flux, keyless_service: Service, make_key_command: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch,
    code: str, problem: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("FLUX_API_KEY_COMMAND", shlex.join(make_key_command(code)))
    result = flux("gen x")
    assert (result.code, problem in result.err) == (4, True), result.err
    assert "print key.py" not in result.err
    assert keyless_service.requests == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [("no-such-program", "cannot be started: No such file or directory"), ("pass 'x", "an unclosed quotation mark")],
)
def test_a_command_that_cannot_be_started_is_reported(
    flux: Flux, keyless_service: Service, monkeypatch: pytest.MonkeyPatch, command: str, problem: str
) -> None:
    monkeypatch.setenv("FLUX_API_KEY_COMMAND", command)
    result = flux("gen x")
    assert (result.code, problem in result.err) == (4, True), result.err
    monkeypatch.setenv("PIAPI_API_KEY", KEY)
    assert flux("gen x --size 64x64 -q").code == 0


WRONG = "wrong-key-0123456789"


@pytest.mark.parametrize("command", ["gen x", "balance", "status k3v9q2xy"])
@pytest.mark.parametrize(
    ("variable", "stored", "hint"),
    [
        ("PIAPI_API_KEY", "", "The key comes from PIAPI_API_KEY. Correct it, or unset it and store a key with"),
        (
            "FLUX_API_KEY_COMMAND", "",
            "The key comes from FLUX_API_KEY_COMMAND. Check that command, or unset the variable and store a key with",
        ),
        ("", "api_key_command", "The key comes from api_key_command. Check that command, or store a key with"),
        ("", "api_key", "Store another key with"),
    ],
)  # fmt: skip
def test_the_hint_about_a_refused_key_depends_on_its_source(
    flux: Flux, keyless_service: Service, home: Path, monkeypatch: pytest.MonkeyPatch,
    command: str, variable: str, stored: str, hint: str,
) -> None:  # fmt: skip
    """A variable takes precedence over the stored key: `flux login` alone would change nothing."""
    printer = f"echo {WRONG}"
    if variable:
        monkeypatch.setenv(variable, WRONG if variable == "PIAPI_API_KEY" else printer)
    else:
        home.mkdir()
        value = WRONG if stored == "api_key" else printer
        (home / "config.toml").write_text(f'[profiles.default]\n{stored} = "{value}"\n')
        (home / "config.toml").chmod(0o600)
    result = flux(command)
    assert (result.code, result.err.splitlines()[-1]) == (4, f"      {hint}: flux login")


def test_an_unknown_model_names_the_setting_it_comes_from(
    flux: Flux, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[profiles.default]\nmodel = "foo"\n')
    (home / "config.toml").chmod(0o600)
    assert flux("gen x --dry-run").err.splitlines() == [
        f"flux: invalid model 'foo' ({home}/config.toml, line 2): unknown model. Nothing was sent.",
        "      Correct it with: flux config set model NAME",
    ]
    monkeypatch.setenv("FLUX_MODEL", "foo")
    assert flux("gen x --dry-run").err.splitlines() == [
        "flux: invalid FLUX_MODEL 'foo': unknown model. Nothing was sent.",
        "      Use one of: schnell, dev, pro, dev-advanced",
    ]
    assert flux("doctor --offline").out.splitlines()[-4].startswith("problem  configuration  invalid FLUX_MODEL 'foo'")
    assert flux("gen x --dry-run -m schnell").code == 0


@pytest.mark.parametrize("command", ["listen", "balance", "wait k3v9q2xy"])
def test_the_sandbox_is_offered_only_where_it_helps(flux: Flux, command: str) -> None:
    result = flux(command)
    assert (result.code, "--sandbox" in result.err) == (4, False)


# --- the next command -------------------------------------------------------------------------------------------------


def test_the_next_command_contains_the_profile_and_the_sandbox(flux: Flux) -> None:
    """A copied command must not act on the tasks of another account."""
    assert flux("show gone --sandbox").err.splitlines()[-1] == "      List your tasks: flux history --sandbox"
    hint = "then store it with: flux login --profile work"
    assert flux("gen fox --profile work").err.endswith(f"{hint}\n")
    assert flux("gen fox --profile '\\1'").code == 2


def test_a_mistyped_profile_pays_nothing(flux: Flux, service: Service, home: Path) -> None:
    """It would have no budget, and the key of the environment would pay."""
    flux("config set --profile work budget.day 0.01")
    result = flux("gen x --seed 1 --profile wrok")
    assert (result.code, result.err.splitlines()[0]) == (
        4, f"flux: no profile 'wrok' in {home}/config.toml. Nothing was sent.",
    )  # fmt: skip
    assert "Did you mean work?" in result.err
    assert service.requests == []
    assert flux("gen x --seed 1 --size 64x64").code == 0
