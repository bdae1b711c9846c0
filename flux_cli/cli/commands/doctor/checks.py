"""The checks of `flux doctor`: one function per check, which accepts the session and yields findings.

A FluxError that a check raises becomes a finding too. Checks change nothing, except that they store the account's
limits in the profile, and create and remove a test file in directories that must be writable.
"""

import platform
import time
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from .... import __version__
from ....config.config_file import permissions_warning
from ....config.paths import HOME_HINT, display_path
from ....config.urls import is_local
from ....errors import ConfigError, DiskError, ExitCode, FluxError, JournalError, KeyRefusedError, NetworkError
from ....frozen import frozen
from ....journal.entries import Entry, State
from ....journal.expiry import describe_expiring, find_missing_images
from ....json_value import JsonObject
from ....system.atomic_files import probe
from ....system.file_locks import is_held
from ....text import clean, counted, masked, usd
from ...output.render import format_sum
from ...profile import account_difference, remember_account
from ...session import Session

if TYPE_CHECKING:
    from ....piapi.client import Account

LIBRARIES = ("httpx", "typer", "rich", "pillow", "starlette", "uvicorn")
SKEW_SECONDS = 60.0
LARGE_LOG = 64 * 2**20
"""Bytes. SQLite truncates the log at 4 MiB, unless a process reads continually."""
STALE_SECONDS = 86400.0


class Level(StrEnum):
    """The severity of a finding. A problem prevents flux from working; a warning may cause a loss later."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """A line of the result.

    hint: what to do next. command: what to type, the words after `flux`.
    exit_code: of a problem, the exit code of other commands that run into it.
    """

    level: Level
    name: str
    message: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.OK
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, error: FluxError) -> "Finding":
        """Return the problem that an error describes."""
        return cls(Level.PROBLEM, name, error.message, error.hint, error.exit_code, error.command)

    def line(self, hint: str) -> str:
        """Return the finding as text, with its hint as the output renders it."""
        text = f"{self.message}. {hint}" if hint else self.message
        return f"{self.level:<7}  {self.name:<13}  {clean(text, 1000)}"

    def to_json(self, hint: str) -> JsonObject:
        """Return the finding as JSON, with its hint as the output renders it."""
        return {
            "level": str(self.level),
            "name": self.name,
            "message": clean(self.message, 1000),
            "hint": hint or None,
            "exit_code": int(self.exit_code),
        }


def ok(name: str, message: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(Level.OK, name, message)


def warning(name: str, message: str, hint: str | None = None, *command: str) -> Finding:
    """Return a finding about a later loss of time, images or money. command: the next command."""
    return Finding(Level.WARNING, name, message, hint, command=command)


# --- configuration ----------------------------------------------------------------------------------------------------


def configuration(session: Session) -> Iterator[Finding]:
    """Check the config file, its permissions and its settings. List the settings that are not defaults."""
    file, settings = session.home.config_file, session.settings
    if permissions_warning(file):
        yield warning("configuration", f"{file} can be read by other users", "restrict it with", "doctor", "--fix")
    else:
        found = "" if file.exists() else " (not found; using defaults)"
        source = "" if settings.profile_source == "default" else f" (from {settings.profile_source})"
        yield ok("configuration", f"{file}{found}, profile {settings.profile}{source}")
    for name, value in settings.values.items():
        if value.source != "default":
            yield ok("setting", f"{name} = {value.text} (from {value.source})")
    _ = session.catalog.models  # raises for an invalid model in the config file
    session.check_model()


def key(session: Session) -> Iterator[Finding]:
    """Check the key without contacting PiAPI."""
    yield ok("key", "not needed by the sandbox" if session.sandbox else f"{_known_key(session)}; not checked (offline)")


def _known_key(session: Session) -> str:
    return f"{masked(session.key)} from {session.settings.key_source}"


# --- PiAPI ------------------------------------------------------------------------------------------------------------


def service(session: Session) -> Iterator[Finding]:
    """Check that PiAPI responds and accepts the key, that the settings match the account, and that clocks match."""
    import asyncio

    shown_key = "not needed by the sandbox" if session.sandbox else _known_key(session)
    started = time.monotonic()
    try:
        account = asyncio.run(session.fetch_account())
    except NetworkError as error:
        yield ok("key", f"{shown_key}; not checked")
        hint = error.hint or "check the connection, HTTPS_PROXY and base_url. For details"
        message, command = f"{session.service}: {error.message}", () if error.hint else ("doctor", "--debug")
        yield Finding(Level.PROBLEM, "PiAPI", message, hint, error.exit_code, command)
        return
    except KeyRefusedError as error:
        message, hint = f"{shown_key}: {error.message}", session.output.key_hint
        yield Finding(Level.PROBLEM, "key", message, hint, error.exit_code, error.command)
        yield ok("PiAPI", f"{session.service} responds")
        return
    except (ConfigError, JournalError) as error:  # invalid proxy or certificate settings; unusable tasks of the sandbox
        yield ok("key", f"{shown_key}; not checked")
        yield Finding.of("PiAPI", error)
        return
    yield ok("key", shown_key if session.sandbox else f"{shown_key}; accepted by PiAPI")
    yield ok("PiAPI", f"{session.service} responds in {time.monotonic() - started:.1f} s")
    yield from _clock(account)
    yield from _account(session, account)


def _clock(account: "Account") -> Iterator[Finding]:
    if account.clock is None:
        return
    ahead = time.time() - account.clock
    if abs(ahead) < SKEW_SECONDS:
        yield ok("clock", "matches PiAPI's clock")
        return
    way = "ahead of" if ahead > 0 else "behind"
    message = f"this machine's clock is {abs(ahead):.0f} s {way} PiAPI's; budgets and expiry dates depend on it"
    yield warning("clock", message, "set it, for example with: timedatectl set-ntp true")


def _account(session: Session, account: "Account") -> Iterator[Finding]:
    pays_as_it_goes = session.settings.get("service_mode") != "private"
    if account.balance is not None and account.balance <= 0 and pays_as_it_goes:
        message = f"the balance is {usd(account.balance)}"
        yield Finding(Level.PROBLEM, "balance", message, "top up at https://piapi.ai/workspace", ExitCode.CREDITS)
    elif account.balance is not None:
        yield ok("balance", f"{usd(account.balance)}{' simulated' if is_local(session.service) else ''}")
    if problem := remember_account(session, account):
        yield warning("plan", problem)
    if difference := account_difference(session, account):
        yield warning("plan", difference)
    else:
        allowed = account.concurrency or session.concurrency
        yield ok("plan", f"{account.plan or 'unknown'}: {counted(allowed, 'task')} in parallel")


# --- this machine -----------------------------------------------------------------------------------------------------


def output_directory(session: Session) -> Iterator[Finding]:
    """Check that images can be written. Report leftover files of interrupted runs."""
    directory = session.directory
    if reason := _write_error(directory):
        error = DiskError(
            f"cannot write to {display_path(directory)}: {reason}",
            hint="use another one",
            command=("config", "set", "output_dir", "DIR"),
        )
        yield Finding.of("output dir", error)
    else:
        yield ok("output dir", f"{directory}{'' if directory.exists() else ' (will be created)'}: writable")
    if parts := stale(directory, ".flux-*.part"):
        message = f"{counted(len(parts), 'unfinished file')} of interrupted runs in {display_path(directory)}"
        yield warning("left over", message, "remove with", "doctor", "--fix")
    if locks := stale_locks(session):
        message = f"{counted(len(locks), 'lock file')} of processes that no longer run"
        yield warning("left over", message, "remove with", "doctor", "--fix")


def data_directory(session: Session) -> Iterator[Finding]:
    """Check that the journal and its locks can be written."""
    paths = session.paths
    for directory in (paths.state, paths.locks, paths.slots):
        if reason := _write_error(directory):
            message = f"cannot write to {directory}: {reason}; tasks can be listed, but not submitted"
            yield Finding.of("data dir", JournalError(message, hint=HOME_HINT))
            return
    yield ok("data dir", f"{paths.state}{'' if paths.state.exists() else ' (will be created)'}: writable")


def _write_error(directory: Path) -> str | None:
    """Return why a directory, or its nearest existing parent, is not writable; None if it is."""
    existing = next((path for path in (directory, *directory.parents) if path.exists()), directory)
    try:
        probe(existing)
    except OSError as error:
        return error.strerror if existing.is_absolute() else "the working directory was deleted"
    return None


def stale(directory: Path, pattern: str) -> list[Path]:
    """Return the files that match `pattern` and were not modified for a day."""
    return [path for path in sorted(directory.glob(pattern)) if _is_old(path)]


def _is_old(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:  # another process has just removed it
        return False
    return S_ISREG(status.st_mode) and time.time() - status.st_mtime > STALE_SECONDS


def stale_locks(session: Session) -> list[Path]:
    """Return the empty lock files of dead processes. The age protects a file that is just being locked.

    Files with content are left to the journal (see `journal.owner`).
    """
    from ....journal.database import file_size

    return [path for path in stale(session.paths.locks, "*.lock") if file_size(path) == 0 and not is_held(path)]


def versions(session: Session) -> Iterator[Finding]:
    """List the versions that a bug report needs."""
    yield ok("versions", ", ".join(f"{name} {number}" for name, number in version_numbers().items()))


def version_numbers() -> dict[str, str]:
    """Return the versions of flux, Python, the system and the libraries."""
    import sqlite3

    found = {"flux": __version__, "Python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found | {"system": platform.platform()}


def terminal(session: Session) -> Iterator[Finding]:
    """Report how the terminal displays images."""
    from ...output.image_preview import Protocol, protocol_of, sixel_cell

    ways = {
        Protocol.KITTY: "--preview uses the kitty graphics protocol",
        Protocol.ITERM: "--preview uses the iTerm2 inline image protocol",
        Protocol.SIXEL: "--preview uses sixel graphics",
        Protocol.BLOCKS: "--preview uses half-block characters (no kitty, iTerm2 or sixel support detected)",
    }
    sixel = sixel_cell(session.output, session.environ)
    yield ok("terminal", ways[Protocol.SIXEL if sixel else protocol_of(session.environ)])


# --- the journal ------------------------------------------------------------------------------------------------------


def journal(session: Session) -> Iterator[Finding]:
    """Check the journal's file without changing it."""
    from ....journal.database import UPDATE_HINT
    from ....journal.migrations import MIGRATIONS
    from ....journal.recovery import examine

    path = session.paths.journal
    state = examine(path)
    if state is None:
        yield ok("journal", f"{path} will be created by the first task")
        return
    if state.trouble:
        message = f"{path} {state.trouble}" if state.trouble.startswith("is ") else f"{path}: {state.trouble}"
        if state.damaged:
            raise JournalError(message, hint="recover what is readable with", command=("doctor", "--fix"))
        raise JournalError(message, hint="try again")
    if state.version > len(MIGRATIONS):
        raise JournalError(f"{path} was written by a newer version of flux", hint=UPDATE_HINT)
    entries = counted(sum(state.counts.values()), "entry", "entries")
    yield ok("journal", f"{path}: intact, schema {state.version} of {len(MIGRATIONS)}, {entries}")
    if state.wal_bytes > LARGE_LOG:
        message = f"its write-ahead log has grown to {state.wal_bytes // 2**20} MiB"
        yield warning("journal", message, "it shrinks when no flux process is running")


def unknown_outcomes(session: Session) -> Iterator[Finding]:
    """Report submissions that may have been charged, including those of processes that died while sending."""
    session.journal.require_sent()
    if dead := session.journal.find_dead():
        message = (
            f"{counted(len(dead), 'request')} of a process that died before a response arrived ({_list_ids(dead)})"
        )
        yield warning("sending", message, "mark as unknown with", "doctor", "--fix")
    if unknown := session.journal.entries(State.UNKNOWN):
        risk = sum((entry.price for entry in unknown if entry.price is not None), Decimal(0))
        charged = format_sum(risk, is_local(session.service))
        message = f"{counted(len(unknown), 'task')} with an unknown outcome, up to {charged} possibly charged"
        yield warning("unknown", message, "see your options with", "resolve")


def images(session: Session) -> Iterator[Finding]:
    """Report images that are paid for, not on disk, and still available at PiAPI."""
    now = time.time()
    if soon := describe_expiring(session.journal, now):
        yield warning("expiring", soon, "download them for free with", "resume", "--expiring")
    if lost := find_missing_images(session.journal, now):
        message = f"the images of {counted(len(lost), 'task')} are missing from disk ({_list_ids(lost)})"
        left = _span(min((entry.expires or now) - now for entry in lost))
        hint = f"PiAPI keeps them for another {left}. Download them again with"
        yield warning("images", message, hint, "wait", lost[0].id)


def _span(duration: float) -> str:
    """Return a duration in seconds as whole days or, below two days, as whole hours."""
    hours = int(duration // 3600)
    return counted(hours // 24, "day") if hours >= 48 else counted(hours, "hour")


def budgets(session: Session) -> Iterator[Finding]:
    """Report the rest of each budget."""
    for allowance in session.journal.allowances(session.budgets):
        message = f"{usd(allowance.left)} of {allowance.whose} {usd(allowance.budget.limit)} left"
        if allowance.left:
            yield ok("budget", message)
        else:
            advice, command = allowance.budget.advice
            yield warning("budget", message, f"wait until {allowance.next_day}, or raise {advice}", *command)


def _list_ids(entries: list[Entry], most: int = 3) -> str:
    """Return the IDs of the first `most` entries as text: `7v9s8cxz, k3v9q2xy, ...`."""
    return ", ".join([entry.id for entry in entries[:most]] + ["..."] * (len(entries) > most))
