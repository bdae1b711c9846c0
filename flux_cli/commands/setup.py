"""Commands that set flux up: the key, the configuration."""

from typing import Annotated

import typer

from ..errors import ExitCode
from ..session import Session

Name = Annotated[str, typer.Argument(metavar="NAME", help="The setting; see: flux config list", show_default=False)]
NewValue = Annotated[str, typer.Argument(metavar="VALUE", help="Its new value; empty removes it.", show_default=False)]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Store the key without asking the service about it.")]


def login(session: Session, no_check: NoCheck = False) -> ExitCode:
    """Store an API key, once the service has accepted it.

    It is asked for without being shown, or read from a pipe.

    flux login

    pass show piapi | flux login --profile work
    """
    from ..profiles import store_key

    return store_key(session, check=not no_check)


def logout(session: Session) -> ExitCode:
    """Remove the stored API key of a profile."""
    from ..profiles import remove_key

    return remove_key(session)


def config_list(session: Session) -> ExitCode:
    """Show every setting, its value, and where the value came from."""
    from ..profiles import list_settings

    return list_settings(session)


def config_get(session: Session, name: Name) -> ExitCode:
    """Print the value of a setting; nothing when it is unset."""
    from ..profiles import show_setting

    return show_setting(session, name)


def config_set(session: Session, name: Name, value: NewValue) -> ExitCode:
    """Set a setting in the config file.

    flux config set plan creator
    """
    from ..profiles import store_setting

    return store_setting(session, name, value)


def config_path(session: Session) -> ExitCode:
    """Print where the config file is."""
    session.output.result(str(session.home.config_file))
    return ExitCode.OK
