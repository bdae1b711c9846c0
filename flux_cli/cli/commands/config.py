"""`flux config`: the settings, their values and their sources."""

from typing import Annotated

from ...config.catalog import Catalog
from ...config.resolve import Settings, Value
from ...config.settings import BY_NAME, SETTINGS, Setting
from ...errors import ExitCode, UsageError
from ...json_value import object_at
from ...operations.parameters import Argument
from ...text import clean, guess, masked
from ..output.output import Items, Note, Record, WarningLine
from ..profile import edit_profile, profile_name
from ..registry import help_page
from ..session import Session

Name = Annotated[str, Argument("SETTING", help="Name of the setting; see flux config list.")]
NewValue = Annotated[str, Argument("VALUE", help="New value; an empty one removes the setting.")]


@help_page(("List all settings and their sources", "flux config list"))
def config_list(session: Session) -> Items:
    """Show every setting, its value and the source of the value."""
    settings = session.settings
    profile = Value(settings.profile, settings.profile_source)
    rows = {
        "profile": (profile, "profile in the config file"),
        "api_key": (_mask_key(session.settings), "API key; PIAPI_API_KEY"),
    }
    rows |= {setting.name: (_find_value(session, setting.name), setting.about) for setting in SETTINGS}
    for name, (value, about) in rows.items():
        text = f"{name:<20} {value.text or '-':<36} {value.source}"
        yield Record("setting", {"name": name, "value": value.text, "source": value.source, "about": about}, text)
    return ExitCode.OK


@help_page(("Print one value, for a script", "flux config get plan"))
def config_get(session: Session, name: Name) -> Items:
    """Print the value of a setting, or nothing if it is unset."""
    value = _mask_key(session.settings) if name == "api_key" else _find_value(session, _find_setting(name).name)
    yield Record("setting", {"name": name, "value": value.text, "source": value.source}, value.text or "")
    return ExitCode.OK


@help_page(
    ("Set your plan, which limits parallel tasks", "flux config set plan creator"),
    ("Set a budget of $5 per day", "flux config set budget.day 5"),
)
def config_set(session: Session, name: Name, value: NewValue) -> Items:
    """Set a setting in the config file."""
    file, profile = session.home.config_file, profile_name(session)
    if name == "api_key":
        raise UsageError(
            "a key on the command line can be seen by other users", hint="Store it with", command=("login",)
        )
    if not value and name in object_at(session.config_file, "profiles", profile) and name not in BY_NAME:
        edit_profile(session, {name: None})  # a misspelled setting can still be removed
        yield Note(f"{name} removed from {file} [profiles.{profile}]")
        return ExitCode.OK
    setting = _find_setting(name)
    if not setting.in_file:
        raise UsageError(f"{name} can be set with {setting.variable} only")
    checked = _check_value(session.catalog, setting, value) if value else None
    edit_profile(session, {name: None if checked is None else setting.in_toml(checked)})
    done = f"Removed {name} from" if checked is None else f"Set {name} = {checked} in"
    yield Note(f"{done} {file} [profiles.{profile}]")
    if session.environ.get(setting.variable):
        yield WarningLine(f"{setting.variable} is set and takes precedence over the config file")
    return ExitCode.OK


@help_page(
    ("Edit the file", '"${EDITOR:-vi}" "$(flux config path)"'),
    hides=("sandbox",),
)
def config_path(session: Session) -> Items:
    """Print the path of the config file."""
    path = session.home.config_file
    yield Record("path", {"path": str(path), "exists": path.exists()}, paths=(path,))
    return ExitCode.OK


def _find_value(session: Session, name: str) -> Value:
    """Return the value of a setting; if it is unset, the default from the catalog or the plan, if it has one."""
    value = session.settings.values[name]
    if value.text is None and name == "model":
        return Value(session.catalog.default_model, value.source)
    if value.text is None and name == "concurrency":
        return Value(str(session.concurrency), "sandbox" if session.sandbox else "plan")
    return value


def _mask_key(settings: Settings) -> Value:
    key = settings.key
    return Value(masked(key) if key else None, settings.key_source)


def _check_value(catalog: Catalog, setting: Setting, value: str) -> str:
    if setting.name == "model":
        return "auto" if value == "auto" else catalog.model(value).name
    try:
        return setting.check(value)
    except ValueError as problem:
        raise UsageError(f"invalid {setting.name} '{clean(value, 40)}': expected {problem}") from None


def _find_setting(name: str) -> Setting:
    if name in BY_NAME:
        return BY_NAME[name]
    hint = guess(name, BY_NAME)
    raise UsageError(f"unknown setting '{clean(name, 40)}'", hint=hint, command=("config", "list"))
