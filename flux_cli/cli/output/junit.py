"""JUnit XML, as CI services read it: a batch is a test suite, and each of its rows a test case.

The format has no specification. This module writes the subset that GitLab, Jenkins and GitHub's actions share. GitLab
shows the text inside of `<failure>`, ignores its message, and keeps one test case per name. GitLab and Jenkins attach
a file that `<system-out>` names in brackets.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, tostring

from ...batch.results import Summary
from ...config.paths import shown
from ...errors import InterruptError
from ...journal.entries import State
from ...json_value import Json, JsonObject, object_at, strings_in, text_at
from ...text import clean

NAME_LIMIT, TEXT_LIMIT = 80, 4000
"""Characters of a test case's name, and of any other text."""
SETTLED = (State.PLANNED, State.REJECTED, State.FAILED, State.SAVED)
"""A row with an error is a `failure` in one of these states. In any other state an image may be paid for and not on
disk: an `error`."""
PROPERTIES = ("id", "source", "entry", "task_id", "model", "seed", "cost_usd", "at_risk_usd")
_NO_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}  # forbidden in XML 1.0, and not replaced by `clean`


def write_junit(file: TextIO, title: str, summary: Summary | None, rows: Iterable[JsonObject]) -> None:
    """Write rows, as `reports.row_json` gives them, to `file`; they are read twice, and never all in memory."""
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
    _properties(SubElement(root, "testsuite", about), {"cost_usd": str(summary.spent)} if summary else {})
    return root


def _verdict(row: JsonObject) -> str:
    """Return `passed`, or the name of the element for a row that did not pass."""
    state, error = text_at(row, "state"), object_at(row, "error")
    if state and not error:
        return "passed"
    if not state or (state == State.PLANNED and error["code"] == InterruptError.code):
        return "skipped"
    return "failure" if state in SETTLED else "error"


def _case(row: JsonObject) -> Element:
    label = text_at(row, "prompt") or text_at(row, "id") or text_at(row, "source")
    name = f"{row['index']} {clean(label, NAME_LIMIT)}".strip()  # the index keeps equal prompts apart
    about = {"classname": text_at(row, "op") or "flux", "name": name, "time": str(row.get("seconds", 0))}
    case = Element("testcase", {key: _safe(value) for key, value in about.items()})
    _properties(case, {name: row.get(name) for name in PROPERTIES}, strings_in(row.get("files")))
    if (verdict := _verdict(row)) != "passed":
        _reason(case, verdict, row)
    attached = [path for file in strings_in(row.get("files")) if _can_be_attached(path := shown(Path(file)))]
    if attached:
        SubElement(case, "system-out").text = "\n".join(f"[[ATTACHMENT|{path}]]" for path in attached)
    return case


def _properties(parent: Element, values: Mapping[str, Json], files: Iterable[str] = ()) -> None:
    found = [(name, str(value)) for name, value in values.items() if value is not None]
    found += [("file", file) for file in files]
    if found:
        properties = SubElement(parent, "properties")
        for name, value in found:
            SubElement(properties, "property", name=name, value=_safe(value))


def _reason(case: Element, verdict: str, row: JsonObject) -> None:
    error = object_at(row, "error")
    message = text_at(error, "message") or text_at(row, "reason")
    about = {"message": _safe(message)}
    if verdict != "skipped":
        about["type"] = text_at(error, "code")
    lines = [message, *strings_in(error.get("details")), text_at(error, "hint")]
    SubElement(case, verdict, about).text = "\n".join(_safe(line) for line in lines if line)


def _can_be_attached(path: str) -> bool:
    """Return whether a reader can parse the path between the brackets.

    Jenkins would attach any file of the machine that is named in this form, so `<system-out>` contains only our own
    images. Their paths are relative below the working directory, as GitLab requires.
    """
    return _safe(path) == path and not set("[]|") & set(path)


def _safe(text: str) -> str:
    return clean(text, TEXT_LIMIT).translate(_NO_XML)
