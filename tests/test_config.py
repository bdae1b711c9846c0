"""Settings: the source of each value, invalid values, and keys that are never printed."""

import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.config.api_key import checked_key
from flux_cli.config.config_file import edit_file, permissions_warning, place_of, read_file
from flux_cli.config.resolve import resolve
from flux_cli.config.settings import BY_NAME, SETTINGS
from flux_cli.config.urls import base_url, is_loopback
from flux_cli.errors import ConfigError, FluxError, UsageError
from flux_cli.json_value import Json, JsonObject

PATH = Path("/home/u/config.toml")
SECRET = "sk-Secret-0123456789"


def profile(name: str = "default", /, **settings: Json) -> JsonObject:
    return {"profiles": {name: settings}}


def read_error_text(error: FluxError) -> str:
    """Return all text of an error that may be printed or logged."""
    cause = error.__cause__ if error.__cause__ or error.__suppress_context__ else error.__context__
    return " ".join([error.message, error.hint or "", *error.details, str(error), repr(cause)])


# --- precedence ----------------------------------------------------------------------------------------------------

OTHERS = {
    "model": ("pro", "schnell", "dev-advanced"), "timeout": ("1", "2", "3"), "concurrency": ("4", "5", "6"),
    "plan": ("creator", "pro", "free"), "sandbox": ("true", "false", "true"), "output_dir": ("a", "b", "c"),
    "base_url": ("https://a/v1", "http://localhost:1/v1", "https://c/v1"),
    "service_mode": ("public", "private", "public"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_options_override_variables_override_the_file_overrides_defaults(name: str) -> None:
    option, variable, stored = OTHERS[name]
    file, environ, options = profile(**{name: stored}), {f"FLUX_{name.upper()}": variable}, {name: option}
    sources = []
    for given_file, given_environ, given_options in (
        (file, environ, options),
        (file, environ, {}),
        (file, {}, {name: None}),
        ({}, {}, {}),
    ):
        value = resolve(given_file, given_environ, given_options, path=PATH).values[name]
        sources.append((value.text, value.source))
    assert sources == [
        (option, "option"),
        (variable, f"FLUX_{name.upper()}"),
        (stored, f"{PATH} [profiles.default]"),
        (BY_NAME[name].default, "default"),
    ]


@pytest.mark.parametrize(
    ("file", "environ", "option", "profile_and_source"),
    [
        ({"profile": "c"}, {"FLUX_PROFILE": "b"}, "a", ("a", "option")),
        ({"profile": "c"}, {"FLUX_PROFILE": "b"}, None, ("b", "FLUX_PROFILE")),
        ({"profile": "c"}, {"FLUX_PROFILE": ""}, None, ("c", str(PATH))),
        ({}, {}, None, ("default", "default")),
    ],
)
def test_the_source_of_the_profile(
    file: JsonObject, environ: dict[str, str], option: str | None, profile_and_source: Any
) -> None:
    tables: JsonObject = {name: {"model": f"of-{name}"} for name in ("a", "b", "c", "default")}
    found = resolve({**file, "profiles": tables}, environ, {"profile": option}, path=PATH)
    assert (found.profile, found.profile_source) == profile_and_source
    assert found.text("model") == f"of-{found.profile}"


@pytest.mark.parametrize(
    ("file", "environ", "key_and_source"),
    [
        (profile(api_key="stored-key"), {"PIAPI_API_KEY": SECRET}, (SECRET, "PIAPI_API_KEY")),
        (profile(api_key=SECRET), {"PIAPI_API_KEY": ""}, (SECRET, f"{PATH} [profiles.default]")),
        (profile("other", api_key=SECRET), {"FLUX_API_KEY": "not-a-key"}, (None, "unset")),
    ],
)
def test_the_source_of_the_key(file: JsonObject, environ: dict[str, str], key_and_source: tuple[Any, str]) -> None:
    found = resolve(file, environ, {"profile": "default"}, path=PATH)
    assert (found.key, found.key_source) == key_and_source
    assert SECRET not in str(found.texts)


def test_settings_for_one_invocation_are_not_read_from_the_file() -> None:
    assert resolve(profile(time_scale=0.02), {}, {}, path=PATH).text("time_scale") == "1"
    assert resolve({}, {"FLUX_TIME_SCALE": "0.02"}, {}, path=PATH).text("time_scale") == "0.02"


@pytest.mark.parametrize(
    ("word", "flag"), [("1", True), ("Yes", True), ("on", True), ("TRUE", True), ("0", False), ("off", False)]
)
def test_booleans_accept_common_words(word: str, flag: bool) -> None:
    assert resolve({}, {"FLUX_SANDBOX": word}, {}, path=PATH).sandbox is flag
    assert resolve(profile(sandbox=flag), {}, {}, path=PATH).sandbox is flag


# --- bad values ----------------------------------------------------------------------------------------------------

BAD: list[tuple[str, str]] = [
    ("timeout", "soon"), ("timeout", "-1"), ("timeout", "nan"), ("timeout", "inf"), ("timeout", "86401"),
    ("timeout", "1" * 5000), ("concurrency", "0"), ("concurrency", "2.5"), ("concurrency", "1001"), ("plan", "gold"),
    ("plan", "Pro"), ("service_mode", "PUBLIC"), ("sandbox", "maybe"), ("model", "a\nb"), ("output_dir", "a\0b"),
    ("webhook", "ftp://x"), ("base_url", "http://evil.com"), ("base_url", f"https://{SECRET}@api.piapi.ai"),
    ("upload_url", f"https://x/?key={SECRET}"), ("base_url", SECRET), ("api_key_command", f"echo {SECRET}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_the_error_for_a_bad_value_names_its_source(name: str, value: str) -> None:
    environ = {"PIAPI_API_KEY": SECRET}
    with pytest.raises(UsageError, match=f"^invalid --{name.replace('_', '-')}.*: expected ") as by_option:
        resolve({}, environ, {name: value}, path=PATH)
    with pytest.raises(ConfigError, match=f"^invalid FLUX_{name.upper()}.*: expected ") as by_variable:
        resolve({}, {**environ, f"FLUX_{name.upper()}": value}, {}, path=PATH)
    with pytest.raises(ConfigError, match=rf"^invalid {name}.* \({PATH}\): expected ") as by_file:
        resolve(profile(api_key=SECRET, **{name: value}), environ, {}, path=PATH)
    assert (by_option.value.exit_code, by_variable.value.exit_code, by_file.value.exit_code) == (2, 4, 4)
    assert all(SECRET not in read_error_text(caught.value) for caught in (by_option, by_variable, by_file))


@pytest.mark.parametrize("setting", [setting.name for setting in SETTINGS if setting.in_file])
@pytest.mark.parametrize("value", [[], [1], {}, {"name": "dev"}])
def test_a_list_or_a_table_is_not_a_value(setting: str, value: Json) -> None:
    with pytest.raises(ConfigError, match=setting):
        resolve(profile(**{setting: value}), {}, {}, path=PATH)


@pytest.mark.parametrize(("value", "text"), [(30, "30"), (30.5, "30.5")])
def test_numbers_in_the_file_need_no_quotes(value: float, text: str) -> None:
    assert resolve(profile(timeout=value), {}, {}, path=PATH).text("timeout") == text


def test_a_misspelled_setting_is_an_error() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'webhok'") as caught:
        resolve(profile(webhok="https://x"), {}, {}, path=PATH)
    assert caught.value.hint == "Did you mean webhook?"


@pytest.mark.parametrize("name", ["a b", "../x", "a.b", "é", "x" * 65, "a\n", "[x]"])
def test_profile_names_are_checked_from_every_source(name: str) -> None:
    with pytest.raises(UsageError, match=r"invalid --profile '.*': expected letters"):
        resolve({}, {}, {"profile": name}, path=PATH)
    with pytest.raises(ConfigError, match=r"invalid FLUX_PROFILE '.*': expected letters"):
        resolve({}, {"FLUX_PROFILE": name}, {}, path=PATH)
    with pytest.raises(ConfigError, match=f"invalid profile '.*' in {PATH}: expected letters"):
        resolve({"profile": name}, {}, {}, path=PATH)
    with pytest.raises(ConfigError):
        resolve({"profile": [name]}, {}, {}, path=PATH)


# --- the account ---------------------------------------------------------------------------------------------------

ACCOUNT: JsonObject = {"base_url": "https://api.piapi.ai/api/v1", "plan": "creator", "concurrency": 5}


@pytest.mark.parametrize(
    ("chosen", "environ", "plan_and_concurrency"),
    [
        ({}, {}, ("creator", "5")),
        ({"concurrency": 3}, {}, ("creator", "3")),
        ({"plan": "pro"}, {}, ("pro", None)),
        ({}, {"FLUX_PLAN": "free"}, ("free", None)),
        ({"sandbox": True}, {}, ("free", None)),
        ({}, {"FLUX_BASE_URL": "http://127.0.0.1:8517/api/v1"}, ("free", None)),
    ],
)
def test_account_limits_apply_to_its_base_url_unless_overridden(
    chosen: JsonObject, environ: dict[str, str], plan_and_concurrency: tuple[str, str | None]
) -> None:
    found = resolve(profile(account=ACCOUNT, **chosen), environ, {}, path=PATH)
    assert (found.text("plan"), found.get("concurrency")) == plan_and_concurrency


# --- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "stored", "source"),
    [
        ({"PIAPI_API_KEY": SECRET, "FLUX_API_KEY_COMMAND": "e"}, {"api_key": "s", "api_key_command": "c"}, "PIAPI_API_KEY"),
        ({"FLUX_API_KEY_COMMAND": "e"}, {"api_key": "s", "api_key_command": "c"}, "FLUX_API_KEY_COMMAND"),
        ({}, {"api_key": "s", "api_key_command": "c"}, f"{PATH} [profiles.default]"),
        ({}, {"api_key_command": ["c", "d e"]}, "api_key_command"),
        ({}, {}, "unset"),
    ],
)  # fmt: skip
def test_the_precedence_of_key_sources(environ: dict[str, str], stored: JsonObject, source: str) -> None:
    found = resolve(profile(**stored), environ, {}, path=PATH)
    commands = {"FLUX_API_KEY_COMMAND": "e", "api_key_command": "c 'd e'"}
    assert (found.key_source, found.key_command) == (source, commands.get(source))
    assert (found.key is None) == (source in (*commands, "unset"))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_one_line_ending_after_a_key_is_ignored(ending: str) -> None:
    assert checked_key(SECRET + ending, "stdin") == SECRET


@pytest.mark.parametrize(
    "key",
    [f"{SECRET}\n\n", f"{SECRET} ", f" {SECRET}", f"sk {SECRET}", f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\t",
     f"{SECRET}\0", f"{SECRET}é", f"“{SECRET}”", f"{SECRET}\u200b", f"{SECRET}\x7f", f"{SECRET}\udcff", "\n", " "],
)  # fmt: skip
def test_a_key_that_is_invalid_in_a_header_is_rejected_without_printing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="the key from the input") as caught:
        checked_key(key, "the input")
    assert SECRET not in read_error_text(caught.value)


@pytest.mark.parametrize("name", ["api_key", "model", "modle"])
def test_a_setting_outside_any_profile_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is outside any profile") as caught:
        resolve({name: SECRET}, {}, {}, path=PATH)
    assert SECRET not in read_error_text(caught.value)


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@example("")
def test_an_accepted_key_is_valid_in_a_header(key: str) -> None:
    try:
        accepted = checked_key(key, "x")
    except ConfigError:
        return
    assert all(33 <= byte <= 126 for byte in accepted.encode("ascii"))
    assert key.startswith(accepted)


# --- URLs ----------------------------------------------------------------------------------------------------------

LOOPBACK = ["localhost", "LOCALHOST", "sandbox.localhost", "127.0.0.1", "127.255.255.254", "[::1]"]
ELSEWHERE = [
    "evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "notlocalhost",
    "localhost.", "0x7f.1", "0x7f000001", "2130706433", "127.1", "127", "127.", "127.0.0.256", "127.0.0.1.",
    "1270.0.0.1", "128.0.0.1", "0.0.0.0", "0", "10.0.0.1", "169.254.169.254", "[::]",
    "[::ffff:10.0.0.1]", "[fe80::1]", "\uff11\uff12\uff17.0.0.1", "localhost.localdomain", "xn--localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_plain_http_is_accepted_for_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert base_url(f" http://{host}:8080/api/v1/ ") == f"http://{host.lower()}:8080/api/v1"


@pytest.mark.parametrize("host", ELSEWHERE)
def test_plain_http_is_rejected_for_other_machines(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ValueError, match="this machine only"):
        base_url(f"http://{host}:8080/api/v1")
    assert base_url(f"https://{host}/api/v1/") == f"https://{host.rstrip('.')}/api/v1"


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("HTTPS://API.PiAPI.ai:443/api/v1/", "https://api.piapi.ai/api/v1"),
        ("https://api.piapi.ai.:/api//v1", "https://api.piapi.ai/api/v1"),
        ("https://api.piapi.ai//api/./x/../v1//", "https://api.piapi.ai/api/v1"),
        ("https://api.piapi.ai:0443/api/v1/../../..", "https://api.piapi.ai"),
        ("https://API.piapi.ai:80/API/V1", "https://api.piapi.ai:80/API/V1"),
        ("http://[::1]:80/", "http://[::1]"),
        ("HTTP://LocalHost:8080", "http://localhost:8080"),
        ("https://upload.theapi.app/", "https://upload.theapi.app"),
    ],
)
def test_base_urls_are_normalized(url: str, normalized: str) -> None:
    assert (base_url(url), base_url(normalized)) == (normalized, normalized)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "//localhost", "localhost:80", "ftp://localhost", "file:///etc/passwd", "http://", "http:///x",
     "https://:80", "http://localhost@evil.com", "http://evil.com@localhost", "http://@localhost",
     "http://u:p@localhost", "http://localhost:99999", "http://localhost:x", "http://localhost?x", "http://localhost#x",
     "http://[::1", "http://[::1].evil.com", "http://[::1]evil.com", "http://evil.com\\.localhost",
     "http://127\u30020\u30020\u30021", "http://\u24dbocalhost", "http://evil.com%2f.localhost",
     "http://evil.com\t.localhost", "http://local\nhost", "http://localhost/a b", "http://localhost/\x00",
     "http://localhost/\x7f"],
)  # fmt: skip
def test_invalid_urls_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^an? .*URL"):
        base_url(text)


# --- the file ------------------------------------------------------------------------------------------------------

BOM = b"\xef\xbb\xbf"
LINE = f'api_key = "{SECRET}'.encode()


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"[profiles.default]\n" + LINE + b"\n", "line 2: not valid TOML"),  # no closing quote
        (b"# first\r\n\r\n" + LINE + b'" oops\r\n', "line 3: not valid TOML"),
        (LINE + b'"\n' + LINE + b'"\n', "not valid TOML"),  # twice
        (SECRET.encode(), "line 1: not valid TOML"),
        (b"[a]\nb = '''" + SECRET.encode(), "line 2: not valid TOML"),
        (b"[a]\nb = [\n" + SECRET.encode() + b"\n", "line 3: not valid TOML"),
        (b"a = 1\n" + LINE + b'\xff"\n', "line 2: not UTF-8"),
        (BOM + b"a = 1\n\xff" + SECRET.encode(), "line 2: not UTF-8"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"a = " + b"1" * 5000, "not valid TOML"),
        (b"a = 1979-99-99\n", "line 1: not valid TOML"),
    ],
)
def test_a_broken_file_is_reported_by_line_without_its_content(tmp_path: Path, content: bytes, where: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(path) in caught.value.message
    assert caught.value.message.endswith(where)
    assert SECRET not in read_error_text(caught.value)


@given(st.binary(max_size=80) | st.text("[]{}=\"'#\n\\ua.1-:", max_size=60).map(str.encode))
def test_arbitrary_bytes_raise_only_config_errors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(content)
    try:
        file = read_file(path)
    except ConfigError:
        return
    assert isinstance(file, dict)


def test_a_written_file_is_read_back_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    assert read_file(path) == {}
    content: JsonObject = {"profile": "w", **profile("w", api_key=SECRET, timeout=7, output_dir='Bilder „é“ \\ "q"')}
    edit_file(path, {(name,): value for name, value in content.items()})
    assert read_file(path) == content
    path.write_bytes(BOM + path.read_bytes().replace(b"\n", b"\r\n"))
    path.chmod(0o644)
    edit_file(path, {("profiles", "w", "timeout"): 8})
    assert read_file(path) == {**content, **profile("w", api_key=SECRET, timeout=8, output_dir='Bilder „é“ \\ "q"')}
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["config.lock", "config.toml"]
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600
        assert permissions_warning(path) is None


HAND_WRITTEN = """\
# My settings.
profile = "default"   # the one without --profile

[profiles.default]
# cheap and fast
model = "schnell"  # licensed for commercial use
budget.day = 5     # dollars

[prices]
schnell = 0.0015   # since May

[profiles.work.budget]
day = 3
"""


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({("profiles", "default", "model"): "dev"}, {'model = "dev"  # licensed for commercial use'}),
        ({("profiles", "default", "budget", "day"): 0.02}, {"budget.day = 0.02     # dollars"}),
        ({("profiles", "default", "budget", "month"): 60, ("profiles", "default", "timeout"): 9},
         {"budget.month = 60", "timeout = 9"}),
        ({("profiles", "default", "model"): None}, set()),
        ({("profiles", "work", "model"): "pro"}, {"[profiles.work]", 'model = "pro"'}),
        ({("profiles", "new", "account"): {"plan": "pro", "concurrency": 15}},
         {"[profiles.new.account]", 'plan = "pro"', "concurrency = 15"}),
        ({("profiles", "gone", "model"): None}, set()),
    ],
)  # fmt: skip
def test_an_edit_keeps_comments_and_order(tmp_path: Path, changes: Any, lines: set[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(HAND_WRITTEN)
    edit_file(path, changes)

    before, after = ([line for line in text.splitlines() if line] for text in (HAND_WRITTEN, path.read_text()))
    kept = [line for line in after if line in before]
    assert {line for line in after if line not in before} == lines
    assert kept == [line for line in before if line in kept]
    assert len(before) - len(kept) <= len(changes)
    content: Any = read_file(path)
    for names, value in changes.items():
        table = content
        for name in names[:-1]:
            table = table.get(name, {})
        assert table.get(names[-1]) == value


@given(st.permutations(HAND_WRITTEN.split("\n\n")), st.sampled_from(["default", "work", "new"]), st.booleans())
def test_an_edit_changes_one_value_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], name: str, removed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "shuffled.toml"
    path.write_text("\n\n".join(parts))
    try:
        before: Any = read_file(path)
    except ConfigError:
        return
    edit_file(path, {("profiles", name, "model"): None if removed else "pro"})
    after: Any = read_file(path)
    changed = after["profiles"].get(name, {}).pop("model", None)
    before["profiles"].get(name, {}).pop("model", None)
    assert changed == (None if removed else "pro")
    assert {**after, "profiles": {word: table for word, table in after["profiles"].items() if table}} == before


def test_a_file_that_cannot_be_edited_safely_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("profiles = 3  # not a table\n")
    with pytest.raises(ConfigError, match="cannot edit"):
        edit_file(path, {("profiles", "default", "model"): "dev"})
    assert path.read_text() == "profiles = 3  # not a table\n"


def test_concurrent_edits_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(HAND_WRITTEN)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: edit_file(path, {("profiles", f"p{number}", "timeout"): number}), range(24)))
    content: Any = read_file(path)
    assert {content["profiles"][f"p{number}"]["timeout"] for number in range(24)} == set(range(24))
    assert "# cheap and fast" in path.read_text()


def test_the_location_of_a_value_is_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(HAND_WRITTEN)
    assert place_of(path, "profiles", "default", "budget", "day") == f"{path}, line 7"
    assert place_of(path, "profiles", "work", "budget", "day") == f"{path}, line 13"
    assert place_of(path, "profiles", "work", "model") == str(path)


def test_an_unreadable_or_unwritable_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_file(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write") as caught:
        edit_file(tmp_path / "file" / "config.toml", {("profile",): "w"})
    assert "FLUX_HOME" in (caught.value.hint or "")


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
@pytest.mark.parametrize(
    ("mode", "warns"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o620, True), (0o666, True)]
)
def test_a_file_that_others_can_read_causes_a_warning_with_a_working_command(
    tmp_path: Path, mode: int, warns: bool
) -> None:
    path = tmp_path / "o'brien $(x)" / "config.toml"
    path.parent.mkdir()
    path.touch()
    path.chmod(mode)
    warning = permissions_warning(path)
    assert (warning is not None) == warns
    if warning:
        assert shlex.split(warning.partition("restrict it with: ")[2]) == ["chmod", "600", str(path)]
    assert permissions_warning(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[profiles]\nx = 1\n", "'profiles.x' is not a table (PATH, line 2)"),
        ("[[profiles]]\nmodel = 'dev'\n", "'profiles' is not a table (PATH, line 1)"),
        ("profiles = 3\n", "'profiles' is not a table (PATH, line 1)"),
        ("[[profiles.default]]\nmodel = 'dev'\n", "'profiles.default' is not a table (PATH, line 1)"),
    ],
)
def test_profiles_must_be_tables(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        resolve(read_file(path), {}, {}, path=path)
    assert caught.value.message == error.replace("PATH", str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories")
def test_a_pipe_is_not_a_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    os.mkfifo(path)
    command = [sys.executable, "-m", "flux_cli", "config", "list"]
    done = subprocess.run(
        command, env={**os.environ, "FLUX_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (4, f"flux: {path} is a pipe, not a file\n      Move it away\n")
