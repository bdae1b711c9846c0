"""`python docs/images/recording.py` writes docs/images/recording.svg anew, the recording at the head of README.

The commands run in the sandbox, on a pseudo-terminal; pyte makes a screen of what they write there; each screen that
differs becomes a frame. The SVG has no script and loads nothing, so that it moves in an `<img>` too. Its description is
what was said, which a test compares with what the program says now: the frames themselves differ by moments each time.
"""

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections import defaultdict
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

TARGET = Path(__file__).with_suffix(".svg")
COLUMNS, LINES = 80, 24
COMMANDS = (
    'flux gen "a red fox in the snow" --seed 7 -o fox.png --preview --sandbox',
    'flux edit fox.png "at night" --seed 7 -o night.png --preview --sandbox',
)
BLINK, TYPING, READING = 0.25, 0.12, 4.0
"""Seconds: between two looks at the screen, for a word that is typed, for what a command said."""
WIDE, HIGH, EDGE = 8, 18, 14
"""Pixels of a cell, whose halves are whole pixels too, and around all of them."""
BASE = 14
"""Where letters stand in a cell."""
GROUND, INK = "#16191f", "#d6dbe3"
COLOURS = {"default": INK, "magenta": "#c792ea"}

Row = tuple[tuple[str, str, str], ...]
"""A letter, its colour and its ground, for each column."""
Frame = tuple[float, tuple[Row, ...]]
"""When it is seen first, seconds, and the screen."""


class Recorder:
    """A screen, and what was on it when."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.now, self.frames, self.said = 0.0, list[Frame](), ""

    def write(self, content: bytes, seconds: float) -> None:
        """Let the screen change, and see it for so long."""
        self._stream.feed(content)
        rows = tuple(self._row(line) for line in range(LINES))
        if not self.frames or self.frames[-1][1] != rows:
            self.frames.append((self.now, rows))
        self.now += seconds

    def _row(self, line: int) -> Row:
        cells = (self.screen.buffer[line][column] for column in range(COLUMNS))
        return tuple((cell.data, _colour(cell.fg), _colour(cell.bg) if cell.bg != "default" else "") for cell in cells)

    def run(self, line: str, directory: str, environ: dict[str, str]) -> None:
        """Type a command line word by word, and let it run."""
        self.write(b"$ ", 4 * TYPING)
        for word in re.findall(r"\S+\s*", line):
            self.write(word.encode(), TYPING)
        self.write(b"\r\n", TYPING)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        program = [sys.executable, "-m", "flux_cli", *shlex.split(line)[1:]]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(program, stdin=quiet, stdout=theirs, stderr=theirs, env=environ, cwd=directory):  # noqa: S603
            os.close(theirs)
            for content in _pieces(ours):
                self.write(content, BLINK)
        os.close(ours)
        self.write(b"", READING)
        shown = "\n".join(line.rstrip() for line in self.screen.display).rstrip()
        self.said += shown[shown.rindex("$ ") :] + "\n"


def _pieces(descriptor: int) -> Iterator[bytes]:
    """What is written until the end, collected for a moment each."""
    content, end = b"", time.monotonic() + BLINK
    while True:
        if select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                read = os.read(descriptor, 65536)
            except OSError:  # Linux's way to tell the end
                read = b""
            if not read:
                yield content
                return
            content += read
        else:
            yield content
            content, end = b"", time.monotonic() + BLINK


def _colour(name: str) -> str:
    return COLOURS.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else INK)


def record() -> Recorder:
    """Run it all, in an empty home."""
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as directory:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        place = {"HOME": directory, "FLUX_HOME": f"{directory}/flux"}
        terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONIOENCODING": "utf-8"}
        for line in COMMANDS:
            recorder.run(line, directory, kept | place | terminal)
    return recorder


def transcript(recorder: Recorder) -> str:
    """What was typed and what stood there at the end of each command, without the picture and how long it took."""
    lines = [line for line in recorder.said.splitlines() if "▀" not in line]
    return re.sub(r"[0-9.]+ s\b", "2 s", "\n".join(lines))


def svg(recorder: Recorder) -> str:
    """The recording: each row that differs once, each frame a list of rows, shown while it lasts.

    The last frame stands still where nothing moves.
    """
    rows = {row: number for number, row in enumerate(dict.fromkeys(row for _, rows in recorder.frames for row in rows))}
    frames, times = "", ""
    ends = [start for start, _ in recorder.frames[1:]] + [recorder.now]
    for place, ((start, shown), end) in enumerate(zip(recorder.frames, ends, strict=True)):
        uses = (f'<use href="#r{rows[row]}" y="{line * HIGH}"/>' for line, row in enumerate(shown) if not _empty(row))
        frames += f'<g style="animation-name:s{place}">{"".join(uses)}</g>\n'
        first, last = (f"{100 * moment / recorder.now:.2f}%" for moment in (start, end))
        hidden = "0%{opacity:0}" if place else ""
        times += f"@keyframes s{place}{{{hidden}{first}{{opacity:1}}{last}{{opacity:{int(end == recorder.now)}}}}}\n"
    width, height = COLUMNS * WIDE + 2 * EDGE, LINES * HIGH + 2 * EDGE
    drawn = "\n".join(
        f'<g id="r{number}">{"".join(_drawn(row))}</g>' for row, number in rows.items() if not _empty(row)
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>flux in a terminal</title>
<desc>{escape(transcript(recorder))}</desc>
<style>
text{{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}}
path{{shape-rendering:crispEdges}}
.f g{{opacity:0;animation:{recorder.now:.2f}s step-end infinite}}
.f g:last-child{{opacity:1}}
@media(prefers-reduced-motion:reduce){{.f g{{animation:none}}}}
{times}</style>
<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" fill="{GROUND}" stroke="#5b6472"/>
<defs>{drawn}</defs>
<g class="f" transform="translate({EDGE} {EDGE})">
{frames}</g>
</svg>
"""


def _empty(row: Row) -> bool:
    return all(letter == " " for letter, _, _ in row)


def _drawn(row: Row) -> Iterator[str]:
    """Half blocks as rectangles, letters by their colour; both in runs of what is alike."""
    paths: dict[str, str] = defaultdict(str)
    for half, which in enumerate((1, 2)):
        for colour, begin, count in _runs([cell[which] if cell[0] == "▀" else "" for cell in row]):
            paths[colour] += f"M{begin * WIDE} {half * HIGH // 2}h{count * WIDE}v{HIGH // 2}H{begin * WIDE}z"
    for colour, path in paths.items():
        yield f'<path fill="{colour}" d="{path}"/>'
    for colour, begin, count in _runs(["" if letter == "▀" else colour for letter, colour, _ in row]):
        words = "".join(letter for letter, _, _ in row[begin : begin + count]).rstrip()
        if words:
            place = f'x="{begin * WIDE}" y="{BASE}" textLength="{len(words) * WIDE}"'
            yield f'<text {place} fill="{colour}">{escape(words)}</text>'


def _runs(colours: list[str]) -> Iterator[tuple[str, int, int]]:
    """Colour, first column and number of columns of what has one."""
    begin = 0
    for colour, cells in groupby(colours):
        count = len(list(cells))
        if colour:
            yield colour, begin, count
        begin += count


if __name__ == "__main__":
    TARGET.write_text(svg(record()), encoding="utf-8")
