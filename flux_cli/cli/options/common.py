"""The options that `cli` itself heeds: those of every command, and how pictures are looked at."""

from typing import Annotated

import typer

from ...frozen import frozen


@frozen
class CommonOptions:
    """Options of every command."""

    profile: Annotated[str | None, typer.Option("--profile", metavar="PROFILE", help="Profile in the config file.")] = (
        None
    )
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Use the built-in service: free, offline, no key.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON object per result.")] = False
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only paths or ids, and errors.")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell every step.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="HTTP trace on stderr, without secrets.")] = False

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        return {"profile": self.profile, "sandbox": "true" if self.sandbox else None}

    def arguments(self) -> list[str]:
        """Return the options as a command line has them."""
        given = {"--sandbox": self.sandbox, "--json": self.json, "-q": self.quiet, "-v": self.verbose}
        profile = [] if self.profile is None else ["--profile", self.profile]
        return [*profile, *[name for name, value in {**given, "--debug": self.debug}.items() if value]]


@frozen
class LookOptions:
    """How pictures are looked at."""

    preview: Annotated[bool, typer.Option("--preview", help="Draw the picture on the terminal.")] = False
    open: Annotated[bool, typer.Option("--open", help="Open it in the system's viewer.")] = False
