"""flux on GitHub Actions: what the runner obeys, what stands on the run's page, and the example in docs/guides/ci.md."""

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
from .test_reports import ended

DOCUMENT = (Path(__file__).parent.parent / "docs" / "guides" / "ci.md").read_text()
COMMANDS = {"error", "set-output", "add-mask", "stop-commands", "set-env", "group"}
SMUGGLED = "::error::smuggled ##[set-output name=a]b <img src=x> </table> | `c` @someone http://a.test"
REFUSAL: Reply = (400, {}, json.dumps({"code": 1100, "message": f"no: {SMUGGLED}\n{SMUGGLED}"}).encode())
PIECES = [*":#[]./ \t\n\r\xa0\ufe0f", "error", "::error::", "##[error]"]
LIKELY = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def obeyed(text: str) -> list[str]:
    """The commands that the runner finds in what a step printed: its two parsers, `ActionCommand.cs`."""
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
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of a step, and the file of its summary."""
    file = tmp_path / "summary.md"
    file.touch()
    for name, value in {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(file)}.items():
        monkeypatch.setenv(name, value)
    return file


class _Seen(HTMLParser):
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


@given(LIKELY)
@example("\ufe0f:\ufe0f:error::x")
@example("##\ufe0f[error]x")
@example(":::::error::x")
def test_no_text_has_a_command_when_it_is_made_inert(text: str) -> None:
    assert obeyed(inert(text)) == []
    assert obeyed(inert_path(text)) == []
    line = json.dumps({"prompt": text})
    assert obeyed(inert_json(line)) == []
    assert json.loads(inert_json(line)) == {"prompt": text}


@given(LIKELY, LIKELY)
def test_an_annotation_is_one_command_whatever_its_text(title: str, text: str) -> None:
    told = annotation(f"flux{title}", text)
    assert len(told.splitlines()) == 1
    head, properties, data = told.partition(" ")[0], *told.partition(" ")[2].partition("::")[::2]
    assert head == "::error"
    assert "," not in properties
    assert ":" not in properties
    assert "##[" not in data


def test_what_is_no_command_stays_as_it_is() -> None:
    for text in ("a fox: task 1 ($0.002)", "C::x", "## [x]", "images/a-fox.png", "12:30::45"):
        assert inert(text) == inert_path(text) == text
    assert inert_path("::error::x.png") == "./::error::x.png"  # still the same file


@pytest.mark.parametrize("mode", ["", "--json", "-q", "-v"])
def test_hostile_prompts_and_messages_give_no_orders(flux: Flux, service: Service, page: Path, mode: str) -> None:
    Path("prompts.txt").write_text(f"{SMUGGLED}\nok ##[add-mask]a\n")
    service.reply_with("POST", "/api/v1/task", REFUSAL)
    result = flux(f"gen --from prompts.txt -m schnell -j 1 {mode}")
    assert result.code == 3
    assert obeyed(result.out) == []
    (told,) = obeyed(result.err)
    assert told.startswith("::error title=flux%3A %3A%3Aerror%3A%3Asmuggled # #[")
    seen = _Seen()
    seen.feed(page.read_text())
    assert seen.tags == {"table", "tr", "th", "td", "code", "br"}
    assert not re.search("@|http|smuggled|[|`]|add-mask", seen.outside)
    assert "\n\n" not in page.read_text().partition("<table>")[2].partition("</table>")[0]
    if mode == "--json":
        assert {json.loads(line).get("prompt") for line in result.out.splitlines()} == {
            SMUGGLED,
            "ok ##[add-mask]a",
            None,
        }


def test_a_preview_is_the_same_json_and_gives_no_orders(flux: Flux, service: Service, page: Path) -> None:
    result = flux(f"gen --dry-run {shlex.quote(SMUGGLED)}")
    assert obeyed(result.out) == []
    assert SMUGGLED in str(json.loads(result.out))


def test_a_run_without_a_key_is_annotated(flux: Flux, page: Path) -> None:
    result = flux("gen fox")
    assert result.code == 4
    assert obeyed(result.err)[0].startswith("::error title=flux::no API key in PIAPI_API_KEY, and none in ")
    assert page.read_text() == ""


def test_elsewhere_nothing_of_it_happens(flux: Flux, service: Service, page: Path) -> None:
    os.environ["GITHUB_ACTIONS"] = ""
    service.reply_with("POST", "/api/v1/task", REFUSAL)
    result = flux("gen '::error::x' -m schnell")
    assert result.code == 5
    assert "::error title" not in result.err
    assert "\n: :" not in result.err
    assert page.read_text() == ""


def test_an_answer_that_was_lost_is_money_at_risk(flux: Flux, service: Service, page: Path) -> None:
    service.reply_with("POST", "/api/v1/task", (500, {}, b""))
    assert flux("gen fox -m schnell").code == 7
    told = page.read_text()
    assert "**flux**: 1 task, $0.00 spent, $0.002 possibly charged" in told
    assert "<td>$0.002 possibly charged</td>" in told
    assert "<code>Next: flux resolve " in told


def _summed_up(page: Path, tasks: int, *, failed: bool) -> str:
    stream = CapturedStream()
    output = Output(stream, stream)
    output.secrets.add(KEY)
    for _ in range(tasks):
        error = TaskFailedError("the task failed & said <b>" + KEY, hint="flux history") if failed else None
        show_failure(output, ended(State.FAILED if failed else State.SAVED, error, prompt="&" * 80))
    output.close()
    assert KEY not in page.read_text()
    return stream.bytes.getvalue().decode()


def test_many_failures_are_nine_annotations_and_a_count(page: Path) -> None:
    told = obeyed(_summed_up(page, 250, failed=True))
    assert len(told) == 9
    assert told[-1] == "::error title=flux::242 more errors: see the log of this step"
    assert page.read_text().count("<tr><td>") == 100
    assert "150 more tasks not shown" in page.read_text()


def test_memory_does_not_grow_with_the_tasks(page: Path) -> None:
    _summed_up(page, 150, failed=False)
    tracemalloc.start()
    _summed_up(page, 150, failed=False)
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    _summed_up(page, 3000, failed=False)
    many = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert many < 2 * few


@pytest.mark.parametrize("room", [0, 1000, 5000, 30_000])
def test_a_step_s_summaries_together_stay_within_what_github_takes(page: Path, room: int) -> None:
    page.write_bytes(b"x" * (ROOM - room))
    _summed_up(page, 100, failed=True)
    assert page.stat().st_size <= ROOM
    assert page.read_text().count("<table>") == page.read_text().count("</table>") == (room > 4000)


def test_thumbnails_are_https_links_and_few(page: Path) -> None:
    output = Output(CapturedStream(), CapturedStream())
    links = ['https://img.test/a.png?"><script>', "http://127.0.0.1/a.png", "data:image/png;base64,AA"]
    for link in (*links, *["https://img.test/b.png"] * 30):
        saved = ended(files=["fox.png"])
        show_failure(output, replace(saved, entry=replace(saved.entry, urls=(link,))))
    output.close()
    told = page.read_text()
    assert told.count("<img") == 20
    assert '<img src="https://img.test/a.png?&quot;&gt;&lt;script&gt;" width="96" alt="">' in told
    assert "127.0.0.1" not in told
    assert "data:" not in told


def test_a_summary_that_cannot_be_written_changes_nothing_else(
    flux: Flux, service: Service, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page.parent))  # a folder
    assert flux("gen fox -m schnell -o fox.png").code == 0
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/proc/version")
    result = flux("gen cat -m schnell -o cat.png")
    assert (result.code, result.out) == (0, "cat.png\n")
    assert "flux: warning: cannot write the step's summary: " in result.err


def _steps() -> list[str]:
    """What the example's steps run, in order; `pip install` is no business of a test."""
    return [run for run in re.findall(r"(?m)^ +(?:- )?run: (.+)$", DOCUMENT) if not run.startswith("pip ")]


def _step(run: str) -> subprocess.CompletedProcess[str]:
    """Runs a step as the runner does."""
    script = Path("step.sh")
    script.write_text(f'flux() {{ {sys.executable} -m flux_cli "$@"; }}\n{run}\n')
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert KEY not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def _timeless(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? s\b", "T s", text)


def _rows() -> None:
    rows = [{"prompt": prompt, "model": "schnell", "seed": seed} for seed, prompt in ((1, "a red fox"), (2, "<b>"))]
    content = "".join(json.dumps(row | {"output": f"{row['seed']}.png"}) + "\n" for row in rows)
    Path("images.jsonl").write_text(content)


def _row(prompt: str, ending: str, cost: str, file: str) -> str:
    told = ("", f"<code>{prompt}</code>", "<code>Qubico/flux1-schnell</code>", ending, cost, "T s", file)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in told)}</tr>"


HEAD = (
    "<table>\n<tr><th></th><th>prompt</th><th>model</th><th>outcome</th><th>cost</th><th>time</th><th>file</th></tr>\n"
)


def test_the_example_workflow_makes_its_pictures(service: Service, page: Path) -> None:
    _rows()
    make, _ = _steps()
    done = _step(f"{make} -j 1")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["images/1.png", "images/2.png"])
    assert obeyed(done.stderr) == []
    fox = _row("a red fox", "saved", "$0.002", "<code>images/1.png</code>")
    bold = _row("&lt;b&gt;", "saved", "$0.002", "<code>images/2.png</code>")
    assert _timeless(page.read_text()) in {  # in the order in which they are saved
        f"\n\n**flux**: 2 tasks, $0.004 spent\n\n{HEAD}{one}\n{two}\n</table>\n\n"
        for one, two in ((fox, bold), (bold, fox))
    }
    assert Path("junit.xml").read_text().count("<testcase") == 2

    page.write_text("")
    assert _step(make).returncode == 0
    assert "2 tasks, $0.00 spent" in page.read_text()
    assert page.read_text().count("<td>already paid</td>") == 2


def test_the_example_workflow_fetches_what_a_failure_left(service: Service, page: Path) -> None:
    _rows()
    make, resume = _steps()
    service.reply_with("POST", "/api/v1/task", (400, {}, b'{"code": 1100, "message": "no: ##[error]x"}'))
    done = _step(f"{make} -j 1")
    assert (done.returncode, done.stdout) == (3, "images/2.png\n")
    (told,) = obeyed(done.stderr)
    assert told.startswith("::error title=flux%3A a red fox::")
    assert "# #[error]x" in told
    assert "<td>refused<br><code>" in page.read_text()
    assert Path("junit.xml").read_text().count("<failure") == 1

    done = _step(resume)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing is left to download\n")
    assert len(service.charges) == 1
