"""The options that `cli` itself heeds: those of every command, and how pictures are looked at."""

from typing import Annotated

from ...frozen import frozen
from ...operations.parameters import Group, Option


@frozen
class CommonOptions(Group):
    """Options of every command."""

    title = "Global"

    profile: Annotated[str | None, Option("--profile", metavar="PROFILE", help="Profile in the config file.")] = None
    sandbox: Annotated[bool, Option("--sandbox", help="Use the built-in service: free, offline, no key.")] = False
    json: Annotated[bool, Option("--json", help="One JSON object per result.")] = False
    quiet: Annotated[bool, Option("-q, --quiet", help="Only paths or ids, and errors.")] = False
    verbose: Annotated[bool, Option("-v, --verbose", help="Tell every step.")] = False
    debug: Annotated[bool, Option("--debug", help="HTTP trace on stderr, without secrets.")] = False

    def settings(self) -> dict[str, str | None]:
        """Return the settings that these options give."""
        return {"profile": self.profile, "sandbox": "true" if self.sandbox else None}

    def arguments(self) -> list[str]:
        """Return the options as a command line has them."""
        given = {"--sandbox": self.sandbox, "--json": self.json, "-q": self.quiet, "-v": self.verbose}
        profile = [] if self.profile is None else ["--profile", self.profile]
        return [*profile, *[name for name, value in {**given, "--debug": self.debug}.items() if value]]


@frozen
class LookOptions(Group):
    """How pictures are looked at."""

    title = "Output"

    preview: Annotated[bool, Option("--preview", help="Draw the picture on the terminal.")] = False
    open: Annotated[bool, Option("--open", help="Open it in the system's viewer.")] = False
