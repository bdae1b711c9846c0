"""What a check of `flux doctor` found."""

from enum import StrEnum

from ...errors import ExitCode, FluxError
from ...frozen import frozen
from ...json_value import JsonObject
from ...text import clean


class Level(StrEnum):
    """How much it matters: a problem stops pictures from being made, a warning may cost something later."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """One line of the doctor's. hint: what to type next. exit_code: of a problem, as commands would end with it."""

    level: Level
    name: str
    message: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.OK

    @classmethod
    def of(cls, name: str, error: FluxError) -> "Finding":
        """The problem that an error stands for."""
        return cls(Level.PROBLEM, name, error.message, error.hint, error.exit_code)

    @property
    def line(self) -> str:
        """For people."""
        told = f"{self.message}; {self.hint}" if self.hint else self.message
        return f"{self.level:<7}  {self.name:<13}  {clean(told, 1000)}"

    @property
    def as_json(self) -> JsonObject:
        """For programs."""
        return {
            "level": str(self.level),
            "name": self.name,
            "message": clean(self.message, 1000),
            "hint": self.hint,
            "exit_code": int(self.exit_code),
        }


def fine(name: str, message: str) -> Finding:
    """Something that is as it should be."""
    return Finding(Level.OK, name, message)


def warning(name: str, message: str, hint: str | None = None) -> Finding:
    """Something that may cost time, pictures or money later."""
    return Finding(Level.WARNING, name, message, hint)
