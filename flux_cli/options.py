"""The options that commands share: written once, meaning the same everywhere.

Each group is a dataclass whose fields are options. `expand` lets a command take whole groups, so that no command
repeats an option; Typer sees the flat list.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .completion import models, presets
from .errors import UsageError
from .names import DEFAULT_TEMPLATE, OutputPlan, is_template, picture_paths, unique
from .text import clean


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """Options of every command."""

    profile: Annotated[str | None, typer.Option("--profile", help="Profile in the config file.")] = None
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Use the built-in service: free, offline, no key.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON object per result.")] = False
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only paths or ids, and errors.")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell every step.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="HTTP trace on stderr, without secrets.")] = False

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        return {"profile": self.profile, "sandbox": "true" if self.sandbox else None}


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How the task is to be done."""

    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", autocompletion=models, help="schnell, dev, pro, dev-advanced, a full id, or auto."
        ),
    ] = None
    commercial: Annotated[bool, typer.Option("--commercial", help="Refuse a model without commercial licence.")] = False
    negative: Annotated[str | None, typer.Option("--negative", metavar="TEXT", help="What to avoid.")] = None
    guidance: Annotated[
        str | None, typer.Option("--guidance", metavar="X", help="How closely to follow the prompt, 1.5 to 5.")
    ] = None
    denoise: Annotated[
        str | None, typer.Option("--denoise", metavar="X", help="How much to change, above 0, up to 1.")
    ] = None
    steps: Annotated[str | None, typer.Option("--steps", metavar="N", help="schnell 1 to 10, others 1 to 40.")] = None
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="N", help="Makes the same picture again; 1..4 makes four. [random]")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("-b", "--batch-size", help="Pictures a task, 1 to 4, schnell only. [1]")
    ] = None
    service_mode: Annotated[
        str | None, typer.Option("--service-mode", metavar="MODE", help="public: pay as you go; private: own account.")
    ] = None
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="PiAPI calls it when the task ends.")
    ] = None
    webhook_secret_file: Annotated[
        Path | None,
        typer.Option("--webhook-secret-file", metavar="FILE", help="Its secret; or FLUX_WEBHOOK_SECRET."),
    ] = None
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=JSON", help="Set a field of the request: input.steps=30; repeatable."),
    ] = None
    body: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="JSON laid over the request, unchecked.")
    ] = None

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        secret_file = None if self.webhook_secret_file is None else str(self.webhook_secret_file)
        return {
            "model": self.model,
            "service_mode": self.service_mode,
            "webhook": self.webhook,
            "webhook_secret_file": secret_file,
        }


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Where many prompts come from."""

    prompts: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Prompts from a file, one a line; - for stdin.")
    ] = None
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="NAME=A,B", help="Values for {NAME} in the prompt; or NAME=@FILE. Repeatable."),
    ] = None


@dataclass(frozen=True, slots=True)
class ManyOptions:
    """Many pictures from one command."""

    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Submit nothing more after a failure.")] = False
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Buy again what failed before.")] = False
    new: Annotated[bool, typer.Option("--new", help="Buy all of it, also what was bought before.")] = False
    cache: Annotated[
        bool, typer.Option("--cache", help="Take what was made before of the same words, whatever its seed.")
    ] = False
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="K/N", help="Only share K of N of the tasks, for several machines.")
    ] = None
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="What became of each: .json, .csv or .xml (JUnit).")
    ] = None
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", metavar="USD", help="Send nothing when it would cost more.")
    ] = None
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask about the cost.")] = False


@dataclass(frozen=True, slots=True)
class SizeOptions:
    """How large the picture is to be."""

    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Pixels; at most 1048576 in all.")] = None
    aspect: Annotated[str | None, typer.Option("--aspect", metavar="W:H", help="The largest size of this shape.")] = (
        None
    )
    width: Annotated[int | None, typer.Option("--width", metavar="PX", help="Width.")] = None
    height: Annotated[int | None, typer.Option("--height", metavar="PX", help="Height.")] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            autocompletion=presets,
            help="portrait, landscape, square; with what suits them.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How pictures that go in are treated."""

    no_fit: Annotated[bool, typer.Option("--no-fit", help="Refuse a picture that is too large; do not scale it.")] = (
        False
    )


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """Where to paint: one of a mask, a box, a colour, or the picture's own transparency."""

    mask: Annotated[
        str | None, typer.Option("--mask", metavar="IMG", help="Picture of the same size, white where to paint.")
    ] = None
    box: Annotated[
        str | None, typer.Option("--mask-box", metavar="X,Y,W,H", help="A box, in pixels or percent: 10%,20%,300,50%.")
    ] = None
    color: Annotated[str | None, typer.Option("--mask-color", metavar="COLOR", help="Where it has this colour.")] = None
    alpha: Annotated[bool, typer.Option("--mask-alpha", help="Where the picture is transparent.")] = False
    feather: Annotated[
        int, typer.Option("--feather", metavar="PX", show_default=False, help="Soften the edge by so many pixels.")
    ] = 0
    invert: Annotated[bool, typer.Option("--invert", help="Paint everything else.")] = False
    show_mask: Annotated[
        Path | None, typer.Option("--show-mask", metavar="FILE", help="Write a picture of the region; send nothing.")
    ] = None


@dataclass(frozen=True, slots=True)
class Given:
    """The groups of options that a request is made from; which of them a command takes is up to its operation."""

    task: TaskOptions = TaskOptions()
    shape: SizeOptions = SizeOptions()
    inputs: InputOptions = InputOptions()
    region: MaskOptions = MaskOptions()


@dataclass(frozen=True, slots=True)
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False
    no_metadata: Annotated[bool, typer.Option("--no-metadata", help="Leave the request out of the picture.")] = False
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Buy nothing when the file exists.")] = False

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        return {"output_dir": None if self.output_dir is None else str(self.output_dir)}

    @property
    def to_stdout(self) -> bool:
        """Whether the picture's bytes are the result."""
        return self.output == "-"

    @property
    def given(self) -> bool:
        """Whether the user said anything about the place."""
        return self.output is not None or self.output_dir is not None

    def plan(
        self, values: Mapping[str, str], count: int, folder: Path, *, template: str = DEFAULT_TEMPLATE
    ) -> OutputPlan:
        """Where the `count` pictures of one task go, with collisions settled.

        A name of our making, or from a template, gets a number when it is taken; a name that the user wrote out is
        kept as it is. Raises UsageError.
        """
        if self.overwrite and self.skip_existing:
            raise UsageError("give only one of --overwrite, --skip-existing")
        if self.output is not None and (self.output.endswith("/") or Path(self.output).is_dir()):
            raise UsageError(f"-o {clean(self.output, 80)} is a folder", hint=f"name the folder with: -d {self.output}")
        paths = picture_paths(self.output or template, values, count, folder)
        if not self.overwrite and not self.skip_existing and (self.output is None or is_template(self.output)):
            paths = _all_free(paths)
        return OutputPlan(tuple(paths), self.overwrite, not self.no_metadata)


def _all_free(paths: list[Path]) -> list[Path]:
    free: list[Path] = []
    for path in paths:
        free.append(unique(path, lambda candidate: candidate in free or candidate.exists() or candidate.is_symlink()))
    return free


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How long and how to wait."""

    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="Stop waiting, not paying. [900]")
    ] = None
    concurrency: Annotated[
        int | None, typer.Option("-j", "--concurrency", help="Tasks at once. [what the plan allows]")
    ] = None

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give."""
        return {
            "timeout": None if self.timeout is None else f"{self.timeout:g}",
            "concurrency": None if self.concurrency is None else str(self.concurrency),
        }


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What to do with the request."""

    no_wait: Annotated[bool, typer.Option("--no-wait", help="Submit, print the task id, and leave.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request and its price; send nothing.")] = False
    price_only: Annotated[bool, typer.Option("--price-only", hidden=True)] = False


def expand(
    function: Callable[..., Any], *extra: type[CommonOptions]
) -> tuple[inspect.Signature, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The flat signature of a command that takes groups, and a function that gathers flat values into groups.

    extra: groups that the command line has beside the function's own.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    own = [(parameter.name, parameter.annotation, parameter.default) for parameter in _parameters(function)]
    own.sort(key=lambda row: is_dataclass(row[1]))  # help shows what is special to a command first
    for name, annotation, default in own + [(group.__name__, group, inspect.Parameter.empty) for group in extra]:
        if not is_dataclass(annotation):
            flat.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
            continue
        assert isinstance(annotation, type)
        groups[name] = annotation
        hints = get_type_hints(annotation, include_extras=True)
        for field in fields(annotation):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            kind = inspect.Parameter.KEYWORD_ONLY
            flat.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        gathered = dict(values)
        for name, group in groups.items():
            gathered[name] = group(**{field.name: gathered.pop(field.name) for field in fields(group)})
        return gathered

    return inspect.Signature(flat), gather


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The function's parameters but the first, which is the session."""
    return list(inspect.signature(function, eval_str=True).parameters.values())[1:]
