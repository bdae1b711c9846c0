"""The active profile: its table in the config file, and the stored limits of its account."""

from typing import TYPE_CHECKING

from ..config.config_file import edit_file
from ..config.resolve import ACCOUNT, find_profile
from ..config.settings import BY_NAME
from ..errors import ConfigError
from ..json_value import Json, JsonObject, object_at
from ..text import counted
from .session import Session

if TYPE_CHECKING:
    from ..piapi.client import Account


def remember_account(session: Session, account: "Account") -> str | None:
    """Store an account's limits in the profile if they have changed. Return a message if that failed, else None."""
    stored = object_at(session.config_file, "profiles", session.settings.profile, ACCOUNT)
    found = account_json(session.settings.text("base_url"), account)
    if session.sandbox or stored == found:
        return None
    try:
        edit_profile(session, {ACCOUNT: found})
    except ConfigError as error:
        return f"the account's limits were not stored: {error.message}"
    return None


def account_json(base_url: str, account: "Account") -> JsonObject:
    """Return the table of the profile for an account's limits; empty if PiAPI reported none."""
    found: JsonObject = {"plan": account.plan, "concurrency": account.concurrency}
    known: JsonObject = {name: value for name, value in found.items() if value is not None}
    return known and {"base_url": base_url, **known}


def account_difference(session: Session, account: "Account") -> str | None:
    """Return a message if the user set another number of parallel tasks than the account allows, else None."""
    values, allowed = session.settings.values, account.concurrency
    name = next((name for name in ("concurrency", "plan") if values[name].chosen), None)
    if name is None or allowed is None or allowed == session.concurrency:
        return None
    chosen = f"{name} = {values[name].text} ({values[name].source})"
    plan = f" (plan {account.plan})" if account.plan else ""
    if session.concurrency > allowed:
        text = f"{chosen} is more than your account{plan} allows: {counted(allowed, 'task')} in parallel"
    else:
        limit = f" allows {session.concurrency}" if name == "plan" else ""
        text = f"Your account{plan} allows {counted(allowed, 'task')} in parallel, but {chosen}{limit}"
    variable = BY_NAME[name].variable
    unset = f"unset {variable}" if values[name].source == variable else f"flux config set {name} ''"
    return f"{text}. Use the account's limit: {unset}"


def profile_name(session: Session) -> str:
    option, path = session.common.profile, session.home.config_file
    return find_profile(session.config_file, session.environ, option, path=path)[0]


def edit_profile(session: Session, changes: dict[str, Json]) -> None:
    """Set settings of the active profile in the config file, or remove those that are None."""
    table = ("profiles", profile_name(session))
    edit_file(session.home.config_file, {(*table, *name.split(".")): value for name, value in changes.items()})
