"""The options that several commands share, in groups. Those of every command are in `common_options`."""

from pathlib import Path
from typing import Annotated

from ..frozen import frozen
from ..operations.parameters import Group, Option
from .common_options import ViewOptions

MaxCost = Annotated[
    str | None,
    Option(
        "--max-cost",
        metavar="USD",
        title="Cost",
        short="Fail if the total price exceeds this amount.",
        help="Fail, before anything is sent, if the total price exceeds this amount.",
    ),
]
Yes = Annotated[
    bool,
    Option("-y, --yes", title="Cost", help="Skip the cost confirmation, which is required above confirm_above ($1)."),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace existing files.")]


@frozen
class SourceOptions(Group):
    """Options for the source of prompts."""

    title = "Batches"

    prompts: Annotated[
        str | None,
        Option(
            "--from",
            metavar="FILE",
            short="Read prompts from FILE, one per line.",
            help="Read prompts from FILE, one per line; - for stdin.",
        ),
    ] = None
    vary: Annotated[
        list[str] | None,
        Option(
            "--vary",
            metavar="NAME=A,B",
            help="Values for {NAME} in the prompt, or NAME=@FILE; repeatable. See flux help templates.",
        ),
    ] = None


@frozen
class ManyOptions(Group):
    """Options for a batch of tasks."""

    title = "Batches"

    fail_fast: Annotated[bool, Option("--fail-fast", help="After the first failure, submit nothing more.")] = False
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="In a batch, submit failed tasks again, and pay for them.")
    ] = False
    no_cache: Annotated[
        bool,
        Option(
            "--no-cache",
            title="Cost",
            help="Generate and pay again. Without it, the same request with the same seed reuses an image of the last "
            "24 hours (cache_hours).",
        ),
    ] = False
    cache: Annotated[
        bool,
        Option(
            "--cache",
            title="Cost",
            help="Reuse an earlier image of the same request (no charge), even if its seed differs.",
        ),
    ] = False
    shard: Annotated[
        str | None, Option("--shard", metavar="K/N", help="Run only part K of N, to split the work over machines.")
    ] = None
    report: Annotated[
        Path | None,
        Option(
            "--report", metavar="FILE", help="Write a report with the result of each task: .json, .csv or .xml (JUnit)."
        ),
    ] = None
    max_cost: MaxCost = None
    yes: Yes = False


@frozen
class SaveOptions(Group):
    """Options for the files of images."""

    title = "Output"
    sets = ("output_dir",)

    output: Annotated[
        str | None,
        Option(
            "-o, --output",
            metavar="FILE",
            short="File name, template, or - for stdout.",
            help="File name, template such as '{slug}-{seed}.png', or - for stdout; see flux help templates.",
        ),
    ] = None
    output_dir: Annotated[
        Path | None,
        Option("-d, --output-dir", metavar="DIR", help="Directory for images."),
    ] = None
    overwrite: Overwrite = False
    no_metadata: Annotated[bool, Option("--no-metadata", help="Do not embed the prompt and settings in the image.")] = (
        False
    )
    skip_existing: Annotated[bool, Option("--skip-existing", help="Skip images whose file exists (no charge).")] = False

    @property
    def to_stdout(self) -> bool:
        """Whether the image is written to stdout."""
        return self.output == "-"

    @property
    def chosen_by_user(self) -> bool:
        """Whether the user chose a name or a directory."""
        return self.output is not None or self.output_dir is not None


@frozen
class WaitOptions(Group):
    """Options for waiting, and for parallel tasks."""

    title = "Waiting"
    sets = ("timeout", "concurrency")

    timeout: Annotated[
        str | None,
        Option(
            "--timeout",
            metavar="SECONDS",
            help="Stop waiting after SECONDS. The task keeps running and stays charged; flux resume saves its images.",
        ),
    ] = None
    concurrency: Annotated[
        str | None,
        Option(
            "-j, --concurrency",
            metavar="N",
            help="Maximum number of tasks in parallel.",
            default="the limit of your plan",
            title="Batches",
        ),
    ] = None


@frozen
class SubmitOptions(Group):
    """Options that decide whether a request is sent, and whether to wait for its result."""

    title = "Cost"

    no_wait: Annotated[bool, Option("--no-wait", title="Waiting", help="Submit, print the task ID, and exit.")] = False
    dry_run: Annotated[
        bool,
        Option(
            "--dry-run",
            short="Print the request and its price; send nothing.",
            help="Print the request and its price; send nothing.",
        ),
    ] = False
    price_only: Annotated[bool, Option("--price-only", hidden=True)] = False


@frozen
class RunOptions(Group):
    """The options of every command that generates images."""

    save: SaveOptions
    wait: WaitOptions
    submit: SubmitOptions
    source: SourceOptions
    many: ManyOptions
    view: ViewOptions


Port = Annotated[
    int,
    Option(
        "--port",
        short="Port to listen on.",
        metavar="N",
        min=0,
        max=65535,
        help="Port to listen on, 0 to 65535; 0 picks a free port.",
    ),
]
Host = Annotated[str, Option("--host", metavar="ADDRESS", help="Address to listen on.")]
