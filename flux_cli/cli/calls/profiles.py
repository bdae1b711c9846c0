"""Profiles in the config file: keys stored and removed, settings shown and changed."""

import getpass

from ...config.resolve import Value, checked_key, write_file
from ...config.settings import BY_NAME, SETTINGS
from ...errors import ExitCode, UsageError
from ...json_value import JsonObject, object_at
from ...text import guess, masked, usd
from ..context import Session
from ..output.output import Mode


def store_key(session: Session, *, check: bool) -> ExitCode:
    """Read a key from the terminal or stdin, ask the service about it, and store it for its owner's eyes only."""
    if session.sandbox:
        raise UsageError("the sandbox needs no key")
    key = checked_key(_read_key(session), "the input")
    session.output.secrets.add(key)
    if check:
        _check(session, key)
    content = _with_setting(session, "api_key", key)
    write_file(session.home.config_file, content)
    session.output.note(f"key {masked(key)} stored in {session.home.config_file} [profiles.{session.settings.profile}]")
    if session.environ.get("PIAPI_API_KEY"):
        session.output.warn("PIAPI_API_KEY is set and goes before the stored key")
    return ExitCode.OK


def _read_key(session: Session) -> str:
    if session.stdin.text.isatty():
        try:
            return getpass.getpass("PiAPI key (not shown): ")
        except EOFError:
            return ""
    return session.stdin.text.readline()


def _check(session: Session, key: str) -> None:
    import asyncio

    account = asyncio.run(session.account(key))
    facts = [f"plan {account.plan}"] if account.plan else []
    facts += [f"balance {usd(account.balance)}"] if account.balance is not None else []
    session.output.note("the service accepts the key" + (f" ({', '.join(facts)})" if facts else ""))


def remove_key(session: Session) -> ExitCode:
    """Take a profile's key out of the config file."""
    profile = session.settings.profile
    if "api_key" not in object_at(session.config_file, "profiles", profile):
        session.output.note(f"no key is stored for profile {profile}")
        return ExitCode.OK
    write_file(session.home.config_file, _with_setting(session, "api_key", None))
    session.output.note(f"key of profile {profile} removed from {session.home.config_file}")
    return ExitCode.OK


def _with_setting(session: Session, name: str, value: str | None) -> JsonObject:
    """The config file's content with a setting of the profile in use changed; None removes it."""
    return _changed(session.config_file, ["profiles", session.settings.profile, *name.split(".")], value)


def _changed(table: JsonObject, path: list[str], value: str | None) -> JsonObject:
    """A table with the value at the end of `path` changed; None removes it."""
    name, *rest = path
    changed = {**table, name: _changed(object_at(table, name), rest, value) if rest else value}
    return {word: stored for word, stored in changed.items() if stored is not None}


def list_settings(session: Session) -> ExitCode:
    """Every setting, its value and its source. The key is masked."""
    settings, key = session.settings, _shown_key(session)
    profile = Value(settings.profile, settings.profile_source)
    rows = {"profile": (profile, "which profile of the config file"), "api_key": (key, "the PiAPI key; PIAPI_API_KEY")}
    rows |= {setting.name: (settings.values[setting.name], setting.about) for setting in SETTINGS}
    for name, (value, about) in rows.items():
        if session.output.mode is Mode.JSON:
            session.output.record("setting", _setting_json(name, value) | {"about": about})
        else:
            session.output.result(f"{name:<20} {value.text or '-':<36} {value.source}")
    return ExitCode.OK


def show_setting(session: Session, name: str) -> ExitCode:
    """One setting's value; the key is masked."""
    value = _shown_key(session) if name == "api_key" else session.settings.values[_known(name)]
    if session.output.mode is Mode.JSON:
        session.output.record("setting", _setting_json(name, value))
    else:
        session.output.result(value.text or "")
    return ExitCode.OK


def _shown_key(session: Session) -> Value:
    key = session.settings.key
    return Value(masked(key) if key else None, session.settings.key_source)


def _setting_json(name: str, value: Value) -> JsonObject:
    return {"name": name, "value": value.text, "source": value.source}


def show_path(session: Session) -> ExitCode:
    """Where the config file is, or would be."""
    path = session.home.config_file
    if session.output.mode is Mode.JSON:
        session.output.record("path", {"path": str(path), "exists": path.exists()})
    else:
        session.output.path(str(path))
    return ExitCode.OK


def store_setting(session: Session, name: str, value: str) -> ExitCode:
    """Change a setting of the profile in use in the config file; an empty value removes it."""
    if name == "api_key":
        raise UsageError("a key on the command line would be seen by others", hint="store it with: flux login")
    setting = BY_NAME[_known(name)]
    if not setting.in_file:
        raise UsageError(f"{name} is set by {setting.variable} only")
    try:
        checked = setting.check(value) if value else None
    except ValueError as problem:
        raise UsageError(f"{name}: {problem}") from None
    write_file(session.home.config_file, _with_setting(session, name, checked))
    if session.environ.get(setting.variable):
        session.output.warn(f"{setting.variable} is set and goes before the config file")
    return ExitCode.OK


def _known(name: str) -> str:
    if name in BY_NAME:
        return name
    raise UsageError(f"no setting is called {name!r}", hint=guess(name, BY_NAME) or "see: flux config list")
