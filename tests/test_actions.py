"""flux on GitHub Actions: workflow commands, the step summary, and the example in docs/guides/ci.md."""

import json
import os
import re
import shlex
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flux_cli.cli.output.github_actions import annotation, inert, inert_json, inert_path
from flux_cli.cli.output.output import Output
from flux_cli.cli.output.render import show_failure
from flux_cli.cli.output.step_summary import ROOM
from flux_cli.errors import TaskFailedError
from flux_cli.journal.entries import State

from .conftest import KEY, CapturedStream, Flux
from .servers import Reply, Service
from .test_reports import make_outcome

DOCUMENT = (Path(__file__).parent.parent / "docs" / "guides" / "ci.md").read_text()
COMMANDS = {"error", "set-output", "add-mask", "stop-commands", "set-env", "group"}
SMUGGLED = "::error::smuggled ##[set-output name=a]b <img src=x> </table> | `c` @someone http://a.test"
REFUSAL: Reply = (400, {}, json.dumps({"code": 1100, "message": f"no: {SMUGGLED}\n{SMUGGLED}"}).encode())
FRAGMENTS = [*":#[]./ \t\n\r\xa0\ufe0f", "error", "::error::", "##[error]"]
LIKELY_TEXT = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


def find_commands(text: str) -> list[str]:
    """Return the lines of a step's output in which the runner finds a command, with its two parsers (`ActionCommand.cs`)."""
    found = []
    for line in re.split(r"\r\n|\r|\n", text.replace("\ufe0f", "")):
        first = re.match(r"\s*::(.*?)::", line)
        anywhere = re.search(r"##\[(.*?)\]", line)
        if (first and first[1].split(" ")[0].lower() in COMMANDS) or (
            anywhere and anywhere[1].split(" ")[0].lower() in COMMANDS
        ):
            found.append(line)
    return found


@pytest.fixture
def summary_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set the environment of a step, and return the file of its summary."""
    file = tmp_path / "summary.md"
    file.touch()
    for name, value in {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(file)}.items():
        monkeypatch.setenv(name, value)
    return file


class _SummaryParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.outside = ""
        self._codes = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._codes += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._codes -= tag == "code"

    def handle_data(self, data: str) -> None:
        self.outside += "" if self._codes else data


@given(LIKELY_TEXT)
@example("\ufe0f:\ufe0f:error::x")
@example("##\ufe0f[error]x")
@example(":::::error::x")
def test_inert_text_contains_no_command(text: str) -> None:
    assert find_commands(inert(text)) == []
    assert find_commands(inert_path(text)) == []
    line = json.dumps({"prompt": text})
    assert find_commands(inert_json(line)) == []
    assert json.loads(inert_json(line)) == {"prompt": text}


@given(LIKELY_TEXT, LIKELY_TEXT)
def test_an_annotation_is_one_command_for_any_text(title: str, text: str) -> None:
    command = annotation(f"flux{title}", text)
    assert len(command.splitlines()) == 1
    head, properties, data = command.partition(" ")[0], *command.partition(" ")[2].partition("::")[::2]
    assert head == "::error"
    assert "," not in properties
    assert ":" not in properties
    assert "##[" not in data


def test_text_without_commands_is_unchanged() -> None:
    for text in ("a fox: task 1 ($0.002)", "C::x", "## [x]", "images/a-fox.png", "12:30::45"):
        assert inert(text) == inert_path(text) == text
    assert inert_path("::error::x.png") == "./::error::x.png"  # still the same file


@pytest.mark.parametrize("mode", ["", "--json", "-q", "-v"])
def test_hostile_prompts_and_messages_inject_no_commands(
    flux: Flux, service: Service, summary_file: Path, mode: str
) -> None:
    Path("prompts.txt").write_text(f"{SMUGGLED}\nok ##[add-mask]a\n")
    service.reply_with("POST", "/api/v1/task", REFUSAL)
    result = flux(f"gen --from prompts.txt -m schnell -j 1 {mode}")
    assert result.code == 3
    assert find_commands(result.out) == []
    (command,) = find_commands(result.err)
    assert command.startswith("::error title=flux%3A %3A%3Aerror%3A%3Asmuggled # #[")
    parser = _SummaryParser()
    parser.feed(summary_file.read_text())
    assert parser.tags == {"table", "tr", "th", "td", "code", "br"}
    assert not re.search("@|http|smuggled|[|`]|add-mask", parser.outside)
    assert "\n\n" not in summary_file.read_text().partition("<table>")[2].partition("</table>")[0]
    if mode == "--json":
        assert {json.loads(line).get("prompt") for line in result.out.splitlines()} == {
            SMUGGLED,
            "ok ##[add-mask]a",
            None,
        }


def test_a_dry_run_prints_valid_json_without_commands(flux: Flux, service: Service, summary_file: Path) -> None:
    result = flux(f"gen --dry-run {shlex.quote(SMUGGLED)}")
    assert find_commands(result.out) == []
    assert SMUGGLED in str(json.loads(result.out))


def test_a_run_without_a_key_is_annotated(flux: Flux, summary_file: Path) -> None:
    result = flux("gen fox")
    assert result.code == 4
    assert find_commands(result.err)[0].startswith("::error title=flux::no API key: PIAPI_API_KEY is not set, and ")
    assert summary_file.read_text() == ""


def test_nothing_is_annotated_outside_github_actions(flux: Flux, service: Service, summary_file: Path) -> None:
    os.environ["GITHUB_ACTIONS"] = ""
    service.reply_with("POST", "/api/v1/task", REFUSAL)
    result = flux("gen '::error::x' -m schnell")
    assert result.code == 5
    assert "::error title" not in result.err
    assert "\n: :" not in result.err
    assert summary_file.read_text() == ""


def test_a_lost_response_is_reported_as_possibly_charged(flux: Flux, service: Service, summary_file: Path) -> None:
    service.reply_with("POST", "/api/v1/task", (500, {}, b""))
    assert flux("gen fox -m schnell").code == 7
    summary = summary_file.read_text()
    assert "**flux**: 1 task, $0.00 spent, $0.002 possibly charged" in summary
    assert "<td>$0.002 possibly charged</td>" in summary
    assert "<code>Next: flux resolve " in summary


def test_a_failed_task_is_possibly_charged_in_the_summary_too(flux: Flux, service: Service, summary_file: Path) -> None:
    service.faults.add(["task:fail"])
    assert flux("gen fox -m schnell").code == 8
    summary = summary_file.read_text()
    assert "**flux**: 1 task, $0.00 spent, $0.002 possibly charged" in summary
    assert "<td>$0.002 possibly charged</td>" in summary


def _summarize_tasks(summary_file: Path, tasks: int, *, failed: bool) -> str:
    stream = CapturedStream()
    output = Output(stream, stream)
    output.secrets.add(KEY)
    for _ in range(tasks):
        error = TaskFailedError("the task failed & said <b>" + KEY, hint="flux history") if failed else None
        show_failure(output, make_outcome(State.FAILED if failed else State.SAVED, error, prompt="&" * 80))
    output.close()
    assert KEY not in summary_file.read_text()
    return stream.bytes.getvalue().decode()


def test_many_failures_become_nine_annotations_and_a_count(summary_file: Path) -> None:
    commands = find_commands(_summarize_tasks(summary_file, 250, failed=True))
    assert len(commands) == 9
    assert commands[-1] == "::error title=flux::242 more errors: see the log of this step"
    assert summary_file.read_text().count("<tr><td>") == 100
    assert "150 more tasks not shown" in summary_file.read_text()


def test_memory_does_not_grow_with_the_number_of_tasks(summary_file: Path) -> None:
    _summarize_tasks(summary_file, 150, failed=False)
    tracemalloc.start()
    _summarize_tasks(summary_file, 150, failed=False)
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    _summarize_tasks(summary_file, 3000, failed=False)
    many = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert many < 2 * few


@pytest.mark.parametrize("space", [0, 1000, 5000, 30_000])
def test_the_summaries_of_a_step_stay_within_the_limit_of_github(summary_file: Path, space: int) -> None:
    summary_file.write_bytes(b"x" * (ROOM - space))
    _summarize_tasks(summary_file, 100, failed=True)
    assert summary_file.stat().st_size <= ROOM
    assert summary_file.read_text().count("<table>") == summary_file.read_text().count("</table>") == (space > 4000)


def test_at_most_20_thumbnails_are_linked_and_only_over_https(summary_file: Path) -> None:
    output = Output(CapturedStream(), CapturedStream())
    links = ['https://img.test/a.png?"><script>', "http://127.0.0.1/a.png", "data:image/png;base64,AA"]
    for link in (*links, *["https://img.test/b.png"] * 30):
        saved = make_outcome(files=["fox.png"])
        show_failure(output, replace(saved, entry=replace(saved.entry, urls=(link,))))
    output.close()
    summary = summary_file.read_text()
    assert summary.count("<img") == 20
    assert '<img src="https://img.test/a.png?&quot;&gt;&lt;script&gt;" width="96" alt="">' in summary
    assert "127.0.0.1" not in summary
    assert "data:" not in summary


def test_an_unwritable_summary_causes_only_a_warning(
    flux: Flux, service: Service, summary_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary_file.parent))  # a directory
    assert flux("gen fox -m schnell -o fox.png").code == 0
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/proc/version")
    result = flux("gen cat -m schnell -o cat.png")
    assert (result.code, result.out) == (0, "cat.png\n")
    assert "flux: warning: cannot write the step's summary: " in result.err


def _read_steps() -> list[str]:
    """Return the commands of the example's steps, in order, without `pip install`."""
    return [run for run in re.findall(r"(?m)^ +(?:- )?run: (.+)$", DOCUMENT) if not run.startswith("pip ")]


def _run_step(run: str) -> subprocess.CompletedProcess[str]:
    """Run a step as the runner does."""
    script = Path("step.sh")
    script.write_text(f'flux() {{ {sys.executable} -m flux_cli "$@"; }}\n{run}\n')
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert KEY not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def _hide_times(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? s\b", "T s", text)


def _write_rows() -> None:
    rows = [{"prompt": prompt, "model": "schnell", "seed": seed} for seed, prompt in ((1, "a red fox"), (2, "<b>"))]
    content = "".join(json.dumps(row | {"output": f"{row['seed']}.png"}) + "\n" for row in rows)
    Path("images.jsonl").write_text(content)


def _format_row(prompt: str, ending: str, cost: str, file: str) -> str:
    cells = ("", f"<code>{prompt}</code>", "<code>Qubico/flux1-schnell</code>", ending, cost, "T s", file)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


HEAD = (
    "<table>\n<tr><th></th><th>prompt</th><th>model</th><th>outcome</th><th>cost</th><th>time</th><th>file</th></tr>\n"
)


def test_the_example_workflow_generates_its_images(service: Service, summary_file: Path) -> None:
    _write_rows()
    generate, _ = _read_steps()
    done = _run_step(f"{generate} -j 1")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["images/1.png", "images/2.png"])
    assert find_commands(done.stderr) == []
    fox = _format_row("a red fox", "saved", "$0.002", "<code>images/1.png</code>")
    bold = _format_row("&lt;b&gt;", "saved", "$0.002", "<code>images/2.png</code>")
    assert _hide_times(summary_file.read_text()) in {  # in the order in which they are saved
        f"\n\n**flux**: 2 tasks, $0.004 spent\n\n{HEAD}{one}\n{two}\n</table>\n\n"
        for one, two in ((fox, bold), (bold, fox))
    }
    assert Path("junit.xml").read_text().count("<testcase") == 2

    summary_file.write_text("")
    assert _run_step(generate).returncode == 0
    assert "2 tasks, $0.00 spent" in summary_file.read_text()
    assert summary_file.read_text().count("<td>already paid</td>") == 2


def test_the_example_workflow_resumes_after_a_failure(service: Service, summary_file: Path) -> None:
    _write_rows()
    generate, resume = _read_steps()
    service.reply_with("POST", "/api/v1/task", (400, {}, b'{"code": 1100, "message": "no: ##[error]x"}'))
    done = _run_step(f"{generate} -j 1")
    assert (done.returncode, done.stdout) == (3, "images/2.png\n")
    (command,) = find_commands(done.stderr)
    assert command.startswith("::error title=flux%3A a red fox::")
    assert "# #[error]x" in command
    assert "<td>refused<br><code>" in summary_file.read_text()
    assert Path("junit.xml").read_text().count("<failure") == 1

    done = _run_step(resume)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No images left to download.\n")
    assert len(service.charges) == 1
