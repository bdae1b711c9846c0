"""Settings: option > environment > profile in the config file > default, resolved once, in `resolve`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError, UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, object_at
from .settings import BY_NAME, GROUPS, SETTINGS, Setting

DEFAULT_PROFILE = "default"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@frozen
class Value:
    """A setting's value, as text, and where it came from."""

    text: str | None
    source: str


@frozen
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
        import tomllib  # only for those who have one

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
    import shlex

    return f"{path} can be read by other users; close it with: chmod 600 {shlex.quote(str(path))}"


def write_file(path: Path, content: JsonObject) -> None:
    """Replace the config file, readable by its owner only: written beside it, synced, renamed.

    Raises ConfigError when that cannot be done.
    """
    import tomli_w  # only two commands write

    from ..system.atomic_files import private_folder, write_atomic

    try:
        private_folder(path.parent)
        write_atomic(path.resolve(), tomli_w.dumps(content).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
