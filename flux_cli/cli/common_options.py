"""The options of every command, and those for showing images, which are separate to keep imports fast."""

from typing import Annotated

from ..frozen import frozen
from ..operations.parameters import Group, Option


@frozen
class CommonOptions(Group):
    """Options of every command."""

    title = "Global"
    sets = ("profile", "sandbox")

    profile: Annotated[
        str | None, Option("--profile", metavar="PROFILE", help="Profile in the config file.", default="default")
    ] = None
    sandbox: Annotated[
        bool,
        Option(
            "--sandbox",
            short="Use the built-in sandbox: free, offline, no key.",
            help="Use the built-in sandbox instead of PiAPI: free, offline, no key.",
        ),
    ] = False
    json: Annotated[
        bool,
        Option(
            "--json",
            short="Print one JSON object per result.",
            help="Print one JSON object per result; see flux help json.",
        ),
    ] = False
    quiet: Annotated[bool, Option("-q, --quiet", help="Print only results and errors.")] = False
    verbose: Annotated[bool, Option("-v, --verbose", help="Print more details, for example every status poll.")] = False
    debug: Annotated[
        bool, Option("--debug", help="Log HTTP requests to stderr, without secrets. Task requests include debug: true.")
    ] = False

    def arguments(self) -> list[str]:
        """Return the options as words of a command line."""
        switches = {
            "--sandbox": self.sandbox,
            "--json": self.json,
            "-q": self.quiet,
            "-v": self.verbose,
            "--debug": self.debug,
        }
        profile = [] if self.profile is None else ["--profile", self.profile]
        return [*profile, *[name for name, value in switches.items() if value]]


@frozen
class OpenOptions(Group):
    """Option to open the result."""

    title = "Output"

    open: Annotated[bool, Option("--open", help="Open the images in the default viewer.")] = False


@frozen
class ViewOptions(Group):
    """Options to show saved images."""

    title = "Output"

    preview: Annotated[bool, Option("--preview", help="Show the image in the terminal.")] = False
    opening: OpenOptions = OpenOptions()
