"""The options that commands share: written once, meaning the same everywhere.

Each group is a dataclass whose fields are options. `expand` lets a command take whole groups, so that no command
repeats an option; Typer sees the flat list.
"""

import inspect
import math
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .catalog import Catalog, Preset
from .errors import UsageError
from .names import DEFAULT_TEMPLATE, OutputPlan, is_template, picture_paths, prompt_slug, unique
from .operations import SEED_LIMIT, TaskRequest, TextToImage
from .text import clean

SIDE_STEP = 16
"""Sides worked out from an aspect ratio are multiples of this many pixels, as the model's latents are."""


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
class PictureOptions:
    """What the picture is to be."""

    model: Annotated[
        str | None, typer.Option("-m", "--model", help="schnell, dev, pro, dev-advanced or a full id.")
    ] = None
    negative: Annotated[str | None, typer.Option("--negative", help="What to avoid.")] = None
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Pixels; at most 1048576 in all. [1024x1024]")
    ] = None
    aspect: Annotated[str | None, typer.Option("--aspect", metavar="W:H", help="The largest size of this shape.")] = (
        None
    )
    width: Annotated[int | None, typer.Option("--width", metavar="PX", help="Width. [1024]")] = None
    height: Annotated[int | None, typer.Option("--height", metavar="PX", help="Height. [1024]")] = None
    preset: Annotated[
        str | None, typer.Option("--preset", help="portrait, landscape or square, with what suits it.")
    ] = None
    guidance: Annotated[
        float | None, typer.Option("--guidance", help="How closely to follow the prompt, 1.5 to 5.")
    ] = None
    denoise: Annotated[float | None, typer.Option("--denoise", help="Above 0, up to 1.")] = None
    steps: Annotated[int | None, typer.Option("--steps", help="schnell 1 to 10, others 1 to 40.")] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Makes the same picture again. [random]")] = None
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", help="Pictures in one task, 1 to 4, schnell only.")
    ] = 1
    service_mode: Annotated[
        str | None, typer.Option("--service-mode", help="public: pay as you go; private: your account.")
    ] = None
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="PiAPI calls it when the task ends.")
    ] = None
    webhook_secret_file: Annotated[
        Path | None, typer.Option("--webhook-secret-file", help="Secret for the webhook; or FLUX_WEBHOOK_SECRET.")
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

    def text_to_image(self, prompt: str, catalog: Catalog, settings: Mapping[str, str | None]) -> TaskRequest:
        """The request that these options make. `settings` are resolved, these options among them.

        Raises UsageError with all problems in one message.
        """
        problems: list[str] = []
        preset = self._preset(catalog, problems)
        width, height = self._size(preset, problems, catalog.model("dev").limits.pixels)
        operation = TextToImage(
            prompt=prompt,
            width=width,
            height=height,
            negative_prompt=self.negative,
            guidance=self.guidance if self.guidance is not None or preset is None else preset.guidance,
            denoise=self.denoise if self.denoise is not None or preset is None else preset.denoise,
            steps=self.steps,
            batch_size=self.batch_size,
        )
        request = TaskRequest(
            operation,
            model=catalog.model(settings["model"] or "").id,
            seed=self._seed(problems),
            service_mode=settings["service_mode"],
            webhook=settings["webhook"],
        )
        problems += catalog.problems(request)
        if problems:
            raise UsageError.of(problems)
        return request

    def _preset(self, catalog: Catalog, problems: list[str]) -> Preset | None:
        if self.preset is None:
            return None
        if self.preset not in catalog.presets:
            problems.append(f"no preset is called {clean(self.preset, 40)!r}: {', '.join(catalog.presets)}")
        return catalog.presets.get(self.preset)

    def _size(self, preset: Preset | None, problems: list[str], pixels: int) -> tuple[int, int]:
        sides = "--width and --height" if self.width is not None or self.height is not None else None
        ways = {"--size": self.size, "--aspect": self.aspect, "--preset": self.preset, "sides": sides}
        given = [value if name == "sides" else name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            problems.append(f"give only one of {', '.join(map(str, given))}")
        elif self.size is not None:
            if match := re.fullmatch(r"(\d{1,6})\s*[xX*]\s*(\d{1,6})", self.size.strip(), re.ASCII):
                return int(match[1]), int(match[2])
            problems.append(f"--size {clean(self.size, 40)!r} is not WIDTHxHEIGHT, such as 768x1024")
        elif self.aspect is not None:
            return aspect_size(self.aspect, pixels, problems)
        elif preset is not None:
            return preset.width, preset.height
        return (1024 if self.width is None else self.width), (1024 if self.height is None else self.height)

    def _seed(self, problems: list[str]) -> int:
        if self.seed is None:
            return secrets.randbelow(SEED_LIMIT)
        if not 0 <= self.seed < SEED_LIMIT:
            problems.append(f"seed {self.seed} is out of range: 0 to {SEED_LIMIT - 1}")
        return self.seed


def aspect_size(text: str, pixels: int, problems: list[str]) -> tuple[int, int]:
    """The largest size with the ratio `text` (`16:9`), in multiples of 16, within `pixels` in all."""
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*[:x/]\s*(\d{1,4}(?:\.\d{1,4})?)", text.strip(), re.ASCII)
    across, down = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    if not across or not down or not 1 / 16 <= across / down <= 16:
        problems.append(f"--aspect {clean(text, 40)!r} is not a ratio between 1:16 and 16:1, such as 16:9")
        return 1024, 1024
    scale = math.sqrt(pixels / (across * down))
    return (int(across * scale) // SIDE_STEP * SIDE_STEP), (int(down * scale) // SIDE_STEP * SIDE_STEP)


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
        return OutputPlan(tuple(paths), self.overwrite)


def _all_free(paths: list[Path]) -> list[Path]:
    free: list[Path] = []
    for path in paths:
        free.append(unique(path, lambda candidate: candidate in free or candidate.exists() or candidate.is_symlink()))
    return free


def name_values(request: TaskRequest, model_name: str, now: datetime) -> dict[str, str]:
    """The values of the placeholders in an output name."""
    return {
        "slug": prompt_slug(request.operation.prompt),
        "seed": str(request.seed),
        "model": model_name,
        "op": request.operation.name,
        "date": f"{now:%Y-%m-%d}",
        "time": f"{now:%H%M%S}",
        "task": "",
        "n": "1",
    }


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

    def settings(self) -> dict[str, str | None]:
        """The settings that these options give: none."""
        return {}


Group = CommonOptions | PictureOptions | SaveOptions | WaitOptions | SubmitOptions


def expand(
    function: Callable[..., Any], *extra: type[Group]
) -> tuple[inspect.Signature, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The flat signature of a command that takes groups, and a function that gathers flat values into groups.

    extra: groups that the command line has beside the function's own.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    own = [(parameter.name, parameter.annotation, parameter.default) for parameter in _parameters(function)]
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
