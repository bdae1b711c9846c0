"""`flux show`: print how an image was generated."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ... import __version__
from ...config.paths import display_path
from ...config.urls import is_local
from ...errors import ExitCode, UsageError
from ...journal.entries import CHARGED, Entry, State
from ...journal.journal import Journal
from ...json_value import JsonObject
from ...operations.parameters import Argument
from ...text import clean, quoted, usd
from ..common_options import ViewOptions
from ..found_tasks import LIST_TASKS, no_such_task
from ..output.output import Images, Items, Note, Record, WarningLine
from ..output.render import describe_charge
from ..registry import help_page
from ..session import Session

if TYPE_CHECKING:
    from ...images.metadata import Provenance

INDENT = 17
"""The column at which values begin."""
Image = Annotated[str, Argument("FILE|ID", help="An image, an entry ID, a task ID, or @last for the newest task.")]


@help_page(
    ("Show the settings of an image", "flux show fox.png"),
    ("Show the latest image in the terminal", "flux show @last --preview"),
)
def show(session: Session, image: Image, view: ViewOptions) -> Items:
    """Show how an image was generated."""
    from ...images.formats import damage_of
    from ...images.load import read_image_file
    from ...images.output_names import expand_path
    from ...images.png import texts_in

    shown_files = _files(session.journal, image)
    yield Images(shown_files)  # first, because an image without metadata can be displayed too
    path = expand_path(image)
    if path.is_file():
        content = read_image_file(path)
        texts = texts_in(content)
        if texts and (damage := damage_of(content)):
            yield WarningLine(f"{path.name} is damaged: {damage}")
        if "flux" not in texts and texts:  # made by another tool: show its texts unchanged
            yield Record("foreign", {"file": str(path), "texts": {**texts}}, _table(texts, 2000), indent=INDENT)
            yield Note(f"{path.name} was not made by flux")
            return ExitCode.OK
    yield _describe(find_made(session, image), shown_files)
    entry = None if path.exists() else _find_entry(session.journal, image)
    if entry and entry.state is not State.SAVED:
        yield Note(f"State: {entry.state}. {describe_charge(entry)}".rstrip())
    return ExitCode.OK


def find_made(session: Session, word: str) -> "Provenance":
    """Return the provenance of the image in a file, or of an entry ID, a task ID or `@last`. Raise UsageError."""
    from ...images.formats import damage_of
    from ...images.load import read_image_file
    from ...images.metadata import Provenance, read_provenance
    from ...images.output_names import expand_path
    from ...images.png import texts_in

    path = expand_path(word.removeprefix("@"))
    if not word.startswith("@") and path.exists():
        content = read_image_file(path)
        texts = texts_in(content)
        if not texts and (damage := damage_of(content)):
            raise UsageError(f"{clean(word, 80)} is damaged: {damage}")
        try:
            return read_provenance(texts)
        except UsageError as error:
            message = f"{clean(word, 80)} has {error.message}"
            raise UsageError(message, hint=LIST_TASKS, command=("history",)) from error
    entry = _find_entry(session.journal, word)
    if entry is None:
        message = f"{quoted(word, 80)} is not a file, and no task has this ID"
        if word.startswith("@"):
            message = "no tasks in the history" if word == "@last" else no_such_task(word.removeprefix("@"))
        raise UsageError(message, hint=LIST_TASKS, command=("history",))
    if entry.request is None:
        raise UsageError(f"task {clean(word, 80)} was submitted elsewhere: its request is unknown")
    price = entry.price if entry.state in CHARGED else None
    return Provenance(entry.request, entry.task_id or "", price, __version__, is_local(entry.service))


def _files(journal: Journal, word: str) -> list[Path]:
    from ...images.output_names import absolute_path, expand_path

    path = expand_path(word)
    if not word.startswith("@") and path.exists():
        return [absolute_path(word)]
    entry = _find_entry(journal, word)
    return [file.path for file in entry.files] if entry else []


def _find_entry(journal: Journal, word: str) -> Entry | None:
    return (
        journal.last_submitted()
        if word == "@last"
        else journal.find(word.removeprefix("@")) or journal.get(word.removeprefix("@"))
    )


def _describe(made: "Provenance", files: Sequence[Path]) -> Record:
    request = made.request.to_json()
    cost = None if made.cost is None else str(made.cost)
    price = None if made.cost is None else usd(made.cost) + (" simulated" if made.simulated and made.cost else "")
    names = ", ".join(display_path(file) for file in files)
    rows = {"file": names or None, **request, "task": made.task_id or None, "cost": price}
    texts = {
        name.replace("_", " "): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in rows.items()
        if value is not None
    }
    content: JsonObject = {
        "files": [str(file) for file in files],
        "request": request,
        "task_id": made.task_id,
        "cost_usd": cost,
        "version": made.version,
    }
    return Record("made", content, _table(texts, 1600), indent=INDENT)


def _table(texts: Mapping[str, str], limit: int) -> str:
    return "\n".join(f"{clean(name, 79):<{INDENT - 1}} {clean(text, limit)}" for name, text in texts.items())
