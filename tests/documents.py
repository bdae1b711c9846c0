"""Run the examples of the documents on a terminal, as a reader types them.

Documents use these conventions, which do not disturb a reader:

- In a `console` block, lines after `$ ` are typed (`> ` continues one). The lines below must be printed, in any
  order; times, IDs, dates and long numbers may differ. `...` stands for omitted lines, or for the rest of a line.
  `^C` is the key: it is pressed when the lines above it are printed and another task is running.
- An `sh` block is typed as a whole; each of its commands must succeed.
- A block after a line that ends with a file name and a colon, for example `prompts.txt`:, is the content of that file.
  A `python` block with a name is also run, after the commands above it.

`<!-- not run: REASON -->` before a block skips it. `<!-- run: COMMAND -->` is run, and not shown to the reader.

`UPDATE_DOCS=1 pytest tests/test_docs.py` writes the current output into the documents, for you to review and shorten.
"""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from .forking import fork_server

ROOT = Path(__file__).parent.parent
GENERATED = "docs/reference/cli.md"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
"""Every document, by its path in the repository."""
UPDATE = "UPDATE_DOCS"
COLUMNS, LINES, PATIENCE = 100, 200, 240.0
with closing(socket.create_server(("127.0.0.1", 0))) as _free:
    PORT: int = _free.getsockname()[1]
PROGRAMS = {"flux-cli": "-m flux_cli", "python": "", "python3": "", "pytest": "-m pytest"}
"""Programs that a document may call besides `flux`, with the arguments of Python that run them."""
_LABEL = re.compile(r"`([\w/-]+\.\w+)`:$")
_HIDDEN = re.compile(r"<!-- run: (.+) -->")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_SPINNER = re.compile("[\u2800-\u28ff] ")
_MARK = re.compile(rb"@@(\d+) (\d+)@@\r?\n")
_VARIES = (
    (r" (simulated\b|\(simulated\))", ""),  # not printed with a real key
    (r"http://127\.0\.0\.1:\d+(?=[,.\n]|$)", "https://piapi.ai/workspace"),  # the page of the sandbox
    (r"flux_[0-9a-f]{8}-[0-9a-f-]{27}", "TASK"),
    (r"\b\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?\b", "DATE"),
    (r"\b\d+(\.\d+)?(-\d+(\.\d+)?)? (s|min)\b", "TIME"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\b\d{5,}\b", "NUMBER"),
    (r"\b[0-9a-hjkmnp-tv-z]{8}\b", "ENTRY"),
    (r"  +", "  "),
)
"""Patterns that differ from run to run, and their substitutes. An entry's ID has 8 letters and digits, no i, l, o, u."""


@dataclass(frozen=True)
class Block:
    """A block of code. line: its first line. file: the name of the file that it contains. skip_reason: why it is not run."""

    page: str
    line: int
    language: str
    text: str
    file: str | None
    skip_reason: str | None


@dataclass(frozen=True)
class Command:
    """A command that a reader types, and the lines that the document shows below."""

    location: str
    text: str
    expected_output: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        """Return whether the reader presses Ctrl-C."""
        return "^C" in self.expected_output

    @property
    def fails(self) -> bool:
        """Return whether the command ends with an error."""
        errors = [
            line for line in self.expected_output if line.startswith("flux: ") and not line.startswith("flux: warning")
        ]
        return bool(errors) or self.interrupted


def read_blocks(page: str) -> list[Block]:
    """Return the blocks of code of a document, in order."""
    found, before, inside = list[Block](), "", None
    for number, line in enumerate((ROOT / page).read_text("utf-8").splitlines(), 1):
        if inside is not None and line == "```":
            start, language, text = inside
            label, skip_reason = _LABEL.search(before), _NOT_RUN.search(before)
            found.append(Block(page, start, language, text, label and label[1], skip_reason and skip_reason[1]))
            inside, before = None, ""
        elif inside is not None:
            inside = (inside[0], inside[1], inside[2] + line + "\n")
        elif line.startswith("```"):
            inside = (number, line[3:], "")
        elif hidden := _HIDDEN.match(line):
            found.append(Block(page, number, "sh", hidden[1], None, None))
        elif line.strip():
            before = line
    assert inside is None, f"{page}: a block does not end"
    return found


def read_prose(page: str) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", (ROOT / page).read_text("utf-8"))


def read_commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a block."""
    location = f"{block.page}:{block.line}"
    if block.language == "sh":
        yield Command(location, f"set -e\n{block.text}\nset +e")
        return
    command: Command | None = None
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            if command:
                yield command
            command = Command(f"{block.page}:{number}", line[2:])
        elif line.startswith("> ") and command and not command.expected_output:
            command = Command(command.location, f"{command.text}\n{line[2:]}")
        else:
            assert command, f"{block.page}:{number}: no command is above this line"
            command.expected_output.append(line)
    if command:
        yield command


def run_examples(page: str, directory: Path, path: Path) -> None:
    """Run the examples of a document on a terminal, in `directory`, and compare the output. path: a directory for PATH."""
    commands = list[Command]()
    for block in read_blocks(page):
        if block.file:
            (directory / block.file).parent.mkdir(parents=True, exist_ok=True)
            (directory / block.file).write_text(block.text)
            if block.language == "python":
                commands.append(Command(f"{page}:{block.line}", f"python {block.file}"))
        elif block.language in ("console", "sh") and not block.skip_reason:
            commands += read_commands(block)
    changes = list[tuple[Command, list[str]]]()
    for command, (code, printed) in zip(
        commands, _run_commands(commands, directory, path) if commands else [], strict=True
    ):
        report = f"{command.location}: $ {command.text}\nexit code {code}\n" + "\n".join(printed)
        if not _differences(command.expected_output, printed, directory):
            assert (code != 0) == command.fails or (command.expected_output and not command.fails), report
        elif os.environ.get(UPDATE) and not command.interrupted:
            changes.append((command, [_localize(line, directory) for line in printed]))
        else:
            raise AssertionError(report)
    _update(page, changes)


def _update(page: str, changes: list[tuple[Command, list[str]]]) -> None:
    """Replace the outputs in a document with the current ones."""
    lines = (ROOT / page).read_text("utf-8").splitlines()
    for command, printed in reversed(changes):
        start = int(command.location.rpartition(":")[2]) + command.text.count("\n")
        lines[start : start + len(command.expected_output)] = printed
    if changes:
        (ROOT / page).write_text("\n".join(lines) + "\n", "utf-8")


def _differences(expected_output: list[str], printed: list[str], directory: Path) -> list[str]:
    """Return lines that are only in the document or only in the output. Ignore the spinner that Ctrl-C leaves."""
    if not expected_output:
        return []
    expected, found = (
        [_normalize(line, directory) for line in lines if line.strip(" ^C") and not _SPINNER.match(line)]
        for lines in (expected_output, printed)
    )
    missing = []
    for line in expected:
        start = line.removesuffix("...").rstrip()
        match = next((text for text in found if text == line or (start != line and text.startswith(start))), None)
        if line == "...":
            continue
        if match is None:
            missing.append(line)
        else:
            found.remove(match)
    return missing if "..." in expected_output else missing + found


def _localize(line: str, directory: Path) -> str:
    """Return a line as it would be printed for a reader."""
    return line.replace(str(directory.parent / "home"), "/home/you/.flux").replace(str(directory), "/home/you")


def _normalize(line: str, directory: Path) -> str:
    text = _localize(line, directory)
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text)
    return text.removeprefix("^C").strip()


def _run_commands(commands: list[Command], directory: Path, path: Path) -> list[tuple[int, list[str]]]:
    """Run the commands; return the exit code and the lines on the screen of each."""
    output = _run_shell(commands, directory, path)
    pieces = _MARK.split(output)
    codes, texts = pieces[2::3], pieces[3::3]
    screens = [_render(text) for text in texts]
    assert len(codes) == len(commands) + 1, f"{commands[len(codes) - 1].location} ended the shell: {screens[-1]}"
    return list(zip([int(code) for code in codes[1:]], screens, strict=False))


def _render(content: bytes) -> list[str]:
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.ByteStream(screen).feed(content)
    rows = [screen.buffer[number] for number in range(max(screen.buffer, default=-1) + 1)]  # the others are empty
    lines = ["".join(row[column].data for column in range(max(row, default=-1) + 1)).rstrip() for row in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _run_shell(commands: list[Command], directory: Path, path: Path) -> bytes:
    """Run the commands in a shell on a terminal; return the output, with a mark before each and at the end."""
    mark = 'code=$?; printf "@@%s %s@@\\n" {} $code; (exit $code)'
    lines = [f"{mark.format(number)}\n{_replace_port(command.text)}" for number, command in enumerate(commands)]
    script = directory / ".script"
    script.write_text("trap : INT\n" + "\n".join([*lines, mark.format(len(commands))]) + "\n")
    terminal, shell_side = pty.openpty()
    fcntl.ioctl(shell_side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "CI", "NO_COLOR")}
    environ |= {"HOME": str(directory), "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}
    environ["PATH"] = f"{path}:{os.environ['PATH']}"
    shell = [sys.executable, "-c", _LEADER, "bash", str(script)]
    process = subprocess.Popen(
        shell,
        stdin=shell_side,
        stdout=shell_side,
        stderr=shell_side,
        env=environ,
        cwd=directory,
        start_new_session=True,
    )
    os.close(shell_side)
    try:
        return _read(terminal, commands)
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(2)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        process.wait()
        os.close(terminal)


def _replace_port(text: str) -> str:
    """Return the command with a free port in place of the one of `flux listen`."""
    if "flux listen" not in text and ":8518" not in text:
        return text
    return text.replace("flux listen", f"flux listen --port {PORT}").replace(":8518", f":{PORT}")


_LEADER = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
"""Makes stdin the controlling terminal, so that Ctrl-C reaches the shell."""


def _read(terminal: int, commands: list[Command]) -> bytes:
    """Return the output until the last mark. Press Ctrl-C when the lines above it have been printed."""
    content, end = b"", time.monotonic() + PATIENCE
    interrupted_commands = set[int]()
    while not (marks := _MARK.findall(content)) or int(marks[-1][0]) < len(commands):
        number = int(marks[-1][0]) if marks else 0
        assert time.monotonic() < end, f"{commands[number].location} does not end: {_render(content)}"
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # Linux raises this at the end
                return content
            if not read:
                return content
            content += read
        command, since = commands[number], content[content.rfind(b"@@") :]
        if command.interrupted and number not in interrupted_commands and _is_ready_for_interrupt(command, since):
            os.write(terminal, b"\x03")
            interrupted_commands.add(number)
    return content


def _is_ready_for_interrupt(command: Command, content: bytes) -> bool:
    """Return whether a command has printed the lines above Ctrl-C."""
    for line in command.expected_output[: command.expected_output.index("^C")]:
        _, found, content = content.partition(line.partition(" (")[0].encode())
        if not found:
            return False
    return b"processing" in content


@contextmanager
def make_programs() -> Iterator[Path]:
    """Create a directory for PATH with the programs of the documents."""
    with tempfile.TemporaryDirectory(prefix="flux") as name:
        directory = Path(name)
        for program, arguments in PROGRAMS.items():
            (directory / program).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            (directory / program).chmod(0o755)
        (directory / "flux").symlink_to(fork_server().program)
        yield directory
