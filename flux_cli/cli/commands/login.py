"""`flux login`: store a key, after PiAPI has accepted it."""

import asyncio
import getpass
from typing import TYPE_CHECKING, Annotated

from ...config.api_key import checked_key
from ...config.resolve import ACCOUNT
from ...errors import ExitCode, NetworkError, UsageError
from ...operations.parameters import Option
from ...text import counted, masked, usd
from ..context import Session
from ..profile import account_difference, account_json, edit_profile

if TYPE_CHECKING:
    from ...piapi.client import Account


NoCheck = Annotated[bool, Option("--no-check", help="Store the key without checking it with PiAPI.")]


def login(session: Session, no_check: NoCheck = False) -> ExitCode:
    """Check your PiAPI key and store it.

    flux asks for the key without showing it, or reads it from a pipe.

    flux login

    pass show piapi | flux login --profile work
    """
    if session.sandbox:
        raise UsageError("the sandbox needs no key")
    key = checked_key(_read_key(session), "the input")
    session.output.secrets.add(key)
    account = _check(session, key) if not no_check else None
    edit_profile(session, {"api_key": key, ACCOUNT: account_json(session, account) if account else None})
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
