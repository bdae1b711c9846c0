"""The complete output of commands and errors, as users see it. The scripts in `tests/messages` read like prose.

In a script, a line with `$` is a command, lines with `!` are stderr, and `=` is the exit code if it is not 0.
ENTRY-ID and flux_ID in a command stand for those that were printed last. Tasks of one command end in any order: their
lines are sorted.

A line with `~` changes the commands after it, until the next heading (`#`):

~ create:500 times=1    a fault of the sandbox (`flux sandbox --list-faults`)
~ Ctrl-C at get         the user interrupts flux when such a request arrives
~ get returns JSON      the response to each poll
~ find flux_ID          flux_ID is the newest task of PiAPI, which the user finds in the workspace

`UPDATE_MESSAGES=1 python -m pytest -n 0 tests/test_messages.py` updates the scripts.
"""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from flux_cli.errors import ExitCode

from .conftest import Flux, Result
from .servers import Service

SCRIPTS = sorted((Path(__file__).parent / "messages").glob("*.txt"))
TASK_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
ENTRY = r"entry\d{3}"
REPLACEMENTS = (
    (TASK_ID, "ID"),
    (ENTRY, "ENTRY-ID"),
    (r"127\.0\.0\.1:\d{4,}", "127.0.0.1:PORT"),
    (r"(?<![\d.])\d+(\.\d)?(-\d+\.\d)? s\b", "N s"),
    (r"(?<=trying again )now", "in N s"),
    (r"(?<=in parallel )now", "in N s"),
    (r"\b20\d\d-\d\d-\d\d", "YYYY-MM-DD"),
    (r"(?<=YYYY-MM-DD[ T])\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?", "HH:MM"),
    (r"\b20\d{6}-\d{6}", "TIME"),
    (r'(?<="seconds": )[\d.]+', "N"),
    (r"(Python|sqlite|httpx|typer|rich|pillow|starlette|uvicorn) [\d.]+", r"\1 V"),
    (r"(?<=, )system \S+", "system S"),
    (r"\d+ bytes \(sha256:[0-9a-f]{64}\)", "N bytes (sha256:DIGEST)"),
    (r"an image of \d+ bytes", "an image of N bytes"),
)
"""Values that differ from run to run, and their replacements."""
SUMMARY = re.compile(r"(Interrupted: )?\d+ .*; .* \(N s\)")
PATHS = {
    "create": ("POST", "/api/v1/task"),
    "get": ("GET", "/api/v1/task/"),
    "image": ("GET", "/images/"),
}
FILES = {
    "notes.txt": "hello\n",
    "bad.csv": "prompt,foo\na fox,1\n,2\n",
    "broken.json": "{\n",
    "unknown.jsonl": '{"prompt": "a fox", "foo": 1}\n',
    "prompts.txt": "# a comment\n\na cat\n",
    "three.txt": "a boat\na goat\na coat\n",
    "options.txt": '--prompt "a fox" --steps 3\n',
    "rows.csv": "op,prompt,seed,image\ngen,a boat,1,\nedit,at night,2,red.png\n",
}


class Script:
    """Runs the commands of a script against the sandbox."""

    def __init__(self, flux: Flux, service: Service, directory: Path) -> None:
        self._flux, self._service, self._directory = flux, service, directory
        self._printed = {"PORT": service.origin.rpartition(":")[2]}

    def run(self, script: str) -> Iterator[str]:
        """Yield the lines of the script with their current output."""
        for line in script.splitlines():
            if not line or line[0] in "#~$":
                yield line
            if line.startswith("#"):
                self._service.faults.clear()
                self._service.hooks.clear()
                self._service.scripted.clear()
            elif line.startswith("~ "):
                self._break(line[2:])
            elif line.startswith("$ "):
                yield from self._run_pipe(line[2:])

    def _break(self, text: str) -> None:
        if interrupted := re.fullmatch(r"Ctrl-C at (\w+)", text):
            self._service.hooks[PATHS[interrupted[1]]] = lambda: os.kill(os.getpid(), signal.SIGINT)
        elif text == "find flux_ID":
            self._printed["flux_ID"] = self._service.charges[-1].id
        elif reply := re.fullmatch(r"(\w+) returns (.*)", text):
            self._service.reply_with(*PATHS[reply[1]], *[(200, {}, self._with_ids(reply[2]).encode())] * 9)
        else:
            self._service.faults.add([text])

    def _with_ids(self, text: str) -> str:
        for name, value in self._printed.items():
            text = re.sub(rf"\b{name}\b", value, text)
        return text

    def _run_pipe(self, line: str) -> Iterator[str]:
        errors, result = list[str](), Result(0, "", "")
        for command in self._with_ids(line).split(" | "):
            result = self._run(command, result.out_bytes)
            errors += self._lines(result.err)
        out = self._lines(result.out)
        end = next((place for place, text in enumerate(errors) if SUMMARY.fullmatch(text)), None)
        if end is not None:
            out, errors = sorted(out), _sort_messages(errors[:end]) + errors[end:]
        elif command.startswith("flux resume"):
            out, errors = sorted(out), _sort_messages(errors)
        yield from out
        yield from (f"! {text}".rstrip() for text in errors)
        if result.code:
            yield f"= {result.code}"

    def _run(self, command: str, stdin: bytes) -> Result:
        variables, program, arguments = re.match(r"((?:[A-Z_]+=\S* )*)(\S+) ?(.*)", command).groups()  # type: ignore[union-attr]
        if program != "flux":
            done = subprocess.run(["sh", "-c", command], input=stdin, capture_output=True, check=True)
            return Result(0, done.stdout.decode(), done.stderr.decode(), done.stdout)
        with pytest.MonkeyPatch.context() as patch:
            for word in shlex.split(variables):
                patch.setenv(*word.split("=", 1))
            return self._flux(arguments, stdin)

    def _lines(self, text: str) -> list[str]:
        """Return lines of output without what differs from run to run, and keep the IDs in them for later commands."""
        for name, pattern in (("ENTRY-ID", ENTRY), ("flux_ID", f"flux_{TASK_ID}")):
            if found := re.findall(pattern, text):
                self._printed[name] = found[-1]
        text = text.replace(str(self._directory), "/tmp")
        for pattern, replacement in REPLACEMENTS:
            text = re.sub(pattern, replacement, text)
        return text.splitlines()


def _sort_messages(lines: list[str]) -> list[str]:
    """Return lines in alphabetical order. The lines of a task keep theirs; indented ones stay below their message."""
    messages = re.split(r"\n(?! )", "\n".join(lines)) if lines else []
    labels = {message.partition(": ")[0] for message in messages if re.search(r": (reusing )?task flux_ID", message)}
    labels -= {"flux"}

    def place(message: str) -> tuple[bool, str]:
        label = message.partition(": ")[0]
        return (False, label) if label in labels else (True, message)

    return "\n".join(sorted(messages, key=place)).splitlines()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_all_messages_match_the_transcript(
    path: Path, flux: Flux, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (256, 256), "red").save("red.png")
    Image.new("RGB", (64, 64), "red").save("small.png")
    Path("cut.png").write_bytes(Path("red.png").read_bytes()[:50])
    for name, text in FILES.items():
        Path(name).write_text(text)
    monkeypatch.setenv("FLUX_TIME_SCALE", "0.005")  # the sandbox runs 200 times faster than documented
    numbers = count(1)
    monkeypatch.setattr("flux_cli.journal.journal.new_id", lambda: f"entry{next(numbers):03}")
    # Drawing takes four fifths of the time, and no message depends on it.
    monkeypatch.setattr("flux_cli.sandbox.images.Renderer.render", lambda _: Image.new("RGB", (256, 256)))
    script = path.read_text()
    transcript = "\n".join(Script(flux, service, tmp_path).run(script)) + "\n"
    if os.environ.get("UPDATE_MESSAGES"):
        path.write_text(transcript)
    assert transcript == script


def test_every_exit_code_has_an_example() -> None:
    found = {int(code) for path in SCRIPTS for code in re.findall(r"^= (\d+)$", path.read_text(), re.MULTILINE)}
    assert set(ExitCode) - found == {ExitCode.OK, ExitCode.BUG, ExitCode.PIPE, ExitCode.SIGTERM}
