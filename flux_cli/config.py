"""Settings: option > environment > profile in the config file > default, resolved once, in `resolve`."""

import os
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ConfigError, UsageError
from .json_value import Json, JsonObject, object_at
from .text import hides

DEFAULT_PROFILE = "default"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]*)?")


def is_loopback(host: str) -> bool:
    """Whether `host` can only mean this machine (RFC 6761 for `localhost` and the names below it)."""
    host = host.strip("[]").casefold()
    numbers = re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    numbers = numbers and all(int(part) < 256 for part in host.split("."))
    return numbers or host == "::1" or host == "localhost" or host.endswith(".localhost")


def is_local(url: str) -> bool:
    """Whether an address can only be one of this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def address(text: str) -> str:
    """An http(s) base address without its trailing slash. Plain http is for loopback only.

    Raises ValueError that says what is wrong.
    """
    if set("?#") & set(text):
        raise ValueError("an address here has no query or fragment")
    return web_address(text).rstrip("/")


def web_address(text: str) -> str:
    """An http(s) address, query allowed. Plain http is for loopback only. Raises ValueError that says what is wrong."""
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not an address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("not an http(s) address")
    if parts.username is not None:
        raise ValueError("an address here has no user name")
    # urlsplit forgives what the HTTP client would read otherwise, or not at all.
    if not _NETLOC.fullmatch(parts.netloc) or re.search(r"[\x00-\x20\x7f]", text.strip()):
        raise ValueError("not an address")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http:// is accepted for this machine only; use https://")
    return text.strip()


def is_picture_address(text: str) -> bool:
    """Whether `text` is an http(s) address that may stand in a request: no user name, nothing unprintable."""
    try:
        parts = urlsplit(text)
        host, name, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    return parts.scheme in ("http", "https") and bool(host) and name is None and plain


def yes_or_no(text: str) -> str:
    """`true` or `false`, from the words people use. Raises ValueError."""
    word = text.strip().casefold()
    if word in ("1", "true", "yes", "on"):
        return "true"
    if word in ("0", "false", "no", "off", ""):
        return "false"
    raise ValueError("true or false")


def one_of(*words: str) -> Callable[[str], str]:
    """A check that takes one of `words`."""

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return check


def number(low: float, high: float, kind: type[int] | type[float] = float) -> Callable[[str], str]:
    """A check that takes a number from `low` to `high`."""

    def check(text: str) -> str:
        try:
            value = kind(text)
        except ValueError:
            value = high + 1
        if not low <= value <= high:
            whole = "a whole number" if kind is int else "a number"
            raise ValueError(f"{whole} from {low:g} to {high:g}")
        return text.strip()

    return check


def any_text(text: str) -> str:
    """A check that takes everything but what drives a terminal or does not show."""
    if not text or hides(text):
        raise ValueError("a line of text")
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set. Its environment variable is `FLUX_` + its name; `a.b` is `b` in the table `a`."""

    name: str
    about: str
    check: Callable[[str], str]
    default: str | None = None
    in_file: bool = True

    @property
    def variable(self) -> str:
        return f"FLUX_{self.name.upper().replace('.', '_')}"


SETTINGS: tuple[Setting, ...] = (
    Setting("model", "the model when -m is not given", any_text, "dev"),
    Setting("output_dir", "where pictures go when -d is not given", any_text, "."),
    Setting("timeout", "seconds to wait for a task", number(0, 86400), "900"),
    Setting("plan", "your plan at PiAPI; decides how many tasks run at once", one_of("free", "creator", "pro"), "free"),
    Setting("concurrency", "tasks at once; unset: what the plan allows", number(1, 1000, int)),
    Setting("confirm_above", "USD; a command that costs more asks first, or needs -y or --max-cost",
            number(0, 1_000_000), "1"),
    Setting("budget.day", "USD; what would make a calendar day cost more is not sent", number(0, 100_000)),
    Setting("budget.month", "USD; what would make a calendar month cost more is not sent", number(0, 100_000)),
    Setting("cache_hours", "hours for which an identical request with the same seed is not bought again; 0: never",
            number(0, 8760), "24"),
    Setting("service_mode", "public: pay as you go; private: host your account; unset: the workspace's own",
            one_of("public", "private")),
    Setting("webhook", "address that PiAPI calls when a task ends", web_address),
    Setting("webhook_secret_file", "file with the secret that PiAPI sends along to the webhook", any_text),
    Setting("dialect", "field names in requests: the specification's (sop), the live service's, or both",
            one_of("both", "sop", "live"), "both"),
    Setting("base_url", "the API", address, "https://api.piapi.ai/api/v1"),
    Setting("upload_url", "the upload service", address, "https://upload.theapi.app"),
    Setting("sandbox", "true: talk to the built-in service, which costs nothing", yes_or_no, "false"),
    Setting("time_scale", "multiplies expected durations and backoffs", number(0.001, 1000), "1", in_file=False),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}
GROUPS = {name.partition(".")[0] for name in BY_NAME if "." in name}
"""Tables in a profile that hold settings."""


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value, as text, and where it came from."""

    text: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for this invocation: values checked, sources known."""

    profile: str
    profile_source: str
    values: Mapping[str, Value]
    key: str | None  # as found, not yet checked
    key_source: str

    def get(self, name: str) -> str | None:
        """The value of a setting, None when it is unset."""
        return self.values[name].text

    def text(self, name: str) -> str:
        """The value of a setting that has a default."""
        value = self.values[name].text
        assert value is not None, name
        return value

    @property
    def texts(self) -> dict[str, str | None]:
        """Every setting's value."""
        return {name: value.text for name, value in self.values.items()}

    def with_options(self, options: Mapping[str, str | None]) -> dict[str, str | None]:
        """Every setting's value, those of `options` in front. Raises UsageError for a bad one."""
        given = {name: _checked_option(BY_NAME[name], text) for name, text in options.items() if text is not None}
        return self.texts | given

    def flag(self, name: str) -> bool:
        """The value of a true-or-false setting."""
        return self.text(name) == "true"


def read_file(path: Path) -> JsonObject:
    """The config file's content, empty when there is none.

    Raises ConfigError with file and line, never with the line's text: it may hold a key.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1  # `object` is without the mark, and so is `start`
        raise ConfigError(f"{path}, line {line}: not UTF-8", hint="mend the file or move it away") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what a monstrous number or nesting raises
        # The message ends in "(at line 3, column 8)" or "(at end of document)"; its beginning may quote the file.
        place = re.search(r"at line (\d+), column \d+\)$", str(error))
        end = f", line {len(raw.splitlines())}" if str(error).endswith("(at end of document)") else ""
        where = f", line {place.group(1)}" if place else end
        raise ConfigError(f"{path}{where}: not valid TOML", hint="mend the file or move it away") from None


def resolve(file: JsonObject, environ: Mapping[str, str], options: Mapping[str, str | None], *, path: Path) -> Settings:
    """Every setting, from the first place that has it. `options` are those given on the command line.

    Raises UsageError for a bad option, ConfigError for a bad variable or a bad value in the file.
    """
    if misplaced := sorted(set(file) - {"profile", "profiles", "prices"}):
        raise ConfigError(f"{path}: {misplaced[0]} stands outside any profile", hint="put it below: [profiles.default]")
    profile, profile_source = _profile(file, environ, options, path)
    table = _flat(object_at(file, "profiles", profile))
    if unknown := sorted(set(table) - set(BY_NAME) - {"api_key"}):
        raise ConfigError(f"{path}: profile {profile}: no setting is called {unknown[0]}", hint="see: flux config list")
    values = {setting.name: _value(setting, table, environ, options, f"{path} [{profile}]") for setting in SETTINGS}
    key, source = _key(table, environ, f"{path} [{profile}]")
    return Settings(profile, profile_source, values, key, source)


def _flat(table: JsonObject) -> JsonObject:
    """A profile's settings by their names: those of a table in it stand as `table.name`."""
    found: JsonObject = {}
    for name, stored in table.items():
        if name in GROUPS and isinstance(stored, dict):
            found |= {f"{name}.{inner}": value for inner, value in stored.items()}
        else:
            found[name] = stored
    return found


def _profile(
    file: JsonObject, environ: Mapping[str, str], options: Mapping[str, str | None], path: Path
) -> tuple[str, str]:
    places: dict[str, Json] = {
        "option": options.get("profile"),
        "FLUX_PROFILE": environ.get("FLUX_PROFILE"),
        str(path): file.get("profile"),
    }
    source, name = next(((place, word) for place, word in places.items() if word), ("default", DEFAULT_PROFILE))
    if not isinstance(name, str) or not _PROFILE_NAME.fullmatch(name):
        kind = UsageError if source == "option" else ConfigError
        raise kind(f"the profile's name from {source} is not made of letters, digits, - and _")
    return name, source


def _value(
    setting: Setting,
    table: JsonObject,
    environ: Mapping[str, str],
    options: Mapping[str, str | None],
    file_source: str,
) -> Value:
    option = options.get(setting.name)
    if option is not None:
        return Value(_checked_option(setting, option), "option")
    variable = environ.get(setting.variable, "")
    stored = table.get(setting.name) if setting.in_file else None
    if variable:
        text, source = variable, setting.variable
    elif isinstance(stored, list | dict):
        raise ConfigError(f"{setting.name} from {file_source}: a single value")
    elif stored is not None:
        text, source = _as_text(stored), file_source
    else:
        return Value(setting.default, "default")
    try:
        return Value(setting.check(text), source)
    except ValueError as problem:
        raise ConfigError(f"{setting.name} from {source}: {problem}") from None


def _checked_option(setting: Setting, text: str) -> str:
    try:
        return setting.check(text)
    except ValueError as problem:
        raise UsageError(f"--{setting.name.replace('_', '-')}: {problem}") from None


def _as_text(stored: Json) -> str:
    if isinstance(stored, bool):
        return "true" if stored else "false"
    return str(stored)


def _key(table: JsonObject, environ: Mapping[str, str], file_source: str) -> tuple[str | None, str]:
    if variable := environ.get("PIAPI_API_KEY"):
        return variable, "PIAPI_API_KEY"
    stored = table.get("api_key")
    if isinstance(stored, str) and stored:
        return stored, file_source
    return None, "unset"


def checked_key(text: str, source: str) -> str:
    """A key that can stand in a header: printable ASCII without spaces. One trailing newline is forgiven.

    Raises ConfigError, which never shows the key.
    """
    key = text.removesuffix("\n").removesuffix("\r")
    hint = "copy it again from the PiAPI workspace, then: flux login"
    if not key:
        raise ConfigError(f"the key from {source} is empty", hint=hint)
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"the key from {source} has a character that cannot be part of a key (a space, a line break, a quote?)",
            hint=hint,
        )
    return key


def permissions_warning(path: Path) -> str | None:
    """What to say when other users of the machine can read the config file; None when they cannot."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if os.name == "nt" or not mode & 0o077:
        return None
    return f"{path} can be read by other users; close it with: chmod 600 {shlex.quote(str(path))}"


def write_file(path: Path, content: JsonObject) -> None:
    """Replace the config file, readable by its owner only: written beside it, synced, renamed.

    Raises ConfigError when that cannot be done.
    """
    import tomli_w  # only two commands write

    from .files import private_folder, write_atomic

    try:
        private_folder(path.parent)
        write_atomic(path.resolve(), tomli_w.dumps(content).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
