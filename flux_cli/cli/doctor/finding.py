"""The result of a check of `flux doctor`."""

from enum import StrEnum

from ...errors import ExitCode, FluxError
from ...frozen import frozen
from ...json_value import JsonObject
from ...text import clean


class Level(StrEnum):
    """How serious a finding is: a problem keeps flux from working, a warning may cost something later."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """One line of the result.

    hint: what to do next; command: what to type, the words after `flux`.
    exit_code: of a problem, as other commands would exit with it.
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
        text = f"{self.message}; {hint}" if hint else self.message
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
    """Return a finding of something that may cost time, images or money later. command: the next command."""
    return Finding(Level.WARNING, name, message, hint, command=command)
