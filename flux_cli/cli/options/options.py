"""The options that commands share: written once, meaning the same everywhere.

A command takes whole groups of them. Those of every command are in `common`.
"""

from pathlib import Path
from typing import Annotated

from ...frozen import frozen
from ...operations.parameters import Group, Option
from .common import LookOptions

MaxCost = Annotated[str | None, Option("--max-cost", metavar="USD", help="Send nothing when it would cost more.")]
Yes = Annotated[bool, Option("-y, --yes", help="Do not ask about the cost.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an existing file.")]


@frozen
class SourceOptions(Group):
    """Where many prompts come from."""

    title = "Batches"

    prompts: Annotated[
        str | None, Option("--from", metavar="FILE", help="Prompts from a file, one a line; - for stdin.")
    ] = None
    vary: Annotated[
        list[str] | None,
        Option("--vary", metavar="NAME=A,B", help="Values for {NAME} in the prompt; or NAME=@FILE. Repeatable."),
    ] = None


@frozen
class ManyOptions(Group):
    """Many pictures from one command."""

    title = "Batches"

    fail_fast: Annotated[bool, Option("--fail-fast", help="Submit nothing more after a failure.")] = False
    retry_failed: Annotated[bool, Option("--retry-failed", help="Buy again what failed before.")] = False
    no_cache: Annotated[
        bool, Option("--no-cache", help="Generate and pay again, even if an identical image exists.")
    ] = False
    cache: Annotated[bool, Option("--cache", help="Reuse an earlier image of the same request, whatever its seed.")] = (
        False
    )
    shard: Annotated[
        str | None, Option("--shard", metavar="K/N", help="Only share K of N of the tasks, for several machines.")
    ] = None
    report: Annotated[
        Path | None, Option("--report", metavar="FILE", help="What became of each: .json, .csv or .xml (JUnit).")
    ] = None
    max_cost: MaxCost = None
    yes: Yes = False


@frozen
class SaveOptions(Group):
    """Where pictures go."""

    title = "Output"

    output: Annotated[
        str | None,
        Option("-o, --output", metavar="FILE", help="File, template such as '{slug}-{seed}.png', or - for stdout."),
    ] = None
    output_dir: Annotated[
        Path | None, Option("-d, --output-dir", metavar="DIR", help="Folder for the pictures. [.]")
    ] = None
    overwrite: Overwrite = False
    no_metadata: Annotated[bool, Option("--no-metadata", help="Leave the request out of the picture.")] = False
    skip_existing: Annotated[bool, Option("--skip-existing", help="Buy nothing when the file exists.")] = False

    def settings(self) -> dict[str, str | None]:
        """Return the settings that these options give."""
        return {"output_dir": None if self.output_dir is None else str(self.output_dir)}

    @property
    def to_stdout(self) -> bool:
        """Return whether the bytes of the image go to stdout."""
        return self.output == "-"

    @property
    def given(self) -> bool:
        """Return whether the user chose a name or a directory."""
        return self.output is not None or self.output_dir is not None


@frozen
class WaitOptions(Group):
    """How long and how to wait."""

    title = "Waiting"

    timeout: Annotated[float | None, Option("--timeout", metavar="SECONDS", help="Stop waiting, not paying. [900]")] = (
        None
    )
    concurrency: Annotated[
        int | None, Option("-j, --concurrency", metavar="N", help="Tasks at once. [what the plan allows]")
    ] = None

    def settings(self) -> dict[str, str | None]:
        """Return the settings that these options give."""
        return {
            "timeout": None if self.timeout is None else f"{self.timeout:g}",
            "concurrency": None if self.concurrency is None else str(self.concurrency),
        }


@frozen
class SubmitOptions(Group):
    """What to do with the request."""

    title = "Cost"

    no_wait: Annotated[bool, Option("--no-wait", help="Submit, print the task id, and leave.")] = False
    dry_run: Annotated[bool, Option("--dry-run", help="Print the request and its price; send nothing.")] = False
    price_only: Annotated[bool, Option("--price-only", hidden=True)] = False


@frozen
class BuyOptions(Group):
    """How a command that buys goes about it, whatever it buys."""

    save: SaveOptions
    wait: WaitOptions
    submit: SubmitOptions
    source: SourceOptions
    many: ManyOptions
    looking: LookOptions
