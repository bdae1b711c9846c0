"""`flux login`, `flux logout` and `flux config`: the key, the account and the settings of a profile."""

import getpass
from typing import TYPE_CHECKING

from ...config.api_key import checked_key
from ...config.config_file import edit_file
from ...config.resolve import ACCOUNT, Value, find_profile
from ...config.settings import BY_NAME, SETTINGS, Setting
from ...errors import ConfigError, ExitCode, NetworkError, UsageError
from ...json_value import Json, JsonObject, object_at
from ...text import clean, counted, guess, masked, usd
from ..context import Session
from ..output.output import Mode

if TYPE_CHECKING:
    from ...piapi.client import Account


# --- the key --------------------------------------------------------------------------------------------------------


def store_key(session: Session, *, check: bool) -> ExitCode:
    """Read a key from the terminal or stdin, check it with PiAPI, and store it with the account's limits."""
    if session.sandbox:
        raise UsageError("the sandbox needs no key")
    key = checked_key(_read_key(session), "the input")
    session.output.secrets.add(key)
    account = _check(session, key) if check else None
    _edit(session, {"api_key": key, ACCOUNT: _account_json(session, account) if account else None})
    file, profile = session.home.config_file, session.settings.profile
    session.output.note(f"key {masked(key)} stored in {file} [profiles.{profile}]")
    if account and (line := account_difference(session, account)):
        session.output.note(line)
    if session.settings.key_source not in ("unset", "api_key_command", f"{file} [{profile}]"):
        session.output.warn(f"{session.settings.key_source} is set and takes precedence over the stored key")
    return ExitCode.OK


def _read_key(session: Session) -> str:
    if not session.stdin.text.isatty():
        return session.stdin.text.readline()
    session.output.note(
        "Create a key at https://piapi.ai/workspace/key. To have it read from a password manager instead,"
    )
    session.output.note("press Ctrl-C and run, for example: flux config set api_key_command 'pass show piapi'")
    try:
        return getpass.getpass("PiAPI key (not shown): ")
    except EOFError:
        return ""
    except KeyboardInterrupt:
        session.output.note("")  # the message that follows begins on a line of its own
        raise


def _check(session: Session, key: str) -> "Account":
    import asyncio

    try:
        account = asyncio.run(session.account(key))
    except NetworkError as error:
        hint = "Store it unchecked with"
        raise NetworkError(
            f"{error.message}; the key was not stored", hint=hint, command=("login", "--no-check"), code=error.code
        ) from error
    facts = [f"plan {account.plan}"] if account.plan else []
    facts += [f"{counted(account.concurrency, 'task')} in parallel"] if account.concurrency else []
    facts += [f"balance {usd(account.balance)}"] if account.balance is not None else []
    session.output.note("PiAPI accepts the key" + (f" ({', '.join(facts)})" if facts else ""))
    return account


def remove_key(session: Session) -> ExitCode:
    """Remove a profile's key from the config file."""
    profile, file = _profile(session), session.home.config_file
    if "api_key" not in object_at(session.config_file, "profiles", profile):
        session.output.note(f"no key is stored for profile {profile}")
        return ExitCode.OK
    _edit(session, {"api_key": None, ACCOUNT: None})
    session.output.note(f"key of profile {profile} removed from {file}")
    return ExitCode.OK


# --- the account ----------------------------------------------------------------------------------------------------


def remember_account(session: Session, account: "Account") -> None:
    """Store an account's limits with the profile if they have changed and the config file can be written."""
    stored = object_at(session.config_file, "profiles", session.settings.profile, ACCOUNT)
    if session.sandbox or stored == _account_json(session, account):
        return
    try:
        _edit(session, {ACCOUNT: _account_json(session, account)})
    except ConfigError as error:
        session.output.note(f"the account's limits were not stored: {error.message}")


def _account_json(session: Session, account: "Account") -> JsonObject:
    found: JsonObject = {"plan": account.plan, "concurrency": account.concurrency}
    known: JsonObject = {name: value for name, value in found.items() if value is not None}
    return known and {"base_url": session.settings.text("base_url"), **known}


def account_difference(session: Session, account: "Account") -> str | None:
    """Return a line if the user chose another number of tasks in parallel than the account allows."""
    values, room = session.settings.values, account.concurrency
    name = next((name for name in ("concurrency", "plan") if values[name].chosen), None)
    if name is None or room is None or room == session.concurrency:
        return None
    chosen = f"{name} = {values[name].text} ({values[name].source})"
    plan = f" ({account.plan})" if account.plan else ""
    allowed = f"{chosen} allows {counted(session.concurrency, 'task')} in parallel, your account{plan} {room}"
    return f"{allowed}; use the account's limit with: {_unset(name, values[name].source)}"


def _unset(name: str, source: str) -> str:
    variable = BY_NAME[name].variable
    return f"unset {variable}" if source == variable else f"flux config set {name} ''"


# --- settings -------------------------------------------------------------------------------------------------------


def list_settings(session: Session) -> ExitCode:
    """Print every setting, its value and its source. The key is masked."""
    settings = session.settings
    profile = Value(settings.profile, settings.profile_source)
    rows = {
        "profile": (profile, "profile in the config file"),
        "api_key": (_masked_key(session), "API key; PIAPI_API_KEY"),
    }
    rows |= {setting.name: (_effective(session, setting.name), setting.about) for setting in SETTINGS}
    for name, (value, about) in rows.items():
        if session.output.mode is Mode.JSON:
            session.output.record("setting", _setting_json(name, value) | {"about": about})
        else:
            session.output.result(f"{name:<20} {value.text or '-':<36} {value.source}")
    return ExitCode.OK


def show_setting(session: Session, name: str) -> ExitCode:
    """Print one setting's value; the key is masked."""
    value = _masked_key(session) if name == "api_key" else _effective(session, _known(name).name)
    if session.output.mode is Mode.JSON:
        session.output.record("setting", _setting_json(name, value))
    else:
        session.output.result(value.text or "")
    return ExitCode.OK


def _effective(session: Session, name: str) -> Value:
    """Return a setting's value; for an unset one with a default in the catalog, that default."""
    value = session.settings.values[name]
    if value.text is None and name == "model":
        return Value(session.catalog.default_model, value.source)
    if value.text is None and name == "concurrency":
        return Value(str(session.concurrency), "plan")
    return value


def _masked_key(session: Session) -> Value:
    key = session.settings.key
    return Value(masked(key) if key else None, session.settings.key_source)


def _setting_json(name: str, value: Value) -> JsonObject:
    return {"name": name, "value": value.text, "source": value.source}


def show_path(session: Session) -> ExitCode:
    """Print where the config file is, or would be."""
    path = session.home.config_file
    if session.output.mode is Mode.JSON:
        session.output.record("path", {"path": str(path), "exists": path.exists()})
    else:
        session.output.path(str(path))
    return ExitCode.OK


def store_setting(session: Session, name: str, value: str) -> ExitCode:
    """Set a setting of the profile in use in the config file; an empty value removes it.

    No other setting is read, so that a bad one can be replaced.
    """
    file, profile = session.home.config_file, _profile(session)
    if name == "api_key":
        raise UsageError(
            "a key on the command line can be seen by other users", hint="Store it with", command=("login",)
        )
    if not value and name in object_at(session.config_file, "profiles", profile) and name not in BY_NAME:
        _edit(session, {name: None})  # a misspelled one
        session.output.note(f"{name} removed from {file} [profiles.{profile}]")
        return ExitCode.OK
    setting = _known(name)
    if not setting.in_file:
        raise UsageError(f"{name} can be set with {setting.variable} only")
    checked = _checked(session, setting, value) if value else None
    _edit(session, {name: None if checked is None else setting.in_toml(checked)})
    done = f"{name} removed from" if checked is None else f"{name} = {checked} in"
    session.output.note(f"{done} {file} [profiles.{profile}]")
    if session.environ.get(setting.variable):
        session.output.warn(f"{setting.variable} is set and takes precedence over the config file")
    return ExitCode.OK


def _checked(session: Session, setting: Setting, value: str) -> str:
    if setting.name == "model":
        return "auto" if value == "auto" else session.catalog.model(value).name
    try:
        return setting.check(value)
    except ValueError as problem:
        raise UsageError(f"Invalid {setting.name} '{clean(value, 40)}': expected {problem}") from None


def _known(name: str) -> Setting:
    if name in BY_NAME:
        return BY_NAME[name]
    hint = guess(name, BY_NAME)
    raise UsageError(f"unknown setting '{clean(name, 40)}'", hint=hint, command=("config", "list"))


def _profile(session: Session) -> str:
    option, path = session.common.profile, session.home.config_file
    return find_profile(session.config_file, session.environ, option, path=path)[0]


def _edit(session: Session, changes: dict[str, Json]) -> None:
    """Set settings of the profile in use in the config file, or remove those that are None."""
    table = ("profiles", _profile(session))
    edit_file(session.home.config_file, {(*table, *name.split(".")): value for name, value in changes.items()})
