"""The names of a plan's images, checked before any charge to be valid, unused and writable."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from ..config.catalog import Catalog
from ..config.paths import display_path
from ..errors import DiskError, FluxError, UsageError
from ..frozen import frozen
from ..images.formats import EXTENSIONS
from ..images.output_names import (
    DEFAULT_TEMPLATE,
    LATE,
    OutputPlan,
    image_paths,
    is_template,
    unique,
)
from ..operations.request import TaskRequest
from ..system.atomic_files import make_directory, probe
from ..text import clean, slug
from .plan import Plan, PlannedTask

BATCH_TEMPLATE = "{index}-{slug}-{seed}"
"""The default names for the images of several tasks, which sort in the order of the source."""

SHOWN_ERRORS = 50


@frozen
class Saving:
    """The options for saving images.

    directory: absolute. overwrite: replace existing files. skip_existing: an existing file counts as the image.
    metadata: whether the request is embedded in a PNG. chosen_by_user: whether the user chose a name or a directory.
    """

    directory: Path
    overwrite: bool = False
    skip_existing: bool = False
    metadata: bool = True
    chosen_by_user: bool = False


class NameAllocator:
    """The assignment of unique names to the images of a plan.

    Problems are collected, and `check` raises them as one error.
    """

    def __init__(self, plan: Plan, saving: Saving, catalog: Catalog) -> None:
        self._plan, self._saving, self._catalog = plan, saving, catalog
        self._now = datetime.now()
        self._taken: dict[Path, PlannedTask] = {}
        self._directories: set[Path] = set()
        self._errors: list[FluxError] = []

    def plan_output(self, task: PlannedTask) -> OutputPlan | None:
        """Return the output of a task; None if there is a problem, which `check` raises.

        A default name, or one from a template, gets a number if it is taken. A literal name from the user is never
        changed, and neither is any name with `--overwrite` or `--skip-existing`.
        """
        try:
            paths = self._paths(task)
            fixed = self._saving.overwrite or self._saving.skip_existing
            if fixed or (task.draft.output is not None and not is_template(task.draft.output)):
                self._check_taken(task, paths)
            else:
                paths = self._free(paths)
            self._check_directories(paths)
        except FluxError as error:
            self.refuse(task, error)
            return None
        self._taken |= dict.fromkeys(paths, task)
        return OutputPlan(tuple(paths), self._saving.overwrite, task.draft.metadata)

    def reserve(self, task: PlannedTask, output: OutputPlan) -> None:
        """Reserve the names of a task that an earlier run planned."""
        self._taken |= dict.fromkeys(output.paths, task)

    def refuse(self, task: PlannedTask, error: FluxError) -> None:
        """Record a problem with the names of a task's images."""
        where = self._plan.where(task)
        self._errors.append(type(error)(f"{where}{error.message}", hint=error.hint, code=error.code))

    def check(self) -> None:
        """Raise the recorded problems as one UsageError or DiskError."""
        if not self._errors:
            return
        first = next((error for error in self._errors if isinstance(error, UsageError)), self._errors[0])
        messages = list(dict.fromkeys(error.message for error in self._errors))
        if len(messages) == 1:
            raise first
        details = messages[:SHOWN_ERRORS]
        if rest := len(messages) - len(details):
            details.append(f"and {rest} more")
        raise type(first)(f"{len(messages)} errors", details=details, hint=first.hint, code=first.code)

    def _paths(self, task: PlannedTask) -> list[Path]:
        template = task.draft.output
        if template is None:
            template = DEFAULT_TEMPLATE if self._plan.total == 1 else BATCH_TEMPLATE
        return image_paths(template, self._values(task), task.request.operation.batch_size, self._saving.directory)

    def _values(self, task: PlannedTask) -> dict[str, str]:
        """Return the values of the placeholders. The index is padded to the width of the last one."""
        index = str(task.index).zfill(len(str(self._plan.total)))
        model = self._catalog.name_of(task.request.model)
        return name_values(task.request, model, self._now) | {
            "index": index,
            "id": task.draft.id or index,
            **task.draft.variables,
        }

    def _check_taken(self, task: PlannedTask, paths: Sequence[Path]) -> None:
        for path in paths:
            if LATE in str(path):  # the task ID makes it unique
                continue
            if other := self._taken.get(path):
                image = f"the image of line {other.line}" if other.line and other is not task else "another image"
                raise UsageError(
                    f"{clean(path.name, 80)} is already the name of {image}", hint="Add {index} to the name"
                )
            if self._saving.overwrite or self._saving.skip_existing:
                if path.is_dir():
                    raise file_exists(path)
            elif os.path.lexists(path):
                raise file_exists(path)

    def _check_directories(self, paths: Iterable[Path]) -> None:
        directories = {path.parent for path in paths} - self._directories
        self._directories |= directories  # report a directory once, not for each image
        check_writable(directories)

    def _free(self, paths: Iterable[Path]) -> list[Path]:
        free: list[Path] = []
        for path in paths:
            free.append(unique(path, lambda name: name in free or name in self._taken or os.path.lexists(name)))
        return free


def name_values(request: TaskRequest, model: str, now: datetime) -> dict[str, str]:
    """Return the values of the placeholders in the names of a request's images. `model` is its short name."""
    return {
        "slug": slug(request.operation.prompt) or "image",
        "seed": str(request.seed),
        "model": model,
        "op": request.operation.name,
        "date": f"{now:%Y-%m-%d}",
        "time": f"{now:%H%M%S}",
        "task": "",
        "n": "1",
        "index": "1",
        "id": "1",
    }


def plan_found_task(
    template: str | None, values: Mapping[str, str], count: int, saving: Saving, *, default: str
) -> OutputPlan:
    """Return the output for the `count` images of a task that already exists. Raise UsageError, DiskError."""
    paths = image_paths(template or default, values, count, saving.directory)
    if not saving.overwrite:
        if template is None or is_template(template):
            paths = [unique(path, os.path.lexists) for path in paths]
        elif taken := [path for path in paths if os.path.lexists(path)]:
            raise file_exists(taken[0])
    check_writable(path.parent for path in paths)
    return OutputPlan(tuple(paths), saving.overwrite, saving.metadata)


def file_exists(path: Path) -> DiskError:
    """Return the error for a path that exists."""
    if path.is_dir():
        return DiskError(
            f"{display_path(path)} is a directory", hint="Save into it with -d, or use another name with -o"
        )
    return DiskError(
        f"{display_path(path)} exists",
        hint="Use another name with -o, keep the file with --skip-existing, or replace it with --overwrite",
        code="exists",
    )


def find_existing(path: Path) -> Path | None:
    """Return the file at a planned path, or with another image extension; None if there is none."""
    candidates = (path, *(path.with_suffix(f".{extension}") for extension in EXTENSIONS))
    return next((candidate for candidate in candidates if os.path.lexists(candidate)), None)


def check_writable(directories: Iterable[Path]) -> None:
    """Create each directory, and write a test file into it, before any charge. Raise DiskError."""
    for directory in dict.fromkeys(map(_existing_part, directories)):
        try:
            make_directory(directory)
            probe(directory)
        except OSError as error:
            if not directory.is_absolute():
                hint = "Change to another directory, or use an absolute path with -o or -d"
                raise DiskError("the working directory was deleted", hint=hint) from error
            hint = "Choose another directory with -d, or another name with -o"
            raise DiskError(f"cannot write to {display_path(directory)}: {error.strerror}", hint=hint) from error


def _existing_part(directory: Path) -> Path:
    """Return the deepest parent of a directory whose name does not depend on a task ID."""
    while LATE in str(directory):
        directory = directory.parent
    return directory
