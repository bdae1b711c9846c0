"""Reports: the result of each row of a batch, in a file for other programs."""

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.batch.results import Summary
from flux_cli.cli.output.output import Output
from flux_cli.cli.output.render import next_command, outcome_json
from flux_cli.cli.output.reports import COLUMNS, ReportRow, open_report
from flux_cli.engine.outcome import Outcome
from flux_cli.errors import (
    DiskError,
    FluxError,
    InterruptError,
    NetworkError,
    NotSavedError,
    PartialError,
    RefusedError,
    StillRunningError,
    TaskFailedError,
    UnknownChargeError,
    UsageError,
)
from flux_cli.images.output_names import OutputPlan
from flux_cli.journal.entries import Entry, SavedFile, State, error_of, unknown_outcome
from flux_cli.json_value import object_at
from flux_cli.operations.request import TaskRequest
from flux_cli.operations.text_to_image import TextToImage

from .conftest import Flux
from .servers import Service
from .test_text import ANY_TEXT, HOSTILE


def make_output(*secrets: str) -> Output:
    """Return an output that nothing reads and that redacts these secrets."""
    output = Output(io.StringIO(), io.StringIO())
    output.secrets.update(secrets)
    return output


SUMMARY = Summary({"saved": 2, "not started": 1}, Decimal("0.030"), 61.25)
SECRET = "sk-0123456789abcdef"
EXTENSIONS = ("json", "csv", "xml")


def make_outcome(
    state: State = State.SAVED,
    error: FluxError | None = None,
    *,
    prompt: str = "a fox",
    files: Iterable[str] = (),
) -> Outcome:
    """Return the outcome of an entry, 1.5 s after its start."""
    entry = Entry(
        "k7m2p9qx",
        state,
        "https://service.test",
        "default",
        OutputPlan((Path("fox.png"),)),
        1_700_000_000.0,
        request=TaskRequest(TextToImage(prompt=prompt), "Qubico/flux1-dev", seed=7),
        price=Decimal("0.015"),
        task_id=None if state in (State.PLANNED, State.REJECTED, State.UNKNOWN) else "task-1",
        files=tuple(SavedFile(Path(file), "00") for file in files),
    )
    return Outcome(entry, error, 1.5)


def write_report(rows: Iterable[ReportRow], extension: str = "json") -> Path:
    """Write a report of rows that arrive in this order, and return its path."""
    path = Path(f"report.{extension}")
    report = open_report(path, "flux gen --from prompts.txt", make_output(SECRET))
    for row in rows:
        report.add(row)
    report.close(SUMMARY)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def find_case(row: ReportRow) -> ET.Element:
    """Return the test case of a row."""
    found = ET.parse(write_report([row], "xml")).getroot().find("testsuite/testcase")
    assert found is not None
    return found


def test_rows_are_in_the_order_of_the_batch() -> None:
    rows = [ReportRow(index, None, f"prompts.txt, line {index}", make_outcome()) for index in range(1, 301)]
    random.Random(1).shuffle(rows)
    late = ReportRow(9, None, None, make_outcome(State.FAILED, TaskFailedError("the task failed")))

    report = json.loads(write_report([*rows, late]).read_text())
    assert [row["index"] for row in report["rows"]] == list(range(1, 301))
    assert report["rows"][8]["state"] == "failed"  # its last state
    assert [row["index"] for row in read_csv(write_report(rows, "csv"))] == [str(index) for index in range(1, 301)]
    names = [found.attrib["name"] for found in ET.parse(write_report(rows, "xml")).iter("testcase")]
    assert names == [f"{index} a fox" for index in range(1, 301)]


def test_json_has_the_fields_of_json_lines_and_a_summary() -> None:
    saved = make_outcome(files=["/images/fox.png"])
    rows = [ReportRow(2, None, None, None, "not started"), ReportRow(1, "fox", "rows.csv, line 2", saved)]
    assert json.loads(write_report(rows).read_text()) == {
        "schema": 1,
        "type": "report",
        "title": "flux gen --from prompts.txt",
        "summary": {"saved": 2, "not_started": 1, "cost_usd": "0.030", "possibly_charged_usd": "0", "seconds": 61.25},
        "rows": [
            {
                "index": 1,
                "id": "fox",
                "source": "rows.csv, line 2",
                "reason": None,
                **outcome_json(make_output(), saved),
            },
            {"index": 2, "id": None, "source": None, "reason": "not started"},
        ],
    }


def test_csv_has_every_field_of_json() -> None:
    short = make_outcome(
        State.SAVED, PartialError("2 of 4", hint="look", command=("show", "@last")), files=["/p/1.png", "/p/2.png"]
    )
    header, line = write_report([ReportRow(1, None, None, short)], "csv").read_text().splitlines()
    assert tuple(header.split(",")) == COLUMNS
    assert line == (
        "1,,,,saved,k7m2p9qx,task-1,,gen,Qubico/flux1-dev,a fox,7,/p/1.png;/p/2.png,,0.015,,1.5,partial,2 of 4,,Look: flux show @last,3,flux show @last"
    )
    fields = outcome_json(make_output(), short)
    error = {f"error_{name}" for name in object_at(fields, "error")}
    assert set(COLUMNS) == {"index", "id", "source", "reason", *fields, *error} - {"error"}


@pytest.mark.parametrize(
    ("row", "verdict", "kind"),
    [
        (ReportRow(1, None, None, make_outcome()), None, None),
        (ReportRow(1, None, None, make_outcome(State.ACCEPTED)), None, None),  # --no-wait
        (ReportRow(1, None, None, None, "not started"), "skipped", None),
        (ReportRow(1, None, None, None, "exists"), "skipped", None),
        (
            ReportRow(1, None, None, make_outcome(State.PLANNED, InterruptError("stop", signal_number=2))),
            "skipped",
            None,
        ),
        (ReportRow(1, None, None, make_outcome(State.PLANNED, NetworkError("no route"))), "failure", "network"),
        (ReportRow(1, None, None, make_outcome(State.REJECTED, RefusedError("no"))), "failure", "refused"),
        (ReportRow(1, None, None, make_outcome(State.FAILED, TaskFailedError("no"))), "failure", "task_failed"),
        (ReportRow(1, None, None, make_outcome(State.SAVED, PartialError("1 of 2"))), "failure", "partial"),
        (ReportRow(1, None, None, make_outcome(State.UNKNOWN, UnknownChargeError("lost"))), "error", "unknown"),
        (ReportRow(1, None, None, make_outcome(State.READY, NotSavedError("404"))), "error", "not_saved"),
        (ReportRow(1, None, None, make_outcome(State.READY, DiskError("full"))), "error", "disk"),
        (
            ReportRow(1, None, None, make_outcome(State.EXPIRED, NotSavedError("410", code="expired"))),
            "error",
            "expired",
        ),
        (ReportRow(1, None, None, make_outcome(State.ACCEPTED, StillRunningError("slow"))), "error", "still_running"),
        (
            ReportRow(1, None, None, make_outcome(State.ACCEPTED, InterruptError("stop", signal_number=2))),
            "error",
            "interrupted",
        ),
    ],
)
def test_junit_reports_a_possible_loss_of_money_as_an_error(
    row: ReportRow, verdict: str | None, kind: str | None
) -> None:
    reasons = [element for element in find_case(row) if element.tag in ("failure", "error", "skipped")]
    assert [reason.tag for reason in reasons] == ([verdict] if verdict else [])
    assert [reason.get("type") for reason in reasons] == ([kind] if verdict else [])


def test_junit_is_written_as_ci_reads_it() -> None:
    refused = RefusedError("two things are wrong", details=["steps: 99", "guidance: 9"], hint="See: flux models")
    rows = [
        ReportRow(
            1, "fox", "rows.csv, line 2", make_outcome(files=[str(Path("out/fox.png").resolve()), "/elsewhere/2.png"])
        ),
        ReportRow(2, None, None, make_outcome(State.REJECTED, refused)),
        ReportRow(3, "owl", "rows.csv, line 4", None, "not started"),
        ReportRow(4, None, None, make_outcome(State.UNKNOWN, UnknownChargeError("no response"))),
    ]
    root = ET.parse(write_report(rows, "xml")).getroot()
    suite = root.find("testsuite")
    assert suite is not None
    counts = {"tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "61.250"}
    assert root.tag == "testsuites"
    assert suite.attrib == root.attrib == {"name": "flux gen --from prompts.txt", **counts}

    saved, failed, skipped, unknown = suite.findall("testcase")
    assert saved.attrib == {"classname": "gen", "name": "1 a fox", "time": "1.5"}
    assert [f"{found.attrib['name']} {found.attrib['value']}" for found in saved.iter("property")] == [
        *("id fox", "source rows.csv, line 2", "entry k7m2p9qx", "task_id task-1", "model Qubico/flux1-dev", "seed 7"),
        *("cost_usd 0.015", f"file {Path('out/fox.png').resolve()}", "file /elsewhere/2.png"),
    ]
    assert saved.findtext("system-out") == "[[ATTACHMENT|out/fox.png]]\n[[ATTACHMENT|/elsewhere/2.png]]"

    failure = failed.find("failure")
    assert failure is not None
    message = f"{refused.message}. Not charged."
    assert failure.attrib == {"message": message, "type": "refused"}
    assert (failure.text or "").split("\n") == [message, "steps: 99", "guidance: 9", "See: flux models"]

    assert skipped.attrib == {"classname": "flux", "name": "3 owl", "time": "0"}
    assert skipped.findtext("skipped") == "not started"
    assert unknown.find("properties/property[@name='possibly_charged_usd'][@value='0.015']") is not None
    assert unknown.find("properties/property[@name='cost_usd']") is None


@given(st.lists(st.tuples(ANY_TEXT | HOSTILE, ANY_TEXT | HOSTILE), min_size=1, max_size=4))
@example([("]]><x a=\"'&\ufffe\uffff\U0001fffe", 'a,b;"c\r\n\x1b]0;title\x07')])
def test_hostile_texts_are_read_back_row_by_row(texts: list[tuple[str, str]]) -> None:
    rows = [
        ReportRow(index, text, other, make_outcome(State.READY, NotSavedError(other, details=[text]), prompt=text, files=[other]))
        for index, (text, other) in enumerate(texts, 1)
    ]  # fmt: skip
    numbers = list(range(1, len(rows) + 1))

    rows_read = json.loads(write_report(rows).read_text("ascii"))["rows"]
    assert [(row["index"], row["prompt"], row["source"]) for row in rows_read] == [
        (index, text, other) for index, (text, other) in zip(numbers, texts, strict=True)
    ]

    path = write_report(rows, "csv")
    assert [int(row["index"]) for row in read_csv(path)] == numbers
    assert all(None not in row and None not in row.values() for row in read_csv(path))
    assert len(path.read_bytes().split(b"\n")) == len(rows) + 2  # one line per row
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", path.read_text("utf-8"))

    path = write_report(rows, "xml")
    cases = ET.parse(path).getroot().findall("testsuite/testcase")
    assert [int(found.attrib["name"].split()[0]) for found in cases] == numbers
    assert [[element.tag for element in found if element.tag != "system-out"] for found in cases] == [
        ["properties", "error"] for _ in rows
    ]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("prompt", "cell"),
    [
        ("=HYPERLINK(\"http://evil.test/\",\"fox\")", "'=HYPERLINK(\"http://evil.test/\",\"fox\")"),
        ("+1", "'+1"),
        ("-1+cmd|'/c calc'!A1", "'-1+cmd|'/c calc'!A1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("\r\n=1", "'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a fox;=1", "a fox;'=1"),  # if `;` separates the columns
        ("a fox; \"=1", "a fox; \"'=1"),
        ("a fox = a cat - 1", "a fox = a cat - 1"),
    ],
)  # fmt: skip
def test_no_prompt_becomes_a_formula(prompt: str, cell: str) -> None:
    (row,) = read_csv(write_report([ReportRow(1, prompt, None, make_outcome(prompt=prompt))], "csv"))
    assert (row["prompt"], row["id"], row["seed"]) == (cell, cell, "7")


ATTACK = "[[ATTACHMENT|/etc/passwd]]"


@pytest.mark.parametrize(
    "file", [f"/p/{ATTACK}.png", "/p/a]].png", "/p/a|b.png", "/p/a\nb.png", "/p/a  b.png", "/p/\udcff.png"]
)
def test_ci_attaches_only_images_of_flux(file: str) -> None:
    error = NotSavedError(ATTACK, details=[ATTACK])
    found = find_case(
        ReportRow(1, ATTACK, ATTACK, make_outcome(State.READY, error, prompt=ATTACK, files=["/p/1.png", file]))
    )
    assert found.findtext("system-out") == "[[ATTACHMENT|/p/1.png]]"
    assert len(found.findall("properties/property[@name='file']")) == 2


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_secrets_are_in_no_report(extension: str) -> None:
    output, late = make_output(SECRET), "wh-fedcba9876543210"
    path = Path(f"report.{extension}")
    with open_report(path, f"flux {SECRET}", output) as report:
        output.secrets.add(late)
        text = f"x{SECRET}{late}"
        error = NotSavedError(text, hint=text, details=[text])
        report.add(ReportRow(1, text, text, make_outcome(State.READY, error, prompt=text, files=[f"/p/{text}.png"])))
        report.add(ReportRow(2, None, None, None, text))
    content = path.read_text()
    assert SECRET not in content
    assert late not in content
    assert "x[key][key]" in content


@pytest.mark.parametrize("name", ["report.txt", "report", "report.json.gz", "\x1b[2J.yaml"])
def test_another_file_type_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.json, \.csv or \.xml") as caught:
        open_report(Path(name), "flux gen", make_output())
    assert "\x1b" not in caught.value.message
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("new folder/report.json", "Make its directory first: mkdir -p 'new folder'"), ("folder.csv", None), ("a/x.xml", None)],
)  # fmt: skip
def test_a_report_that_cannot_be_written_is_refused_before_the_run(name: str, hint: str | None) -> None:
    Path("folder.csv").mkdir()
    Path("a").write_text("a file")
    with pytest.raises(DiskError, match="cannot write the report") as caught:
        open_report(Path(name), "flux gen", make_output())
    assert caught.value.hint == hint


def test_a_report_has_the_users_permissions_and_leaves_no_other_file() -> None:
    Path("real").mkdir()
    Path("latest.JSON").symlink_to("real/report.txt")
    before = os.umask(0o027)
    try:
        with open_report(Path("latest.JSON"), "flux gen", make_output()) as report:
            assert [path.name for path in Path().rglob("*")] == ["latest.JSON", "real"]
            report.add(ReportRow(1, None, None, make_outcome()))
    finally:
        os.umask(before)
    assert Path("latest.JSON").is_symlink()
    assert [path.name for path in Path("real").iterdir()] == ["report.txt"]
    assert Path("real/report.txt").stat().st_mode & 0o777 == 0o640


class AbortError(Exception):
    """Anything that ends a batch early."""


def abort_batch(path: Path) -> None:
    """Abort a batch of which one row is known, and whose directory may be deleted by then."""
    with open_report(path, "flux gen", make_output()) as report:
        report.add(ReportRow(1, None, None, make_outcome(prompt="known row")))
        if path.parent.name == "gone":
            path.parent.rmdir()
        raise AbortError


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_aborted_batch_leaves_a_report_of_its_known_rows(extension: str) -> None:
    path = Path(f"report.{extension}")
    with pytest.raises(AbortError):
        abort_batch(path)
    assert "known row" in path.read_text()


def test_a_report_that_cannot_be_written_hides_no_other_error() -> None:
    Path("gone").mkdir()
    with pytest.raises(AbortError):
        abort_batch(Path("gone/report.csv"))


def test_an_old_report_is_kept_if_no_row_is_known() -> None:
    path = write_report([])
    old = path.read_text()
    with pytest.raises(UsageError), open_report(path, "flux gen", make_output()):
        raise UsageError("no")
    assert path.read_text() == old


def test_a_closed_report_is_not_written_again() -> None:
    with open_report(Path("report.json"), "flux gen", make_output()) as report:
        report.close(SUMMARY)
    assert json.loads(Path("report.json").read_text())["summary"]["saved"] == 2


CHILD = """
    import io, resource, signal, sys
    from pathlib import Path
    from flux_cli.cli.output.output import Output
    from flux_cli.errors import DiskError
    from flux_cli.cli.output.reports import ReportRow, open_report

    name, rows, action = sys.argv[1], int(sys.argv[2]), signal.Handlers(int(sys.argv[3]))
    report = open_report(Path(name), "flux gen", Output(io.StringIO(), io.StringIO()))
    signal.signal(signal.SIGXFSZ, action)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for index in range(rows):
        report.add(ReportRow(index, None, "x" * 1000, None, "not started"))
    try:
        report.close()
    except DiskError as error:
        sys.exit(error.message)
"""


def run_child(name: str, rows: int, action: signal.Handlers) -> subprocess.CompletedProcess[str]:
    """Run a process that cannot write files of more than 100 kB: its disk seems full, or the process is killed."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), name, str(rows), str(int(action))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_FSIZE")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_old_report_is_kept_until_the_new_one_is_complete(extension: str) -> None:
    path = write_report([], extension)
    old = path.read_text()

    full = run_child(path.name, 500, signal.SIG_IGN)
    assert (full.returncode, full.stderr) == (1, f"cannot write the report {path}: File too large\n")
    lost = run_child(path.name, 10_000, signal.SIG_IGN)  # more than the buffer in memory: `add` finds the disk full
    assert lost.returncode == 1
    assert lost.stderr.startswith(
        f"cannot write the report {path}: d"
    )  # "disk I/O error", or "database or disk is full"
    assert [found.name for found in Path().iterdir()] == [path.name]

    killed = run_child(path.name, 500, signal.SIG_DFL)
    assert killed.returncode == -signal.SIGXFSZ
    assert path.read_text() == old

    assert run_child(path.name, 50, signal.SIG_DFL).returncode == 0
    assert path.read_text() != old


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_rows_are_not_kept_in_memory(extension: str) -> None:
    tracemalloc.start()
    write_report((ReportRow(index, None, "x" * 5000, None, "not started") for index in range(600)), extension)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # the rows are three times as long


@pytest.mark.parametrize(
    "content", [b"prompt,output\na boat,a.png\n", b'[{"prompt": "a boat"}]', b"\x89PNG\r\n\x1a\n", b" "]
)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_that_is_not_a_report_is_never_replaced(extension: str, content: bytes) -> None:
    Path("rows").write_bytes(content)
    Path(f"rows.{extension}").symlink_to("rows")
    with pytest.raises(UsageError, match="exists and is no report"):
        open_report(Path(f"rows.{extension}"), "flux batch", make_output())
    assert Path("rows").read_bytes() == content
    Path("rows").write_bytes(b"")
    open_report(Path(f"rows.{extension}"), "flux batch", make_output()).close(SUMMARY)
    assert Path("rows").stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories")
def test_a_batch_file_or_a_pipe_is_refused_as_a_report_before_any_charge(flux: Flux, service: Service) -> None:
    Path("rows.csv").write_text("prompt\na boat\n")
    os.mkfifo("pipe.json")
    for name in ("rows.csv", "pipe.json"):
        result = flux(f"batch rows.csv --report {name}")
        assert result.code == 2
        assert f"flux: --report '{name}' exists and is no report. Nothing was sent." in result.err
    assert Path("rows.csv").read_text() == "prompt\na boat\n"
    assert Path("pipe.json").is_fifo()
    assert service.charges == []
    for _ in range(2):
        assert flux("batch rows.csv --report report.csv").code == 0


def test_the_next_command_of_a_running_submission_is_wait() -> None:
    entry = make_outcome(State.SENDING).entry
    assert next_command(error_of(entry), entry) == ("wait", "k7m2p9qx")
    assert next_command(unknown_outcome(entry), entry) == ("resolve", "k7m2p9qx")
