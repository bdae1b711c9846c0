"""What `flux doctor` looks at, a function each: a session in, findings out. None of them changes anything.

A FluxError that one of them raises is a problem too (`doctor`).
"""

import os
import platform
import time
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from ... import __version__
from ...config.resolve import permissions_warning
from ...errors import ConfigError, DiskError, ExitCode, JournalError, KeyRefusedError, NetworkError
from ...journal.entries import State
from ...system.file_locks import is_held
from ...text import counted, masked, usd
from ..calls.expiry import expiring, missing, named
from ..context import Session
from ..output.output import shown
from .finding import Finding, Level, fine, warning

if TYPE_CHECKING:
    from ...piapi.client import Account

LIBRARIES = ("httpx", "h11", "typer", "rich", "pillow", "starlette", "uvicorn")
SKEW_SECONDS = 60.0
LARGE_LOG = 64 * 2**20
"""Bytes. SQLite empties the log at 4 MiB, unless somebody reads all the time."""
STALE_SECONDS = 86400.0


# --- configuration ----------------------------------------------------------------------------------------------------


def configuration(session: Session) -> Iterator[Finding]:
    """The file, who can read it, and what is not default."""
    file, settings = session.home.config_file, session.settings
    if permissions_warning(file):
        yield warning("configuration", f"{file} can be read by other users", "close it with: flux doctor --fix")
    else:
        there = "" if file.exists() else " (not there: defaults hold)"
        source = "" if settings.profile_source == "default" else f", from {settings.profile_source}"
        yield fine("configuration", f"{file}{there}, profile {settings.profile}{source}")
    for name, value in settings.values.items():
        if value.source != "default":
            yield fine("setting", f"{name} = {value.text}, from {value.source}")


def key(session: Session) -> Iterator[Finding]:
    """The key, as far as this machine can tell."""
    if session.sandbox:
        yield fine("key", "the sandbox needs none")
        return
    yield fine("key", f"{_known_key(session)}; the service was not asked")


def _known_key(session: Session) -> str:
    return f"{masked(session.key)} from {session.settings.key_source}"


# --- the service ------------------------------------------------------------------------------------------------------


def service(session: Session) -> Iterator[Finding]:
    """Whether the service answers and takes the key, what it says of the account, and what time it has."""
    import asyncio

    shown_key = "the sandbox needs none" if session.sandbox else _known_key(session)
    started = time.monotonic()
    try:
        account = asyncio.run(session.account())
    except NetworkError as error:
        yield fine("key", f"{shown_key}; the service could not be asked")
        hint = "look at the connection, HTTPS_PROXY and base_url; then: flux doctor --debug"
        yield Finding(Level.PROBLEM, "service", f"{session.service}: {error.message}", hint, error.exit_code)
        return
    except KeyRefusedError as error:
        yield Finding.of("key", KeyRefusedError(f"{shown_key}: {error.message}", hint=error.hint))
        yield fine("service", f"{session.service} answers")
        return
    except ConfigError as error:  # of the proxy or the certificates
        yield fine("key", f"{shown_key}; the service was not asked")
        yield Finding.of("service", error)
        return
    yield fine("key", shown_key if session.sandbox else f"{shown_key}; the service accepts it")
    yield fine("service", f"{session.service} answers, after {time.monotonic() - started:.1f} s")
    yield from _clock(account)
    yield from _account(session, account)


def _clock(account: "Account") -> Iterator[Finding]:
    if account.clock is None:
        return
    ahead = time.time() - account.clock
    if abs(ahead) < SKEW_SECONDS:
        yield fine("clock", "agrees with the service's")
        return
    way = "ahead of" if ahead > 0 else "behind"
    message = f"this machine is {abs(ahead):.0f} s {way} the service: budgets, expiry and lost answers go by the clock"
    yield warning("clock", message, "set it, such as with: timedatectl set-ntp true")


def _account(session: Session, account: "Account") -> Iterator[Finding]:
    pays_here = session.settings.get("service_mode") != "private"
    if account.balance is not None and account.balance <= 0 and pays_here:
        message = f"the balance is {usd(account.balance)}"
        yield Finding(Level.PROBLEM, "balance", message, "top up in the PiAPI workspace", ExitCode.CREDITS)
    elif account.balance is not None:
        yield fine("balance", usd(account.balance))
    plan, room, used = account.plan or "unknown", account.concurrency, session.concurrency
    if room is None or room == used:
        yield fine("plan", f"{plan}; {counted(used, 'task')} at once")
        return
    mine = session.settings.values["concurrency"].text is None
    better = f"flux config set plan {plan}" if mine and _allows(session, plan, room) else None
    change = better or f"flux config set concurrency {room}"
    what = "slower than need be" if used < room else "the rest will be refused and wait"
    yield warning("plan", f"the account ({plan}) has room for {room} at once, flux sends {used}: {what}", change)


def _allows(session: Session, plan: str, room: int) -> bool:
    """Whether a plan of this name has room for as many tasks."""
    try:
        return session.catalog.concurrency(plan, session.settings.get("service_mode")) == room
    except KeyError:
        return False


# --- this machine -----------------------------------------------------------------------------------------------------


def disk(session: Session) -> Iterator[Finding]:
    """Whether pictures can be written, and what runs that were killed have left."""
    folder = session.folder
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        hint = "choose another: flux config set output_dir DIR"
        yield Finding.of("output folder", DiskError(f"cannot write into {shown(folder)}", hint=hint))
    else:
        yield fine("output folder", str(folder) + ("" if folder.exists() else " (made when it is needed)"))
    if parts := stale(folder, ".flux-*.part"):
        message = f"{counted(len(parts), 'unfinished file')} of runs that were killed in {shown(folder)}"
        yield warning("left over", message, "remove with: flux doctor --fix")
    if locks := stale_locks(session):
        message = f"{counted(len(locks), 'lock')} of processes that have died"
        yield warning("left over", message, "remove with: flux doctor --fix")


def stale(folder: Path, pattern: str) -> list[Path]:
    """Files of this name that nobody has touched for a day."""
    return [path for path in sorted(folder.glob(pattern)) if _is_old(path)]


def _is_old(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:  # its owner has just removed it
        return False
    return S_ISREG(status.st_mode) and time.time() - status.st_mtime > STALE_SECONDS


def stale_locks(session: Session) -> list[Path]:
    """Lock files whose processes have died. A lock that is being taken at this moment is not a day old."""
    return [path for path in stale(session.paths.locks, "*.lock") if not is_held(path)]


def versions(session: Session) -> Iterator[Finding]:
    """What a bug report needs to know."""
    yield fine("versions", ", ".join(f"{name} {number}" for name, number in version_numbers().items()))


def version_numbers() -> dict[str, str]:
    """flux, Python, the system, the libraries."""
    import sqlite3

    found = {"flux": __version__, "Python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found | {"system": platform.platform()}


def terminal(session: Session) -> Iterator[Finding]:
    """How the terminal shows pictures."""
    from ..output.image_preview import Protocol, protocol_of
    from ..output.viewer import sixel_cell

    ways = {
        Protocol.KITTY: "draws pictures with --preview (kitty's protocol)",
        Protocol.ITERM: "draws pictures with --preview (iTerm2's protocol)",
        Protocol.SIXEL: "draws pictures with --preview (sixel)",
        Protocol.BLOCKS: "draws pictures with --preview in half blocks: it names no protocol for more",
    }
    sixel = sixel_cell(session.output, session.environ)
    yield fine("terminal", ways[Protocol.SIXEL if sixel else protocol_of(session.environ)])


# --- the journal ------------------------------------------------------------------------------------------------------


def journal(session: Session) -> Iterator[Finding]:
    """The file itself."""
    from ...journal.integrity import examine
    from ...journal.migrations import MIGRATIONS

    path = session.paths.journal
    state = examine(path)
    if state is None:
        yield fine("journal", f"{path} is made by the first task")
        return
    if state.trouble:
        hint = "rebuild it, as far as it can be read, with: flux doctor --fix" if state.damaged else None
        yield Finding.of("journal", JournalError(f"{path}: {state.trouble}", hint=hint or "try again"))
        return
    if state.version > len(MIGRATIONS):
        hint = "upgrade: pip install -U piapi-flux"
        yield Finding.of("journal", JournalError(f"{path} was written by a newer flux", hint=hint))
        return
    total = sum(state.counts.values())
    entries = counted(total, "entry", "entries")
    yield fine("journal", f"{path}: sound, schema {state.version} of {len(MIGRATIONS)}, {entries}")
    if state.wal_bytes > LARGE_LOG:
        message = f"its log has grown to {state.wal_bytes // 2**20} MiB"
        yield warning("journal", message, "it shrinks when every running flux has ended")


def unknown_outcomes(session: Session) -> Iterator[Finding]:
    """Submissions that may have been charged, and those about to be known as such."""
    if dead := session.journal.dead():
        message = f"{counted(len(dead), 'submission')} of a process that died before the answer came ({named(dead)})"
        yield warning("sending", message, "they become unknown with: flux doctor --fix")
    if unknown := session.journal.entries(State.UNKNOWN):
        risk = sum((entry.price for entry in unknown if entry.price is not None), Decimal(0))
        message = f"{counted(len(unknown), 'submission')} with a lost answer, at most {usd(risk)} at risk"
        yield warning("unknown", message, f"go on with: flux resolve {unknown[0].id}")


def pictures(session: Session) -> Iterator[Finding]:
    """Pictures that are paid for, not on disk, and still at the service."""
    now = time.time()
    if going := expiring(session, now):
        yield warning("expiring", going, "fetch them, at no cost, with: flux resume --expiring")
    if gone := missing(session, now):
        message = f"the pictures of {counted(len(gone), 'task')} are no longer where they were saved ({named(gone)})"
        last = min((entry.expires or now) - now for entry in gone) / 3600
        hint = f"if they are lost, the service has them for {last:.0f} h more: flux wait {gone[0].id}"
        yield warning("missing", message, hint)


def budgets(session: Session) -> Iterator[Finding]:
    """What is left of each."""
    for allowance in session.journal.allowances(session.budgets):
        period, limit = allowance.budget.period, usd(allowance.budget.limit)
        message = f"{usd(allowance.left)} of this {period}'s {limit} are left"
        if allowance.left:
            yield fine("budget", message)
        else:
            yield warning(
                "budget", message, f"wait until {allowance.next_day}, or: flux config set budget.{period} USD"
            )
