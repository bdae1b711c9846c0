"""The errors that end a command, and the exit code of each.

FluxError
 +- UsageError            2   bad option, prompt, file or size
 |   +- BudgetError       2   more than is left of a budget
 +- PartialError          3   some images of a batch, or of a task, are missing
 +- ConfigError           4   key missing, configuration unreadable
 |   +- KeyRefusedError   4   PiAPI does not accept the key
 +- RefusedError          5   PiAPI refused the request
 |   +- PlanError         5   the account's plan does not include it
 +- CreditsError          6   out of credits
 +- UnknownChargeError    7   no usable response to a submission: it may have been charged
 +- TaskFailedError       8   the task failed
 +- StillRunningError     9   still running when the waiting ended; resumable
 +- NotSavedError        10   paid and finished, but not saved
 +- DiskError            11   full, not writable, or the output exists
 +- JournalError         12   the journal is locked or unusable
 +- NetworkError         13   network or service unavailable
 +- InterruptError    130, 143

An error states what happened. Only `cli` turns errors into messages and exit codes. It adds, from the journal, what the
user may have been charged.
"""

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import TypeAlias


class ExitCode(IntEnum):
    """The exit codes. Scripts depend on them, so they are never renumbered."""

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
        """The meaning of the code for a script, in one line."""
        return MEANINGS[self]


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "success: all requested images are saved and verified",
    ExitCode.BUG: "a bug in flux; the journal is intact",
    ExitCode.USAGE: "usage: bad option, prompt, file or size, or over a cost limit; not charged",
    ExitCode.PARTIAL: "partly done: some images are missing (refused, failed, dismissed or still running)",
    ExitCode.CONFIG: "no key, or the key was refused, or the configuration is unreadable",
    ExitCode.REFUSED: "PiAPI refused the request, or your plan does not include it; not charged",
    ExitCode.CREDITS: "out of credits; not charged",
    ExitCode.UNKNOWN_CHARGE: "the outcome of at least one request is unknown; possibly charged",
    ExitCode.TASK_FAILED: "the task failed; possibly charged",
    ExitCode.STILL_RUNNING: "--timeout ended before the task did; it stays charged, and can be resumed",
    ExitCode.NOT_SAVED: "charged and finished, but not saved; resumable unless expired",
    ExitCode.DISK: "local disk: full, not writable, or the output exists",
    ExitCode.JOURNAL: "the journal is locked or unusable",
    ExitCode.NETWORK: "network or PiAPI unavailable; this command was not charged",
    ExitCode.SIGINT: "interrupted (Ctrl-C)",
    ExitCode.PIPE: "the process reading stdout closed the pipe",
    ExitCode.SIGTERM: "terminated",
}


class FluxError(Exception):
    """An error that the user sees as a message, without a traceback.

    message: what happened, one sentence without a period.
    hint: what to do next, a phrase without a period. command: what to type, the words after `flux`.
    code: a stable word for scripts (`error.code` in JSON). Default: that of the class.
    details: one line per problem, if the message covers several.
    entry, task_id, paths: the entry and the task concerned, and the images that are on disk anyway; for Python callers.
    """

    exit_code: ExitCode = ExitCode.BUG
    code: str = "error"
    entry: str | None = None
    task_id: str | None = None
    paths: tuple[Path, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        command: Sequence[str] = (),
        code: str | None = None,
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.command = tuple(command)
        self.details = tuple(details)
        if hint and not command:
            self.add_note(hint)  # which Python prints below the message
        if code is not None:
            self.code = code


class UsageError(FluxError):
    """What the user requested cannot be done."""

    exit_code = ExitCode.USAGE
    code = "usage"

    @classmethod
    def of(cls, problems: Sequence["str | UsageError"]) -> "UsageError":
        """Return one error for everything that is wrong with a request; each problem keeps its hint."""
        errors = [cls(problem) if isinstance(problem, str) else problem for problem in problems]
        if len(errors) == 1:
            return errors[0]
        return cls(f"{len(errors)} errors", details=[error.detail for error in errors])

    @property
    def detail(self) -> str:
        """The error as one line of several, with its hint in parentheses."""
        return f"{self.message} ({self.hint})" if self.hint and not self.command else self.message


Problems: TypeAlias = list[str | UsageError]
"""The problems of a request: sentences, and errors that have a hint."""


class BudgetError(UsageError):
    """A task would cost more than is left of a day's or a month's budget."""

    code = "too_expensive"


class ConfigError(FluxError):
    """The key is missing or refused, or the configuration cannot be read."""

    exit_code = ExitCode.CONFIG
    code = "config"


class RefusedError(FluxError):
    """PiAPI refused this request."""

    exit_code = ExitCode.REFUSED
    code = "refused"


class PlanError(RefusedError):
    """The account's plan does not include what was requested (HTTP 403)."""

    code = "plan"


class KeyRefusedError(ConfigError):
    """PiAPI does not accept the key (HTTP 401, code 1200)."""

    code = "key_refused"


class CreditsError(FluxError):
    """The account has too few credits (HTTP 402, code 1300)."""

    exit_code = ExitCode.CREDITS
    code = "credits"


class UnknownChargeError(FluxError):
    """No usable response came to a submission that had begun to leave."""

    exit_code = ExitCode.UNKNOWN_CHARGE
    code = "unknown"


class TaskFailedError(FluxError):
    """PiAPI worked on the task and failed."""

    exit_code = ExitCode.TASK_FAILED
    code = "task_failed"


class StillRunningError(FluxError):
    """The waiting ended before the task did."""

    exit_code = ExitCode.STILL_RUNNING
    code = "still_running"


class NotSavedError(FluxError):
    """The task is paid and finished, and its image is not on disk."""

    exit_code = ExitCode.NOT_SAVED
    code = "not_saved"


class PartialError(FluxError):
    """PiAPI returned fewer images than requested."""

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
    """The network or PiAPI is unavailable."""

    exit_code = ExitCode.NETWORK
    code = "network"


class InterruptError(FluxError):
    """SIGINT or SIGTERM ended the command; `exit_code` is 128 + the signal's number."""

    code = "interrupted"

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(128 + signal_number)
