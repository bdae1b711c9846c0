"""The value of each setting: option > environment > profile in the config file > default."""

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError, UsageError
from ..frozen import frozen
from ..json_value import Json, JsonObject, number_at, object_at, text_at
from ..text import clean, guess
from .api_key import VARIABLE
from .config_file import place_of
from .settings import BY_NAME, GROUPS, SETTINGS, Setting

DEFAULT_PROFILE = "default"
ACCOUNT = "account"
"""The table of a profile that stores the account's plan and limit of parallel tasks, as PiAPI last reported them, and
the source name of settings from it. It applies only to the `base_url` that it contains."""
_TOP_LEVEL = {"profile", "profiles", "prices", "models"}
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@frozen
class Value:
    """The value of a setting, as text, and its source."""

    text: str | None
    source: str

    @property
    def chosen(self) -> bool:
        """Whether the user set it: it is neither the default nor from the account."""
        return self.source not in ("default", ACCOUNT)


@frozen
class Settings:
    """The settings of one invocation: checked values with their sources.

    key: the API key, not yet checked; None if there is none.
    key_command: the command that prints the key; None if it is not used.
    key_source: the source of the key or of the command.
    """

    profile: str
    profile_source: str
    values: Mapping[str, Value]
    key: str | None
    key_source: str
    key_command: str | None = None

    def get(self, name: str) -> str | None:
        """Return the value of a setting; None if it is unset."""
        return self.values[name].text

    def text(self, name: str) -> str:
        """Return the value of a setting that has a default."""
        value = self.values[name].text
        assert value is not None, name
        return value

    @property
    def texts(self) -> dict[str, str | None]:
        """The value of every setting."""
        return {name: value.text for name, value in self.values.items()}

    def with_options(self, options: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return the value of every setting, overridden by `options`. Raise UsageError for an invalid option."""
        chosen = {name: _checked_option(BY_NAME[name], text) for name, text in options.items() if text is not None}
        return self.texts | chosen

    @property
    def sandbox(self) -> bool:
        """Whether the sandbox is used."""
        return self.text("sandbox") == "true"


def resolve(file: JsonObject, environ: Mapping[str, str], options: Mapping[str, str | None], *, path: Path) -> Settings:
    """Return every setting, from the source of highest precedence that has it.

    file: the content of the config file at `path`. options: the settings on the command line.
    Raise UsageError for an invalid option, ConfigError for an invalid variable or value in the file.
    """
    if misplaced := sorted(set(file) - _TOP_LEVEL):
        message = f"'{clean(misplaced[0], 40)}' is outside any profile ({place_of(path, misplaced[0])})"
        raise ConfigError(message, hint="move it below [profiles.default]")
    _check_tables(file, path)
    profile, profile_source = find_profile(file, environ, options.get("profile"), path=path)
    table = _flat(object_at(file, "profiles", profile))
    if unknown := sorted(set(table) - set(BY_NAME) - {"api_key", ACCOUNT}):
        message = f"unknown setting '{clean(unknown[0], 40)}' in {_place(path, profile, unknown[0])}"
        raise ConfigError(message, hint=guess(unknown[0], BY_NAME) or "Remove it, or correct its name")
    values = {setting.name: _value(setting, table, environ, options, path, profile) for setting in SETTINGS}
    values |= _of_account(object_at(table, ACCOUNT), values)
    key, command, source = _key(table, environ, values["api_key_command"], _file_source(path, profile))
    return Settings(profile, profile_source, values, key, source, command)


def find_profile(file: JsonObject, environ: Mapping[str, str], option: str | None, *, path: Path) -> tuple[str, str]:
    """Return the name and the source of the active profile. Raise UsageError or ConfigError for an invalid name."""
    candidates: dict[str, Json] = {
        "--profile": option,
        "FLUX_PROFILE": environ.get("FLUX_PROFILE"),
        str(path): file.get("profile"),
    }
    source, name = next(((place, word) for place, word in candidates.items() if word), ("default", DEFAULT_PROFILE))
    if not isinstance(name, str) or not _PROFILE_NAME.fullmatch(name):
        what = f"profile {_shown(name)} in {source}" if source == str(path) else f"{source} {_shown(name)}"
        message = f"invalid {what}: expected letters, digits, - and _"
        raise UsageError(message) if source == "--profile" else ConfigError(message)
    return name, "option" if source == "--profile" else source


def _check_tables(file: JsonObject, path: Path) -> None:
    """Raise ConfigError if the profiles are not tables: their settings would be ignored silently."""
    profiles = file.get("profiles", {})
    if not isinstance(profiles, dict):
        raise _no_table("profiles", place_of(path, "profiles"))
    for name, profile in profiles.items():
        if not isinstance(profile, dict):
            raise _no_table(f"profiles.{clean(name, 40)}", place_of(path, "profiles", name))


def _no_table(name: str, place: str) -> ConfigError:
    return ConfigError(f"'{name}' is not a table ({place})", hint="Write [profiles.default] above your settings")


def _flat(table: JsonObject) -> JsonObject:
    """Return the settings of a profile by name. One in a table has the name `table.setting`."""
    found: JsonObject = {}
    for name, stored in table.items():
        if name in GROUPS and isinstance(stored, dict):
            found |= {f"{name}.{inner}": value for inner, value in stored.items()}
        else:
            found[name] = stored
    return found


def _value(
    setting: Setting,
    table: JsonObject,
    environ: Mapping[str, str],
    options: Mapping[str, str | None],
    path: Path,
    profile: str,
) -> Value:
    option = options.get(setting.name)
    if option is not None:
        return Value(_checked_option(setting, option), "option")
    if variable := environ.get(setting.variable):
        try:
            return Value(setting.check(variable), setting.variable)
        except ValueError as problem:
            raise _invalid(setting, setting.variable, variable, problem) from None
    stored = table.get(setting.name) if setting.in_file else None
    if stored is None:
        return Value(setting.default, "default")
    try:
        return Value(setting.check(_as_text(setting, stored)), _file_source(path, profile))
    except ValueError as problem:
        error = _invalid(setting, setting.name, stored, problem, f" ({_place(path, profile, setting.name)})")
        error.hint, error.command = "Correct it with", ("config", "set", setting.name, "VALUE")
        raise error from None


def unknown_model(settings: Settings, path: Path, hint: str) -> ConfigError:
    """Return the error for an unknown model in the variable or in the config file at `path`."""
    model, setting = settings.values["model"], BY_NAME["model"]
    if model.source == setting.variable:
        return ConfigError(f"invalid {setting.variable} {_shown(model.text)}: unknown model", hint=hint)
    message = f"invalid model {_shown(model.text)} ({_place(path, settings.profile, 'model')}): unknown model"
    return ConfigError(message, hint="Correct it with", command=("config", "set", "model", "NAME"))


def _checked_option(setting: Setting, text: str) -> str:
    name = f"--{setting.name.replace('_', '-')}"
    try:
        return setting.check(text)
    except ValueError as problem:
        raise UsageError(f"invalid {name} {_shown(text, setting)}".rstrip() + f": expected {problem}") from None


def _invalid(setting: Setting, name: str, value: Json, problem: ValueError, place: str = "") -> ConfigError:
    return ConfigError(f"invalid {name} {_shown(value, setting)}".rstrip() + f"{place}: expected {problem}")


def _shown(value: Json, setting: Setting | None = None) -> str:
    """Return a value in quotation marks; an empty string for a list, a table, or a value that may contain a secret."""
    if isinstance(value, list | dict) or (setting and setting.private):
        return ""
    return f"'{clean(str(value).lower() if isinstance(value, bool) else str(value), 40)}'"


def _file_source(path: Path, profile: str) -> str:
    return f"{path} [profiles.{profile}]"


def _place(path: Path, profile: str, name: str) -> str:
    return place_of(path, "profiles", profile, *name.split("."))


def _as_text(setting: Setting, stored: Json) -> str:
    """Return a value from the config file as text. Raise ValueError for a list or a table."""
    if isinstance(stored, bool):
        return "true" if stored else "false"
    if isinstance(stored, list) and setting.name == "api_key_command" and all(isinstance(word, str) for word in stored):
        import shlex

        return shlex.join(str(word) for word in stored)
    if isinstance(stored, list | dict):
        raise ValueError("a single value")
    return str(stored)


def _of_account(account: JsonObject, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the plan and the limit of parallel tasks from the account, if the user did not set them."""
    if values["plan"].chosen or values["sandbox"].text == "true" or account.get("base_url") != values["base_url"].text:
        return {}
    found: dict[str, Value] = {}
    if plan := text_at(account, "plan"):
        found["plan"] = Value(clean(plan, 40), ACCOUNT)
    concurrency = number_at(account, "concurrency")
    if concurrency and concurrency > 0 and not values["concurrency"].chosen:
        found["concurrency"] = Value(str(concurrency), ACCOUNT)
    return found


def _key(
    table: JsonObject, environ: Mapping[str, str], command: Value, file_source: str
) -> tuple[str | None, str | None, str]:
    """Return the key or the command that prints it, and the source. `api_key` documents the precedence."""
    if variable := environ.get(VARIABLE):
        return variable, None, VARIABLE
    stored = table.get("api_key")
    if isinstance(stored, str) and stored and command.source in ("default", file_source):
        return stored, None, file_source
    if command.text:
        source = "api_key_command" if command.source in ("option", file_source) else command.source
        return None, command.text, source
    return None, None, "unset"
