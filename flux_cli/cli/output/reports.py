"""The report of a batch, with the result of each row: JSON, CSV, or JUnit XML for CI.

Rows are added as their tasks end, and written in the order of the batch. A batch may be larger than memory, so its rows
are stored on disk, redacted, and the file is written at the end, atomically.
"""

import csv
import errno
import io
import json
import os
import re
import shlex
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Self, TextIO
from xml.etree.ElementTree import Element, SubElement, tostring

from ...batch.results import Summary
from ...config.paths import display_path
from ...engine.outcome import Outcome
from ...errors import DiskError, InterruptError, UsageError
from ...frozen import frozen
from ...journal.entries import State
from ...json_value import Json, JsonObject, change_strings, object_at, strings_in, text_at
from ...system.atomic_files import probe, replacing
from ...text import clean, redact
from .output import SCHEMA, Output
from .render import outcome_json, summary_json

COLUMNS = (
    *("index", "id", "source", "reason", "state", "entry", "task_id", "status", "op", "model", "prompt", "seed"),
    *("files", "urls", "cost_usd", "possibly_charged_usd", "seconds"),
    *("error_code", "error_message", "error_details", "error_hint", "error_exit_code", "error_command"),
)
"""The columns of a CSV report: the fields of a JSON row, flat. Several files, URLs or details are joined by `;`."""
CELL_LIMIT = 8000
"""Characters per text in CSV. Spreadsheets truncate a cell at 32,767."""
# Spreadsheets take a cell that begins with one of these characters, or its full-width form, for a formula; also after a
# `;`, which separates columns in many European locales.
_FORMULA = re.compile('(^|;)(["\\s]*)(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])')


_BEGINNINGS = {
    ".json": rb'\{"schema": \d+, "type": "report"',
    ".csv": ",".join(COLUMNS[:5]).encode(),
    ".xml": rb"<\?xml [^>]*\?>\s*<testsuites",
}
"""The beginning of a report, by its extension. Only such a file is replaced by a later report."""


@frozen
class ReportRow:
    """The result of a row of a batch.

    index: its position in the batch, from 1.
    id: the ID in the batch file.
    source: its file and line, `prompts.txt, line 7`.
    outcome: None if it was not started or not needed. `reason` is `not started` or `exists` then.
    """

    index: int
    id: str | None
    source: str | None
    outcome: Outcome | None
    reason: str = ""


def row_json(output: Output, row: ReportRow) -> JsonObject:
    """Return a row of the report as JSON, with the fields of `--json` if there is an outcome."""
    about: JsonObject = {"index": row.index, "id": row.id, "source": row.source, "reason": row.reason or None}
    return about | outcome_json(output, row.outcome) if row.outcome else about


class Report:
    """A report that collects rows in any order, and writes them when it is closed. Created by `open_report`.

    If an error ends the `with` block, the rows so far are written without a summary. If there are none, an earlier
    report is unchanged.
    """

    def __init__(self, target: Path, write: "Writer", title: str, output: Output) -> None:
        self._target, self._write, self._title, self._output = target, write, title, output
        self._rows = sqlite3.connect("", isolation_level=None)  # a private file that is deleted with the connection
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, content TEXT NOT NULL)")
        self._rows.execute("BEGIN")
        self._lost: sqlite3.Error | None = None
        self._begun = self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is None:
            self.close()
            return
        with closing(self._rows), suppress(DiskError):  # the user must see the first error
            if self._begun:
                self.close()

    def add(self, row: ReportRow) -> None:
        """Add the result of a row. It replaces an earlier result of the same row.

        This raises nothing if the disk is full, because a report must not stop paid tasks. `close` raises instead.
        """
        self._begun = True
        if self._lost is None:
            content = change_strings(row_json(self._output, row), lambda text: redact(text, self._output.secrets))
            try:
                self._rows.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (row.index, json.dumps(content)))
            except sqlite3.Error as error:
                self._lost = error

    def __iter__(self) -> Iterator[JsonObject]:
        """Yield the rows in the order of the batch. May be used more than once."""
        for (content,) in self._rows.execute("SELECT content FROM rows ORDER BY number"):
            yield json.loads(content)

    def close(self, summary: Summary | None = None) -> None:
        """Write the file, and delete the stored rows. A second call does nothing.

        Raise DiskError, and leave an earlier file unchanged.
        """
        if self._closed:
            return
        self._closed = True
        with closing(self._rows):
            try:
                if self._lost:
                    raise self._lost
                self._replace(summary)
            except (OSError, sqlite3.Error) as error:
                raise DiskError(
                    f"cannot write the report {display_path(self._target)}: {_what(error)}",
                    hint="Run the same command again: it writes the report, and nothing is charged twice",
                ) from error

    def _replace(self, summary: Summary | None) -> None:
        with replacing(self._target) as file:
            text = io.TextIOWrapper(file, "utf-8", newline="")
            self._write(text, redact(self._title, self._output.secrets), summary, self)
            text.detach()  # flushed, but still open for `replacing`


def open_report(path: Path, title: str, output: Output) -> Report:
    """Return a report for `path`, in the format of its extension. The file is written on close.

    Raise UsageError for another extension or an existing file that is not a report, DiskError if the directory is not
    writable.
    """
    kind = path.suffix.lower()
    write = WRITERS.get(kind)
    if write is None:
        name = clean(path.name, 80)
        raise UsageError(f"invalid --report {name!r}: expected a name that ends in .json, .csv or .xml (JUnit)")
    target = Path(os.path.realpath(path))  # replace the target of a link, not the link
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if os.path.lexists(target) and not _is_report(target, kind):
            name = clean(display_path(path), 80)
            raise UsageError(f"--report {name!r} exists and is no report", hint="Choose another name, or move it away")
        probe(target.parent)
    except OSError as error:
        directory = shlex.quote(display_path(target.parent))
        hint = None if target.parent.exists() else f"Make its directory first: mkdir -p {directory}"
        message = f"cannot write the report {display_path(path)}: {_what(error)}"
        raise DiskError(message, hint=hint) from error
    return Report(target, write, title, output)


def _is_report(file: Path, kind: str) -> bool:
    """Return whether a report may replace a file, which must be an earlier report or empty. Raise OSError."""
    if not file.is_file():  # a pipe or a device
        return False
    with file.open("rb") as content:
        beginning = content.read(200)
    return not beginning or re.match(_BEGINNINGS[kind], beginning) is not None


def _what(error: OSError | sqlite3.Error) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _write_json(file: TextIO, title: str, summary: Summary | None, rows: Iterable[JsonObject]) -> None:
    """Write a JSON document, with one row per line."""
    totals = summary_json(summary) if summary else None
    head = json.dumps({"schema": SCHEMA, "type": "report", "title": title, "summary": totals})
    file.write(head.removesuffix("}") + ', "rows": [')
    for number, row in enumerate(rows):
        file.write((",\n" if number else "\n") + json.dumps(row))
    file.write("\n]}\n")


def _write_csv(file: TextIO, title: str, summary: Summary | None, rows: Iterable[JsonObject]) -> None:
    """Write a header and the rows, without title and summary."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        fields = row | {f"error_{name}": value for name, value in object_at(row, "error").items()}
        table.writerow(_cell(fields.get(name)) for name in COLUMNS)


def _cell(value: Json) -> str | int | float:
    """Return a value that is safe in a spreadsheet: a number unchanged, a text so that it is never a formula."""
    if isinstance(value, int | float):
        return value
    if not value:
        return ""
    texts = value if isinstance(value, list) else [value]
    return _FORMULA.sub(r"\1\2'", ";".join(clean(str(text), CELL_LIMIT) for text in texts))


# --- JUnit XML --------------------------------------------------------------------------------------------------------
#
# A batch is a test suite, and each of its rows a test case. The format has no specification. This is the subset that
# GitLab, Jenkins and GitHub's actions share. GitLab shows the text inside `<failure>`, ignores its `message`, and keeps
# one test case per name. GitLab and Jenkins attach a file that is listed in brackets in `<system-out>`.

NAME_LIMIT, TEXT_LIMIT = 80, 4000
"""The most characters of a test case's name, and of any other text."""
NO_LOSS = (State.PLANNED, State.REJECTED, State.FAILED, State.SAVED)
"""A row with an error is a `failure` in these states, and an `error` in others, in which an image may be paid for and
not on disk."""
PROPERTIES = ("id", "source", "entry", "task_id", "model", "seed", "cost_usd", "possibly_charged_usd")
_NO_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}  # forbidden in XML 1.0, and not replaced by `clean`


def _write_junit(file: TextIO, title: str, summary: Summary | None, rows: Iterable[JsonObject]) -> None:
    """Write rows from `row_json` as JUnit XML. They are read twice, so that they are never all in memory."""
    suite = tostring(_suite(title, summary, rows), "unicode", short_empty_elements=False)
    head, end, tail = suite.rpartition("</testsuite>")
    file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n{head}')
    for row in rows:
        file.write("\n" + tostring(_case(row), "unicode"))
    file.write(f"\n{end}{tail}\n")


def _suite(title: str, summary: Summary | None, rows: Iterable[JsonObject]) -> Element:
    """Return the suite without its test cases."""
    found = Counter(_verdict(row) for row in rows)
    counts = {"failures": found["failure"], "errors": found["error"], "skipped": found["skipped"]}
    about = {"name": _safe(title), "tests": str(found.total())} | {name: str(count) for name, count in counts.items()}
    if summary:
        about["time"] = f"{summary.duration:.3f}"
    root = Element("testsuites", about)
    _add_properties(SubElement(root, "testsuite", about), {"cost_usd": str(summary.spent)} if summary else {})
    return root


def _verdict(row: JsonObject) -> str:
    """Return `passed`, or the name of the XML element for a row that did not pass."""
    state, error = text_at(row, "state"), object_at(row, "error")
    if state and not error:
        return "passed"
    if not state or (state == State.PLANNED and error["code"] == InterruptError.code):
        return "skipped"
    return "failure" if state in NO_LOSS else "error"


def _case(row: JsonObject) -> Element:
    label = text_at(row, "prompt") or text_at(row, "id") or text_at(row, "source")
    name = f"{row['index']} {clean(label, NAME_LIMIT)}".strip()  # the index distinguishes equal prompts
    about = {"classname": text_at(row, "op") or "flux", "name": name, "time": str(row.get("seconds", 0))}
    case = Element("testcase", {key: _safe(value) for key, value in about.items()})
    _add_properties(case, {name: row.get(name) for name in PROPERTIES}, strings_in(row.get("files")))
    if (verdict := _verdict(row)) != "passed":
        _add_reason(case, verdict, row)
    attached = [path for file in strings_in(row.get("files")) if _can_be_attached(path := display_path(Path(file)))]
    if attached:
        SubElement(case, "system-out").text = "\n".join(f"[[ATTACHMENT|{path}]]" for path in attached)
    return case


def _add_properties(parent: Element, values: Mapping[str, Json], files: Iterable[str] = ()) -> None:
    found = [(name, str(value)) for name, value in values.items() if value is not None]
    found += [("file", file) for file in files]
    if found:
        properties = SubElement(parent, "properties")
        for name, value in found:
            SubElement(properties, "property", name=name, value=_safe(value))


def _add_reason(case: Element, verdict: str, row: JsonObject) -> None:
    error = object_at(row, "error")
    message = text_at(error, "message") or text_at(row, "reason")
    about = {"message": _safe(message)}
    if verdict != "skipped":
        about["type"] = text_at(error, "code")
    lines = [message, *strings_in(error.get("details")), text_at(error, "hint")]
    SubElement(case, verdict, about).text = "\n".join(_safe(line) for line in lines if line)


def _can_be_attached(path: str) -> bool:
    """Return whether a path can be parsed between the brackets.

    Jenkins would attach any file of the machine that is listed in this form, so `<system-out>` contains only saved
    images. Their paths are relative if they are inside the working directory, as GitLab requires.
    """
    return _safe(path) == path and not set("[]|") & set(path)


def _safe(text: str) -> str:
    return clean(text, TEXT_LIMIT).translate(_NO_XML)


Writer = Callable[[TextIO, str, Summary | None, Iterable[JsonObject]], None]
WRITERS: dict[str, Writer] = {".json": _write_json, ".csv": _write_csv, ".xml": _write_junit}
