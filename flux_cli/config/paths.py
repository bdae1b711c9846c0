"""Where things are kept: configuration, journal, pictures without a place of their own, locks."""

import os
from collections.abc import Mapping
from pathlib import Path

from ..frozen import frozen


@frozen
class Paths:
    """The folders of one user. None of them is made before something is written.

    config: `config.toml` stands in it.
    state: what must never be lost: the journal, the locks, pictures that were piped.
    """

    config: Path
    state: Path

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Paths":
        """From `FLUX_HOME`, which moves everything together, or the platform's own places."""
        if home := environ.get("FLUX_HOME"):
            root = Path(os.path.abspath(Path(home).expanduser()))
            return cls(config=root, state=root)
        import platformdirs  # costs as much as starting Python: only when FLUX_HOME is not set

        return cls(
            config=Path(platformdirs.user_config_dir("flux", appauthor=False)),
            state=Path(platformdirs.user_state_dir("flux", appauthor=False)),
        )

    @property
    def config_file(self) -> Path:
        """The configuration, TOML."""
        return self.config / "config.toml"

    @property
    def journal(self) -> Path:
        """The record of what was paid for, SQLite."""
        return self.state / "journal.db"

    @property
    def locks(self) -> Path:
        """One lock file for each running command."""
        return self.state / "locks"

    @property
    def slots(self) -> Path:
        """The places for tasks that run at once, a folder an account."""
        return self.state / "slots"

    @property
    def pictures(self) -> Path:
        """Pictures that were written to a pipe: kept here too, for the pipe may break."""
        return self.state / "pictures"

    @property
    def sandbox(self) -> "Paths":
        """The same for the sandbox: its tasks cost nothing and are kept apart from the paid ones."""
        return Paths(config=self.config, state=self.state / "sandbox")

    @property
    def sandbox_service(self) -> Path:
        """The miniature service's own memory, SQLite (of the sandbox's Paths)."""
        return self.state / "service.db"
