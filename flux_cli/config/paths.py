"""The directories and files of one user: configuration, journal, locks, copies of images written to a pipe."""

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError
from ..frozen import frozen
from ..text import file_name, quoted

HOME_HINT = "Set FLUX_HOME to a directory that you can write to"


@frozen
class Paths:
    """The directories of one user. They are created when something is first written to them.

    config: the directory of `config.toml`.
    state: the directory of the files that must not be lost: the journal, the locks, copies of images written to a pipe.
    """

    config: Path
    state: Path

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Paths":
        """Return the directories: `FLUX_HOME` if it is set, else the system's default directories.

        Raise ConfigError if a home directory is needed and the user has none, as in some containers.
        """
        if home := environ.get("FLUX_HOME"):
            try:
                root = Path(os.path.abspath(expand_user(home)))
            except FileNotFoundError as error:
                message = f"invalid FLUX_HOME {quoted(home)}: the working directory was deleted"
                raise ConfigError(message, hint="Set FLUX_HOME to an absolute path") from error
            if root.is_file():
                raise ConfigError(f"FLUX_HOME is a file, not a directory: {file_name(root)}", hint=HOME_HINT)
            return cls(config=root, state=root)
        import platformdirs  # takes as long as starting Python, and FLUX_HOME makes it unnecessary

        try:
            return cls(
                config=Path(platformdirs.user_config_dir("flux", appauthor=False)),
                state=Path(platformdirs.user_state_dir("flux", appauthor=False)),
            )
        except RuntimeError as error:
            raise _homeless() from error

    @property
    def config_file(self) -> Path:
        """The configuration, TOML."""
        return self.config / "config.toml"

    @property
    def journal(self) -> Path:
        """The record of paid tasks, SQLite."""
        return self.state / "journal.db"

    @property
    def locks(self) -> Path:
        """One lock file per running command."""
        return self.state / "locks"

    @property
    def slots(self) -> Path:
        """One directory per account, with a lock file per task that may run in parallel."""
        return self.state / "slots"

    @property
    def images(self) -> Path:
        """Copies of images written to a pipe, which may break."""
        return self.state / "images"

    @property
    def sandbox(self) -> "Paths":
        """The paths for the sandbox, whose free tasks are kept apart from paid ones."""
        return Paths(config=self.config, state=self.state / "sandbox")

    @property
    def sandbox_service(self) -> Path:
        """The tasks of the sandbox server, SQLite. Meant for the paths that `sandbox` returns."""
        return self.state / "service.db"


def expand_user(path: str | Path) -> Path:
    """Return a path with a leading `~` or `~name` expanded. Raise ConfigError if that user has no home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise _homeless() from error


def _homeless() -> ConfigError:
    return ConfigError("no home directory: HOME is not set, and the system has no entry for this user", hint=HOME_HINT)


def display_path(path: Path) -> str:
    """Return a path as text, relative to the working directory if it is inside it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
