"""Every way a command can end other than well, and the exit code of each.

FluxError
 +- UsageError            2   bad option, prompt, file or size; nothing was sent
 |   +- BudgetError       2   more than is left of a budget; nothing was sent
 +- ConfigError           4   key missing or refused, configuration unreadable
 +- RefusedError          5   the service refused the request; nothing was charged
 |   +- PlanError         5   the account's plan does not include what was requested
 +- CreditsError          6   out of credits; nothing was charged
 +- UnknownChargeError    7   a submission's answer was lost: it may have been charged
 +- TaskFailedError       8   the task failed
 +- StillRunningError     9   still running when the waiting ended; paid, resumable
 +- NotSavedError        10   paid and finished, but not saved
 +- DiskError            11   full, not writable, or the output exists
 +- JournalError         12   the journal is locked or unusable
 +- NetworkError         13   network or service unavailable; nothing was charged
 +- InterruptError    130, 143

`cli.main` is the only place that turns one of these into words and an exit code.
"""

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """The exit codes, part of the interface: never renumbered."""

    OK = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 3
    CONFIG = 4
    REFUSED = 5
    CREDITS = 6
    UNKNOWN_CHARGE = 7
    TASK_FAILED = 8
    STILL_RUNNING = 9
    NOT_SAVED = 10
    DISK = 11
    JOURNAL = 12
    NETWORK = 13
    SIGINT = 130
    PIPE = 141
    SIGTERM = 143

    @property
    def meaning(self) -> str:
        """What the code tells a script, in one line."""
        return MEANINGS[self]


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "everything asked for is on disk and verified",
    ExitCode.BUG: "a bug in flux; the journal is intact",
    ExitCode.USAGE: "bad option, prompt, file or size, or too expensive; nothing was sent",
    ExitCode.PARTIAL: "finished, with some entries refused or failed",
    ExitCode.CONFIG: "key missing or refused, or configuration unreadable",
    ExitCode.REFUSED: "the service refused the request; nothing was charged",
    ExitCode.CREDITS: "out of credits; nothing was charged",
    ExitCode.UNKNOWN_CHARGE: "at least one submission may have been charged",
    ExitCode.TASK_FAILED: "the task failed",
    ExitCode.STILL_RUNNING: "still running when --timeout ended; resumable",
    ExitCode.NOT_SAVED: "paid and finished, but not saved; resumable",
    ExitCode.DISK: "local disk: full, not writable, or the output exists",
    ExitCode.JOURNAL: "the journal is locked or unusable",
    ExitCode.NETWORK: "network or service unavailable; nothing was charged",
    ExitCode.SIGINT: "interrupted (Ctrl-C)",
    ExitCode.PIPE: "the reader of the output went away",
    ExitCode.SIGTERM: "terminated",
}


class FluxError(Exception):
    """Something went wrong in a way the user can understand.

    message: what happened, one sentence without a full stop.
    hint: what to type or do next, if there is something.
    code: a stable word for scripts (`error.code` in JSON); the class's own when not given.
    details: one line each, when the message is about several things.
    money: what it means for the user's money; the class's own when not given.
    """

    exit_code: ExitCode = ExitCode.BUG
    code: str = "error"
    money: str = ""
    """What it means for the user's money, said after the message."""
    entry: str | None = None
    task_id: str | None = None
    paths: tuple[Path, ...] = ()
    """For callers from Python: the entry and the task that it is about, and what of it is on disk all the same."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        details: Sequence[str] = (),
        money: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        if money is not None:
            self.money = money
        if code is not None:
            self.code = code

    @property
    def sentence(self) -> str:
        """The message and what it means for the user's money."""
        return f"{self.message}; {self.money}" if self.money else self.message


class UsageError(FluxError):
    """What the user asked for cannot be done as asked."""

    exit_code = ExitCode.USAGE
    code = "usage"
    money = "nothing was sent"

    @classmethod
    def of(cls, problems: Sequence[str]) -> "UsageError":
        """One error for everything that is wrong with a request."""
        if len(problems) == 1:
            return cls(problems[0])
        return cls(f"{len(problems)} things are wrong", details=problems)


class BudgetError(UsageError):
    """A task would cost more than is left of a day's or a month's budget."""

    code = "too_expensive"


class ConfigError(FluxError):
    """The key is missing or refused, or the configuration cannot be read."""

    exit_code = ExitCode.CONFIG
    code = "config"


class RefusedError(FluxError):
    """The service said no to this request."""

    exit_code = ExitCode.REFUSED
    code = "refused"
    money = "nothing was charged"


class PlanError(RefusedError):
    """The account's plan does not include what was requested (HTTP 403)."""

    code = "plan"


class KeyRefusedError(ConfigError):
    """PiAPI does not accept the key (HTTP 401, code 1200)."""

    code = "key_refused"
    money = "nothing was charged"


class CreditsError(FluxError):
    """The account has not enough credits (HTTP 402, code 1300)."""

    exit_code = ExitCode.CREDITS
    code = "credits"
    money = "nothing was charged"


class UnknownChargeError(FluxError):
    """The answer to a submission was lost after it began to leave."""

    exit_code = ExitCode.UNKNOWN_CHARGE
    code = "unknown"
    money = "it may have been charged, and is not sent again by itself"


class TaskFailedError(FluxError):
    """The service worked on the task and failed."""

    exit_code = ExitCode.TASK_FAILED
    code = "task_failed"


class StillRunningError(FluxError):
    """The waiting ended before the task did."""

    exit_code = ExitCode.STILL_RUNNING
    code = "still_running"
    money = "it is paid for and runs on"


class NotSavedError(FluxError):
    """The task is paid and finished, and its picture is not on disk."""

    exit_code = ExitCode.NOT_SAVED
    code = "not_saved"
    money = "it is paid for"


class PartialError(FluxError):
    """Less than what was asked for came back."""

    exit_code = ExitCode.PARTIAL
    code = "partial"


class DiskError(FluxError):
    """The local disk is full or not writable, or the output exists."""

    exit_code = ExitCode.DISK
    code = "disk"


class JournalError(FluxError):
    """The journal cannot be read or written."""

    exit_code = ExitCode.JOURNAL
    code = "journal"


class NetworkError(FluxError):
    """The network or the service is unavailable, and nothing was charged."""

    exit_code = ExitCode.NETWORK
    code = "network"
    money = "nothing was charged"


class InterruptError(FluxError):
    """SIGINT or SIGTERM ended the command; `exit_code` is 128 + the signal's number."""

    code = "interrupted"

    def __init__(self, message: str, *, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = ExitCode(128 + signal_number)
