"""The options that commands share: written once, meaning the same everywhere.

Each group is a dataclass whose fields are options; `expand` lets a command take whole groups. Those of every command
are in `common`.
"""

from pathlib import Path
from typing import Annotated

import typer

from ...frozen import frozen
from .common import LookOptions

MaxCost = Annotated[str | None, typer.Option("--max-cost", metavar="USD", help="Send nothing when it would cost more.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask about the cost.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]


@frozen
class SourceOptions:
    """Where many prompts come from."""

    prompts: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Prompts from a file, one a line; - for stdin.")
    ] = None
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="NAME=A,B", help="Values for {NAME} in the prompt; or NAME=@FILE. Repeatable."),
    ] = None


@frozen
class ManyOptions:
    """Many pictures from one command."""

    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Submit nothing more after a failure.")] = False
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Buy again what failed before.")] = False
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Generate and pay again, even if an identical image exists.")
    ] = False
    cache: Annotated[
        bool, typer.Option("--cache", help="Reuse an earlier image of the same request, whatever its seed.")
    ] = False
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="K/N", help="Only share K of N of the tasks, for several machines.")
    ] = None
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="What became of each: .json, .csv or .xml (JUnit).")
    ] = None
    max_cost: MaxCost = None
    yes: Yes = False


@frozen
class SaveOptions:
    """Where pictures go."""

    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File, template such as '{slug}-{seed}.png', or - for stdout."
        ),
    ] = None
    output_dir: Annotated[
        Path | None, typer.Option("-d", "--output-dir", metavar="DIR", help="Folder for the pictures. [.]")
    ] = None
    overwrite: Overwrite = False
    no_metadata: Annotated[bool, typer.Option("--no-metadata", help="Leave the request out of the picture.")] = False
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Buy nothing when the file exists.")] = False

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
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
class WaitOptions:
    """How long and how to wait."""

    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting, not paying. [900]")
    ] = None
    concurrency: Annotated[
        int | None, typer.Option("-j", "--concurrency", metavar="N", help="Tasks at once. [what the plan allows]")
    ] = None

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        return {
            "timeout": None if self.timeout is None else f"{self.timeout:g}",
            "concurrency": None if self.concurrency is None else str(self.concurrency),
        }


@frozen
class SubmitOptions:
    """What to do with the request."""

    no_wait: Annotated[bool, typer.Option("--no-wait", help="Submit, print the task id, and leave.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request and its price; send nothing.")] = False
    price_only: Annotated[bool, typer.Option("--price-only", hidden=True)] = False


@frozen
class BuyOptions:
    """How a command that buys goes about it, whatever it buys."""

    save: SaveOptions
    wait: WaitOptions
    submit: SubmitOptions
    source: SourceOptions
    many: ManyOptions
    looking: LookOptions
