"""`flux login`: store a key, after PiAPI has accepted it."""

import asyncio
import getpass
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated

from ...config.api_key import checked_key
from ...config.resolve import ACCOUNT
from ...errors import ExitCode, NetworkError, UsageError
from ...operations.parameters import Option
from ...text import counted, masked, usd
from ..context import Session
from ..output.output import Items, Note, Warn
from ..profile import account_difference, account_json, edit_profile
from ..registry import help_page

if TYPE_CHECKING:
    from ...piapi.client import Account


NoCheck = Annotated[bool, Option("--no-check", help="Store the key without checking it with PiAPI.")]


@help_page(
    ("Enter the key at a prompt", "flux login"),
    ("Read the key from a password manager", "pass show piapi | flux login --profile work"),
    hides=("sandbox",),
)
def login(session: Session, no_check: NoCheck = False) -> Items:
    """Check your PiAPI key and store it.

    flux asks for the key without showing it, or reads it from a pipe. To have it read from a password manager,
    set the command that prints it instead of a key: flux config set api_key_command 'pass show piapi'.
    """
    if session.sandbox:
        raise UsageError("the sandbox needs no key")
    secrets, settings = session.output.secrets, session.settings
    if not session.stdin.text.isatty():
        key = session.stdin.text.readline()
    else:
        yield Note("Create a key at https://piapi.ai/workspace/key.")
        key = yield from _ask_for_key()
    key = checked_key(key, "the input")
    secrets.add(key)
    account = None if no_check else _check(session, key)
    if account:
        yield Note(f"PiAPI accepts the key{_facts(account)}")
    edit_profile(
        session, {"api_key": key, ACCOUNT: account_json(settings.text("base_url"), account) if account else None}
    )
    file, profile = session.home.config_file, settings.profile
    yield Note(f"key {masked(key)} stored in {file} [profiles.{profile}]")
    if account and (line := account_difference(session, account)):
        yield Note(line)
    if settings.key_source not in ("unset", "api_key_command", f"{file} [{profile}]"):
        yield Warn(f"{settings.key_source} is set and takes precedence over the stored key")
    return ExitCode.OK


def _ask_for_key() -> Generator[Note, None, str]:
    try:
        return getpass.getpass("PiAPI key (not shown): ")
    except EOFError:
        return ""
    except KeyboardInterrupt:
        yield Note("")  # the message that follows begins on a line of its own
        raise


def _check(session: Session, key: str) -> "Account":
    try:
        return asyncio.run(session.account(key))
    except NetworkError as error:
        hint = "Store it unchecked with"
        raise NetworkError(
            f"{error.message}; the key was not stored", hint=hint, command=("login", "--no-check"), code=error.code
        ) from error


def _facts(account: "Account") -> str:
    facts = [f"plan {account.plan}"] if account.plan else []
    facts += [f"{counted(account.concurrency, 'task')} in parallel"] if account.concurrency else []
    facts += [f"balance {usd(account.balance)}"] if account.balance is not None else []
    return f" ({', '.join(facts)})" if facts else ""
