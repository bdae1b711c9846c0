"""`flux login`: store a key, after PiAPI has accepted it."""

import asyncio
import getpass
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated

from ...config.api_key import COMMAND_VARIABLE, KEYS_URL, VARIABLE, invalid_key, is_key
from ...config.resolve import ACCOUNT
from ...config.urls import is_local
from ...errors import ConfigError, ExitCode, KeyRefusedError, NetworkError, UsageError
from ...operations.parameters import Option
from ...text import HIDDEN_KEY, counted, masked, usd
from ..output.output import Items, Note, WarningLine
from ..profile import account_difference, account_json, edit_profile
from ..registry import help_page
from ..session import Session

if TYPE_CHECKING:
    from ...piapi.client import Account


NOT_STORED = "The key was not stored."
NoCheck = Annotated[bool, Option("--no-check", help="Store the key without checking it with PiAPI.")]


@help_page(
    ("Enter the key at a prompt", "flux login"),
    ("Read the key from a password manager", "pass show piapi | flux login --profile work"),
    hides=("sandbox",),
)
def login(session: Session, no_check: NoCheck = False) -> Items:
    """Check your PiAPI key and store it.

    flux asks for the key without showing it, or reads it from a pipe. To read the key from a password manager each
    time instead of storing it, set a command that prints it: flux config set api_key_command 'pass show piapi'.
    """
    if session.sandbox:
        raise UsageError("the sandbox needs no key")
    secrets, settings = session.output.secrets, session.settings
    typed = session.stdin.text.isatty()
    if typed:
        yield Note(f"Get a key at {KEYS_URL}.")
    key = (yield from _ask_for_key()) if typed else session.stdin.text.readline()
    key = _checked(key.rstrip("\r\n"), typed=typed)
    secrets.add(key)
    account = None if no_check else _check(session, key)
    if account:
        yield Note(f"PiAPI accepted the key{_facts(account, simulated=is_local(session.service))}")
    edit_profile(
        session, {"api_key": key, ACCOUNT: account_json(settings.text("base_url"), account) if account else None}
    )
    file, profile = session.home.config_file, settings.profile
    shown = masked(key)
    yield Note(f"Stored the key{'' if shown == HIDDEN_KEY else f' {shown}'} in {file} [profiles.{profile}]")
    if account and (line := account_difference(session, account)):
        yield Note(line)
    if settings.key_source in (VARIABLE, COMMAND_VARIABLE):
        yield WarningLine(f"{settings.key_source} is set and takes precedence over the stored key")
    return ExitCode.OK


def _checked(key: str, *, typed: bool) -> str:
    """Return the key. Raise ConfigError if it is invalid."""
    hint = f"Copy your key from {KEYS_URL}, then run"
    if not key and not typed:
        raise ConfigError("stdin contains no key", hint="Pipe the key, for example: pass show piapi | flux login")
    if not key:
        raise ConfigError("you entered no key", hint=hint, command=("login",))
    if not is_key(key):
        raise invalid_key("the key", hint)
    return key


def _ask_for_key() -> Generator[Note, None, str]:
    try:
        return getpass.getpass("PiAPI key (not shown): ")
    except EOFError:
        return ""
    except KeyboardInterrupt:
        yield Note("")  # ends the prompt's line before the next message
        raise


def _check(session: Session, key: str) -> "Account":
    try:
        return asyncio.run(session.fetch_account(key))
    except KeyRefusedError as error:
        hint = f"Copy your key from {KEYS_URL}, then run"
        raise KeyRefusedError(f"{error.message}. {NOT_STORED}", hint=hint, command=("login",)) from error
    except NetworkError as error:
        hint = "Store it unchecked with"
        raise NetworkError(
            f"{error.message}. {NOT_STORED}", hint=hint, command=("login", "--no-check"), code=error.code
        ) from error


def _facts(account: "Account", *, simulated: bool) -> str:
    facts = [f"plan {account.plan}"] if account.plan else []
    facts += [f"{counted(account.concurrency, 'task')} in parallel"] if account.concurrency else []
    mark = " simulated" if simulated else ""
    facts += [f"balance {usd(account.balance)}{mark}"] if account.balance is not None else []
    return f" ({', '.join(facts)})" if facts else ""
